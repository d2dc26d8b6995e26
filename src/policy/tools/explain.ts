import type { Decision, Effect, Facts, ShadowDecision } from '../../model/decision.ts'
import type { CompiledPolicy } from '../engine/compile.ts'
import { Look } from '../engine/conditions.ts'
import type { Rule } from '../language/rule.ts'
import type { PolicyFile, Version } from '../load/version.ts'
import { effectOf, reasonOf } from '../tests/run.ts'
import { benchOf } from '../tests/tested.ts'
import { type Change, type FiledBench, settingOf, smallestChange } from './change.ts'
import { type Candidate, candidatesOf } from './judged.ts'
import { callerText, type Held, heldText, type Matcher, matcherOf, type Setting } from './matchers.ts'
import { type Place, placesOf } from './places.ts'
import { recognitionOf } from './recognition.ts'
import { coveringLines, lineText } from './route.ts'
import { momentText } from './words.ts'

/** One line of `recognise`. */
export interface RecognitionReport {
  readonly key: string
  readonly agrees: boolean
  readonly seen: string
  readonly wanted: string
  readonly place: Place
}

/** A rule whose method and path fit the request. */
export interface RuleReport {
  readonly of: 'platform' | 'tenant'
  readonly effect: Rule['effect']
  readonly name: string
  readonly why: string
  readonly mode: Rule['mode']
  readonly place: Place
  /** The `to` lines that fit, and what their variables are. */
  readonly to: readonly { readonly line: string; readonly place: Place; readonly variables: Readonly<Record<string, string>> }[]
  readonly held: Held
  readonly matchers: readonly Matcher[]
  readonly login: readonly Matcher[]
  readonly decided: boolean
}

export interface DecisionReport {
  readonly effect: Effect
  /** A rule, or `default`, `tenant-mismatch`. */
  readonly by: string
  /** PSTnnnn of a refusal. */
  readonly code: string | null
  /** A deny matched only because a condition could not be told. */
  readonly inDoubt: boolean
  readonly role: string | null
  readonly until: string | null
  readonly hide: readonly string[]
  readonly limits: readonly string[]
  /** Of a step-up: what the client is told to sign in with. */
  readonly challenge: { readonly acrValues: readonly string[]; readonly maxAge: number | null } | null
}

/** Everything about one decision. */
export interface Explanation {
  readonly tenant: string
  readonly policy: { readonly file: string; readonly digest: string }
  readonly platform: { readonly file: string; readonly digest: string }
  readonly request: string
  readonly caller: string
  readonly at: string
  readonly decision: DecisionReport
  /** Observe mode lets pass, until this moment, what is refused here; null: it does not. */
  readonly observedUntil: string | null
  /** What it would be with shadow rules enforced; null where none is a candidate. */
  readonly shadow: Pick<ShadowDecision, 'effect' | 'rule'> | null
  readonly recognition: readonly RecognitionReport[]
  /** In the order in which they are asked; none where the tenant is not recognised. */
  readonly rules: readonly RuleReport[]
  /** Of a refusal; null where nothing about the request would have had it allowed. */
  readonly change: Change | null
}

/** What a version is explained with; null where it, or the platform file, is refused. `files` are those it was read from. */
export const filedBench = (version: Version, platform: Version | null, files: readonly PolicyFile[]): FiledBench | null => {
  const bench = benchOf(version, platform)
  return bench && { ...bench, places: placesOf(files) }
}

/** Explains how one tenant's policy under the platform's decides these facts. Pure; decides with the engine itself. */
export const explainFacts = (bench: FiledBench, facts: Facts): Explanation => {
  const { policy, platform, file, platformFile, places, recognise } = bench
  const look = new Look(facts)
  const decision = bench.engine.decide(facts)
  const lines = recognitionOf(recognise, facts)
  const recognised = lines.every(line => line.agrees)
  const { method, target } = facts.origin
  return {
    tenant: policy.tenant,
    policy: { file, digest: policy.digest },
    platform: { file: platformFile, digest: platform.digest },
    request: `${method} ${target.path}${target.query === null ? '' : `?${target.query}`}`,
    caller: callerText(look),
    at: momentText(facts.now),
    decision: decisionReport(decision),
    observedUntil: observedUntil(policy, decision, facts.now),
    shadow: decision.shadow && { effect: decision.shadow.effect, rule: decision.shadow.rule },
    recognition: lines.map(({ path, agrees, seen, wanted }) => ({
      key: path.join('.'),
      agrees,
      seen,
      wanted,
      place: places.key(file, path),
    })),
    rules: recognised ? rulesOf(bench, decision, look) : [],
    change: decision.effect === 'allow' ? null : smallestChange(bench, facts),
  }
}

/** The platform's refusals are nobody's to observe, and of another tenant's requests nothing is. */
const observedUntil = ({ digest, document: { observeUntil: until } }: CompiledPolicy, decision: Decision, now: number): string | null =>
  until !== null && now < until && decision.effect === 'deny' && decision.policyDigest === digest ? momentText(until) : null

const rulesOf = (bench: FiledBench, decision: Decision, look: Look): readonly RuleReport[] => {
  const [above, own] = [settingOf(bench, 'platform', look), settingOf(bench, 'tenant', look)]
  const digest = decision.effect === 'allow' ? bench.policy.digest : decision.policyDigest
  const report = (of: RuleReport['of'], setting: Setting) => (one: Candidate) =>
    ruleReport(of, one, setting, digest === bench[of === 'platform' ? 'platform' : 'policy'].digest && reasonOf(decision) === one.rule.name)
  return [
    ...candidatesOf(bench.platform, 'deny', look).map(report('platform', above)),
    ...candidatesOf(bench.policy, 'deny', look).map(report('tenant', own)),
    ...candidatesOf(bench.policy, 'allow', look).map(report('tenant', own)),
  ]
}

const ruleReport = (of: RuleReport['of'], one: Candidate, setting: Setting, decided: boolean): RuleReport => {
  const { written } = one
  const { file, places, look } = setting
  return {
    of,
    effect: written.effect,
    name: written.name,
    why: written.why,
    mode: written.mode,
    place: { file, ...written.spot },
    to: coveringLines(written, look.facts.origin).map(({ number, line, variables }) => ({
      line: lineText(line),
      place: places.rule(file, written.name, ['to', number]),
      variables: Object.fromEntries(variables),
    })),
    held: heldText(one.held),
    matchers: one.conditions.map(judged => matcherOf(written, judged, setting)),
    login: one.login.map(judged => matcherOf(written, judged, setting)),
    decided,
  }
}

const decisionReport = (decision: Decision): DecisionReport => {
  const common = { effect: effectOf(decision), by: reasonOf(decision) }
  if (decision.effect === 'deny') {
    const { code, inDoubt, challenge } = decision
    return { ...common, code, inDoubt, role: null, until: null, hide: [], limits: [], challenge }
  }
  const { cassandraRole, until, obligations } = decision.permit
  return {
    ...common,
    code: null,
    inDoubt: false,
    role: cassandraRole,
    until: until === null ? null : momentText(until),
    hide: obligations.hide.map(path => path.text),
    limits: obligations.limits.map(
      limit => `${limit.text}, counted ${limit.over === 'rule' ? 'for this rule' : `over all rules of the ${limit.over}`}`,
    ),
    challenge: null,
  }
}
