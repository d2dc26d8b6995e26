import type { Effect } from '../../model/decision.ts'
import type { Recorded } from '../../model/recorded.ts'
import { routeIndex } from '../engine/few-routes.ts'
import { candidates } from '../engine/route-index.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { Rule } from '../language/rule.ts'
import { Again, type Against, type Judgement } from './again.ts'
import type { Hasher } from './literals.ts'
import { always, never } from './mask.ts'
import { owedDelta } from './owed.ts'
import { type Dim, type Outcome, onRoute } from './possible.ts'

export const kinds = ['newly-allowed', 'newly-denied', 'obligations-changed', 'cannot-tell', 'same'] as const
export type Kind = (typeof kinds)[number]

/** Requests that changed in the same way, or could not be told for the same reason. */
export interface Group {
  readonly tenant: string
  readonly kind: Kind
  /** Effect then and now; several words where it may be either. */
  readonly was: string
  readonly is: string
  /** Of changed obligations: what is taken away and added. */
  readonly delta: string
  /** Names of `who` that hold. */
  readonly callers: string
  /** Method and pattern of the rule, or of the first one on the route. */
  readonly route: string
  /** What decided then and now; of `cannot-tell`, what is not known. */
  readonly because: string
  readonly count: number
  /** Request id and time of the first one. */
  readonly example: { readonly id: string; readonly time: string }
}

export type Counts = Readonly<Record<Kind, number>>

export interface Replayed {
  readonly counts: Counts
  readonly tenants: readonly ({ readonly tenant: string } & Counts)[]
  readonly groups: readonly Group[]
  /** Requests of groups past the bound: counted above, not grouped. */
  readonly ungrouped: number
}

const mostGroups = 10_000
const mostNames = 8
const none: Counts = { 'newly-allowed': 0, 'newly-denied': 0, 'obligations-changed': 0, 'cannot-tell': 0, same: 0 }
const width: Readonly<Record<Effect, number>> = { deny: 0, 'step-up': 1, allow: 2 }

/** Decides recorded requests again and counts what would differ. */
export class Replay {
  readonly #again: Again
  readonly #counts = new Map<string, Record<Kind, number>>()
  readonly #groups = new Map<string, { group: Group; count: number }>()
  readonly #unchanged: ReadonlySet<string>
  #ungrouped = 0

  constructor(against: Against, hashers: readonly Hasher[]) {
    this.#again = new Again(against, hashers)
    // A denial by the platform stands on the platform file alone.
    this.#unchanged = new Set([
      ...against.tenants.map(({ policy }) => `${policy.digest} ${against.platform.digest}`),
      `${against.platform.digest} ${against.platform.digest}`,
    ])
  }

  add(recorded: Recorded): Kind {
    const decided = this.#again.decide(recorded)
    const kind = this.#kind(recorded, decided)
    const tenant = recorded.tenant ?? decided.tenant?.possible.policy.tenant ?? '(none)'
    const counts = this.#counts.get(tenant) ?? { ...none }
    counts[kind]++
    this.#counts.set(tenant, counts)
    if (kind !== 'same') this.#group(tenant, kind, recorded, decided)
    return kind
  }

  result(): Replayed {
    const tenants = [...this.#counts].map(([tenant, counts]) => ({ tenant, ...counts })).sort((a, b) => (a.tenant < b.tenant ? -1 : 1))
    const counts = { ...none } as Record<Kind, number>
    for (const one of tenants) for (const kind of kinds) counts[kind] += one[kind]
    const groups = [...this.#groups.values()].map(({ group, count }) => ({ ...group, count }))
    return { counts, tenants, groups: groups.sort(byWeight), ungrouped: this.#ungrouped }
  }

  #kind(recorded: Recorded, { outcomes }: Judgement): Kind {
    const found = new Set(outcomes.map(outcome => kindOf(recorded, outcome)))
    const [one] = found
    if (one !== undefined && one !== 'cannot-tell' && found.size === 1) return one
    // Unknown facts are no doubt where nothing that reads them has changed: the same rules decide the same request alike.
    return this.#unchanged.has(`${recorded.policyDigest} ${recorded.platformDigest}`) ? 'same' : 'cannot-tell'
  }

  #group(tenant: string, kind: Kind, recorded: Recorded, decided: Judgement): void {
    const told = kind !== 'cannot-tell'
    const now = [...new Set(decided.outcomes.map(outcome => outcome.rule))]
    const head = {
      tenant,
      kind,
      was: recorded.effect,
      is: [...new Set(decided.outcomes.map(({ effect }) => effect))].sort().join(' or ') || 'unknown',
      delta: kind === 'obligations-changed' ? deltaOf(recorded, decided) : '',
      callers: callersOf(decided),
      route: routeOf(recorded, decided),
      because: told ? `${recorded.rule} -> ${now.join(' or ')}` : limited(unknown(recorded, decided)) || 'its facts',
    }
    const key = JSON.stringify(head)
    const known = this.#groups.get(key)
    if (known !== undefined) known.count++
    else if (this.#groups.size >= mostGroups) this.#ungrouped++
    else {
      const example = { id: recorded.id, time: new Date(recorded.time).toISOString() }
      this.#groups.set(key, { group: { ...head, count: 1, example }, count: 1 })
    }
  }
}

const byWeight = (a: Group, b: Group): number =>
  kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || b.count - a.count || (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

const kindOf = (was: Recorded, is: Outcome): Kind => {
  const gain = width[is.effect] - width[was.effect]
  if (gain !== 0) return gain > 0 ? 'newly-allowed' : 'newly-denied'
  if (is.owed === null) return 'same'
  if (is.owed.role !== was.role) return 'obligations-changed'
  if (was.obligations === null) return 'cannot-tell'
  return owedDelta({ ...was.obligations, role: was.role }, is.owed).length > 0 ? 'obligations-changed' : 'same'
}

const deltaOf = ({ obligations, role }: Recorded, { outcomes }: Judgement): string => {
  const texts = outcomes.flatMap(({ owed }) => {
    if (owed === null) return []
    const old = obligations ?? { hide: owed.hide, limits: owed.limits }
    return owedDelta({ ...old, role }, owed).join(', ')
  })
  return [...new Set(texts)].sort().join(' or ')
}

const unknown = ({ effect, obligations }: Recorded, decided: Judgement): readonly string[] => [
  ...decided.missing(),
  ...(effect === 'allow' && obligations === null ? ['obligations'] : []),
]

const limited = (names: readonly string[]): string =>
  `${names.slice(0, mostNames).join(', ')}${names.length > mostNames ? ` and ${names.length - mostNames} more` : ''}`

const callersOf = ({ tenant, dim }: Judgement): string => {
  if (tenant === null) return '(not known)'
  const { holds, policy } = tenant.possible
  const masks = [...policy.document.who.keys()].map(name => ({ name, mask: holds(name, dim) }))
  const names = masks.filter(({ mask }) => mask === always).map(({ name }) => name)
  if (names.length > 0) return limited(names)
  if (masks.some(({ mask }) => mask !== never)) return '(not known)'
  return dim.look.facts.identity.agents.length > 0 ? '(an agent)' : '(anyone)'
}

/** The line that covers the request, of the rule that decides now or decided then, or of the first rule that has one. */
const routeOf = ({ rule: then, method }: Recorded, { outcomes, tenant, dim }: Judgement): string => {
  if (tenant === null) return `${method} (no route)`
  const rules = onRoute(tenant.possible, dim).map(({ rule }) => rule)
  const named = [...outcomes.map(outcome => outcome.rule), then].flatMap(name => rules.find(rule => rule.name === name) ?? [])
  const [rule] = [...named, ...rules]
  return `${method} ${(rule && lineOf(rule, dim)) ?? '(no rule)'}`
}

/** The pattern by which a rule covers a request. */
export const lineOf = (rule: Rule, { look }: Pick<Dim, 'look'>): string | null => {
  const { method, target } = look.facts.origin
  const line = rule.to.find(one => candidates(routeIndex([[one]], rule.effect), method, target.path).length > 0)
  return line === undefined ? null : patternOf(line)
}

export const patternOf = ({ segments, rest }: RouteLine): string => {
  const parts = segments.map(segment => ('literal' in segment ? segment.literal : `{${segment.variable}}`))
  return `/${[...parts, ...(rest ? ['**'] : [])].join('/')}`
}
