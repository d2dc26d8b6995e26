import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { run as replay } from '../../cmd/replay.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import {
  type CallOptions,
  type Recorder,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  tenantPolicy,
  writeInstallation,
} from '../support/postern.ts'

const hashKey = 'ab'.repeat(32)
const rules = `  - { deny: no-exports, why: w, who: anyone, except: leads, to: ANY /v1/**, when: { query: { format: csv }, header: { x-purpose: [audit-2291, drill] } } }
  - { allow: staff-read, why: w, who: [staff, leads], to: GET /v1/**, when: { query: { limit: 1..500 } } }
  - { allow: fresh, why: w, who: staff, to: PUT /v1/**, needs-login: { acr: [high], within: 5m } }
`
const policyOf = (issuer: string, groups = 'staff'): string =>
  tenantPolicy('acme', issuer, rules)
    .replace('groups: list<string> }', 'groups: list<string>, badge: string? }')
    .replace('who: { staff: { groups: [staff] } }', `who: { staff: { groups: [${groups}] }, leads: { claims: { badge: gold-badge-7 } } }`)

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern

beforeAll(async () => {
  const staff = { tenant: 'acme', groups: ['staff', 'night-shift-9'] }
  provider = await startProvider({
    port: 0,
    users: {
      ann: { claims: staff },
      lea: { claims: { ...staff, groups: [], badge: 'gold-badge-7' } },
      odd: { claims: { ...staff, groups: 'staff-as-text-4' } },
      gus: { claims: { tenant: 'initech-tenant-5', groups: ['staff'] } },
    },
  })
  backend = await startRecorder()
  postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': policyOf(provider.issuer) },
    sections: {
      audit:
        'audit: { dir: audit, second: audit-second, key-file: audit.pem, hash-key-files: [facts.key], plain: [badge], sinks: [file, stdout] }',
    },
    files: { 'facts.key': hashKey },
  })
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})

interface Result {
  readonly code: number
  readonly counts: Readonly<Record<string, number>>
}

const replayed = async (against: string, ...args: string[]): Promise<Result> => {
  const out: string[] = []
  const io = { out: (text: string) => void out.push(text), err: () => undefined }
  const code = await replay([join(postern.dir, 'audit'), '--against', against, '--json', ...args], io)
  return { code, ...(JSON.parse(out.join('')) as { readonly counts: Readonly<Record<string, number>> }) }
}

const key = (): string[] => ['--hash-key-file', join(postern.dir, 'facts.key')]

/** A folder of the same policies with another acme. */
const variant = async (text: string): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'postern-variant-'))
  await writeFile(join(dir, '_platform.policy.yaml'), await readFile(join(postern.dir, 'policies/_platform.policy.yaml'), 'utf8'))
  await writeFile(join(dir, 'acme.policy.yaml'), text)
  return dir
}

const asks: readonly (readonly [user: string, path: string, options?: CallOptions])[] = [
  ['ann', '/v1/a?limit=7'],
  ['ann', '/v1/a?limit=700'],
  ['ann', '/v1/a?format=csv', { headers: { 'x-purpose': 'audit-2291' } }],
  ['ann', '/v1/a?format=secret-format-3', { headers: { 'x-purpose': 'private-purpose-8' } }],
  ['ann', '/v1/a?%zz=1&format=%ff', { headers: { 'x-purpose': 'drill' } }],
  ['ann', '/v1/a', { method: 'PUT' }],
  ['lea', '/v1/b?format=csv', { headers: { 'x-purpose': 'drill' } }],
  ['odd', '/v1/c'],
  ['gus', '/v1/a'],
]

const exchanges = (): Record<string, unknown>[] => postern.records().filter(record => record['kind'] === 'exchange')

/** Records are written at the end of a turn. */
const written = (records: number): Promise<void> => vi.waitFor(() => expect(exchanges()).toHaveLength(records), 5000)

/** All that the audit has on the disk. */
const auditBytes = async (): Promise<string> => {
  const names = await readdir(join(postern.dir, 'audit'), { recursive: true })
  const logs = names.filter(name => name.endsWith('.jsonl'))
  return (await Promise.all(logs.map(name => readFile(join(postern.dir, 'audit', name), 'utf8')))).join('')
}

describe('facts of real traffic', () => {
  beforeAll(async () => {
    const statuses: number[] = []
    for (const [user, path, options] of asks)
      statuses.push((await postern.call(path, { ...options, token: await provider.token(user) })).status)
    expect(statuses).toEqual([200, 403, 403, 200, 403, 401, 200, 403, 403])
    await written(asks.length)
  })

  it('replay as the same against the same policies, with their key and without', async () => {
    expect(await replayed(join(postern.dir, 'policies'), ...key())).toMatchObject({
      code: 0,
      counts: { same: asks.length, 'cannot-tell': 0 },
    })
    // Whose the caller of no tenant is, only the hashed claims tell.
    expect(await replayed(join(postern.dir, 'policies'))).toMatchObject({ code: 2, counts: { same: asks.length - 1, 'cannot-tell': 1 } })
  })

  it('replay as the same by judgement, not by the digest of the file alone', async () => {
    const dir = await variant(`${policyOf(provider.issuer)}# the same rules, other bytes\n`)
    // The number of a range cannot be read from a hash: two requests had a limit.
    expect((await replayed(dir, ...key())).counts).toMatchObject({ same: asks.length - 2, 'cannot-tell': 2 })
    expect((await replayed(dir)).counts['same']).toBeLessThan(asks.length - 2)
    await rm(dir, { recursive: true })
  })

  it('show what another policy would take from whom', async () => {
    const dir = await variant(policyOf(provider.issuer, 'board'))
    expect((await replayed(dir, ...key(), '--fail-on', 'losses')).counts).toMatchObject({
      'newly-allowed': 0,
      'newly-denied': 3,
      'cannot-tell': 0,
    })
    await rm(dir, { recursive: true })
  })

  it('keep every value out of the record that is not named plain', async () => {
    const bytes = await auditBytes()
    for (const value of [
      'night-shift-9',
      '"staff"',
      'staff-as-text-4',
      'initech-tenant-5',
      'secret-format-3',
      'private-purpose-8',
      'audit-2291',
      'postern-demo',
    ])
      expect(bytes).not.toContain(value)
    expect(bytes).toContain('"plain":{"badge":"gold-badge-7"}')
    expect(bytes).not.toContain(hashKey)
  })

  it('name the digest of the policy that decided, also after a reload', async () => {
    const file = join(postern.dir, 'policies/acme.policy.yaml')
    await writeFile(file, policyOf(provider.issuer, 'board'))
    await postern.app.reload({ by: 'control', withoutTests: false, why: '' })
    expect((await postern.call('/v1/a', { token: await provider.token('ann') })).status).toBe(403)
    await written(asks.length + 1)
    const digests = exchanges().map(({ decision }) => decision as Record<string, unknown>)
    const [first, last] = [digests[0], digests.at(-1)]
    expect(last?.['policy-digest']).not.toBe(first?.['policy-digest'])
    expect(last?.['platform-digest']).toBe(first?.['platform-digest'])
    // What the old policy allowed is lost under the new one; what the new one refused stays refused.
    expect((await replayed(join(postern.dir, 'policies'), ...key())).counts).toMatchObject({ 'newly-denied': 3, 'newly-allowed': 0 })
  })
})

describe('a key for facts', () => {
  it.each([
    ['is missing', {}, /C207 facts\.key cannot be read \(ENOENT\)/],
    ['is too short', { 'facts.key': 'abcd' }, /C204 facts\.key holds no key of 32 bytes/],
    ['is no hex', { 'facts.key': 'z'.repeat(64) }, /C204 facts\.key holds no key of 32 bytes/],
  ])('that %s is a fault of the configuration', async (_, files, finding) => {
    const audit = 'audit: { dir: audit, key-file: audit.pem, hash-key-files: [facts.key] }'
    const config = await writeInstallation({ issuer: provider.issuer, upstreamPort: backend.port, sections: { audit }, files })
    const started = await startFrom(config)
    expect('app' in started ? [] : started.map(({ code, message }) => `${code} ${message}`)).toEqual([expect.stringMatching(finding)])
    await rm(dirname(config), { recursive: true, force: true })
  })
})
