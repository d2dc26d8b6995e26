import { beforeEach, describe, expect, it } from 'vitest'
import { logoutEvent } from '../../../src/identity/logout-token.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { type Bench, bench, claimsAt, FakeProvider, forge, type Json, makeKey, route, settingsFor, tokenOf } from '../../support/issuer.ts'

const key = makeKey('ES256', 'k1')
const other = makeKey('ES256', 'k1')
const issuer = 'https://a.example'

let gate: Bench
beforeEach(() => {
  const second = new FakeProvider('https://b.example', [key])
  gate = bench(route(new FakeProvider(issuer, [key]), second))
  gate.identifier.configure([settingsFor(issuer, { audiences: ['api'] }), settingsFor('https://b.example', { audiences: ['api'] })])
})

const claims = (changes: Json = {}): Json => ({
  iss: issuer,
  aud: 'web',
  iat: Math.floor(gate.clock.now() / 1000),
  exp: Math.floor(gate.clock.now() / 1000) + 120,
  jti: 'l1',
  sub: 'anna',
  sid: 's1',
  events: { [logoutEvent]: {} },
  ...changes,
})

const logout = (token: string) => gate.identifier.logout(token, iss => (iss === issuer ? ['web', 'app'] : ['other']))
const code = async (changes: Json, header: Json = { typ: 'logout+jwt' }, signedBy = key): Promise<string> => {
  const result = await logout(tokenOf(signedBy, claims(changes), header))
  return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
}

describe('a logout token', () => {
  it('says whose session has ended, and until when tokens of before may live', async () => {
    expect(await logout(tokenOf(key, claims(), { typ: 'logout+jwt' }))).toEqual({
      issuer,
      subject: 'anna',
      session: 's1',
      issuedAt: Math.floor(gate.clock.now() / 1000) * 1000,
      lasts: 86_400_000 + 30_000,
    })
  })

  it.each([
    ['with a subject alone', { sid: undefined }, {}],
    ['with a session alone', { sub: undefined }, {}],
    ['for several audiences', { aud: ['x', 'app'] }, {}],
    ['of a provider that writes no type', {}, { typ: undefined }],
    ['of a provider that writes JWT', {}, { typ: 'JWT' }],
    ['of a provider that writes no exp', { exp: undefined }, {}],
  ])('%s is taken', async (_, changes, header) => {
    expect(await code(changes, { typ: 'logout+jwt', ...header })).toBe('ok')
  })

  it.each([
    ['for another client', { aud: 'mail' }, {}, 'PST3009'],
    ["for another issuer's client", { aud: 'other' }, {}, 'PST3009'],
    ['without an audience', { aud: undefined }, {}, 'PST3009'],
    ['of an issuer that is not configured', { iss: 'https://c.example' }, {}, 'PST3003'],
    ['with a nonce: an ID token', { nonce: 'n' }, {}, 'PST3010'],
    ['without events: an ID token', { events: undefined }, {}, 'PST3010'],
    ['about another event', { events: { 'http://schemas.openid.net/event/other': {} } }, {}, 'PST3010'],
    ['whose event is no object', { events: { [logoutEvent]: true } }, {}, 'PST3010'],
    ['of the type of an access token', {}, { typ: 'at+jwt' }, 'PST3010'],
    ['without sub and sid', { sub: undefined, sid: undefined }, {}, 'PST3011'],
    ['with a sub that is no text', { sub: 7 }, {}, 'PST3011'],
    ['with an empty sid', { sid: '' }, {}, 'PST3011'],
    ['without jti', { jti: undefined }, {}, 'PST3011'],
    ['without iat', { iat: undefined }, {}, 'PST3011'],
    ['with an alg that is not allowed', {}, { alg: 'ES384' }, 'PST3004'],
  ])('%s is refused', async (_, changes, header, expected) => {
    expect(await code(changes, { typ: 'logout+jwt', ...header })).toContain(expected)
  })

  it('signed by another key, or by none, is refused', async () => {
    expect(await code({}, {}, other)).toContain('PST3006')
    const unsigned = await logout(forge({ alg: 'none', typ: 'logout+jwt' }, claims(), () => ''))
    expect(unsigned).toMatchObject({ code: 'PST3004' })
  })

  it('that is over, or of the future, is refused', async () => {
    const now = Math.floor(gate.clock.now() / 1000)
    expect(await code({ exp: now - 31 })).toContain('PST3007')
    expect(await code({ exp: undefined, iat: now - 151 })).toContain('PST3007')
    expect(await code({ iat: now + 31 })).toContain('PST3008')
  })

  it('counts once: who caught it cannot post it again, while another issuer may use the same jti', async () => {
    expect(await code({})).toBe('ok')
    expect(await code({})).toBe('PST3011 jti')
    expect(await code({ iss: 'https://b.example', aud: 'other' })).toBe('ok')
    await gate.clock.advance(60_000)
    expect(await code({ iat: claims()['iat'] as number, exp: Math.floor(gate.clock.now() / 1000) + 120 })).toBe('PST3011 jti')
  })

  it('is no access token, whatever type the issuer writes', async () => {
    const late = settingsFor(issuer, { audiences: ['web'], typ: ['at+jwt', 'JWT', 'absent'] })
    gate.identifier.configure([late])
    for (const typ of ['logout+jwt', 'JWT', undefined, 'at+jwt']) {
      const token = tokenOf(key, { ...claimsAt(gate.clock.now(), issuer), aud: 'web', events: { [logoutEvent]: {} } }, { typ })
      expect(await gate.code(token), String(typ)).toBe('PST3010')
    }
  })
})
