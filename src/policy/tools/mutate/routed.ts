import type { Origin } from '../../../model/exchange.ts'
import type { CompiledPolicy } from '../../engine/compile.ts'
import { candidates } from '../../engine/route-index.ts'

/** Things that each belong to a request, sorted by the rules that are candidates for it. */
export class Routed<T> {
  readonly all: T[] = []
  readonly #policy: CompiledPolicy
  /** Of each rule of the document, its number in the set of its effect. */
  readonly #numbers: readonly number[]
  readonly #byNumber = { deny: new Map<number, T[]>(), allow: new Map<number, T[]>() }

  constructor(policy: CompiledPolicy) {
    this.#policy = policy
    this.#numbers = numbersOf(policy)
  }

  add({ method, target }: Pick<Origin, 'method' | 'target'>, item: T): void {
    this.all.push(item)
    for (const effect of ['deny', 'allow'] as const) {
      const { index } = effect === 'deny' ? this.#policy.denies : this.#policy.allows
      for (const number of candidates(index, method, target.path)) {
        const known = this.#byNumber[effect].get(number)
        if (known === undefined) this.#byNumber[effect].set(number, [item])
        else known.push(item)
      }
    }
  }

  /** What the rule at this place of the document could have a say in: where it is no candidate, no mutant of it decides otherwise. */
  about(index: number): readonly T[] {
    const rule = this.#policy.document.rules[index]
    return rule === undefined ? [] : (this.#byNumber[rule.effect].get(this.#numbers[index] ?? -1) ?? [])
  }
}

/** Of each rule of a document, its number among those of its effect. */
export const numbersOf = ({ document }: CompiledPolicy): readonly number[] => {
  const counts = { deny: 0, allow: 0 }
  return document.rules.map(rule => counts[rule.effect]++)
}
