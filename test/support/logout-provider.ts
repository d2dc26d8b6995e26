import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider/lib/provider.js'
import { memory } from '../../deploy/demo/provider.ts'

/** `oidc-provider` with back-channel logout: one client, who is also the person. */
export interface LogoutProvider {
  readonly issuer: string
  /** An access token by a real token request; `sid` as the claim of that name, where the provider puts one. */
  token(sid?: string): Promise<string>
  /** What the package does when a session of the person ends; rejects with what the listener answered. */
  logout(sid: string): Promise<void>
  stop(): Promise<void>
}

export const logoutClient = 'ann'

/** `logoutUri` is where logout tokens go. */
export const startLogoutProvider = async (logoutUri: string, sessionRequired: boolean): Promise<LogoutProvider> => {
  let handle: ReturnType<Provider['callback']> = async (_, response) => void response.writeHead(503).end()
  const server = createServer((request, response) => void handle(request, response))
  await new Promise<void>(fulfil => server.listen(0, '127.0.0.1', fulfil))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const secret = randomBytes(24).toString('base64url')
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const state: { sid: string | null } = { sid: null }
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'one' }] },
    clients: [
      {
        client_id: logoutClient,
        client_secret: secret,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        backchannel_logout_uri: logoutUri,
        backchannel_logout_session_required: sessionRequired,
      },
    ],
    adapter: memory(),
    cookies: { keys: ['k'] },
    // Its own dispatcher lets nothing reach an address of this machine.
    fetch: (url: string, { dispatcher: _, ...init }: RequestInit & { readonly dispatcher?: unknown }) => fetch(url, init as RequestInit),
    ttl: { ClientCredentials: 600 },
    extraTokenClaims: () => ({ tenant: 'acme', groups: ['staff'], ...(state.sid === null ? {} : { sid: state.sid }) }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:api',
        getResourceServerInfo: () => ({
          scope: '',
          audience: 'postern-demo',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  })
  handle = provider.callback()
  return {
    issuer,
    async token(sid) {
      state.sid = sid ?? null
      const authorization = `Basic ${Buffer.from(`${logoutClient}:${secret}`).toString('base64')}`
      const body = new URLSearchParams({ grant_type: 'client_credentials', resource: 'urn:api' })
      const reply = await fetch(`${issuer}/token`, { method: 'POST', headers: { authorization }, body })
      return String(((await reply.json()) as { access_token: string }).access_token)
    },
    async logout(sid) {
      const client = (await provider.Client.find(logoutClient)) as { backchannelLogout(sub: string, sid: string): Promise<void> }
      await client.backchannelLogout(logoutClient, sid)
    },
    stop: () =>
      new Promise(fulfil => {
        server.close(() => fulfil())
        server.closeAllConnections()
      }),
  }
}
