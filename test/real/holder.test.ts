import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CredentialEvent } from '../../src/credentials/events.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { SecretBytes } from '../../src/model/secret.ts'
import { sharedCassandra, type Tenants, tenants } from '../support/cassandra.ts'
import { Prober } from '../support/prober.ts'
import { Sidecar } from '../support/sidecar.ts'
import type { Mishap } from '../support/sidecar-child.ts'
import { type ProcessOptions, SidecarProcess } from '../support/sidecar-process.ts'

const node = await sharedCassandra()

const intent = '^INSERT INTO postern.generations'
const look = 'SET owner = .* IF owner'
const alter = '^ALTER ROLE'

/** Each arrow of a rotation: the second one, while the credential of the first is in use. */
const arrows: Readonly<Record<string, Omit<Mishap, 'signal'>>> = {
  'after the lease': { at: '^INSERT INTO postern.leases', when: 'after', rotations: 0 },
  'before the intent': { at: intent, when: 'before', rotations: 1 },
  'after the intent': { at: intent, when: 'after', rotations: 1 },
  'after the last look': { at: look, when: 'after', rotations: 1 },
  'before the ALTER': { at: alter, when: 'before', rotations: 1, since: intent },
  'after the ALTER': { at: alter, when: 'after', rotations: 1, since: intent },
  'with half of the caches emptied': { at: '^DELETE FROM system_views', when: 'after', rotations: 1, since: intent },
  'before the proof': { at: 'login', when: 'before', rotations: 1, since: intent },
  'after the proof': { at: 'login', when: 'after', rotations: 1, since: intent },
  'before the hand-over': { at: "SET state = 'current'", when: 'before', rotations: 1 },
  'after the hand-over': { at: "SET state = 'current'", when: 'after', rotations: 1 },
  'before the old one is retired': { at: alter, when: 'before', rotations: 2 },
  'after the old one is retired': { at: alter, when: 'after', rotations: 2 },
}

describe.skipIf(node === null)(
  'the process that makes the credentials, in a real Cassandra',
  { concurrent: true, timeout: 120_000 },
  () => {
    const key = randomBytes(32)
    const keys = { own: [new SecretBytes(key)], theirs: [key.toString('hex')] }
    const names = Object.keys(arrows)
    const arrowRole = (i: number): string => `acme_arrow_${i}_ro`
    const paused = ['intent', 'alter', 'alone'].map(name => `acme_paused_${name}_ro`)
    const group = 'acme_group_ro'
    let cluster: Tenants
    let manager: CassandraSession
    const open: { end(): Promise<void> }[] = []

    beforeAll(async () => {
      cluster = await tenants(node!, 'holder')
      await cluster.addRoles([...names.map((_, i) => arrowRole(i)), ...paused, group])
      manager = await cluster.manager()
    })
    afterAll(async () => {
      await Promise.all(open.map(one => one.end()))
      await manager?.close()
    })

    const startProcess = (role: string, options: Partial<ProcessOptions>): SidecarProcess => {
      const process = new SidecarProcess({ node: node!, cluster, roles: [cluster.name(role)], ...options })
      open.push({ end: () => process.kill() })
      return process
    }
    const startHere = (roles: readonly string[], options: ConstructorParameters<typeof Sidecar>[2]): Sidecar => {
      const sidecar = new Sidecar(cluster, roles, options)
      open.push({ end: () => sidecar.provider.close() })
      return sidecar
    }
    const probe = (role: string, sidecar: Sidecar, pause: number): Prober => {
      const current = () => {
        const answer = sidecar.provider.current(cluster.name(role))
        return 'unavailable' in answer ? null : answer
      }
      return new Prober(manager, current, { pause })
    }
    const holds = (role: string) => (event: CredentialEvent) => event.kind === 'lease' && event.held && event.role === cluster.name(role)
    const rotates = (role: string) => (event: CredentialEvent) => event.kind === 'rotated' && event.role === cluster.name(role)

    it('may be killed at every arrow: the next one finishes it with the same secret, and nobody is left without a login', async () => {
      const settings = { rotateEvery: 4_000, overlap: 1_500, hardTtl: 600_000, afterHardTtl: 'refuse' } as const
      const killed = names.map((name, i) => {
        const mishap = { signal: 'SIGKILL', ...arrows[name]! } as const
        return startProcess(arrowRole(i), { keys: keys.theirs, settings, mishap })
      })
      // The one that dies of its lease never tells of it.
      await Promise.all(killed.map((process, i) => (i === 0 ? process.ended() : process.until(holds(arrowRole(i))))))
      const roles = names.map((_, i) => arrowRole(i))
      const next = startHere(roles, { keys: keys.own, settings })
      const probers = roles.map(role => probe(role, next, 300))
      await Promise.all(killed.map(process => process.ended()))
      await Promise.all(roles.map(role => next.until(rotates(role), 2)))
      await Promise.all(probers.map(prober => prober.stop()))
      for (const [i, name] of names.entries()) {
        const { rows } = await next.provider.history(cluster.name(roles[i]!))
        const [newest] = rows
        expect(probers[i]!.gaps, name).toEqual([])
        expect(probers[i]!.tried, name).toBeGreaterThan(10)
        // A number that is missing, or not handed out, would be a secret that somebody claimed and nobody finished.
        const settled = rows.filter(({ generation }) => generation < newest!.generation)
        expect(
          settled.map(({ generation, state }) => `${generation} ${state}`),
          name,
        ).toEqual(settled.map((_, place) => `${settled.length - place} current`))
      }
      const admin = await cluster.admin()
      const all = (await admin.execute('LIST ROLES'))
        .map(row => String(row['role']))
        .filter(role => role.includes(`${cluster.name('acme')}_arrow`))
      expect(all.sort()).toEqual(
        roles.flatMap(role => [cluster.name(role), `postern_${cluster.name(role)}_a`, `postern_${cluster.name(role)}_b`]).sort(),
      )
      await admin.close()
    })

    const watch = { every: 500, again: 100, settled: 0 }
    const settings = { rotateEvery: 4_000, overlap: 1_500, hardTtl: 600_000, afterHardTtl: 'refuse' } as const
    const isOfSlotB = (role: string) => (event: CredentialEvent) =>
      event.kind === 'rotated' && event.role === cluster.name(role) && event.slot.endsWith('_b') && event.generation > 2

    it('and was stopped before its ALTER past its lease does nothing when it goes on', async () => {
      const role = paused[0]!
      const mishap = { signal: 'SIGSTOP', at: intent, when: 'after', rotations: 1 } as const
      const stopped = startProcess(role, { keys: keys.theirs, settings, watch, mishap })
      await stopped.until(rotates(role))
      const next = startHere([role], { keys: keys.own, settings, watch })
      const prober = probe(role, next, 20)
      await next.until(isOfSlotB(role))
      stopped.signal('SIGCONT')
      await next.until(rotates(role), next.events.filter(rotates(role)).length + 1)
      await prober.stop()
      expect(prober.gaps).toEqual([])
      expect(next.events.filter(event => event.kind === 'quarantined')).toEqual([])
      expect(stopped.events.filter(rotates(role))).toHaveLength(1)
    })

    for (const [role, shared] of [
      [paused[1]!, true],
      [paused[2]!, false],
    ] as const)
      it(`and was stopped with its ALTER under way breaks what is handed out for no longer than one proof, ${shared ? 'with' : 'without'} a shared key`, async () => {
        const mishap = { signal: 'SIGSTOP', at: alter, when: 'before', rotations: 1, since: intent } as const
        const stopped = startProcess(role, { keys: shared ? keys.theirs : [], settings, watch, mishap })
        await stopped.until(rotates(role))
        const next = startHere([role], { keys: shared ? keys.own : [], settings, watch })
        const prober = probe(role, next, 20)
        await next.until(isOfSlotB(role))
        stopped.signal('SIGCONT')
        await next.until(event => event.kind === 'quarantined')
        await next.until(rotates(role), next.events.filter(rotates(role)).length + 1)
        await prober.stop()
        process.stderr.write(`late ALTER: what was handed out was refused for ${prober.longest} ms, ${prober.tried} logins tried\n`)
        expect(prober.longest).toBeLessThan(3_000)
        const { username, password } = next.current(cluster.name(role))
        expect(await manager.login(username, password)).toBe('ok')
      })

    it('is one for three processes: one rotation a period, and the same credential everywhere within a look', async () => {
      const settings = { rotateEvery: 2_000, overlap: 1_000, hardTtl: 600_000, afterHardTtl: 'refuse' } as const
      const seen = new Map<number, number[]>()
      const processes = [1, 2, 3].map(() => startProcess(group, { keys: keys.theirs, settings }))
      const began = performance.now()
      const given = (event: CredentialEvent): boolean => {
        if (event.kind !== 'rotated' && event.kind !== 'adopted') return false
        return event.generation === 6
      }
      for (const process of processes)
        process.listen(event => {
          if (event.kind === 'rotated' || event.kind === 'adopted')
            seen.set(event.generation, [...(seen.get(event.generation) ?? []), performance.now()])
        })
      await Promise.all(processes.map(process => process.until(given)))
      const made = processes.flatMap(({ events }) =>
        events.filter(rotates(group)).map(event => ('generation' in event ? event.generation : 0)),
      )
      expect(made.sort()).toEqual(made.map((_, i) => i + 1))
      expect((performance.now() - began) / settings.rotateEvery).toBeGreaterThan(4)
      const lags = [2, 3, 4, 5, 6].map(generation => Math.max(...seen.get(generation)!) - Math.min(...seen.get(generation)!))
      process.stderr.write(`three sidecars: the same generation everywhere within ${lags.map(Math.round).join(', ')} ms\n`)
      // A look is due every quarter of the overlap; the rest is this machine.
      expect(Math.max(...lags)).toBeLessThan(settings.overlap)
    })
  },
)
