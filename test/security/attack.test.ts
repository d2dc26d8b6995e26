import { createServer, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, type Recorder, sendRaw, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

/** What was once got through, or brought the process down, by attack. */
let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let token: string

beforeAll(async () => {
  const users = { ann: { claims: { tenant: 'acme', groups: ['staff'] } }, nobody: { claims: { tenant: 'none', groups: [] } } }
  provider = await startProvider({ port: 0, users })
  backend = await startRecorder()
  const rules = `  - { deny: private, why: Private., who: anyone, to: [ANY /v1/@private/**, "ANY /v1/orders:export", ANY /v1/a+b/**, ANY /v1/$admin] }
  - { allow: all, why: All., who: staff, to: ANY /v1/** }`
  const policies = { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rules) }
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, policies })
  token = await provider.token('ann')
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
  backend.answer = (_req, res) => res.writeHead(200).end('ok')
})

const inFlight = (): number => (postern.app.status() as { in_flight: number }).in_flight
const head = (extra = '', bearer = token): string =>
  `host: acme.test\r\nx-postern-host: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${bearer}\r\n${extra}\r\n`
const ws = 'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n'
const opened = (): Promise<Socket> =>
  new Promise(resolve => {
    const socket = connect(postern.port, '127.0.0.1', () => resolve(socket))
    socket.on('error', () => undefined)
  })

describe('a deny', () => {
  it.each([
    '/v1/@private/x',
    '/v1/%40private/x',
    '/v1/orders:export',
    '/v1/orders%3Aexport',
    '/v1/a+b/c',
    '/v1/a%2Bb/c',
    '/v1/$admin',
    '/v1/%24admin',
  ])('is not dodged by how a character is written: %s', async path => {
    expect((await postern.call(path, { token })).status).toBe(403)
  })

  it.each(['/v1/%25%32%65%25%32%65/x', '/v1/a%252%66b', '/v1/%252%65%252%65/admin'])(
    'is not dodged by a second layer of escapes: %s',
    async path => {
      expect((await postern.call(path, { token })).status).toBe(400)
      expect(backend.seen).toEqual([])
    },
  )
})

describe('an answer', () => {
  it('to HEAD ends the connection to the backend: what comes late must not become the next answer', async () => {
    const sockets: Socket[] = []
    const server: Server = createServer((req, res) => {
      sockets.push(req.socket)
      res.end()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const alone = await startPostern({ issuer: provider.issuer, upstreamPort: port })
    for (let i = 0; i < 3; i++) await alone.call('/v1/x', { token, method: 'HEAD' })
    expect(new Set(sockets).size).toBe(3)
    await alone.stop()
    server.closeAllConnections()
    server.close()
  })

  it('that nominates in two Connection fields loses what both name', async () => {
    backend.answer = (_req, res) =>
      res.writeHead(200, ['Connection', 'x-a', 'Connection', 'x-b', 'X-A', '1', 'X-B', '2', 'X_Postern_Tenant', 'evil']).end()
    const { headers } = await postern.call('/v1/x', { token })
    expect(Object.keys(headers).filter(name => /^x-[ab]$|postern_tenant/.test(name))).toEqual([])
  })
})

describe('one connection', () => {
  it('cannot hold places with thousands of pipelined requests that it never reads', async () => {
    const socket = await opened()
    socket.pause()
    socket.write('GET /v1/a HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(5000))
    await expect.poll(() => socket.destroyed || socket.closed || inFlight() === 0, { timeout: 5000 }).toBe(true)
    expect((await postern.call('/v1/x', { token })).status).toBe(200)
    socket.destroy()
    await expect.poll(inFlight, { timeout: 5000 }).toBe(0)
  })

  it('that is reset while its handshake waits for a key gives its place back', async () => {
    const parts = token.split('.')
    const header = JSON.parse(Buffer.from(parts[0] ?? '', 'base64url').toString()) as object
    const unknown = [Buffer.from(JSON.stringify({ ...header, kid: 'nope' })).toString('base64url'), ...parts.slice(1)].join('.')
    for (let i = 0; i < 50; i++) {
      const socket = await opened()
      socket.write(`GET /v1/ws HTTP/1.1\r\n${head(ws, unknown)}`)
      socket.resetAndDestroy()
    }
    await expect.poll(inFlight, { timeout: 10_000 }).toBe(0)
  })

  it('that asks for CONNECT behind another request gets its refusal last', async () => {
    const text = await sendRaw(postern.port, `GET /v1/x HTTP/1.1\r\n${head()}CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n`)
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 405'])
  })
})

describe('the audit', () => {
  it('is not filled by a valid token of no tenant: refusals above a rate are counted, not written', async () => {
    const stranger = await provider.token('nobody')
    const before = postern.records().length
    for (let i = 0; i < 300; i++) expect((await postern.call(`/v1/${'a'.repeat(1000)}`, { token: stranger })).status).toBe(403)
    await expect.poll(() => JSON.stringify(postern.records()), { timeout: 10_000 }).toContain('"kind":"refusals"')
    expect(postern.records().length - before).toBeLessThan(250)
    expect((await postern.call('/v1/x', { token })).status).toBe(200)
  })

  it('clips by what is written: a user agent of odd bytes does not make a huge record', async () => {
    const reply = await postern.call('/v1/x', { token, headers: { 'user-agent': 'ÿ'.repeat(1024) } })
    const own = () => postern.records().find(record => JSON.stringify(record).includes(String(reply.headers['x-postern-request-id'])))
    await expect.poll(own, { timeout: 5000 }).toMatchObject({ truncated: ['user-agent'] })
    expect(JSON.stringify(own()).length).toBeLessThan(4000)
  })
})
