import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { algorithms } from '../../../src/identity/algorithms.ts'
import { KeySet, readJwks } from '../../../src/identity/jwks.ts'
import { type Json, makeKey } from '../../support/issuer.ts'

const rsa = makeKey('RS256', 'r')
const ec = makeKey('ES256', 'e')
const ed = makeKey('EdDSA', 'o')
const load = (keys: readonly unknown[]) => readJwks(Buffer.from(JSON.stringify({ keys })), 100)
/** Why a key is left out, read beside a good one. */
const why = async (jwk: unknown): Promise<string> =>
  (await load([jwk, ed.jwk])).skipped.map(s => `${s.why}${s.expected ? ' (expected)' : ''}`).join()
const without = (jwk: Json, name: string): Json => Object.fromEntries(Object.entries(jwk).filter(([key]) => key !== name))

const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey.export({ format: 'jwk' })
const x25519 = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' })
const x = (hex: string): Json => ({ kty: 'OKP', crv: 'Ed25519', kid: 'low', x: Buffer.from(hex, 'hex').toString('base64url') })

describe('a key is bound to its algorithms when it is loaded', () => {
  it.each([
    [rsa.jwk, ['RS256']],
    [without(rsa.jwk, 'alg'), ['RS256', 'PS256']],
    [ec.jwk, ['ES256']],
    [without(ec.jwk, 'alg'), ['ES256']],
    [without(ed.jwk, 'alg'), ['EdDSA']],
    [{ ...without(rsa.jwk, 'use'), key_ops: ['verify'] }, ['RS256']],
  ])('%#', async (jwk, expected) => {
    expect((await load([jwk])).keys[0]?.algorithms).toEqual(expected)
  })
})

describe('a key is left out', () => {
  it.each<[string, unknown, string]>([
    ['symmetric', { kty: 'oct', k: 'AAAA', kid: 'x' }, 'a symmetric key (expected)'],
    ['for encryption', { ...rsa.jwk, use: 'enc' }, 'use enc (expected)'],
    ['not for verifying', { ...rsa.jwk, key_ops: ['encrypt'] }, 'key_ops without verify (expected)'],
    ['with odd key_ops', { ...rsa.jwk, key_ops: 'verify' }, 'key_ops is not a list'],
    ['of exponent 1', { ...rsa.jwk, e: 'AQ' }, 'an exponent of 1'],
    ['of exponent 3', { ...rsa.jwk, e: 'Aw' }, 'an exponent of 3'],
    ['of an even exponent', { ...rsa.jwk, e: 'AQAA' }, 'an exponent of 65536'],
    ['of a huge exponent', { ...rsa.jwk, e: rsa.jwk['n'] }, 'an exponent of'],
    ['of 1024 bits', { ...small, kid: 's' }, 'a modulus of 1024 bits'],
    [
      'of 1024 bits with leading zeros',
      { ...small, n: Buffer.concat([Buffer.alloc(128), Buffer.from(String(small.n), 'base64url')]).toString('base64url') },
      'a modulus of 1024 bits',
    ],
    ['of another curve', { ...p521, alg: 'ES256' }, 'do not fit'],
    ['of another curve without alg', p521, 'do not fit'],
    ['for key agreement', x25519, 'do not fit'],
    ['with an alg of another type', { ...rsa.jwk, alg: 'ES256' }, 'do not fit'],
    ['with a symmetric alg', { ...rsa.jwk, alg: 'HS256' }, 'do not fit'],
    ['with alg none', { ...rsa.jwk, alg: 'none' }, 'do not fit'],
    ['with an alg of the prototype', { ...rsa.jwk, alg: 'constructor' }, 'do not fit'],
    ['without type', without(rsa.jwk, 'kty'), 'do not fit'],
    ['off the curve', { ...ec.jwk, y: ec.jwk['x'] }, ''],
    ['with half a point', without(ec.jwk, 'y'), 'y is not base64url'],
    ['with padding', { ...rsa.jwk, n: `${rsa.jwk['n']}=` }, 'n is not base64url'],
    ['private', { ...rsa.jwk, d: 'AAAA' }, 'a private key was published'],
    ['with a numeric kid', { ...rsa.jwk, kid: 7 }, 'kid is not text'],
    ['a text', 'key', 'not an object'],
    ['null', null, 'not an object'],
    ['of order 1', x(`01${'00'.repeat(31)}`), 'a point of small order'],
    ['of order 2', x(`ec${'ff'.repeat(30)}7f`), 'a point of small order'],
    ['of order 4', x('00'.repeat(32)), 'a point of small order'],
    ['of order 8', x('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'), 'a point of small order'],
    ['of order 8', x('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'), 'a point of small order'],
    ['of order 8, the other sign', x('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85'), 'a point of small order'],
    ['of order 1, spelled p + 1', x(`ee${'ff'.repeat(30)}7f`), 'a point of small order'],
  ])('%s', async (_, jwk, expected) => {
    const said = await why(jwk)
    expect(said).toContain(expected)
    expect(said).not.toBe('')
  })

  it('twice when its kid stands twice, and the others stay', async () => {
    const { keys, skipped } = await load([rsa.jwk, { ...ec.jwk, kid: 'r' }, ed.jwk])
    expect(keys.map(key => key.kid)).toEqual(['o'])
    expect(skipped.map(s => s.why)).toEqual(['its kid stands twice', 'its kid stands twice'])
  })
})

describe('a JWKS is refused', () => {
  it.each([
    ['<html>', 'not JSON'],
    ['', 'not JSON'],
    ['[]', 'no list "keys"'],
    ['{"keys":{}}', 'no list "keys"'],
    ['{"keys":[]}', 'no usable key'],
    ['{"keys":[{"kty":"oct","k":"AAAA"}]}', 'no usable key: key 0: a symmetric key'],
    [JSON.stringify({ keys: Array.from({ length: 101 }, () => ed.jwk) }), 'holds 101 keys'],
  ])('%.40s', async (body, message) => {
    await expect(readJwks(Buffer.from(body), 100)).rejects.toThrow(message)
  })
})

describe('the key for a token', () => {
  it('is the one of its kid, and of no other', async () => {
    const set = new KeySet((await load([rsa.jwk, ec.jwk])).keys)
    expect(set.pick('r', 'RS256')).toMatchObject({ kid: 'r' })
    expect(set.pick('x', 'RS256')).toBeNull()
    expect(set.pick('r', 'ES256')).toMatchObject({ code: 'PST3004' })
    expect(set.pick('r', 'PS256')).toMatchObject({ code: 'PST3004' })
  })

  it('without a kid is the only one that fits', async () => {
    const other = makeKey('RS256', 'r2')
    const set = new KeySet((await load([rsa.jwk, other.jwk, without(ec.jwk, 'kid')])).keys)
    expect(set.pick(null, 'ES256')).toMatchObject({ kid: null, algorithms: ['ES256'] })
    expect(set.pick(null, 'RS256')).toMatchObject({ code: 'PST3005' })
    expect(set.pick(null, 'EdDSA')).toBeNull()
    expect(set.pick('', 'ES256')).toBeNull()
  })
})

describe('ECDSA values', () => {
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  const message = Buffer.from('a.b')
  const good = sign('sha256', message, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })
  const [r, s] = [good.subarray(0, 32), good.subarray(32)]
  const one = Buffer.concat([Buffer.alloc(31), Buffer.from([1])])

  it('in range verify', () => {
    expect(algorithms.ES256.verify(ec.publicKey, message, good)).toBe(true)
  })

  it.each([
    ['both zero', Buffer.alloc(64)],
    ['r zero', Buffer.concat([Buffer.alloc(32), s])],
    ['s zero', Buffer.concat([r, Buffer.alloc(32)])],
    ['r the order', Buffer.concat([order, s])],
    ['s the order', Buffer.concat([r, order])],
    ['all ones', Buffer.alloc(64, 255)],
    ['r and s one', Buffer.concat([one, one])],
    ['a byte more', Buffer.concat([good, Buffer.alloc(1)])],
    ['a zero before', Buffer.concat([Buffer.alloc(1), good])],
    ['a byte less', good.subarray(1)],
    ['in DER', sign('sha256', message, ec.privateKey)],
    ['nothing', Buffer.alloc(0)],
  ])('%s are refused', (_, signature) => {
    expect(algorithms.ES256.verify(ec.publicKey, message, signature)).toBe(false)
  })
})

describe('other signatures', () => {
  it('PSS with another salt length is refused', () => {
    const message = Buffer.from('a.b')
    const salted = (saltLength: number) => sign('sha256', message, { key: rsa.privateKey, padding: 6, saltLength })
    expect(algorithms.PS256.verify(rsa.publicKey, message, salted(32))).toBe(true)
    expect(algorithms.PS256.verify(rsa.publicKey, message, salted(0))).toBe(false)
    expect(algorithms.PS256.verify(rsa.publicKey, message, salted(20))).toBe(false)
  })

  it('an empty or long signature is refused, not a fault', () => {
    for (const name of ['RS256', 'PS256'] as const)
      for (const signature of [Buffer.alloc(0), Buffer.alloc(255, 1), Buffer.alloc(257, 1), Buffer.alloc(256, 255)])
        expect(algorithms[name].verify(rsa.publicKey, Buffer.from('x'), signature)).toBe(false)
    expect(algorithms.EdDSA.verify(ed.publicKey, Buffer.from('x'), Buffer.alloc(64))).toBe(false)
    expect(algorithms.EdDSA.verify(ed.publicKey, Buffer.from('x'), Buffer.alloc(0))).toBe(false)
  })
})
