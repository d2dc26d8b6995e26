import crypto, { generateKeyPairSync, randomBytes } from 'node:crypto'
import { rename, rm, stat } from 'node:fs/promises'

import { request } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type Door, type DoorOptions, openDoor } from '../support/door.ts'
import { gatewaySecret, sendRaw, startFrom, tenantPolicy, writeInstallation } from '../support/postern.ts'

/** Rows T34 to T41 of the published advisories: what fails open, leaks, or lets itself be administered. */
const role = 'acme_ro'
const pem = (): string => String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
const files = {
  'second.secret': `${randomBytes(32).toString('hex')}\n`,
  'client.secret': 'client-secret-of-the-test\n',
  'nonce.key': randomBytes(32).toString('hex'),
  'hash.key': randomBytes(32).toString('hex'),
  'bearer.secret': randomBytes(32).toString('hex'),
  'assertion.pem': pem(),
  'credentials.json': JSON.stringify({ [role]: { username: 'login', password: 'a-password-that-nobody-guesses' } }),
}
const everything = (issuer: string, port: number) => ({
  gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret, second.secret] }',
  issuers: `issuers: [{ issuer: "${issuer}", audiences: [postern-demo], allow-http-loopback: true, introspection: { client-id: postern, client-secret-file: client.secret } }]`,
  upstreams: `upstreams: { api: { url: "http://127.0.0.1:${port}", delivery: header, assertion: api } }`,
  assertion: 'assertion: { issuer: "https://postern.example.com", key-files: [assertion.pem] }',
  dpop: 'dpop: { nonce: true, nonce-key-file: nonce.key }',
  credentials: `credentials: { provider: file, credentials-file: credentials.json, endpoint: { listen: "127.0.0.1:0", bearers: [{ token-file: bearer.secret, roles: [${role}] }] } }`,
  audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem, hash-key-files: [hash.key] }',
  limits: 'limits: { max-body: 1KiB }',
})
const policies = (issuer: string) => ({
  'acme.policy.yaml': tenantPolicy(
    'acme',
    issuer,
    `  - { deny: private, why: Private., who: anyone, to: ANY /v1/private }
  - { allow: all, why: All., who: staff, to: ANY /v1/**, then: { cassandra-role: ${role} } }`,
  ),
})
const whole: DoorOptions = { policies, sections: (port, issuer) => everything(issuer, port), files }

let door: Door
beforeAll(async () => {
  door = await openDoor(whole)
})
afterAll(() => door.stop())
beforeEach(() => {
  door.backend.seen.length = 0
  door.backend.answer = (_req, res) => res.writeHead(200).end('hello')
})

/** Without any of these nothing would be proved, signed, decided or recorded as the configuration says. */
const inputs = [
  'gateway.secret',
  'second.secret',
  'client.secret',
  'nonce.key',
  'hash.key',
  'bearer.secret',
  'assertion.pem',
  'audit.pem',
  'policies',
  'policies/_platform.policy.yaml',
  'proxy.config.yaml',
]

describe('T34: a file that is gone', () => {
  it.each([...inputs, 'credentials.json'])('keeps the process from starting: %s', async name => {
    const config = await writeInstallation({
      issuer: door.issuer,
      upstreamPort: 1,
      policies: policies(door.issuer),
      sections: everything(door.issuer, 1),
      files,
    })
    await rm(join(dirname(config), name), { recursive: true })
    const started = await startFrom(config)
    if ('app' in started) await started.stop()
    else await rm(dirname(config), { recursive: true })
    expect('app' in started ? 'started' : started.map(({ severity }) => severity)).toContain('error')
  })

  it.each(inputs)('at a reload changes nothing but what is said: %s', async name => {
    const path = join(door.postern.dir, name)
    const put = async (): Promise<void> => rename(`${path}.gone`, path)
    await rename(path, `${path}.gone`)
    try {
      // The audit keeps the key that it opened.
      const result = await door.postern.app.reload({ by: 'test', withoutTests: false, why: '' })
      if (name !== 'audit.pem') expect(result).toMatchObject({ refused: true })
      expect((await door.postern.call('/v1/x', { token: door.token() })).status).toBe(200)
      expect((await door.postern.call('/v1/private', { token: door.token() })).status).toBe(403)
      expect((await door.postern.call('/v1/x', { token: door.token(), proof: 'x'.repeat(54) })).status).toBe(403)
      expect((await door.postern.call('/v1/x', { token: door.token({ groups: [] }) })).status).toBe(403)
    } finally {
      await put()
      await door.postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    }
  })
})

describe('T35: refusals side by side', () => {
  it('say nothing of one another, and nothing of any token', async () => {
    const kinds = [
      (i: number) => ({ token: door.token({ sub: `person-${i}`, exp: 1 }) }),
      (i: number) => ({ token: door.token({ sub: `person-${i}`, groups: [`group-${i}`] }) }),
      (i: number) => ({ token: door.token({ sub: `person-${i}`, iss: `https://issuer-${i}.example` }) }),
      (i: number) => ({ token: door.token({ sub: `person-${i}`, aud: `audience-${i}` }) }),
      (i: number) => ({ token: door.token({ sub: `person-${i}`, tenant: `tenant-${i}` }) }),
      (i: number) => ({ token: door.token({ sub: `person-${i}` }), proof: `${i}`.repeat(54) }),
      (i: number) => ({ token: door.token({ sub: `person-${i}` }, { kid: `key-${i}` }) }),
    ]
    const all = [...Array(140).keys()].map(i => door.postern.call(`/v1/private?q=${i}`, (kinds[i % kinds.length] ?? (() => ({})))(i)))
    const ids = new Set<string>()
    for (const { status, body, headers } of await Promise.all(all)) {
      expect([401, 403, 503]).toContain(status)
      const told = JSON.parse(body) as Record<string, unknown>
      expect(Object.keys(told)).toEqual(['title', 'status', 'code', 'request_id'])
      expect(told['request_id']).toBe(headers['x-postern-request-id'])
      expect(body + JSON.stringify(headers)).not.toMatch(/person|group|issuer|audience|tenant-|key-|private/)
      ids.add(String(told['request_id']))
    }
    expect(ids.size).toBe(140)
    expect(door.backend.seen).toEqual([])
  })
})

describe('T36: a connection', () => {
  it('is never made to go elsewhere by CONNECT, and what follows one is not read', async () => {
    for (const target of ['127.0.0.1:1', 'acme.test:443', '/v1/x', `127.0.0.1:${door.backend.port}`]) {
      const text = await sendRaw(
        door.postern.port,
        `CONNECT ${target} HTTP/1.1\r\nhost: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${door.token()}\r\n\r\nGET /v1/x HTTP/1.1\r\nhost: acme.test\r\n\r\n`,
      )
      expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual([expect.stringMatching(/40[05]$/)])
    }
    expect(door.backend.seen).toEqual([])
  })

  it('to the backend is not one of another backend, though both have one address', async () => {
    const two = (port: number) => ({
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${port}", delivery: header }, bare: { url: "http://127.0.0.1:${port}" } }`,
      routes:
        'routes: [{ name: api, host: acme.test, prefix: /v1, upstream: api }, { name: bare, host: acme.test, prefix: /v1/bare, upstream: bare }]',
      assertion: '',
    })
    const rules = (issuer: string) => ({
      'acme.policy.yaml': tenantPolicy(
        'acme',
        issuer,
        `  - { allow: bare, why: All., who: staff, to: ANY /v1/bare/** }
  - { allow: all, why: All., who: staff, to: ANY /v1/api/**, then: { cassandra-role: ${role} } }`,
      ),
    })
    const own = await openDoor({ policies: rules, files, sections: (port, issuer) => ({ ...everything(issuer, port), ...two(port) }) })
    onTestFinished(() => own.stop())
    const ports = new Map<string, Set<number | undefined>>()
    own.backend.answer = (req, res) => {
      const kind = req.url?.startsWith('/v1/bare') ? 'bare' : 'api'
      ports.set(kind, (ports.get(kind) ?? new Set()).add(req.socket.remotePort))
      res.end(String(req.headers['x-postern-cassandra-username']))
    }
    for (let i = 0; i < 5; i++) {
      expect((await own.postern.call('/v1/api/x', { token: own.token() })).body).toBe('login')
      expect((await own.postern.call('/v1/bare/x', { token: own.token() })).body).toBe('undefined')
    }
    expect([...(ports.get('bare') ?? [])].filter(port => ports.get('api')?.has(port))).toEqual([])
  })
})

describe('T37: a token, a cookie or a secret', () => {
  it('stands in no answer of our own, and goes to nobody but the backend that it is for', async () => {
    const token = door.token()
    const cookie = 'session=a-cookie-that-is-secret'
    const asked = (path: string, changes = {}) =>
      door.postern.call(path, { token, ...changes, headers: { cookie, ...('headers' in changes ? (changes.headers as object) : {}) } })
    const answers = [
      await asked('/v1/private'),
      await asked('/v2/nowhere'),
      await asked('/v1/../x'),
      await asked('/v1/x', { method: 'TRACE' }),
      await asked('/v1/x', { token: `${token.slice(0, -4)}AAAA` }),
      await asked('/v1/x', { proof: token }),
      await asked('/v1/x', { method: 'POST', body: 'x'.repeat(2_000) }),
      await asked('/v1/x', { headers: { expect: token } }),
    ]
    door.backend.answer = (_req, res) => res.destroy()
    answers.push(await asked('/v1/x'))
    expect(answers.map(({ status }) => status)).toEqual([403, 404, 400, 405, 401, 403, 413, 417, 502])
    const secrets = [token, token.split('.')[2] ?? '', 'a-cookie-that', gatewaySecret, ...Object.values(files).map(text => text.trim())]
    for (const { body, headers } of answers) for (const secret of secrets) expect(`${body}${JSON.stringify(headers)}`).not.toContain(secret)
    expect(door.backend.seen.map(({ headers }) => [headers.authorization, headers.cookie])).toEqual([[undefined, cookie]])
  })
})

describe('T38: a body', () => {
  it('has a bound, stated or not: of a client, and it does not reach the backend', async () => {
    expect((await door.postern.call('/v1/x', { token: door.token(), method: 'POST', body: 'x'.repeat(1_025) })).status).toBe(413)
    const chunks = { method: 'POST', body: 'x'.repeat(5_000), headers: { 'transfer-encoding': 'chunked' } }
    expect((await door.postern.call('/v1/x', { token: door.token(), ...chunks })).status).toBe(413)
    expect(door.backend.seen).toEqual([])
  })
})

describe('T39: the listener for probes and metrics', () => {
  const at = (
    path: string,
    method: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; headers: object; body: string }> =>
    new Promise((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port: door.postern.opsPort, path, method, headers }, res => {
        let body = ''
        res.on('data', (chunk: Buffer) => {
          body += chunk.toString()
        })
        res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body }))
      })
      req.on('error', reject)
      req.end()
    })

  it('answers GET and changes nothing: no act of the control socket has a path, whoever asks from wherever', async () => {
    const acts = () => door.postern.records().filter(({ kind }) => kind !== 'exchange' && kind !== 'refusals').length
    const before = acts()
    for (const path of ['/livez', '/readyz', '/metrics', '/reload', '/config', '/drain', '/deny', '/'])
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])
        expect((await at(path, method)).status, `${method} ${path}`).toBe(405)
    const none = [
      '/',
      '/reload',
      '/config',
      '/config/',
      '/load',
      '/drain',
      '/deny',
      '/rollback',
      '/credentials',
      '/debug/pprof',
      '/metrics/',
      '/metrics/../config',
      '/livez/x',
      '//metrics',
    ]
    for (const path of none) expect((await at(path, 'GET')).status, path).toBe(404)
    for (const path of ['/livez', '/readyz', '/metrics', '/.well-known/jwks.json']) {
      const { headers } = await at(path, 'GET', { origin: 'https://evil.example', host: 'rebound.example' })
      expect(Object.keys(headers).filter(name => name.startsWith('access-control'))).toEqual([])
    }
    expect(acts()).toBe(before)
  })

  it('is not the one for traffic, nor the other way round; and acts are asked for by a socket of the same user alone', async () => {
    for (const path of ['/metrics', '/readyz', '/.well-known/jwks.json'])
      expect((await door.postern.call(path, { token: door.token() })).status).toBe(404)
    expect((await at('/v1/x', 'GET', { authorization: `Bearer ${door.token()}`, 'x-postern-gateway-proof': gatewaySecret })).status).toBe(
      404,
    )
    const { mode } = await stat(join(door.postern.dir, 'state'))
    expect(mode & 0o077).toBe(0)
    expect(door.backend.seen).toEqual([])
  })
})

describe('T41: a secret', () => {
  it('is compared in constant time, with every one that is accepted, however much of it was guessed', async () => {
    const real = crypto.timingSafeEqual
    let compared = 0
    crypto.timingSafeEqual = (a, b) => {
      compared++
      return real(a, b)
    }
    syncBuiltinESMExports()
    onTestFinished(() => {
      crypto.timingSafeEqual = real
      syncBuiltinESMExports()
    })
    const own = await openDoor({
      sections: () => ({ gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret, same-length.secret] }' }),
      files: { 'same-length.secret': 'b'.repeat(gatewaySecret.length) },
    })
    onTestFinished(() => own.stop())
    const cost = async (proof: string) => {
      compared = 0
      const { status } = await own.postern.call('/v1/x', { proof })
      return [status, compared]
    }
    const wrong = (right: number): string => gatewaySecret.slice(0, right) + 'x'.repeat(gatewaySecret.length - right)
    for (const right of [0, 1, 20, gatewaySecret.length - 1]) expect(await cost(wrong(right))).toEqual([403, 2])
    expect(await cost(gatewaySecret)).toEqual([401, 2])
    expect(await cost('b'.repeat(gatewaySecret.length))).toEqual([401, 2])
  })
})
