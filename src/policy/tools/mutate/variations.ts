import { type AddressKey, addressKey, addressSet, addressText, type Range } from '../../../config/address.ts'
import type { ZoneClocks } from '../../../model/decision.ts'
import type { Agent, Person } from '../../language/caller-shape.ts'
import { isList } from '../../language/claims.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Rule } from '../../language/rule.ts'
import { isWithin } from '../../language/time.ts'
import type { Expectation as Wanted, When } from '../../language/when.ts'
import type { CallerKeys, TestRequest } from '../../tests/caller.ts'

/** One way to ask otherwise: other keys of the caller, another moment, another request. */
export interface Variation {
  readonly keys: CallerKeys
  readonly at: number | null
  readonly request: TestRequest | null
}

const asIs: Variation = { keys: new Map(), at: null, request: null }
const withKeys = (...keys: readonly (readonly [string, unknown])[]): Variation => ({ ...asIs, keys: new Map(keys) })

/** What needs more changes than this would be a case that nobody reads. */
export const mostChanges = 4
const mostOfOneKind = 12

/** Changes of one kind each; a combination has at most one of each. */
export type Kinds = readonly (readonly Variation[])[]

/** Ways to ask a question otherwise that could matter to a rule: of each kind of change a few. */
export const kindsOf = (rule: Rule, document: PolicyDocument, now: number, zones: ZoneClocks, request: TestRequest): Kinds =>
  [
    requests(rule, request),
    people(rule.who, document),
    people(rule.except, document),
    moments(rule, now, zones),
    addresses(rule),
    logins(rule),
  ].map(some => some.slice(0, mostOfOneKind))

/** Every combination of exactly so many changes. */
export function* combined(kinds: Kinds, changes: number, from = 0, so: Variation = asIs): Generator<Variation> {
  if (changes === 0) yield so
  for (let kind = from; changes > 0 && kind < kinds.length; kind++)
    for (const change of kinds[kind] ?? []) yield* combined(kinds, changes - 1, kind + 1, together(so, change))
}

/** Two changes of one list add up: somebody in two groups. */
const together = (a: Variation, b: Variation): Variation => {
  const keys = new Map(a.keys)
  for (const [key, value] of b.keys) {
    const known = keys.get(key)
    keys.set(key, Array.isArray(known) && Array.isArray(value) && key !== 'act' ? [...new Set([...known, ...value])] : value)
  }
  return { keys, at: b.at ?? a.at, request: b.request ?? a.request }
}

/** Callers whom the names mean, and one who acts in person. */
const people = (names: readonly string[], document: PolicyDocument): readonly Variation[] => {
  const seen = new Set<string>()
  const parts = (name: string): readonly (Person | Agent)[] => {
    if (seen.has(name)) return []
    seen.add(name)
    return (document.who.get(name) ?? []).flatMap(part => (typeof part === 'string' ? parts(part) : [part]))
  }
  return names.flatMap(parts).map(part => ('agent' in part ? asAgent(part, document) : asPerson(part, document)))
}

const asPerson = ({ groups, scopes, subject, issuer, claims }: Person, document: PolicyDocument): Variation =>
  withKeys(
    ...(groups ? [['groups', groups.slice(0, 1)] as const] : []),
    ...(scopes ? [['scope', scopes.slice(0, 1)] as const] : []),
    ...(subject ? [['sub', subject[0]] as const] : []),
    ...(issuer ? [['iss', issuer[0]] as const] : []),
    ...[...claims].map(
      ([name, values]) => [name, isList(document.claims.get(name)?.type ?? 'string') ? values.slice(0, 1) : values[0]] as const,
    ),
  )

const asAgent = ({ agent, for: names, issuer }: Agent, document: PolicyDocument): Variation => {
  const [person] = names.length === 0 ? [] : people(names.slice(0, 1), document)
  const acting = withKeys(['act', [agent?.[0] ?? 'some-agent']], ...(issuer ? [['iss', issuer[0]] as const] : []))
  return person ? together(acting, person) : acting
}

const second = 1000
const halfHour = 1800 * second
const farthest = 40 * 48

/** Moments on both sides of each bound, the nearest to `now` first. */
const moments = ({ from, until, when }: Rule, now: number, zones: ZoneClocks): readonly Variation[] => {
  const bounds = [...(from === null ? [] : [from - second, from]), ...(until === null ? [] : [until - second, until])]
  const time = when?.time ?? null
  const local = (wanted: boolean): number[] => {
    for (let step = 0; time !== null && step < farthest; step++) {
      const moment = now + step * halfHour
      const clock = zones.at(time.zone, moment)
      if (clock !== null && isWithin(time, clock) === wanted) return [moment]
    }
    return []
  }
  return [...new Set([...local(true), ...local(false), ...bounds])].filter(at => at !== now).map(at => ({ ...asIs, at }))
}

const elsewhere = ['203.0.113.99', '10.0.0.99', '2001:db8::99']

/** An address that the rule wants, one that it does not, and none that is known. */
const addresses = ({ when }: Rule): readonly Variation[] => {
  const ranges = [when?.ipIn, when?.ipNotIn].flatMap(some => (some ? [some] : []))
  if (ranges.length === 0) return []
  const keys = [...ranges.map(some => some[0]?.low), ...elsewhere.map(addressKey)].filter(
    (key): key is AddressKey => typeof key === 'string',
  )
  const inside = (some: readonly Range[], key: AddressKey): boolean => addressSet(some)(key)
  const kinds = new Map(keys.map(key => [ranges.map(some => inside(some, key)).join(), key]))
  return [...[...kinds.values()].map(key => withKeys(['ip', addressText(key)])), withKeys(['ip', null])]
}

const logins = ({ login }: Rule): readonly Variation[] =>
  login === null
    ? []
    : [
        withKeys(
          ...(login.acr ? [['acr', login.acr[0]] as const] : []),
          ...(login.amr ? [['amr', login.amr.slice(0, 1)] as const] : []),
          ...(login.within === null ? [] : [['signed-in', { ago: Math.min(login.within, 60 * second) }] as const]),
        ),
        withKeys(['acr', null], ['amr', null], ['signed-in', null]),
      ]

/** The request with what the rule asks of header and query, and the same without one of them or with another value. */
const requests = ({ when }: Rule, request: TestRequest): readonly Variation[] => {
  if (when === null || when.header.size + when.query.size === 0) return []
  const fitting = fittingRequest(when, request)
  const others = [
    ...[...when.header.keys()].flatMap(name => [setHeader(fitting, name, null), setHeader(fitting, name, 'other')]),
    ...[...when.query].flatMap(([name, wanted]) => [setQuery(fitting, name, null), setQuery(fitting, name, misfit(wanted))]),
  ]
  return [fitting, ...others].map(one => ({ ...asIs, request: one }))
}

const fittingRequest = (when: When, request: TestRequest): TestRequest => {
  let fitting = request
  for (const [name, wanted] of when.header) fitting = setHeader(fitting, name, example(wanted))
  for (const [name, wanted] of when.query) fitting = setQuery(fitting, name, example(wanted))
  return fitting
}

const example = (wanted: Wanted): string | null => {
  if (wanted.kind === 'absent') return null
  if (wanted.kind === 'present') return 'yes'
  return wanted.kind === 'one-of' ? (wanted.values[0] ?? '') : String(Number.isFinite(wanted.min) ? wanted.min : wanted.max)
}

const misfit = (wanted: Wanted): string =>
  wanted.kind === 'range' ? String(Number.isFinite(wanted.max) ? wanted.max + 1 : wanted.min - 1) : 'other'

const setHeader = (request: TestRequest, name: string, value: string | null): TestRequest => {
  const kept = request.headers.flatMap((text, i) => (i % 2 === 0 && text !== name ? [text, request.headers[i + 1] ?? ''] : []))
  return { ...request, headers: value === null ? kept : [...kept, name, value] }
}

/** Names and values as they stand in a request; what cannot be decoded is left as it is. */
const setQuery = (request: TestRequest, name: string, value: string | null): TestRequest => {
  const own = encodeURIComponent(name)
  const kept = (request.target.query ?? '').split('&').filter(pair => pair !== '' && pair.split('=', 1)[0] !== own)
  const pairs = value === null ? kept : [...kept, `${own}=${encodeURIComponent(value)}`]
  return { ...request, target: { ...request.target, query: pairs.length === 0 ? null : pairs.join('&') } }
}
