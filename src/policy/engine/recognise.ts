import { finish, type Steps } from '../../config/steps.ts'
import type { Identity } from '../../model/identity.ts'
import type { Recognise } from '../language/recognise-shape.ts'

/** Whoever `recognise` names, and what is found for them. */
export interface Claimant<T> {
  readonly recognise: Recognise
  readonly value: T
}

export type Found<T> = { readonly one: T } | 'none' | 'several'

interface Candidate<T> {
  readonly value: T
  readonly audiences: ReadonlySet<string>
  readonly claims: readonly (readonly [string, ReadonlySet<string>])[]
}

/** Claimants of one issuer and host: by one of their claims, so that a thousand tenants behind one issuer cost a look-up, not a scan. */
interface Bucket<T> {
  readonly plain: Candidate<T>[]
  readonly byClaim: Map<string, Map<string, Candidate<T>[]>>
}

interface ByHost<T> {
  readonly hosts: Map<string, Bucket<T>>
  readonly anyHost: Bucket<T>
}

/** Which claimants a validated token and an established host belong to. */
export type TenantIndex<T> = (identity: Identity, host: string) => Found<T>

/** For a few tenants; `indexingTenants` does not hold anybody up. */
export const tenantIndex = <T>(claimants: readonly Claimant<T>[]): TenantIndex<T> => finish(indexingTenants(claimants))

export function* indexingTenants<T>(claimants: readonly Claimant<T>[]): Steps<TenantIndex<T>> {
  const issuers = new Map<string, ByHost<T>>()
  for (const { recognise, value } of claimants) {
    const candidate: Candidate<T> = {
      value,
      audiences: new Set(recognise.audience),
      claims: [...recognise.claims].map(([name, values]) => [name, new Set(values)] as const),
    }
    for (const issuer of new Set(recognise.issuer)) {
      const byHost = getOr(issuers, issuer, () => ({ hosts: new Map(), anyHost: bucket<T>() }))
      if (recognise.host === null) add(byHost.anyHost, candidate)
      else for (const host of new Set(recognise.host)) add(getOr(byHost.hosts, host, bucket<T>), candidate)
    }
    yield
  }
  return (identity, host) => {
    const byHost = issuers.get(identity.issuer)
    if (byHost === undefined) return 'none'
    const named = byHost.hosts.get(host)
    const first: Found<T> = named === undefined ? 'none' : search(named, identity, 'none')
    return search(byHost.anyHost, identity, first)
  }
}

const bucket = <T>(): Bucket<T> => ({ plain: [], byClaim: new Map() })

const getOr = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

const add = <T>(to: Bucket<T>, candidate: Candidate<T>): void => {
  const [first] = candidate.claims
  if (first === undefined) {
    to.plain.push(candidate)
    return
  }
  const values = getOr(to.byClaim, first[0], () => new Map<string, Candidate<T>[]>())
  for (const value of first[1]) getOr(values, value, () => []).push(candidate)
}

const search = <T>(bucketed: Bucket<T>, identity: Identity, before: Found<T>): Found<T> => {
  let found = judge(bucketed.plain, identity, before)
  for (const [name, values] of bucketed.byClaim) {
    const claim = claimOf(identity, name)
    if (typeof claim === 'string') found = judge(values.get(claim), identity, found)
    else if (Array.isArray(claim)) for (const item of claim) if (typeof item === 'string') found = judge(values.get(item), identity, found)
  }
  return found
}

/** Every line must agree, and only one claimant may: a token of two tenants is a token of none. */
const judge = <T>(candidates: readonly Candidate<T>[] | undefined, identity: Identity, before: Found<T>): Found<T> => {
  let found = before
  for (const candidate of candidates ?? []) {
    if (!agrees(candidate, identity)) continue
    if (found === 'none') found = { one: candidate.value }
    else if (found === 'several' || found.one !== candidate.value) found = 'several'
  }
  return found
}

const agrees = <T>(candidate: Candidate<T>, identity: Identity): boolean => {
  let addressed = false
  for (const audience of identity.audiences) if (candidate.audiences.has(audience)) addressed = true
  if (!addressed) return false
  for (const [name, wanted] of candidate.claims) if (!carries(claimOf(identity, name), wanted)) return false
  return true
}

export const carries = (claim: unknown, wanted: ReadonlySet<string>): boolean => {
  if (typeof claim === 'string') return wanted.has(claim)
  if (!Array.isArray(claim)) return false
  for (const item of claim) if (typeof item === 'string' && wanted.has(item)) return true
  return false
}

const claimOf = (identity: Identity, name: string): unknown => (Object.hasOwn(identity.claims, name) ? identity.claims[name] : undefined)

/**
 * The tenant to which a host alone belongs. A tenant without host lines may be meant by any host, so where there is
 * one, no host tells anything.
 */
export const hostOwners = (claimants: readonly Claimant<string>[]): ((host: string) => string | null) => {
  if (claimants.some(claimant => claimant.recognise.host === null)) return () => null
  const owners = new Map<string, string | null>()
  for (const { recognise, value } of claimants)
    for (const host of recognise.host ?? []) {
      const known = owners.get(host)
      owners.set(host, known === undefined || known === value ? value : null)
    }
  return host => owners.get(host) ?? null
}
