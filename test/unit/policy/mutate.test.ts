import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Composition, PolicyFile } from '../../../src/policy/compose.ts'
import { policyEngine } from '../../../src/policy/decide.ts'
import { compilePolicy } from '../../../src/policy/engine/compile.ts'
import { zoneClocks } from '../../../src/policy/language/zone-clock.ts'
import type { TestFile } from '../../../src/policy/tests/file.ts'
import { type Bench, differs, factsOf, outcomeOf, reasonOf, roleOf } from '../../../src/policy/tests/run.ts'
import { benchOf } from '../../../src/policy/tests/tested.ts'
import { Judge } from '../../../src/policy/tools/mutate/judge.ts'
import { changed, mutantsOf } from '../../../src/policy/tools/mutate/mutants.ts'
import { type Mutation, mutate } from '../../../src/policy/tools/mutate.ts'
import { type Asked, composed, facts, file, platformFile } from './fixtures.ts'
import { askedOf, chance, policyFile, policyOf } from './generate.ts'

const benchFor = (composition: Composition, tenant = 'acme'): Bench => {
  const entry = composition.entries.get(tenant)
  const bench = entry && benchOf(entry.onDisk, composition.platform)
  if (!bench) throw new Error(`${tenant} is refused: ${JSON.stringify(entry?.onDisk.findings)}`)
  return bench
}

/** Mutates one tenant; `tests` are the files as they were read. */
const mutated = (files: readonly PolicyFile[], tenant = 'acme', obligations = false): Mutation => {
  const composition = composed(files)
  const entry = composition.entries.get(tenant)
  expect(entry?.tested.readFindings, 'the tests can be read').toEqual([])
  const policy = files.find(one => one.name === `${tenant}.policy.yaml`)
  return mutate(benchFor(composition, tenant), policy ?? file('none', ''), entry?.tested.files ?? [], obligations)
}

const alive = ({ mutants }: Mutation): string[] =>
  mutants.filter(one => one.killer === null).map(one => `${one.what}${one.counted ? '' : ' (not counted)'}`)

const read = (folder: string, name: string): PolicyFile => ({
  name,
  bytes: readFileSync(new URL(`../../../${folder}/${name}`, import.meta.url)),
})
const own = (tenant: string): PolicyFile[] => [
  read('policies', '_platform.policy.yaml'),
  read('policies', `${tenant}.policy.yaml`),
  read('policies', `${tenant}.policy-test.yaml`),
]

/** The example of the specification without never. */
const example = (): PolicyFile[] => {
  const cut = (name: string, cuts: readonly RegExp[]) => {
    const text = read('test/support/conformance', name).bytes.toString()
    return file(
      name,
      cuts.reduce((left, pattern) => left.replace(pattern, ''), text),
    )
  }
  return [platformFile(), cut('acme.policy.yaml', []), cut('acme.policy-test.yaml', [/^never:.*\n( .*\n)+/gm])]
}

const policy = `postern: policy/v1
tenant: acme
owners: [a@example.com]
recognise: { issuer: https://idp.example, audience: api }
claims: { groups: list<string>, dept: "string?" }
who:
  staff: { groups: staff }
  sales: { claims: { dept: sales } }
  bot:   { agent: helper, for: staff, max-hops: 1 }
always: { hide: [$.iban], limit: [9/s per tenant] }
rules:
  - deny: outside
    why: w
    who: staff
    except: sales
    to: ANY /v1/**
    when:
      ip-not-in: 10.0.0.0/8
      time: { zone: UTC, days: mon-fri }
  - allow: look
    why: w
    who: [staff, bot]
    to: GET HEAD /v1/{thing}
    from: 2026-11-01
    until: 2026-12-01T00:00:00Z
    when:
      header: { x-a: present, x-b: "on" }
      query: { n: 1..9 }
    needs-login: { acr: high, within: 5m }
    then: { cassandra-role: acme_ro, hide: [$.a, $.b], limit: [1/s per caller] }
  - allow: try
    why: w
    mode: shadow
    who: staff
    to: POST /v1/{thing}
`
const tests = `postern: policy-test/v1
tenant: acme
now: 2026-11-23T10:00:00Z
callers:
  ann: { groups: [staff], ip: 10.1.2.3, acr: high, signed-in: 1m ago }
requests:
  thing: { call: GET /v1/a, header: { x-a: 1, x-b: "on" } }
`
const files = (text: string): PolicyFile[] => [
  platformFile(),
  file('acme.policy.yaml', policy),
  file('acme.policy-test.yaml', text.replace('x-a: 1', 'x-a: "1"')),
]

describe('the mutants of a policy', () => {
  it('are each rule and each except, from, until, needs-login, mode and when entry, where they stand', () => {
    const { mutants, counted } = mutated(files(tests))
    expect(
      mutants.map(({ what, spot, counted: counts }) => `${spot.line}:${spot.column} ${what}${counts ? '' : ' (not counted)'}`),
    ).toEqual([
      '12:5 outside',
      '15:5 outside.except',
      '18:7 outside.when.ip-not-in',
      '19:7 outside.when.time',
      '20:5 look',
      '27:7 look.when.header',
      '27:17 look.when.header.x-a (not counted)',
      '27:31 look.when.header.x-b (not counted)',
      '28:7 look.when.query',
      '24:5 look.from',
      '25:5 look.until',
      '29:5 look.needs-login',
      '31:5 try',
      '33:5 try.mode',
    ])
    expect(counted).toBe(12)
  })

  it('are also each entry of then and always with --obligations, which do not count', () => {
    const { mutants, counted } = mutated(files(tests), 'acme', true)
    expect(counted).toBe(12)
    expect(mutants.flatMap(({ what, spot }) => (/then|always/.test(what) ? `${spot.line}:${spot.column} ${what}` : []))).toEqual([
      '30:13 look.then.cassandra-role',
      '30:45 look.then.hide.$.a',
      '30:50 look.then.hide.$.b',
      '30:64 look.then.limit.1/s per caller',
      '10:18 always.hide.$.iban',
      '10:35 always.limit.9/s per tenant',
    ])
  })

  it('of the example are twenty, and its tests kill all of them', () => {
    const mutation = mutated(example())
    expect(alive(mutation)).toEqual(['read-own-region-invoices.when.query.format (not counted)'])
    expect(mutation).toMatchObject({ counted: 20, killed: 20 })
  })

  it.each(['acme', 'globex', 'northwind'])('of our own %s are killed', tenant => {
    const mutation = mutated(own(tenant), tenant)
    expect(mutation.killed / mutation.counted).toBeGreaterThanOrEqual(0.9)
  })
})

describe('a draft case', () => {
  const withDrafts = (text: string, { mutants }: Mutation): string => {
    const drafts = mutants.flatMap(one => one.draft ?? [])
    const requests = [...new Set(drafts.flatMap(draft => draft.request ?? []))]
    const names = requests.map(line => line.split(':', 1)[0])
    expect(new Set(names).size, 'one name for one request').toBe(names.length)
    return `${text.replace(/requests:\n/, `requests:\n${requests.map(line => `  ${line}\n`).join('')}`)}cases:\n${drafts.map(draft => `  ${draft.case}\n`).join('')}`
  }

  it.each<readonly [string, () => PolicyFile[], number]>([
    ['a policy with every kind of entry', () => files(tests), 1],
    ['the example of the specification', example, 0.9],
    ['our acme', () => own('acme'), 1],
    ['our globex', () => own('globex'), 1],
    ['our northwind', () => own('northwind'), 0.9],
  ])('kills its mutant, however little the tests of %s have but callers and requests', (_, make, share) => {
    const [platform, tenant, test] = make()
    if (!platform || !tenant || !test) throw new Error('three files')
    let text = test.bytes.toString().replace(/^grid:[\s\S]*/m, '')
    const name = tenant.name.split('.', 1)[0] ?? ''
    let mutation = mutated([platform, tenant, file(test.name, text)], name)
    expect(mutation.killed).toBe(0)
    const found = mutation.mutants.filter(one => one.counted && one.draft !== null).length
    expect(found / mutation.counted, alive(mutation).join(', ')).toBeGreaterThanOrEqual(share)
    text = withDrafts(text, mutation)
    mutation = mutated([platform, tenant, file(test.name, text)], name)
    expect(mutation.killed / mutation.counted, alive(mutation).join(', ')).toBeGreaterThanOrEqual(share)
  })

  it('is the simplest there is: what the tests name, as it is, before any change', () => {
    const mutation = mutated(files(tests))
    const draft = (what: string) => mutation.mutants.find(one => one.what === what)?.draft
    expect(draft('look')).toEqual({ file: 'acme.policy-test.yaml', request: null, case: '- { ask: ann thing, expect: allow by look }' })
    expect(draft('look.until')?.case).toBe(
      '- { ask: ann thing, with: { signed-in: null }, at: "2026-12-01T00:00:00Z", expect: deny by default }'.replace(
        'with: { signed-in: null }, ',
        '',
      ),
    )
    expect(draft('outside.except')?.case).toMatch(/^- \{ ask: ann thing, with: \{ dept: sales, ip: "2001:db8::99" \}, expect: /)
    expect(draft('look.when.query')).toMatchObject({ request: expect.stringMatching(/^thing-\d: \{ call: GET \/v1\/a\?n=10, header: /) })
    expect(draft('try')).toMatchObject({ request: 'draft: POST /v1/thing-1', case: '- { ask: ann draft, expect: deny+ by default }' })
  })
})

describe('asking only what a rule is a candidate for', () => {
  const zones = zoneClocks()

  /** A test file that asserts what the policy says of these requests. */
  const asserting = (bench: Bench, all: readonly Asked[]): TestFile => {
    const callers = new Map(
      all.map(({ subject = 'anna', scopes = [], agents = [], ip, claims = {} }, i) => {
        const { acr, amr, auth_time, ...own } = claims
        const known = Object.entries({ acr, amr, ...own }).filter(([, value]) => value !== undefined)
        const signedIn = typeof auth_time === 'number' ? ([['signed-in', { at: auth_time * 1000 }]] as const) : []
        return [
          `c${i}`,
          new Map<string, unknown>([['sub', subject], ['scope', scopes], ['act', agents], ['ip', ip ?? null], ...known, ...signedIn]),
        ]
      }),
    )
    const requests = new Map(all.map((asked, i) => [`q${i}`, facts(asked).origin]))
    const file: TestFile = {
      file: 'acme.policy-test.yaml',
      callers,
      requests,
      expectations: [],
      never: [],
      now: 0,
      coverage: null,
      mutants: null,
    }
    const expectations = all.map(({ now = 0 }, i) => {
      const question = { caller: `c${i}`, request: `q${i}`, overrides: new Map(), at: now }
      const decision = bench.engine.decide(factsOf(bench, file, question, zones))
      return {
        ...question,
        ...outcomeOf(decision),
        by: reasonOf(decision),
        role: roleOf(decision),
        hide: null,
        spot: { line: 0, column: 0 },
      }
    })
    return { ...file, expectations }
  }

  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const policies = Number(process.env['POLICIES'] ?? 60)
  it(`gives for ${policies} generated policies what compiling every mutant whole and asking everything gives (SEED=${seed})`, () => {
    const c = chance(seed)
    const seen = { killed: 0, alive: 0 }
    for (let i = 0; i < policies; i++) {
      const composition = composed([platformFile(), policyFile(policyOf(c))])
      const bench = benchFor(composition)
      const test = asserting(
        bench,
        Array.from({ length: 12 }, () => askedOf(c)),
      )
      const judge = new Judge(bench, [test], zones)
      for (const mutant of mutantsOf(bench.policy.document, true)) {
        const whole = compilePolicy('acme', bench.policy.digest, changed(bench.policy.document, mutant.change))
        const state = { tenant: 'acme', state: 'enforced', digestEnforced: whole.digest, digestOnDisk: whole.digest } as const
        const engine = policyEngine(bench.platform, [{ policy: whole, recognise: bench.recognise, state }])
        const noticed = test.expectations.filter(one => differs(one, engine.decide(factsOf(bench, test, one, zones))))
        expect(judge.killer(mutant)?.expectation ?? null, mutant.what).toBe(noticed[0] ?? null)
        seen[noticed.length > 0 ? 'killed' : 'alive']++
      }
    }
    expect(seen.killed).toBeGreaterThan(100)
    expect(seen.alive).toBeGreaterThan(100)
  })

  it('makes 5,000 rules with 5,000 expectations a matter of seconds', () => {
    const rules = Array.from({ length: 5000 }, (_, i) => ({
      allow: `r${i}`,
      why: 'w',
      who: 'staff',
      to: `GET /v1/${i}`,
      when: { query: { n: '1..9' } },
    }))
    const large = [
      platformFile(),
      file('acme.policy.yaml', {
        postern: 'policy/v1',
        tenant: 'acme',
        owners: ['a@example.com'],
        recognise: { issuer: 'https://idp.example', audience: 'api' },
        claims: { groups: 'list<string>' },
        who: { staff: { groups: 'staff' } },
        rules,
      }),
      file('acme.policy-test.yaml', {
        postern: 'policy-test/v1',
        tenant: 'acme',
        now: '2026-11-23T10:00:00Z',
        callers: { ann: { groups: ['staff'] } },
        requests: Object.fromEntries(rules.slice(0, 1000).map((_, i) => [`q${i}`, `GET /v1/${i}`])),
        cases: rules.slice(0, 1000).map((rule, i) => ({ ask: `ann q${i}`, expect: `allow by ${rule.allow}` })),
      }),
    ]
    const composition = composed(large)
    const bench = benchFor(composition)
    const [test] = composition.entries.get('acme')?.tested.files ?? []
    if (!test) throw new Error('the tests cannot be read')
    // A file has at most 1,000 cases, a tenant any number of files.
    const all = Array.from({ length: 5 }, () => test)
    const start = process.cpuUsage()
    const mutation = mutate(bench, large[1] as PolicyFile, all, false)
    expect(mutation).toMatchObject({ counted: 10_000, killed: 1000 })
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(30)
  }, 180_000)
})
