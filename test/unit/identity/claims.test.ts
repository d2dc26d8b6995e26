import { describe, expect, it } from 'vitest'
import { acceptClaims, tokenTypeOf } from '../../../src/identity/claims.ts'
import type { TokenType } from '../../../src/identity/presets.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { claimsAt, type Json, settingsFor } from '../../support/issuer.ts'

const now = Date.UTC(2026, 10, 22)
const s = now / 1000
const settings = settingsFor('https://login.example.com/', { audiences: ['api', 'api2'] })
const judge = (changes: Json, type: TokenType = 'at+jwt', at = now) =>
  acceptClaims(JSON.parse(JSON.stringify(claimsAt(now, settings.issuer, changes))), type, settings, at)
const code = (changes: Json, type?: TokenType, at?: number): string => {
  const result = judge(changes, type, at)
  return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
}
const accepted = (changes: Json) => {
  const result = judge(changes)
  if (result instanceof Refusal) throw new Error(result.code)
  return result
}

describe('an accepted payload', () => {
  it('becomes one frozen identity', () => {
    const { identity } = accepted({ aud: ['other', 'api'], scope: 'read write', groups: ['a'] })
    expect(identity).toMatchObject({
      issuer: settings.issuer,
      subject: 'anna',
      audiences: ['other', 'api'],
      scopes: ['read', 'write'],
      agents: [],
      expiresAt: now + 3_600_000,
    })
    expect(identity.claims['groups']).toEqual(['a'])
    expect(Object.isFrozen(identity)).toBe(true)
  })

  it('may be used again within exp and nbf, tolerance included', () => {
    expect(accepted({ nbf: s - 5, iat: s - 10 })).toMatchObject({ notBefore: now - 35_000, notAfter: now + 3_630_000 })
  })

  it.each<[Json, readonly string[]]>([
    [{ scope: 'a  b ' }, ['a', 'b']],
    [{ scope: '' }, []],
    [{ scp: ['a', 'b'] }, ['a', 'b']],
    [{ scp: 'a b' }, ['a', 'b']],
    [{ scope: 'a', scp: ['b'] }, ['a']],
    [{}, []],
  ])('%j has the scopes %j', (changes, scopes) => {
    expect(accepted(changes).identity.scopes).toEqual(scopes)
  })

  it('names its agents, the current one first', () => {
    const act = { sub: 'agent-2', act: { sub: 'agent-1', iss: 'x' } }
    expect(accepted({ act }).identity).toMatchObject({ subject: 'anna', agents: ['agent-2', 'agent-1'] })
  })
})

describe('a payload is refused', () => {
  const chain = (depth: number): Json => (depth === 1 ? { sub: 'a' } : { sub: 'a', act: chain(depth - 1) })

  it.each<[Json, string]>([
    [{ sub: undefined }, 'PST3011 sub'],
    [{ sub: '' }, 'PST3011 sub'],
    [{ sub: 7 }, 'PST3011 sub'],
    [{ sub: ['anna'] }, 'PST3011 sub'],
    [{ sub: 'anna\r\nx: y' }, 'PST3011 sub'],
    [{ sub: '\ud800' }, 'PST3011 sub'],
    [{ aud: undefined }, 'PST3011 aud'],
    [{ aud: [] }, 'PST3011 aud'],
    [{ aud: ['api', 7] }, 'PST3011 aud'],
    [{ aud: { api: true } }, 'PST3011 aud'],
    [{ aud: 'API' }, 'PST3009 aud'],
    [{ aud: 'api api2' }, 'PST3009 aud'],
    [{ aud: ['x', 'y'] }, 'PST3009 aud'],
    [{ exp: undefined }, 'PST3011 exp'],
    [{ exp: `${s + 60}` }, 'PST3011 exp'],
    [{ exp: -1 }, 'PST3011 exp'],
    [{ exp: 1e300 }, 'PST3011 exp'],
    [{ exp: null }, 'PST3011 exp'],
    [{ exp: s - 30 }, 'PST3007 exp'],
    [{ nbf: 'soon' }, 'PST3011 nbf'],
    [{ nbf: s + 31 }, 'PST3008 nbf'],
    [{ iat: s + 31 }, 'PST3008 iat'],
    [{ iat: 'x' }, 'PST3011 iat'],
    [{ exp: s + 86_401 }, 'PST3013 exp'],
    [{ iat: undefined, exp: s + 86_401 }, 'PST3013 exp'],
    [{ iat: s - 86_400, exp: s + 60 }, 'PST3013 exp'],
    [{ cnf: { jkt: 'x' } }, 'PST3012 cnf'],
    [{ cnf: null }, 'PST3012 cnf'],
    [{ act: 'agent' }, 'PST3011 act'],
    [{ act: null }, 'PST3011 act'],
    [{ act: {} }, 'PST3011 act'],
    [{ act: { sub: '' } }, 'PST3011 act'],
    [{ act: { sub: 'a', act: [] } }, 'PST3011 act'],
    [{ act: chain(9) }, 'PST3011 act'],
    [{ scope: ['a'] }, 'PST3011 scope'],
    [{ scp: { a: 1 } }, 'PST3011 scp'],
    [{ scp: ['a', ''] }, 'PST3011 scp'],
    [{ scope: 'a', scp: 7 }, 'PST3011 scp'],
    [{ acr: 1 }, 'PST3011 acr'],
    [{ amr: 'pwd' }, 'PST3011 amr'],
    [{ auth_time: '1' }, 'PST3011 auth_time'],
  ])('%j: %s', (changes, expected) => {
    expect(code(changes)).toBe(expected)
  })

  it.each<[Json, string]>([
    [{ exp: s - 29 }, 'ok'],
    [{ nbf: s + 30, iat: s + 30 }, 'ok'],
    [{ exp: s + 86_400 }, 'ok'],
    [{ act: chain(8) }, 'ok'],
  ])('but %j stands on the border: %s', (changes, expected) => {
    expect(code(changes)).toBe(expected)
  })

  it.each<[Json, string]>([
    [{ nonce: 'x' }, 'PST3010 nonce'],
    [{ at_hash: 'x' }, 'PST3010 at_hash'],
    [{ c_hash: 'x' }, 'PST3010 c_hash'],
    [{ token_use: 'id' }, 'PST3010 token_use'],
    [{ token_use: null }, 'PST3010 token_use'],
    [{ token_use: 'access' }, 'ok'],
    [{}, 'ok'],
  ])('%j under JWT and under no type: %s', (changes, expected) => {
    expect(code(changes, 'JWT')).toBe(expected)
    expect(code(changes, 'absent')).toBe(expected)
  })
})

describe('the type of a token', () => {
  it.each<[unknown, TokenType | null]>([
    ['at+jwt', 'at+jwt'],
    ['application/at+jwt', 'at+jwt'],
    ['AT+JWT', 'at+jwt'],
    ['JWT', 'JWT'],
    ['jwt', 'JWT'],
    [undefined, 'absent'],
    ['', null],
    ['dpop+jwt', null],
    ['logout+jwt', null],
    ['application/application/jwt', null],
    [null, null],
    [['JWT'], null],
  ])('%j is %j', (typ, type) => {
    expect(tokenTypeOf(typ)).toBe(type)
  })
})
