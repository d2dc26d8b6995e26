import type { Origin } from './exchange.ts'
import type { Identity } from './identity.ts'

export type Scalar = string | number | boolean

/**
 * An input of a decision as it came. Undefined: absent. Null: there, but nothing that any declaration reads. In a list, null is an item
 * that is no scalar, or an occurrence that cannot be decoded.
 */
export type FactValue = undefined | null | Scalar | readonly (Scalar | null)[]

/**
 * Named by where it comes from, not by what a policy calls it, so that a later version that reads another claim under the same name
 * finds no fact: a token claim (`groups`, or a JSON pointer below the top level), `header.x-purpose`, `query.limit`.
 */
export interface Fact {
  readonly name: string
  readonly value: FactValue
}

export interface Reading {
  readonly facts: readonly Fact[]
  /** Claims that the token says are kept elsewhere (`hasgroups` for its groups), or `query` where a parameter's name cannot be decoded. */
  readonly incomplete: readonly string[]
  /** The rules read more than is read here. */
  readonly partial: boolean
}

/** The inputs that a set of rules reads and that no other part of a record tells. Known when the rules are compiled. */
export interface Reads {
  /** The same for all requests with one identity. */
  ofToken(identity: Identity): Reading
  ofRequest(origin: Origin): Reading
}

/** What a decision stands on, beside the request: the same for all that one pair of policies judges. */
export interface Basis {
  /** SHA-256 of the platform's policy file, hex. */
  readonly platformDigest: string
  /** Digest of the `recognise` by which the tenant was found, hex; null where none was. */
  readonly recognised: string | null
  readonly reads: Reads
}

/** Of one decided request. The facts are read when its record is written: a refusal that is only counted costs nothing. */
export interface Decided {
  readonly basis: Basis
  readonly identity: Identity
  readonly origin: Origin
}
