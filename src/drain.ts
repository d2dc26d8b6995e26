import type { Clock } from './model/deps.ts'

/** A drain is over when nothing has come for so long. */
const quietMs = 3_000

export interface Drained {
  readonly quiet: boolean
  readonly inFlight: number
}

/** Whether a process asks its clients to go elsewhere, and whether they have. */
export class Draining {
  readonly #clock: Clock
  readonly #inFlight: () => number
  #lastArrival = 0
  /** From the first `begin` on. */
  on = false

  constructor(clock: Clock, inFlight: () => number) {
    this.#clock = clock
    this.#inFlight = inFlight
  }

  /** A request has come. */
  arrived(): void {
    if (this.on) this.#lastArrival = this.#clock.monotonic()
  }

  /** Waits until nothing comes any more, for `deadline` milliseconds at most, or until `over` says that nobody waits. */
  async quiet(deadline: number, over: () => boolean): Promise<Drained> {
    const from = this.#clock.monotonic()
    this.#lastArrival = from
    for (;;) {
      const now = this.#clock.monotonic()
      const quiet = this.#inFlight() === 0 && now - this.#lastArrival >= quietMs
      if (quiet || now >= from + deadline || over()) return { quiet, inFlight: this.#inFlight() }
      await new Promise<void>(done => this.#clock.after(Math.min(250, from + deadline - now), done))
    }
  }
}
