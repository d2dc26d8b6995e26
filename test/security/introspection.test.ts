import type { ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Bounds } from '../../src/identity/bounds.ts'
import type { Shown } from '../../src/identity/possession.ts'
import type { IssuerSettings } from '../../src/identity/settings.ts'
import { Refusal } from '../../src/model/problem.ts'
import { clientKey, proofOf } from '../support/dpop.ts'
import { type IntrospectionProvider, introspected, startIntrospectionProvider } from '../support/introspection.ts'
import { claimsAt, type Gate, type Json, makeKey, openGate, serve, settingsFor, tokenOf } from '../support/issuer.ts'
import { startPostern, startRecorder } from '../support/postern.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const gate = (settings: readonly IssuerSettings[], bounds: Partial<Bounds> = {}): Gate => {
  const made = openGate(settings, bounds)
  stops.push(() => made.identifier.close())
  return made
}

describe('opaque tokens of a real provider', () => {
  let provider: IntrospectionProvider
  beforeAll(async () => {
    provider = await startIntrospectionProvider()
  })
  afterAll(() => provider.stop())
  const settings = (changes = {}, secret = provider.secret) => introspected(provider.issuer, secret, changes)

  it('are somebody, by discovery and client_secret_basic', async () => {
    const { identifier } = gate([settings()])
    const { token } = await provider.opaque({ scope: 'read write', extra: { tenant: 'acme', act: { sub: 'bot' } } })
    expect(await identifier.identify(`Bearer ${token}`)).toMatchObject({
      issuer: provider.issuer,
      subject: 'anna',
      audiences: ['api'],
      scopes: ['read', 'write'],
      agents: ['bot'],
      claims: { tenant: 'acme', client_id: 'app' },
    })
  })

  it('are somebody by private_key_jwt', async () => {
    const keyed = { 'client-id': 'keyed', 'client-secret-file': null, 'private-key-file': 'key.pem' }
    const { code } = gate([settings(keyed, provider.privateKey)])
    expect(await code((await provider.opaque()).token)).toBe('ok')
  })

  it('T24: a random string is nobody, and asked about once', async () => {
    const { code } = gate([settings()])
    const before = provider.calls()
    for (let i = 0; i < 3; i++) expect(await code('letmein')).toBe('PST3018')
    expect(provider.calls() - before).toBe(1)
  })

  it('end when they are revoked, within cache-for', async () => {
    const { code } = gate([settings({ 'cache-for': 1 })])
    const { token, revoke } = await provider.opaque()
    expect(await code(token)).toBe('ok')
    await revoke()
    await expect.poll(() => code(token)).toBe('PST3018')
  })

  it('without an audience, for another one, of a refresh token: refused', async () => {
    const { code } = gate([settings()])
    expect(await code((await provider.opaque({ audience: null })).token)).toBe('PST3011')
    expect(await code((await provider.opaque({ audience: 'billing' })).token)).toBe('PST3009')
    expect(await code(await provider.refreshToken())).toBe('PST3010')
  })

  it('seen by a client that may not ask are not active, and the log says what that may mean', async () => {
    const { code } = gate([settings({ 'client-id': 'stranger' })])
    expect(await code((await provider.opaque()).token)).toBe('PST3018')
  })

  it('T33: with a wrong secret of our own nobody is refused as unknown: 503', async () => {
    const { code, identifier } = gate([settings({}, 'wrong')])
    expect(await code((await provider.opaque()).token)).toBe('PST3101')
    expect(identifier.status()[0]?.introspectionError).toContain('answered 401')
  })

  it('that are bound to a key need its proof', async () => {
    const { identifier } = gate([settings()])
    const key = await clientKey()
    const { token } = await provider.opaque({ jkt: key.jkt })
    const shown = (dpop: string | null): Shown => ({
      method: 'GET',
      host: 'api.example.com',
      target: { path: '/v1', query: null },
      publicUrl: 'https://api.example.com',
      dpop,
      clientCertificate: null,
      mappedCaller: null,
    })
    const proof = () => proofOf(key, token, 'https://api.example.com/v1', Date.now())
    expect(await identifier.identify(`Bearer ${token}`, shown(proof()))).toMatchObject({ code: 'PST3012' })
    expect(await identifier.identify(`DPoP ${token}`, shown(proof()))).toMatchObject({ subject: 'anna' })
    expect(await identifier.identify(`DPoP ${token}`, shown(null))).toMatchObject({ code: 'PST3015' })
  })

  it('JWTs of the same provider, bound by a real DPoP token request, are taken with a proof and not without', async () => {
    const { identifier } = gate([settings()])
    const key = await clientKey()
    const made = proofOf(key, '', `${provider.issuer}/token`, Date.now(), { claims: { htm: 'POST', ath: undefined } })
    const { status, body } = await provider.tokenRequest({ grant_type: 'client_credentials', resource: 'urn:api' }, { dpop: made })
    expect([status, body['token_type']]).toEqual([200, 'DPoP'])
    const token = String(body['access_token'])
    const publicUrl = 'https://api.example.com'
    const shown = {
      method: 'GET',
      host: '',
      target: { path: '/v1', query: null },
      publicUrl,
      clientCertificate: null,
      mappedCaller: null,
    } as const
    const dpop = proofOf(key, token, `${publicUrl}/v1`, Date.now())
    expect(await identifier.identify(`DPoP ${token}`, { ...shown, dpop })).toMatchObject({ subject: 'app' })
    expect(await identifier.identify(`DPoP ${token}`, { ...shown, dpop })).toMatchObject({ code: 'PST3016' })
    expect(await identifier.identify(`Bearer ${token}`, { ...shown, dpop: null })).toMatchObject({ code: 'PST3012' })
  })

  it('killed: what was vouched for holds, the rest is 503 at once, and after its restart all is well', async () => {
    const own = await startIntrospectionProvider()
    const { code, identifier } = gate([introspected(own.issuer, own.secret)])
    const [known, other] = [(await own.opaque()).token, (await own.opaque()).token]
    expect(await code(known)).toBe('ok')
    await own.stop()
    const began = performance.now()
    expect(await code(known)).toBe('ok')
    expect(await code(other)).toBe('PST3101')
    expect(performance.now() - began).toBeLessThan(1_500)
    expect(identifier.status()[0]?.introspectionError).toContain('ECONNREFUSED')
    const again = await startIntrospectionProvider(Number(new URL(own.issuer).port))
    stops.push(() => again.stop())
    identifier.configure([introspected(again.issuer, again.secret)])
    expect(await code((await again.opaque()).token)).toBe('ok')
    expect(await code(other)).toBe('PST3018')
  })

  it('pass the whole proxy, from the files of an installation', async () => {
    const backend = await startRecorder()
    const postern = await startPostern({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      sections: {
        issuers: `issuers: [{ issuer: "${provider.issuer}", audiences: [postern-demo], allow-http-loopback: true,
          introspection: { client-id: postern, client-secret-file: client.secret } }]`,
      },
      files: { 'client.secret': `${provider.secret}\n` },
    })
    stops.push(
      () => postern.stop(),
      () => backend.close(),
    )
    const { token } = await provider.opaque({ audience: 'postern-demo', extra: { tenant: 'acme', groups: ['staff'] } })
    expect((await postern.call('/v1/a', { token })).status).toBe(200)
    expect((await postern.call('/v1/a', { token: 'letmein' })).status).toBe(401)
    expect(backend.seen).toHaveLength(1)
    expect(backend.seen[0]?.headers).toMatchObject({ 'x-postern-subject': 'anna', 'x-postern-tenant': 'acme' })
    expect(`${postern.log()}${JSON.stringify(postern.records())}`).not.toContain(provider.secret)
    expect(`${postern.log()}${JSON.stringify(postern.records())}`).not.toContain(token)
    await expect.poll(() => postern.log()).toContain('not in their audience (aud)')
  })
})

describe('an introspection endpoint that misbehaves', () => {
  const key = makeKey('ES256', 'k')
  type Answer = (response: ServerResponse) => void
  const head = { 'content-type': 'application/json' }
  const text =
    (body: string, type = 'application/json'): Answer =>
    response =>
      void response.writeHead(200, { 'content-type': type }).end(body)
  const provider = async (answer: Answer, metadata: Json = {}) => {
    const server = await serve((request, response) => {
      if (request.url === '/introspect') return answer(response)
      const own = server.url
      const found = { issuer: own, jwks_uri: `${own}/jwks`, introspection_endpoint: `${own}/introspect`, ...metadata }
      text(JSON.stringify(request.url === '/jwks' ? { keys: [key.jwk] } : found))(response)
    })
    stops.push(() => server.stop())
    return server.url
  }
  const yes = JSON.stringify({ active: true, sub: 'admin', aud: 'api', exp: 4_000_000_000, token_type: 'Bearer' })

  it.each<[string, Answer, RegExp]>([
    ['that never answers', () => undefined, /no complete answer within/],
    ['that answers half', response => void response.writeHead(200, { ...head, 'content-length': 500 }).write('{"active":'), /no complete/],
    [
      'that breaks off',
      response => {
        response.writeHead(200, { ...head, 'content-length': 500 }).write('{"active":')
        setImmediate(() => response.destroy())
      },
      /broke off/,
    ],
    ['that answers HTML', text('<html>Log in</html>', 'text/html'), /did not answer in JSON/],
    ['that answers HTML and calls it JSON', text('<html>Log in</html>'), /JSON|parse|response/],
    ['that answers yes in HTML', text(yes, 'text/html'), /did not answer in JSON/],
    ['that answers a signed JWT, which is not read', text(yes, 'application/token-introspection+jwt'), /did not answer in JSON/],
    ['T38: that answers 100 KiB', text(`{"active":true,"x":"${'x'.repeat(100_000)}"}`), /larger than 65536 bytes/],
    ['that says yes and no', text(yes.replace('{', '{"active":false,')), /a member stands twice/],
    ['that sends elsewhere', response => void response.writeHead(302, { location: 'http://169.254.169.254/' }).end(), /redirects are not/],
    ['that fails', response => void response.writeHead(500, head).end(yes), /answered 500/],
    ['that refuses us', response => void response.writeHead(401, head).end(yes), /answered 401/],
    ['that answers with a list', text('[]'), /JSON|object|response/],
    ['that answers nothing', text(''), /JSON|response/],
    ['that answers deeply', text(`{"active":true,"x":${'['.repeat(100)}${']'.repeat(100)}}`), /too deep/],
  ])('%s: 503 within its deadline, with the cause in the status', async (_, answer, cause) => {
    const url = await provider(answer)
    const { identifier } = gate([introspected(url, 's')], { requestWait: 300 })
    const began = performance.now()
    expect(await identifier.identify('Bearer opaque-1')).toMatchObject({ code: 'PST3101', retryAfter: 1 })
    expect(performance.now() - began).toBeLessThan(2_000)
    expect(identifier.status()[0]?.introspectionError).toMatch(cause)
  })

  it('T22: is not followed off https or off loopback, neither by metadata nor by configuration', async () => {
    const url = await provider(text(yes), { introspection_endpoint: 'http://introspect.example.com/' })
    const made = gate([introspected(url, 's')])
    expect(await made.code('opaque-1')).toBe('PST3101')
    expect(made.identifier.status()[0]?.introspectionError).toContain(
      'introspection_endpoint http://introspect.example.com/ is not an https URL',
    )
    const none = await provider(text(yes), { introspection_endpoint: undefined })
    expect(await gate([introspected(none, 's')]).code('opaque-1')).toBe('PST3101')
  })

  it('delays no JWT and no other issuer', async () => {
    const [bad, good] = [await provider(() => undefined), await provider(text(yes))]
    const { identifier, code } = gate([introspected(bad, 's', { hosts: [''] }), settingsFor(good)])
    const began = performance.now()
    const stuck = identifier.identify('Bearer opaque-1')
    for (const url of [bad, good]) expect(await code(tokenOf(key, claimsAt(Date.now(), url)))).toBe('ok')
    expect(performance.now() - began).toBeLessThan(1_000)
    identifier.close()
    expect(await stuck).toBeInstanceOf(Refusal)
  })
})
