/** So many at once, then one each interval. The caller owns the clock. */
export class Bucket {
  readonly #burst: number
  readonly #every: number
  #level: number
  #since: number

  constructor(burst: number, every: number, now: number) {
    this.#burst = burst
    this.#every = every
    this.#level = burst
    this.#since = now
  }

  take(now: number): boolean {
    this.#fill(now)
    if (this.#level < 1) return false
    this.#level -= 1
    return true
  }

  /** Milliseconds until `take` can succeed. */
  wait(now: number): number {
    this.#fill(now)
    return this.#level >= 1 ? 0 : this.#since + this.#every - now
  }

  #fill(now: number): void {
    const drops = Math.floor((now - this.#since) / this.#every)
    this.#level = Math.min(this.#burst, this.#level + drops)
    // A full bucket gathers no time: the interval counts from the first take.
    this.#since = this.#level === this.#burst ? now : this.#since + drops * this.#every
  }
}
