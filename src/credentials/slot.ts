import { type CassandraSession, CqlFault } from '../model/cassandra.ts'
import type { Secret } from '../model/secret.ts'
import { isHash } from './hash.ts'

type Session = Pick<CassandraSession, 'execute' | 'hosts' | 'login'>

export interface ProofOptions {
  /** Milliseconds; longer than a node may keep an old hash in its cache where we may not invalidate it. */
  readonly within: number
  readonly monotonic: () => number
  readonly pause: (ms: number) => Promise<void>
  /** The permission role, of which the slot must be a member. */
  readonly memberOf: string
}

/** Repeating it with the same hash changes nothing, so an unknown outcome is simply tried again. Undoes a `lock`. */
export const rekey = (session: Session, login: string, hash: string): Promise<void> => alter(session, login, hash, true)

/** Nobody can log in, whatever password they have. */
export const lock = (session: Session, login: string, hash: string): Promise<void> => alter(session, login, hash, false)

const alter = async (session: Session, login: string, hash: string, canLogin: boolean): Promise<void> => {
  // The statement has no bind markers; what goes into its text is checked where it goes in.
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(login) || !isHash(hash)) throw new Error(`not a slot or not a hash: ${login}`)
  try {
    await session.execute(`ALTER ROLE ${login} WITH HASHED PASSWORD = '${hash}' AND LOGIN = ${canLogin}`)
  } catch (error) {
    throw error instanceof CqlFault && (error.code === unauthorized || error.code === invalid) ? gone(login, error) : error
  }
}

const unauthorized = 0x2100
const invalid = 0x2200

/** Cassandra answers the same where the role is gone and where the grant is: both went with a DROP ROLE. */
const gone = (login: string, { code, message }: CqlFault): CqlFault =>
  new CqlFault(code, `${login} was dropped, or the manager lost ALTER on it: a DBA must run postern cassandra init again (${message})`)

/**
 * Each node caches hashes for itself and would refuse the new password, and accept the old one, until its entry ages. Where the
 * manager may not delete the entry, waiting does the same: the proof decides, so a failure here is not one.
 */
export const forgetCached = async (session: Session, login: string, hosts: readonly string[] = session.hosts()): Promise<void> => {
  await forget(session, login, ['credentials', 'roles', 'network_permissions'], hosts)
}

/** Also what the login may do: grants of roles are cached with the permissions that come of them. */
export const forgetEverything = async (session: Session, login: string, hosts: readonly string[] = session.hosts()): Promise<void> => {
  await Promise.all([forgetCached(session, login, hosts), ...hosts.map(host => forgetPermissions(session, login, host))])
}

const forget = async (session: Session, login: string, caches: readonly string[], hosts: readonly string[]): Promise<void> => {
  await Promise.all(
    hosts.flatMap(host =>
      caches.map(cache =>
        session.execute(`DELETE FROM system_views.${cache}_cache_keys WHERE role = ?`, [login], { host }).catch(() => undefined),
      ),
    ),
  )
}

/** This cache takes whole keys alone, so they are read first; it has a thousand entries at most by default. */
const forgetPermissions = async (session: Session, login: string, host: string): Promise<void> => {
  const keys = await session.execute('SELECT role, resource FROM system_views.permissions_cache_keys', [], { host }).catch(() => [])
  const own = keys.filter(row => row['role'] === login).map(row => row['resource'])
  const cql = 'DELETE FROM system_views.permissions_cache_keys WHERE role = ? AND resource = ?'
  await Promise.all(own.map(resource => session.execute(cql, [login, resource], { host }).catch(() => undefined)))
}

/** Logs in on every node that is up, until all of them let it in as a member of its role. Gives how many; rejects at the deadline. */
export const prove = async (session: Session, login: string, password: Secret, options: ProofOptions): Promise<number> => {
  const end = options.monotonic() + options.within
  const { memberOf } = options
  const proved = new Set<string>()
  for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
    const left = session.hosts().filter(host => !proved.has(host))
    const results = await Promise.all(left.map(async host => ({ host, result: await session.login(login, password, { host, memberOf }) })))
    for (const { host, result } of results) if (result === 'ok') proved.add(host)
    // Asked again: a node that went down meanwhile need not answer, and one that came up must.
    const hosts = session.hosts()
    const doubtful = hosts.filter(host => !proved.has(host))
    if (hosts.length > 0 && doubtful.length === 0) return hosts.length
    // Not a matter of time: memberships are read, not cached.
    if (results.length > 0 && results.every(({ result }) => result === 'powerless')) throw new Error(notMember(login, memberOf))
    if (options.monotonic() >= end) {
      const why = results.find(({ result }) => result !== 'ok')
      throw new Error(why ? `the login as ${login} is ${why.result} on ${why.host}` : 'no node is up')
    }
    await forgetCached(session, login, doubtful)
    await options.pause(wait)
  }
}

/** What a DBA must run. */
export const notMember = (login: string, role: string): string =>
  `${login} is no member of ${role}: a DBA must run GRANT ${role} TO ${login};`
