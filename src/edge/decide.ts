import { addressKey } from '../config/address.ts'
import { fieldValues, type Method, methods, type Origin, Outgoing, type Target } from '../model/exchange.ts'
import type { Permit } from '../model/permit.ts'
import { Refusal } from '../model/problem.ts'
import { Ambiguous, canonicalTarget } from '../model/target.ts'
import type { DecideSettings } from './decide-settings.ts'
import type { ClientIpSource } from './forwarded.ts'
import { type Head, readAuthority, withoutBlanks } from './head.ts'
import type { Incoming } from './listen.ts'
import type { RouteTable } from './routes.ts'
import { gatewayCertificate, gatewayIp } from './trust.ts'

/** What other proxies are believed. */
export interface DecideTrust {
  /** Takes a key of `addressKey`; null: a UNIX socket, which only those can open who may ask. */
  readonly isSource: ((key: string) => boolean) | null
  readonly original: DecideSettings['original']
  /** Null: nowhere, the client's address is unknown. */
  readonly clientIp: ClientIpSource | null
  readonly callerCertificate: boolean
  /** Fields of the original request that other proxies show where it has them; null: all. */
  readonly shown: ReadonlySet<string> | null
}

/** The request that another proxy asks about. */
export interface Question {
  readonly origin: Origin
  /** Names of all fields that came, with `-` for whatever some server would read as `-`. */
  readonly names: ReadonlySet<string>
  /** Those among them that Postern would have removed or not known under the name, and that the other proxy may send on. */
  readonly otherwise: ReadonlySet<string>
}

const path = '/decide'

/**
 * Whether who connects may ask at all; undefined on a UNIX socket. The listener may be another than the configuration says by now: who comes by
 * address is not let in because a socket is meant.
 */
export const mayAsk = (peer: string | undefined, { isSource }: DecideTrust): boolean => {
  if (peer === undefined || isSource === null) return peer === undefined && isSource === null
  const key = addressKey(peer)
  return key !== null && isSource(key)
}

const styles = {
  'x-forwarded': ['x-forwarded-method', 'x-forwarded-host', 'x-forwarded-uri'],
  'x-original-url': ['x-original-method', 'x-original-url'],
  'x-original-uri': ['x-original-method', 'x-original-uri'],
  path: [],
} as const

/** Each names a method or a target, to Postern in another style or to a backend behind the other proxy, which does not remove it. */
const elsewhere = new Set([
  ...Object.values(styles)
    .flat()
    .filter(name => name !== 'x-forwarded-host'),
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-rewrite-url',
])

const invalid = (detail: string): Refusal => new Refusal('PST1109', detail)

/**
 * Reads what another proxy asks, in the one configured way: two ways at once are what somebody behind that proxy has added. The target must be
 * canonical as it stands, for the other proxy sends it on as it stands. What Postern would have removed from the request it cannot remove here.
 */
export const readQuestion = (incoming: Incoming, trust: DecideTrust, routes: RouteTable): Question | Refusal => {
  const { head, raw } = incoming
  if (head instanceof Refusal) return head
  const misplaced = misplacedOf(raw.url ?? '', head, trust)
  if (misplaced !== null) return misplaced
  const fields = fieldsOf(raw.rawHeaders, trust)
  if (fields instanceof Refusal) return fields
  const original = originalOf(raw.url ?? '', head, trust, fields.read)
  if (original instanceof Refusal) return original
  const clientIp = trust.clientIp === null ? null : gatewayIp(head, trust.clientIp)
  if (clientIp instanceof Refusal) return clientIp
  // There is none but where one is told: elsewhere the field has been refused.
  const clientCertificate = gatewayCertificate(head.gateway.clientCert)
  if (clientCertificate instanceof Refusal) return clientCertificate
  const { method, host, target } = original
  const found = routes.find(host, target.path)
  const origin: Origin = {
    id: incoming.id,
    method,
    target: { path: found.path, query: target.query },
    host,
    scheme: 'https',
    proof: ['decide-peer'],
    clientIp,
    gatewayRequestId: null,
    route: found.route,
    publicUrl: found.publicUrl,
    authorization: head.authorization,
    dpop: head.dpop,
    clientCertificate,
    mappedCaller: null,
    headers: head.headers,
    userAgent: head.userAgent,
  }
  return { origin, names: fields.names, otherwise: fields.otherwise }
}

/** Null where this is a question. */
const misplacedOf = (url: string, { method, framing }: Head, { original }: DecideTrust): Refusal | null => {
  // Caddy leaves the query of the original request on it; nobody reads it here.
  const here = original === 'path' ? url.startsWith(`${path}/`) : url === path || url.startsWith(`${path}?`)
  if (!here) return new Refusal('PST1201', 'not a question')
  if (original !== 'path' && method !== 'GET') return new Refusal('PST1007', method, 0, null, { fields: ['allow', 'GET'] })
  // Nobody reads it, and policy decides without.
  return framing.kind === 'none' ? null : new Refusal('PST1004', 'body of a question')
}

interface Fields {
  /** Name and value alternating, of the configured way. */
  readonly read: readonly string[]
  readonly names: ReadonlySet<string>
  readonly otherwise: ReadonlySet<string>
}

const foldedName = (name: string): string => name.replace(/[^a-z0-9]/g, '-')

/** Options of the connection itself, which name no field that a policy could read. */
const ofConnection = ['', 'close', 'keep-alive', 'upgrade']
const nominatedBy = (value: string): string[] =>
  value
    .split(',')
    .map(name => withoutBlanks(name).toLowerCase())
    .filter(name => !ofConnection.includes(name))
    .flatMap(name => [name, foldedName(name)])

const fieldsOf = (rawHeaders: readonly string[], { original, clientIp, callerCertificate }: DecideTrust): Fields | Refusal => {
  const wanted: readonly string[] = [
    ...styles[original],
    ...(clientIp?.from === 'x-postern-client-ip' ? ['x-postern-client-ip'] : []),
    ...(callerCertificate ? ['x-postern-client-cert'] : []),
  ]
  const read: string[] = []
  const names = new Set<string>()
  const otherwise = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase()
    const folded = foldedName(name)
    names.add(folded)
    if (folded !== name) otherwise.add(folded)
    if (name === 'connection') for (const nominated of nominatedBy(rawHeaders[i + 1] ?? '')) otherwise.add(nominated)
    if (wanted.includes(name)) read.push(name, rawHeaders[i + 1] ?? '')
    else if (wanted.includes(folded) || elsewhere.has(folded) || folded.startsWith('x-postern-')) return invalid(name.slice(0, 64))
  }
  for (const name of wanted) if (fieldValues(read, name).length > 1) return invalid(name)
  return { read, names, otherwise }
}

interface Original {
  readonly method: Method
  readonly host: string
  readonly target: Target
}

const originalOf = (url: string, head: Head, { original }: DecideTrust, read: readonly string[]): Original | Refusal => {
  if (original === 'path') return placed(head.method, head.host, url.slice(path.length))
  const [method, ...place] = styles[original].map(name => fieldValues(read, name)[0])
  const known = methods.find(one => one === method)
  if (method === undefined) return invalid(styles[original][0])
  if (known === undefined) return new Refusal('PST1007', method.slice(0, 16))
  if (original === 'x-original-uri') return placed(known, head.host, place[0])
  if (original === 'x-forwarded') return placed(known, readAuthority(place[0] ?? ''), place[1])
  const [, authority = '', target] = /^https?:\/\/([^/?#]*)(\/.*)$/i.exec(place[0] ?? '') ?? []
  return placed(known, readAuthority(authority), target)
}

const placed = (method: Method, host: string | null, text: string | undefined): Original | Refusal => {
  if (host === null || text === undefined) return invalid(host === null ? 'host' : 'target')
  const target = canonicalTarget(text)
  if (target instanceof Ambiguous) return new Refusal('PST1002', target.why)
  const { path, query } = target
  return (query === null ? path : `${path}?${query}`) === text ? { method, host, target } : new Refusal('PST1002', 'not canonical')
}

/** The yes. `fields` are for the other proxy to set on the request that it sends on. */
export const permitted = ({ tenant }: Permit, { id }: Origin, fields: readonly string[]): Outgoing =>
  new Outgoing(200, ['cache-control', 'no-store', 'x-postern-request-id', id, 'x-postern-tenant', tenant, ...fields], '', false)
