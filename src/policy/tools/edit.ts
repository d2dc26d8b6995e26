import type { Facts } from '../../model/decision.ts'
import type { Origin } from '../../model/exchange.ts'
import type { Identity } from '../../model/identity.ts'
import type { Claim } from '../language/claims.ts'

type Payload = Readonly<Record<string, unknown>>

export const withIdentity = (facts: Facts, changed: Partial<Identity>): Facts => ({ ...facts, identity: { ...facts.identity, ...changed } })
export const withOrigin = (facts: Facts, changed: Partial<Origin>): Facts => ({ ...facts, origin: { ...facts.origin, ...changed } })

/** The token with another value of a declared claim; undefined takes it away. What says that this claim was left out goes too. */
export const withClaim = (facts: Facts, name: string, { from }: Claim, value: unknown): Facts => {
  const path = from ?? [name]
  const top = path[0] ?? name
  let claims: Payload = facts.identity.claims
  if (name === 'groups' || top === 'groups') claims = without(claims, 'hasgroups')
  const elsewhere = claims['_claim_names']
  claims = without(claims, '_claim_names')
  if (isMap(elsewhere)) claims = { ...claims, _claim_names: without(elsewhere, top) }
  return withIdentity(facts, { claims: put(claims, path, value) })
}

const put = (at: Payload, [key, ...rest]: readonly string[], value: unknown): Payload => {
  if (key === undefined) return at
  const inner = Object.hasOwn(at, key) ? at[key] : undefined
  const next = rest.length === 0 ? value : put(isMap(inner) ? inner : {}, rest, value)
  const others = without(at, key)
  return next === undefined ? others : { ...others, [key]: next }
}

const isMap = (value: unknown): value is Payload => typeof value === 'object' && value !== null && !Array.isArray(value)
const without = (payload: Payload, key: string): Payload => Object.fromEntries(Object.entries(payload).filter(([name]) => name !== key))

/** The request with exactly these lines of a field. */
export const withHeader = (facts: Facts, name: string, values: readonly string[]): Facts => {
  const { headers } = facts.origin
  const kept = headers.filter((_, i) => headers[i - (i % 2)] !== name)
  return withOrigin(facts, { headers: [...kept, ...values.flatMap(value => [name, value])] })
}

/** The request with exactly these values of a parameter, and without parameters that no server can read for sure. */
export const withQuery = (facts: Facts, name: string, values: readonly string[]): Facts => {
  const { target } = facts.origin
  const pairs = (target.query ?? '').split(/[&;]/).filter(pair => pair !== '' && !mayBe(pair.split('=')[0] ?? '', name))
  const added = values.map(value => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  const query = [...pairs, ...added].join('&')
  return withOrigin(facts, { target: { ...target, query: query === '' ? null : query } })
}

const mayBe = (written: string, name: string): boolean => {
  try {
    return [written, written.replaceAll('+', ' ')].some(reading => decodeURIComponent(reading) === name)
  } catch {
    return true
  }
}
