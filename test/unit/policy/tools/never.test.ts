import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { proveNever } from '../../../../src/policy/tools/never.ts'
import { allow, composed, deny, file, load, platformFile, tenantFile } from '../fixtures.ts'

const who = {
  staff: { groups: 'staff' },
  sales: { claims: { dept: 'sales' } },
  bots: { agent: 'any' },
  helper: { agent: 'helper', for: 'staff' },
}
const claims = { groups: 'list<string>', dept: 'string' }

/** What is said of one line; requests and callers of the test file are only those given. */
const judged = (line: string, rules: readonly object[], options: { readonly platform?: object; readonly test?: object } = {}) => {
  const test = file('acme.policy-test.yaml', {
    postern: 'policy-test/v1',
    tenant: 'acme',
    now: '2026-11-23T10:00:00Z',
    ...options.test,
    never: [line],
  })
  const { platform, entries } = composed([platformFile(options.platform), tenantFile('acme', { claims, who, rules }), test])
  const entry = entries.get('acme')
  if (!platform.policy || !entry?.enforced?.policy || !entry.enforced.recognise) throw new Error('refused')
  const found = proveNever(
    { platform: platform.policy, policy: entry.enforced.policy, recognise: entry.enforced.recognise },
    entry.tested.files,
  )
  return found.map(({ code, message }) => `${code} ${message}`).join('\n')
}

describe('a line of never', () => {
  it('holds where nothing allows it, and is refuted by a request that something allows', () => {
    expect(judged('sales GET /v1/a', [])).toBe('')
    expect(judged('sales POST /v1/a', [allow('read')])).toBe('')
    expect(judged('sales GET /v1/a', [allow('read')])).toBe(
      'P706 GET /v1/a is allowed by read, e.g. for dept sales. Narrow read or add a deny; if this is meant, leave addresses out with unless ip-in [10.0.0.0/8], or remove the line.',
    )
  })

  it('is proved by a deny of the tenant or of the platform', () => {
    expect(judged('sales GET /v1/**', [deny('stop', { who: 'sales', to: 'ANY /**' }), allow('read')])).toBe('')
    expect(judged('sales GET /v1/**', [allow('read')], { platform: { rules: [deny('top', { to: 'GET /v1/a' })] } })).toBe('')
  })

  it('follows persons through their agents', () => {
    expect(judged('staff GET /v1/a', [allow('help', { who: 'helper' })])).toMatch(/^P706 .*agent helper/)
    expect(judged('bots GET /v1/a', [allow('read')])).toBe('')
  })

  it('means whoever cannot be told apart: a token without a claim that must be there', () => {
    const rules = [deny('stop', { who: 'staff', except: 'sales' }), allow('read', { who: 'staff' })]
    expect(judged('sales GET /v1/a', rules)).toMatch(/^P706 .*dept sales/)
    expect(judged('sales GET /v1/a', [deny('stop', { who: 'sales' }), allow('read')])).toBe('')
    expect(judged('sales GET /v1/a', [deny('stop', { who: 'sales', when: { 'ip-not-in': '10.0.0.0/8' } }), allow('read')])).toMatch(
      /10\.0\.0\.0/,
    )
  })

  it('does not mean addresses behind unless, but means the unknown address', () => {
    const office = { when: { 'ip-not-in': ['10.0.0.0/8'] } }
    expect(judged('staff GET /v1/a unless ip-in [10.0.0.0/8]', [deny('out', office), allow('read')])).toBe('')
    expect(judged('staff GET /v1/a unless ip-in [10.0.0.0/9]', [deny('out', office), allow('read')])).toMatch(/10\.128\.0\.0/)
    expect(judged('staff GET /v1/a unless ip-not-in [10.0.0.0/8]', [allow('read')])).toMatch(/10\.0\.0\.0/)
    // What holds an address against nobody lets the unknown one in.
    expect(judged('staff GET /v1/a unless ip-in [0.0.0.0/0, "::/0"]'.replaceAll('"', ''), [allow('read')])).toMatch(/address unknown/)
  })

  it('is refuted by time: before a deny begins, behind an end, at night', () => {
    expect(judged('staff GET /v1/a', [deny('stop', { from: '2026-11-15' }), allow('read')])).toContain('at 2026-11-14T23:59:59.999Z')
    const nights = { time: { zone: 'UTC', between: '18:00-06:00' } }
    expect(judged('staff GET /v1/a', [deny('stop', { when: nights }), allow('read')])).toMatch(/T06:00:00/)
    const days = { time: { zone: 'UTC', between: '06:00-18:00' } }
    expect(judged('staff GET /v1/a', [deny('day', { when: days }), deny('night', { when: nights }), allow('read')])).toBe('')
  })

  it('is refuted on the one day in many years on which two zones are so far apart', () => {
    // Noon in Rome is six in New York, but for the weeks in which only one of them has summer time: those reach an 8 March in 2037.
    const six = deny('six', { when: { time: { zone: 'America/New_York', between: '06:00-06:01' } } })
    const noon = { time: { zone: 'Europe/Rome', between: '12:00-12:01', 'month-days': [8] } }
    expect(judged('staff GET /v1/a', [six, allow('noon', { from: '2030-06-01', when: noon })])).toContain('at 2037-03-08T11:00:00.000Z')
  })

  it('ignores a trailing slash, as denies do', () => {
    expect(judged('staff GET /v1/a', [allow('read', { to: 'GET /v1/a/' })])).toMatch(/^P706 GET \/v1\/a\/ /)
  })

  it('a sign-in that can be had is no refusal', () => {
    expect(judged('staff GET /v1/a', [allow('read', { 'needs-login': { acr: 'high' } })])).toMatch(/acr high/)
  })

  it('takes a caller and a request of the test file as the example, where one shows it', () => {
    const test = { callers: { anna: { groups: ['staff'], dept: 'sales', ip: '10.1.2.3' } }, requests: { one: 'GET /v1/a?page=1' } }
    expect(judged('sales GET /v1/a', [allow('read')], { test })).toMatch(
      /^P706 GET \/v1\/a\?page=1 is allowed by read, e\.g\. for anna, 10\.1\.2\.3\./,
    )
  })

  it('that hangs on a check is not proven, and the check is named', () => {
    const check = (text: string, to = 'GET /v1/{account}') => ({ to, when: { check: text } })
    const own = check('path.account in claims.groups')
    expect(judged('staff GET /v1/{x}', [allow('read', own)])).toMatch(
      /^P707 not proven: GET \/v1\/x is allowed by read, .*assuming `path\.account in claims\.groups` true/,
    )
    // A deny with a check may not match, so it proves nothing; the same check on both never lets through what it refuses.
    const all = allow('read', { to: 'GET /v1/{account}' })
    expect(judged('staff GET /v1/{x}', [deny('stop', own), all])).toMatch(/^P707 .*false/)
    expect(judged('staff GET /v1/{x}', [deny('stop', own), allow('read', own)])).toBe('')
    expect(
      judged('staff GET /v1/{x}', [deny('stop', check('path.account in claims.groups', 'GET /{account}/**')), allow('read', own)]),
    ).toMatch(/^P707/)
  })

  it('that hangs on a check is refuted by a request of the test file that passes it', () => {
    const test = { callers: { anna: { groups: ['staff', 'eu-7'] } }, requests: { one: 'GET /v1/us-1', two: 'GET /v1/eu-7' } }
    const read = allow('read', { to: 'GET /v1/{account}', when: { check: 'path.account in claims.groups' } })
    expect(judged('staff GET /v1/{x}', [read], { test })).toMatch(/^P706 GET \/v1\/eu-7 is allowed by read, e\.g\. for anna/)
  })

  it('is proved past many denies that have nothing to do with it', () => {
    const rules = Array.from({ length: 18 }, (_, i) =>
      deny(`d${i}`, { when: { header: { [`x-${i}`]: 'present', [`y-${i}`]: 'present' } } }),
    )
    const split = ['a', 'b', 'c'].map(name => deny(`without-${name}`, { when: { header: { [name]: 'absent' } } }))
    const last = deny('with', { when: { header: { a: 'present', b: 'present', c: 'present' } } })
    expect(judged('staff GET /v1/a', [...rules, ...split, last, allow('read', { when: { header: { a: 'on', b: 'on', c: 'on' } } })])).toBe(
      '',
    )
  })

  it('is not proven where there are too many classes', () => {
    // Eight headers, each with one of seven values, no two with the same: that no request can be so takes long to see.
    const values = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    const names = ['s', 't', 'u', 'v', 'w', 'x', 'y', 'z']
    const rules = names.flatMap((one, i) =>
      names
        .slice(i + 1)
        .flatMap(two => values.map(value => deny(`${one}-${two}-${value}`, { when: { header: { [one]: value, [two]: value } } }))),
    )
    const read = allow('read', { when: { header: Object.fromEntries(names.map(name => [name, values])) } })
    expect(judged('staff GET /v1/a', [...rules, read])).toMatch(/^P707 not proven: GET \/v1\/a has more classes/)
  })
})

describe('the example files of the specification', () => {
  const read = (name: string, ...cuts: (readonly [RegExp, string])[]) => {
    const text = readFileSync(new URL(`../../../support/conformance/${name}`, import.meta.url), 'utf8')
    return { name, bytes: Buffer.from(cuts.reduce((out, [cut, by]) => out.replaceAll(cut, by), text)) }
  }
  const judge = (...cuts: (readonly [RegExp, string])[]) => {
    const policy = read('acme.policy.yaml', ...cuts)
    const test = read('acme.policy-test.yaml', [/, mutants-killed: 90%/g, ''], [/^cases:\n( {2}.*\n)+/gm, ''])
    const { composition } = load([platformFile(), policy, test])
    const entry = composition?.entries.get('acme')
    if (!composition?.platform.policy || !entry?.enforced?.policy || !entry.enforced.recognise) throw new Error('refused')
    const { policy: own, recognise } = entry.enforced
    expect(entry.tested.files.flatMap(one => one.never)).toHaveLength(2)
    return proveNever({ platform: composition.platform.policy, policy: own, recognise }, entry.tested.files)
  }

  it('break neither line', () => {
    expect(judge()).toEqual([])
  })

  it('break each line whose deny is removed', () => {
    const without = (name: string) => [new RegExp(`  - deny: ${name}\\n(    .*\\n)+`, 'g'), ''] as const
    expect(judge(without('contractors-off-network')).map(({ line, code }) => `${line} ${code}`)).toEqual(['33 P706'])
    expect(
      judge(without('agents-never-move-money'), [/who: finance-leads\n/g, 'who: [finance-leads, any-agent]\n']).map(({ line }) => line),
    ).toEqual([32])
  })
})
