import { createHash } from 'node:crypto'

/**
 * The proofs seen while one of them could still be accepted. Bounded in number as in time: at its bound it takes no new one, because
 * to forget an old one is to let it be shown again.
 */
export class Replays {
  readonly #seen = new Map<string, number>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#seen.size
  }

  /** `jkt` has one length, so that no two pairs make one text. Times in milliseconds on one monotonic clock. */
  take(jkt: string, jti: string, now: number, keepFor: number): 'new' | 'seen' | 'full' {
    this.#sweep(now)
    const id = createHash('sha256').update(jkt).update(jti).digest('latin1')
    if (this.#seen.has(id)) return 'seen'
    if (this.#seen.size >= this.#most) return 'full'
    this.#seen.set(id, now + keepFor)
    return 'new'
  }

  /** Oldest first. One that is kept longer than those behind it only keeps them longer, too. */
  #sweep(now: number): void {
    for (const [id, until] of this.#seen) {
      if (until >= now) return
      this.#seen.delete(id)
    }
  }
}
