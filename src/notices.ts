import { isDirect } from './edge/trust.ts'
import type { ExchangeEntry } from './model/audit.ts'
import type { Log } from './model/deps.ts'
import type { Snapshot } from './snapshot.ts'
import { version } from './version.ts'

/** Tells ops when a backend begins to fail and when it answers again: one line for each change, not one for each request. */
export class Notices {
  readonly #log: Log
  readonly #failing = new Map<string, string>()

  constructor(log: Log) {
    this.#log = log
  }

  upstream({ upstream, upstreamStatus, code, reason }: ExchangeEntry): void {
    if (upstream === null) return
    if (upstreamStatus === null && code.startsWith('PST5')) {
      if (this.#failing.get(upstream) === reason) return
      this.#failing.set(upstream, reason)
      this.#log.warn({ upstream, reason }, 'this backend fails; its requests get 502, 503 or 504')
    } else if (upstreamStatus !== null && this.#failing.delete(upstream)) this.#log.info({ upstream }, 'this backend answers again')
  }
}

/** The first line of a process that serves, and a louder one where it asks for no proof. */
export const announce = (log: Log, { gateway, digest }: Snapshot, proxy: string, ops: string): void => {
  if (isDirect(gateway))
    log.warn(
      { proof: gateway.proof.join() },
      'ANYONE WHO REACHES THIS PORT IS SERVED: no proof of the gateway is asked for; host and client address are whatever the peer says',
    )
  log.info({ proxy, ops, snapshot: digest, version }, 'serving')
}
