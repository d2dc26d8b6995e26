import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../cmd/main.ts'
import { adminSession } from '../../deploy/demo/cassandra.ts'
import type { Check } from '../../src/credentials/doctor/check.ts'
import { sharedCassandra } from '../support/cassandra.ts'
import { startFrom, type TestPostern, tenantPolicy, writeInstallation } from '../support/postern.ts'

const issuer = 'http://127.0.0.1:1'

for (const kind of ['strict', 'lax'] as const) {
  const node = await sharedCassandra(kind)
  describe.skipIf(node === null)(`commands on a real Cassandra, ${kind}`, () => {
    const role = 'cmd_ro'
    const manager = 'postern_manager_cmd'
    const password = randomBytes(24).toString('base64url')
    let config: string
    let postern: TestPostern

    beforeAll(async () => {
      const rules = `  - { allow: read, why: Staff read., who: staff, to: GET /v1/**, then: { cassandra-role: ${role} } }`
      config = await writeInstallation({
        issuer,
        upstreamPort: 1,
        policies: { 'cmd.policy.yaml': tenantPolicy('cmd', issuer, rules) },
        sections: {
          upstreams: 'upstreams: { api: { url: "http://127.0.0.1:1", delivery: header } }',
          routes: 'routes: [{ name: cmd-v1, host: cmd.test, prefix: /v1, upstream: api }]',
          cassandra: `cassandra: { contact-points: ["${node!.contactPoint}:${node!.port}"], local-data-center: datacenter1, username-file: m.username, password-file: m.password, key-files: [vault.key] }`,
          credentials: 'credentials: { provider: cassandra }',
        },
        files: {
          'm.username': manager,
          'm.password': password,
          'vault.key': randomBytes(32).toString('hex'),
          'admin.username': 'cassandra',
          'admin.password': 'cassandra',
        },
      })
    })
    afterAll(async () => {
      await postern?.stop()
      if (config) await rm(dirname(config), { recursive: true, force: true })
    })

    const run = async (...args: string[]) => {
      let [out, err] = ['', '']
      const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) }
      return { code: await main([...args, '--config', config], io), out, err }
    }
    const admin = (...args: string[]) => {
      const file = (name: string): string => join(dirname(config), name)
      return run('cassandra', 'init', ...args, '--username-file', file('admin.username'), '--password-file', file('admin.password'))
    }
    const doctor = async (): Promise<{ readonly code: number; readonly checks: readonly Check[]; readonly err: string }> => {
      const { code, out, err } = await run('cassandra', 'doctor', '--json')
      return { code, err, ...(JSON.parse(out) as { checks: readonly Check[] }) }
    }
    const of = (checks: readonly Check[], name: RegExp): readonly string[] =>
      checks.filter(check => name.test(check.name)).map(({ result, message }) => `${result} ${message}`)

    it('init changes nothing while a permission role is missing, which it never makes', async () => {
      const { code, err, out } = await admin()
      expect({ code, out }).toEqual({ code: 1, out: '' })
      expect(err).toMatch(/there is no role cmd_ro.*CREATE ROLE cmd_ro/)
      const session = await adminSession(node!)
      expect((await session.execute('LIST ROLES')).map(row => row['role'])).not.toContain(manager)
      await session.execute(`CREATE ROLE ${role}`)
      await session.close()
    })

    it('init makes what Postern needs, and can be run again', async () => {
      const first = await admin()
      expect(first.code).toBe(0)
      expect(first.out).toContain("'datacenter1': 1")
      expect(first.out).not.toMatch(new RegExp(`${password}|\\$2a\\$`))
      expect(first.err).toMatch(/\d+ statements ran/)
      expect((await admin()).code).toBe(0)
    })

    it('doctor finds the manager and the slots in order, and what is wrong with a test node', async () => {
      const { code, checks, err } = await doctor()
      expect(code).toBe(1)
      expect(err).toMatch(/trying the login cassandra\/cassandra once/)
      expect(of(checks, /^manager$/)).toEqual([`ok ${manager} has what it needs, and no more.`])
      expect(of(checks, /^slot /)).toEqual([0, 1].map(() => expect.stringMatching(/^unknown may do nothing: cmd_ro has no grant/)))
      expect(of(checks, /^version$/)).toEqual([expect.stringMatching(/^ok 5\.0\.8/)])
      expect(of(checks, /^replication/)).toEqual([0, 1].map(() => expect.stringMatching(/^warn one node/)))
      expect(of(checks, /^cassandra\/cassandra$/)).toEqual([expect.stringMatching(/^fail LOGS IN/)])
      expect(of(checks, /cache$/)).toEqual([0, 1, 2].map(() => 'ok validity 2s'))
      expect(of(checks, /^clocks$/)).toEqual([expect.stringMatching(/^ok nodes 0 ms apart/)])
      expect(of(checks, /^cut$/)).toEqual([
        kind === 'strict' ? expect.stringMatching(/^ok .*open connections at once/) : expect.stringMatching(/^warn .*are only named/),
      ])
      expect(of(checks, /^tables|^auth consistency/).every(text => text.startsWith('ok'))).toBe(true)
    })

    it('doctor names what a DBA took away, and init mends it', async () => {
      const session = await adminSession(node!)
      await session.execute(`REVOKE ALTER ON ROLE postern_${role}_a FROM ${manager}`)
      await session.execute(`DROP ROLE postern_${role}_b`)
      await session.execute(`GRANT SELECT ON ALL KEYSPACES TO ${manager}`)
      const { checks } = await doctor()
      expect(of(checks, /^manager$/).join()).toMatch(
        /fail lacks ALTER ON <role postern_cmd_ro_a>.*fail has more than Postern uses: SELECT ON <all keyspaces>/,
      )
      expect(of(checks, /_b$/)).toEqual([expect.stringMatching(/^fail does not exist/)])
      await session.execute(`REVOKE SELECT ON ALL KEYSPACES FROM ${manager}`)
      await session.close()
      expect((await admin()).code).toBe(0)
      expect(of((await doctor()).checks, /^manager$/)).toEqual([expect.stringMatching(/^ok/)])
    })

    it('a running Postern is asked for status, history, a rotation and a cut, each on record', async () => {
      const started = await startFrom(config)
      if (!('app' in started)) throw new Error(JSON.stringify(started))
      postern = started
      const json = async (...args: string[]) => {
        const { code, out, err } = await run('credentials', ...args, '--json')
        return { code, err, answer: out === '' ? {} : (JSON.parse(out) as Record<string, unknown>) }
      }
      const state = async () => ((await json('status')).answer['roles'] as { state: string; cutEnds: string }[])[0]
      await expect
        .poll(state, { timeout: 20_000 })
        .toMatchObject({ state: 'current', cutEnds: kind === 'strict' ? 'connections' : 'logins' })
      expect(await json('rotate', role, '--why', 'drill')).toMatchObject({ code: 0, answer: { is: 'rotated', generation: 2 } })
      const cut = await json('cut', role, '--why', 'drill')
      // Nobody is connected, so there is nothing that could not be ended.
      expect(cut).toMatchObject({ code: 0, answer: { reached: 'complete', revoked: false } })
      expect(await state()).toMatchObject({ state: 'cut' })
      expect((await json('history', role)).answer).toMatchObject({ cut: { why: 'drill' }, rows: [{ generation: 2 }, { generation: 1 }] })
      await expect.poll(async () => (await json('rotate', role)).code, { timeout: 20_000, interval: 500 }).toBe(0)
      expect(await state()).toMatchObject({ state: 'current', generation: 3 })
      const records = postern.records()
      expect(
        records
          .filter(record => record['kind'] === 'cut')
          .map(record => (record['detail'] as { act: string }).act)
          .sort(),
      ).toEqual(['begun', 'done', 'stopped'])
      expect(records.some(record => record['kind'] === 'control' && JSON.stringify(record).includes('credentials rotate'))).toBe(true)
      const exposition = await (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()
      expect(exposition).toMatch(/postern_credential_rotation_duration_seconds_count 3/)
      expect(exposition).toMatch(/postern_credential_info\{role="cmd_ro",state="current"\} 1/)
      expect(exposition).toMatch(/# TYPE postern_credential_connections_on_previous gauge/)
    })
  })
}
