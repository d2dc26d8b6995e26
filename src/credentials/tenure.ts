import type { Clock } from '../model/deps.ts'
import type { Lease, LeaseOutcome } from './lease.ts'
import { Tasks } from './tasks.ts'

export interface TenureOptions {
  readonly clock: Clock
  readonly lease: Lease
  /** Milliseconds between renewals, spread a little. */
  readonly renewEvery: () => number
  /** We hold it, and somebody else may have held it before. */
  readonly won: () => void
  readonly lost: (owner: string) => void
  /** Nobody could say who holds it. */
  readonly doubted: (detail: string) => void
}

const retryAfter = 1_000

/** Keeps taking and renewing a lease for as long as it is open, and tells when it comes and goes. */
export class Tenure {
  /** Counts how often the lease came or went: what was begun under an earlier one must not be finished under this one. */
  epoch = 0
  /** Who holds it instead of us. */
  holder: string | null = null
  readonly #options: TenureOptions
  readonly #tasks: Tasks<'renew'>

  constructor(options: TenureOptions) {
    this.#options = options
    this.#tasks = new Tasks(options.clock)
  }

  /** Begins in the background. */
  start(): void {
    void this.#take()
  }

  /** There is no fencing for ALTER ROLE: a statement is sent only if it ends before anyone else may hold the lease. */
  mustHold(epoch: number, ms: number): void {
    if (this.epoch !== epoch || this.#options.lease.remaining() <= ms) throw new Error('the lease is lost, or about to end')
  }

  async close(): Promise<void> {
    this.#tasks.close()
    await this.#options.lease.release()
  }

  async #take(): Promise<void> {
    const { lease, renewEvery } = this.#options
    const outcome = await lease.take()
    // Closed while the answer was under way: it may have been given up before it was granted.
    if (this.#tasks.closed) return void (await lease.release())
    this.#judge(outcome)
    this.#tasks.after('renew', outcome.is === 'unknown' ? retryAfter : renewEvery(), () => void this.#take())
  }

  #judge(outcome: LeaseOutcome): void {
    if (outcome.is === 'unknown') this.#options.doubted(outcome.detail)
    if (outcome.is === 'unknown' || outcome.is === 'renewed' || (outcome.is === 'other' && this.holder === outcome.owner)) return
    this.epoch += 1
    this.holder = outcome.is === 'other' ? outcome.owner : null
    if (this.holder === null) this.#options.won()
    else this.#options.lost(this.holder)
  }
}
