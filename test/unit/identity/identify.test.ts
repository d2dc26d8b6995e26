import { importJWK, jwtVerify } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import type { Identifier } from '../../../src/identity/identify.ts'
import type { IssuerSettings } from '../../../src/identity/settings.ts'
import type { Fetch } from '../../../src/model/deps.ts'
import { Refusal } from '../../../src/model/problem.ts'
import {
  type Bench,
  bench,
  claimsAt,
  FakeProvider,
  forge,
  type Json,
  makeKey,
  route,
  settingsFor,
  signerOf,
  tokenOf,
  until,
} from '../../support/issuer.ts'

const issuer = 'https://login.example.com/'
const key = makeKey('ES256', 'one')
const other = makeKey('ES256', 'two')
const open: Identifier[] = []
afterEach(() => {
  for (const identifier of open.splice(0)) identifier.close()
})

const provider = (): FakeProvider => {
  const made = new FakeProvider(issuer.slice(0, -1), [key])
  made.metadata = { issuer, jwks_uri: `${issuer}jwks` }
  return made
}
const ready = async (from = provider(), settings = settingsFor(issuer), bounds = {}): Promise<Bench> => {
  const made = bench(route(from), bounds)
  open.push(made.identifier)
  made.identifier.configure([settings])
  await until(() => made.identifier.status()[0]?.keys === 1)
  return made
}
const tokenAt = (made: Bench, changes: Json = {}, header: Json = {}): string =>
  tokenOf(key, claimsAt(made.clock.now(), issuer, changes), header)

describe('the Authorization value', () => {
  it('is missing, of another scheme, or empty: each its own code', async () => {
    const { identifier } = await ready()
    expect(identifier.identify(null)).toMatchObject({ code: 'PST3001' })
    expect(identifier.identify('Basic YTpi')).toMatchObject({ code: 'PST3014' })
    expect(identifier.identify('Bearer')).toMatchObject({ code: 'PST3002' })
  })
})

describe('a known token', () => {
  it('is answered synchronously with the same object, and is not validated again', async () => {
    const made = await ready()
    const token = tokenAt(made)
    const first = made.identifier.identify(`Bearer ${token}`)
    expect(made.identifier.identify(`bearer  ${token}`)).toBe(first)
    expect(made.validated).toEqual([`${issuer} ok`])
  })

  it('ends at exp and tolerance', async () => {
    const made = await ready()
    const token = tokenAt(made, { exp: Math.floor(made.clock.now() / 1000) + 60 })
    expect(await made.code(token)).toBe('ok')
    await made.clock.advance(89_999)
    expect(await made.code(token)).toBe('ok')
    await made.clock.advance(1)
    expect(await made.code(token)).toBe('PST3007')
  })

  it('is early again when the clock is set back', async () => {
    const made = await ready()
    const token = tokenAt(made, { nbf: Math.floor(made.clock.now() / 1000) })
    expect(await made.code(token)).toBe('ok')
    made.clock.setBack(60_000)
    expect(await made.code(token)).toBe('PST3008')
  })

  it('is verified again after five minutes, whatever the wall clock says', async () => {
    const made = await ready()
    const token = tokenAt(made)
    await made.code(token)
    await made.clock.advance(299_999)
    made.clock.setBack(60_000)
    await made.code(token)
    expect(made.validated).toHaveLength(1)
    await made.clock.advance(1)
    expect(await made.code(token)).toBe('ok')
    expect(made.validated).toHaveLength(2)
  })

  it('is judged anew when its issuer changes, and forgotten when it is removed', async () => {
    const made = await ready()
    const token = tokenAt(made)
    expect(await made.code(token)).toBe('ok')
    made.identifier.configure([settingsFor(issuer, { audiences: ['other'] })])
    expect(await made.code(token)).toBe('PST3009')
    made.identifier.configure([settingsFor(issuer)])
    expect(await made.code(token)).toBe('ok')
    made.identifier.configure([])
    expect(await made.code(token)).toBe('PST3003')
  })

  it('stays when nothing changes', async () => {
    const from = provider()
    const made = await ready(from)
    const token = tokenAt(made)
    const first = await made.identity(token)
    made.identifier.configure([settingsFor(issuer)])
    expect(await made.identity(token)).toBe(first)
    expect(from.keyFetches).toBe(1)
  })

  it('is bounded in number: the oldest is validated again', async () => {
    const made = await ready(provider(), settingsFor(issuer), { cacheEntries: 10 })
    const tokens = Array.from({ length: 11 }, (_, i) => tokenAt(made, { jti: `${i}` }))
    for (const token of tokens) await made.code(token)
    await made.code(tokens[10] ?? '')
    expect(made.validated).toHaveLength(11)
    await made.code(tokens[0] ?? '')
    expect(made.validated).toHaveLength(12)
  })

  it('is known by every character', async () => {
    const made = await ready()
    const token = tokenAt(made)
    await made.code(token)
    const changed = `${token.slice(0, -2)}${token.at(-2) === 'A' ? 'Q' : 'A'}${token.at(-1)}`
    expect(await made.code(changed)).toBe('PST3006')
  })
})

describe('what the settings list', () => {
  it('are the only algorithms, whatever the provider publishes', async () => {
    const made = await ready(provider(), settingsFor(issuer, { algorithms: ['RS256', 'EdDSA'] }))
    expect(await made.code(tokenAt(made))).toBe('PST3004')
  })

  it('are the only types', async () => {
    const made = await ready()
    expect(await made.code(tokenAt(made, {}, { typ: 'application/at+jwt' }))).toBe('ok')
    for (const typ of ['JWT', undefined, 'dpop+jwt', 7]) expect(await made.code(tokenAt(made, {}, { typ }))).toBe('PST3010')
    made.identifier.configure([settingsFor(issuer, { typ: ['JWT'] })])
    expect(await made.code(tokenAt(made, {}, { typ: 'JWT' }))).toBe('ok')
    for (const typ of ['at+jwt', undefined]) expect(await made.code(tokenAt(made, {}, { typ }))).toBe('PST3010')
    made.identifier.configure([settingsFor(issuer, { typ: ['absent'] })])
    expect(await made.code(tokenAt(made, {}, { typ: undefined }))).toBe('ok')
    expect(await made.code(tokenAt(made, { nonce: 'x' }, { typ: undefined }))).toBe('PST3010')
  })
})

describe('a refused token', () => {
  it('is remembered under a known key for five seconds', async () => {
    const made = await ready()
    const token = tokenAt(made, { aud: 'x' })
    for (let i = 0; i < 5; i++) expect(await made.code(token)).toBe('PST3009')
    expect(made.validated).toEqual([`${issuer} token-audience`])
    await made.clock.advance(5_000)
    expect(await made.code(token)).toBe('PST3009')
    expect(made.validated).toHaveLength(2)
  })

  it('is not remembered when it is only early', async () => {
    const made = await ready()
    const token = tokenAt(made, { nbf: Math.floor(made.clock.now() / 1000) + 31 })
    expect(await made.code(token)).toBe('PST3008')
    await made.clock.advance(1_000)
    expect(await made.code(token)).toBe('ok')
  })

  it('is not remembered past a change of its issuer', async () => {
    const made = await ready()
    const token = tokenAt(made, { aud: 'new' })
    expect(await made.code(token)).toBe('PST3009')
    made.identifier.configure([settingsFor(issuer, { audiences: ['api', 'new'] })])
    expect(await made.code(token)).toBe('ok')
  })
})

describe('a change of settings', () => {
  const changed: readonly [string, Partial<Omit<IssuerSettings, 'digest'>>, boolean][] = [
    ['audiences', { audiences: ['api', 'b'] }, true],
    ['tolerance', { clockTolerance: 0 }, true],
    ['the CA', { ca: 'PEM' }, false],
  ]
  it.each(changed)('of %s keeps the keys: %#', async (_, change, kept) => {
    const from = provider()
    const made = await ready(from)
    from.mode = 'down'
    made.identifier.configure([settingsFor(issuer, change)])
    expect(await made.code(tokenAt(made))).toBe(kept ? 'ok' : 'PST3101')
  })

  it('while a token waits for its key applies to that token', async () => {
    const from = provider()
    const made = await ready(from)
    from.mode = 'hang'
    const waiting = made.code(tokenOf(other, claimsAt(made.clock.now(), issuer)))
    await until(() => from.hanging.length === 1)
    made.identifier.configure([settingsFor(issuer, { audiences: ['elsewhere'] })])
    from.keys = [key.jwk, other.jwk]
    from.mode = 'up'
    for (const go of from.hanging.splice(0)) go()
    expect(await waiting).toBe('PST3009')
  })

  it('that removes the issuer while a token waits refuses the token', async () => {
    const from = provider()
    const made = await ready(from)
    from.mode = 'hang'
    const waiting = made.code(tokenOf(other, claimsAt(made.clock.now(), issuer)))
    await until(() => from.hanging.length === 1)
    made.identifier.configure([])
    for (const go of from.hanging.splice(0)) go()
    expect(await waiting).toBe('PST3003')
  })
})

describe('any fault', () => {
  it('inside is a refusal, not a throw and not a rejection', async () => {
    const broken: Fetch = () => {
      throw new Error('thrown, not rejected')
    }
    const made = bench(broken)
    open.push(made.identifier)
    made.identifier.configure([settingsFor(issuer)])
    expect(await made.code(tokenAt(made))).toBe('PST3101')
    const value = { indexOf: () => 6, slice: () => 'Bearer', charCodeAt: () => 0x20 }
    Object.defineProperty(value, 'charCodeAt', {
      value: () => {
        throw new Error('odd')
      },
    })
    const result = made.identifier.identify(value as unknown as string)
    expect(result).toMatchObject({ code: 'PST9001' })
    expect(made.log.lines.some(line => line.level === 'error')).toBe(true)
  })

  it('and after close nobody is identified and nothing is asked', async () => {
    const from = provider()
    const made = await ready(from)
    const token = tokenAt(made)
    await made.code(token)
    made.identifier.close()
    expect(await made.code(token)).toBe('PST3101')
    await made.clock.advance(3_600_000)
    expect(from.keyFetches).toBe(1)
  })
})

describe('beside jose', () => {
  it('whatever is accepted here, jose accepts', async () => {
    const keys = [key, makeKey('RS256', 'rs'), makeKey('PS256', 'ps'), makeKey('EdDSA', 'ed')]
    const from = provider()
    from.keys = keys.map(each => each.jwk)
    const made = bench(route(from))
    open.push(made.identifier)
    made.identifier.configure([settingsFor(issuer, { typ: ['at+jwt', 'JWT', 'absent'] })])
    await until(() => made.identifier.status()[0]?.keys === 4)
    const now = made.clock.now()
    let agreed = 0
    for (const signing of keys)
      for (const claimed of keys)
        for (const typ of ['at+jwt', 'application/at+jwt', 'JWT', undefined])
          for (const changes of [
            {},
            { aud: ['x', 'api'] },
            { aud: 'x' },
            { exp: now / 1000 - 10 },
            { exp: 1 },
            { nbf: now / 1000 + 20 },
            { sub: undefined },
          ]) {
            const token = forge({ alg: claimed.alg, kid: claimed.kid, typ }, claimsAt(now, issuer, changes), signerOf(signing))
            const ours = await made.identifier.identify(`Bearer ${token}`)
            const theirs = await jwtVerify(token, await importJWK(claimed.jwk, claimed.alg), {
              issuer,
              audience: 'api',
              algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
              clockTolerance: 30,
              currentDate: new Date(now),
              requiredClaims: ['exp', 'sub'],
            }).then(
              () => true,
              () => false,
            )
            expect(!(ours instanceof Refusal)).toBe(theirs)
            if (theirs) agreed++
          }
    expect(agreed).toBe(4 * 4 * 4)
  })
})
