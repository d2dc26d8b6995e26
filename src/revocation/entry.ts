export const kinds = ['subject', 'jti', 'sid', 'tenant'] as const
export type Kind = (typeof kinds)[number]

/** One denial. There is none without an end and a reason. */
export interface Entry {
  readonly id: string
  readonly kind: Kind
  /** What the claim of the kind must say, or the tenant's name. */
  readonly value: string
  /** Whose tokens it is about; null: anybody's. */
  readonly issuer: string | null
  /** Milliseconds since the epoch: tokens issued later pass, because their caller has signed in again. Null: none passes. */
  readonly issuedUntil: number | null
  /** Only tokens that name no session, and so may be of the one that ended. */
  readonly withoutSession: boolean
  /** Milliseconds since the epoch: made, and over. */
  readonly at: number
  readonly until: number
  readonly why: string
  readonly by: 'control' | 'logout'
  /** Taken back. It stays until its end, so that no other copy brings it to life again. */
  readonly removed: boolean
}

/** Characters. */
export const longest = { id: 64, value: 1024, issuer: 1024, why: 1000 } as const

/** The entry in a value from a file or a table, or null where it is not one in every member. */
export const readEntry = (value: unknown): Entry | null => {
  if (typeof value !== 'object' || value === null) return null
  const { id, kind, value: what, issuer, issuedUntil, withoutSession, at, until, why, by, removed } = value as Record<keyof Entry, unknown>
  const known = kinds.find(one => one === kind)
  if (known === undefined || (by !== 'control' && by !== 'logout')) return null
  if (!isText(id, longest.id) || !isText(what, longest.value) || !isText(why, longest.why)) return null
  if (issuer !== null && !isText(issuer, longest.issuer)) return null
  if (!isTime(at) || !isTime(until) || (issuedUntil !== null && !isTime(issuedUntil))) return null
  if (typeof withoutSession !== 'boolean' || typeof removed !== 'boolean') return null
  return { id, kind: known, value: what, issuer, issuedUntil, withoutSession, at, until, why, by, removed }
}

const isText = (value: unknown, most: number): value is string => typeof value === 'string' && value !== '' && value.length <= most
const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** Of two copies of one denial: the one made later, and of the same act its removal. */
export const newer = (a: Entry, b: Entry): Entry => (a.at === b.at ? (a.removed ? a : b) : a.at > b.at ? a : b)
