import { describe, expect, it } from 'vitest'
import { type Composition, compose, type PolicyFile } from '../../../src/policy/compose.ts'
import { allow, brief, composed, decide, deny, file, handing, load, options, platformFile, tenantFile } from './fixtures.ts'

const reads = (role?: string) => ({ rules: [allow('read', role === undefined ? {} : handing(role))] })
const tests = (tenant: string, expect: string) =>
  file(`${tenant}.policy-test.yaml`, {
    postern: 'policy-test/v1',
    tenant,
    now: '2026-11-23T10:00:00Z',
    callers: { anna: {} },
    requests: { a: 'GET /v1/a' },
    cases: [{ ask: 'anna a', expect }],
  })
const states = ({ engine }: Composition) => engine.tenants.map(({ tenant, state }) => `${tenant} ${state}`)
const gated = { testsGateReload: true }
const many = (n: number): PolicyFile[] => Array.from({ length: n }, (_, i) => tenantFile(`t${i}`))

describe('each tenant keeps its last good version', () => {
  const good = composed([platformFile(), tenantFile('acme', reads()), tenantFile('globex', reads())])

  it('while a broken file is on disk, and the others go on', () => {
    const { composition, findings, changes } = load(
      [platformFile(), tenantFile('acme', { rules: 1 }), tenantFile('globex', { rules: [] })],
      good,
    )
    expect(composition && states(composition)).toEqual(['acme stale', 'globex enforced'])
    expect(composition && decide(composition.engine)).toBe('allow read')
    expect(composition && decide(composition.engine, { claims: { tid: 'globex' } })).toBe('deny default')
    const first = findings.find(finding => finding.severity === 'error')
    expect(changes).toMatchObject([
      { tenant: 'acme', state: 'stale', oldDigest: good.entries.get('acme')?.enforced?.digest, finding: first },
      { tenant: 'globex', state: 'enforced', finding: null },
    ])
    expect(changes[0]?.newDigest).toBe(composition?.engine.tenants[0]?.digestOnDisk)
    expect(changes[0]?.newDigest).not.toBe(composition?.engine.tenants[0]?.digestEnforced)
  })

  it('a broken file that did not change is reported again, but is no change', () => {
    const files = [platformFile(), tenantFile('acme', { rules: 1 }), tenantFile('globex', reads())]
    const once = composed(files, good)
    const twice = load(files, once)
    expect(twice.changes).toEqual([])
    expect(twice.findings.map(finding => finding.code)).toContain('P203')
    expect(twice.composition && states(twice.composition)).toEqual(['acme stale', 'globex enforced'])
  })

  it('and returns to the file on disk when that is good again', () => {
    const stale = composed([platformFile(), tenantFile('acme', { rules: 1 }), tenantFile('globex', reads())], good)
    const { composition, changes } = load([platformFile(), tenantFile('acme', reads()), tenantFile('globex', reads())], stale)
    expect(composition && states(composition)).toEqual(['acme enforced', 'globex enforced'])
    expect(changes).toMatchObject([{ tenant: 'acme', state: 'enforced', finding: null }])
  })

  it('unchanged bytes are not compiled again', () => {
    const next = composed([platformFile(), tenantFile('acme', reads()), tenantFile('globex', { rules: [] })], good)
    expect(next.entries.get('acme')?.enforced).toBe(good.entries.get('acme')?.enforced)
    expect(next.platform).toBe(good.platform)
  })

  it('a file that moved to another folder is still the same tenant', () => {
    const moved = { ...tenantFile('acme', reads()), name: 'eu/acme.policy.yaml' }
    expect(states(composed([platformFile(), moved, tenantFile('globex', reads())], good))).toEqual(['acme enforced', 'globex enforced'])
  })

  it('the digest of the engine changes with everything that can change a decision', () => {
    const digest = (...files: PolicyFile[]) => composed(files, good).engine.digest
    const [acme, globex] = [tenantFile('acme', reads()), tenantFile('globex', reads())]
    const all = [
      good.engine.digest,
      digest(platformFile({ 'shared-roles': ['x'] }), acme, globex),
      digest(platformFile(), acme),
      digest(platformFile(), acme, tenantFile('globex')),
    ]
    expect(new Set(all).size).toBe(all.length)
    expect(digest(globex, platformFile(), acme)).toBe(good.engine.digest)
  })

  it('the digest of the engine does not change by a version that is refused', () => {
    const broken = tenantFile('globex', { rules: 1 })
    expect(composed([platformFile(), tenantFile('acme', reads()), broken], good).engine.digest).toBe(good.engine.digest)
  })
})

describe('tests gate a changed policy', () => {
  const files = (rules: object, expected: string) => [platformFile(), tenantFile('acme', { rules }), tests('acme', expected)]
  const good = composed(files([allow('read')], 'allow by read'), null, gated)

  it('a failing test keeps the last good version, or none at a start', () => {
    const next = load(files([], 'allow'), good, gated)
    expect(next.composition && states(next.composition)).toEqual(['acme stale'])
    expect(next.changes).toMatchObject([{ tenant: 'acme', state: 'stale', finding: { code: 'P703' } }])
    expect(states(composed(files([], 'allow'), null, gated))).toEqual(['acme unavailable'])
  })
  it('a test file that cannot be read does so too', () => {
    const bad = [platformFile(), tenantFile('acme', { rules: [] }), file('acme.policy-test.yaml', 'x: 1')]
    expect(states(composed(bad, good, gated))).toEqual(['acme stale'])
  })
  it('not where the configuration or this one load says otherwise', () => {
    expect(states(composed(files([], 'allow'), good))).toEqual(['acme enforced'])
    const hot = composed(files([], 'allow'), good, { ...gated, withoutTests: true })
    expect(states(hot)).toEqual(['acme enforced'])
    expect(states(composed(files([], 'allow'), hot, gated))).toEqual(['acme enforced'])
  })
  it('a corrected test lets the same policy in', () => {
    const stale = composed(files([], 'allow'), good, gated)
    expect(states(composed(files([], 'deny by default'), stale, gated))).toEqual(['acme enforced'])
  })
  it('a test that breaks later is reported, but takes nothing out of force', () => {
    const later = load(files([allow('read')], 'deny'), good, gated)
    expect(later.findings.map(finding => finding.code)).toContain('P703')
    expect(later.composition && states(later.composition)).toEqual(['acme enforced'])
  })
  it('tests are decided under the platform file, alone with their tenant', () => {
    const platform = platformFile({ rules: [deny('never', { to: 'GET /v1/a' })] })
    const rest = [tenantFile('acme', { rules: [allow('read', { to: 'GET /v1/b' })] }), tests('acme', 'deny by never')]
    expect(brief(load([platform, ...rest], null, gated).findings)).toEqual(['acme.policy.yaml:1:171 P704'])
  })
})

describe('conflicts between tenants', () => {
  const claiming = (tenant: string, recognise: object) =>
    tenantFile(tenant, { recognise: { issuer: 'https://idp.example', audience: 'api', ...recognise }, ...reads() })
  const codes = (findings: readonly { code: string; file: string }[]) =>
    findings.filter(f => f.code !== 'W806').map(f => `${f.file.split('.')[0]} ${f.code}`)

  it.each<[string, object, object, boolean]>([
    ['hosts', { host: 'a.example' }, { host: 'b.example' }, true],
    ['issuers', {}, { issuer: 'https://two.example' }, true],
    ['values of one claim', { claims: { tid: 'a' } }, { claims: { tid: ['b', 'c'] } }, true],
    ['audiences', { audience: 'a' }, { audience: 'b' }, false],
    ['different claims', { claims: { tid: 'a' } }, { claims: { org: 'b' } }, false],
    ['a host and no host', { host: 'a.example' }, {}, false],
    ['one common host', { host: ['a.example', 'c.example'] }, { host: ['b.example', 'c.example'] }, false],
    ['one common value', { claims: { tid: ['a', 'b'] } }, { claims: { tid: ['b', 'c'] } }, false],
    ['a claim and none', { claims: { tid: 'a' } }, {}, false],
    [
      'common host, but another claim value',
      { host: 'a.example', claims: { tid: 'a' } },
      { host: 'a.example', claims: { tid: 'b' } },
      true,
    ],
  ])('two tenants with different %s', (_, one, two, apart) => {
    const { composition, findings } = load([platformFile(), claiming('acme', one), claiming('globex', two)])
    expect(codes(findings)).toEqual(apart ? [] : ['acme P601', 'globex P601'])
    expect(composition && states(composition)).toEqual(
      apart ? ['acme enforced', 'globex enforced'] : ['acme unavailable', 'globex unavailable'],
    )
  })

  it('a new version that conflicts with another tenant in force is refused, and the other is not touched', () => {
    const good = composed([platformFile(), claiming('acme', { claims: { tid: 'a' } }), claiming('globex', { claims: { tid: 'g' } })])
    const { composition, findings } = load(
      [platformFile(), claiming('acme', { claims: { tid: 'a' } }), claiming('globex', { claims: { tid: ['g', 'a'] } })],
      good,
    )
    expect(composition && states(composition)).toEqual(['acme enforced', 'globex stale'])
    expect(findings.find(finding => finding.code === 'P601')).toMatchObject({
      file: 'globex.policy.yaml',
      message: expect.stringMatching(/acme.*Give them different hosts/),
    })
  })

  it('two tenants may exchange their claims in one load', () => {
    const good = composed([platformFile(), claiming('acme', { claims: { tid: 'a' } }), claiming('globex', { claims: { tid: 'g' } })])
    const swapped = composed(
      [platformFile(), claiming('acme', { claims: { tid: 'g' } }), claiming('globex', { claims: { tid: 'a' } })],
      good,
    )
    expect(states(swapped)).toEqual(['acme enforced', 'globex enforced'])
  })

  it('a conflict with a version that another tenant falls back to is a conflict', () => {
    const good = composed([platformFile(), claiming('acme', { claims: { tid: 'a' } }), claiming('globex', { claims: { tid: 'g' } })])
    const broken = tenantFile('acme', { rules: 1 })
    const next = composed([platformFile(), broken, claiming('globex', { claims: { tid: 'a' } })], good)
    expect(states(next)).toEqual(['acme stale', 'globex stale'])
    expect(decide(next.engine, { claims: { tid: 'g' } })).toBe('allow read')
  })

  it('tenants of one issuer use at most four claim names', () => {
    const four = ['a', 'b', 'c', 'd'].map(name => claiming(`t${name}`, { host: `${name}.example`, claims: { [name]: 'x' } }))
    const good = composed([platformFile(), ...four])
    const { composition, findings } = load([platformFile(), ...four, claiming('te', { host: 'e.example', claims: { '0': 'x' } })], good)
    expect(codes(findings)).toEqual(['te P601'])
    expect(composition && states(composition).at(-1)).toBe('te unavailable')
  })

  it('an issuer that is not configured is P602 where it stands', () => {
    const { findings } = load([platformFile(), tenantFile('acme')], null, { issuers: ['https://other.example'] })
    expect(findings.filter(f => f.code === 'P602')).toMatchObject([
      { file: 'acme.policy.yaml', line: 1, message: expect.stringMatching(/https:\/\/other\.example/) },
    ])
    expect(load([platformFile(), tenantFile('acme')], null, { issuers: ['https://idp.example'] }).findings.map(f => f.code)).toEqual([
      'W806',
    ])
  })
})

describe('roles belong to the tenant with the longest prefix', () => {
  const acme = (role: string) => tenantFile('acme', reads(role))
  const eu = (role?: string) => tenantFile('acme-eu', reads(role))
  const errors = (files: PolicyFile[], previous: Composition | null = null) =>
    load(files, previous)
      .findings.filter(f => f.severity === 'error')
      .map(f => `${f.file} ${f.code}`)

  it("one's own, a shared one, nobody else's", () => {
    expect(errors([platformFile(), acme('acme_ro')])).toEqual([])
    expect(errors([platformFile(), acme('acme_eu_ro')])).toEqual([])
    expect(errors([platformFile(), acme('globex_ro')])).toEqual(['acme.policy.yaml P404'])
    expect(errors([platformFile(), acme('acmeco_ro')])).toEqual(['acme.policy.yaml P404'])
    expect(errors([platformFile({ 'shared-roles': ['reports_ro'] }), acme('reports_ro')])).toEqual([])
  })
  it('acme cannot name a role of acme-eu, though its prefix fits', () => {
    const { composition, findings } = load([platformFile(), acme('acme_eu_ro'), eu('acme_eu_ro')])
    expect(findings.find(f => f.code === 'P404')).toMatchObject({
      file: 'acme.policy.yaml',
      message: expect.stringMatching(/belongs to acme-eu; name a role that begins with acme_/),
    })
    expect(composition && states(composition)).toEqual(['acme unavailable', 'acme-eu enforced'])
  })
  it('a file on disk reserves its prefix even while it is refused', () => {
    expect(errors([platformFile(), acme('acme_eu_ro'), tenantFile('acme-eu', { rules: 1 })])).toContain('acme.policy.yaml P404')
  })
  it('a new tenant that would take over a role in use is refused until that rule changes', () => {
    const good = composed([platformFile(), acme('acme_eu_ro')])
    const refused = composed([platformFile(), acme('acme_eu_ro'), eu()], good)
    expect(states(refused)).toEqual(['acme enforced', 'acme-eu unavailable'])
    expect(errors([platformFile(), acme('acme_eu_ro'), eu()], good)).toEqual(['acme-eu.policy.yaml P404'])
    expect(states(composed([platformFile(), acme('acme_eu_ro'), eu()], refused))).toEqual(['acme enforced', 'acme-eu unavailable'])
    expect(states(composed([platformFile(), acme('acme_ro'), eu()], refused))).toEqual(['acme enforced', 'acme-eu enforced'])
  })
  it('a shared role that the platform takes back leaves its users without a good version', () => {
    const good = composed([platformFile({ 'shared-roles': ['reports_ro'] }), acme('reports_ro')])
    const { composition, changes } = load([platformFile(), acme('reports_ro')], good)
    expect(composition && states(composition)).toEqual(['acme unavailable'])
    expect(changes).toMatchObject([{ tenant: '_platform' }, { tenant: 'acme', state: 'unavailable', finding: { code: 'P404' } }])
  })
})

describe('loads that are refused whole', () => {
  const good = composed([platformFile(), ...many(20)])
  it('without a platform file, with two of them, or with a broken one; every other problem is still reported', () => {
    for (const [platform, code] of [
      [[], 'P603'],
      [[platformFile(), { ...platformFile(), name: 'a/_platform.policy.yaml' }], 'P603'],
      [[platformFile({ rules: 1 })], 'P203'],
    ] as const) {
      const { composition, findings, changes } = load([...platform, tenantFile('acme', { tenant: 'x' })], good)
      expect([composition, changes]).toEqual([null, []])
      expect(findings.map(finding => finding.code)).toEqual(expect.arrayContaining([code, 'P109']))
    }
  })
  it('that would remove more than one tenant and more than a tenth of them (P604)', () => {
    expect(load([platformFile(), ...many(17)], good)).toMatchObject({ composition: null, changes: [] })
    expect(load([platformFile(), ...many(17)], good).findings.find(f => f.code === 'P604')?.message).toMatch(/3 of 20 .*t17, t18, t19/)
    expect(load([platformFile(), ...many(18)], good).composition?.entries.size).toBe(18)
    const two = composed([platformFile(), ...many(2)])
    expect(load([platformFile(), ...many(1)], two).composition?.entries.size).toBe(1)
    expect(load([platformFile()], two).composition).toBe(null)
  })
})

describe('more tenants than one Postern serves', () => {
  it('are P110, and nothing of them is loaded', () => {
    const files = Array.from({ length: 10_001 }, (_, i) => file(`t${i}.policy.yaml`, ''))
    const { composition, findings } = load([platformFile(), ...files])
    expect(composition).toBe(null)
    expect(findings.find(finding => finding.code === 'P110')?.message).toMatch(/10001 tenants; at most 10000/)
  })
})

describe('a fault between files', () => {
  const text = (tenant: string, tid: string) => `postern: policy/v1
tenant: ${tenant}
owners: [o@example.com]
recognise:
  issuer: [https://idp.example, https://two.example]
  audience: api
  claims: { tid: ${tid} }
rules:
  - allow: read
    why: w
    who: anyone
    to: GET /v1/a
    then: { cassandra-role: globex_ro }
`
  it('stands where it can be mended', () => {
    const files = [platformFile(), file('acme.policy.yaml', text('acme', 'x')), file('eu/globex.policy.yaml', text('globex', 'x'))]
    const { findings } = load(files, null, { issuers: ['https://idp.example'] })
    expect(brief(findings.filter(finding => finding.severity === 'error'))).toEqual([
      'acme.policy.yaml:5:33 P602',
      'eu/globex.policy.yaml:5:33 P602',
    ])
    const settled = load(files)
    expect(brief(settled.findings.filter(finding => finding.severity === 'error'))).toEqual([
      'acme.policy.yaml:4:1 P601',
      'acme.policy.yaml:13:29 P404',
      'eu/globex.policy.yaml:4:1 P601',
    ])
  })
})

describe('a deleted file', () => {
  it('removes its tenant, and says so', () => {
    const good = composed([platformFile(), ...many(20)])
    const { composition, changes } = load([platformFile(), ...many(19)], good)
    expect(changes).toEqual([
      {
        tenant: 't19',
        state: 'removed',
        oldDigest: good.entries.get('t19')?.enforced?.digest,
        newDigest: null,
        finding: null,
        observeUntil: null,
      },
    ])
    expect(composition && decide(composition.engine, { claims: { tid: 't19' } })).toBe('deny tenant-mismatch')
  })
})

describe('file names', () => {
  const named = (name: string, text = 'x: 1') => load([platformFile(), file(name, text)]).findings.map(f => `${f.file} ${f.code}`)
  it('say the tenant, in the spelling of tenants (P109)', () => {
    for (const name of [
      'Acme.policy.yaml',
      'a.b.policy.yaml',
      'postern.policy.yaml',
      'system-x.policy.yaml',
      'anyone.policy.yaml',
      '_platform.policy-test.yaml',
    ])
      expect(named(name)).toEqual([`${name} P109`])
    expect(named('notes.yaml')).toEqual([])
  })
  it('and the file must agree', () => {
    expect(brief(load([platformFile(), { ...tenantFile('globex'), name: 'acme.policy.yaml' }]).findings)).toContain(
      'acme.policy.yaml:1:33 P109',
    )
  })
  it('two files of one tenant: no guess is made which was meant', () => {
    const good = composed([platformFile(), tenantFile('acme', reads())])
    const files = [platformFile(), { ...tenantFile('acme'), name: 'a/acme.policy.yaml' }, tenantFile('acme', reads())]
    expect(load(files).findings.map(f => `${f.file} ${f.code}`)).toContain('acme.policy.yaml P109')
    expect(states(composed(files))).toEqual(['acme unavailable'])
    expect(decide(composed(files, good).engine)).toBe('allow read')
  })
  it('tests stand beside their policy', () => {
    expect(named('acme.policy-test.yaml')).toEqual(['acme.policy-test.yaml P109'])
    const apart = { ...tests('acme', 'deny'), name: 'b/acme.policy-test.yaml' }
    expect(load([platformFile(), tenantFile('acme'), apart]).findings.map(f => `${f.file} ${f.code}`)).toEqual([
      'b/acme.policy-test.yaml P109',
    ])
  })
})

describe('same bytes, same result', () => {
  it('in any order of files', () => {
    const files = [
      platformFile(),
      ...many(9),
      tenantFile('acme', { rules: [allow('a'), deny('b', { to: 'ANY /v1/{x}/**' }), allow('c', { to: 'GET /v1/a' })] }),
    ]
    const shape = (list: PolicyFile[]) => {
      const { composition, findings, changes } = compose(list, null, options())
      const index = composition?.entries.get('acme')?.enforced?.policy
      return {
        engine: composition?.engine.digest,
        tenants: composition?.engine.tenants,
        findings,
        changes,
        denies: index?.denies.index,
        allows: index?.allows.index,
      }
    }
    const first = shape(files)
    for (let turn = 1; turn < files.length; turn++) expect(shape([...files.slice(turn), ...files.slice(0, turn)])).toEqual(first)
    expect(shape(files.toReversed())).toEqual(first)
  })
})
