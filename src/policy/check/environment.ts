import type { Claim } from '../language/claims.ts'
import type { Allowance } from './pattern.ts'

/** What an expression may read, and what the file around it allows. */
export interface CheckEnvironment {
  /** Declared claims; null where the declaration itself is wrong, which is reported there. */
  readonly claims: ReadonlyMap<string, Claim | null>
  /** Null where a `to` line cannot be read, which is reported there. */
  readonly path: PathVariables | null
  /** What is wrong with a name of a header field or of a query parameter, or null. */
  readonly nameProblem: (of: 'header' | 'query', name: string) => string | null
  readonly nearest: (typed: string, known: Iterable<string>) => string | null
  /** What the `re` patterns of the file have left. */
  readonly afford: Allowance
}

/** Variables of a rule's `to` lines. */
export interface PathVariables {
  /** Of every line. */
  readonly every: readonly string[]
  /** Of some lines only. */
  readonly some: readonly string[]
}

/** A fault in an expression: the P-number, and where in its text it stands, in UTF-16 units. */
export interface Problem {
  readonly at: number
  readonly number: number
  readonly message: string
}
