import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CassandraSession } from '../../../src/model/cassandra.ts'
import { SecretBytes } from '../../../src/model/secret.ts'
import { restartNode, type SharedCassandra, sharedCassandra, type Tenants, tenants } from '../../support/cassandra.ts'
import { Prober } from '../../support/prober.ts'
import { type Meet, rotated, Sidecar } from '../../support/sidecar.ts'

/** This run's own: nobody else uses the node that is stopped here. */
const node = await sharedCassandra()

/** Longer than a lease lives. */
const away = 14_000

/** When the node goes: in the rotation that makes the second credential, or right after it. */
const moments: Readonly<Record<string, { readonly at: string; readonly when: 'before' | 'after' }>> = {
  'with the ALTER under way': { at: '^ALTER ROLE', when: 'before' },
  'before the proof': { at: 'login', when: 'before' },
  'before the hand-over': { at: "SET state = 'current'", when: 'before' },
  'during the overlap': { at: "SET state = 'current'", when: 'after' },
}

describe.skipIf(node === null)('the only node', () => {
  const keys = [new SecretBytes(randomBytes(32))]
  const settings = { rotateEvery: 4_000, overlap: 1_500, hardTtl: 600_000, afterHardTtl: 'refuse' } as const
  const names = Object.keys(moments)
  let running: SharedCassandra = node!
  let cluster: Tenants
  let manager: CassandraSession

  const roleOf = (signal: string, i: number): string => `acme_${signal.slice(3).toLowerCase()}_${i}_ro`

  beforeAll(async () => {
    cluster = await tenants(node!, 'outage')
    await cluster.addRoles(['SIGSTOP', 'SIGKILL'].flatMap(signal => names.map((_, i) => roleOf(signal, i))))
    manager = await cluster.manager()
  })
  afterAll(() => manager?.close())

  for (const signal of ['SIGSTOP', 'SIGKILL'] as const)
    it.each(names)(`goes by ${signal} %s, and what is handed out is never refused`, async name => {
      const role = roleOf(signal, names.indexOf(name))
      const { at, when } = moments[name]!
      const gone = Promise.withResolvers<void>()
      let state: 'idle' | 'armed' | 'over' = 'idle'
      const meet: Meet = (cql, moment) => {
        if (state === 'idle' && cql.startsWith('INSERT INTO postern.generations') && sidecar.events.some(rotated)) state = 'armed'
        if (state !== 'armed' || moment !== when || !new RegExp(at).test(cql)) return
        state = 'over'
        // One turn later: the statement is on its way.
        setImmediate(() => {
          process.kill(running.pid, signal)
          gone.resolve()
        })
      }
      let isAnswered = true
      const sidecar = new Sidecar(cluster, [role], { keys, settings, meet })
      await sidecar.until(rotated)
      const current = () => {
        const answer = sidecar.provider.current(cluster.name(role))
        isAnswered &&= !('unavailable' in answer)
        return 'unavailable' in answer ? null : answer
      }
      const prober = new Prober(manager, current, { pause: 50 })
      await gone.promise
      await new Promise(resolve => setTimeout(resolve, away))
      if (signal === 'SIGSTOP') process.kill(running.pid, 'SIGCONT')
      else running = await restartNode('strict')
      const back = performance.now()
      const before = sidecar.events.filter(rotated).length
      await sidecar.until(rotated, before + 1)
      process.stderr.write(`${signal} ${name}: rotated ${Math.round(performance.now() - back)} ms after the node was back\n`)
      await sidecar.until(rotated, before + 3)
      await prober.stop()
      expect(prober.gaps).toEqual([])
      expect(prober.tried).toBeGreaterThan(20)
      expect(isAnswered).toBe(true)
      const { rows } = await sidecar.provider.history(cluster.name(role))
      expect(rows.map(({ generation }) => generation)).toEqual(rows.map((_, i) => rows.length - i))
      expect(sidecar.events.filter(event => event.kind === 'quarantined' || event.kind === 'expired')).toEqual([])
      await sidecar.provider.close()
    })
})
