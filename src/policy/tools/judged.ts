import type { CompiledPolicy, CompiledRule, RuleSet } from '../engine/compile.ts'
import type { Condition, Look } from '../engine/conditions.ts'
import { candidates } from '../engine/route-index.ts'
import type { Rule } from '../language/rule.ts'
import { both, type Tri, yes } from '../language/tri.ts'

/** One condition, and whether it holds. */
export interface Judged {
  readonly condition: Condition
  readonly held: Tri
}

/** A rule whose method and path fit a request, with every condition judged: the engine itself stops at the first that fails. */
export interface Candidate {
  readonly rule: CompiledRule
  /** As written. */
  readonly written: Rule
  readonly conditions: readonly Judged[]
  readonly held: Tri
  /** Of an allow: what it asks of the sign-in. */
  readonly login: readonly Judged[]
}

/** Every candidate of one effect, in file order. */
export const candidatesOf = (policy: CompiledPolicy, effect: Rule['effect'], look: Look): readonly Candidate[] => {
  const set: RuleSet = effect === 'deny' ? policy.denies : policy.allows
  const { method, target } = look.facts.origin
  const written = policy.document.rules.filter(rule => rule.effect === effect)
  const judge = (condition: Condition): Judged => ({ condition, held: condition.test(look) })
  return candidates(set.index, method, target.path).flatMap(number => {
    const [rule, source] = [set.rules[number], written[number]]
    if (rule === undefined || source === undefined) return []
    const conditions = rule.conditions.map(judge)
    const held = conditions.reduce<Tri>((all, one) => both(all, one.held), yes)
    return [{ rule, written: source, conditions, held, login: (rule.login?.conditions ?? []).map(judge) }]
  })
}

export const unmetOf = (judged: readonly Judged[]): readonly Judged[] => judged.filter(({ held }) => held !== yes)

/** The allow in force on this route that the fewest conditions keep from matching. Null: no allow covers the route. */
export const nearestAllow = (policy: CompiledPolicy, look: Look): Candidate | null => {
  let best: Candidate | null = null
  for (const one of candidatesOf(policy, 'allow', look))
    if (!one.rule.shadow && one.held !== yes && (best === null || unmetOf(one.conditions).length < unmetOf(best.conditions).length))
      best = one
  return best
}
