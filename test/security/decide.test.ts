import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { type ClientRequestArgs, request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { main } from '../../cmd/main.ts'
import { clientKey, proofOf } from '../support/dpop.ts'
import { claimsAt, type Json, makeKey, serve, type TestServer, tokenOf } from '../support/issuer.ts'
import {
  platformPolicy,
  type Recorder,
  type Reply,
  sendRaw,
  startPostern,
  startRecorder,
  type TestPostern,
  tenantPolicy,
} from '../support/postern.ts'
import { testCertificate } from '../support/tls.ts'

/** The decision API, asked as nginx, Traefik, Caddy and Envoy ask, and as those who sit behind or beside them would. */
const signing = makeKey('ES256', 'one')
const role = 'acme_orders_ro'
let issuer: TestServer
let backend: Recorder
let ann: string

beforeAll(async () => {
  issuer = await serve((req, res) => {
    const body = req.url === '/jwks' ? { keys: [signing.jwk] } : { issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` }
    res.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  backend = await startRecorder()
  ann = token({ email: 'ann@acme.test' })
})
afterAll(async () => {
  await backend.close()
  await issuer.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const token = (claims: Json = {}): string =>
  tokenOf(signing, claimsAt(Date.now(), issuer.url, { sub: 'ann b', aud: 'postern-demo', tenant: 'acme', groups: ['staff'], ...claims }))

type Style = 'x-forwarded' | 'x-original-url' | 'x-original-uri' | 'path'
interface Options {
  readonly decide?: string
  readonly rules?: string
  readonly sections?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
}
const section = (original: Style, more = '', peers = '[127.0.0.0/8]'): string =>
  `decide: { listen: "127.0.0.1:0", peers: ${peers}, original: ${original}${more} }`
const everybody = '  - { allow: all, why: Staff may do all., who: staff, to: ANY /v1/** }'
const policyOf = (rules: string): string => tenantPolicy('acme', issuer.url, rules)
const start = async (original: Style, options: Options = {}): Promise<TestPostern> => {
  const postern = await startPostern({
    issuer: issuer.url,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': policyOf(options.rules ?? everybody), 'globex.policy.yaml': tenantPolicy('globex', issuer.url) },
    sections: {
      decide: options.decide ?? section(original),
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", deadline: 2s, identity-headers: { x-user-email: email, x-user-team: team } } }`,
      ...options.sections,
    },
    ...(options.files ? { files: options.files } : {}),
  })
  onTestFinished(() => postern.stop())
  return postern
}

type Fields = Readonly<Record<string, string | readonly string[]>>
/** What another proxy sends to ask. `undefined` leaves a field out. */
const send = (at: Pick<ClientRequestArgs, 'port' | 'socketPath'>, path: string, method: string, fields: Fields): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const headers = fields as Record<string, string | string[]>
    const req = request({ host: '127.0.0.1', ...at, path, method, headers, agent: false }, res => {
      let body = ''
      res.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body }))
    })
    req.on('error', reject)
    req.end()
  })
const portOf = ({ app }: TestPostern): number => (app.decide !== null && 'port' in app.decide ? app.decide.port : expect.fail('no port'))
const bearer = (value = ann) => ({ authorization: `Bearer ${value}` })
const forwarded = (uri: string, method = 'GET', host = 'acme.test'): Fields => ({
  'x-forwarded-method': method,
  'x-forwarded-host': host,
  'x-forwarded-uri': uri,
})
const ask = (postern: TestPostern, uri: string, more: Fields = bearer(), method = 'GET'): Promise<Reply> =>
  send({ port: portOf(postern) }, '/decide', 'GET', { ...forwarded(uri, method), ...more })
const lastRecord = (postern: TestPostern) => expect.poll(() => postern.records().at(-1), { timeout: 5_000 })
const lastReason = (postern: TestPostern) =>
  expect.poll(() => (postern.records().at(-1)?.['decision'] as Json | undefined)?.['reason'], { timeout: 5_000 })

/** The same question in the way of each kind of proxy. */
const questions: Readonly<Record<Style, (method: string, uri: string) => readonly [path: string, method: string, fields: Fields]>> = {
  'x-forwarded': (method, uri) => ['/decide', 'GET', forwarded(uri, method)],
  'x-original-url': (method, uri) => [
    '/decide',
    'GET',
    { 'x-original-method': method, 'x-original-url': `https://acme.test${uri}`, host: 'postern' },
  ],
  'x-original-uri': (method, uri) => ['/decide', 'GET', { 'x-original-method': method, 'x-original-uri': uri, host: 'acme.test' }],
  path: (method, uri) => [`/decide${uri}`, method, { host: 'acme.test', 'content-length': '0' }],
}

describe.each(Object.entries(questions) as [Style, (typeof questions)[Style]][])('another proxy that asks by %s', (style, question) => {
  it('is told who the caller is, no more and no less than a backend, and the record says that it was asked', async () => {
    const postern = await start(style)
    const [path, method, fields] = question('POST', '/v1/orders?limit=5')
    const reply = await send({ port: portOf(postern) }, path, method, { ...fields, ...bearer() })
    expect(reply.status).toBe(200)
    expect(reply.headers).toMatchObject({
      'x-postern-tenant': 'acme',
      'x-postern-subject': 'ann%20b',
      'x-user-email': 'ann@acme.test',
      'x-user-team': '',
      'cache-control': 'no-store',
    })
    expect(reply.body).toBe('')
    await lastRecord(postern).toMatchObject({
      code: 'PST2003',
      tenant: 'acme',
      gateway: { proof: ['decide-peer'] },
      request: { id: reply.headers['x-postern-request-id'], method: 'POST', host: 'acme.test', route: 'acme-v1', path: '/v1/orders' },
      decision: { effect: 'allow', rule: 'all' },
      upstream: null,
      response: { status: 200 },
    })
    expect(backend.seen).toEqual([])
  })

  it('is answered as a client would be: 401, 403, 404', async () => {
    const postern = await start(style, { rules: '  - { allow: read, why: Staff read., who: staff, to: GET /v1/** }' })
    const status = async (method: string, uri: string, fields: Fields) => {
      const [path, asked, own] = question(method, uri)
      return (await send({ port: portOf(postern) }, path, asked, { ...own, ...fields })).status
    }
    expect(await status('GET', '/v1/x', {})).toBe(401)
    expect(await status('GET', '/v1/x', bearer(`${ann.slice(0, -6)}AAAAAA`))).toBe(401)
    expect(await status('DELETE', '/v1/x', bearer())).toBe(403)
    expect(await status('GET', '/v1/x', bearer(token({ tenant: 'globex' })))).toBe(403)
    expect(await status('GET', '/elsewhere', bearer())).toBe(404)
    expect(await status('PROPFIND', '/v1/x', bearer())).toBe(405)
    expect(await status('GET', '/v1/x', bearer())).toBe(200)
  })

  it.each([
    ['a dot segment', '/v1/a/../../admin'],
    ['an escaped dot segment', '/v1/%2e%2e/admin'],
    ['an empty segment', '/v1//x'],
    ['a leading empty segment', '//evil.test/v1/x'],
    ['an escaped slash', '/v1/a%2fb'],
    ['an escaped backslash', '/v1/a%5Cb'],
    ['a doubly escaped dot', '/v1/%252e%252e/admin'],
    ['a parameter', '/v1/x;y=1'],
    ['an escaped control character', '/v1/x%00'],
    ['a fragment', '/v1/x#/admin'],
    ['bytes that are not ASCII', '/v1/\u00e9'],
    ['an escape that needs none', '/v1/%78'],
    ['an escape in lower case', '/v1/%c3%a9'],
  ])('cannot have a path decided that it sends on in another spelling: %s', async (_, uri) => {
    const postern = await start(style)
    const [path, method, fields] = question('GET', uri)
    const reply = await sendRaw(portOf(postern), raw(method, path, { host: 'acme.test', ...fields, ...bearer(), connection: 'close' }))
    expect(reply).toMatch(/^HTTP\/1\.1 400 /)
    await lastRecord(postern).toMatchObject({ decision: { effect: 'deny' } })
  })

  it('does not get an answer for a field that names another method or place, in any spelling', async () => {
    const postern = await start(style)
    const [path, method, fields] = question('GET', '/v1/x')
    const own = Object.keys(fields)
    const foreign = ['x-forwarded-method', 'x-forwarded-uri', 'x-original-method', 'x-original-url', 'x-original-uri', 'x-rewrite-url']
    const override = ['x-http-method-override', 'x-http-method', 'x-method-override', 'x_http_method_override', 'X.Original.URL']
    const speaking = ['x-postern-tenant', 'x_postern_tenant', 'x-postern-subject', 'x-postern-client-ip', 'x-user-email', 'x_user_email']
    for (const name of [...foreign, ...override, ...speaking].filter(name => !own.includes(name))) {
      const reply = await send({ port: portOf(postern) }, path, method, { ...fields, ...bearer(), [name]: '/admin' })
      expect([name, reply.status]).toEqual([name, 400])
    }
    await lastReason(postern).toMatch(/^decide-question-invalid: x.user.email$/)
    await lastRecord(postern).toMatchObject({ gateway: { proof: ['decide-peer'] }, response: { status: 400 } })
  })

  it('does not get an answer where it tells its part twice, or not at all', async () => {
    const postern = await start(style)
    const [path, method, fields] = question('GET', '/v1/x')
    for (const [name, value] of Object.entries(fields)) {
      if (name === 'host' || name === 'content-length') continue
      const { [name]: _, ...without } = fields
      expect((await send({ port: portOf(postern) }, path, method, { ...without, ...bearer() })).status, `without ${name}`).toBe(400)
      const twice = { ...fields, [name]: [String(value), String(value)] }
      expect((await send({ port: portOf(postern) }, path, method, { ...twice, ...bearer() })).status, `twice ${name}`).toBe(400)
    }
    expect((await send({ port: portOf(postern) }, path, method, { ...fields, ...bearer() })).status).toBe(200)
  })
})

const raw = (method: string, path: string, fields: Fields, body = ''): string =>
  `${method} ${path} HTTP/1.1\r\n${Object.entries(fields)
    .map(([name, value]) => `${name}: ${String(value)}\r\n`)
    .join('')}\r\n${body}`

describe('only a configured peer is answered', () => {
  it('everybody else gets 403 for whatever is asked, and a record and a number that say so', async () => {
    const postern = await start('x-forwarded', { decide: section('x-forwarded', '', '[10.0.0.0/8, "fd00::/8"]') })
    for (const more of [bearer(), {}, { ...bearer(), 'x-forwarded-for': '10.0.0.1', 'x-real-ip': '10.0.0.1' }]) {
      const reply = await ask(postern, '/v1/x', more)
      expect(reply.status).toBe(403)
      expect(reply.headers).not.toHaveProperty('x-postern-tenant')
    }
    expect((await send({ port: portOf(postern) }, '/nowhere', 'POST', {})).status).toBe(403)
    await lastRecord(postern).toMatchObject({ code: 'PST1108', gateway: { proof: [], peer: '127.0.0.1' }, caller: { subject: null } })
    const metrics = await (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()
    expect(metrics).toContain('postern_gateway_proof_total{proof="decide-peer",result="wrong"} 4')
  })

  it('on a UNIX socket, whoever may open it', async () => {
    const socketPath = join('/tmp', `postern-decide-${process.pid}.sock`)
    const postern = await start('path', { decide: `decide: { listen: "unix:${socketPath}", original: path }` })
    const reply = await send({ socketPath }, '/decide/v1/x', 'GET', { host: 'acme.test', ...bearer() })
    expect([reply.status, reply.headers['x-postern-tenant']]).toEqual([200, 'acme'])
    await lastRecord(postern).toMatchObject({ code: 'PST2003', gateway: { proof: ['decide-peer'] } })
  })

  it('and by address no longer, nor anybody else, once a reload has moved it to a UNIX socket that waits for a restart', async () => {
    const postern = await start('x-forwarded')
    const { configuration } = postern.app.status() as { readonly configuration: { readonly file: string } }
    const text = await readFile(configuration.file, 'utf8')
    const moved = text.replace(/^decide:.*$/m, `decide: { listen: "unix:${join(postern.dir, 'decide.sock')}", original: x-forwarded }`)
    await writeFile(configuration.file, moved)
    expect((await postern.app.reload({ by: 'test', withoutTests: false, why: '' })).restart).toEqual(['decide.listen'])
    expect((await ask(postern, '/v1/x')).status).toBe(403)
  })

  it('and no longer once a reload has taken it, or the section, away', async () => {
    const postern = await start('x-forwarded')
    const file = postern.app.status() as { readonly configuration: { readonly file: string } }
    const text = await readFile(file.configuration.file, 'utf8')
    const by = { by: 'test', withoutTests: false, why: '' } as const
    expect((await ask(postern, '/v1/x')).status).toBe(200)
    await writeFile(file.configuration.file, text.replace('[127.0.0.0/8]', '[10.0.0.0/8]'))
    await postern.app.reload(by)
    expect((await ask(postern, '/v1/x')).status).toBe(403)
    await writeFile(file.configuration.file, text)
    await postern.app.reload(by)
    expect((await ask(postern, '/v1/x')).status).toBe(200)
    await writeFile(file.configuration.file, text.replace(/^decide:.*$/m, ''))
    const { restart } = await postern.app.reload(by)
    expect(restart).toEqual(['decide'])
    expect((await ask(postern, '/v1/x')).status).toBe(403)
  })
})

describe('what is no question', () => {
  it('is 404 elsewhere and 405 by another method, and decides nothing', async () => {
    const postern = await start('x-forwarded')
    const at = { port: portOf(postern) }
    for (const path of ['/', '/decide/', '/decide/v1/x', '/decide/?x=1', '/decider', '/Decide', '/v1/x', '/readyz', '/metrics'])
      expect([path, (await send(at, path, 'GET', { ...forwarded('/v1/x'), ...bearer() })).status]).toEqual([path, 404])
    // Caddy leaves the query of the original request there; the field counts.
    const other = await send(at, '/decide?/v1/x', 'GET', { ...forwarded('/elsewhere'), ...bearer() })
    expect([other.status, (await send(at, '/decide?limit=5', 'GET', { ...forwarded('/v1/x'), ...bearer() })).status]).toEqual([404, 200])
    for (const method of ['POST', 'HEAD', 'DELETE', 'OPTIONS']) {
      const reply = await send(at, '/decide', method, { ...forwarded('/v1/x'), ...bearer() })
      expect([method, reply.status, reply.headers.allow]).toEqual([method, 405, 'GET'])
    }
    await lastRecord(postern).toMatchObject({ decision: { effect: 'deny', rule: '' } })
    const byPath = await start('path')
    for (const path of ['/decide', '/decidev1', '/v1/x'])
      expect((await send({ port: portOf(byPath) }, path, 'GET', { host: 'acme.test', ...bearer() })).status).toBe(404)
  })

  it.each<[string, string]>([
    ['a body', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), 'content-length': '3' }, 'abc')],
    ['two lengths', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), 'content-length': '0', 'Content-Length': '3' }, 'abc')],
    [
      'a length and chunks',
      raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), 'content-length': '3', 'transfer-encoding': 'chunked' }, '0\r\n\r\n'),
    ],
    ['chunks', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), 'transfer-encoding': 'chunked' }, '0\r\n\r\n')],
    ['a folded field', `GET /decide HTTP/1.1\r\nhost: p\r\nx-forwarded-uri: /v1/x\r\n ?admin\r\n\r\n`],
    ['another protocol', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), connection: 'upgrade', upgrade: 'h2c' })],
    ['a nominated field', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), connection: 'x-forwarded-uri' })],
    ['an absolute target', raw('GET', 'http://acme.test/decide', { host: 'p', ...forwarded('/v1/x') })],
    ['an absolute original target', raw('GET', '/decide', { host: 'p', ...forwarded('http://acme.test/v1/x') })],
    ['two original hosts', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x', 'GET', 'acme.test, globex.test') })],
    ['a user in the original host', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x', 'GET', 'acme.test@globex.test') })],
    ['two original methods', raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x', 'GET, POST') })],
  ])('is refused: %s', async (_, bytes) => {
    const postern = await start('x-forwarded')
    const reply = await sendRaw(portOf(postern), bytes.replace('\r\n', `\r\nauthorization: Bearer ${ann}\r\n`), /\r\n\r\n/)
    expect(reply).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(reply.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it('a body on a request of Envoy is refused, and what stands behind it is not read as another question', async () => {
    const postern = await start('path')
    const hidden = raw('GET', '/decide/v1/hidden', { host: 'acme.test', ...bearer() })
    const reply = await sendRaw(
      portOf(postern),
      raw('POST', '/decide/v1/x', { host: 'acme.test', ...bearer(), 'content-length': String(hidden.length) }, hidden),
    )
    expect(reply).toMatch(/^HTTP\/1\.1 400 /)
    expect(reply.match(/HTTP\/1\.1 /g)).toHaveLength(1)
    expect(JSON.stringify(postern.records())).not.toContain('hidden')
  })

  it('metadata of the resource are never a yes', async () => {
    const postern = await start('x-forwarded', {
      sections: { gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret], resource-metadata: true }' },
    })
    const reply = await ask(postern, '/.well-known/oauth-protected-resource', {})
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([
      401,
      'Bearer resource_metadata="https://acme.test/.well-known/oauth-protected-resource"',
    ])
  })
})

describe('the same gate', () => {
  it('limits, and counts questions together with requests', async () => {
    const rules = `  - { allow: all, why: Staff., who: staff, to: ANY /v1/**, then: { limit: [2/min per caller] } }`
    const postern = await start('x-forwarded', { rules })
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(200)
    expect((await ask(postern, '/v1/x')).headers).toMatchObject({ ratelimit: expect.any(String) })
    const reply = await ask(postern, '/v1/x')
    expect(reply.status).toBe(429)
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
  })

  it('asks for a better sign-in', async () => {
    const rules = `  - { allow: all, why: Staff., who: staff, to: ANY /v1/**, needs-login: { acr: phrh } }`
    const reply = await ask(await start('x-forwarded', { rules }), '/v1/x')
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([
      401,
      'Bearer error="insufficient_user_authentication", acr_values="phrh"',
    ])
  })

  it('has the deny list', async () => {
    const postern = await start('x-forwarded')
    expect((await ask(postern, '/v1/x')).status).toBe(200)
    const { dir } = postern
    const code = await main(
      ['deny', '--state', join(dir, 'state'), '--subject', 'ann b', '--issuer', issuer.url, '--for', '1h', '--why', 'x'],
      {
        out: () => undefined,
        err: () => undefined,
      },
    )
    expect(code).toBe(0)
    expect((await ask(postern, '/v1/x')).status).toBe(401)
    await lastRecord(postern).toMatchObject({ code: 'PST3020', gateway: { proof: ['decide-peer'] } })
  })

  it('lets policy see the fields and the query of the original request', async () => {
    const rules = `  - { allow: all, why: Staff., who: staff, to: ANY /v1/**, when: { query: { limit: 1..5 }, header: { x-mode: careful } } }`
    const postern = await start('x-forwarded', { rules })
    expect((await ask(postern, '/v1/x?limit=5', { ...bearer(), 'x-mode': 'careful' })).status).toBe(200)
    expect((await ask(postern, '/v1/x?limit=6', { ...bearer(), 'x-mode': 'careful' })).status).toBe(403)
    expect((await ask(postern, '/v1/x?limit=5')).status).toBe(403)
  })

  it('takes the proof of a bound token for the original request, not for the question', async () => {
    const key = await clientKey()
    const postern = await start('x-forwarded')
    const bound = token({ cnf: { jkt: key.jkt } })
    const shown = (dpop: string) => ask(postern, '/v1/x?a=1', { authorization: `DPoP ${bound}`, dpop }, 'POST')
    const proof = (url: string, htm: string) => proofOf(key, bound, url, Date.now(), { claims: { htm } })
    expect((await shown(proof('https://acme.test/v1/x', 'POST'))).status).toBe(200)
    for (const wrong of [
      proof('https://acme.test/decide', 'GET'),
      proof('https://acme.test/v1/x', 'GET'),
      proof('https://acme.test/v1/y', 'POST'),
    ])
      expect((await shown(wrong)).status).toBe(401)
    expect((await ask(postern, '/v1/x', bearer(bound))).status).toBe(401)
  })

  it('takes the certificate of a bound token from a peer that is said to map it, and from nobody else', async () => {
    const bound = token({ cnf: { 'x5t#S256': createHash('sha256').update(new X509Certificate(testCertificate).raw).digest('base64url') } })
    const shown = { ...bearer(bound), 'x-postern-client-cert': encodeURIComponent(testCertificate) }
    const mapped = await start('x-forwarded', { decide: section('x-forwarded', ', caller-certificate: header') })
    expect((await ask(mapped, '/v1/x', shown)).status).toBe(200)
    expect((await ask(mapped, '/v1/x', bearer(bound))).status).toBe(401)
    expect((await ask(mapped, '/v1/x', { ...shown, 'x-postern-client-cert': [shown['x-postern-client-cert'], 'x'] })).status).toBe(400)
    expect((await ask(await start('x-forwarded'), '/v1/x', shown)).status).toBe(400)
  })

  it("knows the client's address where the peers tell it, and otherwise not at all", async () => {
    const rules = `  - { allow: all, why: Staff., who: staff, to: ANY /v1/**, when: { ip-in: 10.1.0.0/16 } }`
    const told = await start('x-forwarded', { rules, decide: section('x-forwarded', ', client-ip: { from: x-forwarded-for }') })
    expect((await ask(told, '/v1/x', { ...bearer(), 'x-forwarded-for': '203.0.113.9, 10.1.2.3' })).status).toBe(200)
    expect((await ask(told, '/v1/x', { ...bearer(), 'x-forwarded-for': '10.1.2.3, 203.0.113.9' })).status).toBe(403)
    await lastRecord(told).toMatchObject({ request: { 'client-ip': '203.0.113.9' } })
    const untold = await start('x-forwarded', { rules })
    expect((await ask(untold, '/v1/x', { ...bearer(), 'x-forwarded-for': '10.1.2.3' })).status).toBe(403)
    const mapped = await start('x-forwarded', { rules, decide: section('x-forwarded', ', client-ip: { from: x-postern-client-ip }') })
    expect((await ask(mapped, '/v1/x', { ...bearer(), 'x-postern-client-ip': '10.1.2.3' })).status).toBe(200)
    expect((await ask(mapped, '/v1/x', { ...bearer(), 'x-postern-client-ip': '10.1.2.3, 10.1.2.4' })).status).toBe(400)
  })

  it('decides a WebSocket as the GET that opens it, and what becomes of it is the business of the other proxy', async () => {
    const postern = await start('x-forwarded')
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    }
    const asked = (more: Fields) =>
      sendRaw(portOf(postern), raw('GET', '/decide', { host: 'p', ...forwarded('/v1/x'), ...upgrade, ...more }))
    expect(await asked(bearer())).toMatch(/^HTTP\/1\.1 200 [\s\S]*x-postern-tenant: acme/)
    expect(await asked({})).toMatch(/^HTTP\/1\.1 401 /)
  })

  it('lets a preflight pass where the route says so, for nobody, and vouches for nobody', async () => {
    const keys = { 'assertion.pem': generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
    const postern = await start('x-forwarded', {
      files: keys,
      sections: {
        assertion: 'assertion: { issuer: "https://postern.test", key-files: [assertion.pem] }',
        upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", identity-headers: { x-user-email: email }, assertion: orders } }`,
        routes: 'routes: [{ name: open, host: acme.test, prefix: /v1, upstream: api, preflight: forward }]',
      },
    })
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    const reply = await ask(postern, '/v1/x', preflight, 'OPTIONS')
    expect([reply.status, reply.headers['x-postern-tenant'], reply.headers['x-postern-subject'], reply.headers['x-user-email']]).toEqual([
      200,
      'acme',
      '',
      '',
    ])
    expect(reply.headers).not.toHaveProperty('x-postern-assertion')
    await lastRecord(postern).toMatchObject({ code: 'PST2003', caller: { subject: null }, decision: { rule: 'preflight' } })
    expect((await ask(postern, '/v1/x', {}, 'OPTIONS')).status).toBe(401)
    expect((await ask(postern, '/v1/x')).headers['x-postern-assertion']).toMatch(/^ey/)
  })

  it('sheds what is too much', async () => {
    const postern = await start('x-forwarded', { sections: { limits: 'limits: { max-in-flight: 1 }' } })
    backend.answer = (_req, res) => void setTimeout(() => res.end('late'), 300)
    const slow = postern.call('/v1/x', { token: ann })
    await expect.poll(() => backend.seen.length).toBe(1)
    const reply = await ask(postern, '/v1/x')
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '1'])
    expect((await slow).status).toBe(200)
    backend.answer = (_req, res) => void res.end('hello')
    expect((await ask(postern, '/v1/x')).status).toBe(200)
  })

  it('lets nothing pass that cannot be recorded', async () => {
    const postern = await start('x-forwarded', {
      sections: { audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem, spool-max: 1MiB }' },
      files: { 'audit/old/0.jsonl': `${'x'.repeat(1024 ** 2)}\n` },
    })
    expect((await ask(postern, '/v1/x')).status).toBe(503)
    await expect
      .poll(async () => (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text())
      .toContain('postern_refusals_total{code="PST6001"')
  })

  it('applies the denies of the platform and strips the stage', async () => {
    const deny = `rules:\n  - { deny: closed, why: Closed., who: anyone, to: ANY /v1/closed }`
    const postern = await startPostern({
      issuer: issuer.url,
      upstreamPort: backend.port,
      policies: { 'acme.policy.yaml': policyOf(everybody), '_platform.policy.yaml': platformPolicy.replace('rules: []', deny) },
      sections: {
        decide: section('x-forwarded'),
        gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret], strip-prefix: /prod }',
      },
    })
    onTestFinished(() => postern.stop())
    expect((await ask(postern, '/prod/v1/closed')).status).toBe(403)
    expect((await ask(postern, '/prod/v1/open')).status).toBe(200)
    expect((await ask(postern, '/v1/open')).status).not.toBe(200)
  })
})

describe('what only Postern itself can do', () => {
  it('is refused where the permit asks to hide: the other proxy would show it', async () => {
    const rules = `  - { allow: all, why: Staff., who: staff, to: ANY /v1/**, then: { hide: [$.iban] } }`
    const postern = await start('x-forwarded', { rules })
    expect((await ask(postern, '/v1/x')).status).toBe(403)
    await lastRecord(postern).toMatchObject({ code: 'PST2109', decision: { effect: 'allow', reason: 'decide-impossible: hide' } })
  })

  const credentials = (delivery: string, more = '') => ({
    rules: `  - { allow: all, why: Staff., who: staff, to: ANY /v1/**, then: { cassandra-role: ${role} } }`,
    sections: {
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", delivery: ${delivery} } }`,
      credentials: `credentials: { provider: file, credentials-file: credentials.json${more} }`,
    },
    files: {
      'credentials.json': JSON.stringify({ [role]: { username: 'login', password: 'pw-0123456789-0123456789' } }),
      'bearer.secret': 'b'.repeat(64),
    },
  })
  const endpoint = `, endpoint: { listen: "127.0.0.1:0", bearers: [{ token-file: bearer.secret, roles: [${role}] }] }`

  it('is refused where a policy reads a field that the other proxy may have kept back: a deny by it would not match', async () => {
    const rules = `  - { deny: modes, why: w, who: anyone, to: ANY /v1/**, when: { header: { x-mode: present } } }\n${everybody}`
    const byPath = (postern: TestPostern, more: Fields = {}) =>
      send({ port: portOf(postern) }, '/decide/v1/x', 'GET', { host: 'acme.test', ...bearer(), ...more })
    const silent = await start('path', { rules })
    expect((await byPath(silent)).status).toBe(403)
    await lastReason(silent).toBe('decide-impossible: header.x-mode')
    const shown = await start('path', { rules, decide: section('path', ', fields: [dpop, x-mode]') })
    expect((await byPath(shown)).status).toBe(200)
    expect((await byPath(shown, { 'x-mode': 'any' })).status).toBe(403)
    const some = await start('x-forwarded', { rules, decide: section('x-forwarded', ', fields: [dpop]') })
    expect((await ask(some, '/v1/x')).status).toBe(403)
    expect((await ask(await start('x-forwarded', { rules }), '/v1/x')).status).toBe(200)
    expect((await byPath(await start('path'))).status).toBe(200)
  })

  it.each<[string, Fields]>([
    ['with an underscore, which Postern would have removed', { x_mode: 'any' }],
    ['with a dot', { 'X.Mode': 'any' }],
    ['beside the field itself', { 'x-mode': 'careful', X_Mode: 'any' }],
    ['that Connection names, so that it is dropped here and perhaps nowhere else', { connection: 'close, X-Mode', 'x-mode': 'any' }],
  ])('is refused for a field that a policy reads in another spelling, as backends behind CGI read it: %s', async (_, more) => {
    const deny = '  - { deny: modes, why: w, who: anyone, to: ANY /v1/**, when: { header: { x-mode: any } } }'
    const asked = async (rules: string): Promise<Reply> => {
      const postern = await start('x-forwarded', { rules })
      const reply = await ask(postern, '/v1/x', { ...bearer(), ...more })
      if (reply.status === 400) await lastReason(postern).toBe('decide-question-invalid: x-mode')
      return reply
    }
    expect((await asked(`${deny}\n${everybody}`)).status).toBe(400)
    expect((await asked(everybody)).status).toBe(200)
  })

  it('is refused for a field with a dot that a policy reads under this name and Connection names; the field itself is read', async () => {
    const rules = `  - { deny: modes, why: w, who: anyone, to: ANY /v1/**, when: { header: { x.mode: any } } }\n${everybody}`
    const postern = await start('x-forwarded', { rules })
    expect((await ask(postern, '/v1/x', { ...bearer(), 'x.mode': 'no' })).status).toBe(200)
    expect((await ask(postern, '/v1/x', { ...bearer(), 'x.mode': 'any' })).status).toBe(403)
    expect((await ask(postern, '/v1/x', { ...bearer(), 'x.mode': 'any', connection: 'close, X.Mode' })).status).toBe(400)
  })

  it('is refused for a preflight with a cookie: it is nobody, and the backend would see somebody', async () => {
    const routes = 'routes: [{ name: open, host: acme.test, prefix: /v1, upstream: api, preflight: forward }]'
    const postern = await start('x-forwarded', { sections: { routes } })
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    expect((await ask(postern, '/v1/x', preflight, 'OPTIONS')).status).toBe(200)
    expect((await ask(postern, '/v1/x', { ...preflight, cookie: 'session=1' }, 'OPTIONS')).status).toBe(400)
    expect((await ask(postern, '/v1/x', { ...bearer(), cookie: 'session=1' })).status).toBe(200)
  })

  it('a login is never told, and where the backend would need to be given one the answer is no', async () => {
    for (const delivery of ['header', 'none']) {
      const postern = await start('x-forwarded', credentials(delivery))
      const reply = await ask(postern, '/v1/x')
      expect([delivery, reply.status]).toEqual([delivery, 403])
      expect(JSON.stringify(reply)).not.toMatch(/pw-0123|login/)
      await lastReason(postern).toBe(`decide-impossible: cassandra-role, delivery ${delivery}`)
    }
  })

  it('a backend that fetches its login itself is served, and only while there is one', async () => {
    const postern = await start('x-forwarded', credentials('endpoint', endpoint))
    const reply = await ask(postern, '/v1/x')
    expect(reply.status).toBe(200)
    expect(JSON.stringify(reply)).not.toMatch(/pw-0123|cassandra/)
    await lastRecord(postern).toMatchObject({ code: 'PST2003', decision: { role }, credential: null })
    await writeFile(join(postern.dir, 'credentials.json'), JSON.stringify({}))
    await expect.poll(async () => (await ask(postern, '/v1/x')).status, { timeout: 20_000, interval: 200 }).toBe(503)
  })

  it('an identity that no field can carry is no identity', async () => {
    const postern = await start('x-forwarded')
    expect((await ask(postern, '/v1/x', bearer(token({ email: { object: true } })))).status).toBe(503)
    await lastReason(postern).toBe('identity-not-forwardable: x-user-email')
  })
})
