import type { CassandraSession } from '../model/cassandra.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret } from '../model/secret.ts'
import type { Connections } from './connections.ts'
import type { Observe } from './events.ts'
import type { CutEnds } from './reach.ts'
import type { Vault } from './vault.ts'

export interface RotationSettings {
  /** All in milliseconds. */
  readonly rotateEvery: number
  readonly overlap: number
  readonly hardTtl: number
  /** What happens after it: nothing is handed out any more, or the old credential is for as long as no new one can be made. */
  readonly afterHardTtl: 'refuse' | 'keep'
}

/** How what is handed out is looked after. Milliseconds. */
export interface WatchSettings {
  /** Between two looks at one role. */
  readonly every: number
  /** After a suspicion. */
  readonly again: number
  /** A node that returned is believed after so long: until hints arrive it serves old hashes, 14 s measured. */
  readonly settled: number
}

export interface RotationContext {
  readonly session: CassandraSession
  readonly settings: RotationSettings
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  readonly hash: (password: Secret) => Promise<string>
  readonly observe: Observe
  /** Null: the group shares no key, and only the process that made a credential can hand it out. */
  readonly vault: Vault | null
  /** This process, as the lease names it. */
  readonly owner: string
  /** Runs one job of the process at a time, so that no two roles ever change in the same instant. */
  readonly turn: (job: () => Promise<void>) => Promise<void>
  /** As `turn`, for proving what is handed out: one role at a time, well apart. */
  readonly checkTurn: (job: () => Promise<void>) => Promise<void>
  readonly watch: WatchSettings
  /** What a cut would end, as read when the session was opened. */
  readonly cutEnds: (role: string) => CutEnds
  /** Who is connected as what, on every node. */
  readonly connections: Connections
}
