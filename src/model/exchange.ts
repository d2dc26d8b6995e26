import type { Refusal } from './problem.ts'

export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof methods)[number]

/** One spelling of the request target. `path` is canonical (policy section 5) and is what goes upstream; `query` is raw, without `?`. */
export interface Target {
  readonly path: string
  readonly query: string | null
}

/** How a request proved that it came through the gateway. */
export type Proof = 'shared-secret' | 'client-certificate' | 'source-range' | 'none-accept-direct-traffic'

/** One configured route (contract 2). */
export interface Route {
  readonly name: string
  readonly host: string
  /** Canonical prefix, without a trailing slash; empty for `/`. */
  readonly prefix: string
  readonly upstream: string
  /** Whether CORS preflights are sent on without a token. */
  readonly preflight: 'refuse' | 'forward'
  /** Base of the URLs that clients use, canonical, without a trailing slash; what follows is the path after `strip-prefix`. */
  readonly publicUrl: string
}

/**
 * What is left of a request once the edge has proved and cleaned it. After this nobody reads the peer address,
 * forwarding headers or identity headers: they were consumed and removed.
 */
export interface Origin {
  /** The request id: audit, problem bodies and the backend all use it. */
  readonly id: string
  readonly method: Method
  readonly target: Target
  /** Lower case, no port, no trailing dot. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  /** Everything that was asked for, and so was proved. */
  readonly proof: readonly Proof[]
  /** Canonical client address, or null when the gateway did not say. */
  readonly clientIp: string | null
  readonly gatewayRequestId: string | null
  readonly route: Route | null
  /** From the configuration, never from `Host`: what proofs of possession are made for. Null for a host without a route. */
  readonly publicUrl: string | null
  /** The single `Authorization` value as received, or null. */
  readonly authorization: string | null
  /** The single `DPoP` value as received, or null. */
  readonly dpop: string | null
  /** SHA-256 of the certificate that the client proved (RFC 8705), or null. */
  readonly clientCertificate: Buffer | null
  /** End-to-end fields, name and value alternating, lower-case names, without anything Postern owns or consumed. */
  readonly headers: readonly string[]
  readonly userAgent: string
}

/** Every value of a field, in order; the name in lower case. */
export const fieldValues = (headers: readonly string[], name: string): string[] => {
  const values: string[] = []
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) values.push(headers[i + 1] ?? '')
  return values
}

/** Bytes in flight, pushed. A body is opened once; nothing is lost between its making and its opening. */
export interface Body {
  /** The whole body, if it already arrived; lets a small reply leave in one write. */
  readonly whole: Buffer | null
  open(sink: BodySink): void
  /** Goes on after a `write` that returned false. */
  resume(): void
  /** The reader is gone: stop and release the other side. */
  cancel(): void
}

export interface BodySink {
  /** False asks the body to wait for `resume`. */
  write(chunk: Buffer): boolean
  end(): void
  /** The body broke off: what was sent must not look complete. `why` is what would have been answered had it happened before the head. */
  fail(why: Refusal): void
}

/** What a backend answered, as it came. */
export interface Answer {
  readonly status: number
  /** Name and value alternating, lower-case names, hop-by-hop included. */
  readonly headers: readonly string[]
  readonly body: Body
}

/**
 * What goes to the client. Only `edge/oblige.ts` and `edge/refuse.ts` make one (architecture test), so the backend's answer cannot
 * reach a client past its obligations.
 */
export class Outgoing {
  readonly #made = true
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Body | string
  /** Close the connection afterwards. */
  readonly close: boolean
  /** Members that were removed from the body. */
  readonly hidden: number

  constructor(status: number, headers: readonly string[], body: Body | string, close: boolean, hidden = 0) {
    this.status = status
    this.headers = headers
    this.body = body
    this.close = close
    this.hidden = hidden
  }

  static is(value: object): value is Outgoing {
    return #made in value
  }
}

/** How a reply ended. */
export interface Settled {
  readonly bytes: number
  readonly aborted: boolean
}
