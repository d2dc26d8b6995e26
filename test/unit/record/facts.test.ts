import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Basis, Fact } from '../../../src/model/fact.ts'
import { SecretBytes } from '../../../src/model/secret.ts'
import { type FactOptions, factHash, factSpeller } from '../../../src/record/facts.ts'
import { hashed, hashKey, inClear, withheld } from '../../support/records.ts'
import { facts } from '../policy/fixtures.ts'

const { identity, origin } = facts()

interface Given {
  readonly token?: readonly Fact[]
  readonly request?: readonly Fact[]
  readonly incomplete?: readonly string[]
}

const basisOf = ({ token = [], request = [], incomplete = [] }: Given): Basis => ({
  platformDigest: 'p',
  recognised: 'r',
  reads: {
    ofToken: () => ({ facts: token, incomplete, partial: false }),
    ofRequest: () => ({ facts: request, incomplete: [], partial: false }),
  },
})

const spelled = (options: FactOptions, given: Given) => {
  const { text, cut } = factSpeller(options)({ basis: basisOf(given), identity, origin })
  return { cut, ...(JSON.parse(text) as Record<'token' | 'request', Record<string, unknown>> & { readonly key: string | null }) }
}

const some: readonly Fact[] = [
  { name: 'groups', value: ['staff', 'night'] },
  { name: 'level', value: 3 },
  { name: 'region', value: 'eu' },
  { name: 'sure', value: true },
  { name: 'empty', value: '' },
  { name: 'gone', value: undefined },
  { name: 'odd', value: null },
]

describe('facts on a record', () => {
  it('are written in clear where their name is listed, and as keyed hashes elsewhere', () => {
    const { token, key } = spelled(hashed('groups', 'level'), { token: some })
    const { of, id } = factHash(hashKey)
    expect(key).toBe(id)
    expect(token['plain']).toEqual({ groups: ['staff', 'night'], level: 3 })
    expect(token['hashed']).toEqual({ region: of('region', 'eu'), sure: of('sure', true), empty: '' })
  })

  it('say what is absent, and what is there but unreadable, whether plain or not', () => {
    for (const options of [inClear, hashed(), withheld])
      expect(spelled(options, { token: some }).token).toMatchObject({ absent: ['gone'], faulty: ['odd'] })
  })

  it('tell only kind and number where no key is configured', () => {
    const { token, key } = spelled(withheld, { token: some })
    expect(key).toBeNull()
    expect(token['withheld']).toEqual({ groups: ['string', 'string'], level: 'number', region: 'string', sure: 'boolean', empty: '' })
    expect(token['plain']).toBeUndefined()
  })

  it('hold each occurrence of a field or parameter, and null for one that cannot be decoded', () => {
    const request: Fact[] = [
      { name: 'header.x-a', value: ['on', 'off'] },
      { name: 'query.q', value: ['csv', null] },
    ]
    expect(spelled(inClear, { request }).request).toEqual({ plain: { 'header.x-a': ['on', 'off'], 'query.q': ['csv', null] } })
    expect(spelled(hashed(), { request }).request['hashed']).toMatchObject({ 'query.q': [factHash(hashKey).of('query.q', 'csv'), null] })
  })

  it('name claims that the token keeps elsewhere', () => {
    expect(spelled(hashed(), { token: some, incomplete: ['hasgroups'] }).token['incomplete']).toEqual(['hasgroups'])
  })

  it.each<[string, Fact]>([
    ['a longer list', { name: 'groups', value: Array.from({ length: 65 }, (_, i) => `g${i}`) }],
    ['a longer text', { name: 'groups', value: 'x'.repeat(257) }],
  ])('never hold a part of %s as if it were the whole: it is named as cut', (_, fact) => {
    const { token, cut } = spelled(inClear, { token: [fact, { name: 'region', value: 'eu' }] })
    expect(token).toEqual({ plain: { region: 'eu' }, cut: ['groups'] })
    expect(cut).toBe(true)
  })

  it('have a bound, whatever names and values there are', () => {
    const token = Array.from({ length: 5000 }, (_, i) => ({
      name: `c${i}\u2028`,
      value: Array.from({ length: 60 }, () => '\u2028'.repeat(200)),
    }))
    const { text, cut } = factSpeller(inClear)({
      basis: basisOf({ token, request: token, incomplete: token.map(one => one.name) }),
      identity,
      origin,
    })
    expect(text.length).toBeLessThan(20_000)
    expect(cut).toBe(true)
    expect(() => JSON.parse(text)).not.toThrow()
  })

  it('of a token are read once for its identity and policy', () => {
    let reads = 0
    const counting = (): Basis => ({
      ...basisOf({}),
      reads: { ...basisOf({}).reads, ofToken: () => ({ facts: [], incomplete: [], partial: reads++ < 0 }) },
    })
    const speller = factSpeller(hashed())
    const [one, other] = [counting(), counting()]
    for (const basis of [one, one, other, other]) speller({ basis, identity, origin })
    speller({ basis: other, identity: { ...identity }, origin })
    expect(reads).toBe(3)
  })
})

describe('the hash of a fact', () => {
  const { of, id } = factHash(hashKey)

  it('is HMAC-SHA-256 cut to 128 bits, over kind, name and value', () => {
    const mac = createHmac('sha256', hashKey.open()).update('s6 regioneu', 'utf16le').digest()
    expect(of('region', 'eu')).toBe(mac.subarray(0, 16).toString('base64url'))
    expect(id).toMatch(/^[0-9a-f]{8}$/)
  })

  it('differs by key, name, kind and value, so that nothing is linked', () => {
    const all = [
      of('a', '1'),
      of('b', '1'),
      of('a', 1),
      of('a', '2'),
      of('a1', ''),
      of('a', 'true'),
      of('a', true),
      factHash(new SecretBytes(Buffer.alloc(32, 8))).of('a', '1'),
    ]
    expect(new Set(all).size).toBe(all.length)
    expect(of('a', '\ud800')).not.toBe(of('a', '\ufffd'))
  })

  it('shows the kind, which a rule may ask for', () => {
    expect([of('a', 'x'), of('a', 1), of('a', false)].map(hash => hash.replace(/[\w-]{22}$/, ''))).toEqual(['', 'n.', 'b.'])
  })
})
