import { createHmac, timingSafeEqual } from 'node:crypto'
import type { SecretBytes } from '../model/secret.ts'

/**
 * Nonces for DPoP proofs (RFC 9449 section 9) that nobody stores: each is a MAC over its span of time. Every replica with the same key
 * takes what another gave out.
 */
export class Nonces {
  readonly #key: SecretBytes
  readonly #span: number

  /** `span` in milliseconds; a nonce is good in its own span and in its neighbours, for clocks that differ. */
  constructor(key: SecretBytes, span: number) {
    this.#key = key
    this.#span = span
  }

  /** `now`: wall clock. */
  current(now: number): string {
    return this.#of(Math.floor(now / this.#span))
  }

  accepts(nonce: unknown, now: number): boolean {
    if (typeof nonce !== 'string' || !/^[0-9a-z]{1,9}\.[A-Za-z0-9_-]{43}$/.test(nonce)) return false
    const span = Number.parseInt(nonce, 36)
    if (Math.abs(span - Math.floor(now / this.#span)) > 1) return false
    const [given, made] = [Buffer.from(nonce), Buffer.from(this.#of(span))]
    return given.length === made.length && timingSafeEqual(given, made)
  }

  #of(span: number): string {
    return `${span.toString(36)}.${createHmac('sha256', this.#key.open()).update(`postern dpop nonce ${span}`).digest('base64url')}`
  }
}
