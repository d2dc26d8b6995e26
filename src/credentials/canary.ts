import type { CassandraSession, HeldLogin } from '../model/cassandra.ts'
import type { Credential } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret } from '../model/secret.ts'

/** A connection of ours, open as the login that is about to be cut, by which the cut is measured. */
export interface Canary {
  readonly host: string
  readonly held: HeldLogin | null
  /** A statement that needs a grant of the permission role, and reads nothing. Null: the role grants no SELECT. */
  readonly data: string | null
}

/** Needs no grant: refused only where the whole connection is. */
export const anyStatement = 'SELECT key FROM system.local'

/** A node that does not let one in within this time goes without: what matters is the cut. */
const within = 1_000

/** Never rejects. */
export const openCanaries = (
  session: CassandraSession,
  { username, password }: Credential,
  clock: Pick<Clock, 'after'>,
): Promise<readonly Canary[]> =>
  Promise.all(
    session.hosts().map(async host => {
      const late = Promise.withResolvers<Canary>()
      const timer = clock.after(within, () => late.resolve({ host, held: null, data: null }))
      const opened = open(session, username, password, host)
      const canary = await Promise.race([opened, late.promise])
      timer.cancel()
      if (canary.held === null) void opened.then(({ held }) => held?.close())
      return canary
    }),
  )

const open = async (session: CassandraSession, login: string, password: Secret, host: string): Promise<Canary> => {
  const held = await session.hold(login, password, host)
  return { host, held, data: held === null ? null : await dataStatement(held, login).catch(() => null) }
}

const table = /^<table ([^.>]+)\.([^>]+)>$/
const keyspace = /^<(?:keyspace|all tables in) ([^>]+)>$/
const columns = 'SELECT table_name, column_name, kind, position FROM system_schema.columns WHERE keyspace_name = ?'

const dataStatement = async (held: HeldLogin, login: string): Promise<string | null> => {
  const granted = (await held.execute(`LIST ALL PERMISSIONS OF ${login}`))
    .filter(row => row['permission'] === 'SELECT')
    .map(row => String(row['resource']))
    .map(resource => table.exec(resource) ?? keyspace.exec(resource))
    .find(found => found !== null && !String(found[1]).startsWith('system'))
  if (!granted) return null
  const [, of = '', only] = granted
  const keys = (await held.execute(columns, [of]))
    .filter(row => row['kind'] === 'partition_key' && (only === undefined || row['table_name'] === only))
    .sort((a, b) => Number(a['position']) - Number(b['position']))
  const name = keys[0]?.['table_name']
  if (name === undefined) return null
  const token = `token(${keys
    .filter(row => row['table_name'] === name)
    .map(row => quoted(row['column_name']))
    .join(', ')})`
  // No row can lie above the highest token: the permission is checked, no tenant's data is read.
  return `SELECT ${token} FROM ${quoted(of)}.${quoted(name)} WHERE ${token} > 9223372036854775807 LIMIT 1`
}

const quoted = (name: unknown): string => `"${String(name).replaceAll('"', '""')}"`
