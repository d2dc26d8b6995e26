import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { CassandraSession } from './model/cassandra.ts'
import { Secret } from './model/secret.ts'
import { type Login, openSession, type SessionDeps } from './store/session.ts'
import type { CassandraSettings } from './store/settings.ts'

/** Who logs in, as files say. Paths are relative to `base`. */
export const readClusterLogin = async (base: string, usernameFile: string, passwordFile: string): Promise<Login> => ({
  username: await read(base, usernameFile),
  password: new Secret(await read(base, passwordFile)),
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
  const verified = tls === null ? null : { ca: await read(base, tls['ca-file']), serverName: tls['server-name'] }
  const deadline = statementDeadline === undefined ? {} : { statementDeadline }
  return openSession({ contactPoints: hosts, port, localDataCenter, tls: verified, ...deadline }, login, deps)
}

const read = async (base: string, path: string): Promise<string> => {
  const text = (await readFile(resolve(base, path), 'utf8')).trim()
  if (text === '') throw new Error(`${path} is empty`)
  return text
}
