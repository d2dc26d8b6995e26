import { createHash } from 'node:crypto'
import type { Decision, Denial, Facts, PolicyEngine, TenantState } from '../model/decision.ts'
import { Permit } from '../model/permit.ts'
import { type CompiledPolicy, firstAllow, firstDeny } from './compile.ts'
import { Look } from './conditions.ts'
import { isMet } from './login.ts'
import { type Claimant, hostOwners, tenantIndex } from './recognise.ts'
import type { Recognise } from './recognise-shape.ts'

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
    tenantOfHost: ownerOf,
    roles: [...new Set(tenants.flatMap(({ policy }) => policy?.allows.rules.flatMap(rule => rule.role ?? []) ?? []))].sort(),
    digest: digestOf(platform, tenants),
    tenants: tenants.map(tenant => tenant.state),
  }
}

/** The only place where a Permit is made. */
const decideFor = (policy: CompiledPolicy, platform: CompiledPolicy, facts: Facts): Decision => {
  const look = new Look(facts)
  const { tenant } = policy
  const above = firstDeny(platform.denies, look)
  if (above) return denial('PST2101', above.rule.name, tenant, platform.digest, above.inDoubt)
  const own = firstDeny(policy.denies, look)
  if (own) return denial('PST2101', own.rule.name, tenant, policy.digest, own.inDoubt)
  const allow = firstAllow(policy.allows, look)
  if (!allow) return denial('PST2102', 'default', tenant, policy.digest)
  const { name: rule, role: cassandraRole, until, login } = allow
  // It decides even so: a broader allow below would undo the demand for a sign-in.
  if (login && !isMet(login, look)) return { ...denial('PST2106', rule, tenant, policy.digest), challenge: login.challenge }
  return { effect: 'allow', permit: new Permit({ tenant, rule, policyDigest: policy.digest, cassandraRole, until }) }
}

/** Of what is enforced: two engines with one digest decide alike. A refused version counts only where it is all that there is to be recognised by. */
const digestOf = (platform: CompiledPolicy, tenants: readonly Enforced[]): string => {
  const digest = createHash('sha256').update(platform.digest)
  // Names, states and digests contain neither blanks nor line ends, so no two sets of them spell the same text.
  for (const { state } of tenants)
    digest.update(`\n${state.tenant} ${state.digestEnforced === null ? `unavailable ${state.digestOnDisk}` : state.digestEnforced}`)
  return digest.digest('hex')
}
