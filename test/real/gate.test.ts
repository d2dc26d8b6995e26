import { execFile } from 'node:child_process'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { main } from '../../cmd/main.ts'
import { localCluster, startBackend } from '../../deploy/demo/backend.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { Secret } from '../../src/model/secret.ts'
import { sharedCassandra, type Tenants, tenants } from '../support/cassandra.ts'
import { printed, spellings } from '../support/leaks.ts'
import { type Recorder, type Reply, startPostern, startRecorder, type TestPostern } from '../support/postern.ts'

const node = await sharedCassandra()

/** Everything real: OpenID provider, Cassandra, a backend that logs in with what it is given, Postern between them. */
describe.skipIf(node === null)('the gate on a real provider and a real Cassandra', () => {
  let cluster: Tenants
  let provider: DemoProvider
  let backend: { readonly port: number; close(): Promise<void> }
  let recorder: Recorder
  let postern: TestPostern
  let ann: string

  const acme = (): string => cluster.name('acme')
  const policy = (tenant: string): string => `postern: policy/v1
tenant: ${tenant}
owners: [a@example.com]
recognise: { host: ${tenant}.test, issuer: "${provider.issuer}", audience: postern-demo, claims: { tenant: ${tenant} } }
claims: { groups: list<string> }
who: { staff: { groups: [staff] } }
rules:
  - { allow: read, why: Staff read., who: staff, to: GET /v1/**, then: { cassandra-role: ${cluster.name('acme_finance_ro').replace(acme(), tenant)} } }
`

  beforeAll(async () => {
    cluster = await tenants(node!, 'gate')
    const claims = (tenant: string) => ({ claims: { tenant, groups: ['staff'] } })
    provider = await startProvider({ port: 0, users: { ann: claims(acme()), gus: claims(cluster.name('globex')) } })
    ann = await provider.token('ann')
    backend = await startBackend({ port: 0, cassandra: localCluster(node!) })
    recorder = await startRecorder()
    const issuer = provider.issuer
    postern = await startPostern({
      issuer,
      upstreamPort: backend.port,
      policies: { [`${acme()}.policy.yaml`]: policy(acme()) },
      sections: {
        upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", delivery: header }, shown: { url: "http://127.0.0.1:${recorder.port}", delivery: header } }`,
        routes: `routes: [{ name: api, host: ${acme()}.test, prefix: /v1, upstream: api }, { name: shown, host: ${acme()}.test, prefix: /v1/shown, upstream: shown }]`,
        cassandra: `cassandra: { contact-points: ["${node!.contactPoint}:${node!.port}"], local-data-center: datacenter1, username-file: manager.username, password-file: manager.password }`,
        credentials: 'credentials: { provider: cassandra, rotate-every: 2s, overlap: 1s }',
        audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem, checkpoint-every: 1s }',
      },
      files: { 'manager.username': cluster.login.username, 'manager.password': cluster.login.password.open() },
    })
    await vi.waitUntil(async () => (await read()).status === 200, { timeout: 30_000, interval: 100 })
  })
  afterAll(async () => {
    await postern?.stop()
    await backend?.close()
    await recorder?.close()
    await provider?.stop()
  })

  const read = (path = '/v1/invoices', token = ann): Promise<Reply> => postern.call(path, { token, host: `${acme()}.test` })
  const generationOf = (reply: Reply): number => (JSON.parse(reply.body) as { login: { generation: number } }).login.generation

  it('a backend that logs in with the injected credential reads the row of the tenant', async () => {
    const reply = await read('/v1/invoices/2026-0001')
    expect(reply.status).toBe(200)
    expect(JSON.parse(reply.body)).toMatchObject({
      tenant: acme(),
      from: 'cassandra',
      invoice: { id: '2026-0001' },
      login: { role: cluster.name('acme_finance_ro') },
    })
    expect(reply.body).not.toContain('password')
  })

  it("another tenant's token gets 403, and the cluster is not asked", async () => {
    expect((await read('/v1/invoices', await provider.token('gus'))).status).toBe(403)
  })

  it('rotates five times under a steady load, and not one request fails', async () => {
    const first = generationOf(await read())
    const failed: Reply[] = []
    let requests = 0
    let last = first
    const worker = async (): Promise<void> => {
      while (last < first + 5) {
        const reply = await read()
        requests += 1
        if (reply.status === 200) last = Math.max(last, generationOf(reply))
        else failed.push(reply)
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    expect(failed).toEqual([])
    expect(requests).toBeGreaterThan(100)
    await expect
      .poll(() => postern.records().filter(record => record['kind'] === 'rotation').length, { timeout: 5000 })
      .toBeGreaterThanOrEqual(5)
  }, 60_000)

  it('a password that was handed out stops working when its time is over', async () => {
    await read('/v1/shown')
    const shown = recorder.seen.at(-1)?.headers ?? {}
    const [username, password] = [String(shown['x-postern-cassandra-username']), new Secret(String(shown['x-postern-cassandra-password']))]
    const session = await cluster.manager()
    expect(await session.login(username, password)).toBe('ok')
    await expect.poll(() => session.login(username, password), { timeout: 20_000, interval: 250 }).toBe('refused')
    await session.close()
  }, 40_000)

  it('says 503 and why where the cluster has no such role, and goes on elsewhere', async () => {
    const missing = policy(acme()).replace('finance_ro', 'absent_ro')
    await writeFile(join(postern.dir, 'policies', `${acme()}.policy.yaml`), missing)
    await postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    expect((await read()).status).toBe(503)
    await writeFile(join(postern.dir, 'policies', `${acme()}.policy.yaml`), policy(acme()))
    await postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    await expect.poll(() => read().then(reply => reply.status), { timeout: 30_000, interval: 250 }).toBe(200)
  }, 60_000)

  it('no live secret stands in anything that is said, written or printed', async () => {
    const given = new Set<string>()
    const bodies: string[] = []
    // Through a rotation, with a backend that answers, one that dies, and callers that are refused.
    for (let i = 0; i < 15; i++) {
      await read('/v1/shown')
      given.add(String(recorder.seen.at(-1)?.headers['x-postern-cassandra-password']))
      bodies.push(JSON.stringify(await read()), JSON.stringify(await read('/v1/invoices', `${ann}x`)))
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    expect(given.size).toBeGreaterThan(1)
    recorder.answer = (_req, res) => res.destroy()
    bodies.push(JSON.stringify(await read('/v1/shown')))
    const shown: string[] = []
    const io = { out: (text: string) => shown.push(text), err: (text: string) => shown.push(text) }
    const config = join(postern.dir, 'proxy.config.yaml')
    for (const args of [
      ['config', 'show', '--json'],
      ['credentials', 'status', '--json'],
      ['credentials', 'history', cluster.name('acme_finance_ro'), '--json'],
    ])
      await main([...args, '--config', config], io)
    const exposition = await (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()
    const files = await readdir(join(postern.dir, 'audit'), { recursive: true, withFileTypes: true })
    const audit = files.filter(file => file.isFile()).map(file => readFile(join(file.parentPath, file.name), 'latin1'))
    const said = {
      bodies: bodies.join('\n'),
      commands: shown.join('\n'),
      log: postern.log(),
      audit: (await Promise.all(audit)).join('\n') + JSON.stringify(postern.records()),
      metrics: exposition,
      status: JSON.stringify(postern.app.status()),
      process: printed(postern.app),
    }
    const secrets = [...given, cluster.login.password.open()].flatMap(secret => spellings(Buffer.from(secret)))
    for (const [where, text] of Object.entries(said)) {
      expect(text.length, where).toBeGreaterThan(200)
      // Not toContain: it would print the secret.
      expect(secrets.filter(secret => text.includes(secret)).length, where).toBe(0)
      expect(text.includes(ann), where).toBe(false)
    }
  }, 30_000)

  describe('the record of all this', () => {
    const command = join(import.meta.dirname, '..', '..', 'cmd', 'postern.mjs')
    const verify = (dir: string): Promise<{ readonly code: number; readonly text: string }> =>
      new Promise(resolve => {
        const args = [
          'audit',
          'verify',
          '--dir',
          dir,
          '--second',
          join(postern.dir, 'audit-second'),
          '--key',
          join(postern.dir, 'audit.pub.pem'),
        ]
        execFile(process.execPath, [command, ...args], (fault, stdout, stderr) =>
          resolve({ code: fault === null ? 0 : Number(fault.code), text: stdout + stderr }),
        )
      })

    /** A copy of the record with the lines of its segment changed. */
    const tampered = async (
      name: string,
      change: (lines: string[]) => string[],
    ): Promise<{ readonly code: number; readonly text: string }> => {
      const copy = join(postern.dir, name)
      await cp(join(postern.dir, 'audit'), copy, { recursive: true })
      const file = join(copy, (await readdir(copy, { recursive: true })).find(path => path.endsWith('.jsonl')) ?? '')
      const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
      await writeFile(file, `${change(lines).join('\n')}\n`)
      return verify(copy)
    }

    it('verifies', async () => {
      await expect.poll(() => verify(join(postern.dir, 'audit')).then(({ code }) => code), { timeout: 20_000, interval: 500 }).toBe(0)
    }, 30_000)

    it.each<[string, (lines: string[]) => string[]]>([
      ['one changed byte', lines => lines.with(20, (lines[20] ?? '').replace('"status":200', '"status":201'))],
      ['a deleted line', lines => lines.toSpliced(20, 1)],
      ['swapped lines', lines => lines.with(20, lines[21] ?? '').with(21, lines[20] ?? '')],
      ['a cut tail', lines => lines.slice(0, 30)],
    ])('shows %s, and where', async (name, change) => {
      const { code, text } = await tampered(`copy of ${name}`, change)
      expect(text).toMatch(/TAMPERED/)
      expect(text).toMatch(/2\d|30/)
      expect(code).toBe(1)
    })
  })
})
