import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { isWithinReach } from '../../src/config/reach.ts'
import { createFetch } from '../../src/fetch.ts'
import type { FetchInit } from '../../src/model/deps.ts'
import { testCa, testCertificate, testCertificateKey } from '../support/tls.ts'

describe('T22: which addresses a provider may have', () => {
  it.each(['1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '223.255.255.255', '2606:4700::1111', '64:ff9b::808:808', '::ffff:8.8.8.8'])(
    '%s is public',
    address => {
      expect(isWithinReach(address, 'public')).toBe(true)
      expect(isWithinReach(address, 'private')).toBe(true)
      expect(isWithinReach(address, 'loopback')).toBe(false)
    },
  )

  it.each([
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '100.100.100.200',
    '127.0.0.1',
    '127.255.0.1',
    '::1',
    'fd12::1',
    'fc00::1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::1',
    '2001:db8::1',
    'fec0::1',
    '::10.0.0.1',
    '198.18.0.1',
  ])('%s is private', address => {
    expect(isWithinReach(address, 'public')).toBe(false)
    expect(isWithinReach(address, 'private')).toBe(true)
  })

  it.each([
    '169.254.169.254',
    '169.254.170.2',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    '255.255.255.255',
    'ff02::1',
    '010.0.0.1',
    'localhost',
    '',
  ])('%s is never connected to', address => {
    expect(isWithinReach(address, 'public')).toBe(false)
    expect(isWithinReach(address, 'private')).toBe(false)
  })
})

const init: FetchInit = { timeout: 2_000, maxBytes: 1_000, reach: 'public' }
const resolving = (...addresses: readonly string[]) =>
  createFetch((_, done) =>
    done(
      null,
      addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 })),
    ),
  )

describe('T22: a call to a provider', () => {
  it.each([
    ['https://10.0.0.1/', 'public', '10.0.0.1 is not a public address'],
    ['https://127.0.0.1/', 'public', '127.0.0.1 is not a public address'],
    ['https://[::ffff:10.0.0.1]/', 'public', 'is not a public address'],
    ['https://0x7f.1/', 'public', '127.0.0.1 is not a public address'],
    ['https://169.254.169.254/', 'private', '169.254.169.254 is not a private address'],
    ['https://[fd00:ec2::254]/', 'private', 'is not a private address'],
  ] as const)('to %s within %s is refused', async (url, reach, message) => {
    await expect(createFetch()(url, { ...init, reach })).rejects.toThrow(message)
  })

  it.each([
    [['10.0.0.1'], 'public', 'resolves to 10.0.0.1, not public'],
    [['8.8.8.8', '169.254.169.254'], 'public', 'resolves to 169.254.169.254, not public'],
    [['10.0.0.1', 'fe80::1'], 'private', 'resolves to fe80::1, not private'],
    [[], 'public', 'resolves to nothing, not public'],
  ] as const)('to a name that resolves to %j within %s is refused', async (addresses, reach, message) => {
    await expect(resolving(...addresses)('https://login.example.com/', { ...init, reach })).rejects.toThrow(message)
  })

  it('to a private address goes through where it is allowed', async () => {
    const url = await provider()
    expect((await resolving('127.0.0.1')(url, { ...init, reach: 'private', ca: testCa })).body.toString()).toBe('keys')
    await expect(resolving('127.0.0.1')(url, { ...init, ca: testCa })).rejects.toThrow('resolves to 127.0.0.1, not public')
  })
})

const provider = async (): Promise<string> => {
  const server = createHttpsServer({ key: testCertificateKey, cert: testCertificate }, (_, response) => response.end('keys'))
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise(done => void server.close(done))
  })
  return `https://localhost:${(server.address() as AddressInfo).port}`
}

/** A forward proxy that keeps what it was asked for; `answer` is what it says, after which it connects for a 200. */
const startProxy = async (
  answer: (socket: Socket) => void,
): Promise<{ readonly url: string; readonly asked: string[]; heard(): string }> => {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  let heard = ''
  const server = createHttpServer((_, response) => response.writeHead(407).end())
  server.on('connect', (request, client: Socket) => {
    sockets.add(client)
    asked.push(`${request.url} ${request.headers.host}`)
    answer(client)
    const to = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1')
    to.on('error', () => client.destroy())
    client.on('error', () => to.destroy())
    client.on('close', () => to.destroy())
    if (client.destroyed) to.destroy()
    client.on('data', chunk => {
      heard += chunk.toString('latin1')
    })
    client.pipe(to).pipe(client)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(done => void server.close(done))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, heard: () => heard }
}
const connected = (socket: Socket): void => void socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')

describe('a call through a forward proxy', () => {
  it('is one CONNECT to host and port; the proxy resolves the name and hears nothing of the call', async () => {
    const proxy = await startProxy(connected)
    const url = await provider()
    const never = createFetch(() => {
      throw new Error('resolved here')
    })
    const reply = await never(`${url}/secret-path`, { ...init, ca: testCa, proxy: proxy.url })
    expect(reply.body.toString()).toBe('keys')
    const { host } = new URL(url)
    expect(proxy.asked).toEqual([`${host} ${host}`])
    expect(proxy.heard().length).toBeGreaterThan(100)
    expect(proxy.heard()).not.toContain('secret-path')
  })

  it('is verified against the name asked for, inside the tunnel', async () => {
    const proxy = await startProxy(connected)
    const url = await provider()
    await expect(createFetch()(url, { ...init, proxy: proxy.url })).rejects.toThrow(/unable to (verify|get)|self.signed/)
    const other = url.replace('localhost', 'login.example.com')
    await expect(createFetch()(other, { ...init, ca: testCa, proxy: proxy.url })).rejects.toThrow('does not match')
  })

  it('to the literal address of something inside is refused all the same', async () => {
    const proxy = await startProxy(connected)
    await expect(createFetch()('https://169.254.169.254/', { ...init, proxy: proxy.url })).rejects.toThrow('not a public address')
    expect(proxy.asked).toEqual([])
  })

  it.each<[string, (socket: Socket) => void, string]>([
    ['refuses', socket => void socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'), 'answered 403'],
    [
      'redirects',
      socket => void socket.write('HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n'),
      'answered 302',
    ],
    ['speaks before the provider', socket => void socket.write('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'), 'answered 200'],
    ['hangs up', socket => void socket.destroy(), 'socket hang up'],
    ['speaks no HTTP', socket => void socket.write('SSH-2.0-x\r\n\r\n'), 'Parse Error'],
  ])('that %s fails and says so', async (_, answer, message) => {
    const proxy = await startProxy(answer)
    await expect(createFetch()(await provider(), { ...init, ca: testCa, proxy: proxy.url })).rejects.toThrow(`proxy ${proxy.url}: `)
    await expect(createFetch()(await provider(), { ...init, ca: testCa, proxy: proxy.url })).rejects.toThrow(message)
  })

  it('that never answers ends at the deadline', async () => {
    const proxy = await startProxy(socket => void socket.pause())
    const began = performance.now()
    await expect(createFetch()('https://login.example.com:1/', { ...init, timeout: 200, proxy: proxy.url })).rejects.toThrow()
    expect(performance.now() - began).toBeLessThan(1_500)
  })
})
