import type { CutReport } from './cut.ts'
import type { Cut, Stored } from './generations.ts'
import type { Asked } from './role.ts'

/** What the cluster knows of a role's credentials, newest first, 100 at most. */
export interface RoleHistory {
  readonly role: string
  readonly rows: readonly Omit<Stored, 'secret'>[]
  readonly cut: Cut | null
  readonly asked: boolean
}

export interface CutDone extends CutReport, Cut {
  /** Why the other sidecars of the group could not be told; null: they stop at their next look. This process has stopped, and goes on telling them. */
  readonly unmarked: string | null
}

/** What an operator may ask of a provider that makes credentials itself. All reject while there is no session with the cluster. */
export interface Acts {
  history(role: string): Promise<RoleHistory>
  /** Asks the lease holder for the next credential at once. Ends a cut; with `keepConnections` even where connections from before it are still open. */
  rotate(role: string, keepConnections: boolean): Promise<Asked>
  /** Ends everything that was handed out of a role, and hands out nothing more until `rotate`. */
  cut(role: string, why: string): Promise<CutDone>
}
