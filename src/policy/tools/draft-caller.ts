import { formatDuration } from '../../config/values.ts'
import { claimFact } from '../engine/reads.ts'
import { type Claim, isList, walk } from '../language/claims.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { CallerKeys } from '../tests/caller.ts'
import type { Dim } from './possible.ts'
import type { StandIns } from './stand-ins.ts'

/** A draft names nothing that a test file cannot write. */
export type Refused = 'hashed' | 'unwritable'

export interface Around {
  readonly document: PolicyDocument
  readonly recognise: Recognise
  /** Facts that the rules read. */
  readonly reads: ReadonlySet<string>
  readonly standIns: StandIns
}

/** Actors that a test file nests before its depth ends. */
const mostAgents = 4

/** The caller of a request, for a test file: keys as `buildCaller` takes them, without a name or a real subject. */
export const draftCaller = (dim: Dim, around: Around): CallerKeys | Refused => {
  const { look, grades } = dim
  const { identity, origin, now } = look.facts
  const { document, recognise, reads, standIns } = around
  const keys = new Map<string, unknown>()
  const isKnown = (fact: string): boolean => grades.get(fact) === 'exact' || grades.get(fact) === 'equal'
  const subject = standIns.subject(identity.subject)
  if (subject !== null) keys.set('sub', subject)
  if (identity.issuer !== recognise.issuer[0]) keys.set('iss', identity.issuer)
  if (recognise.host !== null && origin.host !== recognise.host[0]) keys.set('host', origin.host)
  if (identity.agents.length > mostAgents || '_claim_names' in identity.claims || 'hasgroups' in identity.claims) return 'unwritable'
  if (identity.agents.length > 0)
    keys.set(
      'act',
      identity.agents.map(agent => standIns.agent(agent)),
    )
  for (const [name, claim] of document.claims) {
    const fact = claimFact(claim.from ?? [name])
    if (!reads.has(fact)) continue
    if (!isKnown(fact)) return 'hashed'
    const value = walk(identity.claims, claim.from ?? [name])
    if (value === undefined) continue
    const written = claimValue(fact, claim, value, standIns)
    if (written === null) return 'unwritable'
    keys.set(name, written)
  }
  for (const fact of ['scope', 'acr', 'amr', 'auth_time']) if (reads.has(fact) && !isKnown(fact)) return 'hashed'
  if (reads.has('scope') && identity.scopes.length > 0) keys.set('scope', standIns.values('scope', identity.scopes))
  if (reads.has('acr') && typeof identity.claims['acr'] === 'string') keys.set('acr', standIns.value('acr', identity.claims['acr']))
  if (reads.has('amr') && Array.isArray(identity.claims['amr'])) keys.set('amr', standIns.values('amr', identity.claims['amr'] as string[]))
  if (reads.has('auth_time') && identity.claims['auth_time'] !== undefined) {
    const ago = signedIn(now, identity.claims['auth_time'], document)
    if (ago === null || grades.get('auth_time') !== 'exact') return 'hashed'
    keys.set('signed-in', { ago })
  }
  const ip = standIns.readsAddress ? standIns.address(origin.clientIp) : null
  if (ip !== null) keys.set('ip', ip)
  return keys
}

const claimValue = (fact: string, claim: Claim, value: unknown, standIns: StandIns): unknown => {
  if (!isList(claim.type)) return typeof value === kindOf(claim) ? standIns.value(fact, value as string) : null
  if (!Array.isArray(value) || !value.every(item => typeof item === kindOf(claim))) return null
  if (claim.type === 'list<string>') return standIns.values(fact, value)
  return [...new Set(value.map(item => standIns.value(fact, item as number)))].sort()
}

const kindOf = ({ type }: Claim): string => (type === 'bool' ? 'boolean' : type.includes('number') ? 'number' : 'string')

/** The oldest sign-in that every rule judges like this one. Null: not a past one. */
const signedIn = (now: number, at: unknown, { rules }: PolicyDocument): number | null => {
  const age = typeof at === 'number' ? now - at * 1000 : Number.NaN
  if (!(age >= 0)) return null
  const bounds = rules.flatMap(({ login }) => login?.within ?? []).sort((a, b) => a - b)
  return bounds.find(bound => age <= bound) ?? (bounds.at(-1) ?? 0) + 60_000
}

/** A key of a flow map: quoted where YAML might read another value. */
export const keyText = (name: string): string =>
  /^[A-Za-z_][\w-]*$/.test(name) && !/^(true|false|null)$/i.test(name) ? name : JSON.stringify(name)

/** A caller as a line of YAML. */
export const spellCaller = (keys: CallerKeys): string => {
  const parts = [...keys].map(([name, value]) => `${keyText(name)}: ${name === 'act' ? actor(value as string[]) : spell(name, value)}`)
  return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`
}

const spell = (name: string, value: unknown): string =>
  name === 'signed-in' ? `${formatDuration((value as { readonly ago: number }).ago)} ago` : JSON.stringify(value)

const actor = ([first, ...more]: readonly string[]): string =>
  `{ sub: ${JSON.stringify(first)}${more.length > 0 ? `, act: ${actor(more)}` : ''} }`
