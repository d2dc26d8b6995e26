import { inspect } from 'node:util'

/**
 * A value that must never be printed. `String()`, JSON and `util.inspect` all give `[secret]`, so a log line,
 * an error body or a config dump that includes one by mistake shows nothing. Only `credentials/` and the sender open it.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  open(): string {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
