import { Outgoing } from '../model/exchange.ts'
import type { DpopChallenge, LoginChallenge, Refusal } from '../model/problem.ts'

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/**
 * The one place where a fault becomes a response (contract 5, RFC 9457). It tells the client a class of failure and an id, nothing that
 * differs between two reasons for the same class: rule names, claims, upstream addresses stay in the audit.
 */
export const refuse = (refusal: Refusal, requestId: string, gatewayRequestId: string | null, metadata: string | null = null): Outgoing => {
  const { status, client, close } = refusal.row
  const body = `{"title":"${titles[status] ?? 'Error'}","status":${status},"code":"${client}","request_id":"${requestId}"}`
  const headers = [
    'content-type',
    'application/problem+json',
    'cache-control',
    'no-store',
    'x-postern-request-id',
    requestId,
    ...refusal.fields,
  ]
  if (gatewayRequestId !== null) headers.push('x-postern-gateway-request-id', gatewayRequestId)
  if (status === 401) headers.push('www-authenticate', withMetadata(challenge(refusal), metadata))
  if (refusal.dpop !== null && refusal.dpop.nonce !== null) headers.push('dpop-nonce', refusal.dpop.nonce)
  if (status === 405) headers.push('allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  const wait = refusal.retryAfter || (status === 503 ? 1 : 0)
  if (wait > 0) headers.push('retry-after', String(Math.ceil(wait)))
  return new Outgoing(status, headers, body, close === true)
}

/** RFC 9728 section 5.1. The URL is the configuration's, canonical: nothing in it ends the quoted string. */
const withMetadata = (challenge: string, url: string | null): string =>
  url === null ? challenge : `${challenge}${challenge.includes('=') ? ',' : ''} resource_metadata="${url}"`

/** RFC 6750 section 3: no error code where no token came; otherwise `invalid_token` and no description, which would help only an attacker. */
const challenge = (refusal: Refusal): string => {
  if (refusal.challenge !== null) return stepUp(refusal.challenge, refusal.dpop)
  if (refusal.dpop !== null) return `DPoP error="${dpopError(refusal)}", algs="${refusal.dpop.algorithms}"`
  return refusal.code === 'PST3001' || refusal.code === 'PST3014' ? 'Bearer' : 'Bearer error="invalid_token"'
}

/** RFC 9449 sections 7.1 and 9: the client must know whether its token, its proof or only the nonce is to be replaced. */
const dpopError = ({ code }: Refusal): string =>
  code === 'PST3015' || code === 'PST3016' ? 'invalid_dpop_proof' : code === 'PST3017' ? 'use_dpop_nonce' : 'invalid_token'

/** RFC 9470 section 3. The reader of policies admits nothing that could end the quoted string. */
const stepUp = ({ acrValues, maxAge }: LoginChallenge, dpop: DpopChallenge | null): string =>
  [
    `${dpop === null ? 'Bearer' : 'DPoP'} error="insufficient_user_authentication"`,
    ...(acrValues.length === 0 ? [] : [`acr_values="${acrValues.join(' ')}"`]),
    ...(maxAge === null ? [] : [`max_age="${maxAge}"`]),
    ...(dpop === null ? [] : [`algs="${dpop.algorithms}"`]),
  ].join(', ')
