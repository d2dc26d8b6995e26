import { describe, expect, it } from 'vitest'
import { kinds, minute, settings, start, world } from '../../support/rotating.ts'

const roles = Array.from({ length: 200 }, (_, i) => `tenant_${String(i).padStart(3, '0')}_ro`)

describe('200 permission roles', () => {
  it('keep the logins at each node under 20 at once and 20 a second, first rotation and all later ones', async () => {
    const { clock, cluster } = world()
    const process = await start(cluster, roles)
    await clock.advance(30_000)
    expect(kinds(process, 'rotated')).toHaveLength(200)
    for (let i = 0; i < 4; i++) await clock.advance(settings.rotateEvery / 2)
    expect(kinds(process, 'rotated').length).toBeGreaterThanOrEqual(400)
    expect(kinds(process, 'failed')).toEqual([])
    for (const host of cluster.hosts) {
      const times = cluster.logins.filter(login => login.host === host).map(({ at }) => at)
      const most = Math.max(...times.map((at, i) => times.slice(i).filter(later => later < at + 1_000).length))
      expect(most).toBeGreaterThan(1)
      expect(most).toBeLessThanOrEqual(41)
    }
  }, 120_000)

  it('are each tried now and then, one a second at most', async () => {
    const { clock, cluster } = world()
    await start(cluster, roles)
    await clock.advance(30_000)
    const before = cluster.logins.length
    await clock.advance(5 * minute)
    const tried = (cluster.logins.length - before) / cluster.hosts.length
    expect(tried).toBeGreaterThan(200)
    expect(tried).toBeLessThanOrEqual(301)
  }, 120_000)
})
