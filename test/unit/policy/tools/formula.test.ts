import { describe, expect, it } from 'vitest'
import { both, either, no, not, type Tri, unsure, yes } from '../../../../src/policy/language/tri.ts'
import {
  all,
  any,
  type Dimension,
  type Formula,
  negated,
  openDimension,
  possible,
  unchosen,
} from '../../../../src/policy/tools/classes/formula.ts'

let seed = 11
const next = (n: number): number => {
  seed = (seed * 1103515245 + 12345) % 2 ** 31
  return (seed >> 8) % n
}
const tri = (): Tri => ([no, yes, unsure] as const)[next(3)] ?? no
const dimension = (index: number): Dimension => {
  const size = 2 + next(2)
  return { index, size, outcomes: [0, 1].map(() => Array.from({ length: size }, tri)), labels: ['', ''] }
}
const formulaOf = (dimensions: readonly Dimension[], depth: number): Formula => {
  const kind = depth === 0 ? 0 : next(4)
  const parts = () => Array.from({ length: next(4) }, () => formulaOf(dimensions, depth - 1))
  if (kind === 1) return all(...parts())
  if (kind === 2) return any(...parts())
  if (kind === 3) return negated(formulaOf(dimensions, depth - 1))
  return { kind: 'test', of: dimensions[next(dimensions.length)] as Dimension, test: next(2) }
}
const exact = (formula: Formula, values: readonly number[]): Tri => {
  if (formula.kind === 'test') return formula.of.outcomes[formula.test]?.[values[formula.of.index] ?? 0] ?? unsure
  if (formula.kind === 'not') return not(exact(formula.part, values))
  const [join, start] = formula.kind === 'all' ? [both, yes as Tri] : [either, no as Tri]
  return formula.parts.reduce<Tri>((tri, part) => join(tri, exact(part, values)), start)
}
const choices = (dimensions: readonly Dimension[]): number[][] =>
  dimensions.reduce<number[][]>(
    (sofar, { size }) => sofar.flatMap(one => Array.from({ length: size }, (_, value) => one.concat(value))),
    [[]],
  )

describe('what a formula may come to', () => {
  it('includes everything that a full choice comes to, and is exactly that once all is chosen', () => {
    for (let i = 0; i < 200; i++) {
      const dimensions = [0, 1, 2].map(dimension)
      const formula = formulaOf(dimensions, 3)
      for (const values of choices(dimensions)) {
        const wanted = exact(formula, values)
        expect(possible(formula, Int32Array.from(values))).toBe(1 << wanted)
        for (const hidden of [0, 1, 2]) {
          const part = Int32Array.from(values.map((value, at) => (at === hidden ? unchosen : value)))
          expect(possible(formula, part) & (1 << wanted)).not.toBe(0)
          // Only what is not chosen yet can still be asked for.
          expect([undefined, hidden]).toContain(openDimension(formula, part)?.index)
        }
      }
    }
  })
})
