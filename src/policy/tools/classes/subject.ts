import { createHash } from 'node:crypto'
import { merged, type Obligations, type SpelledObligations, spelledObligations } from '../../../model/obligation.ts'
import type { Person } from '../../language/caller-shape.ts'
import type { ClaimType, Scalar } from '../../language/claims.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Rule } from '../../language/rule.ts'
import { anyone } from '../../language/who.ts'

/** One question about a caller, with everything that it depends on. */
export type Question =
  | { readonly of: 'issuer' | 'subject' | 'scopes'; readonly wanted: readonly string[] }
  | { readonly of: 'claim'; readonly name: string; readonly read: ClaimAt; readonly wanted: readonly Scalar[] }

export interface ClaimAt {
  readonly path: readonly string[]
  readonly type: ClaimType
  readonly optional: boolean
}

/** All of these. None: everybody. */
export type Persons = readonly Question[]
export interface Agents {
  readonly ids: readonly string[] | null
  readonly maxHops: number | null
  readonly issuer: readonly string[] | null
  /** Any of these persons; null: whoever it works for. */
  readonly persons: readonly Persons[] | null
}

/** What a `who` or `except` asks, all names resolved: any of these. */
export interface Callers {
  readonly names: readonly string[]
  readonly persons: readonly Persons[]
  readonly agents: readonly Agents[]
}

/** One enforced rule, with everything about it that can change a decision. */
export interface Subject {
  readonly rule: Rule
  /** Of the platform file. */
  readonly above: boolean
  readonly who: Callers
  readonly except: Callers | null
  readonly obligations: Obligations
  /** What its check asks, apart from where its path variables stand; null: it has none. */
  readonly check: string | null
  /** Two rules with the same key decide alike on every route that both cover, whatever file they stand in. */
  readonly key: string
}

type Definitions = Pick<PolicyDocument, 'who' | 'claims'>

/** What callers are called does not matter, only what is asked of them. */
type Asked = Omit<Callers, 'names'>

const everybody: Asked = { persons: [[]], agents: [] }

/** Resolves names to what they ask (policy 4.3). Each name is resolved once, however many lead to it. */
export const callersOf = (definitions: Definitions): ((names: readonly string[]) => Callers) => {
  const known = new Map<string, Asked>([[anyone, everybody]])
  const resolve = (name: string): Asked => {
    const found = known.get(name)
    if (found !== undefined) return found
    const parts = (definitions.who.get(name) ?? []).map((part): Asked => {
      if (typeof part === 'string') return resolve(part)
      if (!('agent' in part)) return { persons: [questions(part, definitions)], agents: [] }
      const persons = part.for.length === 0 ? null : unique(part.for.flatMap(one => resolve(one).persons))
      return { persons: [], agents: [{ ids: part.agent, maxHops: part.maxHops, issuer: part.issuer, persons }] }
    })
    const asked = joined(parts)
    known.set(name, asked)
    return asked
  }
  return names => ({ names, ...joined(names.map(resolve)) })
}

const joined = (parts: readonly Asked[]): Asked => ({
  persons: unique(parts.flatMap(part => part.persons)),
  agents: unique(parts.flatMap(part => part.agents)),
})

const unique = <T>(items: readonly T[]): readonly T[] =>
  items.length < 2 ? items : [...new Map(items.map(item => [JSON.stringify(item), item])).values()]

const questions = (person: Person, definitions: Definitions): Persons => [
  ...(person.issuer ? [{ of: 'issuer', wanted: person.issuer } as const] : []),
  ...(person.subject ? [{ of: 'subject', wanted: person.subject } as const] : []),
  ...(person.scopes ? [{ of: 'scopes', wanted: person.scopes } as const] : []),
  ...(person.groups ? claimQuestion('groups', person.groups, definitions) : []),
  ...[...person.claims].flatMap(([claim, values]) => claimQuestion(claim, values, definitions)),
]

const claimQuestion = (name: string, wanted: readonly Scalar[], { claims }: Definitions): readonly Question[] => {
  const claim = claims.get(name)
  if (claim === undefined) return []
  const { type, optional, from } = claim
  return [{ of: 'claim', name, read: { path: from ?? [name], type, optional }, wanted }]
}

/** The enforced rules of a tenant under the platform file, in the order in which they are asked: denies above, denies, allows. */
export const subjectsOf = (policy: PolicyDocument | null, platform: PolicyDocument): readonly Subject[] => [
  ...ruleSubjects(platform, true, platform.always).filter(({ rule }) => rule.effect === 'deny'),
  ...(policy === null ? [] : inOrder(ruleSubjects(policy, false, merged(platform.always, policy.always)))),
]

const inOrder = (subjects: readonly Subject[]): readonly Subject[] => [
  ...subjects.filter(({ rule }) => rule.effect === 'deny'),
  ...subjects.filter(({ rule }) => rule.effect === 'allow'),
]

const ruleSubjects = (document: PolicyDocument, above: boolean, always: Obligations): readonly Subject[] => {
  const resolve = callersOf(document)
  return document.rules
    .filter(rule => rule.mode === 'enforce')
    .map(rule => {
      const who = resolve(rule.who)
      const except = rule.except.length === 0 ? null : resolve(rule.except)
      const obligations = merged(always, rule.own)
      const asked = [who.persons, who.agents, except?.persons, except?.agents]
      const key = digest([above, asked, content(rule, document), rule.effect === 'allow' ? settled(obligations) : null])
      return { rule, above, who, except, obligations, check: checkOf(rule, document), key }
    })
}

const digest = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('base64')

const content = (rule: Rule, document: PolicyDocument) => {
  const { effect, name, when, from, until, login, role } = rule
  return {
    ...{ effect, name, from, until, login, role: role?.name ?? null, check: checkOf(rule, document) },
    when: when && {
      ...{ ipIn: when.ipIn, ipNotIn: when.ipNotIn, header: [...when.header], query: [...when.query] },
      time: when.time && { ...when.time, days: listed(when.time.days), monthDays: listed(when.time.monthDays) },
    },
  }
}

const checkOf = ({ when }: Rule, { claims }: PolicyDocument): string | null =>
  when?.check ? JSON.stringify([when.check.text, when.check.reads.claims.map(name => claims.get(name))]) : null

const listed = (set: ReadonlySet<number> | null): readonly number[] | null => set && [...set].sort((a, b) => a - b)

/** Whatever the order in which they are written. */
const settled = (obligations: Obligations): SpelledObligations => {
  const { hide, limits } = spelledObligations(obligations)
  return { hide: hide.toSorted(), limits: limits.toSorted() }
}
