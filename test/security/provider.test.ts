import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import type { Bounds } from '../../src/identity/bounds.ts'
import type { IssuerSettings } from '../../src/identity/settings.ts'
import type { Refusal } from '../../src/model/problem.ts'
import {
  claimsAt,
  forge,
  type Gate,
  hmacSigner,
  type Json,
  makeKey,
  openGate,
  serve,
  settingsFor,
  signerOf,
  type TestKey,
  tokenOf,
  until,
} from '../support/issuer.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const gate = (settings: readonly IssuerSettings[], bounds: Partial<Bounds> = {}): Gate => {
  const made = openGate(settings, bounds)
  stops.push(() => made.identifier.close())
  return made
}

describe('what a provider may publish', () => {
  const good = makeKey('ES256', 'good')
  const publishing = async (...keys: readonly Json[]) => {
    const server = await serve((request, response) => {
      response.setHeader('content-type', 'application/json')
      const body = request.url === '/jwks' ? { keys } : { issuer: server.url, jwks_uri: `${server.url}/jwks` }
      response.end(JSON.stringify(body))
    })
    stops.push(() => server.stop())
    return server.url
  }
  const claims = (issuer: string, changes: Json = {}) => claimsAt(Date.now(), issuer, changes)
  const lastError = ({ identifier }: Gate) => identifier.status()[0]?.lastError

  /** EMSA-PKCS1-v1_5 of a digest: under an exponent of 1 it is its own signature. */
  const paddedDigest = (input: Buffer): Buffer => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
    // Recovered from a real signature with another key: s^e mod n is the padded digest.
    const signature = BigInt(`0x${sign('sha256', input, pair.privateKey).toString('hex')}`)
    const { n = '', e = '' } = pair.publicKey.export({ format: 'jwk' })
    const number = (text: string) => BigInt(`0x${Buffer.from(text, 'base64url').toString('hex')}`)
    return Buffer.from(power(signature, number(e), number(n)).toString(16).padStart(512, '0'), 'hex')
  }
  const power = (base: bigint, exponent: bigint, modulus: bigint): bigint => {
    let [result, square] = [1n, base % modulus]
    for (let e = exponent; e > 0n; e >>= 1n) {
      if (e & 1n) result = (result * square) % modulus
      square = (square * square) % modulus
    }
    return result
  }

  it('an RSA key of exponent 1 verifies a token that nobody signed: it is left out', async () => {
    const weak: Json = { ...makeKey('RS256', 'weak').jwk, e: 'AQ' }
    const url = await publishing(weak, good.jwk)
    const forged = forge({ alg: 'RS256', typ: 'at+jwt', kid: 'weak' }, claims(url), paddedDigest)
    const [signed, signature] = [forged.slice(0, forged.lastIndexOf('.')), forged.slice(forged.lastIndexOf('.') + 1)]
    // The library itself is deceived.
    expect(verify('sha256', Buffer.from(signed), createPublicKey({ key: weak, format: 'jwk' }), Buffer.from(signature, 'base64url'))).toBe(
      true,
    )
    const { code } = gate([settingsFor(url)])
    expect(await code(forged)).toBe('PST3005')
    expect(await code(forge({ alg: 'RS256', typ: 'at+jwt' }, claims(url), paddedDigest))).toBe('PST3005')
    expect(await code(tokenOf(good, claims(url)))).toBe('ok')
  })

  it('alone it makes the issuer unavailable, which passes nobody', async () => {
    const url = await publishing({ ...makeKey('RS256', 'weak').jwk, e: 'AQ' })
    const made = gate([settingsFor(url)])
    expect(await made.code(forge({ alg: 'RS256', typ: 'at+jwt', kid: 'weak' }, claims(url), paddedDigest))).toBe('PST3101')
    expect(lastError(made)).toContain('no usable key: weak: an exponent of 1')
  })

  it('a modulus of 1024 bits, a symmetric key, a key for encryption, two keys of one kid: all left out', async () => {
    const small = keyOf(generateKeyPairSync('rsa', { modulusLength: 1024 }), 'small')
    const shared = makeKey('RS256', 'enc', { use: 'enc' })
    const [twin, other] = [makeKey('RS256', 'twin'), makeKey('RS256', 'twin')]
    const url = await publishing(small.jwk, { kty: 'oct', kid: 'oct', k: 'c2VjcmV0' }, shared.jwk, twin.jwk, other.jwk, good.jwk)
    const { code } = gate([settingsFor(url)], { bucketBurst: 10 })
    for (const key of [small, shared, twin, other]) expect(await code(tokenOf(key, claims(url)))).toBe('PST3005')
    expect(await code(forge({ alg: 'HS256', typ: 'at+jwt', kid: 'oct' }, claims(url), hmacSigner('secret')))).toBe('PST3004')
    expect(await code(tokenOf(good, claims(url)))).toBe('ok')
  })

  it('zero and oversized ECDSA values verify nothing', async () => {
    const url = await publishing(good.jwk)
    const { code } = gate([settingsFor(url)])
    for (const signature of [Buffer.alloc(64), Buffer.alloc(64, 255), Buffer.alloc(65), Buffer.alloc(63), Buffer.alloc(72, 1)])
      expect(await code(forge({ alg: 'ES256', typ: 'at+jwt', kid: 'good' }, claims(url), () => signature))).toBe('PST3006')
    const der = forge({ alg: 'ES256', typ: 'at+jwt', kid: 'good' }, claims(url), input => sign('sha256', input, good.privateKey))
    expect(await code(der)).toBe('PST3006')
  })

  it('a bound token, a token with an agent, and claims of the wrong kind: each its own code', async () => {
    const url = await publishing(good.jwk)
    const { code, identifier } = gate([settingsFor(url)])
    expect(await code(tokenOf(good, claims(url, { cnf: { jkt: 'x' } })))).toBe('PST3012')
    expect(await code(tokenOf(good, claims(url, { cnf: { 'x5t#S256': 'x' } })))).toBe('PST3012')
    const agent = tokenOf(good, claims(url, { act: { sub: 'bot', act: { sub: 'planner' } } }))
    expect(await identifier.identify(`Bearer ${agent}`)).toMatchObject({ subject: 'anna', agents: ['bot', 'planner'] })
    expect(await code(tokenOf(good, claims(url, { act: 'bot' })))).toBe('PST3011')
    expect(await code(tokenOf(good, claims(url, { exp: undefined })))).toBe('PST3011')
    expect(await code(tokenOf(good, claims(url, { nbf: Math.floor(Date.now() / 1000) + 300 })))).toBe('PST3008')
    const twice = JSON.stringify(claims(url)).replace('{', '{"sub":"admin",')
    expect(await code(forge({ alg: 'ES256', typ: 'at+jwt', kid: 'good' }, twice, signerOf(good)))).toBe('PST3002')
  })

  const keyOf = (pair: { publicKey: KeyObject; privateKey: KeyObject }, kid: string): TestKey => ({
    kid,
    alg: 'RS256',
    ...pair,
    jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' },
  })
})

describe('a provider that misbehaves', () => {
  const key = makeKey('ES256', 'k')
  type Answer = (response: ServerResponse, url: string) => void
  const json =
    (body: unknown): Answer =>
    response =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  const hang: Answer = () => undefined
  const html: Answer = response => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in</html>')
  const huge: Answer = response =>
    void response.writeHead(200, { 'content-type': 'application/json' }).end(`{"keys":[],"x":"${'x'.repeat(200_000)}"}`)
  const truncated: Answer = response => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 500 }).write('{"keys":[')
    setImmediate(() => response.destroy())
  }
  const halfOpen: Answer = response =>
    void response.writeHead(200, { 'content-type': 'application/json', 'content-length': 500 }).write('{"keys":[')
  const redirect: Answer = response => void response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end()
  const broken: Answer = response => void response.writeHead(500).end('{}')

  const provider = async (documents: { readonly metadata?: Answer; readonly jwks?: Answer }) => {
    const server = await serve((request, response) => {
      const metadata = documents.metadata ?? json({ issuer: server.url, jwks_uri: `${server.url}/jwks` })
      const keys = documents.jwks ?? json({ keys: [key.jwk] })
      ;(request.url === '/jwks' ? keys : metadata)(response, server.url)
    })
    stops.push(() => server.stop())
    return server.url
  }

  it.each<[string, { readonly metadata?: Answer; readonly jwks?: Answer }, RegExp]>([
    ['metadata that never come', { metadata: hang }, /discovery: no complete answer within|no answer yet/],
    ['metadata in HTML', { metadata: html }, /discovery: .*(content-type|JSON|response)/],
    ['huge metadata', { metadata: huge }, /discovery: the answer is larger than 153600 bytes/],
    ['truncated metadata', { metadata: truncated }, /discovery: the answer broke off/],
    ['half of the metadata', { metadata: halfOpen }, /discovery: no complete answer/],
    ['metadata elsewhere', { metadata: redirect }, /discovery: answered 302; redirects are not followed/],
    ['an error for metadata', { metadata: broken }, /discovery: .* answered 500/],
    ['metadata of another issuer', { metadata: json({ issuer: 'http://127.0.0.1:1', jwks_uri: 'http://127.0.0.1:1/jwks' }) }, /issuer/],
    ['metadata that are a list', { metadata: json([]) }, /discovery: /],
    ['keys that never come', { jwks: hang }, /JWKS: no complete answer/],
    ['keys in HTML', { jwks: html }, /the JWKS is not JSON/],
    ['a huge JWKS', { jwks: huge }, /JWKS: the answer is larger than 153600 bytes/],
    ['a truncated JWKS', { jwks: truncated }, /JWKS: the answer broke off/],
    ['half of a JWKS', { jwks: halfOpen }, /JWKS: no complete answer/],
    ['keys elsewhere', { jwks: redirect }, /JWKS: answered 302; redirects are not followed/],
    ['an error for keys', { jwks: broken }, /JWKS: .* answered 500/],
    ['no JWKS', { jwks: json({ keys: 'none' }) }, /the JWKS has no list "keys"/],
  ])('%s: 503 within its deadline, with the cause in the status', async (_, documents, cause) => {
    const url = await provider(documents)
    const { identifier } = gate([settingsFor(url)], { fetchDeadline: 200, requestWait: 400 })
    const began = performance.now()
    const result = await identifier.identify(`Bearer ${tokenOf(key, claimsAt(Date.now(), url))}`)
    expect(result).toMatchObject({ code: 'PST3101' })
    expect((result as Refusal).retryAfter).toBeGreaterThanOrEqual(1)
    expect(performance.now() - began).toBeLessThan(2_000)
    expect(identifier.status()[0]).toMatchObject({ keys: 0, ageSeconds: null, lastError: expect.stringMatching(cause) })
  })

  it('down from the start: 503 at once, never a hang', async () => {
    const { identifier } = gate([settingsFor('http://127.0.0.1:1')])
    const began = performance.now()
    const result = await identifier.identify(`Bearer ${tokenOf(key, claimsAt(Date.now(), 'http://127.0.0.1:1'))}`)
    expect(result).toMatchObject({ code: 'PST3101', retryAfter: expect.any(Number) })
    expect((result as Refusal).detail).toContain('ECONNREFUSED')
    expect(performance.now() - began).toBeLessThan(1_500)
  })

  it('slower than a request waits: 503, and the keys are there for the next', async () => {
    let answer: (() => void) | null = null
    const held: Answer = (response, url) => {
      answer = () => json({ issuer: url, jwks_uri: `${url}/jwks` })(response, url)
    }
    const url = await provider({ metadata: held })
    const { code, identifier } = gate([settingsFor(url)], { requestWait: 50 })
    const token = tokenOf(key, claimsAt(Date.now(), url))
    expect(await code(token)).toBe('PST3101')
    await until(() => answer !== null)
    ;(answer as (() => void) | null)?.()
    await until(() => identifier.status()[0]?.keys === 1)
    expect(await code(token)).toBe('ok')
  })

  it('delays no other issuer', async () => {
    const [bad, good] = [await provider({ metadata: hang }), await provider({})]
    const { identifier, code } = gate([settingsFor(bad), settingsFor(good)])
    const began = performance.now()
    const stuck = identifier.identify(`Bearer ${tokenOf(key, claimsAt(Date.now(), bad))}`)
    expect(await code(tokenOf(key, claimsAt(Date.now(), good)))).toBe('ok')
    expect(performance.now() - began).toBeLessThan(1_000)
    identifier.close()
    expect(await stuck).toMatchObject({ code: 'PST3101' })
  })

  it('cannot lead an issuer in the clear off loopback', async () => {
    const url = await provider({
      metadata: (response, own) => json({ issuer: own, jwks_uri: 'http://keys.example.com/jwks' })(response, own),
    })
    const made = gate([settingsFor(url)])
    expect(await made.code(tokenOf(key, claimsAt(Date.now(), url)))).toBe('PST3101')
    expect(made.identifier.status()[0]?.lastError).toContain('is not an https URL')
    expect(made.asked).toHaveLength(1)
  })
})
