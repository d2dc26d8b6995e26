import type { Origin } from './exchange.ts'
import type { Basis } from './fact.ts'
import type { Identity } from './identity.ts'
import type { Permit } from './permit.ts'
import type { LoginChallenge, ProblemCode } from './problem.ts'

/** Everything a decision may look at. */
export interface Facts {
  readonly origin: Origin
  readonly identity: Identity
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly zones: ZoneClocks
}

/** What a clock on the wall shows, and the day of the calendar beside it. */
export interface LocalTime {
  /** 1 Monday to 7 Sunday. */
  readonly weekday: number
  readonly monthDay: number
  /** Of the day. */
  readonly minute: number
}

/** Wall clocks by IANA zone. A question of zone and moment alone, but one that is costly to answer afresh for each request. */
export interface ZoneClocks {
  /** Null for a moment that no calendar has. */
  at(zone: string, ms: number): LocalTime | null
}

export type Effect = 'allow' | 'step-up' | 'deny'

/** What the whole policy would have said with its shadow rules enforced. Never acted upon. */
export interface ShadowDecision {
  readonly effect: Effect
  /** Rule name or `default`. */
  readonly rule: string
  readonly policyDigest: string
}

export interface Denial {
  readonly effect: 'deny'
  readonly code: ProblemCode
  /** Rule name, `default`, `tenant-mismatch` or `policy-unavailable`: for the audit, never for the client. */
  readonly reason: string
  /** Null where the host does not belong to exactly one tenant. */
  readonly tenant: string | null
  readonly policyDigest: string | null
  /** A deny matched only because a condition could not be evaluated. */
  readonly inDoubt: boolean
  /** Only a better sign-in is missing (PST2106): what it must be. */
  readonly challenge: LoginChallenge | null
  /** Null where no shadow rule is a candidate. */
  readonly shadow: ShadowDecision | null
  readonly basis: Basis
}

/** A refusal by a tenant's own rules that observe mode let pass: what is said once the tenant is enforced. */
export interface Observed {
  readonly effect: 'deny' | 'step-up'
  readonly inDoubt: boolean
}

export interface Approval {
  readonly effect: 'allow'
  /** Of an observed refusal: its rule is the one that refused, or `default`, and it names no role. */
  readonly permit: Permit
  readonly shadow: ShadowDecision | null
  /** Null where an allow decided. */
  readonly observed: Observed | null
  readonly basis: Basis
}

export type Decision = Approval | Denial

/** The composed policies of one snapshot. Pure: same facts, same answer. */
export interface PolicyEngine {
  /** Tenant, platform denies, tenant denies, tenant allows, default deny, in this order. Never throws for any facts. */
  decide(facts: Facts): Decision
  /**
   * A CORS preflight, which no browser sends with a token: for the one tenant of its host, after the platform's denies. What these ask of a caller
   * is not known here, so it counts as met. Never throws.
   */
  preflight(facts: Omit<Facts, 'identity'>): Decision
  /** The tenant that alone owns this host, for records of requests that never reach a decision. */
  tenantOfHost(host: string): string | null
  /** The issuers by which tenants that name this host recognise their callers, each once. */
  issuersOf(host: string): readonly string[]
  /** Every permission role that an allow names. */
  readonly roles: readonly string[]
  /** Over everything that can change a decision: platform file, tenants in force, and what unavailable tenants claim. Hex. */
  readonly digest: string
  /** What is enforced, for status and metrics. */
  readonly tenants: readonly TenantState[]
  /** Tenants whose own refusals are recorded and let pass before that moment (milliseconds since the epoch). */
  readonly observing: readonly Observing[]
}

export interface Observing {
  readonly tenant: string
  readonly until: number
}

export interface TenantState {
  readonly tenant: string
  /**
   * `enforced`: the file on disk. `stale`: the last good version, the one on disk is refused. `rolled-back`: the version before the one on disk,
   * as an operator asked. `unavailable`: no good version; its requests get 503.
   */
  readonly state: 'enforced' | 'stale' | 'rolled-back' | 'unavailable'
  readonly digestEnforced: string | null
  readonly digestOnDisk: string | null
}
