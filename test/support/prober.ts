import type { CassandraSession } from '../../src/model/cassandra.ts'
import type { Secret } from '../../src/model/secret.ts'

export interface Handed {
  readonly username: string
  readonly password: Secret
  readonly generation: number
}

/** A run of refusals on one node without a success in between. */
export interface Gap {
  readonly host: string
  readonly generation: number
  readonly ms: number
}

/** Logs in afresh on every node, again and again, with what is handed out: what a backend does that restarts all the time. */
export class Prober {
  /** Logins that a node decided. */
  tried = 0
  readonly gaps: Gap[] = []
  readonly #running: Promise<void>
  #stopped = false

  constructor(session: CassandraSession, current: () => Handed | null, { pause = 20 }: { readonly pause?: number } = {}) {
    this.#running = this.#run(session, current, pause)
  }

  /** The longest time for which a node refused what was handed out. */
  get longest(): number {
    return Math.max(0, ...this.gaps.map(({ ms }) => ms))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(session: CassandraSession, current: () => Handed | null, pause: number): Promise<void> {
    const since = new Map<string, number>()
    while (!this.#stopped) {
      const handed = current()
      if (handed !== null)
        await Promise.all(
          session.hosts().map(async host => {
            const began = performance.now()
            const proof = await session.login(handed.username, handed.password, { host })
            if (proof === 'unknown') return
            this.tried += 1
            if (proof === 'ok') return void since.delete(host)
            const from = since.get(host) ?? began
            since.set(host, from)
            const ms = Math.round(performance.now() - from)
            const last = this.gaps.findLastIndex(gap => gap.host === host)
            const gap = { host, generation: handed.generation, ms }
            if (from !== began && last >= 0) this.gaps[last] = gap
            else this.gaps.push(gap)
          }),
        )
      await new Promise(resolve => setTimeout(resolve, pause))
    }
  }
}
