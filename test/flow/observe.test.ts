import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, type Recorder, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
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
afterEach(() => postern.stop())

const rules = `  - { deny: frozen, why: Not now., who: staff, to: ANY /v1/frozen }
  - { allow: read, why: Staff read., who: staff, to: GET /v1/a, then: { cassandra-role: acme_ro } }`

const start = async (ms: number, upstreamPort = backend.port): Promise<void> => {
  const until = new Date(Date.now() + ms).toISOString()
  const acme = tenantPolicy('acme', provider.issuer, rules).replace('owners:', `mode: { observe-until: "${until}" }\nowners:`)
  postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort,
    policies: { 'acme.policy.yaml': acme, 'globex.policy.yaml': tenantPolicy('globex', provider.issuer) },
    sections: {
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${upstreamPort}", delivery: header } }`,
      credentials: 'credentials: { provider: file, credentials-file: credentials.json }',
    },
    files: { 'credentials.json': JSON.stringify({ acme_ro: { username: 'u', password: 'p'.repeat(20) } }) },
  })
}
const status = async (path: string): Promise<number> => (await postern.call(path, { token: ann })).status
const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()

describe('a tenant in observe mode', () => {
  it('lets through what its rules refuse, without a credential, and records that it would not have been', async () => {
    await start(3_600_000)
    backend.seen.length = 0
    expect([await status('/v1/frozen'), await status('/v1/nothing'), await status('/v1/a')]).toEqual([200, 200, 200])
    const logins = backend.seen.map(({ headers }) => headers['x-postern-cassandra-username'])
    expect(logins).toEqual([undefined, undefined, 'u'])
    const exchanges = () => postern.records().filter(record => record['kind'] === 'exchange')
    await expect.poll(() => exchanges().length, { timeout: 5000 }).toBe(3)
    expect(exchanges()).toMatchObject([
      { code: 'PST2001', decision: { effect: 'allow', rule: 'frozen', observed: { effect: 'deny', rule: 'frozen' } }, credential: null },
      { code: 'PST2001', decision: { effect: 'allow', rule: 'default', observed: { effect: 'deny', rule: 'default' } }, credential: null },
      { code: 'PST2001', decision: { effect: 'allow', rule: 'read', observed: null }, credential: { role: 'acme_ro' } },
    ])
  })

  it('is told aloud: in the log at the start, in the status, and in metrics that count what would be refused', async () => {
    await start(3_600_000)
    await status('/v1/frozen')
    expect(postern.log()).toMatch(/W813.*what the rules of acme refuse is recorded and let pass/)
    expect(postern.app.status()).toMatchObject({ observing: [{ tenant: 'acme' }] })
    const text = await metrics()
    expect(text).toContain('postern_policy_observing{tenant="acme"} 1')
    expect(text).toContain('postern_decisions_total{tenant="acme",effect="deny",rule="frozen",mode="observe"} 1')
    expect(text).not.toMatch(/rule="frozen",mode="enforce"/)
  })

  it('still wants a token, the gateway, and the tenant that the token is of', async () => {
    await start(3_600_000)
    expect((await postern.call('/v1/frozen')).status).toBe(401)
    expect((await postern.call('/v1/frozen', { token: ann, proof: null })).status).toBe(403)
    expect((await postern.call('/v1/frozen', { token: ann, host: 'globex.test' })).status).toBe(403)
    expect((await postern.call('/nowhere', { token: ann })).status).toBe(404)
  })

  it('is enforced from the moment on by the clock, with no reload, and a stream that it let through ends', async () => {
    const echo = createServer()
    echo.on('upgrade', (_req, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n')
      socket.on('error', () => socket.destroy())
    })
    await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve))
    await start(3000, (echo.address() as AddressInfo).port)
    const headers = {
      'x-postern-gateway-proof': gatewaySecret,
      'x-postern-host': 'acme.test',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
      authorization: `Bearer ${ann}`,
    }
    const closed = new Promise<void>((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port: postern.port, path: '/v1/frozen', headers, agent: false })
      req.on('upgrade', (_res, socket) =>
        socket
          .on('error', () => undefined)
          .once('close', () => resolve())
          .resume(),
      )
      req.on('response', res => reject(new Error(String(res.statusCode))))
      req.on('error', reject)
      req.end()
    })
    await closed
    expect(await status('/v1/frozen')).toBe(403)
    expect(await metrics()).not.toContain('postern_policy_observing{')
    expect(postern.app.status()).toMatchObject({ observing: [] })
    echo.closeAllConnections()
    echo.close()
  })
})
