import { randomBytes } from 'node:crypto'
import driver, { type Client } from 'cassandra-driver'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { localCluster } from '../../deploy/demo/backend.ts'
import { Clients } from '../../src/backend/index.ts'
import { hashPassword } from '../../src/credentials/hash.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import type { Credential } from '../../src/model/credential.ts'
import { Secret, SecretBytes } from '../../src/model/secret.ts'
import { sharedCassandra, type Tenants, tenants } from '../support/cassandra.ts'
import { printCut } from '../support/cut-figures.ts'
import { rotated, Sidecar, slow } from '../support/sidecar.ts'

const strict = await sharedCassandra()
const lax = await sharedCassandra('lax')

/** A backend with one open connection. */
class Backend {
  readonly #clients: Clients
  readonly #login: Parameters<Clients['use']>[0]
  readonly #table: string

  constructor(node: { readonly contactPoint: string; readonly port: number }, credential: Credential, table: string) {
    const { role, username, password, generation } = credential
    this.#clients = new Clients(localCluster(node))
    this.#login = { role, username, password: password.open(), generation, notAfter: null }
    this.#table = table
  }

  run<T>(work: (client: Client) => Promise<T>): Promise<T> {
    return this.#clients.use(this.#login, work)
  }

  /** `ok`, or what Cassandra says. */
  query(): Promise<string> {
    return this.run(async client => {
      await client.execute(`SELECT id FROM ${this.#table} WHERE year = 2026`)
      return 'ok'
    }).catch((error: Error) => error.message)
  }

  close(): Promise<void> {
    return this.#clients.close()
  }
}

for (const [name, node] of [
  ['CassandraNetworkAuthorizer', strict],
  ['AllowAllNetworkAuthorizer', lax],
] as const)
  describe.skipIf(node === null)(`a cut in a real Cassandra with ${name}`, () => {
    const role = 'acme_finance_ro'
    const isStrict = node === strict
    let cluster: Tenants
    let manager: CassandraSession
    let sidecars: Sidecar[]
    let backend: Backend

    beforeAll(async () => {
      cluster = await tenants(node!, isStrict ? 'cuts' : 'cutl')
      manager = await cluster.manager()
      const keys = [new SecretBytes(randomBytes(32))]
      sidecars = [1, 2].map(() => new Sidecar(cluster, [role], { settings: slow, keys }))
      await Promise.all(sidecars.map(one => one.until(event => event.kind === 'rotated' || event.kind === 'adopted')))
      backend = connected()
      expect(await backend.query()).toBe('ok')
    })
    afterAll(async () => {
      await backend?.close()
      await Promise.all((sidecars ?? []).map(one => one.provider.close()))
      await manager?.close()
    })

    const [first, second] = [() => sidecars[0]!, () => sidecars[1]!]
    const connected = (): Backend => new Backend(node!, first().current(cluster.name(role)), `${cluster.name('acme')}.invoices`)

    it('ends new logins at once, and open connections where the cluster enforces it; else it names them', async () => {
      const { username, password } = first().current(cluster.name(role))
      const done = await second().provider.cut(cluster.name(role), 'test')
      printCut(name, done)
      expect(done).toMatchObject({ revoked: false, unlocked: [], unmarked: null, unreached: 0, reached: isStrict ? 'complete' : 'partly' })
      expect(done.nodes[0]?.loginMs).toBeLessThan(500)
      expect(await manager.login(username, password)).toBe('refused')
      expect(done.nodes[0]?.open?.some.join()).toMatch(/as postern_acmecut\w_finance_ro_a \(postern-backend, generation 1\)/)
      if (isStrict) {
        expect(done.nodes[0]?.connectionMs).toBeLessThan(500)
        expect(await backend.query()).toMatch(/access to this datacenter/)
      } else {
        expect(done.nodes[0]).toMatchObject({ connectionMs: null, dataMs: null })
        expect(await backend.query()).toBe('ok')
      }
    })

    it('stops the other sidecar of the group within one look', async () => {
      await first().until(event => event.kind === 'stopped')
      for (const one of sidecars) expect(one.provider.status()).toMatchObject([{ state: 'cut', generation: 0 }])
    })

    it('is not ended while a connection from before it is open, and then with another login', async () => {
      const ask = () => second().provider.rotate(cluster.name(role), false)
      expect(await ask()).toMatchObject({ is: 'refused', connections: { count: expect.any(Number) } })
      await backend.close()
      await expect.poll(ask, { timeout: 20_000, interval: 500 }).toMatchObject({ is: 'rotated', generation: 2 })
      await expect.poll(() => first().provider.status()[0]?.state, { timeout: 10_000 }).toBe('current')
      backend = connected()
      expect(await backend.query()).toBe('ok')
    })

    it('reaches the data of every open connection where the manager may revoke the permission role, and gives it back', async () => {
      const admin = await cluster.admin()
      await admin.execute(`GRANT AUTHORIZE ON ROLE ${cluster.name(role)} TO ${cluster.name('postern_manager')}`)
      // The manager's permissions are cached too.
      await admin.execute('TRUNCATE system_views.permissions_cache_keys')
      await admin.close()
      const done = await first().provider.cut(cluster.name(role), 'test again')
      printCut(`${name}, with AUTHORIZE`, done)
      expect(done).toMatchObject({ revoked: true, reached: 'complete' })
      const later = new Sidecar(cluster, [role], { settings: slow })
      await expect.poll(() => later.provider.status()[0]?.cutEnds, { timeout: 10_000 }).toBe(isStrict ? 'connections' : 'data')
      await later.provider.close()
      expect(done.nodes[0]?.dataMs).toBeLessThan(500)
      expect(await backend.query()).toMatch(isStrict ? /access to this datacenter/ : /no SELECT permission/)
      await backend.close()
      await expect
        .poll(() => first().provider.rotate(cluster.name(role), false), { timeout: 20_000, interval: 500 })
        .toMatchObject({ is: 'rotated', generation: 3 })
      backend = connected()
      expect(await backend.query()).toBe('ok')
    })
  })

describe.skipIf(lax === null)('a cut that cannot end connections', () => {
  it('counts every one of them, also where they fill more than a page, and names some', async () => {
    const cluster = await tenants(lax!, 'cutp')
    const name = cluster.name('acme_finance_ro')
    const sidecar = new Sidecar(cluster, ['acme_finance_ro'], { settings: slow })
    await sidecar.until(rotated)
    const { username, password } = sidecar.current(name)
    const { distance } = driver.types
    const client = new driver.Client({
      contactPoints: [lax!.contactPoint],
      localDataCenter: lax!.localDataCenter,
      protocolOptions: { port: lax!.port },
      credentials: { username, password: password.open() },
      pooling: { coreConnectionsPerHost: { [distance.local]: 600 } },
    })
    await client.connect()
    const done = await sidecar.provider.cut(name, 'test')
    printCut('600 connections', done)
    expect(done).toMatchObject({ reached: 'partly', nodes: [{ connectionMs: null, dataMs: null }] })
    expect(done.nodes[0]?.open?.count).toBeGreaterThanOrEqual(600)
    expect(done.nodes[0]?.open?.some).toHaveLength(20)
    await client.shutdown()
    await sidecar.provider.close()
  }, 60_000)
})

describe.skipIf(strict === null)('what is handed out, in a real Cassandra', () => {
  const role = 'globex_orders_ro'
  const watch = { every: 500, again: 100, settled: 0 }
  const mine = new Secret(randomBytes(32).toString('hex'))
  /** A plain PASSWORD is refused for 5 s after the last change; a hash never is. */
  const takeOver = async (login: string): Promise<string> => `ALTER ROLE ${login} WITH HASHED PASSWORD = '${await hashPassword(mine)}'`
  let cluster: Tenants
  let sidecar: Sidecar

  beforeAll(async () => {
    cluster = await tenants(strict!, 'hij')
  })
  beforeEach(async () => {
    sidecar = new Sidecar(cluster, [role], { settings: slow, watch })
    await sidecar.until(rotated)
  })
  afterEach(() => sidecar?.provider.close())

  const backendOf = (sidecar: Sidecar): Backend =>
    new Backend(strict!, sidecar.current(cluster.name(role)), `${cluster.name('globex')}.invoices`)

  it('is given up when a backend changes the password of its own slot, and the other slot takes over', async () => {
    const before = sidecar.current(cluster.name(role))
    const backend = backendOf(sidecar)
    await backend.run(async client => client.execute(await takeOver(before.username)))
    await sidecar.until(event => event.kind === 'quarantined')
    await sidecar.until(rotated, 2)
    const after = sidecar.current(cluster.name(role))
    expect(after.username).not.toBe(before.username)
    await sidecar.until(event => event.kind === 'retired' && event.slot === before.username)
    const session = await cluster.manager()
    expect(await session.login(before.username, mine)).toBe('refused')
    expect(await session.login(after.username, after.password)).toBe('ok')
    await session.close()
    await backend.close()
  })

  it('is watched by the hash where the manager may read it', async () => {
    const admin = await cluster.admin()
    const manager = cluster.name('postern_manager')
    await admin.execute(`GRANT SELECT ON TABLE system_auth.roles TO ${manager}`)
    const before = sidecar.current(cluster.name(role))
    // A first look must know our own write.
    await new Promise(resolve => setTimeout(resolve, 2_000))
    expect(sidecar.events.filter(event => event.kind === 'quarantined')).toEqual([])
    await admin.execute(await takeOver(before.username))
    await sidecar.until(event => event.kind === 'quarantined' && event.why.includes('hash'))
    await sidecar.until(rotated, 2)
    await admin.execute(`REVOKE SELECT ON TABLE system_auth.roles FROM ${manager}`)
    await admin.close()
  })

  it('of a slot that a DBA dropped is replaced by the other one, and the drop is told by name without a tight loop', async () => {
    const admin = await cluster.admin()
    const before = sidecar.current(cluster.name(role)).username
    await admin.execute(`DROP ROLE ${before}`)
    await sidecar.until(rotated, 2)
    expect(sidecar.current(cluster.name(role)).username).not.toBe(before)
    const waiting = sidecar.provider.rotate(cluster.name(role), false).catch(String)
    await sidecar.until(event => event.kind === 'failed' && event.step === 'alter' && event.message.startsWith(`${before} was dropped`), 2)
    expect(sidecar.provider.status()).toMatchObject([{ state: 'current', detail: expect.stringContaining(`${before} was dropped`) }])
    await admin.execute(`CREATE ROLE ${before} WITH LOGIN = true`)
    await admin.execute(`GRANT ALTER ON ROLE ${before} TO ${cluster.name('postern_manager')}`)
    await sidecar.until(event => event.kind === 'failed' && event.step === 'prove')
    expect(sidecar.events.findLast(event => event.kind === 'failed')).toMatchObject({
      message: `${before} is no member of ${cluster.name(role)}: a DBA must run GRANT ${cluster.name(role)} TO ${before};`,
    })
    await admin.execute(`GRANT ${cluster.name(role)} TO ${before}`)
    await sidecar.until(rotated, 3)
    await waiting
    await admin.close()
  }, 90_000)

  it('is said to be of no use when a DBA drops the permission role, and nothing is said when its grants change', async () => {
    const admin = await cluster.admin()
    const name = cluster.name(role)
    const table = `${cluster.name('globex')}.invoices`
    await admin.execute(`GRANT MODIFY ON TABLE ${table} TO ${name}`)
    await admin.execute(`REVOKE SELECT ON TABLE ${table} FROM ${name}`)
    await new Promise(resolve => setTimeout(resolve, 2_000))
    expect(sidecar.events.filter(event => event.kind === 'failed' || event.kind === 'quarantined')).toEqual([])
    await admin.execute(`DROP ROLE ${name}`)
    await sidecar.until(event => event.kind === 'failed' && event.step === 'check')
    expect(sidecar.provider.status()).toMatchObject([{ detail: expect.stringContaining(`a DBA must run GRANT ${name} TO`) }])
    await new Promise(resolve => setTimeout(resolve, 2_000))
    expect(sidecar.events.filter(event => event.kind === 'failed')).toHaveLength(1)
    await sidecar.provider.close()
    await admin.close()
  })
})

describe.skipIf(strict === null)('connections that are late', () => {
  it('are named when the previous credential has its time prolonged, when it is retired, and when its slot is used again', async () => {
    const cluster = await tenants(strict!, 'late')
    const name = cluster.name('acme_finance_rw')
    const settings = { ...slow, rotateEvery: 4_000, overlap: 500 }
    const sidecar = new Sidecar(cluster, ['acme_finance_rw'], { settings })
    await sidecar.until(rotated)
    const { username } = sidecar.current(name)
    const backend = new Backend(strict!, sidecar.current(name), `${cluster.name('acme')}.invoices`)
    expect(await backend.query()).toBe('ok')
    await sidecar.until(event => event.kind === 'late')
    await sidecar.until(event => event.kind === 'retired' && event.slot === username)
    await sidecar.until(rotated, 3)
    const named = {
      count: expect.any(Number),
      some: expect.arrayContaining([expect.stringMatching(`${username} \\(postern-backend, generation 1\\)`)]),
    }
    expect(sidecar.events.find(event => event.kind === 'late')).toMatchObject({ slot: username, ms: 500, late: named })
    expect(sidecar.events.find(event => event.kind === 'retired' && event.slot === username)).toMatchObject({ late: named })
    expect(sidecar.events.filter(rotated)[2]).toMatchObject({ slot: username, late: named })
    expect(await backend.query()).toBe('ok')
    await backend.close()
    await sidecar.provider.close()
  })
})
