import { finish, type Steps } from '../../config/steps.ts'
import type { Decision, Effect, Facts, PolicyEngine, ZoneClocks } from '../../model/decision.ts'
import type { Finding } from '../../model/finding.ts'
import type { CompiledPolicy } from '../engine/compile.ts'
import { Look } from '../engine/conditions.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { Rule } from '../language/rule.ts'
import { unsure, yes } from '../language/tri.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import { nearestAllow, unmetOf } from '../tools/judged.ts'
import { buildCaller, resolveCaller, type TestRequest } from './caller.ts'
import type { Expectation } from './case.ts'
import type { TestFile } from './file.ts'
import { type Outcome, width } from './grid.ts'

/** What tests decide with: one tenant alone under the platform file, so that no other tenant's change can break them. */
export interface Bench {
  readonly engine: PolicyEngine
  readonly policy: CompiledPolicy
  readonly platform: CompiledPolicy
  readonly recognise: Recognise
  /** The policy file, and the platform's. */
  readonly file: string
  readonly platformFile: string
}

/** One expectation that was asked. */
export interface AskedCase {
  /** The test file. */
  readonly file: string
  readonly expectation: Expectation
  /** Null: it is met. */
  readonly finding: Finding | null
}

export interface TestRun {
  readonly expectations: number
  readonly failed: number
  /** Rules of the tenant that decided an expectation. */
  readonly covered: ReadonlySet<string>
  readonly cases: readonly AskedCase[]
  readonly findings: readonly Finding[]
}

export interface RunOptions {
  /** Only these; all if not given. */
  readonly selected?: (expectation: Expectation) => boolean
  /** Whether rules that decided nothing are a fault: not where a part of the tests was left out or cannot be read. */
  readonly coverage: boolean
}

/** Failures that are explained; what keeps the nearest allow from matching costs more than the decision. */
const maxFindings = 1000

/** Runs the tests of one tenant. Coverage is judged over all its test files together. */
export const runTests = (bench: Bench, tests: readonly TestFile[], options: RunOptions): TestRun =>
  finish(runningTests(bench, tests, options))

export function* runningTests(bench: Bench, tests: readonly TestFile[], { selected = () => true, coverage }: RunOptions): Steps<TestRun> {
  const cases: AskedCase[] = []
  const covered = new Set<string>()
  let failed = 0
  const zones = zoneClocks()
  for (const test of tests)
    for (const expectation of test.expectations) {
      if (!selected(expectation)) continue
      const facts = factsOf(bench, test, expectation, zones)
      const decision = bench.engine.decide(facts)
      for (const rule of rulesOf(decision, bench.policy)) covered.add(rule)
      const wrong = differs(expectation, decision)
      const { file } = test
      if (wrong) failed++
      const told = failed <= maxFindings ? message : brief
      cases.push({
        file,
        expectation,
        finding: wrong ? finding(file, expectation.spot, 703, told(bench, expectation, decision, facts)) : null,
      })
      yield
    }
  const failures = cases.flatMap(one => one.finding ?? [])
  const findings = coverage && tests.length > 0 ? [...failures, ...uncovered(bench, tests, covered)] : failures
  return { expectations: cases.length, failed, covered, cases, findings }
}

const finding = (file: string, spot: Expectation['spot'], number: number, text: string): Finding => ({
  file,
  ...spot,
  severity: 'error',
  code: `P${number}`,
  message: text,
})

/** What a test asks. */
export type Question = Pick<Expectation, 'caller' | 'request' | 'overrides' | 'at'>

/** The facts of a question; a request that the file does not define is one for `/`. */
export const factsOf = (bench: Bench, test: Pick<TestFile, 'callers' | 'requests'>, question: Question, zones: ZoneClocks): Facts => {
  const { caller, request, overrides, at } = question
  const keys = new Map([...resolveCaller(caller, test.callers), ...overrides])
  const { identity, host, clientIp } = buildCaller(caller, keys, {
    recognise: bench.recognise,
    claims: bench.policy.document.claims,
    now: at,
  })
  const asked = test.requests.get(request) ?? { method: 'GET', target: { path: '/', query: null }, headers: [] }
  return requestFacts({ ...asked, host, clientIp }, identity, at, zones)
}

/** A request that never was: what no rule can read is made up. */
export const requestFacts = (
  asked: TestRequest & Pick<Facts['origin'], 'host' | 'clientIp'>,
  identity: Facts['identity'],
  now: number,
  zones: ZoneClocks,
): Facts => {
  const { method, target, headers, host, clientIp } = asked
  const proved = {
    scheme: 'https',
    proof: ['shared-secret'],
    gatewayRequestId: null,
    route: null,
    publicUrl: null,
    authorization: null,
    dpop: null,
    clientCertificate: null,
    userAgent: '',
  } as const
  return { origin: { id: 'test', method, target, headers, host, clientIp, ...proved }, identity, now, zones }
}

/** The tenant's own rules that decided, in force or in the shadow: a platform rule of the same name is another rule. */
const rulesOf = (decision: Decision, policy: CompiledPolicy): readonly string[] => {
  const inForce = { rule: reasonOf(decision), policyDigest: decision.effect === 'allow' ? policy.digest : decision.policyDigest }
  const own = [inForce, decision.shadow].flatMap(one => (one?.policyDigest === policy.digest ? one.rule : []))
  return own.filter(rule => rule !== 'default')
}

export const effectOf = (decision: Decision): Effect =>
  decision.effect === 'deny' && decision.code === 'PST2106' ? 'step-up' : decision.effect
export const reasonOf = (decision: Decision): string => (decision.effect === 'allow' ? decision.permit.rule : decision.reason)
export const roleOf = (decision: Decision): string | null => (decision.effect === 'allow' ? decision.permit.cassandraRole : null)

export const outcomeOf = (decision: Decision): Outcome => {
  const effect = effectOf(decision)
  const gain = decision.shadow === null ? 0 : width(decision.shadow.effect) - width(effect)
  return { effect, shadow: gain > 0 ? '+' : gain < 0 ? '-' : '' }
}
export const spelled = ({ effect, shadow }: Outcome): string => `${effect}${shadow}`

export const hiddenBy = (decision: Decision): readonly string[] =>
  decision.effect === 'allow' ? decision.permit.obligations.hide.map(path => path.text).sort() : []

/** The decision is not what was expected. */
export const differs = ({ by, role, hide, ...wanted }: Expectation, decision: Decision): boolean =>
  spelled(wanted) !== spelled(outcomeOf(decision)) ||
  (by !== null && by !== reasonOf(decision)) ||
  (role !== null && role !== roleOf(decision)) ||
  (hide !== null && hide.toSorted().join('\n') !== hiddenBy(decision).join('\n'))

const brief = (_: Bench, { caller, request }: Expectation): string =>
  `${caller} ${request}: not as expected, like ${maxFindings} before it.`

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
  const nearest = effect === 'allow' && decision.effect === 'deny' && decision.code === 'PST2102' ? ` ${nearestText(bench, facts)}` : ''
  return `${caller} ${request}: wanted ${wanted}, got ${spelled(outcomeOf(decision))} by ${reasonOf(decision)}${gotRole}${gotHide}${doubt}${would}.${login}${nearest}`
}

const spelledPaths = (paths: readonly string[]): string => (paths.length === 0 ? 'nothing' : paths.toSorted().join(', '))

/** What the sign-in lacks for the allow that decided. */
const unmetLogin = ({ policy }: Bench, decision: Decision, facts: Facts): string => {
  const look = new Look(facts)
  const login = policy.allows.rules.find(rule => rule.name === reasonOf(decision))?.login
  return `Unmet: ${(login?.conditions ?? []).flatMap(({ label, test }) => (test(look) === yes ? [] : label)).join(', ')}.`
}

const nearestText = ({ policy, file }: Bench, facts: Facts): string => {
  const { method, target } = facts.origin
  const nearest = nearestAllow(policy, new Look(facts))
  if (nearest === null) return `No allow covers ${method} ${target.path}.`
  const { name, spot } = nearest.written
  const why = unmetOf(nearest.conditions).map(
    ({ condition: { label }, held }) => `${label} ${held === unsure ? 'cannot be told' : 'does not hold'}`,
  )
  const agent = facts.identity.agents.length > 0 ? ' The token carries act, so only a who that names an agent can match.' : ''
  return `Nearest allow: ${name} (${file}:${spot.line}): ${why.join(', ')}.${agent}`
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
