import { createHash } from 'node:crypto'
import type { Decision, Denial, Facts, PolicyEngine, ShadowDecision, TenantState } from '../model/decision.ts'
import { nobody } from '../model/identity.ts'
import { type Limit, merged } from '../model/obligation.ts'
import { Permit } from '../model/permit.ts'
import { type CompiledPolicy, type CompiledRule, firstAllow, firstDeny, isShadowed } from './engine/compile.ts'
import { Look } from './engine/conditions.ts'
import { isMet } from './engine/login.ts'
import { type Claimant, hostOwners, tenantIndex } from './engine/recognise.ts'
import type { Recognise } from './language/recognise-shape.ts'

/** One tenant of a composition. `policy` null: no good version. `recognise` null: not even what it claims is known. */
export interface Enforced {
  readonly policy: CompiledPolicy | null
  readonly recognise: Recognise | null
  readonly state: TenantState
}

const denial = (code: Denial['code'], reason: string, tenant: string | null, policyDigest: string | null, inDoubt = false): Denial => ({
  effect: 'deny',
  code,
  reason,
  tenant,
  policyDigest,
  inDoubt,
  challenge: null,
  shadow: null,
})

/** Puts compiled policies together. `tenants` are in order of name. */
export const policyEngine = (platform: CompiledPolicy, tenants: readonly Enforced[]): PolicyEngine => {
  const claimants = tenants.flatMap(({ policy, recognise, state: { tenant } }) => (recognise ? [{ recognise, tenant, policy }] : []))
  const serving = tenantIndex(
    claimants.flatMap(({ recognise, policy }): Claimant<CompiledPolicy>[] => (policy ? [{ recognise, value: policy }] : [])),
  )
  // Looked at only when no tenant in force is meant: a broken file must not take requests from a sound one.
  const waiting = tenantIndex(claimants.flatMap(({ recognise, tenant, policy }) => (policy ? [] : [{ recognise, value: tenant }])))
  // A broken file without host lines would make every host everybody's.
  const hosts = claimants.filter(({ recognise, policy }) => policy !== null || recognise.host !== null)
  const ownerOf = hostOwners(hosts.map(({ recognise, tenant }) => ({ recognise, value: tenant })))
  return {
    decide(facts) {
      const { origin, identity } = facts
      const found = serving(identity, origin.host)
      if (typeof found === 'object') return decideFor(found.one, platform, facts)
      const broken = found === 'none' ? waiting(identity, origin.host) : found
      if (typeof broken === 'object') return denial('PST2104', 'policy-unavailable', broken.one, null)
      return denial('PST2103', 'tenant-mismatch', ownerOf(origin.host), null)
    },
    preflight(facts) {
      const tenant = ownerOf(facts.origin.host)
      if (tenant === null) return denial('PST2103', 'tenant-mismatch', null, null)
      if (!claimants.some(claimant => claimant.tenant === tenant && claimant.policy !== null))
        return denial('PST2104', 'policy-unavailable', tenant, null)
      return preflightFor(tenant, platform, { ...facts, identity: nobody })
    },
    tenantOfHost: ownerOf,
    issuersOf: host => [...new Set(claimants.flatMap(({ recognise }) => (recognise.host?.includes(host) ? recognise.issuer : [])))],
    roles: [
      ...new Set(tenants.flatMap(({ policy }) => policy?.allows.rules.flatMap(rule => (rule.shadow ? [] : (rule.role ?? []))) ?? [])),
    ].sort(),
    digest: digestOf(platform, tenants),
    tenants: tenants.map(tenant => tenant.state),
  }
}

type Verdict =
  | { readonly effect: 'allow' | 'step-up'; readonly rule: CompiledRule }
  | {
      readonly effect: 'deny'
      readonly code: 'PST2101' | 'PST2102'
      readonly rule: string
      readonly digest: string
      readonly inDoubt: boolean
    }

const judge = (policy: CompiledPolicy, platform: CompiledPolicy, look: Look, shadow: boolean): Verdict => {
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
const decideFor = (policy: CompiledPolicy, platform: CompiledPolicy, facts: Facts): Decision => {
  const look = new Look(facts)
  const { tenant } = policy
  const shadow = shadowOf(policy, platform, look)
  const verdict = judge(policy, platform, look, false)
  if (verdict.effect === 'deny') return { ...denial(verdict.code, verdict.rule, tenant, verdict.digest, verdict.inDoubt), shadow }
  const { name: rule, role: cassandraRole, until, login } = verdict.rule
  const obligations = merged(platform.document.always, verdict.rule.obligations)
  if (verdict.effect === 'step-up')
    return { ...denial('PST2106', rule, tenant, policy.digest), challenge: login?.challenge ?? null, shadow }
  return { effect: 'allow', permit: new Permit({ tenant, rule, policyDigest: policy.digest, cassandraRole, until, obligations }), shadow }
}

/**
 * Only the tenant's rules know whom a path is for, and a preflight is for nobody yet: it says which methods and fields the backend lets browsers use,
 * and the request that follows is decided like any other.
 */
const preflightFor = (tenant: string, platform: CompiledPolicy, facts: Facts): Decision => {
  const { digest: policyDigest } = platform
  const deny = firstDeny(platform.denies, new Look(facts, false), false)
  if (deny) return denial('PST2101', deny.rule.name, tenant, policyDigest, deny.inDoubt)
  const obligations = { hide: [], limits: [preflightLimit] }
  const permit = new Permit({ tenant, rule: 'preflight', policyDigest, cassandraRole: null, until: null, obligations })
  return { effect: 'allow', permit, shadow: null }
}

/** Strangers may send them: a bucket of their own for each tenant, so that they use up nobody else's. */
const preflightLimit: Limit = { amount: 100, seconds: 1, per: 'tenant', over: 'rule', text: 'preflights 100/s' }

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
