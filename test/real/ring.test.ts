import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { SecretBytes } from '../../src/model/secret.ts'
import { sharedRing, type Tenants, tenants } from '../support/cassandra.ts'
import { rotated, Sidecar, slow } from '../support/sidecar.ts'

const ring = await sharedRing()

describe.skipIf(ring === null)('three nodes in two data centres', () => {
  const role = 'acme_finance_ro'
  let cluster: Tenants

  beforeAll(async () => {
    cluster = await tenants(ring![0]!, 'ring')
  })

  it('each answer for themselves, those of the other data centre too', async () => {
    const manager = await cluster.manager()
    const hosts = manager.hosts()
    expect(hosts).toHaveLength(3)
    for (const host of hosts) {
      const [row] = await manager.execute("SELECT value FROM system_views.settings WHERE name = 'rpc_address'", [], { host })
      expect(`${row?.['value']}`).toBe(host.split(':')[0])
    }
    await manager.close()
  })

  it('all let a new credential in before it is handed out', async () => {
    const sidecar = new Sidecar(cluster, [role], { settings: slow, keys: [new SecretBytes(randomBytes(32))] })
    await sidecar.until(rotated)
    expect(sidecar.events.filter(rotated)).toMatchObject([{ generation: 1, nodes: 3 }])
    await sidecar.provider.close()
  })
})
