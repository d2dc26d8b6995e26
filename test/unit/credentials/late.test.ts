import { describe, expect, it } from 'vitest'
import { kinds, minute, role, settings, slotA, slotB, start, world } from '../../support/rotating.ts'

describe('connections of the previous credential', () => {
  it('that are closed in time let it be retired after the overlap, and nobody is named', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    cluster.connect(slotA, '10.0.3.7:51000', 1)
    await clock.advance(settings.rotateEvery)
    cluster.connections?.clear()
    await clock.advance(settings.overlap)
    expect(kinds(process, 'late')).toEqual([])
    expect(kinds(process, 'retired').at(-1)).toMatchObject({ slot: slotA, late: { count: 0, some: [] } })
  })

  it('prolong its life once, by an overlap, and are named then and when it ends', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    const first = process.current()
    await clock.advance(settings.rotateEvery - 2 * minute)
    cluster.connect(slotA, '10.0.3.7:51000', 1)
    cluster.connect(slotB, '10.0.3.8:51000')
    cluster.connect('cassandra', '10.0.3.9:51000')
    await clock.advance(2 * minute + settings.overlap)
    const named = { count: 1, some: [`10.0.3.7:51000 as ${slotA} (postern-backend, generation 1) on 10.0.0.1:9042`] }
    // What stood on slot b when it got its password is older still.
    const older = { count: 2, some: [...named.some, `10.0.3.8:51000 as ${slotB} (DataStax Node.js Driver) on 10.0.0.1:9042`] }
    expect(kinds(process, 'rotated')[1]?.late).toMatchObject({ count: 1 })
    expect(kinds(process, 'late')).toMatchObject([{ slot: slotA, ms: settings.overlap, late: older }])
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
    expect(process.provider.status()).toMatchObject([{ onPrevious: 2 }])
    await clock.advance(settings.overlap - 3 * minute)
    expect(await cluster.accepts(slotA, first.password)).toBe(true)
    await clock.advance(3 * minute)
    expect(await cluster.accepts(slotA, first.password)).toBe(false)
    expect(kinds(process, 'retired').at(-1)).toMatchObject({ slot: slotA, late: older })
  })

  it('never hold up the next rotation, which needs the slot', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    cluster.connect(slotA, '10.0.3.7:51000', 1)
    await clock.advance(settings.rotateEvery * 6)
    expect(process.current().generation).toBeGreaterThanOrEqual(6)
    expect(kinds(process, 'failed')).toEqual([])
  })

  it('are unknown where no node shows them, and the overlap ends as ever', async () => {
    const { clock, cluster } = world()
    cluster.connections = null
    const process = await start(cluster)
    await clock.advance(settings.rotateEvery + settings.overlap)
    expect(kinds(process, 'late')).toEqual([])
    expect(kinds(process, 'retired').at(-1)).toMatchObject({ slot: slotA, late: null })
    expect(process.provider.status()).toMatchObject([{ role, onPrevious: null }])
  })

  it('are named in bounds, whatever name a client gives itself', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    for (let i = 0; i < 50; i++) cluster.connect(slotA, `10.0.3.7:${i}`)
    const evil = { address: '10.0.3.8', port: 1, username: slotA, driver_name: `\u001b[2J${'x'.repeat(10_000)}` }
    cluster.connections?.set('10.0.0.2:9042', [evil])
    await clock.advance(settings.rotateEvery + settings.overlap)
    const late = kinds(process, 'late')[0]?.late
    expect(late?.count).toBe(51)
    expect(late?.some).toHaveLength(20)
    expect(JSON.stringify(late)).not.toMatch(/u001b/)
    const { nameSome, readConnections } = await import('../../../src/credentials/connections.ts')
    const { open } = await readConnections(process.session, ['10.0.0.2:9042'])
    expect(nameSome(open)?.some[0]?.length).toBeLessThan(200)
  })
})
