import { X509Certificate } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { bindingOf } from '../../../src/identity/binding.ts'
import type { DpopSettings } from '../../../src/identity/dpop-settings.ts'
import type { Identifier } from '../../../src/identity/identify.ts'
import { Nonces } from '../../../src/identity/nonces.ts'
import type { Shown } from '../../../src/identity/possession.ts'
import { Replays } from '../../../src/identity/replay.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { SecretBytes } from '../../../src/model/secret.ts'
import { canonicalUrl } from '../../../src/model/target.ts'
import { type ClientKey, clientKey, type ProofChanges, proofOf } from '../../support/dpop.ts'
import { type Bench, bench, claimsAt, FakeProvider, type Json, makeKey, route, settingsFor, tokenOf, until } from '../../support/issuer.ts'
import { testCertificate } from '../../support/tls.ts'

const issuer = 'https://login.example.com'
const signing = makeKey('ES256', 'one')
const client = await clientKey()
const base = 'https://api.example.com'
const url = `${base}/v1/orders`
const open: Identifier[] = []
afterEach(() => {
  for (const identifier of open.splice(0)) identifier.close()
})

interface Room extends Bench {
  token(cnf: unknown, changes?: Json): string
  proof(token: string, changes?: ProofChanges, by?: ClientKey): string
  /** `ok`, or code and detail of the refusal. */
  show(authorization: string, shown?: Partial<Shown>): Promise<string>
}

const request: Shown = {
  method: 'GET',
  host: 'api.example.com',
  target: { path: '/v1/orders', query: 'a=b' },
  publicUrl: base,
  dpop: null,
  clientCertificate: null,
  mappedCaller: null,
}

const room = async (dpop?: Partial<DpopSettings>, bounds = {}): Promise<Room> => {
  const made = bench(route(new FakeProvider(issuer, [signing])), bounds)
  open.push(made.identifier)
  made.identifier.configure([settingsFor(issuer)], { maxAge: 60_000, nonce: false, nonceKey: null, ...dpop })
  await until(() => made.identifier.status()[0]?.keys === 1)
  return {
    ...made,
    token: (cnf, changes = {}) => tokenOf(signing, claimsAt(made.clock.now(), issuer, { cnf, ...changes })),
    proof: (token, changes, by = client) => proofOf(by, token, url, made.clock.now(), changes),
    async show(authorization, shown = {}) {
      const result = await made.identifier.identify(authorization, { ...request, ...shown })
      return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
    },
  }
}

describe('cnf', () => {
  const digest = 'A'.repeat(43)
  it.each<[string, Json, unknown]>([
    ['absent: a bearer token', {}, null],
    ['a key', { cnf: { jkt: digest } }, { jkt: digest, certificate: null }],
    ['a certificate', { cnf: { 'x5t#S256': digest } }, { jkt: null, certificate: Buffer.alloc(32) }],
    ['both', { cnf: { jkt: digest, 'x5t#S256': digest } }, { jkt: digest, certificate: Buffer.alloc(32) }],
  ])('%s', (_, payload, binding) => {
    expect(bindingOf(payload)).toEqual(binding)
  })

  it.each<[string, unknown]>([
    ['nothing', null],
    ['text', 'jkt'],
    ['a list', [{ jkt: digest }]],
    ['an empty object', {}],
    ['a key id', { kid: 'a' }],
    ['a key itself', { jwk: client.jwk }],
    ['an encrypted key', { jwe: 'x' }],
    ['an older digest beside a key', { jkt: digest, x5t: digest }],
    ['a short digest', { jkt: digest.slice(1) }],
    ['a digest with a second spelling', { jkt: `${digest.slice(1)}B` }],
    ['a number', { 'x5t#S256': 7 }],
  ])('with %s is refused', (_, cnf) => {
    expect(bindingOf({ cnf })).toMatchObject({ code: 'PST3012' })
  })
})

describe('a token bound to a key', () => {
  it.each(['ES256', 'RS256', 'PS256', 'EdDSA'] as const)('is taken with a proof under %s, in any case of the scheme', async alg => {
    const key = await clientKey(alg)
    const made = await room()
    const token = made.token({ jkt: key.jkt })
    for (const scheme of ['DPoP', 'dpop', 'DPOP'])
      expect(await made.show(`${scheme} ${token}`, { dpop: made.proof(token, {}, key) })).toBe('ok')
    expect(made.validated).toEqual([`${issuer} ok`])
  })

  it('is refused as a bearer token and without a proof, known or not', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    for (const known of [false, true]) {
      expect(await made.show(`Bearer ${token}`, { dpop: made.proof(token) }), String(known)).toBe('PST3012 jkt, and shown as Bearer')
      expect(await made.show(`DPoP ${token}`)).toBe('PST3015 no DPoP field')
      expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token) })).toBe('ok')
    }
  })

  it('names what is asked for', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    const refusal = await made.identifier.identify(`Bearer ${token}`, request)
    expect(refusal).toMatchObject({ dpop: { algorithms: 'RS256 PS256 ES256 EdDSA', nonce: null } })
    expect(await made.identifier.identify(`DPoP ${made.token(undefined)}x`, request)).toMatchObject({
      code: 'PST3002',
      dpop: { nonce: null },
    })
  })

  it('that is bound to none is refused as DPoP: its sender believes that it is', async () => {
    const made = await room()
    const token = made.token(undefined)
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token) })).toBe('PST3012 shown as DPoP, and bound to no key')
    expect(await made.show(`Bearer ${token}`, { dpop: 'anything' })).toBe('ok')
  })

  it.each<[string, ProofChanges, string]>([
    ['another typ', { header: { typ: 'JWT' } }, 'typ'],
    ['no typ', { header: { typ: undefined } }, 'typ'],
    ['crit', { header: { crit: ['x'], x: 1 } }, 'header: crit'],
    ['a key by address', { header: { jku: 'https://evil.example/' } }, 'header: jku'],
    ['a certificate for a key', { header: { x5c: ['x'] } }, 'header: x5c'],
    ['alg none', { header: { alg: 'none' }, signer: () => '' }, 'alg'],
    ['HS256', { header: { alg: 'HS256' } }, 'alg'],
    ['ES384, which is not asked for', { header: { alg: 'ES384' } }, 'alg'],
    ["an alg that is not its key's", { header: { alg: 'RS256' } }, 'jwk: does not fit alg'],
    ['no key', { header: { jwk: undefined } }, 'jwk'],
    ['a private key', { header: { jwk: client.privateKey.export({ format: 'jwk' }) } }, 'jwk: a private key (d)'],
    ['a symmetric key', { header: { jwk: { kty: 'oct', k: 'c2VjcmV0' } } }, 'jwk: a private key (k)'],
    ['a point off the curve', { header: { jwk: { ...client.jwk, x: 'AAAA' } } }, 'jwk: not the key of the token'],
    ['another signature', { signer: () => Buffer.alloc(64, 1) }, 'signature'],
    ['a zero signature', { signer: () => Buffer.alloc(64) }, 'signature'],
    ['no jti', { claims: { jti: undefined } }, 'jti'],
    ['an endless jti', { claims: { jti: 'x'.repeat(257) } }, 'jti'],
    ['another method', { claims: { htm: 'POST' } }, 'htm'],
    ['a method in lower case', { claims: { htm: 'get' } }, 'htm'],
    ['another host', { claims: { htu: 'https://evil.example/v1/orders' } }, 'htu'],
    ['another path', { claims: { htu: `${base}/v1/order` } }, 'htu'],
    ['another scheme', { claims: { htu: 'http://api.example.com/v1/orders' } }, 'htu'],
    ['another port', { claims: { htu: 'https://api.example.com:8443/v1/orders' } }, 'htu'],
    ['userinfo', { claims: { htu: 'https://api.example.com@evil.example/v1/orders' } }, 'htu'],
    ['a dot segment', { claims: { htu: `${base}/v1/x/../orders` } }, 'htu'],
    ['a list of URLs', { claims: { htu: [url] } }, 'htu'],
    ['the ath of another token', { claims: { ath: 'A'.repeat(43) } }, 'ath'],
    ['no ath', { claims: { ath: undefined } }, 'ath'],
    ['no iat', { claims: { iat: undefined } }, 'iat'],
    ['iat as text', { claims: { iat: '1' } }, 'iat'],
  ])('is refused with a proof that has %s', async (_, changes, detail) => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token, changes) })).toBe(`PST3015 ${detail}`)
  })

  it("is refused with a proof under somebody else's key", async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    const proof = made.proof(token, {}, await clientKey())
    expect(await made.show(`DPoP ${token}`, { dpop: proof })).toBe('PST3015 jwk: not the key of the token')
  })

  it('is refused with a proof of a key too weak, though the token is bound to it', async () => {
    const made = await room()
    const strong = await clientKey('RS256')
    const weak = { ...strong.jwk, e: 'AQ' }
    const { calculateJwkThumbprint } = await import('jose')
    const token = made.token({ jkt: await calculateJwkThumbprint(weak) })
    const proof = made.proof(token, { header: { jwk: weak } }, strong)
    expect(await made.show(`DPoP ${token}`, { dpop: proof })).toBe('PST3015 jwk: an exponent of 1')
  })

  it('is refused with two proofs joined, a proof that is none, and one too large', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    const proof = made.proof(token)
    expect(await made.show(`DPoP ${token}`, { dpop: `${proof}, ${proof}` })).toBe('PST3015 not a compact JWS')
    expect(await made.show(`DPoP ${token}`, { dpop: '' })).toBe('PST3015 not a compact JWS')
    const large = made.proof(token, { claims: { x: 'x'.repeat(6000) } })
    expect(await made.show(`DPoP ${token}`, { dpop: large })).toBe('PST3015 longer than 6144 characters')
  })

  it.each([
    'https://api.example.com/v1/orders?x=1',
    'https://api.example.com/v1/orders#part',
    'HTTPS://API.example.com:443/v1/orders',
    'https://api.example.com/v1/%6frders',
  ])('is taken with a proof for %s, which is the same place', async htu => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token, { claims: { htu } }) })).toBe('ok')
  })

  it('is refused where nothing configured says what clients call', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token), publicUrl: null })).toBe('PST3015 htu')
  })

  it('is taken with a proof of one minute and the tolerance, to both sides, and no more', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    const at = (seconds: number) => made.proof(token, { claims: { iat: made.clock.now() / 1000 + seconds } })
    for (const seconds of [-90, 0, 30]) expect(await made.show(`DPoP ${token}`, { dpop: at(seconds) }), String(seconds)).toBe('ok')
    for (const seconds of [-91, 31]) expect(await made.show(`DPoP ${token}`, { dpop: at(seconds) })).toBe('PST3015 iat')
  })
})

describe('a proof shown twice', () => {
  it('is refused for as long as its iat would let it pass, and so is another proof of its jti', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    const early = made.proof(token, { claims: { jti: 'one', iat: made.clock.now() / 1000 + 30 } })
    expect(await made.show(`DPoP ${token}`, { dpop: early })).toBe('ok')
    expect(await made.show(`DPoP ${token}`, { dpop: early })).toBe('PST3016 jti')
    await made.clock.advance(120_000)
    expect(await made.show(`DPoP ${token}`, { dpop: early })).toBe('PST3016 jti')
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token, { claims: { jti: 'one' } }) })).toBe('PST3016 jti')
    await made.clock.advance(1)
    expect(await made.show(`DPoP ${token}`, { dpop: early })).toBe('PST3015 iat')
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token) })).toBe('ok')
    expect(made.identifier.proofs()).toBe(1)
  })

  it('under two keys is two proofs', async () => {
    const made = await room()
    const other = await clientKey()
    for (const key of [client, other]) {
      const token = made.token({ jkt: key.jkt })
      expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token, { claims: { jti: 'one' } }, key) })).toBe('ok')
    }
  })

  it('is refused at the bound too: then new ones get 503, and none is forgotten', async () => {
    const made = await room({}, { proofs: 3 })
    const token = made.token({ jkt: client.jkt })
    const first = made.proof(token)
    const proofs = [first, made.proof(token), made.proof(token)]
    for (const dpop of proofs) expect(await made.show(`DPoP ${token}`, { dpop })).toBe('ok')
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token) })).toContain('PST3103')
    expect(await made.show(`DPoP ${token}`, { dpop: first })).toBe('PST3016 jti')
    expect(made.identifier.proofs()).toBe(3)
    await made.clock.advance(120_001)
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token) })).toBe('ok')
  })

  it('is not remembered when it was refused: nobody fills the memory without a key', async () => {
    const made = await room()
    const token = made.token({ jkt: client.jkt })
    await made.show(`DPoP ${token}`, { dpop: made.proof(token, { signer: () => Buffer.alloc(64, 1) }) })
    expect(made.identifier.proofs()).toBe(0)
  })

  it('is forgotten after its time and not before', () => {
    const replays = new Replays(10)
    expect(replays.take('a'.repeat(43), 'bc', 0, 10)).toBe('new')
    expect(replays.take('a'.repeat(43), 'bc', 10, 10)).toBe('seen')
    expect(replays.take('a'.repeat(43), 'bc', 11, 10)).toBe('new')
  })
})

describe('nonces', () => {
  it('are asked for, given, and then enough', async () => {
    const made = await room({ nonce: true })
    const token = made.token({ jkt: client.jkt })
    const asked = await made.identifier.identify(`DPoP ${token}`, { ...request, dpop: made.proof(token) })
    expect(asked).toMatchObject({ code: 'PST3017', dpop: { nonce: expect.stringMatching(/^[0-9a-z]+\.[\w-]{43}$/) } })
    const nonce = (asked as Refusal).dpop?.nonce
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token, { claims: { nonce } }) })).toBe('ok')
    expect(made.identifier.nonce(`DPoP ${token}`)).toBe(nonce)
    expect(made.identifier.nonce(`Bearer ${token}`)).toBeNull()
    await made.clock.advance(240_000)
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token, { claims: { nonce } }) })).toBe('PST3017 nonce')
    expect(made.identifier.nonce(`DPoP ${token}`)).not.toBe(nonce)
  })

  it('of one key are good at every replica, and of another at none', () => {
    const key = new SecretBytes(Buffer.alloc(32, 7))
    const [one, two, other] = [new Nonces(key, 1000), new Nonces(key, 1000), new Nonces(new SecretBytes(Buffer.alloc(32, 8)), 1000)]
    const nonce = one.current(5_500)
    expect([4_000, 6_999].map(now => two.accepts(nonce, now))).toEqual([true, true])
    expect([3_999, 7_000].map(now => two.accepts(nonce, now))).toEqual([false, false])
    expect(other.accepts(nonce, 5_500)).toBe(false)
    for (const odd of [undefined, '', 7, `${nonce}A`, `0${nonce}`, nonce.replace('.', '')]) expect(one.accepts(odd, 5_500)).toBe(false)
  })

  it('are not given where none is asked for', async () => {
    const made = await room()
    expect(made.identifier.nonce('DPoP x')).toBeNull()
  })
})

describe('a token bound to a certificate', () => {
  it('is taken from the holder alone, known or not', async () => {
    const mine = Buffer.from(new X509Certificate(testCertificate).fingerprint256.replaceAll(':', ''), 'hex')
    const made = await room()
    const token = made.token({ 'x5t#S256': mine.toString('base64url') })
    for (let i = 0; i < 2; i++) {
      expect(await made.show(`Bearer ${token}`)).toBe('PST3012 x5t#S256, and no client certificate')
      expect(await made.show(`Bearer ${token}`, { clientCertificate: Buffer.alloc(32, 1) })).toBe('PST3012 x5t#S256')
      expect(await made.show(`Bearer ${token}`, { clientCertificate: mine })).toBe('ok')
    }
    expect(await made.show(`DPoP ${token}`, { clientCertificate: mine, dpop: made.proof(token) })).toContain('bound to no key')
  })

  it('and to a key needs both', async () => {
    const mine = Buffer.alloc(32, 9)
    const made = await room()
    const token = made.token({ jkt: client.jkt, 'x5t#S256': mine.toString('base64url') })
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token) })).toBe('PST3012 x5t#S256, and no client certificate')
    expect(await made.show(`DPoP ${token}`, { clientCertificate: mine })).toBe('PST3015 no DPoP field')
    expect(await made.show(`Bearer ${token}`, { clientCertificate: mine })).toContain('PST3012')
    expect(await made.show(`DPoP ${token}`, { dpop: made.proof(token), clientCertificate: mine })).toBe('ok')
  })
})

describe('the spelling of a URL', () => {
  it.each<[string, string | null]>([
    ['https://A.example:443/x?y#z', 'https://a.example/x'],
    ['http://a.example:80', 'http://a.example/'],
    ['https://a.example:80/', 'https://a.example:80/'],
    ['https://[::1]:8443/x', 'https://[::1]:8443/x'],
    ['https://a.example/%7Ex', 'https://a.example/~x'],
    ['https://a.example/x/%2e%2e/y', null],
    ['https://a.example//x', null],
    ['https://a.example\\x', null],
    ['https:/a.example/x', null],
    ['https://a.example /x', null],
    ['https://u@a.example/x', null],
    [' https://a.example/x', null],
    ['https://a.example/x\n', null],
    ['https://a.example/é', null],
    ['ftp://a.example/', null],
    ['https:///x', null],
  ])('%j is %j', (text, canonical) => {
    expect(canonicalUrl(text)).toBe(canonical)
  })
})
