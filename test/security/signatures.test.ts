import { generateKeyPairSync, sign } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyProof } from '../../src/identity/dpop.ts'
import { Refusal } from '../../src/model/problem.ts'
import { clientKey, type ProofChanges, proofOf } from '../support/dpop.ts'
import {
  claimsAt,
  entryFor,
  forge,
  type Gate,
  type Json,
  makeKey,
  openGate,
  serve,
  settingsOf,
  signerOf,
  type TestKey,
  type TestServer,
  tokenOf,
} from '../support/issuer.ts'

/** Signatures, keys and envelopes at their edges (the classes of Project Wycheproof): each is refused under its code, at a gate with real sockets. */
const pair384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const es384 = { ...pair384.publicKey.export({ format: 'jwk' }), kid: 'ES384', alg: 'ES384', use: 'sig' }
const keys = {
  ES256: makeKey('ES256', 'ES256'),
  EdDSA: makeKey('EdDSA', 'EdDSA'),
  RS256: makeKey('RS256', 'RS256'),
  PS256: makeKey('PS256', 'PS256'),
}
const signers: Readonly<Record<string, (input: Buffer) => Buffer>> = {
  ...Object.fromEntries(Object.entries(keys).map(([alg, key]) => [alg, signerOf(key)])),
  ES384: input => sign('sha384', input, { key: pair384.privateKey, dsaEncoding: 'ieee-p1363' }),
}
const algs = Object.keys(signers)
const inDer: Readonly<Record<string, (input: Buffer) => Buffer>> = {
  ES256: input => sign('sha256', input, keys.ES256.privateKey),
  ES384: input => sign('sha384', input, pair384.privateKey),
}

let published: readonly unknown[] = []
let provider: TestServer
const gates: Gate[] = []
beforeAll(async () => {
  provider = await serve((request, response) => {
    const body = request.url === '/jwks' ? { keys: published } : { issuer: provider.url, jwks_uri: `${provider.url}/jwks` }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
})
afterAll(async () => {
  for (const { identifier } of gates) identifier.close()
  await provider.stop()
})
/** A gate that has just asked for these keys. */
const open = (...publishing: readonly unknown[]): Gate => {
  published = publishing
  const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA', 'ES384'] as const
  const made = openGate([settingsOf(entryFor(provider.url, { algorithms }))], { bucketBurst: 10_000 })
  gates.push(made)
  return made
}
const claims = (changes: Json = {}): Json => claimsAt(Date.now(), provider.url, changes)
const signed = (alg: string, signer = signers[alg] ?? (() => Buffer.alloc(0))): string =>
  forge({ alg, typ: 'at+jwt', kid: alg }, claims(), signer)

const groupOrder: Readonly<Record<string, Buffer>> = {
  ES256: Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex'),
  ES384: Buffer.from('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973', 'hex'),
  // RFC 8032 5.1: little-endian.
  EdDSA: Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex'),
}
const plus = (a: Buffer, b: Buffer, little: boolean): Buffer => {
  const number = (bytes: Buffer) => BigInt(`0x${(little ? Buffer.from(bytes).reverse() : bytes).toString('hex')}`)
  const hex = (number(a) + number(b)).toString(16).padStart(a.length * 2, '0')
  const sum = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return little ? sum.reverse() : sum
}

/** What may be done to a good signature of two scalars. */
const halves = (alg: string, good: Buffer): Readonly<Record<string, Buffer>> => {
  const size = good.length / 2
  const order = groupOrder[alg] ?? Buffer.alloc(size)
  const [r, s] = [good.subarray(0, size), good.subarray(size)]
  const [zero, one, full] = [Buffer.alloc(size), Buffer.concat([Buffer.alloc(size - 1), Buffer.from([1])]), Buffer.alloc(size, 255)]
  const both = (a: Buffer, b: Buffer) => Buffer.concat([a, b])
  return {
    'both zero': both(zero, zero),
    'r zero': both(zero, s),
    's zero': both(r, zero),
    'r the order': both(order, s),
    's the order': both(r, order),
    's and the order': both(r, plus(s, order, alg === 'EdDSA')),
    'r and the order': both(plus(r, order, false), s),
    'one and one': both(one, one),
    'all ones': both(full, full),
    'r and s exchanged': both(s, r),
    'only r': r,
    'a zero before each': both(Buffer.concat([Buffer.alloc(1), r]), Buffer.concat([Buffer.alloc(1), s])),
  }
}

const anyKind = (good: Buffer): Readonly<Record<string, Buffer>> => ({
  nothing: Buffer.alloc(0),
  'one byte': good.subarray(0, 1),
  'half of it': good.subarray(0, good.length / 2),
  'a byte less': good.subarray(0, -1),
  'a byte less in front': good.subarray(1),
  'a byte more': Buffer.concat([good, Buffer.alloc(1)]),
  'a zero in front': Buffer.concat([Buffer.alloc(1), good]),
  'itself twice': Buffer.concat([good, good]),
  zeros: Buffer.alloc(good.length),
  ones: Buffer.alloc(good.length, 255),
  'its first bit changed': Buffer.concat([Buffer.from([(good[0] ?? 0) ^ 128]), good.subarray(1)]),
  'its last bit changed': Buffer.concat([good.subarray(0, -1), Buffer.from([(good.at(-1) ?? 0) ^ 1])]),
  reversed: Buffer.from(good).reverse(),
})

describe.each(algs)('a signature of %s', alg => {
  it('is good as it was made', async () => {
    expect(await open(...Object.values(keys).map(key => key.jwk), es384).code(signed(alg))).toBe('ok')
  })

  it('is refused with PST3006 when it is anything else: cut, longer, zero, oversized, in DER, of another algorithm', async () => {
    const { code } = open(...Object.values(keys).map(key => key.jwk), es384)
    const found: string[] = []
    const look = async (what: string, change: (good: Buffer, input: Buffer) => Buffer): Promise<void> => {
      const make = signers[alg] as (input: Buffer) => Buffer
      const got = await code(signed(alg, input => change(make(input), input)))
      if (got !== 'PST3006') found.push(`${what}: ${got}`)
    }
    for (const what of Object.keys(anyKind(Buffer.alloc(64)))) await look(what, good => anyKind(good)[what] ?? good)
    if (groupOrder[alg])
      for (const what of Object.keys(halves(alg, Buffer.alloc(64)))) await look(what, good => halves(alg, good)[what] ?? good)
    for (const other of algs) if (other !== alg) await look(`that of ${other}`, (_, input) => (signers[other] ?? (() => input))(input))
    // RFC 7518 3.5: the salt is as long as the digest.
    for (const saltLength of alg === 'PS256' ? [0, 20, 222] : [])
      await look(`a salt of ${saltLength}`, (_, input) => sign('sha256', input, { key: keys.PS256.privateKey, padding: 6, saltLength }))
    for (const der of Object.values(inDer)) await look('in DER', (_, input) => der(input))
    expect(found).toEqual([])
  })
})

describe('a published key', () => {
  const good = keys.ES256.jwk
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const other = makeKey('ES256', 'other').jwk
  const bytes = (name: 'x' | 'y') => Buffer.from(String(good[name]), 'base64url')
  const url = (value: Buffer) => value.toString('base64url')
  const rsa = keys.RS256.jwk
  /** Of the form that the library of CVE-2017-15361 gave to its moduli: a power of 65537 modulo the product of small primes. */
  const roca = (): string => {
    const primes = [
      2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
      137, 139, 149, 151, 157, 163, 167,
    ]
    const product = primes.map(BigInt).reduce((a, b) => a * b)
    let power = 1n
    for (let i = 0; i < 1_234; i++) power = (power * 65_537n) % product
    return url(Buffer.from((power + product * ((1n << 2047n) / product + 1n)).toString(16), 'hex'))
  }
  const spoiled: Readonly<Record<string, Json>> = {
    'a point off its curve': { ...good, y: other['y'] },
    'the coordinates exchanged': { ...good, x: good['y'], y: good['x'] },
    'a coordinate of zero': { ...good, x: url(Buffer.alloc(32)) },
    'both of zero': { ...good, x: url(Buffer.alloc(32)), y: url(Buffer.alloc(32)) },
    'a coordinate above the field': { ...good, x: url(Buffer.alloc(32, 255)) },
    'a short coordinate': { ...good, x: url(bytes('x').subarray(1)) },
    'no y': { ...good, y: undefined },
    'a y that is no text': { ...good, y: 7 },
    'padding in x': { ...good, x: `${good['x']}=` },
    'the alphabet of base64 in x': { ...good, x: `+/${String(good['x']).slice(2)}` },
    'another curve by name': { ...good, crv: 'P-384' },
    'a curve that nobody signs with': { ...publicKey.export({ format: 'jwk' }), kid: 'ES256', alg: 'ES256' },
    'its curve called P-256': { ...publicKey.export({ format: 'jwk' }), crv: 'P-256', kid: 'ES256', alg: 'ES256' },
    'an alg of another curve': { ...good, alg: 'ES384' },
    'an alg of another type': { ...good, alg: 'RS256' },
    'a type of another curve': { ...good, kty: 'OKP' },
    'no type': { ...good, kty: undefined },
    'a type in another case': { ...good, kty: 'ec' },
    'its private part': { ...good, d: url(Buffer.alloc(32, 1)) },
    'another use': { ...good, use: 'enc' },
    'operations without verify': { ...good, use: undefined, key_ops: ['sign', 'deriveKey'] },
  }
  const spoiledRsa: Readonly<Record<string, Json>> = {
    'an exponent of 1': { ...rsa, e: 'AQ' },
    'an exponent of 1 with zeros before it': { ...rsa, e: 'AAAB' },
    'an exponent of 3': { ...rsa, e: 'Aw' },
    'an even exponent': { ...rsa, e: 'AQAC' },
    'no exponent': { ...rsa, e: undefined },
    'an exponent of zero': { ...rsa, e: 'AA' },
    'a modulus of zeros': { ...rsa, n: url(Buffer.alloc(256)) },
    'a modulus of 1024 bits': { ...rsa, n: url(Buffer.from(String(rsa['n']), 'base64url').subarray(0, 128)) },
    'a modulus of 1024 bits behind zeros': { ...rsa, n: url(Buffer.concat([Buffer.alloc(128), Buffer.alloc(128, 255)])) },
    'a modulus of 16384 bits': { ...rsa, n: url(Buffer.alloc(2048, 255)) },
    'a modulus that gives its factors away': { ...rsa, n: roca() },
    'a symmetric key for a modulus': { kty: 'oct', kid: 'RS256', alg: 'RS256', k: rsa['n'] },
  }

  it.each([...Object.entries(spoiled), ...Object.entries(spoiledRsa)])(
    'with %s is left out, and tokens that name it get PST3005',
    async (_, jwk) => {
      const alg = jwk['kid'] === 'RS256' ? 'RS256' : 'ES256'
      const { code } = open(jwk, keys.EdDSA.jwk)
      expect(await code(signed(alg))).toBe('PST3005')
      expect(await code(signed(alg, () => Buffer.alloc(alg === 'RS256' ? 256 : 64, 1)))).toBe('PST3005')
      expect(await code(signed('EdDSA'))).toBe('ok')
    },
  )

  it('alone, and without one that can be used, makes its issuer unavailable: PST3101', async () => {
    for (const jwk of [spoiled['a point off its curve'], spoiledRsa['an exponent of 1'], {}, null, 'key', [], { keys: [good] }])
      expect(await open(jwk).code(signed('ES256'))).toBe('PST3101')
  })
})

describe('an envelope', () => {
  const text = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  const head = { alg: 'ES256', typ: 'at+jwt', kid: 'ES256' }
  const signing = (header: string, body: string): string =>
    `${header}.${body}.${signers['ES256']?.(Buffer.from(`${header}.${body}`)).toString('base64url')}`
  const mine = makeKey('ES256', 'mine')
  const address = 'http://127.0.0.1:1/'
  const members: Readonly<Record<string, Json>> = {
    jwk: { jwk: mine.jwk },
    'its own jwk': { jwk: keys.ES256.jwk },
    jku: { jku: address },
    x5u: { x5u: address },
    x5c: { x5c: ['MIIB'] },
    'an empty x5c': { x5c: [] },
    crit: { crit: ['exp'], exp: 1 },
    'an empty crit': { crit: [] },
    'a crit that is null': { crit: null },
    b64: { b64: false, crit: ['b64'] },
    'b64 alone': { b64: true },
  }

  it.each(Object.entries(members))('with %s is refused with PST3002 and nothing is asked for, whoever signed it', async (_, more) => {
    const { code, asked } = open(keys.ES256.jwk)
    for (const key of [keys.ES256, mine]) expect(await code(tokenOf(key, claims(), { kid: 'ES256', ...more }))).toBe('PST3002')
    expect(asked.filter(url => url.startsWith(address))).toEqual([])
  })

  it('with a member twice is refused with PST3002, in header or payload, in another spelling, at any depth', async () => {
    const { code } = open(keys.ES256.jwk)
    const [header, body] = [JSON.stringify(head), JSON.stringify(claims())]
    const doubled = ['"alg":"none"', '"alg":"ES256"', '"kid":"mine"', '"typ":"JWT"', '"\\u0061lg":"none"', '"ki\\u0064":"x"']
    for (const member of doubled)
      for (const twice of [header.replace('{', `{${member},`), header.replace('}', `,${member}}`)])
        expect(await code(signing(text(twice), text(body))), twice).toBe('PST3002')
    for (const member of [
      '"sub":"root"',
      '"s\\u0075b":"root"',
      '"exp":9999999999',
      '"iss":"x"',
      '"a":{"b":1,"b":2}',
      '"a":[{"b":1,"\\u0062":2}]',
    ])
      for (const twice of [body.replace('{', `{${member},`), body.replace(/}$/, `,${member}}`)])
        expect(await code(signing(text(header), text(twice))), twice).toBe('PST3002')
    expect(await code(signing(text(header), text(body)))).toBe('ok')
  })

  it('in another spelling of base64url is refused with PST3002: one token is one text', async () => {
    const { code } = open(keys.ES256.jwk)
    const good = tokenOf(keys.ES256, claims({ x: 'filled' }))
    const parts = good.split('.')
    expect(await code(good)).toBe('ok')
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    let respelled = 0
    for (const [i, part] of parts.entries()) {
      const put = (other: string): string => parts.map((each, k) => (k === i ? other : each)).join('.')
      for (const other of [
        `${part}=`,
        `${part}==`,
        `${part}%3D`,
        // Blanks before the first are those after the scheme (RFC 9110 section 11.4).
        ...(i === 0 ? [] : [` ${part}`]),
        `${part} `,
        `${part}\n`,
        part.replace(/^./, '+'),
        `${part.slice(0, 4)}.${part.slice(4)}`,
      ])
        expect(await code(put(other)), JSON.stringify(other)).toBe('PST3002')
      // Every last character that decodes to the same bytes.
      for (const last of alphabet) {
        const other = part.slice(0, -1) + last
        if (other === part || !Buffer.from(other, 'base64url').equals(Buffer.from(part, 'base64url'))) continue
        expect(await code(put(other)), other.slice(-4)).toBe('PST3002')
        respelled++
      }
    }
    expect(respelled).toBeGreaterThan(0)
    for (const other of [
      `${good}.`,
      `.${good}`,
      `${good}.${parts[2]}`,
      good.replace('.', '..'),
      parts.slice(0, 2).join('.'),
      `${parts[0]}..${parts[2]}`,
      good.replaceAll('.', '%2E'),
    ])
      expect(await code(other), other.slice(-20)).toMatch(/^PST300[26]$/)
  })
})

describe('a proof of possession', () => {
  const url = 'https://api.example.com/v1/orders'
  const occasion = (jkt: string) => ({
    method: 'GET',
    publicUrl: 'https://api.example.com',
    path: '/v1/orders',
    token: 't',
    jkt,
    now: Date.now(),
    maxAge: 60_000,
    tolerance: 0,
    freshNonce: null,
  })

  it.each(['ES256', 'EdDSA', 'RS256', 'PS256'] as const)('of %s is held to the same: any other signature is PST3015', async alg => {
    const key = await clientKey(alg)
    const shown = (changes: ProofChanges): unknown => {
      const result = verifyProof(proofOf(key, 't', url, Date.now(), changes), occasion(key.jkt))
      return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
    }
    expect(shown({})).toBe('ok')
    const make = signerOf(key as TestKey)
    const changed = (of: (good: Buffer) => Readonly<Record<string, Buffer>>): void => {
      for (const what of Object.keys(of(make(Buffer.from('x')))))
        expect(shown({ signer: input => of(make(input))[what] ?? Buffer.alloc(0) }), what).toBe('PST3015 signature')
    }
    changed(anyKind)
    if (groupOrder[alg]) changed(good => halves(alg, good))
  })
})
