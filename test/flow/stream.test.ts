import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, type Recorder, sendRaw, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

let provider: DemoProvider
let echo: Server
let plain: Recorder
let postern: TestPostern
let upgradesSeen: IncomingMessage[] = []

/** Answers the handshake of RFC 6455 and sends every byte back. */
const startEcho = async (): Promise<Server> => {
  const server = createServer((_req, res) => res.writeHead(426).end('upgrade'))
  server.on('upgrade', (req, socket) => {
    upgradesSeen.push(req)
    const accept = createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\nx-postern-tenant: evil\r\n\r\n`,
    )
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return server
}

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  echo = await startEcho()
  plain = await startRecorder()
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: (echo.address() as AddressInfo).port })
})
afterAll(async () => {
  await postern.stop()
  echo.closeAllConnections()
  echo.close()
  await plain.close()
  await provider.stop()
})

const fields = (token: string | null): Record<string, string> => ({
  'x-postern-gateway-proof': gatewaySecret,
  'x-postern-host': 'acme.test',
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-version': '13',
  'x-postern-subject': 'root',
  ...(token === null ? {} : { authorization: `Bearer ${token}` }),
})

interface Opened {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly socket: Duplex | null
}

const open = (token: string | null, path = '/v1/ws', port = postern.port): Promise<Opened> =>
  new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, path, headers: fields(token), agent: false })
    req.on('upgrade', (res, socket) => resolve({ status: 101, headers: res.headers, socket }))
    req.on('response', res => {
      res.resume()
      resolve({ status: res.statusCode ?? 0, headers: res.headers, socket: null })
    })
    req.on('error', reject)
    req.end()
  })

const closed = (socket: Duplex | null): Promise<void> =>
  new Promise(resolve => {
    if (socket === null || socket.destroyed) resolve()
    else {
      socket.on('error', () => undefined)
      socket.resume()
      socket.once('close', () => resolve())
    }
  })

const echoed = (socket: Duplex | null, text: string): Promise<string> =>
  new Promise(resolve => {
    socket?.once('data', (chunk: Buffer) => resolve(chunk.toString()))
    socket?.write(text)
  })

const streamRecord = () => postern.records().findLast(record => JSON.stringify(record['request'] ?? {}).includes('/v1/ws'))

describe('a WebSocket', () => {
  it('passes the whole gate, and then bytes pass both ways', async () => {
    upgradesSeen = []
    const { status, headers, socket } = await open(await provider.token('ann'))
    expect(status).toBe(101)
    expect(headers).not.toHaveProperty('x-postern-tenant')
    expect(await echoed(socket, 'hello')).toBe('hello')
    expect(upgradesSeen[0]?.headers).toMatchObject({ 'x-postern-tenant': 'acme', 'x-postern-subject': 'ann', upgrade: 'websocket' })
    expect(upgradesSeen[0]?.headers).not.toHaveProperty('authorization')
    socket?.destroy()
    await expect.poll(streamRecord, { timeout: 5000 }).toMatchObject({ code: 'PST2001', response: { status: 101 } })
  })

  it('without a token gets 401, with a foreign path 404, and no backend sees it', async () => {
    upgradesSeen = []
    expect((await open(null)).status).toBe(401)
    expect((await open(await provider.token('ann'), '/nowhere')).status).toBe(404)
    expect(upgradesSeen).toEqual([])
  })

  it('ends when its token ends, with the reason on record', async () => {
    const { socket } = await open(await provider.token('ann', { ttl: 2 }))
    await closed(socket)
    await expect.poll(streamRecord, { timeout: 5000 }).toMatchObject({ code: 'PST3007' })
  })

  it('reset by its client ends nothing but itself', async () => {
    const { socket } = await open(await provider.token('ann'))
    expect(await echoed(socket, 'hello')).toBe('hello')
    ;(socket as Socket).resetAndDestroy()
    await expect.poll(() => (postern.app.status() as { streams: number }).streams, { timeout: 5000 }).toBe(0)
    expect((await open(await provider.token('ann'))).status).toBe(101)
  })

  it('that is open does not count as a request under way', async () => {
    const { socket } = await open(await provider.token('ann'))
    expect(await echoed(socket, 'hello')).toBe('hello')
    expect(postern.app.status()).toMatchObject({ in_flight: 0 })
    socket?.destroy()
  })

  it('behind a request that is still served is refused after it, never before', async () => {
    const slow = await startRecorder()
    let answer = (): void => undefined
    slow.answer = (_req, res) => {
      answer = () => res.end('first')
    }
    const alone = await startPostern({ issuer: provider.issuer, upstreamPort: slow.port })
    const token = await provider.token('ann')
    const lines = (extra: Record<string, string>): string =>
      Object.entries({
        host: 'acme.test',
        'x-postern-gateway-proof': gatewaySecret,
        'x-postern-host': 'acme.test',
        authorization: `Bearer ${token}`,
        ...extra,
      })
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')
    const text = sendRaw(alone.port, `GET /v1/a HTTP/1.1\r\n${lines({})}\r\nGET /v1/ws HTTP/1.1\r\n${lines(fields(token))}\r\n`)
    await expect.poll(() => slow.seen.length, { timeout: 5000 }).toBe(1)
    answer()
    expect((await text).match(/HTTP\/1\.1 \d+|first/g)).toEqual(['HTTP/1.1 200', 'first', 'HTTP/1.1 400'])
    await alone.stop()
    await slow.close()
  })

  it('that the backend will not have gets its answer, cleaned like any other', async () => {
    const refusing = await startRecorder()
    refusing.answer = (_req, res) => res.writeHead(403, { 'x-postern-tenant': 'evil', 'content-type': 'text/plain' }).end('not here')
    const alone = await startPostern({ issuer: provider.issuer, upstreamPort: refusing.port })
    const head = Object.entries(fields(await provider.token('ann'))).map(([name, value]) => `${name}: ${value}`)
    const text = await sendRaw(alone.port, `GET /v1/ws HTTP/1.1\r\nhost: acme.test\r\n${head.join('\r\n')}\r\n\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 403 [\s\S]*not here$/)
    expect(text).not.toContain('evil')
    refusing.answer = (_req, res) => {
      res.writeHead(200, { 'content-length': '100' })
      res.write('half')
      setImmediate(() => res.destroy())
    }
    expect(await sendRaw(alone.port, `GET /v1/ws HTTP/1.1\r\nhost: acme.test\r\n${head.join('\r\n')}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 502 /)
    expect(alone.app.status()).toMatchObject({ in_flight: 0, streams: 0 })
    await alone.stop()
    await refusing.close()
  })

  it('ends when its grant ends, with the reason on record', async () => {
    const until = new Date(Date.now() + 5000).toISOString()
    const rule = `  - { allow: staff-until, why: An audit window., who: staff, to: GET /v1/**, until: "${until}" }`
    const policies = { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rule) }
    const bounded = await startPostern({ issuer: provider.issuer, upstreamPort: (echo.address() as AddressInfo).port, policies })
    const { socket } = await open(await provider.token('ann'), '/v1/ws', bounded.port)
    expect(await echoed(socket, 'hello')).toBe('hello')
    await closed(socket)
    await expect
      .poll(() => bounded.records().findLast(one => one['kind'] === 'exchange'), { timeout: 5000 })
      .toMatchObject({ code: 'PST2102' })
    await bounded.stop()
  })

  it.each([
    ['h2c', 'upgrade: h2c\r\nconnection: Upgrade\r\n'],
    ['nothing that it names', ''],
  ])('whose backend switches to %s gets 502, and no head of the backend', async (_, head) => {
    const wrong = createServer().on('upgrade', (_req, socket) => {
      socket.on('error', () => socket.destroy())
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head}x-evil: 1\r\n\r\nbytes of another protocol`)
    })
    await new Promise<void>(resolve => wrong.listen(0, '127.0.0.1', resolve))
    const alone = await startPostern({ issuer: provider.issuer, upstreamPort: (wrong.address() as AddressInfo).port })
    const lines = Object.entries(fields(await provider.token('ann'))).map(([name, value]) => `${name}: ${value}`)
    const text = await sendRaw(alone.port, `GET /v1/ws HTTP/1.1\r\nhost: acme.test\r\n${lines.join('\r\n')}\r\n\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 502 /)
    expect(text).not.toMatch(/evil|another protocol|101/)
    await expect
      .poll(() => alone.records().findLast(one => one['kind'] === 'exchange'))
      .toMatchObject({ code: 'PST5002', response: { status: 502 } })
    expect(alone.app.status()).toMatchObject({ in_flight: 0, streams: 0 })
    await alone.stop()
    wrong.closeAllConnections()
    wrong.close()
  })

  it('to a backend that is gone gets 502', async () => {
    const port = plain.port
    const alone = await startPostern({ issuer: provider.issuer, upstreamPort: port })
    await plain.close()
    const head = Object.entries(fields(await provider.token('ann'))).map(([name, value]) => `${name}: ${value}`)
    const text = await sendRaw(alone.port, `GET /v1/ws HTTP/1.1\r\nhost: acme.test\r\n${head.join('\r\n')}\r\n\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 502 /)
    await alone.stop()
  })
})
