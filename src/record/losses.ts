/** Records that could not be kept, not even in the reserve. */
export interface Loss {
  readonly lost: number
  /** Milliseconds since the epoch of the first. */
  readonly since: number
  readonly reason: string
}

/** Counts lost records until a `gap` record has told of them. */
export class Losses {
  #total = 0
  #unreported: Loss | null = null

  get total(): number {
    return this.#total
  }

  get unreported(): Loss | null {
    return this.#unreported
  }

  /** One more, for this reason. */
  add(now: number, reason: string): void {
    this.#total++
    this.#unreported = { lost: (this.#unreported?.lost ?? 0) + 1, since: this.#unreported?.since ?? now, reason }
  }

  /** Written records that were taken away; their gap record stands already. */
  taken(records: number): void {
    this.#total += records
  }

  reported(loss: Loss): void {
    if (this.#unreported === loss) this.#unreported = null
  }
}
