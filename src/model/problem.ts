/** What a client may learn (contract 5). Everything more exact is for audit, log and metric only. */
export type ClientCode =
  | 'bad-request'
  | 'unauthenticated'
  | 'step-up'
  | 'forbidden'
  | 'not-found'
  | 'too-large'
  | 'rate-limited'
  | 'bad-upstream'
  | 'unavailable'
  | 'timeout'

interface Row {
  readonly reason: string
  readonly client: ClientCode
  readonly status: number
  /** The exchange cannot go on over this connection: framing is in doubt. */
  readonly close?: true
}

/**
 * Every reason for which Postern itself answers. A code never changes its meaning and is never reused.
 * `docs` list the same set; a test compares them.
 */
export const problems = {
  PST1001: { reason: 'malformed-request', client: 'bad-request', status: 400, close: true },
  PST1002: { reason: 'ambiguous-target', client: 'bad-request', status: 400, close: true },
  PST1003: { reason: 'ambiguous-host', client: 'bad-request', status: 400, close: true },
  PST1004: { reason: 'ambiguous-framing', client: 'bad-request', status: 400, close: true },
  PST1005: { reason: 'repeated-header', client: 'bad-request', status: 400, close: true },
  PST1006: { reason: 'headers-too-large', client: 'bad-request', status: 431, close: true },
  PST1007: { reason: 'method-not-served', client: 'bad-request', status: 405, close: true },
  PST1008: { reason: 'request-timeout', client: 'timeout', status: 408, close: true },
  PST1009: { reason: 'unknown-expectation', client: 'bad-request', status: 417, close: true },
  PST1010: { reason: 'body-too-large', client: 'too-large', status: 413, close: true },
  PST1011: { reason: 'upgrade-not-served', client: 'bad-request', status: 400, close: true },
  PST1012: { reason: 'client-gone', client: 'bad-request', status: 400, close: true },
  PST1101: { reason: 'gateway-proof-missing', client: 'forbidden', status: 403 },
  PST1102: { reason: 'gateway-proof-wrong', client: 'forbidden', status: 403 },
  PST1103: { reason: 'gateway-header-invalid', client: 'bad-request', status: 400, close: true },
  PST1104: { reason: 'gateway-certificate-missing', client: 'forbidden', status: 403, close: true },
  PST1105: { reason: 'gateway-certificate-wrong', client: 'forbidden', status: 403, close: true },
  PST1106: { reason: 'gateway-source-wrong', client: 'forbidden', status: 403, close: true },
  PST1107: { reason: 'handshake-failed', client: 'bad-request', status: 400, close: true },
  PST1201: { reason: 'no-route', client: 'not-found', status: 404 },
  PST1301: { reason: 'overloaded', client: 'unavailable', status: 503 },
  PST1302: { reason: 'draining', client: 'unavailable', status: 503 },
  PST2101: { reason: 'denied-by-rule', client: 'forbidden', status: 403 },
  PST2102: { reason: 'denied-by-default', client: 'forbidden', status: 403 },
  PST2103: { reason: 'tenant-mismatch', client: 'forbidden', status: 403 },
  PST2104: { reason: 'policy-unavailable', client: 'unavailable', status: 503 },
  PST2105: { reason: 'policy-changed', client: 'forbidden', status: 403 },
  PST2106: { reason: 'step-up', client: 'step-up', status: 401 },
  PST2107: { reason: 'rate-limited', client: 'rate-limited', status: 429 },
  PST2108: { reason: 'tenant-denied', client: 'forbidden', status: 403 },
  PST3001: { reason: 'token-missing', client: 'unauthenticated', status: 401 },
  PST3002: { reason: 'token-malformed', client: 'unauthenticated', status: 401 },
  PST3003: { reason: 'token-issuer-unknown', client: 'unauthenticated', status: 401 },
  PST3004: { reason: 'token-algorithm', client: 'unauthenticated', status: 401 },
  PST3005: { reason: 'token-key-unknown', client: 'unauthenticated', status: 401 },
  PST3006: { reason: 'token-signature', client: 'unauthenticated', status: 401 },
  PST3007: { reason: 'token-expired', client: 'unauthenticated', status: 401 },
  PST3008: { reason: 'token-not-yet-valid', client: 'unauthenticated', status: 401 },
  PST3009: { reason: 'token-audience', client: 'unauthenticated', status: 401 },
  PST3010: { reason: 'token-type', client: 'unauthenticated', status: 401 },
  PST3011: { reason: 'token-claims', client: 'unauthenticated', status: 401 },
  PST3012: { reason: 'token-bound', client: 'unauthenticated', status: 401 },
  PST3013: { reason: 'token-lifetime', client: 'unauthenticated', status: 401 },
  PST3014: { reason: 'credentials-scheme', client: 'unauthenticated', status: 401 },
  PST3015: { reason: 'dpop-proof', client: 'unauthenticated', status: 401 },
  PST3016: { reason: 'dpop-replay', client: 'unauthenticated', status: 401 },
  PST3017: { reason: 'dpop-nonce', client: 'unauthenticated', status: 401 },
  PST3018: { reason: 'token-inactive', client: 'unauthenticated', status: 401 },
  PST3019: { reason: 'token-scope', client: 'forbidden', status: 403 },
  PST3020: { reason: 'token-revoked', client: 'unauthenticated', status: 401 },
  PST3101: { reason: 'issuer-unavailable', client: 'unavailable', status: 503 },
  PST3102: { reason: 'key-refresh-exhausted', client: 'unavailable', status: 503 },
  PST3103: { reason: 'dpop-memory-full', client: 'unavailable', status: 503 },
  PST3104: { reason: 'revocation-unavailable', client: 'unavailable', status: 503 },
  PST4001: { reason: 'credential-unavailable', client: 'unavailable', status: 503 },
  PST4002: { reason: 'credential-no-lease', client: 'unavailable', status: 503 },
  PST4003: { reason: 'credential-unsafe-hop', client: 'unavailable', status: 503 },
  PST4101: { reason: 'identity-not-forwardable', client: 'unavailable', status: 503 },
  PST5001: { reason: 'upstream-unreachable', client: 'bad-upstream', status: 502 },
  PST5002: { reason: 'upstream-bad-response', client: 'bad-upstream', status: 502 },
  PST5003: { reason: 'upstream-timeout', client: 'timeout', status: 504 },
  PST5004: { reason: 'upstream-busy', client: 'unavailable', status: 503 },
  PST5005: { reason: 'upstream-connect-timeout', client: 'timeout', status: 504 },
  PST5006: { reason: 'hide-impossible', client: 'bad-upstream', status: 502 },
  PST5007: { reason: 'secret-in-reply', client: 'bad-upstream', status: 502 },
  PST6001: { reason: 'audit-unavailable', client: 'unavailable', status: 503 },
  PST9001: { reason: 'internal-fault', client: 'unavailable', status: 503 },
} as const satisfies Record<string, Row>

export type ProblemCode = keyof typeof problems

/** The sign-in that would be enough (RFC 9470): the one part of a policy that its caller is told. */
export interface LoginChallenge {
  /** In order of preference; empty: any. */
  readonly acrValues: readonly string[]
  /** Seconds since the sign-in; null: any. */
  readonly maxAge: number | null
}

/** What a client that must prove possession of its key needs to know (RFC 9449 sections 7.1 and 9). */
export interface DpopChallenge {
  /** Space separated. */
  readonly algorithms: string
  /** For its next proof; null where none is asked for. */
  readonly nonce: string | null
}

/** A refusal is a value, not a throw: what Postern answers instead of the backend, and why. */
export class Refusal {
  readonly code: ProblemCode
  /** Seconds for `Retry-After`; 0 means none. */
  readonly retryAfter: number
  /** For the audit record: a rule name, a claim, a header name. Never a secret, never sent to the client. */
  readonly detail: string
  /** Of a PST2106. */
  readonly challenge: LoginChallenge | null
  /** What the reply carries besides, name and value alternating: the `RateLimit` fields of a PST2107. */
  readonly fields: readonly string[]
  /** Where the client speaks DPoP, or should have. */
  readonly dpop: DpopChallenge | null

  constructor(
    code: ProblemCode,
    detail = '',
    retryAfter = 0,
    challenge: LoginChallenge | null = null,
    { fields = [], dpop = null }: { readonly fields?: readonly string[]; readonly dpop?: DpopChallenge | null } = {},
  ) {
    this.code = code
    this.detail = detail
    this.retryAfter = retryAfter
    this.challenge = challenge
    this.fields = fields
    this.dpop = dpop
  }

  get row(): Row {
    return problems[this.code]
  }
}
