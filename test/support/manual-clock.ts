import type { Clock } from '../../src/model/deps.ts'

/** Time that passes only when a test says so. */
export class ManualClock implements Clock {
  #ms = 0
  readonly #start = Date.parse('2026-11-23T10:00:00Z')
  readonly #timers = new Set<{ at: number; task: () => void }>()

  now(): number {
    return this.#start + this.#ms
  }

  monotonic(): number {
    return this.#ms
  }

  /** Timers that still run. */
  get waiting(): number {
    return this.#timers.size
  }

  after(ms: number, task: () => void): { cancel(): void } {
    const timer = { at: this.#ms + ms, task }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** Lets time pass: timers run in order, and what each sets off comes to rest before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms
    await settled()
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#ms = Math.max(this.#ms, next.at)
      this.#timers.delete(next)
      next.task()
      await settled()
    }
    this.#ms = end
  }

  /** SIGSTOP: time passes, and nothing of the process runs. Its timers are late when it goes on. */
  stop(ms: number): void {
    this.#ms += ms
  }

  #next(end: number): { at: number; task: () => void } | null {
    let first: { at: number; task: () => void } | null = null
    for (const timer of this.#timers) if (timer.at <= end && (first === null || timer.at < first.at)) first = timer
    return first
  }
}

/** Everything that needs no time has happened. */
export const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise<void>(resolve => setImmediate(resolve))
}
