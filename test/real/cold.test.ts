import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { localCluster, startBackend } from '../../deploy/demo/backend.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { sharedCassandra, type Tenants, tenants } from '../support/cassandra.ts'
import { startPostern, type TestPostern, tenantPolicy } from '../support/postern.ts'

const node = await sharedCassandra()

/** The way to Cassandra, which is closed at first: connections are refused, as where nothing listens. */
class Way {
  port = 0
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer(socket => {
    const onward = connect(node!.port, node!.contactPoint)
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      this.#sockets.add(from)
      from.pipe(to).on('error', () => from.destroy())
      from.on('error', () => to.destroy()).on('close', () => to.destroy())
    }
  })

  async reserve(): Promise<void> {
    await this.open()
    await this.close()
  }

  async open(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    this.port = typeof address === 'object' && address !== null ? address.port : 0
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

describe.skipIf(node === null)('a sidecar that starts while Cassandra is down', () => {
  const way = new Way()
  let cluster: Tenants
  let provider: DemoProvider
  let backend: { readonly port: number; close(): Promise<void> }
  let postern: TestPostern
  let token: string
  let host: string

  beforeAll(async () => {
    cluster = await tenants(node!, 'cold')
    const tenant = cluster.name('acme')
    host = `${tenant}.test`
    provider = await startProvider({ port: 0, users: { ann: { claims: { tenant, groups: ['staff'] } } } })
    token = await provider.token('ann')
    backend = await startBackend({ port: 0, cassandra: localCluster(node!) })
    await way.reserve()
    const url = `http://127.0.0.1:${backend.port}`
    const rules = `  - { allow: data, why: Staff., who: staff, to: GET /v1/**, then: { cassandra-role: ${tenant}_finance_ro } }
  - { allow: plain, why: Staff., who: staff, to: GET /plain/** }`
    postern = await startPostern({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      policies: { [`${tenant}.policy.yaml`]: tenantPolicy(tenant, provider.issuer, rules) },
      sections: {
        upstreams: `upstreams: { api: { url: "${url}", delivery: header }, plain: { url: "${url}" } }`,
        routes: `routes: [{ name: api, host: ${host}, prefix: /v1, upstream: api }, { name: plain, host: ${host}, prefix: /plain, upstream: plain }]`,
        cassandra: `cassandra: { contact-points: ["127.0.0.1:${way.port}"], local-data-center: datacenter1, username-file: manager.username, password-file: manager.password }`,
        credentials: 'credentials: { provider: cassandra }',
      },
      files: { 'manager.username': cluster.login.username, 'manager.password': cluster.login.password.open() },
    })
  })
  afterAll(async () => {
    await postern?.stop()
    await way.close().catch(() => undefined)
    await backend?.close()
    await provider?.stop()
  })

  const status = async (path: string): Promise<number> => (await postern.call(path, { token, host })).status

  it('serves what needs no credential, and refuses what does with a code', async () => {
    // The backend knows no such path: the answer is its own.
    expect(await status('/plain/thing')).toBe(404)
    expect(await status('/v1/invoices')).toBe(503)
    const codes = () => postern.records().map(record => record['code'])
    await expect.poll(codes, { timeout: 5_000 }).toContain('PST4001')
    expect(codes()).toContain('PST2001')
    expect((await fetch(`http://127.0.0.1:${postern.opsPort}/readyz`)).status).toBe(200)
  })

  it('recovers by itself, without a restart', async () => {
    await way.open()
    await expect.poll(() => status('/v1/invoices'), { timeout: 25_000, interval: 100 }).toBe(200)
  })
})
