/** One reply's part of the memory. */
export interface Share {
  /** From now on this many bytes; false where the process has no room for them, but they count all the same until `release`. */
  hold(bytes: number): boolean
  /** Idempotent. */
  release(): void
}

/** Bytes that all replies being masked hold at once in this process. Many large replies to slow clients must not be the end of it. */
export class HideMemory {
  readonly #most: number
  #used = 0

  constructor(most = 64 * 1024 * 1024) {
    this.#most = most
  }

  get used(): number {
    return this.#used
  }

  share(): Share {
    let held = 0
    const hold = (bytes: number): boolean => {
      this.#used += bytes - held
      held = bytes
      return this.#used <= this.#most
    }
    return { hold, release: () => void hold(0) }
  }
}
