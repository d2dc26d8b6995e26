import { describe, expect, it } from 'vitest'
import type { Finding } from '../../../src/model/finding.ts'
import { allow, deny, file, handing, load, platformFile, tenantFile } from './fixtures.ts'

const base = `postern: policy-test/v1
tenant: acme
now: 2026-11-23T10:00:00+01:00
callers:
  anna: { groups: [staff], ip: 10.1.2.3 }
  carl: { like: anna, dept: sales }
requests:
  a: GET /v1/a
  b: { call: GET /v1/b?x=1, header: { x-a: [on, off] } }
grid: |
  request  anna   carl

  a        allow  deny
  b        .      .
cases:
  - { ask: anna a, expect: allow by read }
  - { ask: carl a, with: { dept: null }, at: "2026-11-28T22:00:00Z", expect: allow by read, role: acme_ro }
  - { ask: carl a, expect: deny by stop }
require: { rules-covered: 100% }
`
const policy = tenantFile('acme', {
  claims: { groups: 'list<string>', dept: 'string?', level: 'number?' },
  who: { staff: { groups: 'staff' }, sales: { claims: { dept: 'sales' } }, hops: { agent: 'any', 'max-hops': 1 } },
  rules: [deny('stop', { who: 'sales' }), allow('read', { who: 'staff', ...handing('acme_ro') })],
})

const findingsOf = (text: string, of = policy): Finding[] => [
  ...load([platformFile({ rules: [deny('above', { to: 'GET /admin' })] }), of, file('acme.policy-test.yaml', text)], null, {
    testsGateReload: true,
  }).findings,
]

type Row = readonly [from: string, to: string, position: string, message: RegExp]
const check = ([from, to, position, message]: Row): void => {
  expect(base).toContain(from)
  const found = findingsOf(base.replace(from, to))
  expect(found.map(f => `${f.line}:${f.column} ${f.code}`)).toEqual([position])
  expect(found[0]?.message).toMatch(message)
}

describe('a test file', () => {
  it('that is right has no findings', () => {
    expect(findingsOf(base)).toEqual([])
  })

  it.each<Row>([
    ['tenant: acme', 'tenant: globex', '2:9 P109', /file name says "acme"/],
    ['policy-test/v1', 'policy-test/v2', '1:10 P204', /policy-test\/v1/],
    ['2026-11-23T10:00:00+01:00', '2026-11-23', '3:6 P306', /with seconds and offset/],
    ['2026-11-23T10:00:00+01:00', '2026-11-23T10:00:00', '3:6 P306', /offset/],
    ['2026-11-28T22:00:00Z', '2026-13-28T22:00:00Z', '17:46 P306', /not a moment/],
    ['  anna: {', '  Anna: {}\n  anna: {', '5:3 P206', /a-z/],
    ['ip: 10.1.2.3', 'ip: home', '5:32 P304', /10\.1\.2\.3/],
    ['ip: 10.1.2.3', 'sub: null', '5:33 P204', /write a value/],
    ['ip: 10.1.2.3', 'region: eu', '5:28 P201', /not a key here/],
    ['groups: [staff]', 'groups: staff', '5:19 P203', /write a list/],
    ['ip: 10.1.2.3', 'level: "3"', '5:35 P108', /without quotes/],
    ['ip: 10.1.2.3', 'acr: 1', '5:33 P108', /quote it/],
    ['ip: 10.1.2.3', 'signed-in: 5 minutes ago', '5:39 P306', /write .*: 5m ago\.$/],
    ['ip: 10.1.2.3', 'act: {}', '5:33 P202', /sub is missing/],
    ['like: anna', 'like: ana', '6:17 P701', /Write anna/],
    ['{ groups: [staff],', '{ like: carl,', '6:3 P208', /anna -> carl -> anna/],
    ['a: GET /v1/a', 'a: get /v1/a', '8:6 P301', /GET HEAD/],
    ['a: GET /v1/a', 'a: GET /v1/../a', '8:6 P302', /edge refuses.*dot segment/],
    ['a: GET /v1/a', 'a: GET', '8:6 P302', /one method, one blank and a path/],
    ['x-a: [on, off]', 'X-A: on', '9:39 P307', /write x-a/],
    ['request  anna', 'requests anna', '10:7 P702', /begin it with "request"/],
    ['request  anna   carl', 'request  anna   karl', '11:19 P701', /Write carl/],
    ['  a        allow  deny', '  c        allow  deny', '13:3 P701', /requests/],
    ['  a        allow  deny', '  a        allow', '13:3 P702', /1 cells for 2 callers/],
    ['  b        .', '  a        .', '14:3 P702', /a row already/],
    ['request  anna   carl', 'request  anna   anna', '11:19 P702', /a column already/],
    ['  a        allow  deny', '  a        allow  no', '13:19 P703', /write allow, step-up or deny/],
    ['  a        allow  deny', '  a        allow  deny-', '13:19 P703', /wider or narrower/],
    ['  a        allow  deny', '  a        allow+ deny', '13:12 P703', /wider or narrower/],
    ['expect: allow by read', 'expect: allow+ by read', '16:28 P703', /"allow-" narrower/],
    ['ask: anna a', 'ask: ana a', '16:12 P701', /Write anna/],
    ['ask: anna a', 'ask: anna c', '16:12 P701', /requests/],
    ['ask: anna a', 'ask: anna', '16:12 P703', /a caller, one blank and a request/],
    ['expect: allow by read', 'expect: allow by raed', '16:28 P701', /Write read \(line 1\)/],
    ['expect: allow by read', 'expect: allow by default', '16:28 P703', /write deny by default/],
    ['expect: allow by read', 'expect: yes please', '16:28 P703', /deny by default/],
    ['expect: allow by read', 'expect: step-up by default', '16:28 P703', /write deny by default/],
    ['expect: allow by read, role', 'expect: step-up by read, role', '17:5 P703', /no role/],
    ['with: { dept: null }', 'with: { like: anna }', '17:28 P201', /not a key here/],
    ['deny by stop', 'deny by stop, role: acme_ro', '18:5 P703', /no role/],
    ['100%', '101%', '19:27 P204', /0% to 100%/],
    ['rules-covered: 100%', 'mutants-killed: 90', '19:28 P204', /0% to 100%/],
    ['require:', 'never: [staff]\nrequire:', '19:9 P203', /contractors ANY/],
    ['require:', 'never: [staf GET /v1/a]\nrequire:', '19:9 P207', /Write staff/],
    ['require:', 'never:\n  - staff get /v1/a\nrequire:', '20:11 P301', /write GET/],
    ['require:', 'never:\n  - staff GET\nrequire:', '20:11 P301', /names no path/],
    ['require:', 'never:\n  - staff GET /v1/**/a\nrequire:', '20:11 P302', /only be the last/],
    ['require:', 'never:\n  - GET /v1/a by staff\nrequire:', '20:9 P301', /whole line is who, methods and a path: contractors ANY/],
    ['require:', 'never:\n  - "staff GET /v1/{A}"\nrequire:', '20:12 P303', /path variable/],
    ['require:', 'never:\n  - staff GET /v1 unless\nrequire:', '20:25 P203', /unless ip-in/],
    ['require:', 'never:\n  - staff GET /v1 unless ip-in 10.0.0.0/8\nrequire:', '20:26 P203', /ip-in \[/],
    ['require:', 'never:\n  - staff GET /v1 unless ip-in [10.1.0.0/8]\nrequire:', '20:26 P304', /write 10\.0\.0\.0\/8/],
    ['require:', 'never:\n  - hops GET /v1\nrequire:', '20:5 P402', /one more hop/],
  ])('%j -> %j is reported at %s', (...row) => check(row))

  it('a grid that is no literal block is P702', () => {
    const text = base.replace(/grid: \|[\s\S]*?cases:/, 'grid: "request anna"\ncases:')
    expect(findingsOf(text).map(f => `${f.line}:${f.column} ${f.code}`)).toEqual(['10:7 P702'])
  })
})

describe('running', () => {
  const messages = (text: string, of = policy): string[] => findingsOf(text, of).map(f => `${f.line} ${f.code} ${f.message}`)

  it('a failure says what was wanted, what came, and what keeps the nearest allow from matching', () => {
    expect(messages(base.replace('groups: [staff]', 'groups: [x]'))[0]).toBe(
      '13 P703 anna a: wanted allow, got deny by default. Nearest allow: read (acme.policy.yaml:1): who staff does not hold.',
    )
    expect(messages(base.replace('groups: [staff]', 'scope: x'))[0]).toMatch(/who staff cannot be told\.$/)
    expect(messages(base.replace('ip: 10.1.2.3', 'act: { sub: bot }'))[0]).toMatch(
      /who staff does not hold\. The token carries act, so only a who that names an agent can match\.$/,
    )
    expect(messages(base.replace('a: GET /v1/a', 'a: PUT /v1/z'))[0]).toMatch(/No allow covers PUT \/v1\/z/)
    expect(messages(base.replace('deny by stop', 'deny by default'))).toEqual(['18 P703 carl a: wanted deny by default, got deny by stop.'])
    expect(messages(base.replace('role: acme_ro', 'role: acme_rw'))).toEqual([
      '17 P703 carl a: wanted allow by read with role acme_rw, got allow by read with role acme_ro.',
    ])
  })

  it('at is the clock of a case, now that of the rest', () => {
    const window = { from: '2026-11-23T09:00:00Z', until: '2026-11-28T22:00:00Z' }
    const bounded = tenantFile('acme', {
      claims: { groups: 'list<string>', dept: 'string?', level: 'number?' },
      who: { staff: { groups: 'staff' }, sales: { claims: { dept: 'sales' } }, hops: { agent: 'any', 'max-hops': 1 } },
      rules: [deny('stop', { who: 'sales' }), allow('read', { who: 'staff', ...window, ...handing('acme_ro') })],
    })
    expect(messages(base, bounded)).toEqual([
      '17 P703 carl a: wanted allow by read with role acme_ro, got deny by default. Nearest allow: read (acme.policy.yaml:1): until does not hold.',
    ])
    expect(messages(base.replace('at: "2026-11-28T22:00:00Z"', 'at: "2026-11-28T21:59:59Z"'), bounded)).toEqual([])
  })

  it('step-up: acr, amr and signed-in make the sign-in, and a failure says what it lacks', () => {
    const strong = tenantFile('acme', {
      rules: [allow('pay', { 'needs-login': { acr: 'phrh', amr: ['hwk'], within: '15m' } })],
    })
    const text = `postern: policy-test/v1
tenant: acme
now: 2026-11-23T10:00:00+01:00
callers:
  lea:   { acr: phrh, amr: [pwd, hwk], signed-in: 15m ago }
  moment: { like: lea, signed-in: "2026-11-23T08:45:00Z" }
  stale: { like: lea, signed-in: 16m ago }
  weak:  { like: lea, acr: pwd, amr: pwd }
  none:  { like: lea, signed-in: null }
requests: { pay: GET /v1/a }
grid: |
  request  lea    moment  stale    weak     none
  pay      allow  allow   step-up  step-up  step-up
cases:
  - { ask: lea pay, at: "2030-01-01T00:00:00Z", expect: allow by pay }
  - { ask: moment pay, at: "2026-11-23T09:00:01Z", expect: step-up by pay }
`
    expect(messages(text, strong)).toEqual([])
    expect(messages(text.replace('allow   step-up  step-up', 'allow   allow    deny'), strong)).toEqual([
      '13 P703 stale pay: wanted allow, got step-up by pay. Unmet: needs-login.within.',
      '13 P703 weak pay: wanted deny, got step-up by pay. Unmet: needs-login.acr, needs-login.amr.',
    ])
    const one = text.replace(/grid: \|[\s\S]*?cases:/, 'cases:').replace(/ {2}- \{ ask: lea.*\n/, '')
    expect(messages(one, strong)).toEqual([])
  })

  it('"+" and "-" assert what shadow rules would change, no sign that they change nothing; they cover a rule', () => {
    const trying = tenantFile('acme', {
      claims: { groups: 'list<string>?' },
      who: { staff: { groups: 'staff' }, lead: { groups: 'lead' } },
      rules: [
        deny('no-leads', { who: 'lead', mode: 'shadow' }),
        allow('try-sign-in', { who: 'staff', to: 'GET /v1/b', mode: 'shadow', 'needs-login': { acr: 'high' } }),
        allow('read', { who: 'lead' }),
      ],
    })
    const text = `postern: policy-test/v1
tenant: acme
now: 2026-11-23T10:00:00Z
callers: { ann: { groups: [staff] }, lea: { groups: [lead] }, eve: {} }
requests: { a: GET /v1/a, b: GET /v1/b }
grid: |
  request  ann     lea     eve
  a        deny    allow-  deny
  b        deny+   deny    deny
cases:
  - { ask: lea a, expect: allow- by read }
  - { ask: ann b, with: { acr: high }, expect: deny+ by default }
`
    expect(messages(text, trying)).toEqual([])
    expect(messages(text.replace('allow-  deny', 'allow   deny').replace('deny+   deny', 'deny    deny'), trying)).toEqual([
      '8 P703 lea a: wanted allow, got allow- by read, and in the shadow deny by no-leads.',
      '9 P703 ann b: wanted deny, got deny+ by default, and in the shadow step-up by try-sign-in.',
    ])
    const uncovered = text.replace('deny+   deny', '.       deny').replace(/ {2}- \{ ask: ann b.*\n/, '')
    expect(messages(uncovered, trying)).toEqual([
      '1 P704 no expectation is decided by try-sign-in; add a case with "expect: deny+", for it is a shadow rule.',
    ])
  })

  it('a rule that decides no expectation is P704 where it stands; a share may be enough', () => {
    const text = base.replace('  a        allow  deny', '  a        allow  .').replace('  - { ask: carl a, expect: deny by stop }\n', '')
    expect(messages(text)).toEqual(['1 P704 no expectation is decided by stop; add a case with "expect: deny by stop".'])
    expect(messages(text.replace('100%', '50%'))).toEqual([])
    expect(messages(text.replace('require: { rules-covered: 100% }\n', ''))).toHaveLength(1)
  })

  it('several test files cover the rules together', () => {
    const [one, two] = [base.slice(0, base.indexOf('grid')), base.slice(0, base.indexOf('grid'))]
    const files = [
      file('acme.policy-test.yaml', `${one}cases: [{ ask: anna a, expect: allow by read }]\n`),
      file('acme.denies.policy-test.yaml', `${two}cases: [{ ask: carl a, expect: deny by stop }]\n`),
    ]
    const run = (some: typeof files) => load([platformFile(), policy, ...some], null, { testsGateReload: true }).findings.map(f => f.code)
    expect(run(files)).toEqual([])
    expect(run(files.slice(0, 1))).toEqual(['P704'])
  })

  it('callers: defaults come from recognise, null takes a key away, like is followed, act makes an agent', () => {
    const recognising = tenantFile('acme', {
      recognise: {
        host: ['a.example', 'b.example'],
        issuer: 'https://idp.example',
        audience: ['api', 'web'],
        claims: { tid: ['t1', 't2'] },
      },
      claims: { groups: 'list<string>? from /realm/groups', dept: 'string?' },
      who: {
        staff: { groups: 'staff' },
        sales: { claims: { dept: 'sales' } },
        zoe: { subject: 'zoe' },
        writers: { scopes: 'write' },
        helper: { agent: 'helper', for: 'staff' },
      },
      rules: [
        deny('no-sales', { who: 'sales' }),
        allow('staff', { who: 'staff' }),
        allow('zoe', { who: 'zoe' }),
        allow('helper', { who: 'helper' }),
        allow('writers', { who: 'writers' }),
        allow('twice', { to: 'GET /v1/b', when: { header: { 'x-a': ['on', 'off'] }, query: { x: '1' } } }),
      ],
    })
    const text = `postern: policy-test/v1
tenant: acme
now: 2026-11-23T10:00:00Z
callers:
  zoe: {}
  ann: { sub: zoe }
  writer: { scope: read write }
  staff: { groups: [staff] }
  second: { like: staff, tid: t2, host: b.example, aud: [x, web] }
  bot: { like: staff, act: { sub: bot, act: { sub: outer } } }
  helper: { like: staff, act: { sub: helper, act: { sub: bot } } }
  salesbot: { like: bot, dept: sales }
  lost: { like: staff, tid: null }
  deaf: { like: staff, aud: null }
  other: { like: staff, iss: https://other.example }
requests: { a: GET /v1/a, b: { call: GET /v1/b?x=1, header: { x-a: [on, off] } }, c: { call: GET /v1/b?x=1, header: { x-a: [on, no] } } }
cases:
  - { ask: zoe a, expect: allow by zoe }
  - { ask: ann a, expect: allow by zoe }
  - { ask: zoe a, with: { sub: eve }, expect: deny by default }
  - { ask: writer a, expect: allow by writers }
  - { ask: staff a, expect: allow by staff }
  - { ask: second a, expect: allow by staff }
  - { ask: second a, with: { groups: null }, expect: deny by default }
  - { ask: bot a, expect: deny by default }
  - { ask: helper a, expect: allow by helper }
  - { ask: helper a, with: { groups: [] }, expect: deny by default }
  - { ask: helper a, with: { act: null }, expect: allow by staff }
  - { ask: salesbot a, expect: deny by no-sales }
  - { ask: lost a, expect: deny by tenant-mismatch }
  - { ask: deaf a, expect: deny by tenant-mismatch }
  - { ask: other a, expect: deny by tenant-mismatch }
  - { ask: staff a, with: { host: c.example }, expect: deny by tenant-mismatch }
  - { ask: zoe b, expect: allow by twice }
  - { ask: zoe c, expect: deny by default }
`
    expect(messages(text, recognising)).toEqual([])
  })
})
