import { randomBytes } from 'node:crypto'
import { CompactEncrypt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { chance } from '../support/chance.ts'
import { type Door, openDoor } from '../support/door.ts'
import { claimsAt, forge, hmacSigner, type Json, makeKey, openGate, serve, settingsFor, signerOf, tokenOf } from '../support/issuer.ts'

/** Rows T20 to T36 of the published advisories that are about what is shown as a token. */
const policies = (issuer: string) => ({
  'acme.policy.yaml': `postern: policy/v1
tenant: acme
owners: [o@example.com]
recognise: { host: acme.test, issuer: "${issuer}", audience: postern-demo, claims: { tenant: acme } }
claims: { groups: list<string>, email: string? }
who: { staff: { groups: [staff] }, named: { claims: { email: [a@good.com] } } }
rules:
  - allow: domain
    why: Of good.com.
    who: anyone
    to: ANY /v1/domain
    when: { check: "has(claims.email) && re(claims.email, '[a-z.]+@good[.]com')" }
  - { allow: named, why: Named., who: named, to: ANY /v1/named }
  - { allow: staff, why: Staff., who: staff, to: ANY /v1/x/** }
`,
})
const sections = (port: number) => ({
  upstreams: `upstreams: { api: { url: "http://127.0.0.1:${port}", identity-headers: { x-user-email: email } } }`,
})

let door: Door
beforeAll(async () => {
  door = await openDoor({ policies, sections })
})
afterAll(() => door.stop())
beforeEach(() => {
  door.backend.seen.length = 0
})
const status = async (token: string, path = '/v1/x/a'): Promise<number> => (await door.postern.call(path, { token })).status

describe('a token', () => {
  it('T20: is verified by the algorithm of the key, whatever its header says', async () => {
    const { key } = door
    const claims = claimsAt(Date.now(), door.issuer, { aud: 'postern-demo', tenant: 'acme', groups: ['staff'] })
    expect(await status(tokenOf(key, claims))).toBe(200)
    const published = [
      key.publicKey.export({ type: 'spki', format: 'pem' }),
      key.publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(key.jwk),
      JSON.stringify({ keys: [key.jwk] }),
      Buffer.from(String(key.jwk['x']), 'base64url'),
      '',
    ]
    for (const secret of published)
      for (const alg of ['HS256', 'HS384', 'HS512', 'hs256'])
        expect(await status(forge({ alg, typ: 'at+jwt', kid: key.kid }, claims, hmacSigner(secret)))).toBe(401)
    const signed = signerOf(key)
    for (const alg of [
      'none',
      'None',
      '',
      'ES256 ',
      'es256',
      'RS256',
      'PS256',
      'EdDSA',
      'ES384',
      'ES512',
      'ES256K',
      'Ed25519',
      'dir',
      'A128KW',
    ])
      for (const signer of [signed, () => ''])
        expect(await status(forge({ alg, typ: 'at+jwt', kid: key.kid }, claims, signer)), alg).toBe(401)
    expect(door.backend.seen).toHaveLength(1)
  })

  it('T24: is somebody because it verifies, not because it is there', async () => {
    const words = ['x', 'null', 'undefined', 'true', '0', '{}', 'e30.e30.', 'e30.e30.e30', 'a.b.c', '..', '...', 'Bearer', '%00', '*']
    for (const word of [...words, randomBytes(64).toString('hex'), randomBytes(300).toString('base64url')])
      expect(await status(word), word).toBe(401)
    for (const authorization of ['Bearer', 'Bearer ', 'bearer  ', 'Basic YTpi', 'DPoP x', 'Bearer x y', 'Negotiate x', 'token x'])
      expect((await door.postern.call('/v1/x/a', { headers: { authorization } })).status, authorization).toBe(401)
    expect(door.backend.seen).toEqual([])
  })

  it('T26: stands once, also while nobody can say who signed it, and nothing that is sent then brings the process down', async () => {
    const nobody = 'http://127.0.0.1:1'
    const issuers = `issuers: [{ issuer: "${nobody}", audiences: [postern-demo], allow-http-loopback: true }]`
    const down = await openDoor({ policies: () => policies(nobody), sections: port => ({ ...sections(port), issuers }) })
    onTestFinished(() => down.stop())
    const good = down.token({ iss: nobody })
    const statusOf = (reply: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(reply)?.[1])
    const twice = (first: string, second: string) => down.raw('/v1/x/a', [`authorization: ${first}`, `Authorization: ${second}`])
    for (const [first, second] of [
      [`Bearer ${good}`, `Bearer ${good}`],
      ['Bearer', `Bearer ${good}`],
      [`Bearer ${good}`, ''],
      ['Basic a', 'DPoP b'],
    ] as const)
      expect(statusOf(await twice(first, second))).toBe(400)
    const seed = Number(process.env['SEED'] ?? 26)
    const { pick, below, maybe } = chance(seed)
    const pieces = [
      'Bearer ',
      'DPoP ',
      'bearer\t',
      good,
      ...good.split('.'),
      '.',
      '..',
      ' ',
      ',',
      '=',
      '\u00ff',
      '"',
      'e30',
      '{}',
      '%00',
      'Basic ',
      '~',
      '+/',
    ]
    const found: string[] = []
    for (let i = 0; i < 300; i++) {
      const value = Array.from({ length: 1 + below(5) }, () => pick(pieces)).join('')
      const fields = [
        `authorization: ${value}`,
        ...(maybe(10) ? [`authorization: ${pick(pieces)}`] : []),
        ...(maybe(20) ? [`dpop: ${pick(pieces)}`] : []),
      ]
      const got = statusOf(await down.raw('/v1/x/a', fields))
      if (![400, 401, 503].includes(got)) found.push(`${got} ${fields.join(' | ')}`)
    }
    expect(found, `SEED=${seed}`).toEqual([])
    expect(down.backend.seen).toEqual([])
    expect((await down.postern.call('/v1/x/a', { token: good })).status).toBe(503)
    expect(down.postern.log()).not.toContain('"level":"error"')
  })

  it('T28: of another purpose is none: an assertion of our own, a logout, an ID token, an encrypted one', async () => {
    for (const typ of [
      'postern-assertion+jwt',
      'logout+jwt',
      'dpop+jwt',
      'postern-credential+jwt',
      'secevent+jwt',
      'token-introspection+jwt',
      'JWT',
      'at+jwt+x',
      '',
    ])
      expect(await status(door.token({}, { typ })), typ).toBe(401)
    expect(await status(door.token({}, { typ: undefined }))).toBe(401)
    expect(await status(door.token({ events: {} }))).toBe(401)
    expect(await status(door.token({ aud: 'orders.internal' }))).toBe(401)
    expect(await status(door.token({ aud: ['orders.internal', 'postern-demo'] }))).toBe(200)
  })

  it('T29: says one thing: an address with two @, a look-alike, a list where a text was declared', async () => {
    const on = (email: unknown, path: string) => status(door.token({ email, groups: [] }), path)
    for (const path of ['/v1/domain', '/v1/named']) {
      expect(await on('a@good.com', path)).toBe(200)
      const odd = [
        'a@evil@good.com',
        'a@good.com@evil.com',
        'a@good.com\u0000@evil.com',
        'a@good.com ',
        ' a@good.com',
        'a@GOOD.com',
        'a@good.com.',
      ]
      odd.push('a@goodXcom', '@good.com', 'a\uff20good.com', 'a@go\u043ed.com', 'a@good\u3002com', 'a@good.com\n', '"a@good.com"@evil.com')
      for (const email of [...odd, ['a@good.com'], ['a@evil.com', 'a@good.com'], { value: 'a@good.com' }, 7, true, null, ''])
        expect(await on(email, path), JSON.stringify(email)).toBe(403)
    }
    // Nor does the backend read it otherwise: what has a second reading is escaped.
    door.backend.seen.length = 0
    await status(door.token({ email: 'a@evil@good.com,b@good.com\u3002' }))
    expect(door.backend.seen[0]?.headers['x-user-email']).toBe('a@evil@good.com%2Cb@good.com%E3%80%82')
  })

  it('T32: that nobody vouched for becomes no field and no decision, in no mode', async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString()
    const observing = (issuer: string) => ({
      'acme.policy.yaml': policies(issuer)['acme.policy.yaml'].replace('owners:', `mode: { observe-until: "${until}" }\nowners:`),
    })
    const direct = { gateway: 'gateway: { proof: [none-accept-direct-traffic] }' }
    const open = await openDoor({ policies: observing, sections: port => ({ ...sections(port), ...direct }) })
    onTestFinished(() => open.stop())
    const bad = [
      open.token({ exp: 1 }),
      `${open.token().slice(0, -4)}AAAA`,
      forge(
        { alg: 'none', typ: 'at+jwt' },
        claimsAt(Date.now(), open.issuer, { aud: 'postern-demo', tenant: 'acme', email: 'a@good.com' }),
        () => '',
      ),
      tokenOf(makeKey('ES256', 'door'), claimsAt(Date.now(), open.issuer, { aud: 'postern-demo', tenant: 'acme', email: 'a@good.com' })),
    ]
    for (const token of bad) expect((await open.postern.call('/v1/x/a', { token, headers: { host: 'acme.test' } })).status).toBe(401)
    expect((await open.postern.call('/v1/x/a', { headers: { host: 'acme.test' } })).status).toBe(401)
    expect(open.backend.seen).toEqual([])
    expect((await open.postern.call('/v1/none', { token: open.token(), headers: { host: 'acme.test' } })).status).toBe(200)
  })

  it('T33: that cannot be read is refused, by every reader on the way', async () => {
    const jwe = await new CompactEncrypt(Buffer.from(JSON.stringify(claimsAt(Date.now(), door.issuer))))
      .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', typ: 'at+jwt', kid: door.key.kid })
      .encrypt(door.key.publicKey)
    const [head = '', body = '', signature = ''] = door.token().split('.')
    const text = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const nested = `${text({ alg: 'ES256', typ: 'at+jwt', kid: 'door', cty: 'JWT' })}.${Buffer.from(door.token()).toString('base64url')}.${signature}`
    for (const token of [
      jwe,
      nested,
      `${head}.${body}.${signature}.${signature}.`,
      `${head}..${signature}`,
      `.${body}.${signature}`,
      `${head}.${body}`,
    ])
      expect(await status(token)).toBe(401)
    for (const claims of [
      { exp: 'soon' },
      { exp: {} },
      { exp: -1 },
      { nbf: '0' },
      { iat: [] },
      { sub: {} },
      { aud: [[]] },
      { cnf: 'x' },
      { cnf: { jwk: {} } },
      { act: [] },
      { scope: 7 },
    ])
      expect(await status(door.token(claims)), JSON.stringify(claims)).toBe(401)
    expect(door.backend.seen).toEqual([])
  })

  it('T36: fetches its key together with others, and still is only itself', async () => {
    const held = Promise.withResolvers<void>()
    const key = makeKey('ES256', 'one')
    const provider = await serve((request, response) => {
      const answer = (body: Json) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
      if (request.url === '/jwks') void held.promise.then(() => answer({ keys: [key.jwk] }))
      else answer({ issuer: provider.url, jwks_uri: `${provider.url}/jwks` })
    })
    onTestFinished(() => provider.stop())
    const { identifier, asked } = openGate([settingsFor(provider.url)])
    onTestFinished(() => identifier.close())
    const subjects = [...Array(60).keys()].map(i => `u${i}`)
    const waiting = subjects.map(sub => identifier.identify(`Bearer ${tokenOf(key, claimsAt(Date.now(), provider.url, { sub }))}`))
    held.resolve()
    expect(await Promise.all(waiting)).toMatchObject(subjects.map(subject => ({ subject })))
    expect(asked).toHaveLength(2)
  })

  it('T36: is who it is up to the backend, in a crowd on few connections', async () => {
    const call = (i: number) => door.postern.call(`/v1/x/u${i}`, { token: door.token({ sub: `u${i}`, ...(i % 3 === 2 && { exp: 1 }) }) })
    const replies = await Promise.all([...Array(60).keys()].map(call))
    expect(replies.map(reply => reply.status)).toEqual([...Array(60).keys()].map(i => (i % 3 === 2 ? 401 : 200)))
    expect(door.backend.seen).toHaveLength(40)
    for (const { url, headers } of door.backend.seen) expect(url).toBe(`/v1/x/${headers['x-postern-subject']}`)
  })
})
