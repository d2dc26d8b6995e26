export interface FetchInit {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Milliseconds for the whole call, connect to last byte. */
  readonly timeout: number
  /** Bytes of body accepted; more is a failure. */
  readonly maxBytes: number
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string
  /** Which addresses may be connected to: this machine, those of the internet, or also those of private networks. */
  readonly reach: 'loopback' | 'public' | 'private'
  /** `http://host:port` of a forward proxy for https URLs. It resolves names, so only literal addresses are then held to `reach`. */
  readonly proxy?: string
}

export interface FetchReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** A bounded HTTP call: no redirects, verified TLS, a deadline, a size cap. Rejects with an Error whose message names the cause. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchReply>

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** Time and chance, handed in so that tests own them. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  now(): number
  /** Milliseconds on a clock that never steps. */
  monotonic(): number
  /** Runs `task` once after `ms`; the handle does not keep the process alive. */
  after(ms: number, task: () => void): { cancel(): void }
}

export interface Deps {
  readonly clock: Clock
  /** Cryptographically secure bytes. */
  readonly random: (bytes: number) => Buffer
  readonly fetch: Fetch
  readonly log: Log
}
