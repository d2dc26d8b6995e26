import type { Log } from '../model/deps.ts'

/** Logs a fault when it begins, changes and ends, not each time it is met. */
export class States {
  readonly #log: Log
  readonly #last = new Map<string, string>()

  constructor(log: Log) {
    this.#log = log
  }

  say(part: string, fault: string | null): void {
    const before = this.#last.get(part) ?? null
    if (fault === before) return
    if (fault === null) {
      this.#last.delete(part)
      this.#log.info({ part, after: before }, 'this part of the audit works again')
    } else {
      this.#last.set(part, fault)
      this.#log.error(
        { part, fault },
        part === 'spool' ? 'the audit cannot take records: requests are refused' : 'a part of the audit fails',
      )
    }
  }
}
