import { isIPv6 } from 'node:net'
import type { Target } from './exchange.ts'

/** Why a request target has no single meaning. */
export class Ambiguous {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

/** Bytes that RFC 3986 allows in a path segment (pchar without `%`) plus `/`, minus `;`, which is decided apart. */
const pathByte = new Uint8Array(128)
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@/") pathByte[c.charCodeAt(0)] = 1
const queryByte = Uint8Array.from(pathByte)
for (const c of ';?%') queryByte[c.charCodeAt(0)] = 1

const unreserved = (c: number): boolean =>
  (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2e || c === 0x5f || c === 0x7e

const hexValue = (c: number): number =>
  c >= 0x30 && c <= 0x39 ? c - 0x30 : c >= 0x41 && c <= 0x46 ? c - 0x37 : c >= 0x61 && c <= 0x66 ? c - 0x57 : -1

const upperHex = (byte: number): string => `%${(byte >> 4).toString(16)}${(byte & 15).toString(16)}`.toUpperCase()

/**
 * The one spelling of an origin-form request target (policy section 5): unreserved characters decoded once, other escapes in upper case.
 * Whatever two servers might read in two ways is refused, never guessed: `%2F`, `%5C`, `\`, `//`, `;`, dot segments in any spelling,
 * controls, bad or overlong UTF-8, and double encoding of any of these.
 */
export const canonicalTarget = (raw: string): Target | Ambiguous => {
  const mark = raw.indexOf('?')
  const path = canonicalPath(mark < 0 ? raw : raw.slice(0, mark))
  if (path instanceof Ambiguous) return path
  if (mark < 0) return { path, query: null }
  const query = raw.slice(mark + 1)
  for (let i = 0; i < query.length; i++) {
    const c = query.charCodeAt(i)
    if (c >= 128 || queryByte[c] === 0) return new Ambiguous('a byte that may not stand in a query')
  }
  return { path, query }
}

export const canonicalPath = (raw: string): string | Ambiguous => {
  if (raw.charCodeAt(0) !== 0x2f) return new Ambiguous('not origin-form')
  // The ordinary path has nothing to decide: one pass over its bytes, no copy.
  let plain = true
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i)
    if (c === 0x25) plain = false
    else if (c >= 128 || pathByte[c] === 0) return new Ambiguous(c === 0x3b ? 'a semicolon' : 'a byte that may not stand in a path')
  }
  const path = plain ? raw : decodeUnreserved(raw)
  if (path instanceof Ambiguous) return path
  // Asked of the result, since the digits of the inner escape may be escaped themselves: a backend that decodes twice would see another path.
  if (!plain && /%25[0-9A-F]{2}/i.test(path)) return new Ambiguous('a doubly encoded byte')
  return ambiguousSegments(path) ?? path
}

/** Scheme and authority (RFC 3986 section 3, no userinfo), path, and what follows it. */
const absolute = /^(https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(:\d{1,5})?(\/[^?#]*)?(?:[?#].*)?$/i

/**
 * The one spelling of an absolute URL without query and fragment (RFC 3986 sections 6.2.2 and 6.2.3), or null. By a grammar of its own:
 * WHATWG's parser repairs what it is given, and two texts that differ would become one.
 */
export const canonicalUrl = (url: string): string | null => {
  const [, scheme = '', host = '', port = '', path = '/'] = absolute.exec(url) ?? []
  const noAddress = host.startsWith('[') && !isIPv6(host.slice(1, -1))
  const canonical = scheme === '' || noAddress ? null : canonicalPath(path)
  if (canonical === null || canonical instanceof Ambiguous) return null
  const known = scheme.length === 5 ? ':443' : ':80'
  return `${scheme}://${host}${port === known ? '' : port}`.toLowerCase() + canonical
}

const ambiguousSegments = (path: string): Ambiguous | null => {
  if (path.includes('//')) return new Ambiguous('an empty segment')
  if (!path.includes('/.')) return null
  for (const segment of path.split('/')) if (segment === '.' || segment === '..') return new Ambiguous('a dot segment')
  return null
}

const decodeUnreserved = (raw: string): string | Ambiguous => {
  let out = ''
  const bytes: number[] = []
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i)
    if (c !== 0x25) {
      bytes.push(c)
      out += raw[i]
      continue
    }
    const byte = escapedByte(raw, i)
    if (byte instanceof Ambiguous) return byte
    bytes.push(byte)
    out += unreserved(byte) ? String.fromCharCode(byte) : upperHex(byte)
    i += 2
  }
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes))
  } catch {
    return new Ambiguous('invalid UTF-8')
  }
  return out
}

const escapedByte = (raw: string, at: number): number | Ambiguous => {
  const high = hexValue(raw.charCodeAt(at + 1))
  const low = hexValue(raw.charCodeAt(at + 2))
  if (high < 0 || low < 0 || at + 2 >= raw.length) return new Ambiguous('a bad percent escape')
  const byte = high * 16 + low
  if (byte < 0x20 || byte === 0x7f) return new Ambiguous('an escaped control character')
  if (byte === 0x2f || byte === 0x5c || byte === 0x3b) return new Ambiguous('an escaped separator')
  return byte
}

/** One percent-decoding of a canonical segment. Canonical text always decodes. */
export const decodeSegment = (segment: string): string => (segment.includes('%') ? decodeURIComponent(segment) : segment)
