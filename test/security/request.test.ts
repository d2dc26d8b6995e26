import { connect } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, type Recorder, sendRaw, startPostern, startRecorder, type TestPostern } from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let token: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
  token = await provider.token('ann')
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

interface Raw {
  readonly line?: string
  readonly host?: string
  readonly extra?: string
  readonly body?: string
  readonly proof?: string
}

/** A request that would pass but for what the test changes. */
const raw = ({
  line = 'GET /v1/a HTTP/1.1',
  host = 'host: acme.test',
  extra = '',
  body = '',
  proof = `x-postern-gateway-proof: ${gatewaySecret}\r\n`,
}: Raw): string => `${line}\r\n${host}\r\n${proof}x-postern-host: acme.test\r\nauthorization: Bearer ${token}\r\n${extra}\r\n${body}`

const post = 'POST /v1/a HTTP/1.1'

describe('a request with two meanings gets 400, the connection ends, and nothing reaches the backend', () => {
  it.each<[string, Raw]>([
    ['two Hosts', { extra: 'Host: globex.test\r\n' }],
    ['two Hosts with one value', { extra: 'Host: acme.test\r\n' }],
    ['no Host', { host: 'x-nothing: 1' }],
    ['a Host with userinfo', { host: 'host: a@acme.test' }],
    ['two Authorizations', { extra: 'Authorization: Bearer other\r\n' }],
    ['CL.TE', { line: post, extra: 'content-length: 4\r\ntransfer-encoding: chunked\r\n', body: '0\r\n\r\n' }],
    ['TE.CL', { line: post, extra: 'transfer-encoding: chunked\r\ncontent-length: 4\r\n', body: '0\r\n\r\n' }],
    ['TE.TE', { line: post, extra: 'transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n', body: '0\r\n\r\n' }],
    ['TE with a tab', { line: post, extra: 'transfer-encoding:\tchunked, identity\r\n', body: '0\r\n\r\n' }],
    ['TE xchunked', { line: post, extra: 'transfer-encoding: xchunked\r\n', body: '0\r\n\r\n' }],
    ['TE before a blank colon', { line: post, extra: 'transfer-encoding : chunked\r\n', body: '0\r\n\r\n' }],
    ['TE over two lines', { line: post, extra: 'transfer-encoding:\r\n chunked\r\n', body: '0\r\n\r\n' }],
    ['TE gzip, chunked', { line: post, extra: 'transfer-encoding: gzip, chunked\r\n', body: '0\r\n\r\n' }],
    ['an empty TE beside a CL', { line: post, extra: 'transfer-encoding: \r\ncontent-length: 1\r\n', body: 'x' }],
    ['TE in HTTP/1.0', { line: 'POST /v1/a HTTP/1.0', extra: 'transfer-encoding: chunked\r\n', body: '0\r\n\r\n' }],
    ['two CLs', { line: post, extra: 'content-length: 1\r\ncontent-length: 2\r\n', body: 'xx' }],
    ['a CL list', { line: post, extra: 'content-length: 1, 1\r\n', body: 'x' }],
    ['a CL above 2^53', { line: post, extra: 'content-length: 9007199254740997\r\n' }],
    ['a negative CL', { line: post, extra: 'content-length: -1\r\n' }],
    ['a hex CL', { line: post, extra: 'content-length: 0x1\r\n', body: 'x' }],
    ['a body on GET', { extra: 'content-length: 1\r\n', body: 'x' }],
    ['%2e%2e', { line: 'GET /v1/%2e%2e/a HTTP/1.1' }],
    ['..', { line: 'GET /v1/../a HTTP/1.1' }],
    ['%2f', { line: 'GET /v1/%2fa HTTP/1.1' }],
    ['%5c', { line: 'GET /v1/%5ca HTTP/1.1' }],
    ['%252e', { line: 'GET /v1/%252e%252e/a HTTP/1.1' }],
    ['a semicolon', { line: 'GET /v1/a;b HTTP/1.1' }],
    ['..;', { line: 'GET /v1/..;/a HTTP/1.1' }],
    ['//', { line: 'GET /v1//a HTTP/1.1' }],
    ['// in front', { line: 'GET //evil.test/v1/a HTTP/1.1' }],
    ['a backslash', { line: 'GET /v1\\a HTTP/1.1' }],
    ['a fragment', { line: 'GET /v1/a#b HTTP/1.1' }],
    ['%00', { line: 'GET /v1/a%00 HTTP/1.1' }],
    ['overlong UTF-8', { line: 'GET /v1/%c0%ae HTTP/1.1' }],
    ['absolute-form with userinfo', { line: 'GET http://root@acme.test/v1/a HTTP/1.1' }],
    ['absolute-form of another scheme', { line: 'GET ftp://acme.test/v1/a HTTP/1.1' }],
    ['asterisk-form', { line: 'OPTIONS * HTTP/1.1' }],
    ['HTTP/2.0', { line: 'GET /v1/a HTTP/2.0' }],
    ['a bare LF', { extra: 'x-a: 1\nx-b: 2\r\n' }],
    ['a NUL in a value', { extra: 'x-a: 1\u00002\r\n' }],
    ['a Connection that nominates ours', { extra: 'connection: close, X-Postern-Tenant\r\n' }],
    ['a Connection that nominates Authorization', { extra: 'connection: authorization\r\n' }],
    ['two client addresses', { extra: 'x-postern-client-ip: 10.0.0.1\r\nx-postern-client-ip: 10.0.0.2\r\n' }],
    ['a client address joined by append', { extra: 'x-postern-client-ip: 10.0.0.1, 10.0.0.2\r\n' }],
    ['a client address that is none', { extra: 'x-postern-client-ip: localhost\r\n' }],
    ['a second original host', { extra: 'x-postern-host: globex.test\r\n' }],
    ['an h2c upgrade', { extra: 'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n' }],
  ])('%s', async (_, request) => {
    const text = await sendRaw(postern.port, raw(request))
    expect(text).toMatch(/^HTTP\/1\.1 400 /)
    expect(text).toMatch(/connection: close/i)
    expect(text).toContain('"code":"bad-request"')
    expect(backend.seen).toEqual([])
  })

  it.each<[string, Raw, number]>([
    ['TRACE', { line: 'TRACE /v1/a HTTP/1.1' }, 405],
    ['CONNECT', { line: 'CONNECT acme.test:443 HTTP/1.1' }, 405],
    ['a head above max-header-bytes', { extra: `x-a: ${'a'.repeat(20_000)}\r\n` }, 431],
    ['two hundred fields and one', { extra: 'x: 1\r\n'.repeat(201) }, 431],
    ['an unknown expectation', { line: post, extra: 'expect: magic\r\ncontent-length: 1\r\n', body: 'x' }, 417],
  ])('%s has a status of its own', async (_, request, status) => {
    expect(await sendRaw(postern.port, raw(request))).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(backend.seen).toEqual([])
  })
})

describe('the proof of the gateway', () => {
  it.each<[string, string]>([
    ['missing', ''],
    ['wrong', `x-postern-gateway-proof: ${'0'.repeat(gatewaySecret.length)}\r\n`],
    ['cut short', `x-postern-gateway-proof: ${gatewaySecret.slice(0, -1)}\r\n`],
    ['in an underscore spelling', `x_postern_gateway_proof: ${gatewaySecret}\r\n`],
  ])('%s: 403, before the token is looked at', async (_, proof) => {
    expect(await sendRaw(postern.port, raw({ proof, extra: 'connection: close\r\n' }))).toMatch(/^HTTP\/1\.1 403 /)
    expect(backend.seen).toEqual([])
  })

  it('twice, once right: 400', async () => {
    const proof = `x-postern-gateway-proof: guess\r\nx-postern-gateway-proof: ${gatewaySecret}\r\n`
    expect(await sendRaw(postern.port, raw({ proof }))).toMatch(/^HTTP\/1\.1 400 /)
  })
})

describe('what a client says about itself', () => {
  const spoofed = [
    'X-Postern-Tenant: globex',
    'x_postern_tenant: globex',
    'X-Postern-Subject: root',
    'X-Postern-Cassandra-Username: cassandra',
    'X-Postern-Cassandra-Password: cassandra',
    'X-Forwarded-For: 10.9.9.9',
    'X_Forwarded_For: 10.9.9.9',
    'X-Forwarded-Host: evil.test',
    'X-Forwarded-User: root',
    'Forwarded: for=10.9.9.9',
    'X-Real-IP: 10.9.9.9',
    'Remote-User: root',
    'X-Auth-Request-User: root',
    'X-Amzn-Oidc-Identity: root',
    'X-HTTP-Method-Override: DELETE',
    'X-Original-URL: /admin',
  ]

  it('never arrives, in any spelling, and Postern says it once', async () => {
    expect(await sendRaw(postern.port, raw({ extra: `${spoofed.join('\r\n')}\r\nconnection: close\r\n` }))).toMatch(/^HTTP\/1\.1 200 /)
    const [seen] = backend.seen
    const names = (seen?.rawHeaders ?? []).filter((_, i) => i % 2 === 0).map(name => name.toLowerCase())
    expect(names.filter(name => name.includes('_'))).toEqual([])
    expect(names.filter(name => name.startsWith('x-postern-')).sort()).toEqual([
      'x-postern-deadline-ms',
      'x-postern-request-id',
      'x-postern-subject',
      'x-postern-tenant',
    ])
    expect(names.filter(name => /forwarded|real-ip|user$|oidc|override|original/.test(name)).sort()).toEqual([
      'x-forwarded-host',
      'x-forwarded-proto',
    ])
    expect(seen?.headers['x-postern-tenant']).toBe('acme')
    expect(seen?.headers['x-forwarded-host']).toBe('acme.test')
    expect(JSON.stringify(seen?.rawHeaders)).not.toMatch(/evil|root|globex|10\.9\.9\.9|proof-of-the-gateway|Bearer/)
  })
})

describe('requests in a row on one connection', () => {
  it('get their answers in order, and a broken one behind them gets its 400 last', async () => {
    backend.answer = (req, res) => setImmediate(() => res.writeHead(200).end(req.url))
    const text = await sendRaw(postern.port, `${raw({ line: 'GET /v1/1 HTTP/1.1' })}${raw({ line: 'GET /v1/2 HTTP/1.1' })}NONSENSE\r\n\r\n`)
    expect(text.match(/HTTP\/1\.1 \d+|\/v1\/\d/g)).toEqual(['HTTP/1.1 200', '/v1/1', 'HTTP/1.1 200', '/v1/2', 'HTTP/1.1 400'])
  })

  it('leave nothing behind when the client goes away in the middle', async () => {
    backend.answer = () => undefined
    const client = connect(postern.port, '127.0.0.1')
    client.write(raw({}) + raw({}) + raw({}))
    await expect.poll(() => backend.seen.length, { timeout: 5000 }).toBe(3)
    client.destroy()
    await expect.poll(() => (postern.app.status() as { in_flight: number }).in_flight, { timeout: 5000 }).toBe(0)
    // Records are written at the end of a turn.
    const aborted = () => postern.records().map(record => (record['response'] as { aborted: boolean } | undefined)?.aborted)
    await expect.poll(() => aborted().slice(-3), { timeout: 5000 }).toEqual([true, true, true])
  })
})

describe('a chunked upload', () => {
  it('that breaks off reaches the backend as an incomplete body, never with a terminator', async () => {
    await sendRaw(postern.port, raw({ line: post, extra: 'transfer-encoding: chunked\r\n', body: '5\r\nhello\r\nzz\r\n' }))
    // The recorder answers, and takes note, only at the end of a complete body.
    expect(backend.seen).toEqual([])
  })

  it('that grows beyond max-body is cut with 413', async () => {
    const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`
    const text = await sendRaw(
      postern.port,
      raw({ line: post, extra: 'transfer-encoding: chunked\r\n', body: `${chunk.repeat(170)}0\r\n\r\n` }),
    )
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    expect(backend.seen).toEqual([])
  }, 20_000)
})
