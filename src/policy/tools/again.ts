import { noObligations } from '../../model/obligation.ts'
import type { Recorded } from '../../model/recorded.ts'
import { judgeRules } from '../decide.ts'
import type { CompiledPolicy } from '../engine/compile.ts'
import { Look } from '../engine/conditions.ts'
import { claimFact, type ReadSet, readSet, recogniseDigest } from '../engine/reads.ts'
import { carries } from '../engine/recognise.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import { type Hasher, literals, type Reveal, revealer } from './literals.ts'
import { type Dim, type Outcome, onRoute, outcomes, type Possible, possiblePolicy } from './possible.ts'
import { factsOfRecord } from './record-facts.ts'

/** The policies by which recorded requests are decided again. */
export interface Against {
  readonly platform: CompiledPolicy
  readonly tenants: readonly { readonly policy: CompiledPolicy; readonly recognise: Recognise }[]
}

export interface Tenant {
  readonly possible: Possible
  readonly recognise: Recognise
  /** Names of all facts that its rules and the platform's read. */
  readonly reads: readonly string[]
}

/** A request decided again. */
export interface Judgement {
  /** All that it may come to: one where enough is known. Empty: nothing can be said. */
  readonly outcomes: readonly Outcome[]
  /** Whose request it is; null: nobody's, or not known. */
  readonly tenant: Tenant | null
  readonly dim: Dim
  /** What would have to be known better to say more, by name. */
  missing(): readonly string[]
}

const mismatch: Outcome = { effect: 'deny', rule: 'tenant-mismatch', owed: null, digest: '' }

export const revealerOf = ({ platform, tenants }: Against, hashers: readonly Hasher[]): Reveal => {
  const documents = [platform.document, ...tenants.map(({ policy }) => policy.document)]
  const recognised = tenants.map(({ recognise }) => recognise)
  return revealer(literals(documents, recognised), hashers)
}

export const tenantOf = ({ platform }: Pick<Against, 'platform'>, { policy, recognise }: Against['tenants'][number]): Tenant => ({
  possible: possiblePolicy(policy, platform.document.always),
  recognise,
  reads: namesOf(readSet([platform.document, policy.document], [])),
})

/** Tenants that one request may belong to, past which nothing is said about it. */
const mostTenants = 4

/** Decides what records tell by other policies. Never guesses: what is not known may be anything. */
export class Again {
  readonly #platform: Possible
  readonly #byDigest = new Map<string, Tenant>()
  readonly #byIssuer = new Map<string, Tenant[]>()
  readonly #reveal: Reveal
  readonly #zones = zoneClocks()

  constructor(against: Against, hashers: readonly Hasher[]) {
    this.#platform = possiblePolicy(against.platform, noObligations)
    for (const one of against.tenants) {
      const tenant = tenantOf(against, one)
      const { recognise } = tenant
      this.#byDigest.set(recogniseDigest(recognise), tenant)
      for (const issuer of new Set(recognise.issuer)) {
        const others = this.#byIssuer.get(issuer)
        if (others === undefined) this.#byIssuer.set(issuer, [tenant])
        else others.push(tenant)
      }
    }
    this.#reveal = revealerOf(against, hashers)
  }

  decide(recorded: Recorded): Judgement {
    const { facts, grades } = factsOfRecord(recorded, this.#reveal, this.#zones)
    const dim: Dim = { look: new Look(facts), grades }
    // A part of a path or of a name is another path or name.
    if (recorded.cut.length > 0) return { outcomes: [], tenant: null, dim, missing: () => recorded.cut.map(name => `${name} (cut)`) }
    const { sure, possible } = this.#tenants(recorded, dim)
    const [first] = possible
    if (first === undefined) return { outcomes: [mismatch], tenant: null, dim, missing: () => [] }
    if (sure) return { outcomes: this.#within(first, dim), tenant: first, dim, missing: () => this.#missing(first, dim) }
    const found = possible.length > mostTenants ? [] : [mismatch, ...possible.flatMap(tenant => this.#within(tenant, dim))]
    return { outcomes: found, tenant: null, dim, missing: () => unrecognised(possible, dim) }
  }

  #within({ possible, reads }: Tenant, dim: Dim): readonly Outcome[] {
    if (!reads.every(name => dim.grades.get(name) === 'exact')) return outcomes(possible, this.#platform, dim)
    const verdict = judgeRules(possible.policy, this.#platform.policy, dim.look)
    if (verdict.effect === 'deny')
      return [{ effect: 'deny', rule: verdict.rule, owed: null, digest: (verdict.above ? this.#platform : possible).policy.digest }]
    const { effect, rule } = verdict
    return [{ effect, rule: rule.name, owed: effect === 'allow' ? possible.owedBy(rule.name) : null, digest: possible.policy.digest }]
  }

  #missing({ possible }: Tenant, dim: Dim): readonly string[] {
    const parts = [this.#platform, possible].map(
      (one): PolicyDocument => ({ ...one.policy.document, rules: onRoute(one, dim).map(({ rule }) => rule) }),
    )
    return namesOf(readSet(parts, [])).filter(name => dim.grades.get(name) !== 'exact')
  }

  /** Tenants whose lines agree as far as is known; `sure`: the first is the one. */
  #tenants(recorded: Recorded, dim: Dim): { readonly sure: boolean; readonly possible: readonly Tenant[] } {
    // Equal lines recognise equal requests, and no two tenants of one folder recognise the same one.
    const known = this.#byDigest.get(recorded.facts?.recognised ?? '')
    if (known !== undefined) return { sure: true, possible: [known] }
    let sure = true
    const { identity, origin } = dim.look.facts
    const possible = (this.#byIssuer.get(identity.issuer) ?? []).filter(({ recognise: { host, audience, claims } }) => {
      if (host !== null && !host.includes(origin.host)) return false
      const lines = [
        { name: 'aud', value: identity.audiences as unknown, wanted: audience },
        ...[...claims].map(([name, wanted]) => ({ name: claimFact([name]), value: identity.claims[name], wanted })),
      ]
      const compared = lines.filter(({ name }) => isCompared(dim, name))
      if (compared.some(({ value, wanted }) => !carries(value, new Set(wanted)))) return false
      if (compared.length < lines.length) sure = false
      return true
    })
    return { sure: sure && possible.length === 1, possible }
  }
}

const isCompared = ({ grades }: Dim, name: string): boolean => grades.get(name) === 'exact' || grades.get(name) === 'equal'

const unrecognised = (possible: readonly Tenant[], dim: Dim): readonly string[] => {
  const lines = possible.flatMap(({ recognise }) => [...recognise.claims.keys()].map(name => claimFact([name])))
  return [...new Set(['aud', ...lines])].filter(name => !isCompared(dim, name)).sort()
}

/** Without the audiences: only recognition reads them. */
export const namesOf = ({ standard, claims, headers, query }: ReadSet): readonly string[] =>
  [
    ...new Set([
      ...[...standard].filter(name => name !== 'aud'),
      ...claims.keys(),
      ...[...headers].map(name => `header.${name}`),
      ...[...query].map(name => `query.${name}`),
    ]),
  ].sort()
