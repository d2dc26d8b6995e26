import type { Facts } from '../../model/decision.ts'
import type { Origin } from '../../model/exchange.ts'
import type { Identity } from '../../model/identity.ts'
import { type Claim, claimReader, faulty } from '../language/claims.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import { requestFacts } from '../tests/run.ts'
import type { FiledBench } from './change.ts'
import { withClaim } from './edit.ts'
import type { Place } from './places.ts'
import { recognitionOf } from './recognition.ts'

/** A declared claim that a token does not carry as declared: whatever reads it cannot be told. */
export interface ClaimFault {
  readonly claim: string
  readonly declared: string
  readonly seen: string
  readonly place: Place
}

/** Where a token disagrees with `claims:` of a policy. */
export const claimFaults = ({ policy, file, places }: FiledBench, facts: Facts): readonly ClaimFault[] =>
  [...policy.document.claims].flatMap(([name, claim]) => {
    const seen = faultOf(name, claim, facts)
    if (seen === null) return []
    const declared = `${claim.type}${claim.optional ? '?' : ''}`
    return [{ claim: name, declared, seen, place: places.key(file, ['claims', name]) }]
  })

const faultOf = (name: string, claim: Claim, facts: Facts): string | null => {
  const isFaulty = (one: Claim, { identity }: Facts): boolean => claimReader(name, one)(identity.claims) === faulty
  if (!isFaulty(claim, facts)) return null
  if (!isFaulty({ ...claim, optional: true }, facts)) return 'missing'
  const fitting = claim.type.startsWith('list') ? [] : claim.type === 'string' ? '' : claim.type === 'number' ? 0 : false
  // With the marks of an overflow gone and nothing but a value that fits in its place, what is left cannot be a fault.
  const value = valueAt(facts.identity.claims, claim.from ?? [name])
  if (value === undefined && !isFaulty(claim, withClaim(facts, name, claim, fitting)))
    return 'left out: the token says that it had too many (_claim_names or hasgroups), or something else than an object stands on the way to it'
  return kindOf(value)
}

const valueAt = (payload: object, path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? Reflect.get(at, key) : undefined),
    payload,
  )

const kindOf = (value: unknown): string => {
  if (Array.isArray(value)) {
    const kinds = [...new Set(value.map(item => (item === null ? 'null' : typeof item)))].sort()
    return `a list of ${value.length}${kinds.length === 0 ? '' : `, of ${kinds.join(' and ')}`}${value.length > 1000 ? '; at most 1000 are read' : ''}`
  }
  return value === null ? 'null' : typeof value === 'object' ? 'an object' : typeof value
}

/** A request as somebody types it. */
export type TypedRequest = Pick<Origin, 'method' | 'target' | 'headers' | 'clientIp'>

/** The facts of a request with this identity. Without a host, it is asked at the tenant's own first host. */
export const tokenFacts = (bench: FiledBench, identity: Identity, request: TypedRequest, host: string | null, now: number): Facts =>
  requestFacts({ ...request, host: host ?? bench.recognise.host?.[0] ?? 'unknown.invalid' }, identity, now, zoneClocks())

/** How many lines of `recognise` disagree. */
export const disagreement = (bench: FiledBench, facts: Facts): number =>
  recognitionOf(bench.recognise, facts).filter(line => !line.agrees).length
