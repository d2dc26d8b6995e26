import type { KeyObject } from 'node:crypto'
import type { Deps } from '../model/deps.ts'
import type { MappedCaller } from '../model/exchange.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import { mappedIdentity } from './aws-caller.ts'
import { type Bounds, defaultBounds } from './bounds.ts'
import { TokenCache } from './cache.ts'
import type { Accepted } from './claims.ts'
import { type DpopSettings, defaultDpop } from './dpop-settings.ts'
import type { Vouched } from './introspector.ts'
import { type Issuer, type IssuerStatus, Issuers } from './issuers.ts'
import type { VerificationKey } from './jwk.ts'
import type { Found } from './keyring.ts'
import { type Logout, LogoutTokens } from './logout-token.ts'
import { Possession, type Shown } from './possession.ts'
import type { IssuerSettings } from './settings.ts'
import { isOpaque, type Jws, parseJws, speaksDpop, tokenShown } from './token.ts'
import { acceptHeader, type Header, printable, verifyToken } from './verify.ts'

export interface Identifier {
  /** Keeps what did not change: an issuer with the same digest keeps its verified tokens, one with the same origin its keys. */
  configure(issuers: readonly IssuerSettings[], dpop?: DpopSettings, own?: readonly KeyObject[]): void
  /** Who is calling. Synchronous unless keys must be fetched first; never throws, never rejects. */
  identify(authorization: string | null, shown?: Shown): Identity | Refusal | Promise<Identity | Refusal>
  /** What the reply to a client that speaks DPoP gives it for its next proof; null for everybody else, and where none is asked for. */
  nonce(authorization: string | null): string | null
  /** A refusal of a later step, as this client must be told it. */
  challenged(authorization: string | null, refusal: Refusal): Refusal
  /** What a logout token of one of these clients of an issuer says has ended. Never rejects. */
  logout(token: string, clients: (issuer: string) => readonly string[]): Promise<Logout | Refusal>
  status(): readonly IssuerStatus[]
  /** Size of the cache of verified tokens. */
  cache(): { readonly entries: number; readonly bytes: number }
  /** DPoP proofs remembered. */
  proofs(): number
  close(): void
}

export interface Observer {
  /** One token validated in full; known ones are not counted. `issuer` is configured or empty; `result` is `ok` or the problem's reason. */
  validated(issuer: string, result: string): void
}

/** A token seen before. It dies with its key and with its issuer's settings, both by object identity. */
interface Known {
  readonly key: VerificationKey
  readonly issuer: Issuer
  /** On the monotonic clock. */
  readonly until: number
}
type Verified = Known & Accepted

/** A caller, whoever vouched for it. */
type Caller = Accepted & { readonly issuer: Issuer }
interface Failed extends Known {
  readonly refusal: Refusal
}

/** A request that proves nothing beside its token. */
const nothingShown: Shown = Object.freeze({
  host: '',
  method: 'GET',
  target: { path: '/', query: null },
  publicUrl: null,
  dpop: null,
  clientCertificate: null,
  mappedCaller: null,
})

/** The calls of this module, as plain functions: they may be handed on without their object. */
export const createIdentifier = (deps: Deps, observe: Observer, bounds: Bounds = defaultBounds): Identifier => {
  const tokens = new Tokens(deps, observe, bounds)
  return {
    configure: (issuers, dpop, own) => tokens.configure(issuers, dpop, own),
    identify: (authorization, shown) => tokens.identify(authorization, shown),
    nonce: authorization => tokens.nonce(authorization),
    challenged: (authorization, refusal) => tokens.challenged(authorization, refusal),
    logout: (token, clients) => tokens.logout(token, clients),
    status: () => tokens.status(),
    cache: () => tokens.cache(),
    proofs: () => tokens.proofs(),
    close: () => tokens.close(),
  }
}

class Tokens implements Identifier {
  readonly #deps: Deps
  readonly #observe: Observer
  readonly #bounds: Bounds
  readonly #verified: TokenCache<Verified>
  readonly #failed: TokenCache<Failed>
  readonly #possession: Possession
  readonly #issuers: Issuers
  readonly #logouts: LogoutTokens
  #closed = false

  constructor(deps: Deps, observe: Observer, bounds: Bounds) {
    this.#deps = deps
    this.#observe = observe
    this.#bounds = bounds
    this.#verified = new TokenCache(bounds.cacheEntries, bounds.cacheBytes)
    this.#failed = new TokenCache(bounds.failureEntries, bounds.failureBytes)
    this.#issuers = new Issuers(deps, bounds)
    this.#logouts = new LogoutTokens(deps.clock)
    this.#possession = new Possession(deps.clock, deps.random, bounds, defaultDpop)
  }

  configure(issuers: readonly IssuerSettings[], dpop: DpopSettings = defaultDpop, own: readonly KeyObject[] = []): void {
    this.#possession.configure(dpop)
    this.#issuers.configure(issuers, own)
    this.#verified.sweep(this.#usable)
    this.#failed.sweep(this.#usable)
  }

  identify(authorization: string | null, shown: Shown = nothingShown): Identity | Refusal | Promise<Identity | Refusal> {
    try {
      if (shown.mappedCaller !== null) return this.#mapped(shown.mappedCaller, authorization)
      if (authorization === null) return new Refusal('PST3001')
      const token = tokenShown(authorization)
      if (token instanceof Refusal) return token
      const known = this.#verified.get(token)
      if (known !== undefined) {
        const now = this.#deps.clock.now()
        if (this.#usable(known) && now < known.notAfter && now >= known.notBefore) return this.#admit(known, authorization, token, shown)
        this.#verified.delete(token)
      }
      const found = this.#validate(token, shown.host)
      if (!(found instanceof Promise)) return this.#admit(found, authorization, token, shown)
      return found.then(later => this.#admit(later, authorization, token, shown)).catch((error: unknown) => this.#fault(error))
    } catch (error) {
      return this.#fault(error)
    }
  }

  nonce(authorization: string | null): string | null {
    return authorization !== null && speaksDpop(authorization) ? this.#possession.nonce() : null
  }

  challenged(authorization: string | null, refusal: Refusal): Refusal {
    const told = refusal.row.status === 401 && authorization !== null && speaksDpop(authorization)
    return told ? this.#possession.challenged(refusal) : refusal
  }

  logout(token: string, clients: (issuer: string) => readonly string[]): Promise<Logout | Refusal> {
    return this.#logouts.verify(token, issuer => this.#issuers.get(issuer), clients).catch((error: unknown) => this.#fault(error))
  }

  proofs(): number {
    return this.#possession.proofs
  }

  cache(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#verified.size, bytes: this.#verified.bytes }
  }

  status(): readonly IssuerStatus[] {
    return this.#issuers.status()
  }

  close(): void {
    this.#closed = true
    this.configure([])
  }

  readonly #usable = (entry: Known): boolean => entry.key.live && entry.issuer.live && this.#deps.clock.monotonic() < entry.until

  /** The last step, for a known token too: a bound token is worth nothing without its proof on this very request (contract 6). */
  #admit(found: Caller | Refusal, authorization: string, token: string, shown: Shown): Identity | Refusal {
    const dpop = speaksDpop(authorization)
    if (found instanceof Refusal) return dpop ? this.#possession.challenged(found) : found
    const { binding, identity, issuer } = found
    if (binding === null && !dpop) return identity
    const refusal = this.#possession.refusal({ token, binding, dpop, tolerance: issuer.settings.clockTolerance }, shown)
    if (refusal === null) return identity
    return dpop ? this.#possession.challenged(refusal) : refusal
  }

  /** Beside a token nobody could say for which of the two a request is meant, and either choice could be the attacker's. */
  #mapped(caller: MappedCaller, authorization: string | null): Identity | Refusal {
    if (authorization !== null) return new Refusal('PST3021', 'a token beside the mapped caller')
    const settings = this.#issuers.aws?.settings ?? null
    const found = mappedIdentity(caller, settings, this.#deps.clock.now())
    this.#observe.validated(settings?.issuer ?? '', found instanceof Refusal ? found.row.reason : 'ok')
    return found
  }

  #validate(token: string, host: string): Caller | Refusal | Promise<Caller | Refusal> {
    if (this.#closed) return new Refusal('PST3101', 'closed', 1)
    if (isOpaque(token)) return this.#introspect(token, host)
    const failure = this.#failed.get(token)
    if (failure !== undefined && this.#usable(failure)) return failure.refusal
    const jws = parseJws(token)
    if (jws instanceof Refusal) return this.#seen(jws)
    const issuer = this.#issuerOf(jws)
    if (issuer instanceof Refusal) return this.#seen(issuer)
    const header = acceptHeader(jws, issuer.settings)
    if (header instanceof Refusal) return this.#seen(header, issuer)
    const finish = (found: Found) =>
      found instanceof Refusal ? this.#seen(found, issuer) : this.#verify(token, jws, header, issuer, found)
    const found = issuer.ring.find(jws.kid, header.alg)
    const result = found instanceof Promise ? found.then(later => (issuer.live ? finish(later) : null)) : finish(found)
    // While it waited, a reload may have changed what its issuer demands.
    return result instanceof Promise ? result.then(later => later ?? this.#validate(token, host)) : result
  }

  /** A token that says nothing by itself, not even whose it is. */
  #introspect(token: string, host: string): Caller | Refusal | Promise<Caller | Refusal> {
    const issuer = this.#issuers.ofOpaque(host)
    if (issuer === null || issuer.introspector === null) return this.#seen(new Refusal('PST3002', 'not a compact JWS'))
    const callerOf = ({ result }: Vouched) => (result instanceof Refusal ? result : { ...result, issuer })
    const known = issuer.introspector.known(token)
    if (known !== null) return callerOf(known)
    return issuer.introspector.ask(token, null).then(vouched => {
      if (!issuer.live) return this.#validate(token, host)
      return this.#seen(vouched instanceof Refusal ? vouched : callerOf(vouched), issuer)
    })
  }

  /** Unverified: it chooses whose keys to try, and those must then verify the whole token. */
  #issuerOf(jws: Jws): Issuer | Refusal {
    const { iss } = jws.payload
    if (typeof iss !== 'string') return new Refusal('PST3011', 'iss')
    return this.#issuers.get(iss) ?? new Refusal('PST3003', printable(iss))
  }

  #verify(
    token: string,
    jws: Jws,
    header: Header,
    issuer: Issuer,
    key: VerificationKey,
  ): Caller | Refusal | Promise<Caller | Refusal | null> {
    const { clock } = this.#deps
    const result = verifyToken(jws, header, issuer.settings, key, clock.now())
    const { introspector, settings } = issuer
    if (result instanceof Refusal || introspector === null || !settings.introspection?.always)
      return this.#keep(token, issuer, key, result, this.#bounds.verifyAgainAfter)
    const keepVouched = ({ result: vouched, until }: Vouched) => this.#keep(token, issuer, key, vouched, until - clock.monotonic())
    const known = introspector.known(token)
    if (known !== null) return keepVouched(known)
    // What could not be decided is not kept.
    return introspector
      .ask(token, jws.payload)
      .then(vouched => (!issuer.live ? null : vouched instanceof Refusal ? this.#seen(vouched, issuer) : keepVouched(vouched)))
  }

  /** `keepFor` in milliseconds, of a token that is good. */
  #keep(token: string, issuer: Issuer, key: VerificationKey, result: Accepted | Refusal, keepFor: number): Caller | Refusal {
    const now = this.#deps.clock.monotonic()
    if (!(result instanceof Refusal)) {
      const verified = { key, issuer, until: now + Math.min(keepFor, this.#bounds.verifyAgainAfter), ...result }
      this.#verified.set(token, verified)
      return this.#seen(verified, issuer)
    }
    // A token that is only early will be good in a moment.
    if (result.code !== 'PST3008') this.#failed.set(token, { key, issuer, until: now + this.#bounds.failureFor, refusal: result })
    return this.#seen(result, issuer)
  }

  #seen(result: Caller | Refusal, issuer?: Issuer): Caller | Refusal {
    this.#observe.validated(issuer?.settings.issuer ?? '', result instanceof Refusal ? result.row.reason : 'ok')
    return result
  }

  #fault(error: unknown): Refusal {
    this.#deps.log.error({ fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }, 'fault while identifying')
    return new Refusal('PST9001', 'identity')
  }
}
