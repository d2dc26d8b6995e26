import type { Facts } from '../../model/decision.ts'

/** One thing that would have to be otherwise. */
export interface Remedy {
  readonly text: string
  /** The facts as they would be then; null where no single value can be named. */
  readonly apply: ((facts: Facts) => Facts) | null
}

/** Remedies that are needed together. */
export type Alternative = readonly Remedy[]

const most = 32

/** Every way to have one of each, the shortest first. */
export const combined = (parts: readonly (readonly Alternative[])[]): readonly Alternative[] =>
  parts.reduce<readonly Alternative[]>(
    (before, part) =>
      before
        .flatMap(done => part.map(more => [...done, ...more]))
        .sort((a, b) => a.length - b.length)
        .slice(0, most),
    [[]],
  )
