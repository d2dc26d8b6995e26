import type { Effect } from './decision.ts'
import type { Method } from './exchange.ts'
import type { Scalar } from './fact.ts'
import type { SpelledObligations } from './obligation.ts'

type OneOrMany<T> = T | readonly (T | null)[]

/** One fact as a record holds it. `withheld`: only the kind of value is known, or that a text is empty. */
export type RecordedValue =
  | { readonly kind: 'plain'; readonly value: OneOrMany<Scalar> }
  | { readonly kind: 'hashed' | 'withheld'; readonly value: OneOrMany<string> }
  | { readonly kind: 'absent' }
  | { readonly kind: 'faulty' }

/** A fact that is not here is not known. */
export interface RecordedFacts {
  /** Id of the key that hashed. */
  readonly key: string | null
  readonly recognised: string | null
  readonly values: ReadonlyMap<string, RecordedValue>
  readonly incomplete: readonly string[]
}

/** An exchange on which policy decided, read back from its record. */
export interface Recorded {
  /** The request's id, which its answer carried too. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly tenant: string | null
  readonly issuer: string
  readonly subject: string
  readonly agents: readonly string[]
  readonly method: Method
  readonly host: string
  readonly path: string
  readonly clientIp: string | null
  /** What the rules said. */
  readonly effect: Effect
  /** A refusal that observe mode let pass. */
  readonly observed: boolean
  readonly rule: string
  readonly role: string | null
  /** Null where none were owed, or the record does not tell. */
  readonly obligations: SpelledObligations | null
  readonly policyDigest: string | null
  readonly platformDigest: string | null
  /** Null where the record was written without facts. */
  readonly facts: RecordedFacts | null
  /** Fields above that were cut, so that they are not what was decided on. */
  readonly cut: readonly string[]
}
