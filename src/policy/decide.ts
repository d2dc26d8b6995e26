import { createHash } from 'node:crypto'
import { finish, type Steps } from '../config/steps.ts'
import type { Decision, Denial, Facts, PolicyEngine, ShadowDecision, TenantState } from '../model/decision.ts'
import type { Origin } from '../model/exchange.ts'
import type { Basis } from '../model/fact.ts'
import { type Identity, nobody } from '../model/identity.ts'
import { type Limit, merged } from '../model/obligation.ts'
import { Permit } from '../model/permit.ts'
import { strangersBasis, TenantBasis } from './engine/basis.ts'
import { CallerBits } from './engine/callers.ts'
import { type CompiledPolicy, type CompiledRule, firstAllow, firstDeny, isShadowed, type RouteMatch } from './engine/compile.ts'
import { Look } from './engine/conditions.ts'
import { isMet } from './engine/login.ts'
import { type Layout, layOut, type Plot } from './engine/plots.ts'
import { type Claimant, hostOwners, indexingTenants } from './engine/recognise.ts'
import { Candidates } from './engine/route-index.ts'
import type { Recognise } from './language/recognise-shape.ts'

/** One tenant of a composition. `policy` null: no good version. `recognise` null: not even what it claims is known. */
export interface Enforced {
  readonly policy: CompiledPolicy | null
  readonly recognise: Recognise | null
  readonly state: TenantState
  /** Refusals by the tenant's own rules before this moment are recorded and let pass; not given: never, as in tests. */
  readonly observeUntil?: number | null
}

/** A tenant with a good version. */
interface Serving extends Plot {
  readonly policy: CompiledPolicy
  /** What nearly every decision needs of the policy, at hand. */
  readonly tenant: string
  readonly digest: string
  /** There is a shadow rule in it or in the platform's. */
  readonly shadowed: boolean
  readonly observeUntil: number | null
  readonly basis: Basis
}

/**
 * What depends on a token, a host and the policies alone, and which of the tenant's callers it is, kept as long as the token's own object: an answer
 * never depends on it. One object, for each is a wait for memory.
 */
class Known extends CallerBits implements Plot {
  readonly host: string
  readonly root: number
  readonly denies: number
  readonly allows: number
  readonly found: Serving | 'none' | 'several'
  /** Of the platform's callers. */
  readonly above: CallerBits

  constructor(identity: Identity, host: string, found: Serving | 'none' | 'several', platform: CompiledPolicy) {
    super(identity, typeof found === 'object' ? found.policy.callers : [])
    this.host = host
    const { root, denies, allows } = typeof found === 'object' ? found : { root: 0, denies: 0, allows: 0 }
    this.root = root
    this.denies = denies
    this.allows = allows
    this.found = found
    this.above = new CallerBits(identity, platform.callers)
  }
}

type Deny = Pick<Denial, 'code' | 'reason' | 'tenant' | 'policyDigest' | 'basis'>

const denial = (deny: Deny, inDoubt = false): Denial => ({ effect: 'deny', ...deny, inDoubt, challenge: null, shadow: null })

/** Puts compiled policies together. `tenants` are in order of name. */
export const policyEngine = (platform: CompiledPolicy, tenants: readonly Enforced[]): PolicyEngine =>
  finish(assemblingEngine(platform, tenants))

export function* assemblingEngine(platform: CompiledPolicy, tenants: readonly Enforced[]): Steps<PolicyEngine> {
  const layout = yield* layOut(tenants.flatMap(({ policy, recognise }) => (policy === null || recognise === null ? [] : policy)))
  const claimants = tenants.flatMap(({ policy, recognise, observeUntil = null, state: { tenant } }) => {
    if (recognise === null) return []
    const plot = policy && layout.plots.get(policy)
    return [{ recognise, tenant, serving: policy && plot ? servingOf(policy, plot, platform, recognise, observeUntil) : null }]
  })
  yield
  const serving = yield* indexingTenants(
    claimants.flatMap(({ recognise, serving }): Claimant<Serving>[] => (serving ? [{ recognise, value: serving }] : [])),
  )
  // Looked at only when no tenant in force is meant: a broken file must not take requests from a sound one.
  const waiting = yield* indexingTenants(
    claimants.flatMap(({ recognise, tenant, serving }) => (serving ? [] : [{ recognise, value: tenant }])),
  )
  // A broken file without host lines would make every host everybody's.
  const hosts = claimants.filter(({ recognise, serving }) => serving !== null || recognise.host !== null)
  const ownerOf = hostOwners(hosts.map(({ recognise, tenant }) => ({ recognise, value: tenant })))
  const basis = strangersBasis(platform, claimants)
  yield
  const memo = new WeakMap<Identity, Known>()
  return {
    decide(facts) {
      const { origin, identity } = facts
      let known = memo.get(identity)
      if (known?.host !== origin.host) {
        const found = serving(identity, origin.host)
        known = new Known(identity, origin.host, typeof found === 'object' ? found.one : found, platform)
        memo.set(identity, known)
      }
      if (typeof known.found === 'object') return decideFor(known.found, layout, platform, known, facts)
      const broken = known.found === 'none' ? waiting(identity, origin.host) : 'several'
      if (typeof broken === 'object')
        return denial({ code: 'PST2104', reason: 'policy-unavailable', tenant: broken.one, policyDigest: null, basis })
      return denial({ code: 'PST2103', reason: 'tenant-mismatch', tenant: ownerOf(origin.host), policyDigest: null, basis })
    },
    preflight(facts) {
      const tenant = ownerOf(facts.origin.host)
      if (tenant === null) return denial({ code: 'PST2103', reason: 'tenant-mismatch', tenant, policyDigest: null, basis })
      if (!claimants.some(claimant => claimant.tenant === tenant && claimant.serving !== null))
        return denial({ code: 'PST2104', reason: 'policy-unavailable', tenant, policyDigest: null, basis })
      return preflightFor(tenant, platform, { ...facts, identity: nobody }, basis)
    },
    tenantOfHost: ownerOf,
    issuersOf: host => [...new Set(claimants.flatMap(({ recognise }) => (recognise.host?.includes(host) ? recognise.issuer : [])))],
    roles: [...new Set(tenants.flatMap(({ policy }) => (policy === null ? [] : [...policy.handed])))].sort(),
    digest: digestOf(platform, tenants),
    tenants: tenants.map(tenant => tenant.state),
    observing: tenants.flatMap(({ policy, observeUntil = null, state: { tenant } }) =>
      policy === null || observeUntil === null ? [] : { tenant, until: observeUntil },
    ),
  }
}

export type Verdict =
  | { readonly effect: 'allow' | 'step-up'; readonly rule: CompiledRule }
  | {
      readonly effect: 'deny'
      readonly code: 'PST2101' | 'PST2102'
      readonly rule: string
      /** A rule of the platform refused. */
      readonly above: boolean
      readonly inDoubt: boolean
    }

const servingOf = (
  policy: CompiledPolicy,
  plot: Plot,
  platform: CompiledPolicy,
  recognise: Recognise,
  observeUntil: number | null,
): Serving => ({
  policy,
  tenant: policy.tenant,
  digest: policy.digest,
  ...plot,
  shadowed: [platform.denies, policy.denies, policy.allows].some(set => set.shadowed),
  observeUntil,
  basis: new TenantBasis(platform, policy, recognise),
})

/** What covers the method and path of one request. */
interface Covering {
  readonly above: RouteMatch
  readonly denies: RouteMatch
  readonly allows: RouteMatch
}

/** Only denies come from above. */
const aboveOf = ({ denies: { rules, index } }: CompiledPolicy, bits: CallerBits, { method, target }: Origin): RouteMatch => ({
  rules,
  first: 0,
  hits: new Candidates(index.table, 0, method, target.path, bits).denies,
})

const coveringOf = ({ table, rules }: Layout, platform: CompiledPolicy, known: Known, origin: Origin): Covering => {
  const own = new Candidates(table, known.root, origin.method, origin.target.path, known)
  return {
    above: aboveOf(platform, known.above, origin),
    denies: { rules, first: known.denies, hits: own.denies },
    allows: { rules, first: known.allows, hits: own.allows },
  }
}

const judge = (covering: Covering, look: Look, shadow: boolean): Verdict => {
  const above = firstDeny(covering.above, look, shadow)
  const deny = above ?? firstDeny(covering.denies, look, shadow)
  if (deny) return { effect: 'deny', code: 'PST2101', rule: deny.rule.name, above: above !== null, inDoubt: deny.inDoubt }
  const allow = firstAllow(covering.allows, look, shadow)
  if (!allow) return { effect: 'deny', code: 'PST2102', rule: 'default', above: false, inDoubt: false }
  // It decides even so: a broader allow below would undo the demand for a sign-in.
  return { effect: allow.login && !isMet(allow.login, look) ? 'step-up' : 'allow', rule: allow }
}

/** What the rules alone say of a request of this tenant: without recognition, observe mode and obligations. */
export const judgeRules = (policy: CompiledPolicy, platform: CompiledPolicy, look: Look): Verdict => {
  const { identity, origin } = look.facts
  const { denies, allows, callers } = policy
  const own = new Candidates(denies.index.table, 0, origin.method, origin.target.path, new CallerBits(identity, callers))
  const covering: Covering = {
    above: aboveOf(platform, new CallerBits(identity, platform.callers), origin),
    denies: { rules: denies.rules, first: 0, hits: own.denies },
    allows: { rules: allows.rules, first: 0, hits: own.allows },
  }
  return judge(covering, look, false)
}

/** Permits are made here and in `letPass` alone, and never from a shadow rule. */
const decideFor = (serving: Serving, layout: Layout, platform: CompiledPolicy, known: Known, facts: Facts): Decision => {
  const { tenant, digest, basis } = serving
  const look = new Look(facts)
  const covering = coveringOf(layout, platform, known, facts.origin)
  const shadow = serving.shadowed ? shadowOf(serving.policy, platform, covering, look) : null
  const verdict = judge(covering, look, false)
  if (verdict.effect !== 'allow' && isObserved(serving, verdict, facts.now)) return letPass(serving, platform, verdict, shadow)
  if (verdict.effect === 'deny') {
    const { code, rule: reason, above, inDoubt } = verdict
    return { ...denial({ code, reason, tenant, policyDigest: above ? platform.digest : digest, basis }, inDoubt), shadow }
  }
  const { name: rule, role: cassandraRole, until, login } = verdict.rule
  if (verdict.effect === 'step-up')
    return {
      ...denial({ code: 'PST2106', reason: rule, tenant, policyDigest: digest, basis }),
      challenge: login?.challenge ?? null,
      shadow,
    }
  const obligations = merged(platform.document.always, verdict.rule.obligations)
  return {
    effect: 'allow',
    permit: new Permit({ tenant, rule, policyDigest: digest, cassandraRole, until, obligations }),
    shadow,
    observed: null,
    basis,
  }
}

/** The platform's refusals are nobody's to observe, and the clock alone ends a tenant's. */
const isObserved = ({ observeUntil }: Serving, verdict: Verdict, now: number): boolean =>
  observeUntil !== null && now < observeUntil && !(verdict.effect === 'deny' && verdict.above)

/**
 * The one place where a refusal lets pass: never with a credential, and no longer than observe mode lasts. What is owed on every allowed
 * request is owed here too; where only a better sign-in was missing, also what its allow asks for.
 */
const letPass = (
  { policy, observeUntil, basis }: Serving,
  platform: CompiledPolicy,
  verdict: Verdict,
  shadow: ShadowDecision | null,
): Decision => {
  const refused = verdict.effect === 'deny'
  const grant = {
    tenant: policy.tenant,
    rule: refused ? verdict.rule : verdict.rule.name,
    policyDigest: policy.digest,
    cassandraRole: null,
    until: observeUntil,
    obligations: merged(platform.document.always, refused ? policy.document.always : verdict.rule.obligations),
  }
  const observed = { effect: refused ? 'deny' : 'step-up', inDoubt: refused && verdict.inDoubt } as const
  return { effect: 'allow', permit: new Permit(grant), shadow, observed, basis }
}

/**
 * Only the tenant's rules know whom a path is for, and a preflight is for nobody yet: it says which methods and fields the backend lets browsers use,
 * and the request that follows is decided like any other.
 */
const preflightFor = (tenant: string, platform: CompiledPolicy, facts: Facts, basis: Basis): Decision => {
  const { digest: policyDigest } = platform
  const deny = firstDeny(aboveOf(platform, new CallerBits(nobody, platform.callers), facts.origin), new Look(facts), false)
  if (deny) return denial({ code: 'PST2101', reason: deny.rule.name, tenant, policyDigest, basis }, deny.inDoubt)
  const obligations = { hide: [], limits: [preflightLimit] }
  const permit = new Permit({ tenant, rule: 'preflight', policyDigest, cassandraRole: null, until: null, obligations })
  return { effect: 'allow', permit, shadow: null, observed: null, basis }
}

/** Strangers may send them: a bucket of their own for each tenant, so that they use up nobody else's. */
const preflightLimit: Limit = { amount: 100, seconds: 1, per: 'tenant', over: 'rule', text: 'preflights 100/s' }

/** The whole policy a second time: a shadow deny may take what another allow grants, and a shadow allow may come before another. */
const shadowOf = (policy: CompiledPolicy, platform: CompiledPolicy, covering: Covering, look: Look): ShadowDecision | null => {
  const { method, target } = look.facts.origin
  if (![platform.denies, policy.denies, policy.allows].some(set => isShadowed(set, method, target.path))) return null
  const verdict = judge(covering, look, true)
  return verdict.effect === 'deny'
    ? { effect: 'deny', rule: verdict.rule, policyDigest: verdict.above ? platform.digest : policy.digest }
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
