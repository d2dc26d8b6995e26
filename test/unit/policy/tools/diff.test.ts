import { describe, expect, it } from 'vitest'
import { type Change, diffPolicies } from '../../../../src/policy/tools/diff.ts'
import { diffText } from '../../../../src/policy/tools/diff-text.ts'
import { allow, composed, deny, file, handing, platformFile, tenantFile } from '../fixtures.ts'

const who = { staff: { groups: 'staff' }, sales: { claims: { dept: 'sales' } }, helper: { agent: 'helper', for: 'staff' } }
const claims = { groups: 'list<string>', dept: 'string?' }
const of = (rules: readonly object[], extra: object = {}) => tenantFile('acme', { claims, who, rules, ...extra })
const both = (old: readonly object[], now: readonly object[]) =>
  diffPolicies(composed([platformFile(), of(old)]), composed([platformFile(), of(now)]))
const lines = (old: readonly object[], now: readonly object[]): string[] =>
  diffText(both(old, now), 'text')
    .split('\n')
    .slice(1)
    .map(line => line.trim())
    .filter(line => line !== '')

describe('diff', () => {
  it('says nothing where no request is decided otherwise, whatever the text', () => {
    const rules = [deny('stop', { who: 'sales' }), allow('read', { who: 'staff' })]
    expect(both(rules, rules)).toEqual([])
    expect(
      both(rules, [
        deny('stop', { who: 'sales', why: 'another reason' }),
        allow('read', { who: 'staff', to: ['GET /v1/a', 'GET /v1/%61'] }),
      ]),
    ).toEqual([])
    expect(both([allow('read', { who: ['staff', 'sales'] })], [allow('read', { who: ['sales', 'staff', 'sales'] })])).toEqual([])
    // What a deny takes away from nobody is no loss.
    expect(lines([allow('read', { who: 'staff' })], [allow('read', { who: 'staff' }), deny('stop', { to: 'POST /v1/a' })])).toEqual([])
  })

  it('names those that a deny refused, their addresses, and a caller of the test file', () => {
    const stop = deny('off-network', { who: 'sales', to: 'ANY /v1/**', when: { 'ip-not-in': '10.0.0.0/8' } })
    const read = allow('read', { who: 'staff', to: 'GET /v1/accounts/{account}/invoices' })
    const test = { callers: { anna: { groups: ['staff'], ip: '203.0.113.9' }, carl: { like: 'anna', dept: 'sales' } } }
    const tests = file('acme.policy-test.yaml', { postern: 'policy-test/v1', tenant: 'acme', now: '2026-11-23T10:00:00Z', ...test })
    const [old, now] = [composed([platformFile(), of([stop, read]), tests]), composed([platformFile(), of([read]), tests])]
    expect(diffText(diffPolicies(old, now), 'text')).toBe(
      'acme\n  GAINS: sales may GET /v1/accounts/*/invoices, e.g. carl, 203.0.113.9 (deny by off-network -> allow by read)\n',
    )
    expect(diffText(diffPolicies(now, old), 'md')).toBe(
      '### acme\n\n- **LOSES:** sales may no longer GET /v1/accounts/\\*/invoices, e.g. carl, 203.0.113.9 (allow by read -\\> deny by off-network)\n',
    )
  })

  it('says of shadow rules what would be, apart from what is, and nothing where a trial becomes earnest or the reverse', () => {
    const [read, stop] = [
      (extra: object) => allow('read', { who: 'staff', ...extra }),
      (extra: object) => deny('stop', { who: 'sales', ...extra }),
    ]
    const shadow = { mode: 'shadow' }
    expect(lines([], [read(shadow)])).toEqual(['WOULD GAIN: staff might GET /v1/a, e.g. groups staff (deny by default -> allow by read)'])
    expect(lines([read({}), stop(shadow)], [read({})])[0]).toMatch(
      /^WOULD GAIN: sales might GET \/v1\/a.*\(deny by stop -> allow by read\)$/,
    )
    expect(lines([read({})], [stop(shadow), read({})])[0]).toMatch(/^WOULD LOSE: sales might no longer GET/)
    expect(lines([read(shadow)], [read({ ...shadow, ...handing('acme_ro') })])).toEqual([
      'WOULD OWE: staff GET /v1/a: role none -> acme_ro, e.g. groups staff',
    ])
    expect(lines([read(shadow)], [read({})]).map(line => line.split(':')[0])).toEqual(['GAINS'])
    expect(lines([read({})], [read(shadow)]).map(line => line.split(':')[0])).toEqual(['LOSES'])
    // Once only, where the trial has no part in it.
    expect(lines([read({}), stop(shadow)], [stop(shadow)]).map(line => line.split(':')[0])).toEqual(['LOSES'])
    const [old, now] = [{}, { rules: [deny('top', shadow)] }].map(file => composed([platformFile(file), of([read({})])]))
    if (!old || !now) throw new Error()
    expect(diffText(diffPolicies(old, now), 'text')).toContain('WOULD LOSE: staff might no longer GET /v1/a')
  })

  it('says from any address where an address condition fell away', () => {
    const read = (extra: object) => allow('read', { who: 'staff', ...extra })
    expect(lines([], [deny('out', { who: 'sales', when: { 'ip-in': '10.0.0.0/8' } }), read({})])[0]).toContain(
      'staff may GET /v1/a from any address, e.g.',
    )
    expect(lines([read({ when: { 'ip-in': '10.0.0.0/8' } })], [read({})])[0]).toMatch(
      /^GAINS: staff may GET \/v1\/a from outside 10\.0\.0\.0\/8, e\.g\. /,
    )
  })

  it('a wider group is a gain of those that are new in it', () => {
    const [old, now] = [{ staff: { groups: ['a'] } }, { staff: { groups: ['a', 'b'] } }].map(who =>
      composed([platformFile(), tenantFile('acme', { claims, who, rules: [allow('read', { who: 'staff' })] })]),
    )
    if (!old || !now) throw new Error()
    expect(diffText(diffPolicies(old, now), 'text')).toBe(
      'acme\n  GAINS: staff may GET /v1/a with groups b, e.g. groups b (deny by default -> allow by read)\n',
    )
  })

  it('a claim that may be absent now is compared on both sides', () => {
    const rules = [deny('stop', { who: 'sales' }), allow('read', { who: 'anyone' })]
    const [old, now] = ['string', 'string?'].map(dept => composed([platformFile(), of(rules, { claims: { ...claims, dept } })]))
    if (!old || !now) throw new Error()
    expect(diffText(diffPolicies(old, now), 'text')).toBe(
      'acme\n  GAINS: sales may GET /v1/a with dept absent, e.g. dept absent (deny by stop -> allow by read)\n',
    )
  })

  it('says when a grant begins and ends, and what a sign-in must be', () => {
    expect(lines([allow('read')], [allow('read', { until: '2026-12-20T18:00:00Z' })])).toEqual([
      'LOSES: anyone may no longer GET /v1/a not before 2026-12-20T18:00:00.000Z, e.g. at 2026-12-20T18:00:00.000Z (allow by read -> deny by default)',
    ])
    expect(lines([allow('read')], [allow('read', { 'needs-login': { acr: 'high' } })])).toEqual([
      'LOSES: anyone may no longer GET /v1/a without acr high, e.g. acr other (allow by read -> step-up by read)',
      'OBLIGATIONS: anyone GET /v1/a with acr high: needs-login none -> acr high, e.g. acr high',
    ])
  })

  it('lists what changes for those that stay allowed, once for all rules that hand it over', () => {
    const rules = [allow('read', { ...handing('acme_ro') }), allow('write', { to: 'POST /v1/a' })]
    const [old, now] = [composed([platformFile(), of(rules)]), composed([platformFile({ always: { hide: ['$..iban'] } }), of(rules)])]
    expect(diffText(diffPolicies(old, now), 'text')).toBe(
      '_platform\n  PLATFORM: always hide $..iban is new\n\nacme\n  OBLIGATIONS: anyone GET POST /v1/a: hide +$..iban, e.g. any caller\n',
    )
    const rename = [allow('read', { ...handing('acme_rw') }), allow('write', { to: 'POST /v1/a' })]
    expect(lines(rules, rename)).toEqual(['OBLIGATIONS: anyone GET /v1/a: role acme_ro -> acme_rw, e.g. any caller'])
  })

  it('says where another rule decides the same, and that allows changed places where nobody notices', () => {
    const [a, b] = [allow('a', { who: 'staff' }), allow('b', { who: 'sales' })]
    expect(lines([a, b], [b, a])).toEqual(['ORDER: sales GET /v1/a, e.g. dept sales, groups staff (allow by a -> allow by b)'])
    const c = allow('c', { to: 'POST /v1/c' })
    expect(lines([a, c], [c, a])).toEqual(['ORDER: allows stand in another order (c, a), which changes no decision'])
  })

  it('follows an allow that an agent uses', () => {
    expect(lines([], [allow('help', { who: 'helper' })])).toEqual([
      'GAINS: helper may GET /v1/a, e.g. agent helper, groups staff (deny by default -> allow by help)',
    ])
  })

  it('counts the hops between agents', () => {
    const at = (extra: object) =>
      composed([platformFile(), of([allow('help', { who: 'bots' })], { who: { bots: { agent: 'any', ...extra } } })])
    expect(diffText(diffPolicies(at({}), at({ 'max-hops': 2 })), 'text')).toBe(
      'acme\n  LOSES: bots may no longer GET /v1/a through an agent, over more than 2 hops, e.g. agent other over 3 hops (allow by help -> deny by default)\n',
    )
    expect(
      diffPolicies(at({ 'max-hops': 1 }), at({ 'max-hops': 2 })).flatMap(diff => diff.changes.map(change => change.example.words)),
    ).toEqual([['agent other over 2 hops']])
  })

  it('what depends on a check names it, and its example says what it assumes', () => {
    const read = (check: string | null) => allow('read', { to: 'GET /v1/{account}', ...(check === null ? {} : { when: { check } }) })
    const [any, own, one] = [read(null), read('path.account in claims.groups'), read('path.account == "a"')]
    expect(lines([own], [any])).toEqual([
      'GAINS: anyone may GET /v1/* unless `path.account in claims.groups`, e.g. any caller (assuming `path.account in claims.groups` false) (deny by default -> allow by read)',
    ])
    expect(both([own], [own])).toEqual([])
    expect(both([own], [one]).flatMap(diff => diff.changes.map(change => `${change.kind} ${change.conditions.join(', ')}`))).toEqual([
      'GAINS unless `path.account in claims.groups`, if `path.account == "a"`',
      'LOSES if `path.account in claims.groups`, unless `path.account == "a"`',
    ])
  })

  it('what depends on a check is shown by a request of the test file, where one passes it', () => {
    const test = { callers: { anna: { groups: ['eu-7'], ip: '10.1.2.3' } }, requests: { one: 'GET /v1/us-1', two: 'GET /v1/eu-7' } }
    const tests = file('acme.policy-test.yaml', { postern: 'policy-test/v1', tenant: 'acme', now: '2026-11-23T10:00:00Z', ...test })
    const read = allow('read', { to: 'GET /v1/{account}', when: { check: 'path.account in claims.groups' } })
    const found = diffPolicies(composed([platformFile(), of([]), tests]), composed([platformFile(), of([read]), tests]))
    expect(found.flatMap(diff => diff.changes.map(change => change.example))).toEqual([
      { method: 'GET', target: '/v1/eu-7', caller: 'anna', words: ['10.1.2.3'], assumed: [] },
    ])
  })

  it('a new tenant gains all that it allows, a removed one loses it, and its prefix goes to whom it belongs then', () => {
    const eu = tenantFile('acme-eu', { recognise: { issuer: 'https://eu.example', audience: 'api' }, rules: [allow('read')] })
    const [alone, together] = [composed([platformFile(), of([])]), composed([platformFile(), of([]), eu])]
    expect(diffText(diffPolicies(alone, together), 'text')).toBe(
      'acme-eu (added)\n  TENANTS: roles acme_eu_* belonged to acme and now belong to acme-eu\n  GAINS: anyone may GET /v1/a, e.g. any caller (deny by default -> allow by read)\n',
    )
    expect(diffText(diffPolicies(together, alone), 'text')).toBe(
      'acme-eu (removed)\n  TENANTS: roles acme_eu_* belonged to acme-eu and now belong to acme\n  LOSES: anyone may no longer GET /v1/a, e.g. any caller (allow by read -> deny by default)\n',
    )
  })

  it("says which requests became the tenant's own, and which are lost", () => {
    const recognise = { issuer: 'https://idp.example', audience: 'api', claims: { tid: 'acme' } }
    const at = (extra: object) => composed([platformFile(), of([allow('read')], { recognise: { ...recognise, ...extra } })])
    const notes = (extra: object, back: object = {}) => diffPolicies(at(back), at(extra)).flatMap(diff => diff.notes)
    expect(notes({ issuer: ['https://idp.example', 'https://new.example'] })).toMatchObject([
      { kind: 'RECOGNISE', widens: true, narrows: false },
    ])
    expect(notes({ host: 'a.example' })).toMatchObject([{ text: 'host must now be a.example', widens: false, narrows: true }])
    expect(notes({}, { host: 'a.example' })).toMatchObject([{ text: 'host is no longer compared', widens: true }])
    expect(notes({ claims: { tid: 'other' } })).toMatchObject([
      { text: expect.stringMatching(/claim tid other is new/) },
      { text: expect.stringMatching(/gone/) },
    ])
    // Nothing in common: there is no request that both could decide.
    expect(diffPolicies(at({}), at({ issuer: 'https://new.example' })).flatMap(diff => diff.changes)).toEqual([])
  })

  it('says that refusals are let pass while a tenant observes, which is a gain', () => {
    const at = (extra: object) => composed([platformFile(), of([allow('read')], extra)], null, { now: Date.parse('2026-11-20T00:00:00Z') })
    const [enforced, observing] = [at({}), at({ mode: { 'observe-until': '2026-11-30T00:00:00Z' } })]
    expect(diffPolicies(enforced, observing)).toMatchObject([{ notes: [{ kind: 'OBSERVE', widens: true, narrows: false }], changes: [] }])
    expect(diffPolicies(observing, enforced)).toMatchObject([{ notes: [{ kind: 'OBSERVE', widens: false, narrows: true }], changes: [] }])
  })

  it('compares only requests that are recognised: a rule on the claim that does it', () => {
    const extra = { claims: { tid: 'string' }, who: { own: { claims: { tid: 'acme' } }, foreign: { claims: { tid: 'globex' } } } }
    const at = (rules: readonly object[]) => composed([platformFile(), tenantFile('acme', { ...extra, rules })])
    expect(diffPolicies(at([]), at([allow('read', { who: 'foreign' })]))).toEqual([])
    expect(diffPolicies(at([]), at([allow('read', { who: 'own' })])).flatMap(diff => diff.changes.map(change => change.kind))).toEqual([
      'GAINS',
    ])
  })

  it('a change of the platform is said of each tenant, once where it is the same', () => {
    const tenants = ['a', 'b', 'c'].map(name => tenantFile(name, { rules: [allow('read')] }))
    const [old, now] = [{}, { rules: [deny('top')] }].map(extra => composed([platformFile(extra), ...tenants]))
    if (!old || !now) throw new Error()
    expect(diffText(diffPolicies(old, now), 'text')).toBe(
      '_platform\n  PLATFORM: deny top is new\n\na and b and c\n  LOSES: anyone may no longer GET /v1/a, e.g. any caller (allow by read -> deny by top)\n',
    )
  })

  it('a file that is refused is not compared, and not forgotten', () => {
    const [old, now] = [
      composed([platformFile(), of([allow('read')])]),
      composed([platformFile(), file('acme.policy.yaml', 'postern: policy/v1')]),
    ]
    for (const diffs of [diffPolicies(old, now), diffPolicies(now, old)])
      expect(diffs).toMatchObject([{ state: 'not compared', unproven: [expect.stringMatching(/acme\.policy\.yaml is refused/)] }])
  })

  it('no value of a policy writes a line of the report', () => {
    const forged = 'x\n\nno request is decided otherwise\r\n\u0085- nothing\u2028'
    const extra = { claims: { dept: 'string' }, who: { sales: { claims: { dept: forged } } } }
    const [old, now] = [[], [allow('read', { who: 'sales' })]].map(rules => composed([platformFile(), of(rules, extra)]))
    for (const format of ['text', 'md'] as const)
      expect(diffText(diffPolicies(old!, now!), format).match(/[\n\r\u0085\u2028]+/g)).toEqual(
        format === 'md' ? ['\n\n', '\n'] : ['\n', '\n'],
      )
  })

  it('does not flood: lines are cut with their number, places too', () => {
    const rules = Array.from({ length: 30 }, (_, i) =>
      allow(`r${i}`, { to: [`GET /v1/p${i}`, `GET /v1/q${i}`, `GET /v1/r${i}`, `GET /v1/s${i}`, `GET /v1/t${i}`] }),
    )
    const found = lines([], rules)
    expect(found).toHaveLength(21)
    expect(found[0]).toMatch(/GET \/v1\/p\d+, \/v1\/q\d+, \/v1\/r\d+ and 2 more,/)
    expect(found.at(-1)).toBe('GAINS: ... and 10 more; --json has all of them')
  })

  it('gives the same in the same order, whatever the order of the files', () => {
    const old = composed([platformFile(), of([deny('stop', { who: 'sales' }), allow('read')])])
    const files = [
      platformFile(),
      of([allow('read', { who: 'staff' }), allow('more', { to: 'ANY /v1/**' })]),
      tenantFile('zoo', { rules: [allow('read')] }),
    ]
    const [first, second] = [composed(files), composed(files.toReversed())].map(now => JSON.stringify(diffPolicies(old, now)))
    expect(first).toBe(second)
    expect((JSON.parse(first ?? '[]') as { changes: Change[] }[]).flatMap(diff => diff.changes.length)).not.toEqual([])
  })
})
