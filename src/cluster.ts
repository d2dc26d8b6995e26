import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { LoadedConfig } from './load.ts'
import type { CassandraSession } from './model/cassandra.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { Secret } from './model/secret.ts'
import { errorCode } from './named-files.ts'
import { configFinding } from './settings.ts'
import { type Login, openSession, type SessionDeps } from './store/session.ts'
import type { CassandraSettings } from './store/settings.ts'

/** Opens sessions as the manager of `cassandra:`. Its secret is read from its file each time, so it can be rotated. */
export const clusterOf =
  ({ config: { cassandra }, file }: LoadedConfig, deps: Pick<Deps, 'clock'>): (() => Promise<CassandraSession>) =>
  async () => {
    if (cassandra === null) throw new Error('no cassandra: section')
    const base = dirname(resolve(file))
    return openCluster(cassandra, base, await readClusterLogin(base, cassandra['username-file'], cassandra['password-file']), deps)
  }

/** Who logs in, as files say. Paths are relative to `base`. */
export const readClusterLogin = async (base: string, usernameFile: string, passwordFile: string): Promise<Login> => ({
  username: await readText(base, usernameFile),
  password: new Secret(await readText(base, passwordFile)),
})

/** A session with the configured cluster. Rejects with a CqlFault, or where the CA file cannot be read. */
export const openCluster = async (
  { tls, 'contact-points': { hosts, port }, 'local-data-center': localDataCenter }: CassandraSettings,
  base: string,
  login: Login,
  deps: SessionDeps,
  /** Milliseconds; schema changes and whole-cluster reads take longer than what serves requests. */
  statementDeadline?: number,
): Promise<CassandraSession> => {
  const verified = tls === null ? null : { ca: await readText(base, tls['ca-file']), serverName: tls['server-name'] }
  const deadline = statementDeadline === undefined ? {} : { statementDeadline }
  return openSession({ contactPoints: hosts, port, localDataCenter, tls: verified, ...deadline }, login, deps)
}

const readText = async (base: string, path: string): Promise<string> => {
  const text = (await readFile(resolve(base, path), 'utf8')).trim()
  if (text === '') throw new Error(`${path} is empty`)
  return text
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
