import type { Endpoint } from './config/values.ts'
import { decide } from './decide.ts'
import { type Handlers, type Incoming, type Listener, type ListenOptions, listen } from './edge/listen.ts'
import type { TlsMaterial } from './edge/tls.ts'
import { decideOptions, listenOptions } from './front.ts'
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
  #decide: Listener | null = null

  constructor(parts: ListenerParts) {
    this.#parts = parts
  }

  /** Null before it listens. */
  get proxy(): Endpoint | null {
    return this.#proxy?.address ?? null
  }

  /** Where other proxies ask; null where they do not. */
  get decide(): Endpoint | null {
    return this.#decide?.address ?? null
  }

  /** Rejects with the system's error. */
  async openProxy(loaded: LoadedConfig): Promise<void> {
    this.#proxy = await this.#open(listenOptions(loaded), exchange)
  }

  /** Rejects with the system's error. */
  async openDecide(loaded: LoadedConfig): Promise<void> {
    const options = decideOptions(loaded)
    if (options !== null) this.#decide = await this.#open(options, decide)
  }

  #open(options: ListenOptions, act: (stages: Stages, incoming: Incoming) => Promise<void>): Promise<Listener> {
    const { audit, metrics, deps, stages, arrived } = this.#parts
    const handlers: Handlers = {
      exchange: incoming => {
        arrived()
        void act(stages, incoming)
      },
      malformed: (refusal, id, peer) => recordMalformed({ audit, metrics, clock: deps.clock }, refusal, id, peer),
    }
    return listen(options, handlers, deps)
  }

  /** Asks clients to reconnect elsewhere. */
  lame(): void {
    this.#proxy?.lame()
    this.#decide?.lame()
  }

  renew(tls: TlsMaterial): void {
    this.#proxy?.renew(tls)
  }

  /** Stops accepting, waits for what is under way, then cuts. */
  async close(deadlineMs: number): Promise<void> {
    await Promise.all([this.#proxy?.close(deadlineMs), this.#decide?.close(deadlineMs)])
  }
}
