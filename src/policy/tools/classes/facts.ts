import type { Facts, ZoneClocks } from '../../../model/decision.ts'
import type { Method, Origin } from '../../../model/exchange.ts'
import type { Recognise } from '../../language/recognise-shape.ts'
import { put } from '../../tests/caller.ts'
import { requestFacts } from '../../tests/run.ts'
import type { Draft } from './axis.ts'

/** What every request of an analysis has: it is recognised as the tenant's own. */
export interface Base {
  readonly host: string
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly claims: Readonly<Record<string, unknown>>
}

/** A request that all these recognise lines agree on; null where there is none. */
export const commonBase = (all: readonly Recognise[]): Base | null => {
  const [issuer] = issuersOf(all)
  const [host] = common(all.flatMap(({ host }) => (host === null ? [] : [host])))
  if (issuer === undefined || (host === undefined && all.some(one => one.host !== null))) return null
  const claims: Record<string, unknown> = Object.create(null)
  for (const name of new Set(all.flatMap(one => [...one.claims.keys()]))) {
    const wanted = all.flatMap(one => (one.claims.get(name)?.length ? [one.claims.get(name) ?? []] : []))
    const [shared] = common(wanted)
    // A claim may be a list, and then contain what each of them asks for.
    claims[name] = shared ?? wanted.flatMap(values => values.slice(0, 1))
  }
  return { host: host ?? 'any.invalid', issuer, audiences: all.flatMap(one => one.audience.slice(0, 1)), claims }
}

/** Issuers that all of them accept. */
export const issuersOf = (all: readonly Recognise[]): readonly string[] => common(all.map(one => one.issuer))

const common = (lists: readonly (readonly string[])[]): readonly string[] => {
  const [first = [], ...rest] = lists
  return first.filter(value => rest.every(list => list.includes(value)))
}

export const anyMoment = Date.parse('2026-01-05T12:00:00Z')

export const draftOf = ({ issuer }: Base): Draft => ({
  issuer,
  subject: 'somebody',
  scopes: [],
  agents: [],
  claims: new Map(),
  address: '203.0.113.9',
  now: anyMoment,
  age: null,
  headers: [],
  query: [],
  checks: new Map(),
})

/** The request that a draft describes. */
export const factsOf = (draft: Draft, base: Base, method: Method, path: string, zones: ZoneClocks): Facts => {
  const claims: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(base.claims)) claims[name] = Array.isArray(value) ? [...value] : value
  for (const [place, value] of draft.claims) put(claims, JSON.parse(place) as string[], value ?? null)
  if (draft.age !== null) claims['auth_time'] = (draft.now - draft.age) / 1000
  const { issuer, subject, scopes, agents, address, now } = draft
  const identity = { issuer, subject, audiences: base.audiences, scopes, agents, claims, expiresAt: Number.MAX_SAFE_INTEGER }
  const target = { path, query: draft.query.length === 0 ? null : draft.query.join('&') }
  return requestFacts({ method, target, headers: draft.headers.flat(), host: base.host, clientIp: address }, identity, now, zones)
}

const nobody = { issuer: '', subject: '', audiences: [], scopes: [], agents: [], claims: {}, expiresAt: 0 }

/** Facts with nothing in them but one thing that a condition reads. */
export const bareFacts = (zones: ZoneClocks, origin: Partial<Origin>, now = 0): Facts => {
  const nothing = { method: 'GET', target: { path: '/', query: null }, headers: [], host: '', clientIp: null } as const
  return requestFacts({ ...nothing, ...origin }, nobody, now, zones)
}
