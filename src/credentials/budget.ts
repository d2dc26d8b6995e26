import type { CassandraSession } from '../model/cassandra.ts'
import type { Clock } from '../model/deps.ts'

/** Logins at one node that may come at once, and milliseconds after which one more may. */
const burst = 20
const every = 50

/**
 * Keeps the logins that Postern makes at one node under a rate, however many roles there are: a node hashes passwords on four threads by default, and
 * backends log in there too. What would be more waits.
 */
export const paced = (session: CassandraSession, clock: Pick<Clock, 'monotonic' | 'after'>): CassandraSession => {
  const next = new Map<string, number>()
  const wait = (host: string): number => {
    const now = clock.monotonic()
    const at = Math.max(next.get(host) ?? Number.NEGATIVE_INFINITY, now - burst * every)
    next.set(host, at + every)
    return at + every - now
  }
  return {
    execute: (cql, params, options) => session.execute(cql, params, options),
    hosts: () => session.hosts(),
    upSince: host => session.upSince(host),
    hold: (username, password, host) => session.hold(username, password, host),
    close: () => session.close(),
    login: async (username, password, target = {}) => {
      const ms = wait(target.host ?? '')
      if (ms > 0) await new Promise<void>(resolve => clock.after(ms, resolve))
      return session.login(username, password, target)
    },
  }
}
