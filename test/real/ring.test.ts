import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLease } from '../../src/credentials/lease.ts'
import { systemClock } from '../../src/deps.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { SecretBytes } from '../../src/model/secret.ts'
import { restartNode, sharedRing, type Tenants, tenants } from '../support/cassandra.ts'
import { printCut } from '../support/cut-figures.ts'
import { Prober } from '../support/prober.ts'
import { rotated, Sidecar, slow } from '../support/sidecar.ts'

const ring = await sharedRing()
/** A node is killed rather than paused, and each thing takes longer, in `npm run test:long`. */
const kills = process.env['KILL'] === 'yes'

describe.skipIf(ring === null)('three nodes in two data centres', () => {
  const [role, other] = ['acme_finance_ro', 'globex_orders_ro']
  const keys = [new SecretBytes(randomBytes(32))]
  const settings = { rotateEvery: 3_000, overlap: 2_000, hardTtl: 600_000, afterHardTtl: 'refuse' } as const
  const open: Sidecar[] = []
  let cluster: Tenants
  let elsewhere: Tenants
  let manager: CassandraSession

  beforeAll(async () => {
    cluster = await tenants(ring![0]!, 'ring')
    elsewhere = cluster.at(ring![2]!)
    manager = await cluster.manager()
  })
  afterAll(async () => {
    await Promise.all(open.map(({ provider }) => provider.close()))
    await manager?.close()
  })

  const start = (at: Tenants, role: string, options: ConstructorParameters<typeof Sidecar>[2]): Sidecar => {
    const sidecar = new Sidecar(at, [role], { keys, ...options })
    open.push(sidecar)
    return sidecar
  }
  const hostOf = (index: number): string => `${ring![index]!.contactPoint}:${ring![index]!.port}`

  it('each answer for themselves, those of the other data centre too', async () => {
    expect([...manager.hosts()].sort()).toEqual([0, 1, 2].map(hostOf))
    for (const host of manager.hosts()) {
      const [row] = await manager.execute("SELECT value FROM system_views.settings WHERE name = 'rpc_address'", [], { host })
      expect(`${row?.['value']}`).toBe(host.split(':')[0])
    }
  })

  it('all let a credential in before it is handed out, in both data centres, and a cut ends it on each of them', async () => {
    const sidecar = start(cluster, role, { settings: slow })
    await sidecar.until(rotated)
    expect(sidecar.events.filter(rotated)).toMatchObject([{ generation: 1, nodes: 3 }])
    const second = start(elsewhere, role, { settings: slow })
    await second.until(event => event.kind === 'adopted')
    expect(second.current(cluster.name(role)).generation).toBe(1)
    const done = await second.provider.cut(cluster.name(role), 'test')
    printCut('three nodes', done)
    expect(done).toMatchObject({ unreached: 0, reached: 'complete' })
    expect(done.nodes.map(({ host }) => host).sort()).toEqual([0, 1, 2].map(hostOf))
    for (const { loginMs, connectionMs } of done.nodes) {
      expect(loginMs).toBeLessThan(1_000)
      expect(connectionMs).toBeLessThan(1_000)
    }
    await sidecar.until(event => event.kind === 'stopped')
    await expect
      .poll(() => sidecar.provider.rotate(cluster.name(role), false), { timeout: 20_000, interval: 500 })
      .toMatchObject({ is: 'rotated' })
  }, 60_000)

  it('give a lease to one process, also where both data centres ask for it in the same moment', async () => {
    const [here, there] = [manager, await elsewhere.manager()]
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const take = (session: CassandraSession, owner: string) =>
          openLease(session, systemClock, { name: `race/${i}`, owner, ttl: 30 }).take()
        return (await Promise.all([take(here, 'here'), take(there, 'there')]))
          .map(({ is }) => is)
          .sort()
          .join(' and ')
      }),
    )
    await there.close()
    // Who asks in the same moment may get no answer; that is nobody's.
    expect(outcomes.filter(outcome => outcome === 'fresh and fresh')).toEqual([])
    expect(outcomes.filter(outcome => outcome.startsWith('fresh')).length).toBeGreaterThan(20)
  })

  it('of which the other data centre is away leave the credential in use as degraded, and are all asked again when it is back', async () => {
    const sidecar = start(cluster, other, { settings })
    await sidecar.until(rotated)
    const prober = new Prober(manager, () => sidecar.current(cluster.name(other)), { pause: 100 })
    process.kill(ring![2]!.pid, kills ? 'SIGKILL' : 'SIGSTOP')
    await sidecar.until(event => event.kind === 'failed')
    await sidecar.until(event => event.kind === 'degraded')
    expect(sidecar.provider.status()).toMatchObject([{ state: 'degraded', generation: sidecar.current(cluster.name(other)).generation }])
    if (kills) await restartNode('ring', 2)
    else process.kill(ring![2]!.pid, 'SIGCONT')
    const before = sidecar.events.filter(rotated).length
    await sidecar.until(rotated, before + 3)
    for (const event of sidecar.events.filter(rotated).slice(before + 1)) expect(event).toMatchObject({ nodes: 3 })
    await prober.stop()
    // Refused by no node for a moment, the one that came back included.
    expect(prober.gaps).toEqual([])
    expect(prober.tried).toBeGreaterThan(50)
    expect(sidecar.provider.status()).toMatchObject([{ state: 'current' }])
    expect(sidecar.events.filter(event => event.kind === 'quarantined' || event.kind === 'expired')).toEqual([])
  }, 180_000)
})
