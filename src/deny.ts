import { parseDuration } from './config/values.ts'
import type { Audit } from './model/audit.ts'
import type { Deps } from './model/deps.ts'
import { eventCodes } from './record/codes.ts'
import { type Entry, kinds, longest } from './revocation/entry.ts'
import { mostEntries } from './revocation/list.ts'
import type { Done, Revocation } from './revocation/revocation.ts'
import type { Snapshot } from './snapshot.ts'

export interface DenyParts extends Pick<Deps, 'clock' | 'random'> {
  readonly revocation: Revocation
  readonly audit: Pick<Audit, 'event'>
  /** Names that a denial may be about: one that nobody has would deny nobody. */
  readonly tenants: readonly string[]
  readonly issuers: readonly string[]
}

/** What a denial may be about under this snapshot. */
export const denyParts = (
  { deps, ...parts }: Pick<DenyParts, 'revocation' | 'audit'> & { readonly deps: Deps },
  { policy, loaded }: Snapshot,
): DenyParts => ({
  ...deps,
  ...parts,
  tenants: policy.tenants.map(({ tenant }) => tenant),
  issuers: loaded.issuers.map(({ issuer }) => issuer),
})

/** The answer of the control socket. `refused`: what was asked for cannot be, and nothing was done. */
export type DenyAnswer =
  | { readonly refused: string }
  | { readonly entries: readonly Entry[] }
  | ({ readonly entry: Entry; readonly removed: boolean } & Done)

type Body = Readonly<Record<string, unknown>>

const longestTime = 366 * 86_400_000

/** `postern deny`, as the running process hears it. */
export const denyAct = async (parts: DenyParts, body: Body): Promise<DenyAnswer> => {
  const { revocation } = parts
  if (body['act'] === 'list') return { entries: revocation.list() }
  const { why } = body
  if (typeof why !== 'string' || why.trim() === '' || why.length > longest.why)
    return { refused: `a reason of 1 to ${longest.why} characters is needed: --why TEXT` }
  return body['act'] === 'remove' ? remove(parts, String(body['id']), why) : add(parts, body, why)
}

const add = (parts: DenyParts, body: Body, why: string): DenyAnswer | Promise<DenyAnswer> => {
  const { kind, value, issuer } = body
  const known = kinds.find(one => one === kind)
  if (known === undefined || typeof value !== 'string' || value === '' || value.length > longest.value)
    return { refused: `write one of --subject, --jti, --sid or --tenant, with 1 to ${longest.value} characters` }
  const lasts = parseDuration(String(body['for']))
  if (lasts === null || lasts < 1000 || lasts > longestTime) return { refused: 'write --for with 1s to 366d, such as --for 1h' }
  if (known === 'tenant' && !parts.tenants.includes(value)) return { refused: `no tenant is called ${JSON.stringify(value)}` }
  if (known === 'tenant' && typeof issuer === 'string') return { refused: '--issuer does not go with --tenant' }
  if (typeof issuer === 'string' && !parts.issuers.includes(issuer))
    return { refused: `${JSON.stringify(issuer)} is no configured issuer; known: ${parts.issuers.join(', ')}` }
  const at = parts.clock.now()
  return denied(parts, {
    id: parts.random(6).toString('hex'),
    kind: known,
    value,
    issuer: typeof issuer === 'string' ? issuer : null,
    issuedUntil: null,
    withoutSession: false,
    at,
    until: at + lasts,
    why,
    by: 'control',
    removed: false,
  })
}

const remove = async (parts: DenyParts, id: string, why: string): Promise<DenyAnswer> => {
  const entry = parts.revocation.get(id)
  return entry === null ? { refused: `no denial has the id ${JSON.stringify(id)}` } : denied(parts, { ...entry, why, removed: true })
}

/** Puts an entry in force and on record, before it is known how far it could be written. */
export const denied = async (parts: Pick<DenyParts, 'clock' | 'revocation' | 'audit'>, entry: Entry): Promise<DenyAnswer> => {
  const done = parts.revocation.add(entry)
  if (done === null) return { refused: `${mostEntries} denials are in force, and no more are kept: remove some, or deny the tenant` }
  const { id, kind, value, issuer, until, why, by, removed } = entry
  parts.audit.event({
    kind: 'control',
    code: eventCodes.control,
    time: parts.clock.now(),
    tenant: kind === 'tenant' ? value : null,
    detail: { act: removed ? 'deny-remove' : 'deny', id, what: kind, value, issuer, until: new Date(until).toISOString(), why, by },
  })
  return { entry, removed, ...(await done) }
}
