import { describe, expect, it } from 'vitest'
import { judge, type Look } from '../../../src/credentials/sentinel.ts'
import { kinds, minute, role, settings, slotA, slotB, start, world } from '../../support/rotating.ts'

const node = (proof: Look['proof'], more: Partial<Look> = {}): Look => ({ host: 'h', proof, upFor: 120_000, again: false, ...more })

describe('what a look at the login that is handed out proves', () => {
  it.each<readonly [string, readonly Look[], ReturnType<typeof judge>]>([
    ['every node takes it', [node('ok'), node('ok')], 'sound'],
    ['no node could decide', [node('unknown'), node('unknown')], 'sound'],
    ['one node alone refuses it', [node('refused'), node('ok'), node('ok')], 'suspect'],
    ['the only node refuses it, once', [node('refused')], 'suspect'],
    ['the only node refuses it, twice', [node('refused', { again: true })], 'hijacked'],
    ['one node refuses it twice, up throughout', [node('refused', { again: true }), node('ok')], 'hijacked'],
    ['a node that just returned refuses it twice', [node('refused', { again: true, upFor: 10_000 }), node('ok')], 'suspect'],
    ['every node that decides refuses it', [node('refused'), node('refused'), node('unknown')], 'hijacked'],
    ['every node refuses it, all just returned', [node('refused', { upFor: 1 }), node('refused', { upFor: 1 })], 'suspect'],
    ['one refuses it, the others just returned', [node('refused'), node('refused', { upFor: 1 })], 'suspect'],
    ['the slot lost its role everywhere', [node('powerless'), node('powerless')], 'powerless'],
    ['one node does not know of the membership yet', [node('powerless'), node('ok')], 'sound'],
  ])('%s', (_, looks, verdict) => expect(judge(looks, 60_000)).toBe(verdict))
})

describe('a slot that somebody else changed', () => {
  it('is given up: the other slot takes over within a look, and the foreign password is taken away at once', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await clock.advance(2 * minute)
    cluster.changePassword(slotA, 'theirs')
    await clock.advance(35_000)
    expect(kinds(process, 'quarantined')).toMatchObject([
      { role, generation: 1, slot: slotA, why: `the login as ${slotA} is refused by 10.0.0.1:9042, 10.0.0.2:9042` },
    ])
    const next = process.current()
    expect(next).toMatchObject({ username: slotB, generation: 2 })
    expect(await cluster.accepts(slotB, next.password)).toBe(true)
    expect(cluster.hashes.get(slotA)).not.toBe('theirs')
  })

  it('is given up on the only node there is after a second look', async () => {
    const { clock, cluster } = world()
    cluster.hosts = ['10.0.0.1:9042']
    const process = await start(cluster)
    await clock.advance(2 * minute)
    cluster.changePassword(slotA, 'theirs')
    const before = cluster.logins.length
    for (let i = 0; i < 600 && kinds(process, 'quarantined').length === 0; i++) await clock.advance(100)
    // Two looks, and the proof of the next one.
    expect(cluster.logins.length - before).toBe(3)
    await clock.advance(1_000)
    expect(process.current().username).toBe(slotB)
  })

  it('is not handed out while every node refuses it and no next one can be made', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await clock.advance(2 * minute)
    process.session.mishap = cql => (cql.startsWith('ALTER') ? 'fails' : null)
    cluster.changePassword(slotA, 'theirs')
    await clock.advance(minute)
    expect(process.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    expect(kinds(process, 'quarantined')).toHaveLength(1)
    process.session.mishap = () => null
    await clock.advance(minute)
    expect(process.current().username).toBe(slotB)
  })

  it('is suspected no sooner than a node has been up for a minute', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await clock.advance(2 * minute)
    cluster.returned.set('10.0.0.2:9042', clock.monotonic())
    cluster.verdicts.set('10.0.0.2:9042', 'refused')
    await clock.advance(50_000)
    expect(kinds(process, 'quarantined')).toEqual([])
    cluster.verdicts.clear()
    await clock.advance(5 * minute)
    expect(kinds(process, 'quarantined')).toEqual([])
    expect(process.current().generation).toBe(1)
  })

  it('is not confused with an outage', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    for (const host of cluster.hosts) cluster.verdicts.set(host, 'unknown')
    await clock.advance(10 * minute)
    expect(kinds(process, 'quarantined')).toEqual([])
    expect(process.current().generation).toBe(1)
  })

  it('is found by its hash where the manager may read it, also while caches still let the old password in', async () => {
    const { clock, cluster } = world()
    cluster.mayReadHashes = true
    const process = await start(cluster)
    await clock.advance(settings.rotateEvery * 2)
    expect(kinds(process, 'quarantined')).toEqual([])
    const { generation, username } = process.current()
    cluster.written.set(username, (cluster.written.get(username) ?? 0) + 1)
    await clock.advance(35_000)
    expect(kinds(process, 'quarantined')).toMatchObject([{ generation, why: expect.stringContaining('written by somebody else') }])
    expect(process.current().generation).toBe(generation + 1)
  })

  it('again and again costs one rotation a look, not a tight loop', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await clock.advance(2 * minute)
    for (let i = 0; i < 60; i++) {
      cluster.changePassword(process.provider.status()[0]?.slot ?? slotA, 'theirs')
      await clock.advance(5_000)
    }
    expect(kinds(process, 'rotated').length).toBeGreaterThan(2)
    expect(kinds(process, 'rotated').length).toBeLessThan(15)
  })
})

describe('a slot that lost its permission role', () => {
  it('is told once, by what a DBA must run, and in order again when it is back', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster)
    await clock.advance(2 * minute)
    cluster.outcasts.add(slotA)
    await clock.advance(5 * minute)
    expect(kinds(process, 'failed')).toMatchObject([{ step: 'check', message: expect.stringContaining(`GRANT ${role} TO ${slotA};`) }])
    expect(process.provider.status()).toMatchObject([{ state: 'current', detail: expect.stringContaining('no member') }])
    cluster.outcasts.clear()
    await clock.advance(minute)
    expect(process.provider.status()).toMatchObject([{ state: 'current', detail: '' }])
  })
})
