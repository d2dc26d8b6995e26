import { writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener, request, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import {
  gatewaySecret,
  type PosternOptions,
  type Recorder,
  sendRaw,
  startPostern,
  startRecorder,
  type TestPostern,
} from '../support/postern.ts'
import { testCa, testCertificate, testCertificateKey } from '../support/tls.ts'

let provider: DemoProvider
let backend: Recorder
let ann: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  ann = await provider.token('ann')
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})

const start = async (options: Partial<PosternOptions>): Promise<TestPostern> => {
  const postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, ...options })
  onTestFinished(() => postern.stop())
  return postern
}
const upstream = (settings: string): Partial<PosternOptions> => ({ sections: { upstreams: `upstreams: { api: { ${settings} } }` } })
const listening = async (server: Server, at: number | string): Promise<void> => {
  await new Promise<void>(resolve => (typeof at === 'number' ? server.listen(at, '127.0.0.1', resolve) : server.listen(at, resolve)))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
}
const says: RequestListener = (req, res) => res.end(`${req.headers.host} ${req.headers.authorization?.slice(0, 6) ?? 'no authorization'}`)

describe('a backend over TLS', () => {
  it('with a private authority answers where its ca-file is named, and 502 where it is not', async () => {
    const server = createHttpsServer({ key: testCertificateKey, cert: testCertificate }, says)
    await listening(server, 0)
    const { port } = server.address() as AddressInfo
    const trusting = await start({
      ...upstream(`url: "https://localhost:${port}", tls: { ca-file: ca.pem }`),
      files: { 'ca.pem': testCa },
    })
    expect((await trusting.call('/v1/x', { token: ann })).status).toBe(200)
    const strict = await start(upstream(`url: "https://localhost:${port}"`))
    expect((await strict.call('/v1/x', { token: ann })).status).toBe(502)
  })
})

describe('a backend', () => {
  it('on a UNIX socket is reached, and may be shown a credential', async () => {
    const path = join(tmpdir(), `postern-${process.pid}.sock`)
    const server = createHttpServer(says)
    await listening(server, path)
    const postern = await start(upstream(`url: "unix:${path}", delivery: header`))
    expect(await postern.call('/v1/x', { token: ann })).toMatchObject({ status: 200, body: 'localhost no authorization' })
  })

  it("sees the client's host and token only where the configuration says so", async () => {
    backend.answer = says
    const postern = await start(upstream(`url: "http://127.0.0.1:${backend.port}", host: original, forward-authorization: true`))
    expect((await postern.call('/v1/x', { token: ann })).body).toBe('acme.test Bearer')
  })

  it('that nobody listens for gives 502', async () => {
    const closed = await startRecorder()
    await closed.close()
    expect((await (await start(upstream(`url: "http://127.0.0.1:${closed.port}"`))).call('/v1/x', { token: ann })).status).toBe(502)
  })

  it('that needs a credential and cannot be given one is not called: 503', async () => {
    const policy = `postern: policy/v1
tenant: acme
owners: [a@example.com]
recognise: { host: acme.test, issuer: "${provider.issuer}", audience: postern-demo, claims: { tenant: acme } }
rules: [{ allow: all, why: All., who: anyone, to: ANY /v1/**, then: { cassandra-role: acme_ro } }]
`
    backend.seen.length = 0
    const postern = await start({ policies: { 'acme.policy.yaml': policy } })
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(503)
    await expect.poll(() => JSON.stringify(postern.records()), { timeout: 5000 }).toContain('PST4003')
    expect(backend.seen).toEqual([])
  })

  it('elsewhere may not be given credentials in plain fields: the configuration is refused', async () => {
    await expect(
      startPostern({ issuer: provider.issuer, upstreamPort: 1, ...upstream('url: "http://10.0.0.1:80", delivery: header') }),
    ).rejects.toThrow(/C204 delivery header/)
    await expect(
      startPostern({ issuer: provider.issuer, upstreamPort: 1, ...upstream('url: "http://localhost:80", delivery: header') }),
    ).rejects.toThrow(/C204 delivery header/)
  })
})

describe('credentials from a file', () => {
  const credentials = (password: string, generation: number): string =>
    JSON.stringify({ acme_ro: { username: 'slot_a', password, generation } })

  it('reach the backend by the role of the rule, and a new file is shown without a restart', async () => {
    const policy = `postern: policy/v1
tenant: acme
owners: [a@example.com]
recognise: { host: acme.test, issuer: "${provider.issuer}", audience: postern-demo, claims: { tenant: acme } }
rules: [{ allow: all, why: All., who: anyone, to: ANY /v1/**, then: { cassandra-role: acme_ro } }]
`
    const postern = await start({
      policies: { 'acme.policy.yaml': policy },
      sections: {
        upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", delivery: header } }`,
        credentials: 'credentials: { provider: file, credentials-file: credentials.json }',
      },
      files: { 'credentials.json': credentials('first-password', 1) },
    })
    const login = async () => {
      await postern.call('/v1/x', { token: ann })
      const headers = backend.seen.at(-1)?.headers ?? {}
      return ['username', 'password', 'generation'].map(name => headers[`x-postern-cassandra-${name}`]).join(' ')
    }
    expect(await login()).toBe('slot_a first-password 1')
    await writeFile(join(postern.dir, 'credentials.json'), credentials('second-password', 2))
    await expect.poll(login, { timeout: 15_000 }).toBe('slot_a second-password 2')
    await writeFile(join(postern.dir, 'credentials.json'), '{ broken')
    await expect.poll(() => postern.log(), { timeout: 15_000 }).toMatch(/credentials\.json/)
    expect(await login()).toBe('slot_a second-password 2')
    expect(postern.log() + JSON.stringify(postern.records()) + JSON.stringify(postern.app.status())).not.toMatch(
      /first-password|second-password/,
    )
  })
})

describe('an upload', () => {
  it('that waits for 100 Continue gets it only when it is allowed', async () => {
    backend.answer = (_req, res, body) => res.end(`got ${body.length}`)
    const postern = await start({})
    const head = (token: string): string =>
      `POST /v1/x HTTP/1.1\r\nhost: acme.test\r\nx-postern-host: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${token}\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 5\r\n\r\n`
    const socket = connect(postern.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      if (text === '' && chunk.toString().startsWith('HTTP/1.1 100')) socket.write('hello')
      text += chunk.toString()
    })
    socket.write(head(ann))
    await new Promise(resolve => socket.once('close', resolve))
    expect(text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*got 5$/)
    expect(await sendRaw(postern.port, head('rubbish'), /\r\n\r\n/)).toMatch(/^HTTP\/1\.1 401 /)
  })

  it('to a backend that answers early ends with that answer', async () => {
    const server = createHttpServer((_req, res) => res.writeHead(409).end('no more'))
    await listening(server, 0)
    const postern = await start(upstream(`url: "http://127.0.0.1:${(server.address() as AddressInfo).port}"`))
    for (let i = 0; i < 20; i++)
      expect((await postern.call('/v1/x', { token: ann, method: 'POST', body: 'x'.repeat(3_000_000) })).status).toBe(409)
  })
})

describe('an answer that comes before the upload has ended', () => {
  it('ends the connection, so that the rest of the upload is never read as a request', async () => {
    const server = createHttpServer((_req, res) => res.writeHead(200, { 'content-length': 5 }).end('early'))
    await listening(server, 0)
    const postern = await start(upstream(`url: "http://127.0.0.1:${(server.address() as AddressInfo).port}"`))
    const head = `POST /v1/x HTTP/1.1\r\nhost: acme.test\r\nx-postern-host: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${ann}\r\ncontent-length: 1000000\r\n\r\n`
    expect(await sendRaw(postern.port, `${head}${'x'.repeat(100)}`)).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*early$/i)
  })
})

describe('more than max-in-flight', () => {
  it('is refused with 503 and Retry-After while the others go on', async () => {
    const waiting: (() => void)[] = []
    backend.answer = (_req, res) => void waiting.push(() => res.end('late'))
    const postern = await start({ sections: { limits: 'limits: { max-in-flight: 2 }' } })
    const [one, two] = [postern.call('/v1/1', { token: ann }), postern.call('/v1/2', { token: ann })]
    await expect.poll(() => waiting.length, { timeout: 5000 }).toBe(2)
    const third = await postern.call('/v1/3', { token: ann })
    expect(third).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    for (const answer of waiting) answer()
    expect((await one).status).toBe(200)
    expect((await two).status).toBe(200)
  })
})

describe('none-accept-direct-traffic', () => {
  it('serves without a proof, loudly: at the start, on every record and as a metric', async () => {
    backend.answer = says
    const postern = await start({ sections: { gateway: 'gateway: { proof: [none-accept-direct-traffic] }' } })
    const reply = await postern.call('/v1/x', {
      token: ann,
      proof: null,
      headers: { host: 'acme.test', 'x-postern-host': 'globex.test', 'x-postern-client-ip': 'rubbish' },
    })
    expect(reply.status).toBe(200)
    expect(postern.log()).toContain('ANYONE WHO REACHES THIS PORT IS SERVED')
    await expect.poll(() => JSON.stringify(postern.records()), { timeout: 5000 }).toContain('"proof":["none-accept-direct-traffic"]')
    expect(JSON.stringify(postern.records())).toContain('"client-ip":"127.0.0.1"')
    const metrics = await new Promise<string>(resolve => {
      request({ host: '127.0.0.1', port: postern.opsPort, path: '/metrics' }, res => {
        let text = ''
        res.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        res.on('end', () => resolve(text))
      }).end()
    })
    expect(metrics).toContain('postern_unproved_direct_traffic 1')
  })

  it('beside another proof is a configuration error', async () => {
    const gateway = 'gateway: { proof: [shared-secret, none-accept-direct-traffic], secret-files: [gateway.secret] }'
    await expect(startPostern({ issuer: provider.issuer, upstreamPort: 1, sections: { gateway } })).rejects.toThrow(/stands alone/)
  })
})

describe('a full audit', () => {
  it('refuses with 503 what could not be recorded, and /readyz says so', async () => {
    const postern = await start({
      sections: { audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem, spool-max: 1MiB }' },
    })
    backend.answer = (_req, res) => res.end('ok')
    const path = `/v1/${'a'.repeat(4000)}`
    let status = 200
    for (let i = 0; i < 600 && status === 200; i++) status = (await postern.call(path, { token: ann })).status
    expect(status).toBe(503)
    expect(postern.app.ready()).toMatchObject({ ready: false, detail: { audit: { ready: false } } })
  })
})
