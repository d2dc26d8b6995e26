import { afterEach, describe, expect, it } from 'vitest'
import type { Identifier } from '../../../src/identity/identify.ts'
import type { FetchInit } from '../../../src/model/deps.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { type Bench, bench, claimsAt, FakeProvider, makeKey, route, settingsFor, settle, tokenOf, until } from '../../support/issuer.ts'

const issuer = 'https://login.example.com'
const [first, second, third] = [makeKey('ES256', 'one'), makeKey('ES256', 'two'), makeKey('ES256', 'three')]
const open: Identifier[] = []
afterEach(() => {
  for (const identifier of open.splice(0)) identifier.close()
})

const start = (...providers: FakeProvider[]): Bench => {
  const made = bench(route(...providers))
  open.push(made.identifier)
  made.identifier.configure(providers.map(provider => settingsFor(provider.issuer)))
  return made
}
const ready = async (...providers: FakeProvider[]): Promise<Bench> => {
  const made = start(...providers)
  await until(() => made.identifier.status().every(each => each.keys > 0))
  return made
}
const fresh = (made: Bench, key = first, kid = key.kid, from = issuer): string =>
  tokenOf(key, claimsAt(made.clock.now(), from, { jti: Math.random() }), { kid })

describe('keys', () => {
  it('are fetched from the start, before any request', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    expect([provider.discoveries, provider.keyFetches]).toEqual([1, 1])
    expect(made.identifier.identify(`Bearer ${fresh(made)}`)).not.toBeInstanceOf(Promise)
    expect(made.identifier.status()).toMatchObject([{ issuer, keys: 1, ageSeconds: 0, lastError: null }])
  })

  it('cost one fetch, however many requests wait for them', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = start(provider)
    const codes = await Promise.all(Array.from({ length: 50 }, () => made.code(fresh(made))))
    expect(new Set(codes)).toEqual(new Set(['ok']))
    expect([provider.discoveries, provider.keyFetches]).toEqual([1, 1])
  })

  it('are fetched again in the background, and a key that is gone takes its tokens along', async () => {
    const provider = new FakeProvider(issuer, [first, second])
    const made = await ready(provider)
    const [old, kept] = [fresh(made, first), fresh(made, second)]
    expect([await made.code(old), await made.code(kept)]).toEqual(['ok', 'ok'])
    provider.keys = [second.jwk]
    await made.clock.advance(540_000)
    // Known from here on: validated within the last five minutes.
    expect([await made.code(old), await made.code(kept)]).toEqual(['ok', 'ok'])
    await made.clock.advance(120_000)
    await until(() => made.identifier.status()[0]?.keys === 1)
    const validated = made.validated.length
    expect(await made.code(kept)).toBe('ok')
    expect(made.validated).toHaveLength(validated)
    expect(await made.code(old)).toBe('PST3005')
  })

  it('outlive an outage of the provider for a day, then they are refused with 503', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    provider.mode = 'down'
    await made.clock.advance(23 * 3_600_000)
    expect(await made.code(fresh(made))).toBe('ok')
    expect(made.identifier.status()[0]).toMatchObject({ keys: 1, lastError: 'discovery: connect ECONNREFUSED' })
    await made.clock.advance(1.2 * 3_600_000)
    expect(await made.code(fresh(made))).toBe('PST3101')
    provider.mode = 'up'
    await made.clock.advance(11_000)
    await until(() => made.identifier.status()[0]?.keys === 1)
    expect(await made.code(fresh(made))).toBe('ok')
  })

  it('a known token ends with the last keys as well', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    provider.mode = 'down'
    await made.clock.advance(86_300_000)
    const token = fresh(made)
    expect(await made.code(token)).toBe('ok')
    await made.clock.advance(120_000)
    expect(await made.code(token)).toBe('PST3101')
  })

  it('that are good stay when the provider publishes none that is usable', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    provider.keys = [{ ...makeKey('RS256', 'bad').jwk, e: 'AQ' }]
    await made.clock.advance(660_000)
    expect(made.identifier.status()[0]?.lastError).toContain('no usable key: bad: an exponent of 1')
    expect(await made.code(fresh(made))).toBe('ok')
  })

  it('left out are named in the log once, not at each refresh', async () => {
    const provider = new FakeProvider(issuer, [first])
    provider.keys = [first.jwk, { ...second.jwk, use: 'enc' }, { ...third.jwk, alg: 'HS256' }]
    const made = await ready(provider)
    for (let i = 0; i < 5; i++) {
      provider.keys = [...provider.keys, { kty: 'oct', k: 'AAAA', kid: `${i}` }]
      await made.clock.advance(660_000)
      await until(() => made.log.lines.filter(line => line.message === 'key left out').length === 3 + i)
    }
    expect(made.log.lines.filter(line => line.level === 'warn').map(line => line['key'])).toEqual(['three'])
  })
})

describe('a provider that is down from the start', () => {
  it('is 503 with Retry-After at once, and is asked again ever more slowly, up to a bound', async () => {
    const provider = new FakeProvider(issuer, [first])
    provider.mode = 'down'
    const made = start(provider)
    const first503 = await made.identifier.identify(`Bearer ${fresh(made)}`)
    expect(first503).toMatchObject({ code: 'PST3101', retryAfter: 1 })
    await made.clock.advance(60_000)
    const asked = provider.discoveries
    expect(asked).toBeLessThan(15)
    await made.clock.advance(60_000)
    expect(provider.discoveries - asked).toBeGreaterThanOrEqual(5)
    expect(made.log.lines.filter(line => line.level === 'warn')).toHaveLength(1)
    provider.mode = 'up'
    await made.clock.advance(11_000)
    await until(() => made.identifier.status()[0]?.keys === 1)
    expect(await made.code(fresh(made))).toBe('ok')
  })

  it('that never answers holds a request for two seconds and no longer', async () => {
    const provider = new FakeProvider(issuer, [first])
    provider.mode = 'hang'
    const made = start(provider)
    const waiting = made.identifier.identify(`Bearer ${fresh(made)}`)
    let result: unknown
    void Promise.resolve(waiting).then(value => {
      result = value
    })
    await made.clock.advance(1_900)
    expect(result).toBeUndefined()
    await made.clock.advance(200)
    await settle()
    expect(result).toMatchObject({ code: 'PST3101' })
  })

  it('lets sixty-four requests wait, and the next one not at all', async () => {
    const provider = new FakeProvider(issuer, [first])
    provider.mode = 'hang'
    const made = start(provider)
    const token = `Bearer ${fresh(made)}`
    const waiting = Array.from({ length: 64 }, () => made.identifier.identify(token))
    expect(await made.identifier.identify(token)).toMatchObject({ code: 'PST3101' })
    await made.clock.advance(2_100)
    expect(await Promise.all(waiting)).toHaveLength(64)
  })

  it('delays nobody else', async () => {
    const bad = new FakeProvider('https://bad.example.com', [second])
    bad.mode = 'hang'
    const good = new FakeProvider(issuer, [first])
    const made = start(bad, good)
    expect(await made.code(fresh(made))).toBe('ok')
    expect(made.identifier.identify(`Bearer ${fresh(made)}`)).not.toBeInstanceOf(Promise)
    const stuck = made.identifier.identify(`Bearer ${fresh(made, second, 'two', 'https://bad.example.com')}`)
    expect(made.identifier.identify(`Bearer ${fresh(made)}`)).toMatchObject({ subject: 'anna' })
    await made.clock.advance(2_100)
    expect(await stuck).toBeInstanceOf(Refusal)
  })
})

describe('an unknown key', () => {
  it('published without notice is found by one refresh', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    provider.keys = [second.jwk]
    const codes = await Promise.all(Array.from({ length: 20 }, () => made.code(fresh(made, second))))
    expect(new Set(codes)).toEqual(new Set(['ok']))
    expect([provider.discoveries, provider.keyFetches]).toEqual([1, 2])
  })

  it('is 401 for that answer only', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    const token = fresh(made, second)
    expect(await made.code(token)).toBe('PST3005')
    provider.keys = [first.jwk, second.jwk]
    expect(await made.code(token)).toBe('ok')
  })

  it('in a flood costs three refreshes, then one in ten seconds; the rest is 503 with Retry-After', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    const codes: string[] = []
    for (let i = 0; i < 200; i++) codes.push(await made.code(fresh(made, second, `random-${i}`)))
    expect(provider.keyFetches).toBe(1 + 3)
    expect(codes.filter(code => code === 'PST3005')).toHaveLength(3)
    expect(codes.filter(code => code === 'PST3102')).toHaveLength(197)
    expect(await made.identifier.identify(`Bearer ${fresh(made, second, 'x')}`)).toMatchObject({ code: 'PST3102', retryAfter: 10 })
    expect(await made.code(fresh(made))).toBe('ok')
    await made.clock.advance(10_000)
    for (let i = 0; i < 20; i++) await made.code(fresh(made, second, `later-${i}`))
    expect(provider.keyFetches).toBe(1 + 4)
  })

  it('cannot be kept out by a flood: the flood itself brings it in', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    for (let i = 0; i < 50; i++) await made.code(fresh(made, third, `random-${i}`))
    provider.keys = [first.jwk, second.jwk]
    const token = fresh(made, second)
    expect(await made.code(token)).toBe('PST3102')
    await made.clock.advance(10_000)
    await made.code(fresh(made, third, 'one more'))
    expect(await made.code(token)).toBe('ok')
  })

  it('is not judged by a fetch that began before its token came', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    provider.mode = 'hang'
    await made.clock.advance(660_000)
    expect(provider.hanging).toHaveLength(1)
    // The refresh under way brings the old JWKS; meanwhile the key is published and used.
    const waiting = made.code(fresh(made, second))
    provider.hanging.splice(0).forEach(go => {
      go()
    })
    await until(() => provider.hanging.length === 1)
    provider.keys = [first.jwk, second.jwk]
    provider.mode = 'up'
    provider.hanging.splice(0).forEach(go => {
      go()
    })
    expect(await waiting).toBe('ok')
  })

  it('while the provider is down is 503, and a known key goes on', async () => {
    const provider = new FakeProvider(issuer, [first])
    const made = await ready(provider)
    provider.mode = 'down'
    const token = fresh(made, second)
    expect(await made.identifier.identify(`Bearer ${token}`)).toMatchObject({ code: 'PST3101', retryAfter: 1 })
    expect(await made.code(fresh(made))).toBe('ok')
    provider.mode = 'up'
    provider.keys = [first.jwk, second.jwk]
    expect(await made.code(token)).toBe('ok')
  })
})

describe('metadata', () => {
  it.each<[object, string]>([
    [{ issuer: `${issuer}/`, jwks_uri: `${issuer}/jwks` }, `calls itself ${issuer}/, not ${issuer}`],
    [{ issuer: 'https://LOGIN.example.com', jwks_uri: `${issuer}/jwks` }, 'calls itself https://LOGIN.example.com'],
    [{ issuer: 'https://evil.example', jwks_uri: `${issuer}/jwks` }, 'does not match the expected issuer'],
    [{ jwks_uri: `${issuer}/jwks` }, '"issuer" property'],
    [{ issuer }, 'no jwks_uri'],
    [{ issuer, jwks_uri: 7 }, 'no jwks_uri'],
    [{ issuer, jwks_uri: 'http://login.example.com/jwks' }, 'is not an https URL'],
    [{ issuer, jwks_uri: 'http://127.0.0.1/jwks' }, 'is not an https URL'],
    [{ issuer, jwks_uri: 'file:///etc/passwd' }, 'is not an https URL'],
    [{ issuer, jwks_uri: 'https://u:p@login.example.com/jwks' }, 'is not an https URL'],
  ])('%j is refused', async (metadata, message) => {
    const provider = new FakeProvider(issuer, [first])
    provider.metadata = metadata as Readonly<Record<string, unknown>>
    const made = start(provider)
    expect(await made.code(fresh(made))).toBe('PST3101')
    expect(made.identifier.status()[0]?.lastError).toContain(message)
    expect(provider.keyFetches).toBe(0)
  })

  it('and keys in the clear are asked of loopback addresses only, with caps, and with the CA of the settings', async () => {
    const local = new FakeProvider('http://localhost:9400', [first])
    const calls: FetchInit[] = []
    const made = bench((url, init) => {
      calls.push(init)
      return local.fetch(url, init)
    })
    open.push(made.identifier)
    made.identifier.configure([settingsFor(local.issuer, { ca: 'PEM' })])
    await until(() => made.identifier.status()[0]?.keys === 1)
    const expected = { reach: 'loopback', ca: 'PEM', maxBytes: 153_600, timeout: 5_000 }
    expect(calls).toMatchObject([expected, expected])
  })

  it('of a provider that the library makes an exception for is compared as well', async () => {
    const entra = 'https://login.microsoftonline.com/tenant/v2.0'
    const provider = new FakeProvider(entra, [first])
    provider.metadata = { issuer: 'https://login.microsoftonline.com/other/v2.0', jwks_uri: `${entra}/jwks` }
    const made = start(provider)
    expect(await made.code(fresh(made, first, 'one', entra))).toBe('PST3101')
    expect(made.identifier.status()[0]?.lastError).toContain('calls itself https://login.microsoftonline.com/other/v2.0')
  })
})
