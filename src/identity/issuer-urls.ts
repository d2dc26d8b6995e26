import { text } from '../config/shape.ts'
import { isLoopback } from '../config/values.ts'

/** True where plain HTTP may be spoken at all: a loopback literal, `localhost` or `*.localhost`. */
export const isLoopbackHost = (hostname: string): boolean =>
  hostname === 'localhost' || hostname.endsWith('.localhost') || isLoopback(hostname.replace(/^\[|\]$/g, ''))

const checkIssuer = (value: string): string | null => {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return `"${value}" is not a URL; write the issuer exactly as the provider's metadata spells it: https://login.example.com/.`
  if (url.username || url.password) return 'the issuer carries a user or password; secrets stand in files only.'
  if (url.search || url.hash) return 'the issuer has a query or fragment; RFC 8414 section 2 allows neither. Remove it.'
  // openid-client reads such a URL as the metadata document itself and then skips its check of the issuer.
  return value.includes('/.well-known/') ? 'this is the address of the metadata; write the issuer, the part before /.well-known/.' : null
}

export const issuerUrl = text('an https URL, exactly as the provider spells its issuer', checkIssuer)

/** An issuer with one part that is a claim of the token: `https://login.example.com/{tid}/v2.0`. */
export const template = text('an https URL with one claim in it, such as https://login.example.com/{tid}/v2.0', value => {
  const found = /^(https?:\/\/[^{}]*)\{[A-Za-z_][A-Za-z0-9_]*\}([^{}]*)$/.exec(value)
  return found
    ? checkIssuer(`${found[1]}x${found[2]}`)
    : `"${value}" must hold one claim in braces, behind https://; write https://login.example.com/{tid}/v2.0.`
})

/** No separator: a value fills one part of the URL and changes no other. */
export const templateValue = text('a value of the claim', value =>
  /^[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,126}[A-Za-z0-9])?$/.test(value)
    ? null
    : `"${value}" cannot be a value; write letters, digits, ".", "_", "~" and "-", such as a tenant's id.`,
)

export const jwksUri = text('an https URL', value => {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) return `"${value}" is not a URL; write https://...`
  return url.username || url.password || url.hash ? 'the URL carries a user, password or fragment. Remove it.' : null
})

/** No user or password: secrets stand in files only, and this proxy is asked for none. */
export const proxyUrl = text('http://host:port of a forward proxy', value => {
  const url = URL.canParse(value) ? new URL(value) : null
  const plain =
    url !== null && url.protocol === 'http:' && url.pathname === '/' && !url.username && !url.password && !url.search && !url.hash
  return plain ? null : `"${value}" is not a proxy; write http://proxy.internal:3128, without user and path.`
})

/** What is wrong with an address that keys or tokens go to in the clear, or null. */
export const inTheClear = (address: string, allowed: boolean): string | null => {
  const url = new URL(address)
  if (url.protocol === 'https:') return null
  if (!isLoopbackHost(url.hostname)) return `"${address}" sends keys or tokens in the clear; write an https: URL.`
  return allowed ? null : 'an http: address loads only with "allow-http-loopback: true" beside it; write https:, or add it for a demo.'
}
