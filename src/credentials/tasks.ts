import type { Clock } from '../model/deps.ts'

/** Timers by name: a name has one at most, and closing ends them all. */
export class Tasks<Name extends string> {
  readonly #clock: Pick<Clock, 'after'>
  readonly #timers = new Map<Name, { cancel(): void }>()
  readonly #sleepers = new Set<() => void>()
  #closed = false

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Replaces what was planned under this name. */
  after(name: Name, ms: number, run: () => void): void {
    this.cancel(name)
    if (this.#closed) return
    const timer = this.#clock.after(ms, () => {
      if (this.#timers.get(name) === timer) this.#timers.delete(name)
      run()
    })
    this.#timers.set(name, timer)
  }

  cancel(name: Name): void {
    this.#timers.get(name)?.cancel()
    this.#timers.delete(name)
  }

  /** Rejects as soon as everything is closed, so that a loop with pauses ends. */
  pause(ms: number): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('stopping'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = this.#clock.after(ms, () => {
      this.#sleepers.delete(stop)
      resolve()
    })
    const stop = () => {
      timer.cancel()
      reject(new Error('stopping'))
    }
    this.#sleepers.add(stop)
    return promise
  }

  close(): void {
    this.#closed = true
    for (const name of this.#timers.keys()) this.cancel(name)
    for (const stop of this.#sleepers) stop()
    this.#sleepers.clear()
  }
}

/** Runs jobs one after another, in the order they came. A job that fails does not stop the line. */
export const inTurn = (): (<T>(job: () => Promise<T>) => Promise<T>) => {
  let last: Promise<unknown> = Promise.resolve()
  return job => {
    const result = last.then(job)
    last = result.catch(() => undefined)
    return result
  }
}
