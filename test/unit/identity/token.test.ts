import { describe, expect, it } from 'vitest'
import { parseJws, tokenShown } from '../../../src/identity/token.ts'
import { Refusal } from '../../../src/model/problem.ts'

const b64 = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const header = { alg: 'RS256', kid: 'k' }
const make = (head: unknown, body: unknown = { iss: 'i' }, signature = 'AAAA'): string => `${b64(head)}.${b64(body)}.${signature}`
const detail = (token: string): string => {
  const result = parseJws(token)
  return result instanceof Refusal ? `${result.code} ${result.detail}` : 'parsed'
}

describe('the Authorization value', () => {
  it.each([
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    ['BEARER   abc', 'abc'],
    ['Bearer', ''],
    ['DPoP abc', 'abc'],
    ['dpop abc', 'abc'],
    ['Bearer a b', 'a b'],
  ])('%j carries the token %j', (value, token) => {
    expect(tokenShown(value)).toBe(token)
  })

  it.each(['', 'Basic YTpi', 'DPoPabc', 'Bearerabc', 'Bearer\tabc', 'abc'])('%j is another scheme', value => {
    expect(tokenShown(value)).toMatchObject({ code: 'PST3014' })
  })
})

describe('a compact JWS', () => {
  it('is taken apart, its payload frozen', () => {
    const token = make(header, { iss: 'i', groups: ['a'] })
    const jws = parseJws(token)
    if (jws instanceof Refusal) throw new Error(jws.detail)
    expect(jws).toMatchObject({ alg: 'RS256', kid: 'k', payload: { iss: 'i' }, signature: 'AAAA' })
    expect(`${jws.signed}.AAAA`).toBe(token)
    expect(Object.isFrozen(jws.payload)).toBe(true)
    expect(Object.isFrozen(jws.payload['groups'])).toBe(true)
  })

  it.each([
    ['', 'not a compact JWS'],
    ['abc', 'not a compact JWS'],
    ['a.b', 'not a compact JWS'],
    [`${make(header)}.`, 'not a compact JWS'],
    [`${make(header)}.x.y`, 'not a compact JWS'],
    [`${make(header)}=`, 'not a compact JWS'],
    [`${make(header)} `, 'not a compact JWS'],
    [make(header).replace('A', '+'), 'not a compact JWS'],
    [`${make(header)}, Bearer ${make(header)}`, 'not a compact JWS'],
    [`${make(header)}A`, 'not base64url'],
    [make(header, {}, 'AB'), 'not base64url'],
    [make(header, {}, 'AAB'), 'not base64url'],
    [make(header, 'x'.repeat(20_000)), 'longer than 16384 characters'],
    [make('no json'), 'header: not JSON'],
    [make([header]), 'header: not an object'],
    [make('null'), 'header: not an object'],
    [make({}), 'header: alg'],
    [make({ alg: ['RS256'] }), 'header: alg'],
    [make({ alg: 'RS256', kid: 7 }), 'header: kid'],
    [make({ alg: 'RS256', kid: null }), 'header: kid'],
    [make({ ...header, crit: ['exp'] }), 'header: crit'],
    [make({ ...header, b64: false }), 'header: b64'],
    [make({ ...header, jwk: { kty: 'RSA' } }), 'header: jwk'],
    [make({ ...header, jku: 'https://evil.example/jwks' }), 'header: jku'],
    [make({ ...header, x5u: 'https://evil.example/crt' }), 'header: x5u'],
    [make({ ...header, x5c: ['MIIB'] }), 'header: x5c'],
    [make(`{"alg":"none","alg":"RS256"}`), 'header: a member stands twice'],
    [make(header, 'x'), 'payload: not JSON'],
    [make(header, '[]'), 'payload: not an object'],
    [make(header, '\ufeff{}'), 'payload: not JSON'],
    [make(header, '{"sub":"a","sub":"b"}'), 'payload: a member stands twice'],
    [make(header, '{"sub":"a","s\\u0075b":"b"}'), 'payload: a member stands twice'],
    [make(header, '{"act":{"sub":"a","x":[{"sub":"b","sub":"c"}]}}'), 'payload: a member stands twice'],
    [make(header, '{"__proto__":{"admin":true}}'), 'payload: too deep, or a member __proto__'],
    [make(header, `{"a":${'['.repeat(4000)}${']'.repeat(4000)}}`), 'payload: too deep, or a member __proto__'],
    [`${b64(header)}.${Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url')}.AAAA`, 'payload: not UTF-8'],
  ])('%.60s is refused: %s', (token, why) => {
    expect(detail(token)).toBe(`PST3002 ${why}`)
  })

  it.each(['{"a":"x:y","b:c":"\\":\\\\","d":{"e":[{"f":1},{"f":2}]},"":"{\\"a\\":1,\\"a\\":2}"}', '{}', '{"a":"\\\\"}'])(
    'colons and quotes inside text are no members: %s',
    body => {
      expect(detail(make(header, body))).toBe('parsed')
    },
  )

  it('leaves an empty signature to the algorithm', () => {
    expect(detail(make({ alg: 'none' }, {}, ''))).toBe('parsed')
  })
})
