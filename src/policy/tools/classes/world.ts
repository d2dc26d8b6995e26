import type { Decision, Effect, Facts, PolicyEngine } from '../../../model/decision.ts'
import type { Method } from '../../../model/exchange.ts'
import { noObligations, type Obligations } from '../../../model/obligation.ts'
import { policyEngine } from '../../decide.ts'
import { type CompiledPolicy, compilePolicy, type RuleSet } from '../../engine/compile.ts'
import type { Look } from '../../engine/conditions.ts'
import { candidates } from '../../engine/route-index.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Recognise } from '../../language/recognise-shape.ts'
import type { Rule } from '../../language/rule.ts'
import { both, type Tri, unsure } from '../../language/tri.ts'
import { type Subject, subjectsOf } from './subject.ts'

/** One tenant under one platform file. `policy` null: there is no such tenant, so nothing is allowed. */
export interface WorldSource {
  readonly platform: CompiledPolicy
  readonly policy: CompiledPolicy | null
  readonly recognise: Recognise
}

/** What was decided, and by which rule or reason. */
export interface Outcome {
  readonly effect: Effect
  readonly by: string
  readonly role: string | null
  readonly obligations: Obligations
}

/** What is assumed of the checks of rules. */
export type Assumed = ReadonlyMap<Subject, Tri>

/** One version of a tenant's policy as requests meet it: the proxy's engine, with every `check` an assumption, and without shadow rules. */
export interface World {
  /** In the order in which they are asked. */
  readonly subjects: readonly Subject[]
  readonly recognise: Recognise
  candidates(method: Method, path: string): readonly Subject[]
  decide(facts: Facts, assumed: Assumed): Outcome
}

/** Names of its shadow rules, and the platform's: no name stands in both files. */
export const trialsOf = ({ platform, policy }: WorldSource): ReadonlySet<string> =>
  new Set([platform, policy].flatMap(one => one?.document.rules.filter(isTrial).map(({ name }) => name) ?? []))

/** The same with its shadow rules enforced. */
export const withTrials = ({ platform, policy, recognise }: WorldSource): WorldSource => ({
  platform: enforcing(platform),
  policy: policy && enforcing(policy),
  recognise,
})

const isTrial = ({ mode }: Rule): boolean => mode === 'shadow'

const enforcing = (policy: CompiledPolicy): CompiledPolicy => {
  const { tenant, digest, document } = policy
  if (!document.rules.some(isTrial)) return policy
  return compilePolicy(tenant, digest, { ...document, rules: document.rules.map(rule => ({ ...rule, mode: 'enforce' })) })
}

/** A policy that says nothing. */
export const nobody: PolicyDocument = {
  ...{ owners: [], observeUntil: null, claims: new Map(), who: new Map(), rules: [], always: noObligations, sharedRoles: [] },
}

export const worldOf = ({ platform, policy, recognise }: WorldSource): World => {
  const subjects = subjectsOf(policy?.document ?? null, platform.document)
  const oracle: { assumed: Assumed } = { assumed: new Map() }
  const assume = (compiled: CompiledPolicy, above: boolean): CompiledPolicy => ({
    ...compiled,
    denies: assuming(compiled.denies, ofEffect(subjects, 'deny', above), oracle),
    allows: assuming(compiled.allows, ofEffect(subjects, 'allow', above), oracle),
  })
  const tenant = policy?.tenant ?? 'nobody'
  const top = assume(compilePolicy(platform.tenant, platform.digest, withoutChecks(platform.document)), true)
  const own = assume(compilePolicy(tenant, policy?.digest ?? '', withoutChecks(policy?.document ?? nobody)), false)
  const engine = engineOf(top, own, recognise)
  const sets = [
    [top.denies, ofEffect(subjects, 'deny', true)],
    [own.denies, ofEffect(subjects, 'deny', false)],
    [own.allows, ofEffect(subjects, 'allow', false)],
  ] as const
  return {
    subjects,
    recognise,
    candidates: (method, path) =>
      sets.flatMap(([set, ofSet]) => candidates(set.index, method, path).flatMap(number => ofSet[number] ?? [])),
    decide(facts, assumed) {
      oracle.assumed = assumed
      return outcomeOf(engine.decide(facts))
    },
  }
}

/** The proxy's engine with this one tenant; tests and proofs say what is enforced, so observe mode is left aside. */
export const engineOf = (platform: CompiledPolicy, policy: CompiledPolicy | null, recognise: Recognise): PolicyEngine => {
  if (policy === null) return policyEngine(platform, [])
  const { tenant, digest } = policy
  return policyEngine(platform, [{ policy, recognise, state: { tenant, state: 'enforced', digestEnforced: digest, digestOnDisk: digest } }])
}

const ofEffect = (subjects: readonly Subject[], effect: Subject['rule']['effect'], above: boolean): readonly Subject[] =>
  subjects.filter(subject => subject.rule.effect === effect && subject.above === above)

/** Enforced rules only, each without its check. */
const withoutChecks = (document: PolicyDocument): PolicyDocument => ({
  ...document,
  rules: document.rules
    .filter(rule => rule.mode === 'enforce')
    .map(rule => (rule.when?.check ? { ...rule, when: { ...rule.when, check: null } } : rule)),
})

/** Puts the assumption in the place of each check. */
const assuming = (set: RuleSet, subjects: readonly Subject[], oracle: { readonly assumed: Assumed }): RuleSet => ({
  ...set,
  rules: set.rules.map((rule, number) => {
    const subject = subjects[number]
    if (!subject?.check) return rule
    const test = (): Tri => oracle.assumed.get(subject) ?? unsure
    const { others } = rule
    const all = others === null ? test : (look: Look): Tri => both(others(look), test())
    return { ...rule, conditions: [...rule.conditions, { label: 'when.check', test }], others: all }
  }),
})

/** Also of the engine that is in force, for requests that somebody wrote down. */
export const outcomeOf = (decision: Decision): Outcome => {
  if (decision.effect === 'allow') {
    const { rule, cassandraRole, obligations } = decision.permit
    return { effect: 'allow', by: rule, role: cassandraRole, obligations }
  }
  return { effect: decision.code === 'PST2106' ? 'step-up' : 'deny', by: decision.reason, role: null, obligations: noObligations }
}
