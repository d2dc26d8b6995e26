import type { Endpoint } from './config/values.ts'
import { type Listener, listen } from './edge/listen.ts'
import type { TlsMaterial } from './edge/tls.ts'
import { listenOptions } from './front.ts'
import type { LoadedConfig } from './load.ts'
import { recordMalformed } from './meter.ts'
import type { Audit } from './model/audit.ts'
import type { Deps } from './model/deps.ts'
import { exchange, type Stages } from './pipeline.ts'
import type { Metrics } from './record/metrics.ts'

export interface ListenerParts {
  readonly deps: Deps
  readonly audit: Audit
  readonly metrics: Metrics
  readonly stages: Stages
  /** A request has come. */
  arrived(): void
}

/** Where requests to be decided come in. */
export class Listeners {
  readonly #parts: ListenerParts
  #proxy: Listener | null = null

  constructor(parts: ListenerParts) {
    this.#parts = parts
  }

  /** Null before it listens. */
  get proxy(): Endpoint | null {
    return this.#proxy?.address ?? null
  }

  /** Rejects with the system's error. */
  async openProxy(loaded: LoadedConfig): Promise<void> {
    const { audit, metrics, deps, stages, arrived } = this.#parts
    this.#proxy = await listen(
      listenOptions(loaded),
      {
        exchange: incoming => {
          arrived()
          void exchange(stages, incoming)
        },
        malformed: (refusal, id, peer) => recordMalformed({ audit, metrics, clock: deps.clock }, refusal, id, peer),
      },
      deps,
    )
  }

  /** Asks clients to reconnect elsewhere. */
  lame(): void {
    this.#proxy?.lame()
  }

  renew(tls: TlsMaterial): void {
    this.#proxy?.renew(tls)
  }

  /** Stops accepting, waits for what is under way, then cuts. */
  async close(deadlineMs: number): Promise<void> {
    await this.#proxy?.close(deadlineMs)
  }
}
