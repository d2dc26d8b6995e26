import { merged, type Obligations } from '../../model/obligation.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Rule } from '../language/rule.ts'
import { no, not, type Side, type Tri, told, unsure, yes } from '../language/tri.ts'
import { anyone } from '../language/who.ts'
import { type Callers, type CallerTest, callersTest, compileWho } from './callers.ts'
import { type Condition, compileWhen, type Look } from './conditions.ts'
import { type CompiledLogin, compileLogin } from './login.ts'
import { candidates, type RouteIndex, routeIndex } from './route-index.ts'

export interface CompiledRule {
  readonly name: string
  readonly conditions: readonly Condition[]
  /** Permission role of an allow. */
  readonly role: string | null
  /** First moment at which the rule no longer holds; null: for ever. */
  readonly until: number | null
  readonly login: CompiledLogin | null
  /** `always` of the tenant and `then` of the rule; the platform's come on top. */
  readonly obligations: Obligations
  /** Decided and logged, never enforced. */
  readonly shadow: boolean
}

export interface RuleSet {
  readonly rules: readonly CompiledRule[]
  readonly index: RouteIndex
  /** There is a shadow rule among them. */
  readonly shadowed: boolean
}

/** One policy file, ready to decide. */
export interface CompiledPolicy {
  readonly tenant: string
  /** SHA-256 of the file's bytes, hex. */
  readonly digest: string
  readonly denies: RuleSet
  readonly allows: RuleSet
  readonly document: PolicyDocument
}

export const compilePolicy = (tenant: string, digest: string, document: PolicyDocument): CompiledPolicy => {
  const who = compileWho(document.who, document.claims)
  const set = (effect: Rule['effect']): RuleSet => {
    const rules = document.rules.filter(rule => rule.effect === effect)
    return {
      rules: rules.map(rule => compileRule(rule, who, document.always)),
      index: routeIndex(
        rules.map(rule => rule.to),
        effect === 'deny',
      ),
      shadowed: rules.some(rule => rule.mode === 'shadow'),
    }
  }
  return { tenant, digest, denies: set('deny'), allows: set('allow'), document }
}

const compileRule = (rule: Rule, who: ReadonlyMap<string, Callers>, always: Obligations): CompiledRule => {
  const [side, opposite]: readonly [Side, Side] = rule.effect === 'allow' ? ['grant', 'refuse'] : ['refuse', 'grant']
  const conditions: Condition[] = [
    ...window(rule),
    { label: `who ${rule.who.join(' or ')}`, test: onIdentity(rule.who, callersTest(rule.who, who, side)) },
  ]
  if (rule.except.length > 0) {
    // An exception is a privilege: it is read on the other side, so it neither passes to agents nor survives an error.
    const excepted = onIdentity(rule.except, callersTest(rule.except, who, opposite))
    conditions.push({ label: `except ${rule.except.join(' or ')}`, test: look => not(excepted(look)) })
  }
  if (rule.when) conditions.push(...compileWhen(rule.when, side))
  return {
    name: rule.name,
    conditions,
    role: rule.role?.name ?? null,
    until: rule.until,
    login: rule.login && compileLogin(rule.login),
    obligations: merged(always, rule.own),
    shadow: rule.mode === 'shadow',
  }
}

const window = ({ from, until }: Rule): Condition[] => [
  ...(from === null ? [] : [{ label: 'from', test: (look: Look) => told(look.facts.now >= from) }]),
  ...(until === null ? [] : [{ label: 'until', test: (look: Look) => told(look.facts.now < until) }]),
]

/** Of a caller who has not been named only what holds for everybody is known. */
const onIdentity =
  (names: readonly string[], test: CallerTest): Condition['test'] =>
  look =>
    look.known ? test(look.facts.identity) : names.includes(anyone) ? yes : unsure

/** All conditions together: one that fails beats one that cannot be told. */
export const evaluate = (rule: CompiledRule, look: Look): Tri => {
  let out: Tri = yes
  for (const { test } of rule.conditions) {
    const held = test(look)
    if (held === no) return no
    if (held === unsure) out = unsure
  }
  return out
}

export interface Match {
  readonly rule: CompiledRule
  readonly inDoubt: boolean
}

/** The first deny that matches, in file order. One that cannot be evaluated matches. `shadow`: as if shadow rules were enforced. */
export const firstDeny = (set: RuleSet, look: Look, shadow: boolean): Match | null => {
  const { method, target } = look.facts.origin
  for (const number of candidates(set.index, method, target.path)) {
    const rule = set.rules[number]
    if (rule === undefined || (rule.shadow && !shadow)) continue
    const held = evaluate(rule, look)
    if (held !== no) return { rule, inDoubt: held === unsure }
  }
  return null
}

/** The first allow that matches, in file order. One that cannot be evaluated does not. `shadow`: as if shadow rules were enforced. */
export const firstAllow = (set: RuleSet, look: Look, shadow: boolean): CompiledRule | null => {
  const { method, target } = look.facts.origin
  for (const number of candidates(set.index, method, target.path)) {
    const rule = set.rules[number]
    if (rule === undefined || (rule.shadow && !shadow)) continue
    if (evaluate(rule, look) === yes) return rule
  }
  return null
}

/** A shadow rule is a candidate for this request. */
export const isShadowed = (set: RuleSet, look: Look): boolean => {
  if (!set.shadowed) return false
  const { method, target } = look.facts.origin
  return candidates(set.index, method, target.path).some(number => set.rules[number]?.shadow)
}
