import type { Asserted, Origin } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import type { SecretBytes } from '../model/secret.ts'
import { canonicalUrl } from '../model/target.ts'
import { certificateDigest } from './certificate.ts'
import { type ClientIpSource, forwardedIp } from './forwarded.ts'
import { canonicalIp, type Head, readAuthority } from './head.ts'
import { isAwsSignature, mappedCaller } from './mapped-caller.ts'
import { type Connection, type ProofTrust, prove } from './proof.ts'
import type { RouteTable } from './routes.ts'

export interface GatewayTrust extends ProofTrust {
  readonly clientIp: ClientIpSource
  /** Whether clients are told where the metadata of the resource are. */
  readonly resourceMetadata: boolean
  /** Whether the gateway maps its client's certificate; otherwise that field is removed unread. */
  readonly callerCertificate: boolean
  /** What must stand beside the caller that the gateway maps; null where it maps none, and then those fields are removed unread. */
  readonly mappingSecrets: readonly SecretBytes[] | null
}

/** A request's id, its moment (milliseconds since the epoch) and the connection it came over. */
export interface Arrival extends Connection {
  readonly id: string
  readonly now: number
  /** Remembers an assertion of this signer for so many milliseconds. At its bound it takes no new one. */
  readonly once: (signer: string, jti: string, keepFor: number) => 'new' | 'seen' | 'full'
}

/** Whether requests are served without any proof. */
export const isDirect = ({ proof }: Pick<GatewayTrust, 'proof'>): boolean => proof.includes('none-accept-direct-traffic')

/**
 * Decides once whether the request came through the gateway, and from then on only the result exists. The proof is compared before
 * anything else is believed; the other gateway fields are read only after it passed (contract 3).
 */
export const trust = (head: Head, arrival: Arrival, gateway: GatewayTrust, routes: RouteTable): Origin | Refusal => {
  const direct = isDirect(gateway)
  const proved = direct ? null : prove(head.gateway, arrival, gateway, arrival.now)
  if (proved instanceof Refusal) return proved
  if (!direct) {
    for (const values of Object.values(head.gateway)) if (!isSingle(values)) return new Refusal('PST1103')
  }
  const clientIp = direct ? canonicalIp(arrival.peer ?? '') : gatewayIp(head, gateway.clientIp)
  const host = direct ? head.host : gatewayHost(head)
  const requestId = direct ? null : gatewayRequestId(head.gateway.requestId)
  const certificate = direct || !gateway.callerCertificate ? null : gatewayCertificate(head.gateway.clientCert)
  const caller = direct || gateway.mappingSecrets === null ? null : mappedCaller(head.gateway, gateway.mappingSecrets)
  for (const field of [clientIp, host, requestId, certificate]) if (field instanceof Refusal) return field
  if (caller instanceof Refusal) return caller
  const found = routes.find(host as string, head.target.path)
  const misused = proved === null ? null : misuse(proved, { method: head.method, host: host as string, ...found }, arrival)
  if (misused !== null) return misused
  return {
    id: arrival.id,
    method: head.method,
    target: found.path === head.target.path ? head.target : { path: found.path, query: head.target.query },
    host: host as string,
    // API Gateway speaks TLS only to its clients; direct traffic arrives on a plain listener.
    scheme: direct ? 'http' : 'https',
    proof: gateway.proof,
    clientIp: clientIp as string | null,
    gatewayRequestId: requestId as string | null,
    route: found.route,
    publicUrl: found.publicUrl,
    authorization: caller !== null && isAwsSignature(head.authorization) ? null : head.authorization,
    dpop: head.dpop,
    clientCertificate: certificate as Buffer | null,
    mappedCaller: caller,
    headers: head.headers,
    userAgent: head.userAgent,
  }
}

/** Why an assertion does not prove this request: it was signed for another one, or shown before. */
const misuse = (
  { signer, jti, until, method, host, url }: Asserted,
  request: { readonly method: string; readonly host: string; readonly path: string; readonly publicUrl: string | null },
  { now, once }: Arrival,
): Refusal | null => {
  if (method !== request.method) return new Refusal('PST1111', 'htm')
  if (readAuthority(host) !== request.host) return new Refusal('PST1111', 'host')
  const meant = request.publicUrl === null ? null : request.publicUrl + request.path
  if (url !== null && (meant === null || canonicalUrl(url) !== meant)) return new Refusal('PST1111', 'htu')
  const seen = once(signer, jti, until - now)
  if (seen === 'full') return new Refusal('PST1112', '', 5)
  return seen === 'seen' ? new Refusal('PST1111', 'jti') : null
}

/** `append` mappings join with what the client sent: a comma or a second line is an attempt, not a value. */
const isSingle = (values: readonly string[]): boolean => values.length === 0 || (values.length === 1 && !values[0]?.includes(','))

export const gatewayIp = ({ gateway, forwarding }: Head, source: ClientIpSource): string | null | Refusal => {
  if (source.from !== 'x-postern-client-ip')
    return forwardedIp(source.from === 'forwarded' ? forwarding.forwarded : forwarding.xForwardedFor, source)
  const [value] = gateway.clientIp
  return value === undefined ? null : (canonicalIp(value) ?? new Refusal('PST1103', 'x-postern-client-ip'))
}

const gatewayHost = (head: Head): string | Refusal => {
  const [value] = head.gateway.host
  return value === undefined ? head.host : (readAuthority(value) ?? new Refusal('PST1103', 'x-postern-host'))
}

/** A mapping without a value arrives empty: a client that showed no certificate. */
export const gatewayCertificate = ([value = '']: readonly string[]): Buffer | null | Refusal =>
  value === '' ? null : (certificateDigest(value) ?? new Refusal('PST1103', 'x-postern-client-cert'))

const gatewayRequestId = (values: readonly string[]): string | null | Refusal => {
  const [value] = values
  if (value === undefined) return null
  return /^[\x21-\x7e]{1,128}$/.test(value) ? value : new Refusal('PST1103', 'x-postern-gateway-request-id')
}
