import type { Deps } from '../model/deps.ts'
import { Refusal } from '../model/problem.ts'
import type { AlgorithmName } from './algorithms.ts'
import type { Bounds } from './bounds.ts'
import { Bucket } from './bucket.ts'
import { discoverAddress, fetchJwks, type KeyOrigin } from './discovery.ts'
import type { VerificationKey } from './jwk.ts'
import { KeySet, readJwks } from './jwks.ts'

export type Found = VerificationKey | Refusal

/** Where the keys of an issuer come from. */
export interface Keys {
  /** The key for a token's header: at once where it is known, after a fetch where it is not. Never rejects. */
  find(kid: string | null, alg: AlgorithmName): Found | Promise<Found>
  status(): { readonly keys: number; readonly ageSeconds: number | null; readonly lastError: string | null }
  close(): void
}

/**
 * The live keys of one issuer, or of several that share them. Fetches them from the moment it is made, one fetch at a time, and again in the background; keeps what it has
 * while the provider is down, up to a bound; asks once more for an unknown key, as often as the bucket allows. Knows no other issuer, so a
 * bad one delays nobody else's tokens.
 */
export class KeyRing implements Keys {
  readonly #deps: Deps
  readonly #origin: KeyOrigin
  readonly #bounds: Bounds
  readonly #bucket: Bucket
  #keys: KeySet | null = null
  #obtainedAt = 0
  #body: Buffer | null = null
  #skipped: ReadonlySet<string> = new Set()
  /** For messages: the issuer, or where the keys of several are. */
  readonly #name: string
  #jwksUri: string | null = null
  /** True when it brought keys; never rejects. */
  #flight: Promise<boolean> | null = null
  #timer: { cancel(): void } | null = null
  #nextAttempt = 0
  #waiting = 0
  #failures = 0
  #lastError: string | null = null
  #closed = false

  constructor(deps: Deps, origin: KeyOrigin, bounds: Bounds) {
    this.#deps = deps
    this.#origin = origin
    this.#name = origin.jwksUri ?? origin.issuer
    this.#bounds = bounds
    this.#bucket = new Bucket(bounds.bucketBurst, bounds.bucketEvery, deps.clock.monotonic())
    void this.#fetch()
  }

  find(kid: string | null, alg: AlgorithmName): Found | Promise<Found> {
    return this.#current()?.pick(kid, alg) ?? this.#queue(kid, alg)
  }

  status(): ReturnType<Keys['status']> {
    const keys = this.#current()
    const age = keys === null ? null : Math.round((this.#deps.clock.monotonic() - this.#obtainedAt) / 1000)
    return { keys: keys?.keys.length ?? 0, ageSeconds: age, lastError: this.#lastError }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#replace(null)
  }

  /** Null where there are none, or the provider has been away for longer than its keys may be trusted unseen. */
  #current(): KeySet | null {
    if (this.#keys !== null && this.#deps.clock.monotonic() - this.#obtainedAt > this.#bounds.staleFor) {
      this.#deps.log.error({ issuer: this.#name, error: this.#lastError }, 'signing keys are too old to be trusted; dropped')
      this.#replace(null)
    }
    return this.#keys
  }

  async #queue(kid: string | null, alg: AlgorithmName): Promise<Found> {
    if (this.#waiting >= this.#bounds.waiting) return this.#unavailable()
    this.#waiting += 1
    try {
      return await this.#search(kid, alg)
    } finally {
      this.#waiting -= 1
    }
  }

  async #search(kid: string | null, alg: AlgorithmName): Promise<Found> {
    const { clock } = this.#deps
    const until = clock.monotonic() + this.#bounds.requestWait
    const before = this.#flight
    if (before !== null) {
      if ((await this.#within(before, until)) === undefined) return this.#unavailable()
      const found = this.#current()?.pick(kid, alg)
      if (found) return found
    }
    if (this.#current() === null || this.#closed) return this.#unavailable()
    // Only a fetch that began after the token came can say that its key does not exist: the one before may have been answered just before
    // the key was published. A flight seen here is another waiter's, begun since.
    const fresh = this.#flight ?? (this.#bucket.take(clock.monotonic()) ? this.#fetch() : null)
    if (fresh === null) return new Refusal('PST3102', this.#name, seconds(this.#bucket.wait(clock.monotonic())))
    if ((await this.#within(fresh, until)) !== true) return this.#unavailable()
    return this.#current()?.pick(kid, alg) ?? new Refusal('PST3005', kid === null ? 'no key fits' : 'kid')
  }

  #unavailable(): Refusal {
    const wait = this.#flight === null ? this.#nextAttempt - this.#deps.clock.monotonic() : 0
    return new Refusal('PST3101', `${this.#name}: ${this.#lastError ?? 'no answer yet'}`, seconds(wait))
  }

  /** What the flight came to, or undefined when it has not landed in time: a slow provider costs a request this much and no more. */
  async #within(flight: Promise<boolean>, until: number): Promise<boolean | undefined> {
    const { clock } = this.#deps
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const timer = clock.after(Math.max(0, until - clock.monotonic()), () => resolve(undefined))
    const result = await Promise.race([flight, promise])
    timer.cancel()
    return result
  }

  #fetch(): Promise<boolean> {
    this.#timer?.cancel()
    const began = this.#deps.clock.monotonic()
    const flight = this.#load(began).then(
      () => this.#landed(null, began),
      (error: unknown) => this.#landed(error instanceof Error ? error.message : String(error), began),
    )
    this.#flight = flight
    return flight
  }

  async #load(began: number): Promise<void> {
    const { clock, fetch } = this.#deps
    const call = () => ({
      timeout: Math.max(1, began + this.#bounds.fetchDeadline - clock.monotonic()),
      maxBytes: this.#bounds.documentBytes,
    })
    this.#jwksUri ??= this.#origin.jwksUri ?? (await discoverAddress('jwks_uri', this.#origin, fetch, call()))
    const body = await fetchJwks(this.#origin, this.#jwksUri, fetch, call())
    if (this.#closed || (this.#keys !== null && this.#body?.equals(body))) return
    const { keys, skipped } = await readJwks(body, this.#bounds.documentKeys)
    if (this.#closed) return
    this.#replace(keys)
    this.#body = body
    const said = new Set<string>()
    for (const { key, why, expected } of skipped) {
      const line = JSON.stringify([key, why])
      said.add(line)
      // Once for as long as it stands there, not at each refresh.
      if (!this.#skipped.has(line)) this.#deps.log[expected ? 'debug' : 'warn']({ issuer: this.#name, key, why }, 'key left out')
    }
    this.#skipped = said
  }

  #landed(error: string | null, began: number): boolean {
    this.#flight = null
    if (this.#closed) return false
    const { clock, log } = this.#deps
    if (error === null) {
      if (this.#failures > 0) log.info({ issuer: this.#name }, 'provider answers again')
      this.#obtainedAt = began
      this.#failures = 0
    } else {
      // Said once for each outage; the state stands in status and metrics.
      log[this.#failures === 0 ? 'warn' : 'debug']({ issuer: this.#name, error }, 'signing keys could not be fetched')
      this.#failures += 1
      this.#jwksUri = null
      this.#current()
    }
    this.#lastError = error
    const wait =
      error === null ? this.#bounds.refreshEvery : Math.min(this.#bounds.retryMax, this.#bounds.retryMin * 2 ** (this.#failures - 1))
    // Replicas that started together must not ask together.
    const jittered = wait * (0.9 + (0.2 * (this.#deps.random(1)[0] ?? 0)) / 255)
    this.#nextAttempt = clock.monotonic() + jittered
    this.#timer = clock.after(jittered, () => {
      // The provider may have moved its keys; a request's own refresh goes to the known address.
      this.#jwksUri = null
      void this.#fetch()
    })
    return error === null
  }

  /** A key that is still published stays the same object, so that its tokens stay known; one that is gone takes its tokens along. */
  #replace(next: readonly VerificationKey[] | null): void {
    const old = this.#keys?.keys ?? []
    const kept = (next ?? []).map(key => old.find(known => isSame(known, key)) ?? key)
    for (const key of old) key.live = kept.includes(key)
    this.#keys = next === null ? null : new KeySet(kept)
    if (next !== null && kept.some(key => !old.includes(key)))
      this.#deps.log.info({ issuer: this.#name, keys: kept.length }, 'signing keys loaded')
  }
}

const isSame = (a: VerificationKey, b: VerificationKey): boolean =>
  a.kid === b.kid && a.thumbprint === b.thumbprint && a.algorithms.join() === b.algorithms.join()

/** Whole seconds for `Retry-After`, at least one. */
const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000))
