import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { localCluster, startBackend } from '../../deploy/demo/backend.ts'
import { createDeliveries } from '../../src/credentials/delivery.ts'
import type { CredentialEvent } from '../../src/credentials/events.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { Secret, SecretBytes } from '../../src/model/secret.ts'
import { sharedCassandra, type Tenants, tenants } from '../support/cassandra.ts'
import { rotated, Sidecar, slow } from '../support/sidecar.ts'

const node = await sharedCassandra()
const { header } = createDeliveries({ now: Date.now, sealer: () => null })

describe.skipIf(node === null)('rotation in a real Cassandra', () => {
  let cluster: Tenants
  let manager: CassandraSession
  let role: string

  beforeAll(async () => {
    cluster = await tenants(node!, 'rot')
    manager = await cluster.manager()
    role = cluster.name('acme_finance_ro')
  })
  afterAll(async () => {
    await manager?.close()
  })

  it('needs a manager that is no superuser, reads no tenant data and no password hash, and makes no role', async () => {
    const admin = await cluster.admin()
    const [row] = await admin.execute('SELECT is_superuser FROM system_auth.roles WHERE role = ?', [cluster.name('postern_manager')])
    expect(row).toEqual({ is_superuser: false })
    await admin.close()
    for (const cql of [
      `SELECT id FROM ${cluster.name('acme')}.invoices`,
      'SELECT salted_hash FROM system_auth.roles',
      'CREATE ROLE other WITH LOGIN = true',
      `GRANT ${role} TO ${cluster.name('postern_manager')}`,
    ])
      await expect(manager.execute(cql), cql).rejects.toMatchObject({ code: 0x2100 })
  })

  it('finds slots into which nobody can log in before the first rotation', async () => {
    for (const password of ['x', `postern_${role}_a`])
      expect(await manager.login(`postern_${role}_a`, new Secret(password))).toBe('refused')
  })

  it('can have its schema applied again', async () => {
    const again = await tenants(node!, 'rot')
    expect((await (await again.manager()).hosts()).length).toBe(1)
    // The manager's password is a new one now.
    await manager.close()
    cluster = again
    manager = await cluster.manager()
  })

  it('re-keys slot a, proves it, hands it out, and answers no-lease elsewhere until the holder closes', async () => {
    const first = new Sidecar(cluster, ['globex_orders_ro'], { settings: slow })
    const name = cluster.name('globex_orders_ro')
    await first.until(rotated)
    expect(first.events.filter(rotated)).toMatchObject([{ role: name, generation: 1, slot: `postern_${name}_a`, nodes: 1 }])
    const credential = first.current(name)
    expect(await manager.login(credential.username, credential.password)).toBe('ok')

    const second = new Sidecar(cluster, ['globex_orders_ro'], { settings: slow })
    await second.until(event => event.kind === 'lease')
    expect(second.provider.current(name)).toMatchObject({
      unavailable: 'credential-no-lease',
      detail: expect.stringMatching(/made by test\/.*\/\d+\//),
    })

    await first.provider.close()
    await second.until(rotated)
    expect(second.current(name)).toMatchObject({ username: `postern_${name}_b`, generation: 2 })
    expect(await manager.login(credential.username, credential.password)).toBe('ok')
    await second.provider.close()
  })

  it('rotates at least 5 times under steady load, new logins included, with no failure', async () => {
    const rotating = new Sidecar(cluster, ['acme_finance_ro'])
    const failures: string[] = []
    const backend = await startBackend({ port: 0, cassandra: localCluster(node!), log: line => failures.push(line) })
    await rotating.until(rotated)
    const generations = new Set<number>()
    let requests = 0
    let logins = 0
    let done = false

    const request = async (): Promise<void> => {
      const fields = await header.deliver(rotating.current(role), { name: 'api', key: null })
      if ('unavailable' in fields) throw new Error(fields.detail)
      const headers = new Headers({ 'x-postern-tenant': cluster.name('acme') })
      for (let i = 0; i < fields.length; i += 2) headers.set(fields[i]!, fields[i + 1]!)
      const reply = await fetch(`http://127.0.0.1:${backend.port}/v1/invoices`, { headers })
      const body = (await reply.json()) as { invoices: unknown[]; login: { generation: number } }
      if (reply.status !== 200 || body.invoices.length !== 3) failures.push(`${reply.status} ${JSON.stringify(body)}`)
      else generations.add(body.login.generation)
      requests += 1
    }
    const login = async (): Promise<void> => {
      const { username, password } = rotating.current(role)
      const result = await manager.login(username, password)
      if (result !== 'ok') failures.push(`login as ${username}: ${result}`)
      logins += 1
    }
    const steadily = async (work: () => Promise<void>): Promise<void> => {
      while (!done) await work().catch((error: unknown) => failures.push(String(error)))
    }
    const load = [request, request, request, request, login].map(steadily)
    await rotating.until(rotated, 7)
    done = true
    await Promise.all(load)
    expect(failures).toEqual([])
    expect(generations.size).toBeGreaterThanOrEqual(6)
    expect(rotating.events.filter(event => event.kind === 'failed')).toEqual([])
    const took = rotating.events.flatMap(event => (event.kind === 'rotated' ? [event.ms] : []))
    process.stderr.write(
      `rotation: ${took.length} rotations in ${took.join(', ')} ms each, ${requests} requests, ${logins} new logins, 0 failures\n`,
    )
    await backend.close()
    await rotating.provider.close()
  })

  it('makes the old password stop working after the overlap', async () => {
    const rotating = new Sidecar(cluster, ['acme_finance_rw'])
    await rotating.until(rotated)
    const name = cluster.name('acme_finance_rw')
    const old = rotating.current(name)
    await rotating.until(rotated, 2)
    expect(await manager.login(old.username, old.password)).toBe('ok')
    const isRetired = (event: CredentialEvent): boolean => event.kind === 'retired' && event.slot === old.username
    await rotating.until(isRetired)
    expect(await manager.login(old.username, old.password)).toBe('refused')
    expect(await manager.login(rotating.current(name).username, rotating.current(name).password)).toBe('ok')
    await rotating.provider.close()
  })

  it('is one for three sidecars that share a key, and a restart hands out what is current', async () => {
    const keys = [new SecretBytes(randomBytes(32))]
    const open = () => new Sidecar(cluster, ['acme_finance_rw'], { keys })
    const rw = cluster.name('acme_finance_rw')
    const sidecars = [open(), open(), open()]
    const given = (event: CredentialEvent): boolean => event.kind === 'rotated' || event.kind === 'adopted'
    await Promise.all(sidecars.map(one => one.until(given, 3)))
    const made = sidecars.flatMap(one => one.events.filter(rotated).map(event => ('generation' in event ? event.generation : 0)))
    expect(new Set(made).size).toBe(made.length)
    for (const one of sidecars) {
      const { username, password } = one.current(rw)
      expect(await manager.login(username, password)).toBe('ok')
    }
    const holder = sidecars.find(one => one.events.some(rotated))
    const before = sidecars.map(one => one.current(rw).generation)
    await holder?.provider.close()
    const again = open()
    await again.until(given)
    expect(again.current(rw).generation).toBeGreaterThanOrEqual(Math.max(...before))
    expect(await manager.login(again.current(rw).username, again.current(rw).password)).toBe('ok')
    await Promise.all([...sidecars, again].map(one => one.provider.close()))
  })

  it('gives a backend no more than the permission role has', async () => {
    const rotating = new Sidecar(cluster, ['acme_finance_ro'])
    const backend = await startBackend({ port: 0, cassandra: localCluster(node!) })
    await rotating.until(rotated)
    const fields = await header.deliver(rotating.current(role), { name: 'api', key: null })
    const headers = new Headers()
    if (!('unavailable' in fields)) for (let i = 0; i < fields.length; i += 2) headers.set(fields[i]!, fields[i + 1]!)
    const ask = async (tenant: string, init: RequestInit): Promise<number> => {
      headers.set('x-postern-tenant', cluster.name(tenant))
      return (await fetch(`http://127.0.0.1:${backend.port}/v1/invoices`, { ...init, headers })).status
    }
    expect(await ask('acme', {})).toBe(200)
    expect(await ask('acme', { method: 'POST', body: '{"customer":"x","cents":1}' })).toBe(403)
    expect(await ask('globex', {})).toBe(403)
    await backend.close()
    await rotating.provider.close()
  })
})
