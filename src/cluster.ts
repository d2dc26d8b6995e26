import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { LoadedConfig } from './load.ts'
import type { CassandraSession } from './model/cassandra.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { Secret } from './model/secret.ts'
import { errorCode } from './named-files.ts'
import { configFinding } from './settings.ts'
import { openSession } from './store/session.ts'

/** Opens sessions as the manager of `cassandra:`. Its secret is read from its file each time, so it can be rotated. */
export const clusterOf =
  ({ config: { cassandra }, file }: LoadedConfig, deps: Pick<Deps, 'clock'>): (() => Promise<CassandraSession>) =>
  async () => {
    if (cassandra === null) throw new Error('no cassandra: section')
    const read = async (path: string): Promise<string> => (await readFile(resolve(dirname(resolve(file)), path), 'utf8')).trim()
    const login = { username: await read(cassandra['username-file']), password: new Secret(await read(cassandra['password-file'])) }
    const tls = cassandra.tls === null ? null : { ca: await read(cassandra.tls['ca-file']), serverName: cassandra.tls['server-name'] }
    const { hosts, port } = cassandra['contact-points']
    return openSession({ contactPoints: hosts, port, localDataCenter: cassandra['local-data-center'], tls }, login, deps)
  }

/** A file that cannot be read is told at the start, with its key, and not first by the request that needs it. */
export const unreadable = async ({ file, read, config: { cassandra } }: LoadedConfig): Promise<Finding[]> => {
  if (cassandra === null) return []
  const files = {
    'username-file': cassandra['username-file'],
    'password-file': cassandra['password-file'],
    'tls.ca-file': cassandra.tls?.['ca-file'],
  }
  const found: Finding[] = []
  for (const [key, path] of Object.entries(files)) {
    if (path === undefined) continue
    await readFile(resolve(dirname(resolve(file)), path)).catch((fault: unknown) => {
      const message = `${path} cannot be read (${errorCode(fault)}). Paths are relative to the configuration file.`
      found.push({ ...configFinding(file, 'C207', message), ...read.source.position(read.provenance.get(`cassandra.${key}`) ?? 0) })
    })
  }
  return found
}
