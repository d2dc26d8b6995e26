import { createHash } from 'node:crypto'
import type { Deps } from '../model/deps.ts'
import { Refusal } from '../model/problem.ts'
import type { Bounds } from './bounds.ts'
import { Bucket } from './bucket.ts'
import { TokenCache } from './cache.ts'
import type { Accepted } from './claims.ts'
import { discoverAddress } from './discovery.ts'
import { acceptAnswer, type IntrospectedIssuer, introspect } from './introspect.ts'
import type { JsonObject } from './json.ts'

/** A caller as the provider vouches for it, or its no. */
export interface Vouched {
  readonly result: Accepted | Refusal
  /** On the monotonic clock. */
  readonly until: number
  readonly bytes: number
}

/** How often the log says that tokens are not active, in milliseconds. */
const sayEvery = 60_000

/**
 * Asks one issuer about tokens: each token once at a time, so many at once, and not again while the answer holds. A provider that does not
 * answer is a 503, never a no. There is one for each issuer's settings: what one provider said of a token says nothing at another.
 */
export class Introspector {
  readonly #deps: Deps
  readonly #issuer: IntrospectedIssuer
  readonly #bounds: Bounds
  readonly #yes: TokenCache<Vouched>
  /** Apart, so that made-up tokens push out nobody's answer. */
  readonly #no: TokenCache<Vouched>
  readonly #flights = new Map<string, Promise<Vouched | Refusal>>()
  readonly #inactive: Bucket
  #unsaid = 0
  #discovered: string | null = null
  #lastError: string | null = null

  constructor(deps: Deps, issuer: IntrospectedIssuer, bounds: Bounds) {
    this.#deps = deps
    this.#issuer = issuer
    this.#bounds = bounds
    this.#yes = new TokenCache(bounds.introspectionEntries, bounds.introspectionBytes, cost)
    this.#no = new TokenCache(bounds.failureEntries, bounds.failureBytes, cost)
    this.#inactive = new Bucket(1, sayEvery, deps.clock.monotonic())
  }

  get lastError(): string | null {
    return this.#lastError
  }

  /** The answer about a token, if there is one that still holds. */
  known(token: string): Vouched | null {
    const key = this.#keyOf(token)
    const { clock } = this.#deps
    const yes = this.#yes.get(key)
    if (yes !== undefined && !(yes.result instanceof Refusal)) {
      const now = clock.now()
      if (clock.monotonic() < yes.until && now < yes.result.notAfter && now >= yes.result.notBefore) return yes
      this.#yes.delete(key)
    }
    const no = this.#no.get(key)
    if (no === undefined || clock.monotonic() < no.until) return no ?? null
    this.#no.delete(key)
    return null
  }

  /** Asks, or joins whoever asks. `verified` is the payload of a JWT. A bare refusal could not be decided. Never rejects. */
  ask(token: string, verified: JsonObject | null): Promise<Vouched | Refusal> {
    const key = this.#keyOf(token)
    const flight = this.#flights.get(key)
    if (flight !== undefined) return flight
    if (this.#flights.size >= this.#bounds.introspectionCalls) return Promise.resolve(this.#unavailable('too many calls under way'))
    const started = this.#call(token, key, verified)
      .catch((error: unknown) => this.#failed(error instanceof Error ? error.message : String(error)))
      .finally(() => this.#flights.delete(key))
    this.#flights.set(key, started)
    return started
  }

  /** Each part with its length before it, so that no two of them make one text (T23, T25). */
  #keyOf(token: string): string {
    const hash = createHash('sha256')
    for (const part of [this.#issuer.issuer, this.#issuer.introspection.endpoint ?? '', token])
      hash.update(`${Buffer.byteLength(part)}:`).update(part)
    return hash.digest('latin1')
  }

  async #call(token: string, key: string, verified: JsonObject | null): Promise<Vouched> {
    const { clock, fetch } = this.#deps
    const began = clock.monotonic()
    const call = () => ({
      timeout: Math.max(1, began + this.#bounds.requestWait - clock.monotonic()),
      maxBytes: this.#bounds.answerBytes,
    })
    const configured = this.#issuer.introspection.endpoint
    if (configured === null) this.#discovered ??= await discoverAddress('introspection_endpoint', this.#issuer, fetch, call())
    const { members, bytes } = await introspect(this.#issuer, configured ?? this.#discovered ?? '', token, fetch, call())
    if (this.#lastError !== null) this.#deps.log.info({ issuer: this.#issuer.issuer }, 'introspection answers again')
    this.#lastError = null
    return this.#keep(key, acceptAnswer(members, this.#issuer, clock.now(), verified), bytes)
  }

  #keep(key: string, result: Accepted | Refusal, bytes: number): Vouched {
    const refused = result instanceof Refusal
    if (refused && result.code === 'PST3018') this.#sayInactive()
    const until = this.#deps.clock.monotonic() + (refused ? this.#bounds.failureFor : this.#issuer.introspection.cacheFor)
    const vouched = { result, until, bytes }
    // A token that is only early will be good in a moment.
    if (!(refused && result.code === 'PST3008')) (refused ? this.#no : this.#yes).set(key, vouched)
    return vouched
  }

  /** The one answer that has a second meaning, and the one that whoever set this up will look for. */
  #sayInactive(): void {
    this.#unsaid += 1
    if (!this.#inactive.take(this.#deps.clock.monotonic())) return
    const { issuer, introspection } = this.#issuer
    this.#deps.log.warn(
      { issuer, client: introspection.clientId, tokens: this.#unsaid },
      'the provider says that tokens are not active: they have ended, or the introspecting client is not in their audience (aud)',
    )
    this.#unsaid = 0
  }

  #failed(error: string): Refusal {
    const { log } = this.#deps
    // Said once for each outage; the state stands in the status.
    log[this.#lastError === null ? 'warn' : 'debug']({ issuer: this.#issuer.issuer, error }, 'introspection failed')
    this.#lastError = error
    this.#discovered = null
    return this.#unavailable(error)
  }

  #unavailable(why: string): Refusal {
    return new Refusal('PST3101', `${this.#issuer.issuer}: introspection: ${why}`, 1)
  }
}

/** The fixed parts, and the claims as objects: about three times their JSON. */
const cost = (_: string, { bytes }: Vouched): number => 1024 + 3 * bytes
