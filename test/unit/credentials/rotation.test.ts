import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { openCassandraProvider } from '../../../src/credentials/cassandra.ts'
import { SecretBytes } from '../../../src/model/secret.ts'
import { type FakeCluster, fakeHash, type Mishap } from '../../support/fake-cassandra.ts'
import { settled } from '../../support/manual-clock.ts'
import { kinds, minute, role, settings, slotA, slotB, start, world } from '../../support/rotating.ts'

describe('a rotation', () => {
  it('starts with slot a: re-keyed, proved on every node, handed out', async () => {
    const { cluster } = world()
    const process = await start(cluster)
    const first = process.current()
    expect(first).toMatchObject({ role, username: slotA, generation: 1 })
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
    expect(first.password.open()).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(kinds(process, 'rotated')).toMatchObject([{ role, generation: 1, slot: slotA, nodes: 2 }])
    expect(process.provider.status()).toMatchObject([{ role, state: 'current', generation: 1 }])
  })

  it('makes the next credential in the other slot before it breaks the old one, which works for the overlap', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    const first = process.current()
    await clock.advance(settings.rotateEvery)
    const second = process.current()
    expect(second).toMatchObject({ username: slotB, generation: 2 })
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
    await clock.advance(settings.overlap - minute * 2)
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
    await clock.advance(minute * 2)
    expect(await cluster.accepts(slotA, first.password)).toBe(false)
    expect(await cluster.accepts(slotB, second.password)).toBe(true)
  })

  it('promises each credential no longer than it works', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    for (let i = 0; i < 8; i++) {
      const credential = process.current()
      await clock.advance(credential.notAfter - clock.now() - 1)
      expect(await cluster.accepts(credential.username, credential.password)).toBe(true)
      await clock.advance(minute * 4)
    }
    expect(process.current().generation).toBeGreaterThan(8)
  })

  it('retires what a process before it left in the idle slot', async () => {
    const { clock, cluster } = world()
    cluster.hashes.set(slotB, 'left behind')
    await start(cluster)
    await clock.advance(settings.overlap)
    expect(cluster.hashes.get(slotB)).not.toBe('left behind')
  })

  it('never re-keys the slot in use, even when somebody removed the rows that say so', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    const first = process.current()
    cluster.generations.clear()
    await clock.advance(settings.rotateEvery)
    expect(process.current()).toMatchObject({ username: slotB, generation: 2 })
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
  })

  it.each<[string, (rows: Map<number, { state: string }>) => void]>([
    ['lost the newest', rows => void rows.delete(2)],
    ['lost its confirmation', rows => void Object.assign(rows.get(2)!, { state: 'pending' })],
  ])('goes on from the slot in use where the rows %s, as after a restore', async (_, lose) => {
    const { clock, cluster } = world()
    const process = await start(cluster, [role], { keys: [new SecretBytes(randomBytes(32))] })
    await clock.advance(settings.rotateEvery)
    const second = process.current()
    expect(second).toMatchObject({ username: slotB, generation: 2 })
    lose(cluster.generations.get(role)!)
    // Somebody asks, or the lease comes back, before the next one is due.
    cluster.leases.clear()
    await clock.advance(minute)
    expect(process.current()).toMatchObject({ generation: 2 })
    expect(await cluster.accepts(slotB, second.password)).toBe(true)
    await clock.advance(settings.rotateEvery)
    expect(process.current()).toMatchObject({ username: slotA, generation: 3 })
    expect(await cluster.accepts(slotB, second.password)).toBe(true)
  })

  it('retries a lost ALTER with the same secret and the same generation', async () => {
    const { clock, cluster } = world()
    let lost = 3
    const process = await start(cluster, [role], { mishap: cql => (cql.startsWith('ALTER') && lost-- > 0 ? 'is lost' : null) })
    expect(process.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    await clock.advance(5_000)
    expect(process.current().generation).toBe(1)
    expect(new Set(cluster.alters.map(alter => alter.hash)).size).toBe(1)
    expect(cluster.alters).toHaveLength(4)
  })

  it('hands out what was confirmed though the answer was lost', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    let losses = 0
    process.session.mishap = cql => (cql.includes("SET state = 'current'") && losses++ === 0 ? 'is lost' : null)
    await clock.advance(settings.rotateEvery + minute)
    expect(losses).toBe(2)
    expect(process.current()).toMatchObject({ generation: 2, username: slotB })
    expect(kinds(process, 'failed')).toHaveLength(1)
    expect(
      new Set(
        cluster.alters
          .filter(({ login }) => login === slotB)
          .slice(1)
          .map(({ hash }) => hash),
      ).size,
    ).toBe(1)
  })

  it('hands out nothing that one node refuses, and keeps the current one meanwhile', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    const first = process.current()
    await clock.advance(settings.rotateEvery - 2 * minute)
    cluster.verdicts.set('10.0.0.2:9042', 'refused')
    await clock.advance(4 * minute)
    expect(process.current().username).toBe(slotA)
    expect(process.current().generation).toBe(first.generation)
    expect(kinds(process, 'failed')[0]).toMatchObject({ step: 'prove', role })
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
    const hashes = new Set(
      cluster.alters
        .filter(alter => alter.login === slotB)
        .slice(1)
        .map(alter => alter.hash),
    )
    expect(hashes.size).toBe(1)
    cluster.verdicts.clear()
    await clock.advance(minute)
    expect(process.current()).toMatchObject({ username: slotB, generation: 2 })
  })

  it('does not wait for a node that goes down, and waits for one that comes up', async () => {
    const { clock, cluster } = world()
    cluster.hosts = ['10.0.0.1:9042']
    const process = await start(cluster)
    cluster.hosts = ['10.0.0.1:9042', '10.0.0.3:9042']
    cluster.verdicts.set('10.0.0.3:9042', 'unknown')
    await clock.advance(settings.rotateEvery)
    expect(process.current().generation).toBe(1)
    cluster.hosts = ['10.0.0.1:9042']
    await clock.advance(2 * minute)
    expect(process.current().generation).toBe(2)
  })

  it('is never proved by a cluster without nodes', async () => {
    const { clock, cluster } = world()
    cluster.hosts = []
    const process = await start(cluster)
    await clock.advance(minute)
    expect(process.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    expect(process.provider.status()).toMatchObject([{ state: 'unavailable', detail: 'prove: no node is up' }])
  })

  it('never runs for two roles at once', async () => {
    const { clock, cluster } = world()
    const roles = ['acme_finance_ro', 'acme_finance_rw', 'globex_orders_ro']
    const process = await start(cluster, roles)
    const order = cluster.alters.map(alter => alter.login)
    expect(order).toEqual(roles.map(name => `postern_${name}_a`))
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'hangs' : null)
    let altering = 0
    process.session.seen = cql => {
      if (cql.startsWith('ALTER')) altering += 1
    }
    await clock.advance(settings.overlap + 1000)
    expect(altering).toBe(1)
    process.session.release()
    await settled()
    expect(altering).toBe(2)
  })
})

describe('an outage', () => {
  it('leaves the current credential in use until the hard TTL, then refuses, then recovers', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.dead = true
    await clock.advance(settings.hardTtl - minute)
    expect(process.current().generation).toBe(1)
    expect(process.current().notAfter).toBeGreaterThan(clock.now())
    await clock.advance(minute)
    expect(process.provider.current(role)).toMatchObject({
      unavailable: 'credential-unavailable',
      detail: 'no rotation succeeded within hard-ttl',
    })
    expect(kinds(process, 'expired')).toMatchObject([{ role, generation: 1 }])
    process.session.dead = false
    await clock.advance(minute)
    expect(process.current()).toMatchObject({ username: slotB, generation: 2 })
  })

  it('is told once it leaves the credential degraded, which it is until the next one', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'fails' : null)
    await clock.advance(settings.rotateEvery)
    expect(process.provider.status()).toMatchObject([{ state: 'current' }])
    await clock.advance(settings.overlap)
    expect(process.provider.status()).toMatchObject([
      { state: 'degraded', generation: 1, detail: expect.stringContaining('alter: not enough replicas') },
    ])
    await clock.advance(10 * minute)
    expect(kinds(process, 'degraded')).toMatchObject([{ role, generation: 1, message: expect.stringContaining('not enough replicas') }])
    process.session.mishap = () => null
    const old = process.current().password
    await clock.advance(minute)
    expect(process.provider.status()).toMatchObject([{ state: 'current', generation: 2 }])
    // It took longer than a period, and still the one before has its overlap.
    await clock.advance(3 * minute)
    expect(await cluster.accepts(slotA, old)).toBe(true)
    expect(process.current().generation).toBe(2)
  })

  it('that holds up the line before a role ever gets its turn leaves its credential promised', async () => {
    const { clock, cluster } = world()
    const roles = ['acme_finance_ro', 'acme_finance_rw']
    const process = await start(cluster, roles)
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'hangs' : null)
    for (let i = 0; i < 6; i++) {
      await clock.advance(5 * minute)
      for (const name of roles) expect(process.current(name).notAfter, `${name} after ${i * 5 + 5} min`).toBeGreaterThan(clock.now())
    }
    expect(process.current('acme_finance_rw').generation).toBe(1)
  })

  it('longer than the hard TTL keeps the old credential where that is wished, for every sidecar, and says so once', async () => {
    const { clock, cluster } = world()
    const keys = [new SecretBytes(randomBytes(32))]
    const holder = await start(cluster, [role], { keys, afterHardTtl: 'keep' })
    const follower = await start(cluster, [role], { keys, afterHardTtl: 'keep' })
    for (const { session } of [holder, follower]) session.mishap = cql => (cql.startsWith('ALTER') ? 'fails' : null)
    await clock.advance(settings.hardTtl + 30 * minute)
    for (const process of [holder, follower]) {
      expect(process.current()).toMatchObject({ generation: 1 })
      expect(process.current().notAfter).toBeGreaterThan(clock.now())
      expect(process.provider.status()).toMatchObject([{ state: 'degraded' }])
      expect(kinds(process, 'expired')).toMatchObject([{ role, generation: 1, kept: true }])
    }
    const late = await start(cluster, [role], { keys, afterHardTtl: 'keep' })
    expect(late.current().generation).toBe(1)
    const strict = await start(cluster, [role], { keys })
    expect(strict.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    await clock.advance(minute)
    expect(kinds(strict, 'expired')).toHaveLength(0)
  })

  it('at the start is waited out', async () => {
    const { clock, cluster } = world()
    const session = cluster.session()
    let up = false
    const provider = openCassandraProvider({
      settings,
      group: 'orders',
      keys: [],
      connect: async () => (up ? session : Promise.reject(new Error('nobody there'))),
      observe: () => undefined,
      clock,
      random: randomBytes,
      hash: fakeHash,
    })
    provider.roles([role])
    await clock.advance(minute)
    expect(provider.current(role)).toMatchObject({
      unavailable: 'credential-unavailable',
      detail: 'no connection to Cassandra: nobody there',
    })
    up = true
    await clock.advance(minute)
    expect(provider.current(role)).toMatchObject({ generation: 1 })
    await provider.close()
    expect(session.closed).toBe(true)
  })
})

describe('a second process', () => {
  it('answers no-lease and names the owner', async () => {
    const { cluster } = world()
    const first = await start(cluster)
    const second = await start(cluster)
    const answer = second.provider.current(role)
    expect(answer).toMatchObject({ unavailable: 'credential-no-lease' })
    expect('detail' in answer && answer.detail).toMatch(/made by orders\/.+\/\d+\/[0-9a-f]{8}$/)
    expect(second.provider.status()).toMatchObject([{ state: 'no-lease' }])
    expect(first.current().generation).toBe(1)
    expect(cluster.alters).toHaveLength(1)
  })

  it('takes over at once when the first one closes, in the slot that is not in use', async () => {
    const { clock, cluster } = world()
    const first = await start(cluster)
    const handedOut = first.current()
    const second = await start(cluster)
    await first.provider.close()
    expect(first.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    await clock.advance(4_000)
    expect(second.current()).toMatchObject({ username: slotB, generation: 2 })
    expect(await cluster.accepts(slotA, handedOut.password)).toBe(true)
    await clock.advance(settings.overlap)
    expect(await cluster.accepts(slotA, handedOut.password)).toBe(false)
  })

  const arrows = [
    'UPDATE postern.leases',
    'INSERT INTO postern.generations',
    'ALTER',
    'DELETE FROM system_views',
    'UPDATE postern.generations SET owner',
    'UPDATE postern.generations SET state',
  ]
  for (const arrow of arrows)
    for (const when of ['before', 'after'] as const)
      it(`converges when the first one dies ${when} ${arrow}`, async () => {
        const { clock, cluster } = world()
        const first = await start(cluster)
        const handedOut = first.current()
        await clock.advance(settings.rotateEvery - 2 * minute)
        const dies = (cql: string): Mishap => {
          if (!cql.startsWith(arrow) && !first.session.dead) return null
          first.session.dead = true
          return when === 'after' ? 'is lost' : 'fails'
        }
        first.session.mishap = dies
        await clock.advance(2 * minute)
        // It is dead now, and nobody but the TTL tells.
        const second = await start(cluster)
        await clock.advance(20_000)
        const next = second.current()
        // Only once slot b is written down as the one in use may slot a be the next.
        const [used, idle] = arrow === 'UPDATE postern.generations SET state' && when === 'after' ? [slotB, slotA] : [slotA, slotB]
        expect(next.username).toBe(idle)
        expect(next.generation).toBeGreaterThan(handedOut.generation)
        expect(next.generation % 2).toBe(idle === slotA ? 1 : 0)
        expect(await cluster.accepts(idle, next.password)).toBe(true)
        if (used === slotA) expect(await cluster.accepts(slotA, handedOut.password)).toBe(true)
      })
})

describe('a holder that lost its lease', () => {
  it('while paused sends no ALTER when it goes on, and answers no-lease', async () => {
    const { clock, cluster } = world()
    const first = await start(cluster)
    await clock.advance(settings.rotateEvery - 2 * minute)
    // Between the intent and the ALTER the process stands still for longer than its lease.
    first.session.mishap = cql => (cql.startsWith('INSERT INTO postern.generations') ? 'hangs' : null)
    await clock.advance(2 * minute - 1)
    const before = cluster.alters.length
    clock.stop(13_000)
    const second = await start(cluster)
    expect(second.current().username).toBe(slotB)
    first.session.mishap = () => null
    first.session.release()
    await clock.advance(5_000)
    expect(cluster.alters.slice(before)).toHaveLength(1)
    expect(first.provider.current(role)).toMatchObject({ unavailable: 'credential-no-lease' })
    expect(await cluster.accepts(slotB, second.current().password)).toBe(true)
  })

  it('and got it back unused goes on with the credential it has', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    clock.stop(13_000)
    await clock.advance(5_000)
    expect(kinds(process, 'lease')).toHaveLength(2)
    expect(process.current().generation).toBe(1)
    await clock.advance(settings.rotateEvery)
    expect(process.current().generation).toBe(2)
  })

  it('and got it back used drops its credential and makes a new one', async () => {
    const { clock, cluster } = world()
    const first = await start(cluster)
    clock.stop(13_000)
    const second = await start(cluster)
    const others = second.current()
    expect(others.username).toBe(slotB)
    await second.provider.close()
    await clock.advance(5_000)
    expect(first.current()).toMatchObject({ username: slotA, generation: 3 })
    expect(await cluster.accepts(slotA, first.current().password)).toBe(true)
    expect(await cluster.accepts(slotB, others.password)).toBe(true)
  })

  it('stops publishing what it began before', async () => {
    const { clock, cluster } = world()
    const first = await start(cluster, [role], { mishap: cql => (cql.startsWith('ALTER') ? 'hangs' : null) })
    clock.stop(13_000)
    const second = await start(cluster)
    first.session.mishap = () => null
    first.session.release()
    await clock.advance(5_000)
    expect(first.provider.current(role)).toMatchObject({ unavailable: 'credential-no-lease' })
    // The late ALTER hit the slot of the new holder: what it handed out is broken, and its next rotation mends it in the other slot.
    expect(await cluster.accepts(slotA, second.current().password)).toBe(false)
    await clock.advance(settings.rotateEvery)
    expect(await cluster.accepts(second.current().username, second.current().password)).toBe(true)
  })
})

describe('the set of roles', () => {
  it('locks both slots of a role that no policy names any more, after the overlap', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster, [role, 'globex_orders_ro'])
    const { password } = process.current()
    process.provider.roles(['globex_orders_ro'])
    await clock.advance(settings.overlap - 1000)
    expect(await cluster.accepts(slotA, password)).toBe(true)
    await clock.advance(1000)
    expect(await cluster.accepts(slotA, password)).toBe(false)
    expect(cluster.leases.has(`credential/${role}`)).toBe(false)
    expect(process.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable', detail: 'no policy names the role' })
    expect(process.current('globex_orders_ro').generation).toBe(1)
  })

  it('keeps a role that comes back within the overlap, and begins again with one that comes later', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.provider.roles([])
    await clock.advance(minute)
    process.provider.roles([role])
    await clock.advance(settings.overlap)
    expect(process.current().generation).toBe(1)
    process.provider.roles([])
    await clock.advance(settings.overlap)
    process.provider.roles([role])
    await clock.advance(0)
    expect(process.current().generation).toBeGreaterThan(1)
  })

  it('never asks Cassandra about a name that is not a role name', async () => {
    const { cluster } = world()
    const process = await start(cluster, ["x' OR '1", 'postern_x', 'UPPER', role])
    expect(process.provider.status().map(status => status.role)).toEqual([role])
  })
})

describe('closing', () => {
  it('in the middle of a rotation ends it and gives up the lease', async () => {
    const { cluster } = world()
    cluster.verdicts.set('10.0.0.2:9042', 'refused')
    const process = await start(cluster)
    await process.provider.close()
    expect(cluster.leases.size).toBe(0)
    expect(process.session.closed).toBe(true)
    expect(process.provider.current(role)).toMatchObject({ detail: 'Postern is stopping' })
  })

  it('waits for a role statement that is under way', async () => {
    const { cluster } = world()
    const process = await start(cluster, [role], { mishap: cql => (cql.startsWith('ALTER') ? 'hangs' : null) })
    let closed = false
    const closing = process.provider.close().then(() => {
      closed = true
    })
    await settled()
    expect(closed).toBe(false)
    expect(cluster.leases.size).toBe(1)
    process.session.release()
    await closing
    expect(cluster.leases.size).toBe(0)
    // What was not handed out before is not handed out any more.
    expect(process.provider.current(role)).toMatchObject({ detail: 'Postern is stopping' })
    expect(kinds(process, 'rotated')).toEqual([])
  })
})

describe('sidecars that share a key', () => {
  const key = new SecretBytes(randomBytes(32))
  const shared = (cluster: FakeCluster, keys = [key]) => start(cluster, [role], { keys })

  it('hand out the same generation, which one of them makes, also when it changes', async () => {
    const { clock, cluster } = world()
    const sidecars = [await shared(cluster), await shared(cluster), await shared(cluster)]
    const same = () =>
      new Set(sidecars.map(({ current }) => `${current().generation} ${current().username} ${current().password.open()}`)).size
    expect(same()).toBe(1)
    expect(cluster.alters).toHaveLength(1)
    await clock.advance(settings.rotateEvery + 5_000)
    expect(same()).toBe(1)
    expect(sidecars[2]?.current().generation).toBe(2)
    expect(sidecars.flatMap(sidecar => kinds(sidecar, 'rotated'))).toHaveLength(2)
    for (let i = 0; i < 20; i++) {
      await clock.advance(settings.rotateEvery)
      for (const { current } of sidecars) expect(await cluster.accepts(current().username, current().password)).toBe(true)
    }
  })

  it('leave nothing readable in the cluster', async () => {
    const { cluster } = world()
    const { current } = await shared(cluster)
    const row = JSON.stringify([...(cluster.generations.get(role)?.values() ?? [])])
    expect(row).not.toContain(current().password.open())
    expect(row).toMatch(/"secret":"v1\./)
  })

  it('hand out at a start what is current, without a new password', async () => {
    const { clock, cluster } = world()
    const first = await shared(cluster)
    const before = first.current()
    await first.provider.close()
    await clock.advance(minute)
    const second = await shared(cluster)
    expect(second.current()).toMatchObject({ generation: 1, username: before.username })
    expect(second.current().password.open()).toBe(before.password.open())
    expect(cluster.alters.filter(({ login }) => login === slotA)).toHaveLength(1)
    await clock.advance(settings.rotateEvery)
    expect(second.current().generation).toBe(2)
  })

  for (const arrow of [
    'INSERT INTO postern.generations',
    'UPDATE postern.generations SET owner',
    'ALTER',
    'UPDATE postern.generations SET state',
  ])
    it(`finish with the same secret what died after ${arrow}`, async () => {
      const { clock, cluster } = world()
      const first = await shared(cluster)
      const handedOut = first.current()
      await clock.advance(settings.rotateEvery - 2 * minute)
      const before = cluster.alters.length
      first.session.mishap = (cql: string): Mishap => {
        if (!cql.startsWith(arrow) && !first.session.dead) return null
        first.session.dead = true
        return 'is lost'
      }
      await clock.advance(2 * minute)
      const second = await shared(cluster)
      await clock.advance(20_000)
      expect(second.current()).toMatchObject({ generation: 2, username: slotB })
      expect(await cluster.accepts(slotB, second.current().password)).toBe(true)
      expect(await cluster.accepts(slotA, handedOut.password)).toBe(true)
      expect(
        new Set(
          cluster.alters
            .slice(before)
            .filter(({ login }) => login === slotB)
            .map(({ hash }) => hash),
        ).size,
      ).toBe(1)
    })

  it('serve on while the cluster is out of reach, and take over where the holder is gone', async () => {
    const { clock, cluster } = world()
    const first = await shared(cluster)
    const second = await shared(cluster)
    second.session.dead = true
    await clock.advance(settings.overlap)
    expect(second.current().generation).toBe(1)
    expect(second.provider.status()).toMatchObject([{ state: 'current', detail: expect.stringMatching(/failures since/) }])
    second.session.dead = false
    first.session.dead = true
    await clock.advance(settings.rotateEvery)
    expect(second.current().generation).toBe(2)
    expect(kinds(second, 'rotated')).toHaveLength(1)
  })

  it('never go back to a row that was replaced, and believe no row that was moved', async () => {
    const { clock, cluster } = world()
    const first = await shared(cluster)
    const second = await shared(cluster)
    await clock.advance(settings.rotateEvery + 5_000)
    const rows = cluster.generations.get(role)
    const now = second.current()
    rows?.delete(now.generation)
    await clock.advance(10_000)
    expect(second.current().password.open()).toBe(now.password.open())
    // The row of generation 1 under a higher number: another place, so its secret does not open.
    rows?.set(99, { ...(rows.get(1) as NonNullable<ReturnType<typeof rows.get>>), state: 'current' })
    await clock.advance(10_000)
    expect(second.provider.current(role)).toMatchObject({
      unavailable: 'credential-unavailable',
      detail: expect.stringMatching(/sealed by a key/),
    })
    expect(first.current().generation).toBe(now.generation)
  })

  it('change their key without a moment in which one cannot read', async () => {
    const { clock, cluster } = world()
    const next = new SecretBytes(randomBytes(32))
    const first = await shared(cluster)
    const second = await shared(cluster, [key, next])
    await first.provider.close()
    await clock.advance(4_000)
    const third = await shared(cluster, [next, key])
    expect(third.current().generation).toBe(second.current().generation)
    await second.provider.close()
    await clock.advance(settings.rotateEvery)
    const fourth = await shared(cluster, [next])
    expect(fourth.current().password.open()).toBe(third.current().password.open())
  })
})
