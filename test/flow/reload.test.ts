import { mkdir, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import type { TenantState } from '../../src/model/decision.ts'
import {
  platformPolicy,
  type Recorder,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  tenantPolicy,
  writeInstallation,
} from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let ann: string
let gus: string

const staff = (tenant: string) => ({ claims: { tenant, groups: ['staff'] } })
const readOnly = (issuer: string): string =>
  tenantPolicy('acme', issuer, '  - { allow: staff-read, why: Read only now., who: staff, to: GET /v1/** }')

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: staff('acme'), gus: staff('globex') } })
  backend = await startRecorder()
  ann = await provider.token('ann')
  gus = await provider.token('gus')
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})
beforeEach(async () => {
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
})
afterEach(() => postern.stop())

const at = (name: string): string => join(postern.dir, name)
const reload = () => postern.app.reload({ by: 'test', withoutTests: false, why: '' })
const post = async (token: string, host = 'acme.test'): Promise<number> =>
  (await postern.call('/v1/x', { token, host, method: 'POST' })).status
/** Records are written at the end of a turn. */
const kinds = (): unknown[] => postern.records().map(record => record['kind'])

describe('a change on disk', () => {
  it('of a policy is in force without being asked for, and recorded with both digests', async () => {
    expect(await post(ann)).toBe(200)
    await writeFile(at('policies/acme.policy.yaml'), readOnly(provider.issuer))
    await expect.poll(() => post(ann), { timeout: 5000 }).toBe(403)
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(200)
    const loaded = () => JSON.stringify(postern.records().findLast(record => record['kind'] === 'policy-load') ?? {})
    await expect.poll(loaded, { timeout: 5000 }).toMatch(/old_digest":"[0-9a-f]{64}".*new_digest":"[0-9a-f]{64}"/)
  })

  it('by renaming over the file, as editors do, is noticed', async () => {
    await writeFile(at('policies/new.tmp'), readOnly(provider.issuer))
    await rename(at('policies/new.tmp'), at('policies/acme.policy.yaml'))
    await expect.poll(() => post(ann), { timeout: 5000 }).toBe(403)
  })

  it('by moving the file away and writing a new one, as other editors do, never takes the tenant away', async () => {
    await rename(at('policies/acme.policy.yaml'), at('policies/acme.policy.yaml~'))
    await writeFile(at('policies/acme.policy.yaml'), readOnly(provider.issuer))
    await expect.poll(() => post(ann), { timeout: 5000 }).toBe(403)
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(200)
    expect(JSON.stringify(postern.records())).not.toContain('"state":"removed"')
  })

  it('that is half written changes nothing; the other half does', async () => {
    const text = readOnly(provider.issuer)
    await writeFile(at('policies/acme.policy.yaml'), text.slice(0, text.indexOf('rules:') + 20))
    expect(await reload()).toMatchObject({ changed: false, refused: true })
    expect(await post(ann)).toBe(200)
    await writeFile(at('policies/acme.policy.yaml'), text)
    await expect.poll(() => post(ann), { timeout: 5000 }).toBe(403)
  })

  it('by a folder that is deleted and comes back is noticed, though its watcher went with it', async () => {
    await rm(at('policies'), { recursive: true })
    await expect.poll(kinds, { timeout: 5000 }).toContain('policy-refused')
    expect(await post(ann)).toBe(200)
    await mkdir(at('policies'))
    await writeFile(at('policies/_platform.policy.yaml'), platformPolicy)
    await writeFile(at('policies/globex.policy.yaml'), tenantPolicy('globex', provider.issuer))
    await writeFile(at('policies/acme.policy.yaml'), readOnly(provider.issuer))
    await expect.poll(() => post(ann), { timeout: 20_000, interval: 250 }).toBe(403)
  }, 40_000)

  it('of a large file, which another thread parses, is in force all the same', async () => {
    const line = (i: number) => `  - { allow: read-${i}, why: Read only now., who: staff, to: GET /v1/x${i}/** }`
    const rules = Array.from({ length: 4000 }, (_, i) => line(i)).join('\n')
    await writeFile(at('policies/acme.policy.yaml'), tenantPolicy('acme', provider.issuer, rules))
    expect(await reload()).toMatchObject({ changed: true, refused: false })
    expect((await postern.call('/v1/x3999', { token: ann })).status).toBe(200)
    expect(await post(ann)).toBe(403)
  })

  it('of the gateway secrets comes into force, and both work during a rotation', async () => {
    await writeFile(at('second.secret'), `${'n'.repeat(40)}\n`)
    const config = await readFile(at('proxy.config.yaml'), 'utf8')
    await writeFile(at('proxy.config.yaml'), config.replace('[gateway.secret]', '[gateway.secret, second.secret]'))
    expect(await reload()).toMatchObject({ changed: true, refused: false })
    expect((await postern.call('/v1/x', { token: ann, proof: 'n'.repeat(40) })).status).toBe(200)
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(200)
  })

  it('of a key that needs a restart is told, and the old value stays', async () => {
    const config = await readFile(at('proxy.config.yaml'), 'utf8')
    await writeFile(at('proxy.config.yaml'), config.replace('ops: "127.0.0.1:0"', 'ops: "127.0.0.1:1"'))
    expect(await reload()).toMatchObject({ changed: true, refused: false, restart: ['listen.ops'] })
  })

  it('by a swap of ..data, as Kubernetes does it, is noticed', async () => {
    const policies = at('policies')
    await mkdir(join(policies, '..1'))
    for (const name of ['acme.policy.yaml', 'globex.policy.yaml', '_platform.policy.yaml']) {
      await rename(join(policies, name), join(policies, '..1', name))
      await symlink(join('..data', name), join(policies, name))
    }
    await symlink('..1', join(policies, '..data'))
    expect(await reload()).toMatchObject({ changed: false, refused: false })
    await mkdir(join(policies, '..2'))
    for (const name of ['globex.policy.yaml', '_platform.policy.yaml'])
      await writeFile(join(policies, '..2', name), await readFile(join(policies, name)))
    await writeFile(join(policies, '..2', 'acme.policy.yaml'), readOnly(provider.issuer))
    await symlink('..2', join(policies, '..data_tmp'))
    await rename(join(policies, '..data_tmp'), join(policies, '..data'))
    await expect.poll(() => post(ann), { timeout: 5000 }).toBe(403)
  })
})

describe('something broken on disk changes nothing but a record, a log line and a metric', () => {
  it.each<[string, string, (path: string) => Promise<unknown>]>([
    ['a policy', 'policies/acme.policy.yaml', path => writeFile(path, 'postern: policy/v1\ntenant: acme\nrules: {')],
    ['the configuration', 'proxy.config.yaml', path => writeFile(path, 'postern: config/v1\nlisten: 5\n')],
    ['a half-written configuration', 'proxy.config.yaml', async path => writeFile(path, (await readFile(path, 'utf8')).slice(0, 200))],
    ['a deleted configuration', 'proxy.config.yaml', unlink],
    ['a deleted platform file', 'policies/_platform.policy.yaml', unlink],
    ['a broken platform file', 'policies/_platform.policy.yaml', path => writeFile(path, 'x')],
    ['a deleted secret', 'gateway.secret', unlink],
    ['an empty secret', 'gateway.secret', path => writeFile(path, '')],
    ['a short secret', 'gateway.secret', path => writeFile(path, 'short')],
    ['a deleted policies folder', 'policies', path => rm(path, { recursive: true })],
  ])('%s', async (_, name, breakIt) => {
    const before = (await reload()).digest
    await breakIt(at(name))
    const result = await reload()
    expect(result).toMatchObject({ changed: false, refused: true, digest: before })
    expect(result.findings.length).toBeGreaterThan(0)
    expect(await post(ann)).toBe(200)
    expect(await post(gus, 'globex.test')).toBe(200)
    await expect.poll(kinds, { timeout: 5000 }).toContain(name.startsWith('policies') ? 'policy-refused' : 'config-refused')
    expect(postern.log()).toMatch(/refused; the last good version stays in force/)
  })

  it('and is reported once, not at every look', async () => {
    await writeFile(at('policies/acme.policy.yaml'), 'x')
    for (let i = 0; i < 3; i++) await reload()
    await expect.poll(() => kinds().filter(kind => kind === 'policy-refused').length, { timeout: 5000 }).toBe(1)
  })

  it('in one tenant does not hold back the change of another', async () => {
    await writeFile(at('policies/globex.policy.yaml'), 'x')
    await writeFile(at('policies/acme.policy.yaml'), readOnly(provider.issuer))
    expect(await reload()).toMatchObject({ changed: true, refused: true })
    expect(await post(ann)).toBe(403)
    expect(await post(gus, 'globex.test')).toBe(200)
    expect(JSON.stringify(postern.app.status())).toContain('"state":"stale"')
  })

  it('is visible: the digest on disk is not the one in force', async () => {
    await writeFile(at('policies/acme.policy.yaml'), 'x')
    await reload()
    const { tenants } = postern.app.ready().detail as { readonly tenants: readonly TenantState[] }
    const acme = tenants.find(({ tenant }) => tenant === 'acme')
    expect(acme).toMatchObject({ state: 'stale' })
    expect(acme?.digestOnDisk).not.toBe(acme?.digestEnforced)
  })

  it('in the configuration does not hold back the fix of a policy', async () => {
    await writeFile(at('proxy.config.yaml'), 'x')
    await writeFile(at('policies/acme.policy.yaml'), readOnly(provider.issuer))
    expect(await reload()).toMatchObject({ changed: true, refused: true })
    expect(await post(ann)).toBe(403)
  })
})

describe('a tenant', () => {
  it('whose file is deleted is gone: 403', async () => {
    await unlink(at('policies/acme.policy.yaml'))
    expect(await reload()).toMatchObject({ changed: true, refused: false })
    expect(await post(ann)).toBe(403)
    expect(await post(gus, 'globex.test')).toBe(200)
  })

  it('does not go together with every other one: P604', async () => {
    await unlink(at('policies/acme.policy.yaml'))
    await unlink(at('policies/globex.policy.yaml'))
    const result = await reload()
    expect(result).toMatchObject({ changed: false, refused: true })
    expect(result.findings.map(finding => finding.code)).toContain('P604')
    expect(await post(ann)).toBe(200)
  })
})

describe('a rollback', () => {
  const rollback = (tenant = 'acme') => postern.app.rollback(tenant, 'SEC-2210')
  const acme = () => (postern.app.status() as { readonly tenants: readonly TenantState[] }).tenants.find(one => one.tenant === 'acme')
  const reads = (name: string) => tenantPolicy('acme', provider.issuer, `  - { allow: ${name}, why: Read., who: staff, to: GET /v1/** }`)

  it('restores what was in force, holds against the file on disk, and ends with a new file', async () => {
    await writeFile(at('policies/acme.policy.yaml'), reads('read'))
    await reload()
    expect(await post(ann)).toBe(403)
    expect(await rollback()).toMatchObject({ tenant: 'acme', from: acme()?.digestOnDisk, onDisk: acme()?.digestOnDisk })
    expect(await post(ann)).toBe(200)
    expect(acme()?.state).toBe('rolled-back')
    await reload()
    expect(await post(ann)).toBe(200)
    await writeFile(at('policies/acme.policy.yaml'), reads('read-again'))
    await reload()
    expect(await post(ann)).toBe(403)
    expect(acme()?.state).toBe('enforced')
  })

  it('is on record as an act, with its reason, and as a load, and metrics show it', async () => {
    await writeFile(at('policies/acme.policy.yaml'), reads('read'))
    await reload()
    await rollback()
    const details = () => postern.records().flatMap(({ kind, tenant, detail }) => [{ kind, tenant, detail }])
    await expect
      .poll(details, { timeout: 5000 })
      .toContainEqual({ kind: 'control', tenant: null, detail: { act: 'rollback', tenant: 'acme', why: 'SEC-2210' } })
    const load = details().findLast(({ kind }) => kind === 'policy-load')
    expect(load).toMatchObject({
      tenant: 'acme',
      detail: { by: 'rollback', why: 'SEC-2210', state: 'rolled-back', new_digest: acme()?.digestEnforced },
    })
    const metrics = await (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()
    expect(metrics).toContain('postern_policy_tenants{state="rolled-back"} 1')
    expect(metrics).toContain('postern_policy_digest_differs 1')
    expect(metrics).toMatch(/postern_policy_last_good_load_age_seconds \d/)
  })

  it('of a tenant that never changed says so and changes nothing', async () => {
    expect(await rollback()).toEqual({ problem: expect.stringMatching(/no version of acme was in force before/) })
    expect(await rollback('nobody')).toEqual({ problem: 'nobody is not a tenant here.' })
    expect(await post(ann)).toBe(200)
  })
})

describe('a start', () => {
  it.each<[string, string, string | null, string]>([
    ['without a platform file', 'policies/_platform.policy.yaml', null, 'P603'],
    ['without the gateway secret', 'gateway.secret', null, 'C207'],
    ['without the audit key', 'audit.pem', null, 'C207'],
    ['with a key that is none', 'audit.pem', 'rubbish', 'C207'],
    ['with a typing error in a key', 'proxy.config.yaml', 'postern: config/v1\nlistn: {}\n', 'C201'],
    ['with an unknown version', 'proxy.config.yaml', 'postern: config/v9\n', 'C204'],
    ['without a configuration', 'proxy.config.yaml', null, 'C100'],
  ])('%s is refused with a code', async (_, name, text, code) => {
    const config = await writeInstallation({ issuer: provider.issuer, upstreamPort: backend.port })
    const path = join(config, '..', name)
    await (text === null ? unlink(path) : writeFile(path, text))
    const started = await startFrom(config)
    if ('app' in started) await started.stop()
    expect('app' in started ? 'started' : started.map(finding => finding.code)).toContain(code)
  })

  it('with one tenant broken serves the others; the broken one gets 503', async () => {
    const other = await startPostern({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      policies: {
        'acme.policy.yaml': `${tenantPolicy('acme', provider.issuer)}surprise: 1\n`,
        'globex.policy.yaml': tenantPolicy('globex', provider.issuer),
      },
    })
    expect((await other.call('/v1/x', { token: ann })).status).toBe(503)
    expect((await other.call('/v1/x', { token: gus, host: 'globex.test' })).status).toBe(200)
    await other.stop()
  })
})
