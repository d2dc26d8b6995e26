/**
 * A Map with a bound in entries and in bytes that lets its oldest entries go first. Private to its owner, in memory only. Keyed by the
 * whole token: a digest would cost more than the comparison that it saves, and a part of a token is not the token (CVE-2021-32701).
 */
export class TokenCache<E> {
  readonly #entries = new Map<string, E>()
  readonly #maxEntries: number
  readonly #maxBytes: number
  readonly #costOf: (key: string, entry: E) => number
  #bytes = 0

  /** `costOf` estimates the heap that an entry holds. */
  constructor(maxEntries: number, maxBytes: number, costOf: (key: string, entry: E) => number = tokenCost) {
    this.#maxEntries = maxEntries
    this.#maxBytes = maxBytes
    this.#costOf = costOf
  }

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get(token: string): E | undefined {
    return this.#entries.get(token)
  }

  set(token: string, entry: E): void {
    this.delete(token)
    this.#bytes += this.#costOf(token, entry)
    this.#entries.set(token, entry)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= this.#maxBytes) return
      this.delete(oldest)
    }
  }

  delete(token: string): void {
    const entry = this.#entries.get(token)
    if (entry === undefined) return
    this.#entries.delete(token)
    this.#bytes -= this.#costOf(token, entry)
  }

  /** Lets go of what can no longer be used, so that claims do not lie about in memory after their token. */
  sweep(usable: (entry: E) => boolean): void {
    for (const [token, entry] of this.#entries) if (!usable(entry)) this.delete(token)
  }
}

/** The token, its claims as objects (about three times their JSON), and the fixed parts. */
const tokenCost = (token: string): number => 1024 + 4 * token.length
