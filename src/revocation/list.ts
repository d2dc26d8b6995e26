import type { Identity } from '../model/identity.ts'
import { type Entry, type Kind, newer } from './entry.ts'

/** Entries, the removed ones included. A full list refuses the next one: to forget a denial would let somebody in. */
export const mostEntries = 20_000

/** What is denied now. A caller costs three look-ups, and nothing while the list is empty. */
export class DenyList {
  readonly #entries = new Map<string, Entry>()
  readonly #index: Readonly<Record<Kind, Map<string, Entry[]>>> = { subject: new Map(), jti: new Map(), sid: new Map(), tenant: new Map() }
  #indexed = 0

  /** With those that were removed. */
  get size(): number {
    return this.#entries.size
  }

  all(): readonly Entry[] {
    return [...this.#entries.values()]
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id)
  }

  /** `known`: what is here is at least as new. */
  put(entry: Entry): 'new' | 'known' | 'full' {
    const old = this.#entries.get(entry.id)
    if (old !== undefined && newer(old, entry) === old) return 'known'
    if (old === undefined && this.#entries.size >= mostEntries) return 'full'
    if (old !== undefined) this.#forget(old)
    this.#entries.set(entry.id, entry)
    if (!entry.removed) {
      const { [entry.kind]: index } = this.#index
      index.set(entry.value, [...(index.get(entry.value) ?? []), entry])
      this.#indexed++
    }
    return 'new'
  }

  /** Lets go of what is over; `now` in milliseconds since the epoch. True where something was. */
  sweep(now: number): boolean {
    const before = this.#entries.size
    for (const entry of this.#entries.values()) if (entry.until <= now) this.#forget(entry)
    return this.#entries.size < before
  }

  /** The denial that this caller's token falls under. */
  ofCaller({ issuer, subject, agents, claims }: Identity, now: number): Entry | null {
    if (this.#indexed === 0) return null
    const { jti, sid } = claims
    const token = { issuer, issuedAt: claims['iat'], session: sid, now }
    const { subject: subjects } = this.#index
    const named = find(subjects.get(subject), token) ?? (typeof jti === 'string' ? find(this.#index.jti.get(jti), token) : null)
    const found = named ?? (typeof sid === 'string' ? find(this.#index.sid.get(sid), token) : null)
    if (found !== null) return found
    // Who is denied may not come back as somebody's agent.
    for (const agent of agents) {
      const entry = find(subjects.get(agent), token)
      if (entry !== null) return entry
    }
    return null
  }

  ofTenant(tenant: string, now: number): Entry | null {
    return this.#indexed === 0 ? null : (this.#index.tenant.get(tenant)?.find(({ until }) => until > now) ?? null)
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.id)
    if (entry.removed) return
    this.#indexed--
    const { [entry.kind]: index } = this.#index
    const left = (index.get(entry.value) ?? []).filter(one => one !== entry)
    if (left.length === 0) index.delete(entry.value)
    else index.set(entry.value, left)
  }
}

interface Token {
  readonly issuer: string
  readonly issuedAt: unknown
  readonly session: unknown
  readonly now: number
}

/** A token that does not say when it was issued counts as old. */
const find = (entries: readonly Entry[] | undefined, { issuer, issuedAt, session, now }: Token): Entry | null => {
  if (entries === undefined) return null
  for (const entry of entries) {
    if (entry.until <= now || (entry.issuer !== null && entry.issuer !== issuer)) continue
    if (entry.withoutSession && typeof session === 'string') continue
    if (entry.issuedUntil !== null && typeof issuedAt === 'number' && issuedAt * 1000 > entry.issuedUntil) continue
    return entry
  }
  return null
}
