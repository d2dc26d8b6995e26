import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { CutDone } from '../../../src/credentials/acts.ts'
import { markCut } from '../../../src/credentials/generations.ts'
import { CqlFault, type ExecuteOptions } from '../../../src/model/cassandra.ts'
import { SecretBytes } from '../../../src/model/secret.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { kinds, minute, type Process, role, settings, slotA, slotB, start, world } from '../../support/rotating.ts'

const keys = [new SecretBytes(randomBytes(32))]

/** A cut watches its effects while time passes. */
const cut = async (clock: ManualClock, process: Process, why = 'laptop stolen'): Promise<CutDone> => {
  const cutting = process.provider.cut(role, why)
  await clock.advance(10_000)
  return cutting
}

const rotate = async (clock: ManualClock, process: Process, keepConnections = false) => {
  const asking = process.provider.rotate(role, keepConnections)
  await clock.advance(10_000)
  return asking
}

describe('a cut', () => {
  it('hands out nothing from that moment, before any node has answered', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.mishap = () => 'hangs'
    const cutting = process.provider.cut(role, 'laptop stolen')
    expect(process.provider.current(role)).toMatchObject({
      unavailable: 'credential-unavailable',
      detail: expect.stringMatching(/^cut at 2026-.*: laptop stolen$/),
    })
    expect(process.provider.status()).toMatchObject([{ state: 'cut', generation: 0 }])
    process.session.mishap = () => null
    process.session.release()
    await clock.advance(10_000)
    await cutting
  })

  it('ends logins and open connections on every node where the cluster enforces it, and says in how many ms', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    const { password } = process.current()
    const report = await cut(clock, process)
    expect(await cluster.accepts(slotA, password)).toBe(false)
    expect([...cluster.locked].sort()).toEqual([slotA, slotB])
    expect(report).toMatchObject({ role, why: 'laptop stolen', revoked: false, unlocked: [], unmarked: null, reached: 'complete' })
    expect(report.nodes.map(({ host, loginMs, connectionMs, open }) => ({ host, loginMs, connectionMs, open }))).toEqual(
      cluster.hosts.map(host => ({ host, loginMs: 0, connectionMs: 0, open: { count: 0, some: [] } })),
    )
  })

  it('names the connections that it could not end, and is then not complete', async () => {
    const { clock, cluster } = world()
    cluster.isEnforcing = false
    const process = await start(cluster)
    cluster.connect(slotA, '10.0.3.7:51000', 1)
    const report = await cut(clock, process)
    expect(report.reached).toBe('partly')
    expect(report.nodes[0]).toMatchObject({
      loginMs: 0,
      connectionMs: null,
      dataMs: null,
      open: { count: 1, some: [`10.0.3.7:51000 as ${slotA} (postern-backend, generation 1) on 10.0.0.1:9042`] },
    })
    expect(report.nodes[1]?.open).toEqual({ count: 0, some: [] })
  })

  it('takes the data from connections that it cannot end, where the manager may revoke the permission role', async () => {
    const { clock, cluster } = world()
    cluster.isEnforcing = false
    cluster.mayRevoke = true
    const process = await start(cluster)
    cluster.connect(slotA, '10.0.3.7:51000')
    const report = await cut(clock, process)
    expect(report).toMatchObject({ revoked: true, reached: 'complete' })
    expect(report.nodes[0]).toMatchObject({ connectionMs: null, dataMs: 0, open: { count: 1 } })
  })

  it('cannot tell where a node is out of reach, or does not show its connections', async () => {
    const { clock, cluster } = world()
    cluster.size = 3
    const process = await start(cluster)
    expect(await cut(clock, process)).toMatchObject({ reached: 'unknown', unreached: 1 })
    cluster.size = null
    cluster.connections = null
    cluster.isEnforcing = false
    expect((await cut(clock, process)).reached).toBe('unknown')
  })

  it('reports a slot that could not be locked, and the lease holder goes on until it is', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'fails' : null)
    const report = await cut(clock, process)
    expect(report.reached).toBe('partly')
    expect(report.unlocked).toEqual([`${slotA}: not enough replicas`, `${slotB}: not enough replicas`])
    expect(cluster.locked.size).toBe(0)
    process.session.mishap = () => null
    await clock.advance(minute)
    expect([...cluster.locked].sort()).toEqual([slotA, slotB])
  })

  it('stops every sidecar of the group within one look, one that starts later, and one that takes the lease', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster, [role], { keys })
    const follower = await start(cluster, [role], { keys })
    expect(follower.current().generation).toBe(1)
    await cut(clock, follower)
    for (const process of [holder, follower]) expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
    expect(kinds(holder, 'stopped')).toMatchObject([{ role, why: 'laptop stolen' }])
    const late = await start(cluster, [role], { keys })
    expect(late.provider.status()).toMatchObject([{ state: 'cut' }])
    await holder.provider.close()
    await clock.advance(settings.rotateEvery * 3)
    for (const process of [follower, late]) expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
    expect([...cluster.locked].sort()).toEqual([slotA, slotB])
  })

  it('meets a rotation half-way: what was begun is not handed out, and its slot is locked again', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster, [role], { keys })
    const follower = await start(cluster, [role], { keys })
    holder.session.mishap = cql => (cql.startsWith('ALTER') ? 'hangs' : null)
    await clock.advance(settings.rotateEvery)
    await cut(clock, follower)
    holder.session.mishap = () => null
    holder.session.release()
    await clock.advance(minute)
    expect([...cluster.locked].sort()).toEqual([slotA, slotB])
    expect(kinds(holder, 'rotated')).toHaveLength(1)
    for (const process of [holder, follower]) expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
  })

  it('is told to the sidecars of the own data centre alone where the others are away', async () => {
    const asked: unknown[] = []
    const execute = async (_cql: string, _params?: readonly unknown[], options?: ExecuteOptions) => {
      asked.push(options?.alone ?? false)
      if (!options?.alone) throw new CqlFault(0x1000, 'Cannot achieve consistency level SERIAL')
      return [{ '[applied]': true }]
    }
    await markCut({ execute }, role, { at: 1, why: 'x' })
    expect(asked).toEqual([false, true])
  })

  it('that the rows could not be told of holds here, and is told when they can', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster, [role], { keys })
    const other = await start(cluster, [role], { keys })
    holder.session.mishap = cql => (cql.includes('SET cut') ? 'fails' : null)
    const report = await cut(clock, holder)
    expect(report.unmarked).toBe('not enough replicas')
    expect(holder.provider.status()).toMatchObject([{ state: 'cut' }])
    expect(other.provider.status()).toMatchObject([{ state: 'current' }])
    holder.session.mishap = () => null
    await clock.advance(minute)
    for (const process of [holder, other]) expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
  })

  it('that the rows could not be told of is told by a process that makes and shares nothing, too', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster)
    const other = await start(cluster)
    other.session.mishap = cql => (cql.includes('SET cut') ? 'fails' : null)
    expect((await cut(clock, other)).unmarked).not.toBeNull()
    other.session.mishap = () => null
    await clock.advance(minute)
    for (const process of [holder, other]) expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
  })

  it('that the rows could not be told of stops what this process had begun, before its slot is opened', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.mishap = cql =>
      cql.startsWith('UPDATE postern.generations SET owner') ? 'hangs' : cql.includes('SET cut') ? 'fails' : null
    await clock.advance(settings.rotateEvery)
    await cut(clock, process)
    const before = cluster.alters.length
    process.session.mishap = cql => (cql.includes('SET cut') ? 'fails' : null)
    process.session.release()
    await clock.advance(100)
    expect(cluster.alters.slice(before).every(({ login }) => cluster.locked.has(login))).toBe(true)
    expect([...cluster.locked].sort()).toEqual([slotA, slotB])
  })

  it('holds for what was handed out even where somebody wipes it from the rows', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster, [role], { keys })
    const follower = await start(cluster, [role], { keys })
    await cut(clock, holder)
    await holder.provider.close()
    cluster.leases.set(`credential/${role}`, { owner: 'somebody', until: null, end: Number.POSITIVE_INFINITY })
    cluster.statics.clear()
    await clock.advance(minute)
    expect(follower.provider.current(role)).toMatchObject({ unavailable: expect.any(String) })
  })

  it('of a role that no policy names is done too, and one of a name that is none is refused', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    const cutting = process.provider.cut('globex_orders_ro', 'old')
    await clock.advance(10_000)
    expect(await cutting).toMatchObject({ reached: 'unknown', unlocked: [] })
    expect(cluster.locked.has('postern_globex_orders_ro_a')).toBe(true)
    await expect(process.provider.cut("x' OR '1", '')).rejects.toThrow(/not a role name/)
  })
})

describe('a rotation that is asked for', () => {
  it('comes at once from the lease holder, or at its next look where another process was asked', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster, [role], { keys })
    const follower = await start(cluster, [role], { keys })
    expect(await rotate(clock, holder)).toEqual({ is: 'rotated', generation: 2 })
    expect(await rotate(clock, follower)).toEqual({ is: 'rotated', generation: 3 })
    expect(kinds(holder, 'rotated')).toHaveLength(3)
    expect(kinds(follower, 'rotated')).toHaveLength(0)
    expect(follower.current().generation).toBe(3)
    await clock.advance(2 * minute)
    expect(holder.current().generation).toBe(3)
  })

  it('is waited for no longer than 30 s', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'fails' : null)
    const asking = process.provider.rotate(role, false)
    await clock.advance(35_000)
    expect(await asking).toMatchObject({ is: 'waiting', holder: '', detail: 'alter: not enough replicas' })
    expect(process.current().generation).toBe(1)
  })

  it('ends a cut everywhere, with a new secret, and gives the permission role back', async () => {
    const { clock, cluster } = world()
    cluster.mayRevoke = true
    const holder = await start(cluster, [role], { keys })
    const follower = await start(cluster, [role], { keys })
    const before = holder.current().password
    await cut(clock, holder)
    expect([...cluster.outcasts].sort()).toEqual([slotA, slotB])
    expect(await rotate(clock, follower)).toEqual({ is: 'rotated', generation: 2 })
    for (const process of [holder, follower]) {
      const { username, password } = process.current()
      expect(await cluster.accepts(username, password)).toBe(true)
      expect(await cluster.accepts(username, before)).toBe(false)
    }
    expect(cluster.outcasts.size).toBe(0)
    await clock.advance(settings.rotateEvery + minute)
    expect(follower.current().generation).toBe(3)
  })

  it('uses no secret that was begun before the cut', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster, [role], { keys })
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'fails' : null)
    await clock.advance(settings.rotateEvery)
    process.session.mishap = () => null
    await cut(clock, process)
    expect(await rotate(clock, process)).toEqual({ is: 'rotated', generation: 4 })
  })

  it('says what a DBA must run where the permission role is gone and not ours to grant', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await cut(clock, process)
    cluster.outcasts.add(slotA).add(slotB)
    const asking = process.provider.rotate(role, false)
    await clock.advance(35_000)
    expect(await asking).toMatchObject({ is: 'waiting', detail: expect.stringContaining(`a DBA must run GRANT ${role} TO ${slotB};`) })
    // No tight loop: it backs off to one attempt in half a minute.
    const attempts = cluster.alters.length
    await clock.advance(5 * minute)
    expect(cluster.alters.length - attempts).toBeLessThan(15)
    expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
    cluster.outcasts.clear()
    await clock.advance(minute)
    expect(process.current().generation).toBe(2)
  })

  it('is refused while connections from before the cut are open, which its new password would bring back to life', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await cut(clock, process)
    cluster.connect(slotA, '10.0.3.7:51000')
    expect(await rotate(clock, process)).toEqual({
      is: 'refused',
      connections: { count: 1, some: [expect.stringContaining(`10.0.3.7:51000 as ${slotA}`)] },
    })
    expect(process.provider.status()).toMatchObject([{ state: 'cut' }])
    expect(await rotate(clock, process, true)).toEqual({ is: 'rotated', generation: 2 })
  })

  it('is refused just so, and wanted just so, where the rows know nothing of the cut yet: they are told first', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    process.session.mishap = cql => (cql.includes('SET cut') ? 'fails' : null)
    expect((await cut(clock, process)).unmarked).not.toBeNull()
    process.session.mishap = () => null
    cluster.connect(slotA, '10.0.3.7:51000')
    // No time passes: the next look would tell them too, and forget the wish.
    const asking = process.provider.rotate(role, false)
    await clock.advance(0)
    expect(await asking).toMatchObject({ is: 'refused' })
    expect(cluster.statics.get(role)).toMatchObject({ cut_why: 'laptop stolen' })
    cluster.connections?.clear()
    expect(await rotate(clock, process)).toEqual({ is: 'rotated', generation: 2 })
  })

  it('is refused for a role that no policy names', async () => {
    const { cluster } = world()
    const process = await start(cluster)
    await expect(process.provider.rotate('globex_orders_ro', false)).rejects.toThrow(`no policy names globex_orders_ro here`)
  })

  it('does not undo a cut that comes after it', async () => {
    const { clock, cluster } = world()
    const holder = await start(cluster, [role], { keys })
    const follower = await start(cluster, [role], { keys })
    await cut(clock, holder)
    holder.session.mishap = cql => (cql.startsWith('ALTER') ? 'hangs' : null)
    const asking = follower.provider.rotate(role, false)
    await clock.advance(6_000)
    // The rows: ended by nothing yet, and cut anew.
    cluster.statics.set(role, { cut: new Date(clock.now()), cut_why: 'again', asked: null })
    holder.session.mishap = () => null
    holder.session.release()
    await clock.advance(35_000)
    expect(await asking).toMatchObject({ is: 'waiting' })
    for (const process of [holder, follower])
      expect(process.provider.current(role)).toMatchObject({ detail: expect.stringMatching(/: again$/) })
    expect([...cluster.locked].sort()).toEqual([slotA, slotB])
  })
})

describe('the history of a role', () => {
  it('is what the rows say, newest first', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster, [role], { keys })
    await clock.advance(settings.rotateEvery)
    await cut(clock, process)
    const { rows, cut: stands } = await process.provider.history(role)
    expect(rows.map(({ generation, slot, state }) => ({ generation, slot, state }))).toEqual([
      { generation: 2, slot: 'b', state: 'current' },
      { generation: 1, slot: 'a', state: 'current' },
    ])
    expect(stands).toMatchObject({ why: 'laptop stolen' })
  })
})
