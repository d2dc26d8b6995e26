import { afterEach, describe, expect, it } from 'vitest'
import type { Bounds } from '../../../src/identity/bounds.ts'
import type { Identifier } from '../../../src/identity/identify.ts'
import { acceptAnswer } from '../../../src/identity/introspect.ts'
import type { IssuerSettings } from '../../../src/identity/settings.ts'
import type { FetchInit, FetchReply } from '../../../src/model/deps.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { introspected } from '../../support/introspection.ts'
import { type Bench, bench, claimsAt, type Json, makeKey, settingsFor, settle, tokenOf, until } from '../../support/issuer.ts'

const issuer = 'https://login.example.com'
const endpoint = `${issuer}/introspect`
const key = makeKey('ES256', 'one')
const now = Date.parse('2026-11-23T10:00:00Z')
const active = (changes: Json = {}): Json => ({ ...claimsAt(now, issuer), active: true, token_type: 'Bearer', ...changes })
const open: Identifier[] = []
afterEach(() => {
  for (const identifier of open.splice(0)) identifier.close()
})

interface Call extends FetchInit {
  readonly url: string
}
interface Room extends Bench {
  readonly calls: Call[]
  /** Answers of the endpoint, by token. */
  answer: (token: string) => Json | string | Error | Promise<Json>
  ask(token: string, host?: string): Promise<string>
}

const json = (body: unknown, type = 'application/json'): FetchReply => ({
  status: 200,
  headers: { 'content-type': type },
  body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
})

const room = async (
  settings: readonly IssuerSettings[] = [introspected(issuer, 's3cret')],
  bounds: Partial<Bounds> = {},
): Promise<Room> => {
  const calls: Call[] = []
  const made = bench(async (url, init) => {
    if (url.endsWith('/jwks')) return json({ keys: [key.jwk] })
    if (url.includes('.well-known')) {
      const own = new URL(url).origin
      return json({ issuer: own, jwks_uri: `${own}/jwks`, introspection_endpoint: `${own}/introspect` })
    }
    calls.push({ url, ...init })
    const answer = await it.answer(new URLSearchParams(init.body).get('token') ?? '')
    if (answer instanceof Error) throw answer
    return json(answer)
  }, bounds)
  const it: Room = {
    ...made,
    calls,
    answer: () => active(),
    async ask(token, host = 'a.example.com') {
      const shown = {
        method: 'GET',
        host,
        target: { path: '/', query: null },
        publicUrl: null,
        dpop: null,
        clientCertificate: null,
        mappedCaller: null,
      } as const
      const result = await made.identifier.identify(`Bearer ${token}`, shown)
      return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
    },
  }
  open.push(made.identifier)
  made.identifier.configure(settings)
  await until(() => made.identifier.status().every(status => status.keys === 1))
  return it
}

describe('an answer', () => {
  const settings = introspected(issuer, 's3cret')
  const judge = (members: Json, verified: Json | null = null): string => {
    const result = acceptAnswer(members, settings, now, verified)
    return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
  }
  const without = (member: string): Json => Object.fromEntries(Object.entries(active()).filter(([name]) => name !== member))

  it('makes the same identity as a token', () => {
    const answer = active({ scope: 'read write', act: { sub: 'bot' }, tenant: 'acme' })
    expect(acceptAnswer(answer, settings, now, null)).toMatchObject({
      identity: { issuer, subject: 'anna', audiences: ['api'], scopes: ['read', 'write'], agents: ['bot'], claims: { tenant: 'acme' } },
      binding: null,
      notAfter: now + 3_630_000,
    })
  })

  it('needs not name its issuer: it came from there', () => {
    expect(acceptAnswer(without('iss'), settings, now, null)).toMatchObject({ identity: { issuer, claims: { iss: issuer } } })
  })

  it.each<[string, Json, string]>([
    ['that is not active', { active: false }, 'PST3018 active'],
    ['that is active in text alone', active({ active: 'true' }), 'PST3018 active'],
    ['that says nothing of it', without('active'), 'PST3018 active'],
    ['of another issuer', active({ iss: 'https://login.example.com/' }), 'PST3011 iss'],
    ['for nobody', without('sub'), 'PST3011 sub'],
    ['for no audience', without('aud'), 'PST3011 aud'],
    ['for another audience', active({ aud: 'billing' }), 'PST3009 aud'],
    ['without an end', without('exp'), 'PST3011 exp'],
    ['that has ended', active({ exp: now / 1000 - 31 }), 'PST3007 exp'],
    ['that has not begun', active({ nbf: now / 1000 + 31 }), 'PST3008 nbf'],
    ['that lives for years', active({ exp: now / 1000 + 1e7 }), 'PST3013 exp'],
    ['of a kind that nobody names: it may be a refresh token', without('token_type'), 'PST3010 token_type'],
    ['about a refresh token', active({ token_type: 'refresh_token' }), 'PST3010 token_type'],
    ['about a refresh token of Keycloak', active({ typ: 'Refresh' }), 'PST3010 token_type'],
    ['about an ID token', active({ token_use: 'id' }), 'PST3010 token_use'],
    ['with scopes in a list', active({ scope: ['read'] }), 'PST3011 scope'],
    ['with an actor in text', active({ act: 'bot' }), 'PST3011 act'],
    ['with a binding nobody here can check', active({ cnf: { kid: 'a' } }), 'PST3012 cnf'],
    ['that says DPoP and names no key', active({ token_type: 'DPoP' }), 'PST3012 token_type'],
  ])('%s is refused', (_, members, refusal) => {
    expect(judge(members)).toBe(refusal)
  })

  it('binds: what it says of cnf must be proved', () => {
    const result = acceptAnswer(active({ token_type: 'DPoP', cnf: { jkt: 'A'.repeat(43) } }), settings, now, null)
    expect(result).toMatchObject({ binding: { jkt: 'A'.repeat(43) } })
  })

  it('about a verified JWT may be newer than it, and may contradict it in nothing that says who calls', () => {
    const verified = claimsAt(now, issuer, { cnf: { jkt: 'A'.repeat(43) }, scope: 'read write' })
    expect(judge({ active: true }, verified)).toBe('ok')
    expect(acceptAnswer({ active: true, scope: 'read' }, settings, now, verified)).toMatchObject({
      identity: { scopes: ['read'] },
      binding: { jkt: 'A'.repeat(43) },
    })
    for (const [member, value] of [
      ['sub', 'bob'],
      ['client_id', 'other'],
      ['act', { sub: 'bot' }],
      ['cnf', { jkt: `${'B'.repeat(42)}A` }],
    ] as const)
      expect(judge({ active: true, [member]: value }, verified)).toBe(`PST3011 ${member}`)
    expect(judge({ active: true, exp: now / 1000 - 31 }, verified)).toBe('PST3007 exp')
  })

  it.each(['azp', 'cid'])('names the client that the token itself names in %s, and no other', claim => {
    const verified = claimsAt(now, issuer, { client_id: undefined, [claim]: 'orders-app' })
    const { client_id: _, ...token } = verified
    expect(judge({ active: true, client_id: 'orders-app' }, token)).toBe('ok')
    expect(judge({ active: true, client_id: 'other' }, token)).toBe('PST3011 client_id')
  })

  it('about a token that names no client may not bring one in', () => {
    const { client_id: _, ...token } = claimsAt(now, issuer)
    expect(judge({ active: true, client_id: 'other' }, token)).toBe('PST3011 client_id')
  })
})

describe('an opaque token', () => {
  it('is asked about once while the answer holds, and then again', async () => {
    const made = await room()
    for (let i = 0; i < 3; i++) expect(await made.ask('opaque-1')).toBe('ok')
    expect(made.calls).toHaveLength(1)
    await made.clock.advance(59_999)
    expect(await made.ask('opaque-1')).toBe('ok')
    expect(made.calls).toHaveLength(1)
    await made.clock.advance(1)
    made.answer = () => ({ active: false })
    expect(await made.ask('opaque-1')).toBe('PST3018 active')
  })

  it('ends at its exp, however long the answer was to hold', async () => {
    const made = await room()
    made.answer = () => active({ exp: now / 1000 + 5 })
    expect(await made.ask('opaque-1')).toBe('ok')
    await made.clock.advance(34_999)
    expect(await made.ask('opaque-1')).toBe('ok')
    await made.clock.advance(1)
    expect(await made.ask('opaque-1')).toBe('PST3007 exp')
  })

  it('that is refused is asked about again after five seconds', async () => {
    const made = await room()
    made.answer = () => ({ active: false })
    for (let i = 0; i < 3; i++) expect(await made.ask('opaque-1')).toBe('PST3018 active')
    expect(made.calls).toHaveLength(1)
    await made.clock.advance(5_000)
    made.answer = () => active()
    expect(await made.ask('opaque-1')).toBe('ok')
  })

  it('is shown to the endpoint alone, by a client that names itself', async () => {
    const made = await room()
    await made.ask('opaque-1')
    const [call] = made.calls
    expect(call).toMatchObject({
      url: endpoint,
      method: 'POST',
      maxBytes: 65_536,
      headers: { authorization: `Basic ${btoa('postern:s3cret')}` },
    })
    expect(Object.fromEntries(new URLSearchParams(call?.body))).toEqual({ token: 'opaque-1', token_type_hint: 'access_token' })
    expect(JSON.stringify(made.log.lines)).not.toMatch(/opaque-1|s3cret/)
  })

  it('asked about by many at once is asked about once, and everyone gets that answer', async () => {
    const made = await room()
    const gate = Promise.withResolvers<Json>()
    made.answer = () => gate.promise
    const waiting = Array.from({ length: 20 }, () => made.ask('opaque-1'))
    await until(() => made.calls.length === 1)
    gate.resolve(active())
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['ok']))
    expect(made.calls).toHaveLength(1)
  })

  it('T36: shares no call with another token', async () => {
    const made = await room()
    made.answer = token => active({ sub: token })
    const both = await Promise.all(['opaque-1', 'opaque-2'].map(token => made.identifier.identify(`Bearer ${token}`)))
    expect(both).toMatchObject([{ subject: 'opaque-1' }, { subject: 'opaque-2' }])
  })

  it('past the calls that may be under way is 503 at once, and no call', async () => {
    const made = await room(undefined, { introspectionCalls: 2 })
    const gate = Promise.withResolvers<Json>()
    made.answer = () => gate.promise
    const waiting = ['opaque-1', 'opaque-2'].map(token => made.ask(token))
    await until(() => made.calls.length === 2)
    expect(await made.ask('opaque-3')).toContain('PST3101')
    gate.resolve(active())
    expect(await Promise.all(waiting)).toEqual(['ok', 'ok'])
    expect(made.calls).toHaveLength(2)
  })

  it('answers are bounded: the oldest is asked about again, and a flood of refused ones pushes out nobody', async () => {
    const made = await room(undefined, { introspectionEntries: 2, failureEntries: 2 })
    for (const token of ['opaque-1', 'opaque-2']) await made.ask(token)
    made.answer = () => ({ active: false })
    for (let i = 0; i < 10; i++) await made.ask(`made-up-${i}`)
    const before = made.calls.length
    for (const token of ['opaque-1', 'opaque-2']) expect(await made.ask(token)).toBe('ok')
    expect(made.calls).toHaveLength(before)
    made.answer = () => active()
    await made.ask('opaque-3')
    await made.ask('opaque-1')
    expect(made.calls).toHaveLength(before + 2)
  })

  it.each(['', 'a b', 'a,b', 'ä', 'a\u0000', 'x'.repeat(4097), 'a.b.c', '='])('spelled %j is no token and is never sent', async token => {
    const made = await room()
    expect(await made.ask(token)).toMatch(/^PST3002/)
    expect(made.calls).toHaveLength(0)
  })

  it('is refused where no issuer is asked, as ever', async () => {
    const made = await room([settingsFor(issuer)])
    expect(await made.ask('opaque-1')).toBe('PST3002 not a compact JWS')
  })

  it('T23: is never shown to an issuer that is not named for its host, nor answered from what another one said', async () => {
    const other = 'https://other.example.com'
    const made = await room([
      introspected(issuer, 's3cret', { hosts: ['a.example.com'] }),
      introspected(other, 's3cret', { hosts: ['b.example.com'] }),
      settingsFor('https://third.example.com'),
    ])
    made.answer = () => active()
    expect(await made.ask('opaque-1', 'a.example.com')).toBe('ok')
    expect(await made.ask('opaque-1', 'c.example.com')).toBe('PST3002 not a compact JWS')
    expect(made.calls.map(({ url }) => url)).toEqual([endpoint])
    made.answer = () => ({ active: false })
    expect(await made.ask('opaque-1', 'b.example.com')).toBe('PST3018 active')
    expect(made.calls.map(({ url }) => url)).toEqual([endpoint, `${other}/introspect`])
  })

  it('T23: is asked about anew when endpoint, client or secret change, and not when nothing does', async () => {
    const made = await room()
    await made.ask('opaque-1')
    made.identifier.configure([introspected(issuer, 's3cret')])
    await made.ask('opaque-1')
    expect(made.calls).toHaveLength(1)
    for (const settings of [
      introspected(issuer, 's3cret', { endpoint: `${issuer}/other` }),
      introspected(issuer, 's3cret', { 'client-id': 'another' }),
      introspected(issuer, 'another'),
    ]) {
      const before = made.calls.length
      made.identifier.configure([settings])
      await made.ask('opaque-1')
      expect(made.calls).toHaveLength(before + 1)
    }
  })

  it('T30: asked about during a reload is judged by what then holds', async () => {
    const made = await room()
    const gate = Promise.withResolvers<Json>()
    made.answer = () => gate.promise
    const waiting = made.ask('opaque-1')
    await until(() => made.calls.length === 1)
    made.identifier.configure([introspected(issuer, 's3cret', {}, { audiences: ['elsewhere'] })])
    gate.resolve(active())
    expect(await waiting).toBe('PST3009 aud')
  })
})

describe('a provider that does not answer', () => {
  it('is 503 and never a no, with the cause in the status and one line in the log', async () => {
    const made = await room()
    made.answer = () => new Error('connect ECONNREFUSED')
    for (let i = 0; i < 3; i++)
      expect(await made.ask('opaque-1')).toContain('PST3101 https://login.example.com: introspection: connect ECONNREFUSED')
    expect(made.identifier.status()[0]?.introspectionError).toBe('connect ECONNREFUSED')
    expect(made.log.lines.filter(({ level, message }) => level === 'warn' && message === 'introspection failed')).toHaveLength(1)
    made.answer = () => active()
    expect(await made.ask('opaque-1')).toBe('ok')
    expect(made.identifier.status()[0]?.introspectionError).toBeNull()
  })

  it('refuses nobody whose answer still holds', async () => {
    const made = await room()
    expect(await made.ask('opaque-1')).toBe('ok')
    made.answer = () => new Error('connect ECONNREFUSED')
    expect(await made.ask('opaque-1')).toBe('ok')
    expect(await made.ask('opaque-2')).toContain('PST3101')
  })

  it.each<[string, unknown, RegExp]>([
    ['a list', '[]', /PST3101/],
    ['a member twice', `{"active":true,"active":true,"sub":"a","sub":"b"}`, /PST3101 .* a member stands twice/],
    ['HTML', '<html>', /PST3101/],
  ])('but with %s is 503', async (_, body, refusal) => {
    const made = await room()
    made.answer = () => body as string
    expect(await made.ask('opaque-1')).toMatch(refusal)
  })
})

describe('the log about tokens that are not active', () => {
  it('names the second meaning, once a minute, with their number', async () => {
    const made = await room()
    made.answer = () => ({ active: false })
    for (let i = 0; i < 5; i++) await made.ask(`opaque-${i}`)
    const said = () => made.log.lines.filter(({ message }) => message.includes('not in their audience (aud)'))
    expect(said()).toMatchObject([{ level: 'warn', issuer, client: 'postern', tokens: 1 }])
    await made.clock.advance(60_000)
    await made.ask('opaque-9')
    expect(said()).toMatchObject([{ tokens: 1 }, { tokens: 5 }])
  })
})

describe('when: always', () => {
  const always = () => introspected(issuer, 's3cret', { when: 'always', 'cache-for': 10_000 })
  const jwt = (made: Bench, changes: Json = {}, signing = key) => tokenOf(signing, claimsAt(made.clock.now(), issuer, changes))

  it('a JWT ends when it is revoked, within cache-for', async () => {
    const made = await room([always()])
    const token = jwt(made)
    expect(await made.ask(token)).toBe('ok')
    made.answer = () => ({ active: false })
    await made.clock.advance(9_999)
    expect(await made.ask(token)).toBe('ok')
    await made.clock.advance(1)
    expect(await made.ask(token)).toBe('PST3018 active')
    expect(made.calls).toHaveLength(2)
  })

  it('a known JWT is answered synchronously', async () => {
    const made = await room([always()])
    const token = jwt(made)
    await made.ask(token)
    expect(made.identifier.identify(`Bearer ${token}`)).toMatchObject({ subject: 'anna' })
  })

  it('a JWT that does not verify is never sent', async () => {
    const made = await room([always()])
    expect(await made.ask(jwt(made, {}, makeKey('ES256', 'one')))).toMatch(/^PST3006/)
    expect(await made.ask(jwt(made, { aud: 'x' }))).toMatch(/^PST3009/)
    expect(made.calls).toHaveLength(0)
  })

  it('a provider that does not answer is 503 also for a JWT that verifies, and is asked again', async () => {
    const made = await room([always()])
    made.answer = () => new Error('down')
    const token = jwt(made)
    expect(await made.ask(token)).toContain('PST3101')
    made.answer = () => active()
    expect(await made.ask(token)).toBe('ok')
  })

  it('a JWT asked about during a reload is judged by what then holds', async () => {
    const made = await room([always()])
    const gate = Promise.withResolvers<Json>()
    made.answer = () => gate.promise
    const waiting = made.ask(jwt(made))
    await until(() => made.calls.length === 1)
    made.identifier.configure([settingsFor(issuer, { audiences: ['elsewhere'] })])
    gate.resolve(active())
    await settle()
    expect(await waiting).toBe('PST3009 aud')
  })

  it('opaque alone leaves JWTs unasked', async () => {
    const made = await room()
    expect(await made.ask(jwt(made))).toBe('ok')
    expect(made.calls).toHaveLength(0)
  })
})
