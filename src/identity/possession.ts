import type { Clock } from '../model/deps.ts'
import type { Origin } from '../model/exchange.ts'
import { type DpopChallenge, Refusal } from '../model/problem.ts'
import { SecretBytes } from '../model/secret.ts'
import { defaultAlgorithms } from './algorithms.ts'
import type { Binding } from './binding.ts'
import type { Bounds } from './bounds.ts'
import { verifyProof } from './dpop.ts'
import type { DpopSettings } from './dpop-settings.ts'
import { Nonces } from './nonces.ts'
import { Replays } from './replay.ts'

/** What of a request says whose token it carries, and proves that its sender holds the keys of that token. */
export type Shown = Pick<Origin, 'method' | 'host' | 'target' | 'publicUrl' | 'dpop' | 'clientCertificate' | 'mappedCaller'>

/** A bound token as it was shown. */
export interface Claimed {
  readonly token: string
  readonly binding: Binding | null
  /** The scheme: `DPoP`, else `Bearer`. */
  readonly dpop: boolean
  /** Milliseconds, of the token's issuer. */
  readonly tolerance: number
}

/** Judges, on every request anew, whether a bound token is shown by whom it was issued to (RFC 9449, RFC 8705). */
export class Possession {
  readonly #clock: Clock
  readonly #bounds: Bounds
  readonly #replays: Replays
  /** Where none is configured. */
  readonly #ownKey: SecretBytes
  #settings: DpopSettings
  #nonces: Nonces | null = null

  constructor(clock: Clock, random: (bytes: number) => Buffer, bounds: Bounds, settings: DpopSettings) {
    this.#clock = clock
    this.#bounds = bounds
    this.#replays = new Replays(bounds.proofs)
    this.#ownKey = new SecretBytes(random(32))
    this.#settings = settings
    this.configure(settings)
  }

  configure(settings: DpopSettings): void {
    this.#settings = settings
    this.#nonces = settings.nonce ? new Nonces(settings.nonceKey ?? this.#ownKey, this.#bounds.nonceSpan) : null
  }

  /** Proofs remembered. */
  get proofs(): number {
    return this.#replays.size
  }

  /** For the next proof; null where none is asked for. */
  nonce(): string | null {
    return this.#nonces?.current(this.#clock.now()) ?? null
  }

  /** A refusal as somebody who speaks DPoP is told it. */
  challenged({ code, detail, retryAfter, challenge }: Refusal): Refusal {
    const dpop: DpopChallenge = { algorithms: defaultAlgorithms.join(' '), nonce: this.nonce() }
    return new Refusal(code, detail, retryAfter, challenge, { dpop })
  }

  /** Null where everything that the token is bound to was proved on this very request. */
  refusal(claimed: Claimed, shown: Shown): Refusal | null {
    const { binding, dpop } = claimed
    const jkt = binding?.jkt ?? null
    // A token without a key gains nothing by the other scheme, but who sends it so believes that it is protected (RFC 9449 7.1).
    if (dpop && jkt === null) return new Refusal('PST3012', 'shown as DPoP, and bound to no key')
    if (!dpop && jkt !== null) return this.challenged(new Refusal('PST3012', 'jkt, and shown as Bearer'))
    const certificate = binding?.certificate ?? null
    if (certificate !== null && shown.clientCertificate?.equals(certificate) !== true)
      return new Refusal('PST3012', shown.clientCertificate === null ? 'x5t#S256, and no client certificate' : 'x5t#S256')
    return jkt === null ? null : this.#proofRefusal(jkt, claimed, shown)
  }

  #proofRefusal(jkt: string, { token, tolerance }: Claimed, shown: Shown): Refusal | null {
    const now = this.#clock.now()
    const { maxAge } = this.#settings
    const nonces = this.#nonces
    const jti = verifyProof(shown.dpop, {
      method: shown.method,
      publicUrl: shown.publicUrl,
      path: shown.target.path,
      token,
      jkt,
      now,
      maxAge,
      tolerance,
      freshNonce: nonces === null ? null : nonce => nonces.accepts(nonce, now),
    })
    if (jti instanceof Refusal) return jti
    // From the earliest to the latest moment at which its iat lets it pass.
    const seen = this.#replays.take(jkt, jti, this.#clock.monotonic(), maxAge + 2 * tolerance)
    if (seen === 'full') return new Refusal('PST3103', 'too many DPoP proofs at once', 1)
    return seen === 'seen' ? new Refusal('PST3016', 'jti') : null
  }
}
