import { finish, type Steps } from '../../config/steps.ts'
import type { Method } from '../../model/exchange.ts'
import { merged, type Obligations } from '../../model/obligation.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Rule } from '../language/rule.ts'
import { both, no, not, type Side, type Tri, told, unsure, yes } from '../language/tri.ts'
import { anyone } from '../language/who.ts'
import { type Callers, type CallerTest, callersTest, callerTests, compileWho } from './callers.ts'
import { type Condition, compileWhen, type Look, type SharedTests, type Test } from './conditions.ts'
import { type CompiledLogin, compileLogin } from './login.ts'
import { candidates, type Hit, type RouteIndex, ruleOf, whoOf } from './route-index.ts'
import { RouteTree } from './route-tree.ts'

export interface CompiledRule {
  readonly name: string
  /** All of them, with their words. */
  readonly conditions: readonly Condition[]
  /** All of them beside `who`; null: there is none. */
  readonly others: Test | null
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
  /** For `CallerBits`. */
  readonly callers: readonly CallerTest[]
  /** Every role that a rule names. */
  readonly roles: ReadonlySet<string>
  /** Roles that a rule in force hands out. */
  readonly handed: ReadonlySet<string>
  readonly document: PolicyDocument
}

/** Compiles one policy at once. */
export const compilePolicy = (tenant: string, digest: string, document: PolicyDocument): CompiledPolicy =>
  finish(compilingPolicy(tenant, digest, document))

export function* compilingPolicy(
  tenant: string,
  digest: string,
  document: PolicyDocument,
  tests: SharedTests = new Map(),
): Steps<CompiledPolicy> {
  const who = compileWho(document.who, document.claims)
  const tree = new RouteTree()
  const deny = yield* compiledRules('deny', document, { who, tree, tests })
  const allow = yield* compiledRules('allow', document, { who, tree, tests })
  const table = yield* tree.table()
  const handing = allow.flatMap(({ role, shadow }) => (role === null ? [] : { role, shadow }))
  return {
    tenant,
    digest,
    denies: { rules: deny, index: { effect: 'deny', table }, shadowed: deny.some(rule => rule.shadow) },
    allows: { rules: allow, index: { effect: 'allow', table }, shadowed: allow.some(rule => rule.shadow) },
    callers: callerTests(who),
    roles: new Set(handing.map(({ role }) => role)),
    handed: new Set(handing.flatMap(({ role, shadow }) => (shadow ? [] : role))),
    document,
  }
}

interface Compiling {
  readonly who: ReadonlyMap<string, Callers>
  readonly tree: RouteTree
  readonly tests: SharedTests
}

function* compiledRules(
  effect: Rule['effect'],
  { rules, always, claims }: PolicyDocument,
  { who, tree, tests }: Compiling,
): Steps<readonly CompiledRule[]> {
  const names = [...who.keys(), anyone]
  const first = effect === 'deny' ? 0 : names.length
  const places = new Map(names.map((name, place) => [name, first + place]))
  const compiled: CompiledRule[] = []
  for (const rule of rules) {
    if (rule.effect !== effect) continue
    tree.add({ effect, to: rule.to, who: rule.who.map(name => places.get(name) ?? -1) })
    compiled.push(compileRule(rule, who, { always, claims }, tests))
    yield
  }
  return compiled
}

const compileRule = (
  rule: Rule,
  who: ReadonlyMap<string, Callers>,
  { always, claims }: Pick<PolicyDocument, 'always' | 'claims'>,
  tests: SharedTests,
): CompiledRule => {
  const [side, opposite]: readonly [Side, Side] = rule.effect === 'allow' ? ['grant', 'refuse'] : ['refuse', 'grant']
  const callers = { label: `who ${rule.who.join(' or ')}`, test: onIdentity(callersTest(rule.who, who, side)) }
  const others: Condition[] = []
  if (rule.except.length > 0) {
    // An exception is a privilege: it is read on the other side, so it neither passes to agents nor survives an error.
    const excepted = callersTest(rule.except, who, opposite)
    others.push({ label: `except ${rule.except.join(' or ')}`, test: look => not(excepted(look.facts.identity)) })
  }
  if (rule.when) others.push(...compileWhen(rule.when, side, rule.to, claims, tests))
  const bounds = window(rule)
  return {
    others: allOf([...bounds, ...others].map(({ test }) => test)),
    shadow: rule.mode === 'shadow',
    login: rule.login && compileLogin(rule.login),
    role: rule.role?.name ?? null,
    until: rule.until,
    name: rule.name,
    obligations: merged(always, rule.own),
    conditions: [...bounds, callers, ...others],
  }
}

const allOf = (tests: readonly Test[]): Test | null => {
  const [first = null] = tests
  return tests.length < 2 ? first : look => together(tests, look)
}

/** One that fails beats one that cannot be told. */
const together = (tests: readonly Test[], look: Look): Tri => {
  let out: Tri = yes
  for (const test of tests) {
    const held = test(look)
    if (held === no) return no
    if (held === unsure) out = unsure
  }
  return out
}

const window = ({ from, until }: Rule): Condition[] => [
  ...(from === null ? [] : [{ label: 'from', test: (look: Look) => told(look.facts.now >= from) }]),
  ...(until === null ? [] : [{ label: 'until', test: (look: Look) => told(look.facts.now < until) }]),
]

const onIdentity =
  (test: CallerTest): Condition['test'] =>
  look =>
    test(look.facts.identity)

/** All conditions of a rule. */
export const evaluate = ({ conditions }: CompiledRule, look: Look): Tri =>
  together(
    conditions.map(({ test }) => test),
    look,
  )

/** What `evaluate` says of a rule that is a candidate; whom it names is known, so most rules are not even touched. */
const judged = (rule: CompiledRule | undefined, found: Hit, look: Look): Tri => {
  const others = rule?.others ?? null
  return others === null ? whoOf(found) : both(whoOf(found), others(look))
}

export interface Match {
  readonly rule: CompiledRule
  readonly inDoubt: boolean
}

/** The rules of one effect that cover the method and path of a request. */
export interface RouteMatch {
  readonly rules: readonly CompiledRule[]
  /** Where those of this effect begin. */
  readonly first: number
  /** In file order. */
  readonly hits: readonly Hit[]
}

/** The first deny that matches, in file order. One that cannot be evaluated matches. `shadow`: as if shadow rules were enforced. */
export const firstDeny = ({ rules, first, hits }: RouteMatch, look: Look, shadow: boolean): Match | null => {
  for (const found of hits) {
    const rule = rules[first + ruleOf(found)]
    const held = judged(rule, found, look)
    if (held === no) continue
    if (rule !== undefined && (shadow || !rule.shadow)) return { rule, inDoubt: held === unsure }
  }
  return null
}

/** The first allow that matches, in file order. One that cannot be evaluated does not. `shadow`: as if shadow rules were enforced. */
export const firstAllow = ({ rules, first, hits }: RouteMatch, look: Look, shadow: boolean): CompiledRule | null => {
  for (const found of hits) {
    const rule = rules[first + ruleOf(found)]
    if (judged(rule, found, look) !== yes) continue
    if (rule !== undefined && (shadow || !rule.shadow)) return rule
  }
  return null
}

/** A shadow rule is a candidate for this request. */
export const isShadowed = (set: RuleSet, method: Method, path: string): boolean =>
  set.shadowed && candidates(set.index, method, path).some(number => set.rules[number]?.shadow)
