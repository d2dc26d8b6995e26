import type { Origin } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import { certificateDigest } from './certificate.ts'
import { type ClientIpSource, forwardedIp } from './forwarded.ts'
import { canonicalIp, type Head, readAuthority } from './head.ts'
import { type Connection, type ProofTrust, prove } from './proof.ts'
import type { RouteTable } from './routes.ts'

export interface GatewayTrust extends ProofTrust {
  readonly clientIp: ClientIpSource
  /** Whether clients are told where the metadata of the resource are. */
  readonly resourceMetadata: boolean
  /** Whether the gateway maps its client's certificate; otherwise that field is removed unread. */
  readonly callerCertificate: boolean
}

/** A request's id, its moment (milliseconds since the epoch) and the connection it came over. */
export interface Arrival extends Connection {
  readonly id: string
  readonly now: number
}

/** Whether requests are served without any proof. */
export const isDirect = ({ proof }: Pick<GatewayTrust, 'proof'>): boolean => proof.includes('none-accept-direct-traffic')

/**
 * Decides once whether the request came through the gateway, and from then on only the result exists. The proof is compared before
 * anything else is believed; the other gateway fields are read only after it passed (contract 3).
 */
export const trust = (head: Head, arrival: Arrival, gateway: GatewayTrust, routes: RouteTable): Origin | Refusal => {
  const direct = isDirect(gateway)
  if (!direct) {
    const refused = prove(head.gateway.proof, arrival, gateway, arrival.now)
    if (refused) return refused
    for (const values of Object.values(head.gateway)) if (!isSingle(values)) return new Refusal('PST1103')
  }
  const clientIp = direct ? canonicalIp(arrival.peer ?? '') : gatewayIp(head, gateway.clientIp)
  const host = direct ? head.host : gatewayHost(head)
  const requestId = direct ? null : gatewayRequestId(head.gateway.requestId)
  const certificate = direct || !gateway.callerCertificate ? null : gatewayCertificate(head.gateway.clientCert)
  for (const field of [clientIp, host, requestId, certificate]) if (field instanceof Refusal) return field
  const found = routes.find(host as string, head.target.path)
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
    authorization: head.authorization,
    dpop: head.dpop,
    clientCertificate: certificate as Buffer | null,
    headers: head.headers,
    userAgent: head.userAgent,
  }
}

/** `append` mappings join with what the client sent: a comma or a second line is an attempt, not a value. */
const isSingle = (values: readonly string[]): boolean => values.length === 0 || (values.length === 1 && !values[0]?.includes(','))

const gatewayIp = ({ gateway, forwarding }: Head, source: ClientIpSource): string | null | Refusal => {
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
const gatewayCertificate = ([value = '']: readonly string[]): Buffer | null | Refusal =>
  value === '' ? null : (certificateDigest(value) ?? new Refusal('PST1103', 'x-postern-client-cert'))

const gatewayRequestId = (values: readonly string[]): string | null | Refusal => {
  const [value] = values
  if (value === undefined) return null
  return /^[\x21-\x7e]{1,128}$/.test(value) ? value : new Refusal('PST1103', 'x-postern-gateway-request-id')
}
