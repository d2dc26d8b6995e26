import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { localCluster } from '../../../deploy/demo/backend.ts'
import { Clients } from '../../../src/backend/index.ts'
import { SecretBytes } from '../../../src/model/secret.ts'
import { sharedCassandra, tenants } from '../../support/cassandra.ts'
import { rotated, Sidecar } from '../../support/sidecar.ts'

const node = await sharedCassandra()

/** What one second may hold: the burst, and what came due within it. */
const budget = 41

describe.skipIf(node === null)('200 permission roles', () => {
  it('rotate under a steady load without a failed request, and Postern logs in at the node within its budget', async () => {
    const cluster = await tenants(node!, 'many')
    const roles = Array.from({ length: 200 }, (_, i) => `acme_${String(i).padStart(3, '0')}_ro`)
    await cluster.addRoles(roles)
    const logins: number[] = []
    const settings = { rotateEvery: 60_000, overlap: 25_000, hardTtl: 3_600_000, afterHardTtl: 'refuse' } as const
    const sidecar = new Sidecar(cluster, roles, {
      settings,
      keys: [new SecretBytes(randomBytes(32))],
      meet: (cql, when) => void (cql === 'login' && when === 'before' && logins.push(performance.now())),
    })
    await sidecar.until(rotated, roles.length)

    const clients = new Clients(localCluster(node!))
    const failed: string[] = []
    let [requests, turn, done] = [0, 0, false]
    const worker = async (): Promise<void> => {
      while (!done && failed.length < 20) {
        requests += 1
        const { password, ...login } = sidecar.current(cluster.name(roles[turn++ % roles.length]!))
        const query = `SELECT id FROM ${cluster.name('acme')}.invoices WHERE year = 2026`
        await clients
          .use({ ...login, password: password.open(), notAfter: null }, client => client.execute(query))
          .then(({ rowLength }) => rowLength === 3 || failed.push('rows'))
          .catch((error: unknown) => failed.push(String(error)))
      }
    }
    const load = [1, 2, 3, 4].map(worker)
    const all = (): boolean => failed.length > 0 || roles.every(role => sidecar.current(cluster.name(role)).generation >= 3)
    await expect.poll(all, { timeout: 400_000, interval: 500 }).toBe(true)
    done = true
    await Promise.all(load)
    await clients.close()
    await sidecar.provider.close()

    const took = sidecar.events.flatMap(event => (event.kind === 'rotated' ? [event.ms] : [])).sort((a, b) => a - b)
    const at = (share: number): number => took[Math.floor(took.length * share)] ?? 0
    const busiest = Math.max(...logins.map((from, i) => logins.slice(i, i + 200).filter(later => later < from + 1_000).length))
    process.stderr.write(
      `200 roles: ${took.length} rotations, median ${at(0.5)} ms, 99 % ${at(0.99)} ms, most ${took.at(-1)} ms; ${requests} requests, ${failed.length} failures; ${logins.length} logins of Postern, ${busiest} in the busiest second\n`,
    )
    expect(failed).toEqual([])
    expect(sidecar.events.filter(event => event.kind === 'failed')).toEqual([])
    expect(took.length).toBeGreaterThanOrEqual(600)
    expect(busiest).toBeLessThanOrEqual(budget)
  })
})
