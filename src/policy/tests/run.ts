import { finish, type Steps } from '../../config/steps.ts'
import type { Decision, Effect, Facts, PolicyEngine, ZoneClocks } from '../../model/decision.ts'
import type { Finding } from '../../model/finding.ts'
import { type CompiledPolicy, evaluate } from '../engine/compile.ts'
import { type Condition, Look } from '../engine/conditions.ts'
import { candidates } from '../engine/route-index.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { Rule } from '../language/rule.ts'
import { unsure, yes } from '../language/tri.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import { buildCaller, resolveCaller } from './caller.ts'
import type { Expectation } from './case.ts'
import type { TestFile } from './file.ts'
import { type Outcome, width } from './grid.ts'

/** What tests decide with: one tenant alone under the platform file, so that no other tenant's change can break them. */
export interface Bench {
  readonly engine: PolicyEngine
  readonly policy: CompiledPolicy
  readonly recognise: Recognise
  /** The policy file. */
  readonly file: string
}

export interface TestRun {
  readonly expectations: number
  readonly failed: number
  /** Rules of the tenant that decided an expectation. */
  readonly covered: number
  readonly findings: readonly Finding[]
}

export interface RunOptions {
  /** Only these; all if not given. */
  readonly selected?: (expectation: Expectation) => boolean
  /** Whether rules that decided nothing are a fault: not where a part of the tests was left out or cannot be read. */
  readonly coverage: boolean
}

/** Failures that are told one by one; more are only counted. */
const maxFindings = 1000

/** Runs the tests of one tenant. Coverage is judged over all its test files together. */
export const runTests = (bench: Bench, tests: readonly TestFile[], options: RunOptions): TestRun =>
  finish(runningTests(bench, tests, options))

export function* runningTests(bench: Bench, tests: readonly TestFile[], { selected = () => true, coverage }: RunOptions): Steps<TestRun> {
  const findings: Finding[] = []
  const decided = new Set<string>()
  const zones = zoneClocks()
  let expectations = 0
  let failed = 0
  for (const test of tests)
    for (const expectation of test.expectations) {
      if (!selected(expectation)) continue
      expectations++
      const facts = factsOf(bench, test, expectation, zones)
      const decision = bench.engine.decide(facts)
      for (const rule of rulesOf(decision, bench.policy)) decided.add(rule)
      if (differs(expectation, decision) && ++failed <= maxFindings)
        findings.push(finding(test.file, expectation.spot, 703, message(bench, expectation, decision, facts)))
      yield
    }
  if (coverage && tests.length > 0) findings.push(...uncovered(bench, tests, decided))
  return { expectations, failed, covered: decided.size, findings }
}

const finding = (file: string, spot: Expectation['spot'], number: number, text: string): Finding => ({
  file,
  ...spot,
  severity: 'error',
  code: `P${number}`,
  message: text,
})

const factsOf = (bench: Bench, test: TestFile, { caller, request, overrides, at }: Expectation, zones: ZoneClocks): Facts => {
  const keys = new Map([...resolveCaller(caller, test.callers), ...overrides])
  const { identity, host, clientIp } = buildCaller(caller, keys, {
    recognise: bench.recognise,
    claims: bench.policy.document.claims,
    now: at,
  })
  const { method, target, headers } = test.requests.get(request) ?? { method: 'GET', target: { path: '/', query: null }, headers: [] }
  const proved = {
    scheme: 'https',
    proof: 'shared-secret',
    gatewayRequestId: null,
    route: null,
    authorization: null,
    userAgent: '',
  } as const
  return { origin: { id: 'test', method, target, headers, host, clientIp, ...proved }, identity, now: at, zones }
}

/** The tenant's own rules that decided, in force or in the shadow: a platform rule of the same name is another rule. */
const rulesOf = (decision: Decision, policy: CompiledPolicy): readonly string[] => {
  const inForce = { rule: reasonOf(decision), policyDigest: decision.effect === 'allow' ? policy.digest : decision.policyDigest }
  const own = [inForce, decision.shadow].flatMap(one => (one?.policyDigest === policy.digest ? one.rule : []))
  return own.filter(rule => rule !== 'default')
}

const effectOf = (decision: Decision): Effect => (decision.effect === 'deny' && decision.code === 'PST2106' ? 'step-up' : decision.effect)
const reasonOf = (decision: Decision): string => (decision.effect === 'allow' ? decision.permit.rule : decision.reason)
const roleOf = (decision: Decision): string | null => (decision.effect === 'allow' ? decision.permit.cassandraRole : null)

const outcomeOf = (decision: Decision): Outcome => {
  const effect = effectOf(decision)
  const gain = decision.shadow === null ? 0 : width(decision.shadow.effect) - width(effect)
  return { effect, shadow: gain > 0 ? '+' : gain < 0 ? '-' : '' }
}
const spelled = ({ effect, shadow }: Outcome): string => `${effect}${shadow}`

const hiddenBy = (decision: Decision): readonly string[] =>
  decision.effect === 'allow' ? decision.permit.obligations.hide.map(path => path.text).sort() : []

const differs = ({ by, role, hide, ...wanted }: Expectation, decision: Decision): boolean =>
  spelled(wanted) !== spelled(outcomeOf(decision)) ||
  (by !== null && by !== reasonOf(decision)) ||
  (role !== null && role !== roleOf(decision)) ||
  (hide !== null && hide.toSorted().join('\n') !== hiddenBy(decision).join('\n'))

const message = (bench: Bench, expectation: Expectation, decision: Decision, facts: Facts): string => {
  const { caller, request, effect, by, role, hide } = expectation
  const wanted = `${spelled(expectation)}${by === null ? '' : ` by ${by}`}${role === null ? '' : ` with role ${role}`}${hide === null ? '' : ` hiding ${spelledPaths(hide)}`}`
  const gotRole =
    role !== null && decision.effect === 'allow' ? ` with ${roleOf(decision) === null ? 'no role' : `role ${roleOf(decision)}`}` : ''
  const gotHide = hide !== null && decision.effect === 'allow' ? ` hiding ${spelledPaths(hiddenBy(decision))}` : ''
  const doubt = decision.effect === 'deny' && decision.inDoubt ? ' in doubt (a condition cannot be told)' : ''
  const { shadow } = decision
  const would =
    shadow !== null && outcomeOf(decision).shadow !== expectation.shadow ? `, and in the shadow ${shadow.effect} by ${shadow.rule}` : ''
  const login = effectOf(decision) === 'step-up' ? ` ${unmetLogin(bench, decision, facts)}` : ''
  const nearest = effect === 'allow' && decision.effect === 'deny' && decision.code === 'PST2102' ? ` ${nearestAllow(bench, facts)}` : ''
  return `${caller} ${request}: wanted ${wanted}, got ${spelled(outcomeOf(decision))} by ${reasonOf(decision)}${gotRole}${gotHide}${doubt}${would}.${login}${nearest}`
}

const spelledPaths = (paths: readonly string[]): string => (paths.length === 0 ? 'nothing' : paths.toSorted().join(', '))

/** What the sign-in lacks for the allow that decided. */
const unmetLogin = ({ policy }: Bench, decision: Decision, facts: Facts): string => {
  const look = new Look(facts)
  const login = policy.allows.rules.find(rule => rule.name === reasonOf(decision))?.login
  return `Unmet: ${(login?.conditions ?? []).flatMap(({ label, test }) => (test(look) === yes ? [] : label)).join(', ')}.`
}

/** The allow on this route that the fewest conditions keep from matching, and these conditions. */
const nearestAllow = ({ policy, file }: Bench, facts: Facts): string => {
  const { method, target } = facts.origin
  const look = new Look(facts)
  let best: { readonly name: string; readonly unmet: readonly Condition[] } | null = null
  for (const number of candidates(policy.allows.index, method, target.path)) {
    const rule = policy.allows.rules[number]
    if (rule === undefined || rule.shadow || evaluate(rule, look) === yes) continue
    const unmet = rule.conditions.filter(condition => condition.test(look) !== yes)
    if (best === null || unmet.length < best.unmet.length) best = { name: rule.name, unmet }
  }
  if (best === null) return `No allow covers ${method} ${target.path}.`
  const { name, unmet } = best
  const line = policy.document.rules.find(rule => rule.name === name)?.spot.line ?? 0
  const why = unmet.map(({ label, test }) => `${label} ${test(look) === unsure ? 'cannot be told' : 'does not hold'}`).join(', ')
  const agent = facts.identity.agents.length > 0 ? ' The token carries act, so only a who that names an agent can match.' : ''
  return `Nearest allow: ${name} (${file}:${line}): ${why}.${agent}`
}

const uncovered = (bench: Bench, tests: readonly TestFile[], decided: ReadonlySet<string>): Finding[] => {
  const { rules } = bench.policy.document
  const stated = tests.flatMap(test => test.coverage ?? [])
  const wanted = stated.length === 0 ? 100 : Math.max(...stated)
  const missing = rules.filter(rule => !decided.has(rule.name))
  const reached = rules.length === 0 ? 100 : ((rules.length - missing.length) / rules.length) * 100
  if (reached >= wanted) return []
  return missing.map(rule =>
    finding(bench.file, rule.spot, 704, `no expectation is decided by ${rule.name}; add a case with ${caseFor(rule)}.`),
  )
}

/** A shadow rule never decides what is enforced: only the sign behind the outcome shows it. */
const caseFor = ({ effect, mode, name }: Rule): string =>
  mode === 'enforce' ? `"expect: ${effect} by ${name}"` : `"expect: ${effect === 'allow' ? 'deny+' : 'allow-'}", for it is a shadow rule`
