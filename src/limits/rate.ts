import { createHash } from 'node:crypto'
import type { Clock } from '../model/deps.ts'
import type { Identity } from '../model/identity.ts'
import type { Limit } from '../model/obligation.ts'
import type { Permit } from '../model/permit.ts'
import { Refusal } from '../model/problem.ts'

export interface RateLimiter {
  /**
   * Takes one request from every bucket of the permit's limits, or from none. Gives the `RateLimit` and `RateLimit-Policy` fields of the reply,
   * name and value alternating, empty where no limit applies; PST2107 where a bucket is empty; PST1301 where there is no room for another bucket.
   */
  take(permit: Permit, identity: Identity): readonly string[] | Refusal
  /** Buckets kept, at most `mostBuckets`. */
  readonly size: number
}

export interface RateObserver {
  /** A request was refused by a limit of this kind. */
  refused(tenant: string, per: Limit['per']): void
}

interface Bucket {
  readonly amount: number
  readonly seconds: number
  /** Requests that had room at `since`, 0 to `amount`, with fractions. */
  readonly level: number
  /** Milliseconds, monotonic. */
  readonly since: number
}

/** What one limit says to one request, before anything is taken. */
interface Look {
  readonly limit: Limit
  readonly key: string
  readonly level: number
}

/** About 200 bytes each. A full bucket equals none, so only callers of the last window take a place. */
export const mostBuckets = 100_000

/** A tenant whose provider mints subjects by the thousand must leave room for the others. */
export const mostOfTenant = mostBuckets / 2

/** At the bound, full buckets are looked for no more often. */
const sweepEveryMs = 1_000

/** The sum of many small refills may fall short of a whole request by rounding. */
const rounding = 1e-9

/**
 * Token buckets, in this process alone. At the bound a caller without a bucket is refused: dropping somebody's count instead would hand out a
 * fresh bucket to whoever can make others come. Buckets are found by what their limit says, so a reload refills only what it changed.
 */
export const createRateLimiter = (
  clock: Clock,
  observe: RateObserver,
  bounds = { all: mostBuckets, tenant: mostOfTenant },
): RateLimiter => {
  const tenants = new Map<string, Map<string, Bucket>>()
  let size = 0
  let swept = Number.NEGATIVE_INFINITY

  const sweep = (now: number): void => {
    if (now - swept < sweepEveryMs) return
    swept = now
    for (const [tenant, buckets] of tenants) {
      for (const [key, bucket] of buckets) if (levelAt(bucket, now) === bucket.amount && buckets.delete(key)) size -= 1
      if (buckets.size === 0) tenants.delete(tenant)
    }
  }
  const hasRoom = (tenant: string, looks: readonly Look[]): boolean => {
    const buckets = tenants.get(tenant)
    const fresh = looks.filter(({ key }) => !buckets?.has(key)).length
    return fresh === 0 || (size + fresh <= bounds.all && (buckets?.size ?? 0) + fresh <= bounds.tenant)
  }

  return {
    get size() {
      return size
    },
    take(permit, identity) {
      const { tenant } = permit
      if (permit.obligations.limits.length === 0) return []
      const now = clock.monotonic()
      const looks = looksOf(permit, identity, tenants.get(tenant), now)
      const short = looks.filter(({ level }) => level < 1 - rounding)
      if (short.length > 0) {
        const { limit, level } = short.reduce((a, b) => (waitOf(b) > waitOf(a) ? b : a))
        observe.refused(tenant, limit.per)
        return new Refusal('PST2107', `limit ${limit.text}`, waitOf({ limit, level }), null, { fields: fieldsOf({ limit, level }) })
      }
      if (!hasRoom(tenant, looks)) sweep(now)
      if (!hasRoom(tenant, looks)) return new Refusal('PST1301', 'limit-buckets')
      const buckets = tenants.get(tenant) ?? new Map<string, Bucket>()
      tenants.set(tenant, buckets)
      const before = buckets.size
      for (const { limit, key, level } of looks)
        buckets.set(key, { amount: limit.amount, seconds: limit.seconds, level: Math.max(0, level - 1), since: now })
      size += buckets.size - before
      return tightest(looks)
    },
  }
}

const looksOf = (permit: Permit, identity: Identity, buckets: ReadonlyMap<string, Bucket> | undefined, now: number): readonly Look[] => {
  const looks: Look[] = []
  for (const limit of permit.obligations.limits) {
    const who = whoOf(limit.per, identity)
    if (who === null) continue
    const key = `${limit.over} ${limit.over === 'rule' ? permit.rule : ''} ${limit.text} ${who}`
    const bucket = buckets?.get(key)
    looks.push({ limit, key, level: bucket === undefined ? limit.amount : levelAt(bucket, now) })
  }
  return looks
}

/** Whose bucket; null where the limit is for agents and none acts. Bounded in length: a subject may be as long as a token. */
const whoOf = (per: Limit['per'], { issuer, subject, agents }: Identity): string | null => {
  if (per === 'tenant') return ''
  const [agent] = agents
  if (per === 'agent') return agent === undefined ? null : short(agent)
  // The length ends the issuer: no pair of issuer and subject spells another pair's key.
  return short(`${issuer.length} ${issuer} ${subject}`)
}

const short = (who: string): string => (who.length <= 200 ? `=${who}` : `#${createHash('sha256').update(who, 'utf16le').digest('hex')}`)

const levelAt = ({ amount, seconds, level, since }: Bucket, now: number): number =>
  Math.min(amount, level + ((now - since) * amount) / (seconds * 1000))

type Level = Pick<Look, 'limit' | 'level'>

/** Whole seconds until one more request has room. */
const waitOf = ({ limit: { amount, seconds }, level }: Level): number =>
  Math.max(1, Math.ceil(((Math.floor(level + rounding) + 1 - level) * seconds) / amount - rounding))

/** Whole requests that have room after this one. */
const remaining = ({ level }: Level): number => Math.max(0, Math.floor(level - 1 + rounding))

const tightest = ([first, ...others]: readonly Look[]): readonly string[] => {
  if (first === undefined) return []
  const isTighter = (a: Look, b: Look): boolean => remaining(a) < remaining(b) || (remaining(a) === remaining(b) && waitOf(a) > waitOf(b))
  return fieldsOf(others.reduce((a, b) => (isTighter(b, a) ? b : a), first))
}

/**
 * draft-ietf-httpapi-ratelimit-headers sections 3 and 4: two lists of one item, for the tightest limit, whose name says only whom it counts.
 * More of them would tell a caller how busy the rest of the tenant is.
 */
const fieldsOf = ({ limit, level }: Level): readonly string[] => [
  'ratelimit',
  `"${limit.per}";r=${remaining({ limit, level })};t=${waitOf({ limit, level })}`,
  'ratelimit-policy',
  `"${limit.per}";q=${limit.amount};w=${limit.seconds}`,
]
