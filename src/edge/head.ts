import { isIP, SocketAddress } from 'node:net'
import { type Method, methods, type Target } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import { Ambiguous, canonicalTarget } from '../model/target.ts'
import { type FieldRole, fieldRole, type GatewayField, gatewayField, mayBeNominated } from './names.ts'

/** How the body is framed. `length` is null for a chunked body. */
export type Framing = { readonly kind: 'none' } | { readonly kind: 'body'; readonly length: number | null }

/** A request head that has exactly one meaning. Gateway fields are still unproved here: only `trust` may read them. */
export interface Head {
  readonly method: Method
  readonly target: Target
  readonly host: string
  readonly framing: Framing
  readonly headers: readonly string[]
  readonly authorization: string | null
  readonly dpop: string | null
  readonly userAgent: string
  readonly upgrade: 'websocket' | null
  readonly expectsContinue: boolean
  readonly gateway: Readonly<Record<GatewayField, readonly string[]>>
  /** The lines of these fields, which never go upstream. They are lists: what of them is the gateway's is for `trust` to say. */
  readonly forwarding: { readonly forwarded: readonly string[]; readonly xForwardedFor: readonly string[] }
}

export interface RawHead {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
}

const isMethod = (method: string | undefined): method is Method => (methods as readonly (string | undefined)[]).includes(method)

/** More fields than this are refused: hidden ones past Node's own cap were CVE-2026-58044. */
const maxFields = 200

const fieldName = /^[a-z0-9!#$%&'*+.^_`|~-]+$/
/** RFC 9110 section 7.8. */
const protocol = /^[\w!#$%&'*+.^`|~-]+(?:\/[\w!#$%&'*+.^`|~-]+)?$/

const isBlank = (c: number): boolean => c === 0x20 || c === 0x09
/** A member of a list field without the blanks around it. In one pass: a pattern for blanks at an end takes the square of their number. */
export const withoutBlanks = (text: string): string => {
  let [from, to] = [0, text.length]
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}
/** RFC 9110 section 5.6.1; empty ones included. */
const membersOf = (value: string): string[] => value.split(',').map(withoutBlanks)

/** One pass over the fields, in the order they came. */
class Fields {
  readonly kept: string[] = []
  readonly hosts: string[] = []
  readonly authorizations: string[] = []
  readonly dpops: string[] = []
  readonly nominated: string[] = []
  readonly gateway: Record<GatewayField, string[]> = {
    proof: [],
    assertion: [],
    clientIp: [],
    host: [],
    requestId: [],
    clientCert: [],
    iamProof: [],
    iamUserArn: [],
    iamAccountId: [],
    iamOrgId: [],
  }
  readonly forwarding = { forwarded: [] as string[], xForwardedFor: [] as string[] }
  length: string | null = null
  transferEncoding: string | null = null
  upgrade: string | null = null
  expect: string | null = null
  userAgent = ''
  repeatedFraming = false

  add(name: string, value: string): void {
    const role = fieldRole(name)
    switch (role) {
      case null:
        this.kept.push(name, value)
        break
      case 'user-agent':
        this.userAgent = value
        this.kept.push(name, value)
        break
      case 'host':
        this.hosts.push(value)
        break
      case 'authorization':
        this.authorizations.push(value)
        break
      case 'content-length':
        this.repeatedFraming ||= this.length !== null
        this.length = value
        break
      case 'transfer-encoding':
        this.repeatedFraming ||= this.transferEncoding !== null
        this.transferEncoding = value
        break
      case 'connection':
        for (const token of membersOf(value)) this.nominated.push(token.toLowerCase())
        break
      case 'gateway':
        this.gateway[gatewayField(name)].push(value)
        break
      default:
        this.#addRare(role, value)
    }
  }

  #addRare(role: FieldRole, value: string): void {
    switch (role) {
      case 'dpop':
        this.dpops.push(value)
        break
      case 'upgrade':
        this.upgrade = this.upgrade === null ? value : `${this.upgrade}, ${value}`
        break
      case 'expect':
        this.expect = this.expect === null ? value : `${this.expect}, ${value}`
        break
      case 'forwarded':
        this.forwarding.forwarded.push(value)
        break
      case 'x-forwarded-for':
        this.forwarding.xForwardedFor.push(value)
        break
      default:
    }
  }
}

/** Reads a head as Node parsed it and refuses whatever two servers might read in two ways (RFC 9112 sections 3, 6; http reference 4.2). */
export const readHead = (raw: RawHead): Head | Refusal => {
  if (raw.httpVersion !== '1.1' && raw.httpVersion !== '1.0') return new Refusal('PST1001', 'version')
  if (raw.rawHeaders.length > maxFields * 2) return new Refusal('PST1006', 'fields')
  const fields = new Fields()
  for (let i = 0; i < raw.rawHeaders.length; i += 2) fields.add((raw.rawHeaders[i] ?? '').toLowerCase(), raw.rawHeaders[i + 1] ?? '')
  if (!isMethod(raw.method)) return new Refusal('PST1007', raw.method?.slice(0, 16))
  const method = raw.method
  const framing = readFraming(fields, method, raw.httpVersion)
  if (framing instanceof Refusal) return framing
  if (fields.authorizations.length > 1) return new Refusal('PST1005', 'authorization')
  // RFC 9449 section 4.3, check 1.
  if (fields.dpops.length > 1) return new Refusal('PST1005', 'dpop')
  const place = readPlace(raw.url ?? '', fields.hosts)
  if (place instanceof Refusal) return place
  const headers = withoutNominated(fields)
  if (headers instanceof Refusal) return headers
  if (fields.expect !== null && fields.expect.toLowerCase() !== '100-continue') return new Refusal('PST1009')
  if (fields.upgrade !== null && !membersOf(fields.upgrade).every(each => each === '' || protocol.test(each)))
    return new Refusal('PST1001', 'upgrade')
  const upgrading = fields.upgrade !== null && fields.nominated.includes('upgrade')
  return {
    method,
    target: place.target,
    host: place.host,
    framing,
    headers,
    authorization: fields.authorizations[0] ?? null,
    dpop: fields.dpops[0] ?? null,
    userAgent: fields.userAgent,
    upgrade:
      upgrading && fields.upgrade?.toLowerCase() === 'websocket' && method === 'GET' && raw.httpVersion === '1.1' ? 'websocket' : null,
    expectsContinue: fields.expect !== null && framing.kind === 'body',
    gateway: fields.gateway,
    forwarding: fields.forwarding,
  }
}

const readFraming = (fields: Fields, method: Method, version: string): Framing | Refusal => {
  const { length, transferEncoding } = fields
  if (fields.repeatedFraming || (length !== null && transferEncoding !== null)) return new Refusal('PST1004', 'two framings')
  if (transferEncoding !== null) {
    if (transferEncoding.toLowerCase() !== 'chunked' || version !== '1.1') return new Refusal('PST1004', 'transfer-encoding')
    return bodyOf(null, method)
  }
  if (length === null) return { kind: 'none' }
  // Beyond 2^53 the number changes on its way through Node and undici: the two sides would disagree on where the body ends.
  if (!/^\d{1,16}$/.test(length) || !Number.isSafeInteger(Number(length))) return new Refusal('PST1004', 'content-length')
  return Number(length) === 0 ? { kind: 'none' } : bodyOf(Number(length), method)
}

/** Content of a GET or HEAD has no meaning (RFC 9110 section 9.3.1) and is a known smuggling carrier. */
const bodyOf = (length: number | null, method: Method): Framing | Refusal =>
  method === 'GET' || method === 'HEAD' ? new Refusal('PST1004', 'body on GET or HEAD') : { kind: 'body', length }

const readPlace = (url: string, hosts: readonly string[]): { target: Target; host: string } | Refusal => {
  if (hosts.length > 1) return new Refusal('PST1003', 'two hosts')
  const header = hosts[0] === undefined ? null : readAuthority(hosts[0])
  if (header === null) return new Refusal('PST1003', 'host')
  let path = url
  let host = header
  if (url.charCodeAt(0) !== 0x2f) {
    // Absolute-form (RFC 9112 section 3.2.2): its authority wins over Host. Userinfo does not fit the grammar and is refused.
    const found = /^https?:\/\/([^/?#]*)(\/.*)?$/i.exec(url)
    const authority = found ? readAuthority(found[1] ?? '') : null
    if (!found || authority === null) return new Refusal('PST1002', 'not origin-form')
    path = found[2] ?? '/'
    host = authority
  }
  const target = canonicalTarget(path)
  return target instanceof Ambiguous ? new Refusal('PST1002', target.why) : { target, host }
}

/** Host of an authority in lower case, without port and trailing dot; null when it does not fit the grammar (RFC 3986 section 3.2, no userinfo). */
export const readAuthority = (value: string): string | null => {
  const found = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})))(?::(\d{1,5}))?$/.exec(value)
  if (!found || Number(found[3] ?? 0) > 65_535) return null
  if (found[1] !== undefined) return isIP(found[1]) === 6 ? `[${found[1].toLowerCase()}]` : null
  const name = (found[2] ?? '').toLowerCase()
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  return bare === '' || name.includes('..') ? null : bare
}

const withoutNominated = (fields: Fields): readonly string[] | Refusal => {
  const names = fields.nominated.filter(name => name !== 'close' && name !== 'keep-alive' && name !== 'upgrade' && name !== '')
  if (names.length === 0) return fields.kept
  for (const name of names) if (!fieldName.test(name) || !mayBeNominated(name)) return new Refusal('PST1005', 'connection')
  return fields.kept.filter((_, i) => !names.includes(fields.kept[i - (i % 2)] ?? ''))
}

/** Canonical text of an IP address (mapped IPv4 as IPv4), or null. */
export const canonicalIp = (value: string): string | null => {
  const family = isIP(value)
  if (family === 4) return value
  if (family === 0 || value.includes('%')) return null
  const { address } = new SocketAddress({ address: value, family: 'ipv6' })
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}
