import { timingSafeEqual } from 'node:crypto'
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

/** The same for bytes: `util.inspect` would print a Buffer's first fifty. */
export class SecretBytes {
  readonly #value: Buffer

  constructor(value: Buffer) {
    this.#value = value
  }

  /** In constant time for a given length. */
  equals(given: Buffer): boolean {
    return this.#value.length === given.length && timingSafeEqual(this.#value, given)
  }

  open(): Buffer {
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
