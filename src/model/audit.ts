import type { Decided } from './fact.ts'

/** One decided exchange, as the pipeline knows it at its end. `record/` gives it chain, sequence number and spelling. */
export interface ExchangeEntry {
  readonly kind: 'exchange'
  /** `PST2001` for a request that was allowed and answered by the backend, `PST2002` for what Postern tells everybody, else the problem's code. */
  readonly code: string
  /** Milliseconds since the epoch at which the request arrived. */
  readonly time: number
  readonly tenant: string | null
  readonly issuer: string | null
  readonly subject: string | null
  readonly agents: readonly string[]
  /** How the request proved that it came through the gateway; empty where it did not. */
  readonly proof: readonly string[]
  readonly gatewayRequestId: string | null
  /** Address of the connection: the gateway's own, or of whoever came past it. Proves nothing. */
  readonly peer: string | null
  readonly requestId: string
  readonly method: string
  readonly host: string
  readonly route: string | null
  readonly path: string
  readonly clientIp: string | null
  readonly userAgent: string
  readonly requestBytes: number
  readonly effect: 'allow' | 'deny'
  /** Allow or deny rule, `default`, `tenant-mismatch`, or empty where policy was not asked. */
  readonly rule: string
  /** Permission role of the permit, or null. */
  readonly role: string | null
  /** The problem's kebab word and detail, or empty. */
  readonly reason: string
  /** Of the policy that decided: the platform's where one of its denies did. */
  readonly policyDigest: string | null
  /** What was decided on; null where no decision was reached. */
  readonly decided: Decided | null
  /** The deny matched only because a condition could not be evaluated. */
  readonly inDoubt: boolean
  /** What would have been decided with shadow rules enforced; null where none was a candidate. */
  readonly shadow: { readonly effect: 'allow' | 'step-up' | 'deny'; readonly rule: string } | null
  /** Observe mode let this pass: what would have been decided; null where the policy itself allowed or refused. */
  readonly observed: { readonly effect: 'step-up' | 'deny'; readonly rule: string } | null
  readonly credentialRole: string | null
  readonly credentialGeneration: number | null
  readonly upstream: string | null
  readonly upstreamStatus: number | null
  readonly upstreamMs: number | null
  readonly status: number
  readonly responseBytes: number
  /** Milliseconds from arrival to the last byte. */
  readonly ms: number
  /** Members that were removed from the reply. */
  readonly hidden: number
  /** The client went away, or the upstream broke off, before the last byte. */
  readonly aborted: boolean
}

/** Kinds of records that are not exchanges. */
export type EventKind =
  | 'process-start'
  | 'process-stop'
  | 'policy-load'
  | 'policy-refused'
  | 'config-load'
  | 'config-refused'
  | 'control'
  | 'rotation'
  | 'cut'
  | 'handover'
  | 'stream-end'
  | 'gap'
  | 'refusals'

export interface EventEntry {
  readonly kind: EventKind
  readonly code: string
  readonly time: number
  readonly tenant: string | null
  /** Flat, without secrets. */
  readonly detail: Readonly<Record<string, string | number | boolean | null>>
}

/** The audit as the rest of the process sees it. */
export interface Audit {
  /** Synchronous. False when the spool has no room or cannot be written: under `on-full: refuse` nothing may be served. */
  readonly ready: boolean
  exchange(entry: ExchangeEntry): void
  event(entry: EventEntry): void
  /** Flushes, syncs, signs the last checkpoint. Idempotent. */
  close(reason: string): Promise<void>
}
