import type { CassandraSession } from '../model/cassandra.ts'
import type { Secret } from '../model/secret.ts'
import { isHash } from './hash.ts'

type Session = Pick<CassandraSession, 'execute' | 'hosts' | 'login'>

export interface ProofOptions {
  /** Milliseconds; longer than a node may keep an old hash in its cache where we may not invalidate it. */
  readonly within: number
  readonly monotonic: () => number
  readonly pause: (ms: number) => Promise<void>
}

/** Repeating it with the same hash changes nothing, so an unknown outcome is simply tried again. */
export const rekey = async (session: Session, login: string, hash: string): Promise<void> => {
  // The statement has no bind markers; what goes into its text is checked where it goes in.
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(login) || !isHash(hash)) throw new Error(`not a slot or not a hash: ${login}`)
  await session.execute(`ALTER ROLE ${login} WITH HASHED PASSWORD = '${hash}'`)
}

/**
 * Each node caches hashes for itself and would refuse the new password, and accept the old one, until its entry ages. Where the
 * manager may not delete the entry, waiting does the same: the proof decides, so a failure here is not one.
 */
export const forgetCached = async (session: Session, login: string, hosts: readonly string[] = session.hosts()): Promise<void> => {
  const forget = 'DELETE FROM system_views.credentials_cache_keys WHERE role = ?'
  await Promise.all(hosts.map(host => session.execute(forget, [login], { host }).catch(() => undefined)))
}

/** Logs in on every node that is up, until all of them let it in. Gives how many; rejects at the deadline. */
export const prove = async (session: Session, login: string, password: Secret, options: ProofOptions): Promise<number> => {
  const end = options.monotonic() + options.within
  const proved = new Set<string>()
  for (let wait = 50; ; wait = Math.min(wait * 2, 1000)) {
    const left = session.hosts().filter(host => !proved.has(host))
    const results = await Promise.all(left.map(async host => ({ host, result: await session.login(login, password, host) })))
    for (const { host, result } of results) if (result === 'ok') proved.add(host)
    // Asked again: a node that went down meanwhile need not answer, and one that came up must.
    const hosts = session.hosts()
    const doubtful = hosts.filter(host => !proved.has(host))
    if (hosts.length > 0 && doubtful.length === 0) return hosts.length
    if (options.monotonic() >= end) {
      const why = results.find(({ result }) => result !== 'ok')
      throw new Error(why ? `the login as ${login} is ${why.result} on ${why.host}` : 'no node is up')
    }
    await forgetCached(session, login, doubtful)
    await options.pause(wait)
  }
}
