import type { CassandraSession, CqlRow } from '../model/cassandra.ts'
import type { Clock } from '../model/deps.ts'

/**
 * What trying for the lease gave. `fresh`: nobody held it, we do now, and somebody else may have in between.
 * `renewed`: held by us without a break. `other`: somebody else holds it. `unknown`: no answer.
 */
export type LeaseOutcome =
  | { readonly is: 'fresh' | 'renewed' }
  | { readonly is: 'other'; readonly owner: string }
  | { readonly is: 'unknown'; readonly detail: string }

export interface Lease {
  /** Takes or renews it. Never rejects. */
  take(): Promise<LeaseOutcome>
  /** Milliseconds for which nobody else can hold it; 0 when it is not ours. */
  remaining(): number
  /** Gives it up, so that a successor need not wait for the TTL. Never rejects. */
  release(): Promise<void>
}

export interface LeaseOptions {
  readonly name: string
  /** Different for each process and each start. */
  readonly owner: string
  /** Seconds. */
  readonly ttl: number
}

type Session = Pick<CassandraSession, 'execute'>

const insert = 'INSERT INTO postern.leases (name, owner, until) VALUES (?, ?, ?) IF NOT EXISTS USING TTL ?'
// Every column is set: a renewal that left one out would let that one die, and the row would lose half of itself.
const renew = 'UPDATE postern.leases USING TTL ? SET owner = ?, until = ? WHERE name = ? IF owner = ?'
const free = 'DELETE FROM postern.leases WHERE name = ? IF owner = ?'

/** One row by lightweight transaction: one process at a time writes the slots of a role. */
export const openLease = (session: Session, clock: Pick<Clock, 'now' | 'monotonic'>, options: LeaseOptions): Lease => {
  const { name, owner, ttl } = options
  let end = Number.NEGATIVE_INFINITY
  let mine = false

  const until = (): Date => new Date(clock.now() + ttl * 1000)
  const applied = (rows: readonly CqlRow[]): boolean => rows[0]?.['[applied]'] === true
  const granted = (sent: number, is: 'fresh' | 'renewed'): LeaseOutcome => {
    // Counted from before the statement was sent, on a clock that never steps. Cassandra counts whole seconds, so the row may die up to one early.
    end = sent + ttl * 1000 - 1000
    mine = true
    return { is }
  }

  const tryRenew = async (): Promise<LeaseOutcome | null> => {
    const sent = clock.monotonic()
    if (applied(await session.execute(renew, [ttl, owner, until(), name, owner]))) return granted(sent, 'renewed')
    mine = false
    end = Number.NEGATIVE_INFINITY
    return null
  }

  const tryTake = async (): Promise<LeaseOutcome> => {
    const sent = clock.monotonic()
    const rows = await session.execute(insert, [name, owner, until(), ttl])
    if (applied(rows)) return granted(sent, 'fresh')
    const holder = String(rows[0]?.['owner'] ?? 'nobody')
    // Ours all the same: an earlier INSERT was applied though its answer got lost. Nothing was done under it yet.
    if (holder === owner && (await tryRenew()) !== null) return { is: 'fresh' }
    return { is: 'other', owner: holder }
  }

  return {
    take: async () => {
      try {
        return (mine ? await tryRenew() : null) ?? (await tryTake())
      } catch (error) {
        return { is: 'unknown', detail: error instanceof Error ? error.message : String(error) }
      }
    },
    remaining: () => Math.max(0, end - clock.monotonic()),
    release: async () => {
      end = Number.NEGATIVE_INFINITY
      if (mine) await session.execute(free, [name, owner]).catch(() => undefined)
      mine = false
    },
  }
}
