import { createHash, generateKeyPair, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
// Not the package's index: it prints a warning on every Node that is not an LTS line.
import { Provider } from 'oidc-provider/lib/provider.js'
import { createFetch } from '../../src/fetch.ts'

export interface DemoUser {
  readonly claims: Readonly<Record<string, unknown>>
  /** Space separated; what the user's tokens carry. */
  readonly scope?: string
}

export interface TokenOptions {
  readonly audience?: string
  /** Seconds. */
  readonly ttl?: number
}

export interface DemoProvider {
  readonly issuer: string
  /** An access token (RFC 9068) of a user, by a real token request. */
  token(user: string, options?: TokenOptions): Promise<string>
  /** An ID token of a user, by redeeming an authorization code: what a client might send by mistake. */
  idToken(user: string): Promise<string>
  /** Publishes the next signing key beside the current one, as a careful provider does before it uses it. */
  announceKey(): Promise<void>
  /** Signs with the announced key from now on and still publishes the old one; unannounced, a fresh key takes the old one's place at once. */
  rotateKeys(): Promise<void>
  stop(): Promise<void>
}

export interface ProviderOptions {
  /** 0 lets the system choose. */
  readonly port: number
  /** What it calls itself where something stands between it and its callers; else its own address. */
  readonly issuer?: string
  readonly users?: Readonly<Record<string, DemoUser>>
  /** Audience of access tokens where a request names none. */
  readonly audience?: string
  /** Life of an access token in seconds. */
  readonly ttl?: number
}

/** The people of the tour: three of acme, one of globex. */
export const demoUsers: Readonly<Record<string, DemoUser>> = {
  anna: { claims: { tenant: 'acme', groups: ['acme-finance'], region: 'eu', employee_type: 'employee' } },
  lea: { claims: { tenant: 'acme', groups: ['acme-finance-leads'], region: 'eu', employee_type: 'employee' }, scope: 'payments.write' },
  carl: { claims: { tenant: 'acme', groups: ['acme-finance'], region: 'eu', employee_type: 'contractor' } },
  gus: { claims: { tenant: 'globex', groups: ['globex-orders'], region: 'us', employee_type: 'employee' } },
}

const day = 86_400

/**
 * A real OpenID provider on loopback. For simplicity each user is also a client with a secret of its own, so that `curl` can get a token
 * by client credentials. Keys and secrets are made at start and kept in memory only.
 */
export const startProvider = async (options: ProviderOptions): Promise<DemoProvider> => {
  const { users = demoUsers, audience = 'postern-demo', ttl = 3600 } = options
  let handle: ReturnType<Provider['callback']> = async (_, response) => void response.writeHead(503).end()
  const server = createServer((request, response) => void handle(request, response))
  await listen(server, options.port)
  const issuer = options.issuer ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const secrets = new Map(Object.keys(users).map(user => [user, randomBytes(24).toString('base64url')]))
  const settings = { users, audience, ttl, secrets, cookieKeys: [randomBytes(24).toString('base64url')], adapter: memory() }

  let current = await newKey()
  let next: SigningKey | null = null
  const publish = (keys: readonly SigningKey[]): Provider => {
    const made = new Provider(issuer, configuration(issuer, settings, keys))
    handle = made.callback()
    return made
  }
  let provider = publish([current])

  const fetch = createFetch()
  const request = async (user: string, form: Record<string, string>): Promise<Record<string, unknown>> => {
    const secret = secrets.get(user)
    if (secret === undefined) throw new Error(`${user} is no user of this provider`)
    const authorization = `Basic ${Buffer.from(`${encodeURIComponent(user)}:${secret}`).toString('base64')}`
    const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
    const body = new URLSearchParams(form).toString()
    const reply = await fetch(`${issuer}/token`, { method: 'POST', headers, body, timeout: 5_000, maxBytes: 65_536, reach: 'loopback' })
    if (reply.status !== 200) throw new Error(`the token endpoint answered ${reply.status}: ${reply.body.toString()}`)
    return JSON.parse(reply.body.toString()) as Record<string, unknown>
  }

  return {
    issuer,
    async token(user, { audience: aud = audience, ttl: seconds = ttl } = {}) {
      const scope = users[user]?.scope
      const form = { grant_type: 'client_credentials', resource: resourceOf(aud, seconds), ...(scope === undefined ? {} : { scope }) }
      return String((await request(user, form))['access_token'])
    },
    async idToken(user) {
      const verifier = randomBytes(32).toString('base64url')
      const code = await authorizationCode(provider, issuer, user, verifier)
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: `${issuer}/callback` }
      return String((await request(user, form))['id_token'])
    },
    async announceKey() {
      next = await newKey()
      provider = publish([current, next])
    },
    async rotateKeys() {
      const old = current
      current = next ?? (await newKey())
      provider = publish(next === null ? [current] : [current, old])
      next = null
    },
    stop: () =>
      new Promise(fulfil => {
        server.close(() => fulfil())
        server.closeAllConnections()
      }),
  }
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((fulfil, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', fulfil)
  })

type SigningKey = Readonly<Record<string, unknown>>

const newKey = async (): Promise<SigningKey> => {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomBytes(9).toString('base64url') }
}

/** The resource indicator (RFC 8707) must be a URI; it carries what the token shall be like. */
const resourceOf = (audience: string, ttl: number): string => `urn:postern-demo:${encodeURIComponent(audience)}:${ttl}`

const ttlOf = (_: unknown, token: { readonly resourceServer: { readonly accessTokenTTL: number } }): number =>
  token.resourceServer.accessTokenTTL

interface Settings {
  readonly users: Readonly<Record<string, DemoUser>>
  readonly audience: string
  readonly ttl: number
  readonly secrets: ReadonlyMap<string, string>
  readonly cookieKeys: readonly string[]
  readonly adapter: unknown
}

const configuration = (issuer: string, settings: Settings, keys: readonly SigningKey[]): Record<string, unknown> => ({
  jwks: { keys },
  clients: Object.entries(settings.users).map(([user, { scope }]) => ({
    client_id: user,
    client_secret: settings.secrets.get(user),
    grant_types: ['client_credentials', 'authorization_code'],
    response_types: ['code'],
    redirect_uris: [`${issuer}/callback`],
    scope: `openid${scope === undefined ? '' : ` ${scope}`}`,
  })),
  scopes: [...new Set(['openid', ...Object.values(settings.users).flatMap(({ scope }) => scope?.split(' ') ?? [])])],
  adapter: settings.adapter,
  cookies: { keys: settings.cookieKeys },
  ttl: { AuthorizationCode: 60, Grant: day, IdToken: settings.ttl, AccessToken: settings.ttl, ClientCredentials: ttlOf },
  findAccount: (_: unknown, user: string) => ({ accountId: user, claims: () => ({ sub: user }) }),
  extraTokenClaims: (_: unknown, token: { readonly clientId: string }) => settings.users[token.clientId]?.claims,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx: { readonly oidc: { readonly params: { readonly grant_type?: string } } }) =>
        ctx.oidc.params.grant_type === 'client_credentials' ? resourceOf(settings.audience, settings.ttl) : undefined,
      getResourceServerInfo: (_: unknown, resource: string, client: { readonly clientId: string }) => {
        const [, , audience = '', ttl] = resource.split(':')
        return {
          scope: settings.users[client.clientId]?.scope ?? '',
          audience: decodeURIComponent(audience),
          accessTokenFormat: 'jwt',
          accessTokenTTL: Number(ttl),
          jwt: { sign: { alg: 'RS256' } },
        }
      },
    },
  },
})

/** What the provider does once a person has signed in; there is no person here. */
const authorizationCode = async (provider: Provider, issuer: string, user: string, verifier: string): Promise<string> => {
  const grant = new provider.Grant({ clientId: user, accountId: user })
  grant.addOIDCScope('openid')
  const code = new provider.AuthorizationCode({
    accountId: user,
    client: await provider.Client.find(user),
    grantId: await grant.save(),
    scope: 'openid',
    nonce: randomBytes(12).toString('base64url'),
    redirectUri: `${issuer}/callback`,
    codeChallenge: createHash('sha256').update(verifier).digest('base64url'),
    codeChallengeMethod: 'S256',
    gty: 'authorization_code',
  })
  return code.save()
}

type Row = Record<string, unknown> & { grantId?: string; consumed?: number }

/** The package's own store prints a warning; this one holds the same little, and survives a rotation of keys. Oldest rows go first. */
export const memory = (): unknown => {
  const rows = new Map<string, Row>()
  return (kind: string) => ({
    async upsert(id: string, row: Row) {
      rows.set(`${kind} ${id}`, row)
      for (const oldest of rows.keys()) {
        if (rows.size <= 10_000) break
        rows.delete(oldest)
      }
    },
    async find(id: string) {
      return rows.get(`${kind} ${id}`)
    },
    async consume(id: string) {
      const row = rows.get(`${kind} ${id}`)
      if (row) row.consumed = Math.floor(Date.now() / 1000)
    },
    async destroy(id: string) {
      rows.delete(`${kind} ${id}`)
    },
    async revokeByGrantId(grantId: string) {
      for (const [key, row] of rows) if (row.grantId === grantId) rows.delete(key)
    },
    async findByUid() {
      return undefined
    },
    async findByUserCode() {
      return undefined
    },
  })
}
