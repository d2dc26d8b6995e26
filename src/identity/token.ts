import { Refusal } from '../model/problem.ts'
import { decodeObject, isCanonicalBase64url, type JsonObject } from './json.ts'

/** A token taken apart. Nothing in it is verified; `payload.iss` may only choose whose keys to try. */
export interface Jws {
  readonly alg: string
  readonly kid: string | null
  readonly typ: unknown
  /** Only where the caller of `parseJws` allows it. */
  readonly jwk: unknown
  readonly payload: JsonObject
  /** What the signature covers, and the signature. */
  readonly signed: string
  readonly signature: string
}

/** Characters. A header block of the gateway ends below this as well. */
const longest = 16 * 1024
const longestOpaque = 4 * 1024

/** An empty signature is left to the algorithm's check, so that `alg: none` is refused under its own code. */
const compact = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)$/

/** RFC 8725 3.10 and RFC 7515 4.1: a token may not bring its own key, nor an extension that nobody here knows. */
const refusedMembers = ['crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c'] as const

/** The token of an `Authorization` value, which is `Bearer` or `DPoP` and one token68 word (RFC 6750 2.1, RFC 9449 7.1). */
export const tokenShown = (authorization: string): string | Refusal => {
  const space = authorization.indexOf(' ')
  const scheme = space < 0 ? authorization : authorization.slice(0, space)
  if (scheme !== 'Bearer' && scheme.toLowerCase() !== 'bearer' && scheme.toLowerCase() !== 'dpop')
    return new Refusal('PST3014', 'neither Bearer nor DPoP')
  let start = space < 0 ? authorization.length : space
  while (authorization.charCodeAt(start) === 0x20) start++
  return authorization.slice(start)
}

/** Of an `Authorization` value that `tokenShown` takes: the two schemes differ in their first letter. */
export const speaksDpop = (authorization: string): boolean => (authorization.charCodeAt(0) | 0x20) === 0x64

/** Whether a token is of the kind that only its issuer can read: a word of the scheme's alphabet (RFC 6750 2.1) without the two dots of a JWS. */
export const isOpaque = (token: string): boolean =>
  token.length <= longestOpaque && /^[A-Za-z0-9._~+/-]+=*$/.test(token) && token.split('.').length !== 3

const malformed = (detail: string): Refusal => new Refusal('PST3002', detail)

/** Takes a compact JWS apart (RFC 7515 7.1), strictly: one spelling, no member twice, no key of its own but where it is `allowed`. */
export const parseJws = (token: string, allowed: readonly string[] = []): Jws | Refusal => {
  if (token.length > longest) return malformed(`longer than ${longest} characters`)
  const parts = compact.exec(token)
  if (!parts) return malformed('not a compact JWS')
  const [, head = '', body = '', signature = ''] = parts
  if (![head, body, signature].every(isCanonicalBase64url)) return malformed('not base64url')
  const header = decodeObject(head)
  if (typeof header === 'string') return malformed(`header: ${header}`)
  for (const member of refusedMembers) if (Object.hasOwn(header, member) && !allowed.includes(member)) return malformed(`header: ${member}`)
  const { alg, kid } = header
  if (typeof alg !== 'string') return malformed('header: alg')
  if (kid !== undefined && typeof kid !== 'string') return malformed('header: kid')
  const payload = decodeObject(body)
  if (typeof payload === 'string') return malformed(`payload: ${payload}`)
  const signed = token.slice(0, head.length + 1 + body.length)
  return { alg, kid: kid ?? null, typ: header['typ'], jwk: header['jwk'], payload, signed, signature }
}
