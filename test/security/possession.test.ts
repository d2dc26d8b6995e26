import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { certificateDigest } from '../../src/edge/certificate.ts'
import { type ClientKey, clientKey, type ProofChanges, proofOf } from '../support/dpop.ts'
import { claimsAt, type Json, makeKey, serve, type TestServer, tokenOf } from '../support/issuer.ts'
import { gatewaySecret, type Recorder, sendRaw, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'
import { testCa, testCertificate } from '../support/tls.ts'

/** Tokens that are bound to a key or a certificate (RFC 9449, RFC 8705), at the door of the whole proxy. */
const signing = makeKey('ES256', 'one')
let issuer: TestServer
let backend: Recorder
let postern: TestPostern
let client: ClientKey

const sections = (gateway = '', dpop = ''): Record<string, string> => ({
  gateway: `gateway: { proof: [shared-secret], secret-files: [gateway.secret], strip-prefix: /prod, caller-certificate: header${gateway} }`,
  routes: `routes:
  - { name: acme-v1, host: acme.test, prefix: /v1, upstream: api, public-url: "https://api.acme.example/shop" }
  - { name: acme-special, host: acme.test, prefix: /v1/special, upstream: api, public-url: "https://special.acme.example" }
  - { name: globex-v1, host: globex.test, prefix: /v1, upstream: api }`,
  dpop,
})
beforeAll(async () => {
  issuer = await serve((request, response) => {
    const body = request.url === '/jwks' ? { keys: [signing.jwk] } : { issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  backend = await startRecorder()
  client = await clientKey()
  postern = await startPostern({ issuer: issuer.url, upstreamPort: backend.port, sections: sections() })
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await issuer.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const tokenFor = (cnf: unknown, tenant = 'acme'): string =>
  tokenOf(signing, claimsAt(Date.now(), issuer.url, { aud: 'postern-demo', tenant, groups: ['staff'], cnf }))
const acme = 'https://api.acme.example/shop/v1/orders'
const proof = (token: string, changes: ProofChanges = {}, url = acme): string => proofOf(client, token, url, Date.now(), changes)
const call = (token: string, dpop: string | null, headers: Record<string, string> = {}, at = postern) =>
  at.call('/prod/v1/orders', { headers: { authorization: `DPoP ${token}`, ...(dpop === null ? {} : { dpop }), ...headers } })
/** Of the last exchange; records are written at the end of a turn. */
const lastReason = (at = postern) =>
  expect.poll(() => (at.records().at(-1)?.['decision'] as Json | undefined)?.['reason'], { timeout: 5_000 })

describe('a stolen token', () => {
  it('bound to a key is worth nothing as a bearer token, however often its owner was served', async () => {
    const token = tokenFor({ jkt: client.jkt })
    expect((await call(token, proof(token))).status).toBe(200)
    const reply = await postern.call('/prod/v1/orders', { token })
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([401, 'DPoP error="invalid_token", algs="RS256 PS256 ES256 EdDSA"'])
    expect(backend.seen).toHaveLength(1)
  })

  it('bound to a certificate is worth nothing without it', async () => {
    const digest = Buffer.from(new X509Certificate(testCertificate).fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')
    const token = tokenFor({ 'x5t#S256': digest })
    const shown = (cert: string) => postern.call('/prod/v1/orders', { token, headers: { 'x-postern-client-cert': cert } })
    expect((await shown(encodeURIComponent(testCertificate))).status).toBe(200)
    expect((await shown(encodeURIComponent(testCa))).status).toBe(401)
    expect((await postern.call('/prod/v1/orders', { token })).status).toBe(401)
    expect(backend.seen).toHaveLength(1)
    expect(backend.seen[0]?.headers).not.toHaveProperty('x-postern-client-cert')
  })
})

describe('a proof', () => {
  it('reaches the backend as little as the token', async () => {
    const token = tokenFor({ jkt: client.jkt })
    expect((await call(token, proof(token))).status).toBe(200)
    expect(backend.seen[0]?.headers).not.toHaveProperty('dpop')
    expect(backend.seen[0]?.headers).not.toHaveProperty('authorization')
  })

  it('T18: made for another server is not made good by the Host, or by any other field', async () => {
    const token = tokenFor({ jkt: client.jkt })
    const elsewhere = () => proof(token, {}, 'https://good.example/shop/v1/orders')
    for (const headers of [
      { host: 'good.example' },
      { host: 'good.example', 'x-forwarded-host': 'good.example', forwarded: 'host=good.example;proto=https' },
      { 'x-original-url': 'https://good.example/shop/v1/orders', 'x-forwarded-prefix': '/shop' },
    ] satisfies Record<string, string>[])
      expect((await call(token, elsewhere(), headers)).status).toBe(401)
    await lastReason().toBe('dpop-proof: htu')
    const raw = (host: string, dpop: string) =>
      sendRaw(
        postern.port,
        `GET /prod/v1/orders HTTP/1.1\r\nhost: ${host}\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nx-postern-host: acme.test\r\n` +
          `authorization: DPoP ${token}\r\ndpop: ${dpop}\r\nconnection: close\r\n\r\n`,
      )
    for (const host of ['good.example/shop/v1/orders?', 'good.example?', 'good.example#'])
      expect(await raw(host, elsewhere())).toMatch(/^HTTP\/1.1 400 /)
    expect(await raw('acme.test', proof(token))).toMatch(/^HTTP\/1.1 200 /)
    expect(backend.seen).toHaveLength(1)
  })

  it('T18: for one route of the configuration is no proof for another, nor for the path behind the gateway', async () => {
    const token = tokenFor({ jkt: client.jkt }, 'globex')
    const globex = (url: string) => call(token, proof(token, {}, url), { 'x-postern-host': 'globex.test' })
    expect((await globex(acme)).status).toBe(401)
    expect((await globex('https://globex.test/prod/v1/orders')).status).toBe(401)
    expect((await globex('https://globex.test/v1/orders')).status).toBe(200)
  })

  it('is made for the URL of the route that serves it, and without a route for that of the host: then 404, as for everybody', async () => {
    const token = tokenFor({ jkt: client.jkt })
    const at = async (path: string, url: string) =>
      (await postern.call(path, { headers: { authorization: `DPoP ${token}`, dpop: proof(token, {}, url) } })).status
    expect(await at('/prod/v1/special/x', 'https://special.acme.example/v1/special/x')).toBe(200)
    expect(await at('/prod/v1/special/x', 'https://api.acme.example/shop/v1/special/x')).toBe(401)
    expect(await at('/prod/v1/specials', 'https://special.acme.example/v1/specials')).toBe(401)
    expect(await at('/prod/v2/x', 'https://api.acme.example/shop/v2/x')).toBe(404)
    expect(await at('/prod/v2/x', 'https://elsewhere.example/v2/x')).toBe(401)
  })

  it('is good once: shown again it is refused, also by a known token', async () => {
    const token = tokenFor({ jkt: client.jkt })
    const once = proof(token)
    expect((await call(token, once)).status).toBe(200)
    const again = await call(token, once)
    expect([again.status, again.headers['www-authenticate']]).toEqual([
      401,
      'DPoP error="invalid_dpop_proof", algs="RS256 PS256 ES256 EdDSA"',
    ])
    await lastReason().toBe('dpop-replay: jti')
  })

  it.each<[string, ProofChanges]>([
    ['of another method', { claims: { htm: 'POST' } }],
    ['that is stale', { claims: { iat: Math.floor(Date.now() / 1000) - 100 } }],
    ['of the future', { claims: { iat: Math.floor(Date.now() / 1000) + 100 } }],
    ['with a secret for a key', { header: { alg: 'HS256', jwk: { kty: 'oct', k: 'c2VjcmV0' } } }],
    ['of 7 KiB', { claims: { x: 'x'.repeat(7_000) } }],
  ])('%s is refused', async (_, changes) => {
    const token = tokenFor({ jkt: client.jkt })
    expect((await call(token, proof(token, changes))).status).toBe(401)
    await lastReason().toMatch(/^dpop-proof: /)
    expect(backend.seen).toHaveLength(0)
  })

  it('that shows its private key is refused, and the key stands in no record', async () => {
    const token = tokenFor({ jkt: client.jkt })
    const jwk = client.privateKey.export({ format: 'jwk' }) as Json
    expect((await call(token, proof(token, { header: { jwk } }))).status).toBe(401)
    expect(`${JSON.stringify(postern.records())}${postern.log()}`).not.toContain(String(jwk['d']))
  })

  it('T15: two are one too many, in two fields or joined in one', async () => {
    const token = tokenFor({ jkt: client.jkt })
    const text = await sendRaw(
      postern.port,
      `GET /prod/v1/orders HTTP/1.1\r\nhost: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nx-postern-host: acme.test\r\n` +
        `authorization: DPoP ${token}\r\ndpop: ${proof(token)}\r\nDPoP: ${proof(token)}\r\n\r\n`,
    )
    expect(text).toMatch(/^HTTP\/1.1 400 /)
    expect((await call(token, `${proof(token)}, ${proof(token)}`)).status).toBe(401)
    expect(backend.seen).toHaveLength(0)
  })

  it('T13: cannot be nominated away', async () => {
    const token = tokenFor({ jkt: client.jkt })
    const text = await sendRaw(
      postern.port,
      `GET /prod/v1/orders HTTP/1.1\r\nhost: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: DPoP ${token}\r\n` +
        `dpop: ${proof(token)}\r\nconnection: close, dpop\r\n\r\n`,
    )
    expect(text).toMatch(/^HTTP\/1.1 400 /)
  })
})

describe('what a caller is told', () => {
  it('T35: of one refusal, kept for both, is not told to another that speaks the other scheme', async () => {
    const claims = claimsAt(Date.now(), issuer.url, { aud: 'elsewhere', cnf: { jkt: client.jkt } })
    const token = tokenOf(signing, claims)
    const told = async (speaks: 'DPoP' | 'Bearer') =>
      (await postern.call('/prod/v1/orders', { headers: { authorization: `${speaks} ${token}` } })).headers['www-authenticate']
    const dpop = 'DPoP error="invalid_token", algs="RS256 PS256 ES256 EdDSA"'
    for (let i = 0; i < 2; i++) {
      expect(await told('DPoP')).toBe(dpop)
      expect(await told('Bearer')).toBe('Bearer error="invalid_token"')
    }
  })

  it('of a better sign-in that a rule asks for, is told in the scheme that it speaks', async () => {
    const rules = '  - { allow: all, why: All., who: staff, to: ANY /v1/**, needs-login: { acr: [gold] } }'
    const policies = { 'acme.policy.yaml': tenantPolicy('acme', issuer.url, rules) }
    const own = await startPostern({ issuer: issuer.url, upstreamPort: backend.port, sections: sections(), policies })
    try {
      const token = tokenFor({ jkt: client.jkt })
      expect((await call(token, proof(token), {}, own)).headers['www-authenticate']).toBe(
        'DPoP error="insufficient_user_authentication", acr_values="gold", algs="RS256 PS256 ES256 EdDSA"',
      )
      expect((await own.call('/prod/v1/orders', { token: tokenFor(undefined) })).headers['www-authenticate']).toBe(
        'Bearer error="insufficient_user_authentication", acr_values="gold"',
      )
    } finally {
      await own.stop()
    }
  })
})

describe('T28: a signature made for one purpose', () => {
  it('is no proof of another: a proof is no token, and a token no proof', async () => {
    const token = tokenFor({ jkt: client.jkt })
    expect((await call(token, token)).status).toBe(401)
    await lastReason().toBe('dpop-proof: typ')
    expect((await postern.call('/prod/v1/orders', { token: proof(token) })).status).toBe(401)
    expect(backend.seen).toHaveLength(0)
  })
})

describe('nonces', () => {
  it('are asked for with use_dpop_nonce, and come with every reply to a client that speaks DPoP and to nobody else', async () => {
    const own = await startPostern({ issuer: issuer.url, upstreamPort: backend.port, sections: sections('', 'dpop: { nonce: true }') })
    backend.answer = (_req, res) => res.writeHead(200, { 'dpop-nonce': "the-backend's" }).end('hello')
    try {
      const token = tokenFor({ jkt: client.jkt })
      const asked = await call(token, proof(token), {}, own)
      expect([asked.status, asked.headers['www-authenticate']]).toEqual([
        401,
        'DPoP error="use_dpop_nonce", algs="RS256 PS256 ES256 EdDSA"',
      ])
      const nonce = asked.headers['dpop-nonce']
      const reply = await call(token, proof(token, { claims: { nonce } }), {}, own)
      expect([reply.status, reply.headers['dpop-nonce']]).toEqual([200, nonce])
      const bearer = await own.call('/prod/v1/orders', { token: tokenFor(undefined) })
      expect([bearer.status, bearer.headers['dpop-nonce']]).toEqual([200, undefined])
    } finally {
      backend.answer = (_req, res) => res.writeHead(200).end('hello')
      await own.stop()
    }
  })
})

describe("the gateway's field for its client's certificate", () => {
  const escaped = encodeURIComponent(testCertificate)
  const digest = new X509Certificate(testCertificate).fingerprint256.replaceAll(':', '').toLowerCase()

  it.each<[string, string]>([
    ['as a URL', escaped],
    ['as a form', escaped.replaceAll('%20', '+')],
    ['with the plus of base64 left as it is', escaped.replaceAll('%2B', '+')],
    ['with other line ends', encodeURIComponent(testCertificate.replaceAll('\n', '\r\n'))],
  ])('is read escaped %s', (_, value) => {
    expect(certificateDigest(value)?.toString('hex')).toBe(digest)
  })

  it.each<[string, string]>([
    ['bytes that are no escape', `${escaped}%zz`],
    ['two certificates', escaped + escaped],
    ['something before it', `x${escaped}`],
    ['something behind it', `${escaped}x`],
    ['a private key', escaped.replaceAll('CERTIFICATE', 'PRIVATE%20KEY')],
    ['a cut', encodeURIComponent(testCertificate.replace('Zy7mZTqj', ''))],
    ['a digest', digest],
  ])('is refused with %s', async (_, value) => {
    expect(certificateDigest(value)).toBeNull()
    const reply = await postern.call('/prod/v1/orders', { token: tokenFor(undefined), headers: { 'x-postern-client-cert': value } })
    expect(reply.status).toBe(400)
  })

  it('T31: is believed only behind the proof of the gateway, and only where the configuration says that it is mapped', async () => {
    const token = tokenFor({ 'x5t#S256': Buffer.from(digest, 'hex').toString('base64url') })
    const headers = { 'x-postern-client-cert': escaped }
    expect((await postern.call('/prod/v1/orders', { token, headers, proof: 'wrong' })).status).toBe(403)
    const unmapped = await startPostern({ issuer: issuer.url, upstreamPort: backend.port })
    try {
      expect((await unmapped.call('/v1/orders', { token, headers })).status).toBe(401)
      await lastReason(unmapped).toBe('token-bound: x5t#S256, and no client certificate')
    } finally {
      await unmapped.stop()
    }
  })

  it('T15: is one value', async () => {
    const token = tokenFor(undefined)
    const headers = { 'x-postern-client-cert': `${escaped},${escaped}` }
    expect((await postern.call('/prod/v1/orders', { token, headers })).status).toBe(400)
  })
})
