import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider/lib/provider.js'
import { memory } from '../../deploy/demo/provider.ts'
import type { IntrospectionEntry } from '../../src/identity/introspection-settings.ts'
import type { IssuerEntry } from '../../src/identity/issuer-entry.ts'
import type { IssuerSettings } from '../../src/identity/settings.ts'
import { Secret } from '../../src/model/secret.ts'
import { entryFor, type Json, settingsOf } from './issuer.ts'

/** The parts of the real package that tests reach past its HTTP interface for. */
interface Opened {
  readonly Client: { find(id: string): Promise<unknown> }
  readonly Grant: new (properties: Json) => { save(): Promise<string>; destroy(): Promise<void> }
  readonly AccessToken: new (
    properties: Json,
  ) => { save(): Promise<string>; destroy(): Promise<void>; setAudience(audience: string): void; jkt: string }
  readonly RefreshToken: new (properties: Json) => { save(): Promise<string> }
}

export interface OpaqueOptions {
  readonly audience?: string | null
  readonly scope?: string
  readonly extra?: Json
  readonly jkt?: string
  /** Seconds. */
  readonly expiresIn?: number
}

/** `oidc-provider` on loopback with opaque access tokens and RFC 7662 introspection. */
export interface IntrospectionProvider {
  readonly issuer: string
  readonly secret: string
  /** PKCS #8 PEM of the client that authenticates by private_key_jwt. */
  readonly privateKey: string
  /** Introspection calls that arrived. */
  readonly calls: () => number
  /** An opaque access token of `anna`, and how to revoke it. */
  opaque(options?: OpaqueOptions): Promise<{ readonly token: string; revoke(): Promise<void> }>
  refreshToken(): Promise<string>
  /** A JWT bound by a real token request with a DPoP proof. */
  tokenRequest(
    form: Readonly<Record<string, string>>,
    headers?: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly body: Json; readonly nonce: string | null }>
  stop(): Promise<void>
}

export const startIntrospectionProvider = async (port = 0): Promise<IntrospectionProvider> => {
  let calls = 0
  let handle: ReturnType<Provider['callback']> = async (_, response) => void response.writeHead(503).end()
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/token/introspection')) calls++
    void handle(request, response)
  })
  await new Promise<void>(fulfil => server.listen(port, '127.0.0.1', fulfil))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const secret = randomBytes(24).toString('base64url')
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const extras = new WeakMap<object, Json>()
  const extraTokenClaims = (_: unknown, token: object) => extras.get(token)
  const clientKey = pair.publicKey.export({ format: 'jwk' }) as Json
  const provider = new Provider(issuer, { ...configuration(secret, clientKey), extraTokenClaims })
  handle = provider.callback()
  const { Client, Grant, AccessToken, RefreshToken } = provider as unknown as Opened
  const of = async (options: OpaqueOptions) => {
    const grantId = await new Grant({ clientId: 'app', accountId: 'anna' }).save()
    const { scope = 'read', expiresIn = 600 } = options
    return { accountId: 'anna', client: await Client.find('app'), grantId, gty: 'authorization_code', scope, expiresIn }
  }
  return {
    issuer,
    secret,
    privateKey: String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
    calls: () => calls,
    async opaque(options = {}) {
      const token = new AccessToken(await of(options))
      if (options.extra !== undefined) extras.set(token, options.extra)
      if (options.audience !== null) token.setAudience(options.audience ?? 'api')
      if (options.jkt !== undefined) token.jkt = options.jkt
      return { token: await token.save(), revoke: () => token.destroy() }
    },
    refreshToken: async () => new RefreshToken({ ...(await of({})), claims: {} }).save(),
    async tokenRequest(form, headers = {}) {
      const authorization = `Basic ${Buffer.from(`app:${secret}`).toString('base64')}`
      const body = new URLSearchParams(form)
      const reply = await fetch(`${issuer}/token`, { method: 'POST', headers: { authorization, ...headers }, body })
      return { status: reply.status, body: (await reply.json()) as Json, nonce: reply.headers.get('dpop-nonce') }
    },
    stop: () =>
      new Promise(fulfil => {
        server.close(() => fulfil())
        server.closeAllConnections()
      }),
  }
}

const configuration = (secret: string, clientKey: Json): Record<string, unknown> => ({
  jwks: {
    keys: [
      { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'one' },
    ],
  },
  clients: [
    {
      client_id: 'app',
      client_secret: secret,
      grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/cb'],
    },
    { client_id: 'postern', client_secret: secret, grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
    {
      client_id: 'keyed',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [{ ...clientKey, use: 'sig', alg: 'ES256' }] },
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
    { client_id: 'stranger', client_secret: secret, grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
  ],
  scopes: ['openid', 'offline_access', 'read'],
  adapter: memory(),
  cookies: { keys: [secret] },
  ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, RefreshToken: 600, IdToken: 600, AuthorizationCode: 60 },
  findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_: unknown, client: { readonly clientId: string }) => client.clientId !== 'stranger' },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1), requireNonce: () => false, allowReplay: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:api',
      getResourceServerInfo: () => ({
        scope: 'read',
        audience: 'api',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
})

/** Settings of an issuer whose tokens are introspected. */
export const introspected = (
  issuer: string,
  secret: string,
  changes: Partial<IntrospectionEntry> = {},
  issuerChanges: Partial<IssuerEntry> = {},
): IssuerSettings =>
  settingsOf(
    entryFor(issuer, {
      introspection: {
        'client-id': 'postern',
        'client-secret-file': 'secret',
        'private-key-file': null,
        'key-id': null,
        endpoint: null,
        when: 'opaque',
        hosts: null,
        'cache-for': 60_000,
        ...changes,
      },
      ...issuerChanges,
    }),
    null,
    { secret: new Secret(secret), digest: secret },
  )
