import { allowInsecureRequests, customFetch, discovery, None } from 'openid-client'
import type { Fetch, FetchInit } from '../model/deps.ts'
import { isLoopbackHost } from './issuer-urls.ts'
import type { IssuerSettings } from './settings.ts'

/** Where an issuer's keys come from. Two issuers' settings that agree in these share their keys. */
export type KeyOrigin = Pick<IssuerSettings, 'issuer' | 'jwksUri' | 'ca' | 'proxy' | 'allowPrivateAddresses' | 'allowHttpLoopback'>

export interface CallBounds {
  /** Milliseconds. */
  readonly timeout: number
  readonly maxBytes: number
}

/** An address in an issuer's metadata, by OpenID Connect Discovery. Rejects with an Error that names the cause. */
export const discoverAddress = async (
  what: 'jwks_uri' | 'introspection_endpoint',
  origin: KeyOrigin,
  fetch: Fetch,
  bounds: CallBounds,
): Promise<string> => {
  const server = new URL(origin.issuer)
  const insecure = server.protocol === 'http:' && origin.allowHttpLoopback
  let cause: unknown
  const bridge = async (url: string, init: { readonly headers: Record<string, string> }): Promise<Response> => {
    try {
      const reply = await fetch(url, { ...initFor(origin, new URL(url), bounds), headers: init.headers })
      if (reply.status !== 200) throw new Error(`${url} answered ${reply.status}`)
      return new Response(Uint8Array.from(reply.body), { status: 200, headers: reply.headers })
    } catch (error) {
      cause = error
      throw error
    }
  }
  const found = await discovery(server, 'postern', undefined, None(), {
    [customFetch]: bridge,
    timeout: Math.ceil(bounds.timeout / 1000),
    execute: insecure ? [allowInsecureRequests] : [],
  }).catch((error: unknown) => {
    throw new Error(`discovery: ${messageOf(cause ?? error)}`, { cause: error })
  })
  const { issuer, [what]: address } = found.serverMetadata()
  // Byte for byte (OpenID Connect Discovery 4.3): the library compares parsed URLs, and not at all for two well-known providers.
  if (issuer !== origin.issuer) throw new Error(`discovery: the provider calls itself ${clip(issuer)}, not ${origin.issuer}`)
  return checkedUri(what, address, insecure)
}

/** The bytes of a JWKS. */
export const fetchJwks = async (origin: KeyOrigin, uri: string, fetch: Fetch, bounds: CallBounds): Promise<Buffer> => {
  const reply = await fetch(uri, {
    ...initFor(origin, new URL(uri), bounds),
    headers: { accept: 'application/jwk-set+json, application/json' },
  }).catch((error: unknown) => {
    throw new Error(`JWKS: ${messageOf(error)}`, { cause: error })
  })
  if (reply.status !== 200) throw new Error(`JWKS: ${clip(uri)} answered ${reply.status}`)
  return reply.body
}

/** Plain HTTP goes to loopback addresses only, whatever a name resolves to; TLS to those of the internet, unless private ones are allowed. */
export const initFor = (origin: KeyOrigin, url: URL, bounds: CallBounds): FetchInit => ({
  timeout: bounds.timeout,
  maxBytes: bounds.maxBytes,
  reach: url.protocol === 'http:' ? 'loopback' : origin.allowPrivateAddresses ? 'private' : 'public',
  ...(origin.ca === null ? {} : { ca: origin.ca }),
  ...(origin.proxy === null ? {} : { proxy: origin.proxy }),
})

/** Metadata may not lead from an https issuer to keys or secrets in the clear. */
const checkedUri = (what: string, uri: unknown, insecure: boolean): string => {
  const url = typeof uri === 'string' && URL.canParse(uri) ? new URL(uri) : null
  if (!url) throw new Error(`discovery: the metadata has no ${what}`)
  const allowed = url.protocol === 'https:' || (url.protocol === 'http:' && insecure && isLoopbackHost(url.hostname))
  if (!allowed || url.username || url.password) throw new Error(`discovery: ${what} ${clip(url.href)} is not an https URL`)
  return url.href
}

/** The library says what failed, and only its cause says why. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}` : String(error)
const clip = (text: string): string => (text.length > 200 ? `${text.slice(0, 197)}...` : text)
