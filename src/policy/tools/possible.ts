import type { Effect } from '../../model/decision.ts'
import { merged, type Obligations, spelledObligations } from '../../model/obligation.ts'
import { type CallerTest, compileWho } from '../engine/callers.ts'
import type { CompiledPolicy, RuleSet } from '../engine/compile.ts'
import { compileWhen, type Look, type Test } from '../engine/conditions.ts'
import { compileLogin } from '../engine/login.ts'
import { claimFact } from '../engine/reads.ts'
import { candidates } from '../engine/route-index.ts'
import type { Agent, Person } from '../language/caller-shape.ts'
import { type Claim, claimReader, faulty } from '../language/claims.ts'
import type { Login } from '../language/login.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { Rule } from '../language/rule.ts'
import { no, type Side, told, yes } from '../language/tri.ts'
import type { Expectation, When } from '../language/when.ts'
import { anyone, type Definition } from '../language/who.ts'
import { always, any, bothOf, can, eitherOf, type Mask, never, notOf, only } from './mask.ts'
import type { Owed } from './owed.ts'
import type { Grade } from './record-facts.ts'

/** A request that may be known in part. */
export interface Dim {
  readonly look: Look
  readonly grades: ReadonlyMap<string, Grade>
}

type Part = (dim: Dim) => Mask

/** One way in which a request may be decided. */
export interface Outcome {
  readonly effect: Effect
  /** Rule name or `default`. */
  readonly rule: string
  /** Of an allow. */
  readonly owed: Owed | null
  readonly digest: string
}

interface PossibleRule {
  readonly rule: Rule
  readonly owed: Owed
  readonly parts: readonly Part[]
  readonly login: readonly Part[]
}

/** A policy whose conditions are the engine's own, each taken alone: one that reads what is not known may have any value. */
export interface Possible {
  readonly policy: CompiledPolicy
  readonly denies: readonly PossibleRule[]
  readonly allows: readonly PossibleRule[]
  /** By an allow of this name. */
  owedBy(rule: string): Owed | null
  /** Whether a name of `who` holds; an agent holds only what names agents. */
  holds(name: string, dim: Dim): Mask
}

/** `above`: what the platform asks for on every allow. */
export const possiblePolicy = (policy: CompiledPolicy, above: Obligations): Possible => {
  const { document } = policy
  const who = new Who(document.who, document.claims)
  const rules = (effect: Rule['effect']): PossibleRule[] =>
    document.rules
      .filter(rule => rule.effect === effect)
      .map(rule => ({
        rule,
        owed: { ...spelledObligations(merged(above, merged(document.always, rule.own))), role: rule.role?.name ?? null },
        parts: partsOf(rule, who, document.claims),
        login: rule.login ? loginParts(rule.login) : [],
      }))
  const allows = rules('allow')
  const owed = new Map(allows.map(one => [one.rule.name, one.owed]))
  return {
    policy,
    denies: rules('deny'),
    allows,
    owedBy: rule => owed.get(rule) ?? null,
    holds: (name, dim) => who.of([name], 'grant')(dim),
  }
}

/** Every decision that the rules may come to; one alone where enough is known. */
export const outcomes = (policy: Possible, platform: Possible, dim: Dim): readonly Outcome[] => {
  const found: Outcome[] = []
  for (const above of [platform, policy])
    for (const { rule, parts } of enforced(above.policy.denies, above.denies, dim)) {
      const mask = fold(parts, dim)
      if (mask !== never) found.push({ effect: 'deny', rule: rule.name, owed: null, digest: above.policy.digest })
      if (!can(mask, no)) return found
    }
  const { digest } = policy.policy
  for (const { rule, owed, parts, login } of enforced(policy.policy.allows, policy.allows, dim)) {
    const mask = fold(parts, dim)
    if (!can(mask, yes)) continue
    const signedIn = fold(login, dim)
    if (can(signedIn, yes)) found.push({ effect: 'allow', rule: rule.name, owed, digest })
    if (signedIn !== always) found.push({ effect: 'step-up', rule: rule.name, owed: null, digest })
    if (mask === always) return found
  }
  found.push({ effect: 'deny', rule: 'default', owed: null, digest })
  return found
}

/** Rules in force on the route, denies first. */
export const onRoute = ({ policy, denies, allows }: Possible, dim: Dim): readonly PossibleRule[] => [
  ...enforced(policy.denies, denies, dim),
  ...enforced(policy.allows, allows, dim),
]

const enforced = ({ index }: RuleSet, rules: readonly PossibleRule[], { look }: Dim): readonly PossibleRule[] => {
  const { method, target } = look.facts.origin
  return candidates(index, method, target.path).flatMap(number => {
    const rule = rules[number]
    return rule === undefined || rule.rule.mode === 'shadow' ? [] : rule
  })
}

const fold = (parts: readonly Part[], dim: Dim): Mask => {
  let mask = always
  for (const part of parts) {
    mask = bothOf(mask, part(dim))
    if (mask === never) return never
  }
  return mask
}

const partsOf = (rule: Rule, who: Who, claims: ReadonlyMap<string, Claim>): readonly Part[] => {
  const [side, opposite]: readonly [Side, Side] = rule.effect === 'allow' ? ['grant', 'refuse'] : ['refuse', 'grant']
  const { from, until, except, when, to } = rule
  const parts: Part[] = []
  if (from !== null) parts.push(({ look }) => only(told(look.facts.now >= from)))
  if (until !== null) parts.push(({ look }) => only(told(look.facts.now < until)))
  parts.push(who.of(rule.who, side))
  if (except.length > 0) {
    const excepted = who.of(except, opposite)
    parts.push(dim => notOf(excepted(dim)))
  }
  return when ? [...parts, ...whenParts(when, side, to, claims)] : parts
}

const nothing: When = { ipIn: null, ipNotIn: null, header: new Map(), query: new Map(), time: null, check: null }

const whenParts = (when: When, side: Side, lines: readonly RouteLine[], claims: ReadonlyMap<string, Claim>): readonly Part[] => {
  const { ipIn, ipNotIn, time, check } = when
  const parts: Part[] = []
  const add = (alone: Partial<When>, needs: readonly Need[]): void => {
    for (const { test } of compileWhen({ ...nothing, ...alone }, side, lines, claims)) parts.push(part(test, needs))
  }
  // Address and time stand on every record.
  if (ipIn) add({ ipIn }, [])
  if (ipNotIn) add({ ipNotIn }, [])
  for (const [name, wanted] of when.header) add({ header: new Map([[name, wanted]]) }, [[`header.${name}`, needOf(wanted)]])
  for (const [name, wanted] of when.query) add({ query: new Map([[name, wanted]]) }, [[`query.${name}`, needOf(wanted)]])
  if (time) add({ time }, [])
  if (check) {
    const { reads } = check
    const names = [
      ...reads.claims.map(name => claimFact(claims.get(name)?.from ?? [name])),
      ...reads.header.map(name => `header.${name}`),
      ...reads.query.map(name => `query.${name}`),
      ...(reads.facts.includes('scopes') ? ['scope'] : []),
    ]
    add(
      { check },
      names.map(name => [name, 'exact']),
    )
  }
  return parts
}

type Need = readonly [name: string, least: Grade]

/** Whether something is there shows in every grade; a range needs the number itself. */
const needOf = ({ kind }: Expectation): Grade => (kind === 'range' ? 'exact' : kind === 'one-of' ? 'equal' : 'opaque')

const order: Readonly<Record<Grade, number>> = { opaque: 0, equal: 1, exact: 2 }

const knows = ({ grades }: Dim, [name, least]: Need): boolean => {
  const grade = grades.get(name)
  return grade !== undefined && order[grade] >= order[least]
}

const part =
  (test: Test, needs: readonly Need[]): Part =>
  dim =>
    needs.every(need => knows(dim, need)) ? only(test(dim.look)) : any

const loginParts = (login: Login): readonly Part[] => {
  const none: Login = { acr: null, amr: null, within: null }
  const { acr, amr, within } = login
  const alone: readonly (readonly [Login, Need])[] = [
    [{ ...none, acr }, ['acr', 'equal']],
    [{ ...none, amr }, ['amr', 'equal']],
    [{ ...none, within }, ['auth_time', 'exact']],
  ]
  return alone.flatMap(([one, need]) => compileLogin(one).conditions.map(({ test }) => part(test, [need])))
}

interface Masks {
  readonly person: Mask
  readonly agent: Mask
}

/** The names of `who`, down to their single lines. */
class Who {
  readonly #parts = new Map<string, readonly ((dim: Dim) => Masks)[]>()
  readonly #claims: ReadonlyMap<string, Claim>
  /** Of one request: names within names must not make one caller expensive. */
  #seen: { readonly dim: Dim; readonly masks: Map<string, Masks> } | null = null

  constructor(who: ReadonlyMap<string, Definition>, claims: ReadonlyMap<string, Claim>) {
    this.#claims = claims
    this.#parts.set(anyone, [() => ({ person: always, agent: never })])
    for (const [name, definition] of who)
      this.#parts.set(
        name,
        definition.map(one =>
          typeof one === 'string' ? dim => this.#named(one, dim) : 'agent' in one ? this.#agent(one) : this.#person(one),
        ),
      )
  }

  of(names: readonly string[], side: Side): Part {
    return dim => {
      const { person, agent } = this.#anyOf(names, dim)
      if (side === 'refuse') return eitherOf(person, agent)
      return dim.look.facts.identity.agents.length > 0 ? agent : person
    }
  }

  #anyOf(names: readonly string[], dim: Dim): Masks {
    return union(names.map(name => this.#named(name, dim)))
  }

  #named(name: string, dim: Dim): Masks {
    if (this.#seen?.dim !== dim) this.#seen = { dim, masks: new Map() }
    const { masks } = this.#seen
    const before = masks.get(name)
    if (before !== undefined) return before
    const found = union((this.#parts.get(name) ?? []).map(one => one(dim)))
    masks.set(name, found)
    return found
  }

  #person(person: Person): (dim: Dim) => Masks {
    const none: Person = { groups: null, scopes: null, subject: null, issuer: null, claims: new Map() }
    const { groups, scopes, subject, issuer, claims } = person
    const lines: Part[] = []
    if (issuer) lines.push(this.#line({ ...none, issuer }, null))
    if (subject) lines.push(this.#line({ ...none, subject }, null))
    if (scopes) lines.push(this.#line({ ...none, scopes }, 'scope'))
    if (groups) lines.push(this.#line({ ...none, groups }, this.#fact('groups'), 'groups'))
    for (const [name, values] of claims) lines.push(this.#line({ ...none, claims: new Map([[name, values]]) }, this.#fact(name), name))
    return dim => ({ person: fold(lines, dim), agent: never })
  }

  #agent(agent: Agent): (dim: Dim) => Masks {
    const acting = this.#test({ ...agent, for: [] }).agent
    return dim => {
      const own = only(acting(dim.look.facts.identity))
      return { person: never, agent: agent.for.length === 0 ? own : bothOf(own, this.#anyOf(agent.for, dim).person) }
    }
  }

  #fact(claim: string): string {
    return claimFact(this.#claims.get(claim)?.from ?? [claim])
  }

  #test(one: Person | Agent): { readonly person: CallerTest; readonly agent: CallerTest } {
    const compiled = compileWho(new Map([['one', [one]]]), this.#claims).get('one')
    return compiled ?? { person: () => no, agent: () => no }
  }

  /** `fact`: what it reads beside what every record tells. */
  #line(one: Person, fact: string | null, claim: string | null = null): Part {
    const { person } = this.#test(one)
    const declared = claim === null ? undefined : this.#claims.get(claim)
    const read = declared && claim !== null ? claimReader(claim, declared) : null
    return dim => {
      const { identity } = dim.look.facts
      if (fact === null || knows(dim, [fact, 'equal'])) return only(person(identity))
      if (!knows(dim, [fact, 'opaque']) || read === null) return any
      // Its kind is known: absent, or of another kind than declared, it says the same whatever its value is.
      const value = read(identity.claims)
      return value === faulty || value === undefined ? only(person(identity)) : any
    }
  }
}

const union = (parts: readonly Masks[]): Masks =>
  parts.reduce((out, one) => ({ person: eitherOf(out.person, one.person), agent: eitherOf(out.agent, one.agent) }), {
    person: never,
    agent: never,
  })
