import { both, either, no, not, type Tri, unsure, yes } from '../../language/tri.ts'

/** Which of no, yes and unsure are still possible: one bit each. */
export type Mask = number
export const onlyNo: Mask = 1 << no
export const onlyYes: Mask = 1 << yes
const anything: Mask = onlyNo | onlyYes | (1 << unsure)

/**
 * One independent question about requests: an address, a claim, a header. Its values stand for all that can be answered;
 * requests with the same value are alike to every test of it.
 */
export interface Dimension {
  readonly index: number
  /** Number of values. */
  readonly size: number
  /** By test, then by value. */
  readonly outcomes: readonly (readonly Tri[])[]
  /** By test: what holds where it says yes, in words. */
  readonly labels: readonly string[]
}

/** Kleene logic over tests of dimensions. */
export type Formula =
  | { readonly kind: 'test'; readonly of: Dimension; readonly test: number }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Formula[] }
  | { readonly kind: 'not'; readonly part: Formula }

export const all = (...parts: readonly Formula[]): Formula => ({ kind: 'all', parts })
export const any = (...parts: readonly Formula[]): Formula => ({ kind: 'any', parts })
export const negated = (part: Formula): Formula => ({ kind: 'not', part })

/** The value chosen for each dimension, by its index; -1: not chosen, so every value is meant. */
export type Choice = Int32Array
export const unchosen = -1

const tris: readonly Tri[] = [no, yes, unsure]
const members = (mask: Mask): readonly Tri[] => tris.filter(tri => mask & (1 << tri))

const table = (join: (a: Tri, b: Tri) => Tri): readonly Mask[] =>
  Array.from({ length: 64 }, (_, i) =>
    members(i >> 3).reduce<Mask>((out, a) => members(i & 7).reduce<Mask>((mask, b) => mask | (1 << join(a, b)), out), 0),
  )
const bothOf = table(both)
const eitherOf = table(either)
const notOf: readonly Mask[] = Array.from({ length: 8 }, (_, i) => members(i).reduce<Mask>((mask, a) => mask | (1 << not(a)), 0))

/** What a formula may still come to under a choice: never less than is possible, exact where every dimension it reads is chosen. */
export const possible = (formula: Formula, choice: Choice): Mask => {
  if (formula.kind === 'test') return ofTest(formula.of, formula.test, choice)
  if (formula.kind === 'not') return notOf[possible(formula.part, choice)] ?? anything
  const [join, start, end] = formula.kind === 'all' ? [bothOf, onlyYes, onlyNo] : [eitherOf, onlyNo, onlyYes]
  let mask: Mask = start
  for (const part of formula.parts) {
    mask = join[(mask << 3) | possible(part, choice)] ?? anything
    if (mask === end) return mask
  }
  return mask
}

const ofTest = ({ index, outcomes }: Dimension, test: number, choice: Choice): Mask => {
  const row = outcomes[test] ?? []
  const chosen = choice[index] ?? unchosen
  if (chosen !== unchosen) return 1 << (row[chosen] ?? unsure)
  let mask: Mask = 0
  for (const outcome of row) mask |= 1 << outcome
  return mask
}

export const isSettled = (mask: Mask): boolean => mask === onlyNo || mask === onlyYes || mask === 1 << unsure

/** A dimension that has to be chosen before the formula is settled, or null if it is. */
export const openDimension = (formula: Formula, choice: Choice): Dimension | null => {
  if (isSettled(possible(formula, choice))) return null
  if (formula.kind === 'test') return formula.of
  if (formula.kind === 'not') return openDimension(formula.part, choice)
  for (const part of formula.parts) {
    const found = openDimension(part, choice)
    if (found !== null) return found
  }
  return null
}

/** Every test that a formula asks, by dimension. */
export const testsOf = (formula: Formula, into: Map<Dimension, Set<number>> = new Map()): ReadonlyMap<Dimension, ReadonlySet<number>> => {
  if (formula.kind === 'not') testsOf(formula.part, into)
  else if (formula.kind !== 'test') for (const part of formula.parts) testsOf(part, into)
  else {
    const known = into.get(formula.of)
    if (known === undefined) into.set(formula.of, new Set([formula.test]))
    else known.add(formula.test)
  }
  return into
}
