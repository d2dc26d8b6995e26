import type { CassandraSession } from '../model/cassandra.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret } from '../model/secret.ts'
import type { Observe } from './events.ts'
import type { Vault } from './vault.ts'

export interface RotationSettings {
  /** All in milliseconds. */
  readonly rotateEvery: number
  readonly overlap: number
  readonly hardTtl: number
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
}
