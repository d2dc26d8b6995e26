import type { ExchangeEntry } from '../model/audit.ts'
import type { Clock } from '../model/deps.ts'
import { sourcePrefix } from './source-prefix.ts'

/** Unauthenticated records a second and source prefix that are still written one by one, after a burst. */
const perSecond = 10
const burst = 100
/** Groups of one second, and prefixes remembered; the rest shares one. */
const mostGroups = 16
const mostPrefixes = 4096
const others = '_other'

/** What one aggregated record stands for. */
export interface Folded {
  readonly code: string
  readonly prefix: string
  readonly count: number
  readonly firstId: string
  readonly lastId: string
  readonly first: number
  readonly last: number
}

/** Whose rate it is: the caller's where one is known, for a valid token of no tenant is as cheap to repeat as none. */
const sourceOf = ({ issuer, subject, clientIp, peer }: ExchangeEntry): string =>
  subject === null ? sourcePrefix(clientIp ?? peer) : `${issuer} ${subject}`

interface Bucket {
  tokens: number
  at: number
}

/**
 * Refusals that need no identity cost the sender nothing, and those that the audit itself causes come fastest when it has no
 * room: neither may be what fills it and so stops the service. Above a rate or a share they are counted, not written one by one.
 */
export class Refusals {
  readonly #clock: Clock
  readonly #share: number
  readonly #buckets = new Map<string, Bucket>()
  #folded = new Map<string, Folded>()
  #total = 0
  #bytes = 0

  /** `share`: bytes of unauthenticated records that are written one by one. */
  constructor(clock: Clock, share: number) {
    this.#clock = clock
    this.#share = share
  }

  /** Folded so far. */
  get total(): number {
    return this.#total
  }

  get shareUsed(): boolean {
    return this.#bytes >= this.#share
  }

  /** Counts the entry instead of it being written, where it must; `faulty`: the spool wants nothing more. */
  takes(entry: ExchangeEntry, faulty: boolean): boolean {
    // A preflight is allowed, but anybody may send it.
    if (entry.effect === 'allow' && entry.subject !== null && entry.code !== 'PST6001') return false
    const alone = !faulty && !this.shareUsed && this.#admits(sourceOf(entry))
    if (!alone) this.#fold(entry)
    return !alone
  }

  /** An entry of the kind that is folded when there are too many was written in so many bytes. */
  wrote(bytes: number): void {
    this.#bytes += bytes
  }

  /** The spool as a whole now has so many bytes. */
  recounted(bytes: number): void {
    this.#bytes = Math.min(this.#bytes, bytes)
  }

  /** What was folded since the last call. */
  take(): readonly Folded[] {
    const folded = [...this.#folded.values()]
    this.#folded.clear()
    return folded
  }

  #admits(prefix: string): boolean {
    const now = this.#clock.monotonic()
    const bucket = this.#buckets.get(prefix) ?? this.#fresh(prefix, now)
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * perSecond) / 1000)
    bucket.at = now
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  #fresh(prefix: string, now: number): Bucket {
    const bucket = { tokens: burst, at: now }
    const oldest = this.#buckets.size >= mostPrefixes ? this.#buckets.keys().next().value : undefined
    if (oldest !== undefined) this.#buckets.delete(oldest)
    this.#buckets.set(prefix, bucket)
    return bucket
  }

  #fold(entry: ExchangeEntry): void {
    this.#total++
    const prefix = sourcePrefix(entry.clientIp ?? entry.peer)
    const own = `${entry.code} ${prefix}`
    const fits = this.#folded.has(own) || this.#folded.size < mostGroups
    const before = this.#folded.get(fits ? own : others)
    this.#folded.set(fits ? own : others, {
      code: fits ? entry.code : others,
      prefix: fits ? prefix : others,
      count: (before?.count ?? 0) + 1,
      firstId: before?.firstId ?? entry.requestId,
      lastId: entry.requestId,
      first: before?.first ?? entry.time,
      last: entry.time,
    })
  }
}
