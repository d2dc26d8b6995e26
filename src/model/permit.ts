import type { Obligations } from './obligation.ts'

/** What the policy engine found when it allowed a request. */
export interface Grant {
  readonly tenant: string
  /** Name of the allow that decided. */
  readonly rule: string
  /** SHA-256 of the tenant's policy file, hex. */
  readonly policyDigest: string
  /** Permission role whose current credential the backend receives, or null. */
  readonly cassandraRole: string | null
  /** Milliseconds since the epoch at which the allow ends, and every stream that it let through; null: for ever. */
  readonly until: number | null
  readonly obligations: Obligations
}

/**
 * The right to go on. `credentials`, `upstream` and everything after the decision take a Permit and nothing weaker, so
 * an undecided request cannot reach them. Only `policy/decide.ts` makes one (architecture test); the private field makes a look-alike fail `tsc`.
 */
export class Permit implements Grant {
  readonly #decided = true
  readonly tenant: string
  readonly rule: string
  readonly policyDigest: string
  readonly cassandraRole: string | null
  readonly until: number | null
  readonly obligations: Obligations

  constructor(grant: Grant) {
    this.tenant = grant.tenant
    this.rule = grant.rule
    this.policyDigest = grant.policyDigest
    this.cassandraRole = grant.cassandraRole
    this.until = grant.until
    this.obligations = grant.obligations
  }

  static is(value: unknown): value is Permit {
    return typeof value === 'object' && value !== null && #decided in value
  }
}
