import type { Deps } from '../model/deps.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import { type Bounds, defaultBounds } from './bounds.ts'
import { TokenCache } from './cache.ts'
import type { VerificationKey } from './jwk.ts'
import { type Found, KeyRing } from './keyring.ts'
import type { IssuerSettings } from './settings.ts'
import { bearerToken, type Jws, parseToken } from './token.ts'
import { acceptHeader, type Header, printable, verifyToken } from './verify.ts'

export interface IssuerStatus {
  readonly issuer: string
  /** Usable keys held. */
  readonly keys: number
  /** Since the last good fetch; null where there was none. */
  readonly ageSeconds: number | null
  readonly lastError: string | null
}

export interface Identifier {
  /** Keeps what did not change: an issuer with the same digest keeps its verified tokens, one with the same origin its keys. */
  configure(issuers: readonly IssuerSettings[]): void
  /** Who is calling. Synchronous unless keys must be fetched first; never throws, never rejects. */
  identify(authorization: string | null): Identity | Refusal | Promise<Identity | Refusal>
  status(): readonly IssuerStatus[]
  /** Size of the cache of verified tokens. */
  cache(): { readonly entries: number; readonly bytes: number }
  close(): void
}

export interface Observer {
  /** One token validated in full; known ones are not counted. `issuer` is configured or empty; `result` is `ok` or the problem's reason. */
  validated(issuer: string, result: string): void
}

interface Issuer {
  readonly settings: IssuerSettings
  readonly ring: KeyRing
  /** False once it was replaced or removed. */
  live: boolean
}

/** A token seen before. It dies with its key and with its issuer's settings, both by object identity. */
interface Known {
  readonly key: VerificationKey
  readonly issuer: Issuer
  /** On the monotonic clock. */
  readonly until: number
}
interface Verified extends Known {
  readonly identity: Identity
  readonly notBefore: number
  readonly notAfter: number
}
interface Failed extends Known {
  readonly refusal: Refusal
}

/** The calls of this module, as plain functions: they may be handed on without their object. */
export const createIdentifier = (deps: Deps, observe: Observer, bounds: Bounds = defaultBounds): Identifier => {
  const tokens = new Tokens(deps, observe, bounds)
  return {
    configure: issuers => tokens.configure(issuers),
    identify: authorization => tokens.identify(authorization),
    status: () => tokens.status(),
    cache: () => tokens.cache(),
    close: () => tokens.close(),
  }
}

class Tokens implements Identifier {
  readonly #deps: Deps
  readonly #observe: Observer
  readonly #bounds: Bounds
  readonly #verified: TokenCache<Verified>
  readonly #failed: TokenCache<Failed>
  #issuers: ReadonlyMap<string, Issuer> = new Map()
  #closed = false

  constructor(deps: Deps, observe: Observer, bounds: Bounds) {
    this.#deps = deps
    this.#observe = observe
    this.#bounds = bounds
    this.#verified = new TokenCache(bounds.cacheEntries, bounds.cacheBytes)
    this.#failed = new TokenCache(bounds.failureEntries, bounds.failureBytes)
  }

  configure(issuers: readonly IssuerSettings[]): void {
    const next = new Map(issuers.map(settings => [settings.issuer, this.#successor(settings)]))
    const rings = new Set([...next.values()].map(issuer => issuer.ring))
    for (const old of this.#issuers.values()) {
      if (next.get(old.settings.issuer) === old) continue
      old.live = false
      if (!rings.has(old.ring)) old.ring.close()
    }
    this.#issuers = next
    this.#verified.sweep(this.#usable)
    this.#failed.sweep(this.#usable)
  }

  identify(authorization: string | null): Identity | Refusal | Promise<Identity | Refusal> {
    try {
      if (authorization === null) return new Refusal('PST3001')
      const token = bearerToken(authorization)
      if (token instanceof Refusal) return token
      const known = this.#verified.get(token)
      if (known !== undefined) {
        const now = this.#deps.clock.now()
        if (this.#usable(known) && now < known.notAfter && now >= known.notBefore) return known.identity
        this.#verified.delete(token)
      }
      return this.#validate(token)
    } catch (error) {
      return this.#fault(error)
    }
  }

  cache(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#verified.size, bytes: this.#verified.bytes }
  }

  status(): readonly IssuerStatus[] {
    return [...this.#issuers.values()].map(({ settings, ring }) => ({ issuer: settings.issuer, ...ring.status() }))
  }

  close(): void {
    this.#closed = true
    this.configure([])
  }

  #successor(settings: IssuerSettings): Issuer {
    const old = this.#issuers.get(settings.issuer)
    if (old?.settings.digest === settings.digest) return old
    // A reload that only adds an audience must not forget keys: the provider may be down just now.
    const same = old !== undefined && old.settings.ca === settings.ca && old.settings.allowHttpLoopback === settings.allowHttpLoopback
    return { settings, ring: same ? old.ring : new KeyRing(this.#deps, settings, this.#bounds), live: true }
  }

  readonly #usable = (entry: Known): boolean => entry.key.live && entry.issuer.live && this.#deps.clock.monotonic() < entry.until

  #validate(token: string): Identity | Refusal | Promise<Identity | Refusal> {
    if (this.#closed) return new Refusal('PST3101', 'closed', 1)
    const failure = this.#failed.get(token)
    if (failure !== undefined && this.#usable(failure)) return failure.refusal
    const jws = parseToken(token)
    if (jws instanceof Refusal) return this.#seen(jws)
    const issuer = this.#issuerOf(jws)
    if (issuer instanceof Refusal) return this.#seen(issuer)
    const header = acceptHeader(jws, issuer.settings)
    if (header instanceof Refusal) return this.#seen(header, issuer)
    const finish = (found: Found) => this.#seen(found instanceof Refusal ? found : this.#verify(token, jws, header, issuer, found), issuer)
    const found = issuer.ring.find(jws.kid, header.alg)
    if (!(found instanceof Promise)) return finish(found)
    // While it waited, a reload may have changed what its issuer demands.
    return found.then(later => (issuer.live ? finish(later) : this.#validate(token))).catch((error: unknown) => this.#fault(error))
  }

  /** Unverified: it chooses whose keys to try, and those must then verify the whole token. */
  #issuerOf(jws: Jws): Issuer | Refusal {
    const { iss } = jws.payload
    if (typeof iss !== 'string') return new Refusal('PST3011', 'iss')
    return this.#issuers.get(iss) ?? new Refusal('PST3003', printable(iss))
  }

  #verify(token: string, jws: Jws, header: Header, issuer: Issuer, key: VerificationKey): Identity | Refusal {
    const { clock } = this.#deps
    const result = verifyToken(jws, header, issuer.settings, key, clock.now())
    const until = clock.monotonic() + (result instanceof Refusal ? this.#bounds.failureFor : this.#bounds.verifyAgainAfter)
    if (!(result instanceof Refusal)) {
      this.#verified.set(token, { key, issuer, until, ...result })
      return result.identity
    }
    // A token that is only early will be good in a moment.
    if (result.code !== 'PST3008') this.#failed.set(token, { key, issuer, until, refusal: result })
    return result
  }

  #seen(result: Identity | Refusal, issuer?: Issuer): Identity | Refusal {
    this.#observe.validated(issuer?.settings.issuer ?? '', result instanceof Refusal ? result.row.reason : 'ok')
    return result
  }

  #fault(error: unknown): Refusal {
    this.#deps.log.error({ fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }, 'fault while identifying')
    return new Refusal('PST9001', 'identity')
  }
}
