import { createHash } from 'node:crypto'
import type { Decision, Denial, Facts, PolicyEngine, ShadowDecision, TenantState } from '../model/decision.ts'
import type { Basis } from '../model/fact.ts'
import { merged } from '../model/obligation.ts'
import { Permit } from '../model/permit.ts'
import { type CompiledPolicy, type CompiledRule, firstAllow, firstDeny, isShadowed } from './engine/compile.ts'
import { Look } from './engine/conditions.ts'
import { isMet } from './engine/login.ts'
import { compileReads, readSet, recogniseDigest } from './engine/reads.ts'
import { type Claimant, hostOwners, tenantIndex } from './engine/recognise.ts'
import type { Recognise } from './language/recognise-shape.ts'

/** One tenant of a composition. `policy` null: no good version. `recognise` null: not even what it claims is known. */
export interface Enforced {
  readonly policy: CompiledPolicy | null
  readonly recognise: Recognise | null
  readonly state: TenantState
}

type Deny = Pick<Denial, 'code' | 'reason' | 'tenant' | 'policyDigest' | 'basis'>

const denial = (deny: Deny, inDoubt = false): Denial => ({ effect: 'deny', ...deny, inDoubt, challenge: null, shadow: null })

/** A tenant's policy, and what every decision by it stands on. */
interface Serving {
  readonly policy: CompiledPolicy
  readonly basis: Basis
}

/** Puts compiled policies together. `tenants` are in order of name. */
export const policyEngine = (platform: CompiledPolicy, tenants: readonly Enforced[]): PolicyEngine => {
  const claimants = tenants.flatMap(({ policy, recognise, state: { tenant } }) => (recognise ? [{ recognise, tenant, policy }] : []))
  const serving = tenantIndex(
    claimants.flatMap(({ recognise, policy }): Claimant<Serving>[] =>
      policy ? [{ recognise, value: { policy, basis: basisOf(platform, policy, recognise) } }] : [],
    ),
  )
  // Looked at only when no tenant in force is meant: a broken file must not take requests from a sound one.
  const waiting = tenantIndex(claimants.flatMap(({ recognise, tenant, policy }) => (policy ? [] : [{ recognise, value: tenant }])))
  // A broken file without host lines would make every host everybody's.
  const hosts = claimants.filter(({ recognise, policy }) => policy !== null || recognise.host !== null)
  const ownerOf = hostOwners(hosts.map(({ recognise, tenant }) => ({ recognise, value: tenant })))
  const basis = strangersBasis(platform, claimants)
  return {
    decide(facts) {
      const { origin, identity } = facts
      const found = serving(identity, origin.host)
      if (typeof found === 'object') return decideFor(found.one, platform, facts)
      const broken = found === 'none' ? waiting(identity, origin.host) : found
      if (typeof broken === 'object')
        return denial({ code: 'PST2104', reason: 'policy-unavailable', tenant: broken.one, policyDigest: null, basis })
      return denial({ code: 'PST2103', reason: 'tenant-mismatch', tenant: ownerOf(origin.host), policyDigest: null, basis })
    },
    tenantOfHost: ownerOf,
    roles: [
      ...new Set(tenants.flatMap(({ policy }) => policy?.allows.rules.flatMap(rule => (rule.shadow ? [] : (rule.role ?? []))) ?? [])),
    ].sort(),
    digest: digestOf(platform, tenants),
    tenants: tenants.map(tenant => tenant.state),
  }
}

/** Claims by which tenants are told apart, kept of a caller of none: a bound, as no file bounds them all together. */
const mostRecognised = 16

const basisOf = (platform: CompiledPolicy, policy: CompiledPolicy, recognise: Recognise): Basis => ({
  platformDigest: platform.digest,
  recognised: recogniseDigest(recognise),
  reads: compileReads(readSet([platform.document, policy.document], recognise.claims.keys())),
})

/** Of requests that no policy judged. */
const strangersBasis = (platform: CompiledPolicy, claimants: readonly { readonly recognise: Recognise }[]): Basis => {
  const names = [...new Set(claimants.flatMap(({ recognise }) => [...recognise.claims.keys()]))].sort()
  return { platformDigest: platform.digest, recognised: null, reads: compileReads(readSet([], names.slice(0, mostRecognised))) }
}

export type Verdict =
  | { readonly effect: 'allow' | 'step-up'; readonly rule: CompiledRule }
  | {
      readonly effect: 'deny'
      readonly code: 'PST2101' | 'PST2102'
      readonly rule: string
      readonly digest: string
      readonly inDoubt: boolean
    }

/** Without recognition and obligations: what the rules say. `shadow`: as if shadow rules were enforced. */
export const judge = (policy: CompiledPolicy, platform: CompiledPolicy, look: Look, shadow: boolean): Verdict => {
  const above = firstDeny(platform.denies, look, shadow)
  const deny = above ?? firstDeny(policy.denies, look, shadow)
  if (deny) {
    const { digest } = above ? platform : policy
    return { effect: 'deny', code: 'PST2101', rule: deny.rule.name, digest, inDoubt: deny.inDoubt }
  }
  const allow = firstAllow(policy.allows, look, shadow)
  if (!allow) return { effect: 'deny', code: 'PST2102', rule: 'default', digest: policy.digest, inDoubt: false }
  // It decides even so: a broader allow below would undo the demand for a sign-in.
  return { effect: allow.login && !isMet(allow.login, look) ? 'step-up' : 'allow', rule: allow }
}

/** The only place where a Permit is made, and never from a shadow rule. */
const decideFor = ({ policy, basis }: Serving, platform: CompiledPolicy, facts: Facts): Decision => {
  const look = new Look(facts)
  const { tenant } = policy
  const shadow = shadowOf(policy, platform, look)
  const verdict = judge(policy, platform, look, false)
  if (verdict.effect === 'deny') {
    const { code, rule: reason, digest: policyDigest, inDoubt } = verdict
    return { ...denial({ code, reason, tenant, policyDigest, basis }, inDoubt), shadow }
  }
  const { name: rule, role: cassandraRole, until, login } = verdict.rule
  const obligations = merged(platform.document.always, verdict.rule.obligations)
  const { digest: policyDigest } = policy
  if (verdict.effect === 'step-up')
    return { ...denial({ code: 'PST2106', reason: rule, tenant, policyDigest, basis }), challenge: login?.challenge ?? null, shadow }
  return { effect: 'allow', permit: new Permit({ tenant, rule, policyDigest, cassandraRole, until, obligations }), shadow, basis }
}

/** The whole policy a second time: a shadow deny may take what another allow grants, and a shadow allow may come before another. */
const shadowOf = (policy: CompiledPolicy, platform: CompiledPolicy, look: Look): ShadowDecision | null => {
  if (!isShadowed(platform.denies, look) && !isShadowed(policy.denies, look) && !isShadowed(policy.allows, look)) return null
  const verdict = judge(policy, platform, look, true)
  return verdict.effect === 'deny'
    ? { effect: 'deny', rule: verdict.rule, policyDigest: verdict.digest }
    : { effect: verdict.effect, rule: verdict.rule.name, policyDigest: policy.digest }
}

/** Of what is enforced: two engines with one digest decide alike. A refused version counts only where it is all that there is to be recognised by. */
const digestOf = (platform: CompiledPolicy, tenants: readonly Enforced[]): string => {
  const digest = createHash('sha256').update(platform.digest)
  // Names, states and digests contain neither blanks nor line ends, so no two sets of them spell the same text.
  for (const { state } of tenants)
    digest.update(`\n${state.tenant} ${state.digestEnforced === null ? `unavailable ${state.digestOnDisk}` : state.digestEnforced}`)
  return digest.digest('hex')
}
