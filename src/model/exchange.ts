export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof methods)[number]

/** One spelling of the request target. `path` is canonical (policy section 5) and is what goes upstream; `query` is raw, without `?`. */
export interface Target {
  readonly path: string
  readonly query: string | null
}

/** How a request proved that it came through the gateway. */
export type Proof = 'shared-secret' | 'none-accept-direct-traffic'

/** One configured route (contract 2). */
export interface Route {
  readonly name: string
  readonly host: string
  /** Canonical prefix, without a trailing slash; empty for `/`. */
  readonly prefix: string
  readonly upstream: string
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
  readonly proof: Proof
  /** Canonical client address, or null when the gateway did not say. */
  readonly clientIp: string | null
  readonly gatewayRequestId: string | null
  readonly route: Route | null
  /** The single `Authorization` value as received, or null. */
  readonly authorization: string | null
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
