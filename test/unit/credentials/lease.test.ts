import { describe, expect, it } from 'vitest'
import { openLease } from '../../../src/credentials/lease.ts'
import { FakeCluster } from '../../support/fake-cassandra.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const world = () => {
  const clock = new ManualClock()
  const cluster = new FakeCluster(clock)
  const open = (owner: string) => {
    const session = cluster.session()
    return { session, lease: openLease(session, clock, { name: 'credential/acme_ro', owner, ttl: 12 }) }
  }
  return { clock, cluster, open }
}

describe('a lease', () => {
  it('is held by one', async () => {
    const { open } = world()
    const [first, second] = [open('first').lease, open('second').lease]
    expect(await first.take()).toEqual({ is: 'fresh' })
    expect(await second.take()).toEqual({ is: 'other', owner: 'first' })
    expect(await first.take()).toEqual({ is: 'renewed' })
    expect(second.remaining()).toBe(0)
  })

  it('ends a second before its TTL, counted from before the statement was sent', async () => {
    const { clock, open } = world()
    const { lease, session } = open('first')
    session.mishap = () => 'hangs'
    const taking = lease.take()
    clock.stop(3_000)
    session.release()
    await taking
    expect(lease.remaining()).toBe(8_000)
    clock.stop(8_000)
    expect(lease.remaining()).toBe(0)
  })

  it('is renewed with every column, so that no half of the row dies', async () => {
    const { clock, cluster, open } = world()
    const { lease } = open('first')
    await lease.take()
    const before = cluster.leases.get('credential/acme_ro')
    clock.stop(4_000)
    await lease.take()
    const after = cluster.leases.get('credential/acme_ro')
    expect(after).toMatchObject({ owner: 'first' })
    expect(Number(after?.until)).toBe(Number(before?.until) + 4_000)
  })

  it('that ran out is fresh when it is taken again, and somebody else may take it first', async () => {
    const { clock, open } = world()
    const [first, second] = [open('first').lease, open('second').lease]
    await first.take()
    clock.stop(12_000)
    expect(await first.take()).toEqual({ is: 'fresh' })
    clock.stop(12_000)
    expect(await second.take()).toEqual({ is: 'fresh' })
    expect(await first.take()).toEqual({ is: 'other', owner: 'second' })
  })

  it('whose answer was lost is ours all the same, as a fresh one', async () => {
    const { open } = world()
    const { lease, session } = open('first')
    session.mishap = () => 'is lost'
    expect(await lease.take()).toEqual({ is: 'unknown', detail: 'no answer' })
    expect(lease.remaining()).toBe(0)
    session.mishap = () => null
    expect(await lease.take()).toEqual({ is: 'fresh' })
    expect(lease.remaining()).toBeGreaterThan(0)
  })

  it('is given up by its holder only', async () => {
    const { cluster, open } = world()
    const [first, second] = [open('first').lease, open('second').lease]
    await first.take()
    await second.take()
    await second.release()
    expect(cluster.leases.size).toBe(1)
    await first.release()
    expect(cluster.leases.size).toBe(0)
    expect(first.remaining()).toBe(0)
  })
})
