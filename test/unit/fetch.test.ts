import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createFetch } from '../../src/fetch.ts'
import type { FetchInit } from '../../src/model/deps.ts'
import { serve } from '../support/issuer.ts'
import { testCa, testCertificate, testCertificateKey } from '../support/tls.ts'

const fetch = createFetch()
const init: FetchInit = { timeout: 2_000, maxBytes: 1_000, reach: 'loopback' }
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

type Handler = (request: IncomingMessage, response: ServerResponse) => void
const at = async (handler: Handler): Promise<string> => {
  const server = await serve(handler)
  stops.push(() => server.stop())
  return server.url
}
const tlsAt = async (handler: Handler, host = 'localhost'): Promise<string> => {
  const server = createServer({ key: testCertificateKey, cert: testCertificate }, handler)
  await new Promise<void>(fulfil => server.listen(0, host === 'localhost' ? '127.0.0.1' : host, fulfil))
  stops.push(() => new Promise(fulfil => server.close(() => fulfil())))
  return `https://${host}:${(server.address() as AddressInfo).port}`
}

describe('a call', () => {
  it('gives status, headers and body, and closes its connection', async () => {
    let closed = false
    const url = await at((request, response) => {
      request.socket.on('close', () => {
        closed = true
      })
      response
        .writeHead(418, { 'X-A': '1', 'set-cookie': ['a', 'b'] })
        .end(`${request.headers.connection} ${request.headers['accept-encoding']}`)
    })
    const reply = await fetch(`${url}/x`, init)
    expect(reply).toMatchObject({ status: 418, headers: { 'x-a': '1', 'set-cookie': 'a, b' } })
    expect(reply.body.toString()).toBe('close identity')
    await expect.poll(() => closed).toBe(true)
  })

  it('sends a body with its length', async () => {
    const url = await at((request, response) => {
      let body = ''
      request.on('data', chunk => {
        body += chunk
      })
      request.on('end', () => response.end(`${request.method} ${request.headers['content-length']} ${body}`))
    })
    const reply = await fetch(url, { ...init, method: 'POST', body: 'é=1' })
    expect(reply.body.toString()).toBe('POST 4 é=1')
  })

  it.each<[string, Handler, string]>([
    [
      'a redirect',
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
      'answered 302; redirects are not followed',
    ],
    ['a body over the cap', (_, response) => response.end('x'.repeat(1_001)), 'larger than 1000 bytes'],
    ['an endless body', (_, response) => void setInterval(() => response.write('x'.repeat(400)), 1).unref(), 'larger than 1000 bytes'],
    [
      'a truncated body',
      (_, response) => {
        response.writeHead(200, { 'content-length': 100 }).write('x')
        setImmediate(() => response.destroy())
      },
      'broke off',
    ],
    ['a compressed body', (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'), 'content-encoding gzip'],
    ['a hang-up', request => request.socket.destroy(), 'socket hang up'],
    ['no HTTP', request => request.socket.end('hello\r\n\r\n'), 'Parse Error'],
    ['huge headers', (_, response) => response.writeHead(200, { x: 'y'.repeat(20_000) }).end(), 'Header overflow'],
  ])('answered with %s is rejected', async (_, handler, message) => {
    await expect(fetch(await at(handler), init)).rejects.toThrow(message)
  })

  it('that is never answered ends at its deadline, wherever the answer stops', async () => {
    const silent = await at(() => undefined)
    const half = await at((_, response) => response.writeHead(200, { 'content-length': 10 }).write('x'))
    const drip = await at((_, response) => void setInterval(() => response.write(' '), 20).unref())
    const began = performance.now()
    for (const url of [silent, half, drip])
      await expect(fetch(url, { ...init, timeout: 100 })).rejects.toThrow('no complete answer within 100 ms')
    expect(performance.now() - began).toBeLessThan(2_000)
  })

  it('to a closed port names the cause', async () => {
    await expect(fetch('http://127.0.0.1:1/', init)).rejects.toThrow('ECONNREFUSED')
  })

  it.each([
    ['ftp://127.0.0.1/', 'ftp: is not spoken'],
    ['file:///etc/passwd', 'file: is not spoken'],
    ['http://u:p@127.0.0.1/', 'user or password'],
    ['nonsense', 'Invalid URL'],
  ])('to %s is refused', async (url, message) => {
    await expect(fetch(url, init)).rejects.toThrow(message)
  })

  it.each(['http://10.0.0.1/', 'http://169.254.169.254/latest/meta-data', 'http://[fe80::1]/', 'http://0x0a000001/', 'http://0.0.0.0/'])(
    'bound to loopback does not go to %s',
    async url => {
      await expect(fetch(url, init)).rejects.toThrow('not a loopback address')
    },
  )

  it.each([
    [['10.0.0.1'], 'resolves to 10.0.0.1, not loopback'],
    [['127.0.0.1', '169.254.169.254'], 'resolves to 169.254.169.254, not loopback'],
    [['::1', '::ffff:10.0.0.1'], 'resolves to ::ffff:10.0.0.1, not loopback'],
    [[], 'resolves to nothing, not loopback'],
  ])('bound to loopback does not go to a name that resolves to %j', async (addresses, message) => {
    const asked: string[] = []
    const rebound = createFetch((hostname, done) => {
      asked.push(hostname)
      done(
        null,
        addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 })),
      )
    })
    await expect(rebound('http://idp.localhost:1/', init)).rejects.toThrow(message)
    expect(asked).toEqual(['idp.localhost'])
  })

  it('bound to loopback goes to a name of loopback', async () => {
    const url = await at((_, response) => response.end('here'))
    const named = createFetch((_, done) => done(null, [{ address: '127.0.0.1', family: 4 }]))
    expect((await named(url.replace('127.0.0.1', 'idp.localhost'), init)).body.toString()).toBe('here')
  })
})

describe('TLS', () => {
  it('is verified against the CA given', async () => {
    const url = await tlsAt((_, response) => response.end('secret'))
    expect((await fetch(url, { ...init, ca: testCa })).body.toString()).toBe('secret')
  })

  it('is refused without it, whatever the environment says', async () => {
    const url = await tlsAt((_, response) => response.end('secret'))
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      await expect(fetch(url, init)).rejects.toThrow(/unable to (verify|get)|self.signed/)
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    }
  })

  it('is refused for another address than the certificate has', async () => {
    const url = await tlsAt((_, response) => response.end('secret'), '127.0.0.2')
    await expect(fetch(url, { ...init, ca: testCa })).rejects.toThrow('does not match')
  })
})
