import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../../cmd/main.ts'
import { tenantPolicy, writeInstallation } from '../../support/postern.ts'

const issuer = 'http://127.0.0.1:1'
const rules = '  - { allow: read, why: Staff read., who: staff, to: GET /v1/**, then: { cassandra-role: acme_ro } }'
const section =
  'cassandra: { contact-points: ["127.0.0.1:1"], local-data-center: dc1, username-file: manager.username, password-file: manager.password }'
let config: string

beforeAll(async () => {
  config = await writeInstallation({
    issuer,
    upstreamPort: 1,
    policies: { 'acme.policy.yaml': tenantPolicy('acme', issuer, rules) },
    sections: {
      upstreams: 'upstreams: { api: { url: "http://127.0.0.1:1", delivery: header } }',
      routes: 'routes: [{ name: acme-v1, host: acme.test, prefix: /v1, upstream: api }]',
      cassandra: section,
      credentials: 'credentials: { provider: cassandra, files: { dir: creds, roles: [acme_batch] } }',
    },
    files: { 'manager.username': 'postern_manager\n', 'manager.password': 'not-to-be-printed\n' },
  })
})
afterAll(() => rm(dirname(config), { recursive: true }))

const run = async (...args: string[]) => {
  let [out, err] = ['', '']
  const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) }
  return { code: await main(['cassandra', ...args, '--config', config], io), out, err }
}

describe('postern cassandra init', () => {
  it('prints the CQL for every role of the policies and of the files, without a secret, and connects to nothing', async () => {
    const { code, out, err } = await run('init', '--dry-run')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const role of ['acme_ro', 'acme_batch']) expect(out).toContain(`GRANT ${role} TO postern_${role}_a;`)
    expect(out).toContain(':manager_password_hash')
    expect(out).not.toContain('not-to-be-printed')
    expect((await run('init', '--dry-run')).out).toBe(out)
  })

  it('takes other roles, a replication and --with-cut, and answers as JSON', async () => {
    const { code, out } = await run('init', '--dry-run', '--json', '--roles', 'b_ro,a_ro', '--replication', 'dc1=3,dc2=2', '--with-cut')
    expect(code).toBe(0)
    const answer = JSON.parse(out) as { readonly cql: string }
    expect(answer).toMatchObject({ roles: ['b_ro', 'a_ro'], manager: 'postern_manager', ran: false })
    expect(answer.cql).toContain("'dc1': 3, 'dc2': 2")
    expect(answer.cql).toContain('GRANT AUTHORIZE ON ROLE a_ro TO postern_manager;')
    expect(answer.cql).not.toContain('acme_ro_a')
  })

  it.each([
    [['init'], /needs --username-file/],
    [['init', '--dry-run', '--replication', 'dc1:3'], /--replication is written as/],
    [['init', '--dry-run', '--roles', "x'; DROP ROLE y"], /is not a role name/],
    [['init', '--dry-run', '--password', 'x'], /--password/],
    [['grant'], /Try: postern cassandra init/],
  ])('%j is refused', async (args, text) => {
    expect(await run(...args)).toMatchObject({ code: 64, err: expect.stringMatching(text) })
  })

  it('says what to write where the manager has no login yet, and which names it makes', async () => {
    const file = join(dirname(config), 'manager.username')
    await writeFile(file, 'Postern Manager')
    expect(await run('init', '--dry-run')).toMatchObject({ code: 64, err: expect.stringMatching(/a name that init does not make/) })
    await writeFile(file, '')
    expect(await run('init', '--dry-run')).toMatchObject({ code: 64, err: expect.stringMatching(/openssl rand/) })
    await writeFile(file, 'postern_manager')
  })
})

describe('without a cluster', () => {
  it('doctor and init cannot tell', async () => {
    const doctor = await run('doctor')
    expect(doctor).toMatchObject({ code: 2, out: '' })
    expect(doctor.err).toMatch(/connecting as postern_manager\n.*ECONNREFUSED/)
    const admin = join(dirname(config), 'manager.username')
    expect(await run('init', '--username-file', admin, '--password-file', admin)).toMatchObject({ code: 2, out: '' })
  })
})
