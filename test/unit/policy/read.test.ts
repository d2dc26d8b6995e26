import { describe, expect, it } from 'vitest'
import type { Finding } from '../../../src/model/finding.ts'
import { file, load, platformFile } from './fixtures.ts'

const base = `postern: policy/v1
tenant: acme
owners: [a@example.com]
recognise:
  issuer: https://idp.example
  audience: api
  claims: { tid: acme }
claims:
  groups: list<string>
  level: number
  vip: bool?
who:
  staff: { groups: [staff] }
rules:
  - allow: read
    why: Staff read.
    who: staff
    to: GET /v1/a
`

const errors = (findings: readonly Finding[]): Finding[] => findings.filter(finding => finding.severity === 'error')

const findingsOf = (text: string): Finding[] => errors(load([platformFile(), file('acme.policy.yaml', text)]).findings)

/** What is replaced, by what, where the finding stands, and words of the message that say what to write. */
type Row = readonly [from: string, to: string, position: string, message: RegExp]

const check = ([from, to, position, message]: Row): void => {
  expect(base).toContain(from)
  const found = findingsOf(base.replace(from, to))
  expect(found.map(f => `${f.line}:${f.column} ${f.code}`)).toEqual([position])
  expect(found[0]?.message).toMatch(message)
}

const rule = (line: string): string => `    to: GET /v1/a\n    ${line}\n`
const last = '    to: GET /v1/a\n'

describe('a policy file that is right', () => {
  it('has no findings but the missing tests', () => {
    expect(load([platformFile(), file('acme.policy.yaml', base)]).findings.map(f => f.code)).toEqual(['W806'])
  })
})

describe('keys and names', () => {
  it.each<Row>([
    ['claims:\n  groups', 'claim: {}\nclaims:\n  groups', '8:1 P201', /Did you mean claims\?/],
    ['rules:', 'shared-roles: []\nrules:', '14:15 P201', /_platform\.policy\.yaml only/],
    ['who: staff\n', 'who: staff\n    hidden: x\n', '18:5 P201', /not a key here/],
    ['    why: Staff read.\n', '', '15:5 P202', /why is missing/],
    ['- allow: read\n    why', '- why', '15:5 P202', /begin it with "allow: name" or "deny: name"/],
    ['why: Staff read.', 'why: Staff read.\n    deny: other', '17:5 P202', /write two rules/],
    ['- allow: read\n    why: Staff read.', '- why: Staff read.\n    allow: read', '16:5 P202', /move it to the top/],
    ['  issuer: https://idp.example\n', '', '5:3 P202', /issuer is missing/],
    ['owners: [a@example.com]', 'owners: a@example.com', '3:9 P203', /write a list/],
    ['{ groups: [staff] }', '{}', '13:10 P203', /everybody/],
    ['{ groups: [staff] }', 'staff', '13:10 P203', /write a map such as/],
    ['{ groups: [staff] }', '{ claims: {} }', '13:20 P203', /everybody/],
    ['who: staff\n', 'who: { groups: staff }\n', '17:10 P203', /give it a name under who/],
    ['owners: [a@example.com]', 'owners: []', '3:9 P203', /at least 1/],
    ['postern: policy/v1', 'postern: policy/v2', '1:10 P204', /write "postern: policy\/v1"/],
    ['a@example.com', 'someone', '3:10 P204', /security@example\.com/],
    ['why: Staff read.', `why: ${'x'.repeat(301)}`, '16:10 P204', /1 to 300/],
    ['why: Staff read.', 'why: ""', '16:10 P204', /one line/],
    ['https://idp.example', 'http://idp.example', '5:11 P204', /write https/],
    ['https://idp.example', 'https://idp.example?x=1', '5:11 P204', /byte for byte/],
    ['  audience: api', '  audience: api\n  host: API.example.com', '7:9 P204', /lower case/],
    ['tid: acme }', '/tid: acme }', '7:13 P204', /top-level claims/],
    ['groups: [staff] }', 'scopes: a b }', '13:20 P204', /\[a, b\]/],
    [last, `${last}  - deny: read\n    why: w\n    who: staff\n    to: GET /v1/b\n`, '19:11 P205', /stands in line 15 already/],
    ['allow: read', 'allow: Read', '15:12 P206', /a-z, 0-9/],
    ['allow: read', 'allow: default', '15:12 P206', /reserved/],
    ['  staff: {', '  anyone: { groups: x }\n  staff: {', '13:3 P206', /reserved/],
    ['  vip: bool?', '  iss: string', '11:3 P206', /keys for it/],
    ['  vip: bool?', '  cognito:groups: string', '11:3 P206', /from cognito:groups/],
    [last, rule('then: { cassandra-role: Acme }'), '19:29 P206', /acme_orders_ro/],
    ['who: staff\n', 'who: staf\n', '17:10 P207', /Write staff \(line 13\), or define it/],
    ['who: staff\n', 'who: [staff, any]\n', '17:18 P207', /Write anyone/],
    ['groups: [staff] }', 'issuer: https://x.example }', '13:20 P207', /does not stand in recognise\.issuer/],
    ['  staff: {', '  a: [b]\n  b: [a]\n  staff: {', '14:3 P208', /a -> b -> a/],
    ['  staff: {', '  a: [b]\n  b: [c]\n  c: [d]\n  d: [staff]\n  staff: {', '13:3 P208', /5 names deep/],
    [last, rule('mode: dark'), '19:11 P204', /write enforce or shadow/],
    ['who:\n', 'always: { hide: [] }\nwho:\n', '12:17 P203', /1/],
    ['who:\n', 'always: { hide: [$.a.*] }\nwho:\n', '12:18 P403', /not a path/],
    ['who:\n', 'always: { limit: [3 per caller] }\nwho:\n', '12:19 P403', /20\/min per caller/],
  ])('%j -> %j is reported at %s', (...row) => check(row))

  it('every fault of a file is reported at once; a misspelt key is not missing too', () => {
    const text = base.replace('owners:', 'owner:').replace('who: staff\n', 'who: nobody\n').replace('bool?', 'boolean')
    expect(findingsOf(text).map(f => f.code)).toEqual(['P201', 'P309', 'P207'])
  })

  it('another version is refused alone: nothing else is guessed', () => {
    expect(findingsOf('postern: policy/v9\ntenant: acme\nfuture: yes\n').map(f => f.code)).toEqual(['P204'])
  })

  it('the version must come first', () => {
    expect(
      findingsOf(base.replace('postern: policy/v1\ntenant: acme\n', 'tenant: acme\npostern: policy/v1\n')).map(
        f => `${f.line}:${f.column} ${f.code}`,
      ),
    ).toEqual(['2:1 P202'])
  })

  it('http issuers are accepted for loopback addresses and localhost only', () => {
    for (const issuer of ['http://127.0.0.1:9400', 'http://[::1]:9400', 'http://localhost:1', 'http://a.localhost'])
      expect(findingsOf(base.replace('https://idp.example', issuer))).toEqual([])
    for (const issuer of ['http://127.0.0.1.example.com', 'http://localhost.example.com', 'ftp://localhost', 'http://10.0.0.1'])
      expect(findingsOf(base.replace('https://idp.example', issuer)).map(f => f.code)).toEqual(['P204'])
  })
})

describe('matching', () => {
  const to = (line: string): string => `    to: ${line}\n`
  const when = (text: string): string => rule(`when: { ${text} }`)
  it.each<Row>([
    [last, to('get /v1/a'), '18:9 P301', /write GET/],
    [last, to('TRACE /v1/a'), '18:9 P301', /GET HEAD POST/],
    [last, to('GET ANY /v1/a'), '18:9 P301', /ANY stands alone/],
    [last, to('GET GET /v1/a'), '18:9 P301', /twice/],
    [last, to('"GET  /v1/a"'), '18:9 P301', /single blanks/],
    [last, to('/v1/a'), '18:9 P301', /GET \/v1\/a/],
    [last, to('GET v1'), '18:9 P302', /begin it with/],
    [last, to('GET /v1/*'), '18:9 P302', /write \{name\} for one segment or end with \/\*\*/],
    [last, to('GET /v1/**/a'), '18:9 P302', /last segment/],
    [last, to('GET /v1/v{n}'), '18:9 P302', /\{name\}/],
    [last, to('GET /v1/a?x=1'), '18:9 P302', /when\.query/],
    [last, to('GET /v1//a'), '18:9 P302', /empty segment/],
    [last, to('GET /v1/../a'), '18:9 P302', /dot segment/],
    [last, to('GET /v1/a;b'), '18:9 P302', /semicolon/],
    [last, to('GET /v1/a%2fb'), '18:9 P302', /separator/],
    [last, to('GET /v1/café'), '18:9 P302', /write "caf%C3%A9"/],
    [last, to(`GET ${'/a'.repeat(33)}`), '18:9 P302', /at most 32/],
    [last, to(`GET /${'a'.repeat(512)}`), '18:9 P302', /at most 512/],
    [last, to('GET /v1/{A}'), '18:9 P303', /\{invoice\}/],
    [last, to('GET /v1/{a}/{a}'), '18:9 P303', /twice/],
    [last, when('ip-in: 10.0.0.1/8'), '19:20 P304', /write 10\.0\.0\.0\/8/],
    [last, when('ip-in: "2001:db8::1/32"'), '19:20 P304', /write 2001:db8::\/32/],
    [last, when('ip-not-in: [10.0.0.0/33]'), '19:25 P304', /\/0 to \/32/],
    [last, when('ip-in: office'), '19:20 P304', /198\.51\.100\.7/],
    [last, when('ip-in: 010.0.0.0/8'), '19:20 P304', /not an address/],
    [last, when('header: { X-Purpose: present }'), '19:23 P307', /write x-purpose/],
    [last, when('header: { authorization: present }'), '19:23 P307', /never reaches a policy/],
    [last, when('header: { x-forwarded-for: present }'), '19:23 P307', /never reaches a policy/],
    [last, when('header: { x_y: present }'), '19:23 P307', /removes names with "_"/],
    [last, when('header: { x-y: " a" }'), '19:28 P307', /blank/],
    [last, when('header: {}'), '19:21 P203', /holds for every request/],
    [last, when('query: { limit: 5..1 }'), '19:29 P308', /smaller number first/],
    [last, when('query: { limit: ".." }'), '19:29 P308', /1\.\.500/],
    [last, when('query: { limit: a..b }'), '19:29 P308', /literal text in a list/],
    [last, when('query: { limit: [1..5] }'), '19:30 P308', /write the range alone/],
    [last, when('header: { x-level: 1..5 }'), '19:32 P307', /list the values, or write \["1\.\.5"\] if/],
    [last, when('query: { limit: 1-50 }'), '19:29 P308', /write 1\.\.50, or "1-50" if this very text is meant/],
    [last, when('query: { limit: 1 to 50 }'), '19:29 P308', /write 1\.\.50/],
    [last, when('query: { limit: ["7", 1-50] }'), '19:35 P308', /write 1\.\.50/],
    [last, when('query: { limit: <=50 }'), '19:29 P308', /write \.\.50/],
    [last, when('query: { limit: <50 }'), '19:29 P308', /write \.\.49/],
    [last, when('query: { limit: ">=50" }'), '19:29 P308', /write 50\.\., or \[">=50"\] if/],
    [last, when('time: { between: 18:00-06:00 }'), '19:19 P202', /zone is missing/],
    [last, when('time: { zone: Europe/Rome }'), '19:19 P305', /any time/],
    [last, when('time: { zone: Europe/Rom, days: mon }'), '19:27 P305', /write Europe\/Rome/],
    [last, when('time: { zone: "+01:00", days: mon }'), '19:27 P305', /IANA/],
    [last, when('time: { zone: UTC, days: monday }'), '19:38 P305', /mon-fri/],
    [last, when('time: { zone: UTC, days: [sat, sun-xyz] }'), '19:44 P305', /mon-fri/],
    [last, when('time: { zone: UTC, days: mon-wed-fri }'), '19:38 P305', /mon-fri/],
    [last, when('time: { zone: UTC, days: [] }'), '19:38 P203', /at least 1/],
    [last, when('time: { zone: UTC, month-days: [0] }'), '19:45 P305', /1 to 31/],
    [last, when('time: { zone: UTC, month-days: 28-32 }'), '19:44 P305', /1 to 31/],
    [last, when('time: { zone: UTC, month-days: "1" }'), '19:44 P305', /without quotes/],
    [last, when('time: { zone: UTC, month-days: 28-3 }'), '19:44 P305', /write \[28-31, 1-3\]/],
    [last, when('time: { zone: UTC, between: 9:00-17:00 }'), '19:41 P305', /18:00-06:00/],
    [last, when('time: { zone: UTC, between: 18:00-24:00 }'), '19:41 P305', /23:59/],
    [last, when('time: { zone: UTC, between: 09:00-09:00 }'), '19:41 P305', /never or always/],
    [last, rule('from: tomorrow'), '19:11 P306', /2026-11-23T10:00:00Z/],
    [last, rule('from: 2026-02-30'), '19:11 P306', /not a moment/],
    [last, rule('from: 2026-02-30T00:00:00Z'), '19:11 P306', /not a moment/],
    [last, rule('from: 2026-11-15T24:00:00Z'), '19:11 P306', /not a moment/],
    [last, rule('from: 2026-11-15T08:00Z'), '19:11 P306', /with seconds/],
    [last, rule('from: 20261115'), '19:11 P306', /not a moment/],
    [last, rule('until: 2026-12-20'), '19:12 P306', /begin or end; write .* 2026-12-20T00:00:00Z/],
    [last, rule('until: 2026-12-20T18:00:00'), '19:12 P306', /offset/],
    [last, rule('needs-login: {}'), '19:18 P203', /acr, amr or within/],
    [last, rule("needs-login: { acr: ['a b'] }"), '19:26 P204', /without blanks, quotes/],
    [last, rule("needs-login: { acr: 'a\"' }"), '19:25 P204', /without blanks, quotes/],
    [last, rule('needs-login: { acr: [] }'), '19:25 P203', /at least 1/],
    [last, rule('needs-login: { amr: 2 }'), '19:25 P108', /quote it/],
    [last, rule('needs-login: { within: 31d }'), '19:28 P306', /up to 30d/],
    [last, rule('needs-login: { within: 0s }'), '19:28 P306', /15m/],
    [last, rule('needs-login: { within: 1500ms }'), '19:28 P306', /s, m, h or d/],
    [last, when('ips: x'), '19:13 P201', /ip-in/],
    ['level: number', 'level: int', '10:10 P309', /string, number, bool/],
    ['level: number', 'level: number from /a~2', '10:10 P309', /JSON pointer/],
  ])('%j -> %j is reported at %s', (...row) => check(row))

  it('quotes make a word of what looks like a range', () => {
    for (const words of ['"1-50"', '["1-50"]', '[">=50", "2026-01"]', '2026-01-31', 'a-b', 'p50'])
      expect(findingsOf(base.replace(last, when(`query: { limit: ${words} }`)))).toEqual([])
  })

  it('more than the format allows is P110', () => {
    const many = (n: number, make: (i: number) => string): string => Array.from({ length: n }, (_, i) => make(i)).join(', ')
    expect(findingsOf(base.replace(last, to(`[${many(33, i => `GET /v1/a${i}`)}]`))).map(f => f.code)).toEqual(['P110'])
    expect(findingsOf(base.replace(last, when(`header: { ${many(17, i => `x-${i}: present`)} }`))).map(f => f.code)).toEqual(['P110'])
    expect(findingsOf(base.replace(last, when(`query: { ${many(17, i => `q${i}: present`)} }`))).map(f => f.code)).toEqual(['P110'])
    expect(findingsOf(base.replace(last, when(`ip-in: [${many(257, i => `10.0.${i >> 8}.${i & 255}`)}]`))).map(f => f.code)).toEqual([
      'P110',
    ])
  })
})

describe('a file full of faults', () => {
  it('reports the first thousand', () => {
    const keys = Array.from({ length: 3000 }, (_, i) => `k${i}: 1`).join('\n')
    expect(findingsOf(`${base}${keys}\n`)).toHaveLength(1000)
  })
})

describe('meaning', () => {
  it.each<Row>([
    ['{ groups: [staff] }', '{ claims: { dept: x } }', '13:22 P502', /"dept: string"/],
    ['  groups: list<string>', '  group: list<string>', '13:20 P502', /Add "groups: list<string>"/],
    ['  groups: list<string>', '  groups: string', '13:20 P502', /declare "groups: list<string>"/],
    ['{ groups: [staff] }', '{ claims: { level: "3" } }', '13:29 P108', /without quotes/],
    ['{ groups: [staff] }', '{ claims: { vip: yes } }', '13:27 P108', /true or false/],
    ['{ groups: [staff] }', '{ groups: [8e21] }', '13:21 P108', /quote it: "8e21"/],
  ])('%j -> %j is reported at %s', (...row) => check(row))

  it.each<Row>([
    ['{ groups: [staff] }', '{ agent: bot, groups: [staff] }', '13:24 P402', /write its name under for/],
    ['{ groups: [staff] }', '{ scopes: a, for: anyone }', '13:23 P402', /agent is missing/],
    ['{ groups: [staff] }', '{ max-hops: 1 }', '13:12 P402', /agent: any/],
    ['{ groups: [staff] }', '{ agent: [any, bot] }', '13:19 P402', /any alone/],
    ['{ groups: [staff] }', '{ agent: "" }', '13:19 P204', /the sub of act/],
    ['{ groups: [staff] }', '{ agent: bot, max-hops: 9 }', '13:34 P204', /from 1 to 8/],
    ['{ groups: [staff] }', '{ agent: bot, for: stuff }', '13:29 P207', /is not defined under who/],
    ['{ groups: [staff] }', '{ agent: bot, for: staff }', '13:29 P402', /names an agent.*Name persons/],
    ['  staff: {', '  bots: [{ agent: any }]\n  all: [bots]\n  work: { agent: any, for: all }\n  staff: {', '15:28 P402', /Name persons/],
  ])('%j -> %j is reported at %s', (...row) => check(row))

  it('max-hops on the side that refuses is P402: one more hop would escape it', () => {
    const bounded = base.replace('{ groups: [staff] }', '{ groups: [staff] }\n  near: { agent: any, max-hops: 1 }\n  all: [staff, near]')
    const found = (text: string) => findingsOf(text).map(f => `${f.line}:${f.column} ${f.code}`)
    const who = (names: string, extra = '') => bounded.replace('who: staff\n', `who: ${names}\n${extra}`)
    const except = '    except: all\n'
    expect(found(who('all'))).toEqual([])
    expect(found(who('[staff, all]').replace('allow: read', 'deny: read'))).toEqual(['19:18 P402'])
    expect(found(who('staff', except).replace('allow: read', 'deny: read'))).toEqual([])
    expect(found(who('staff', except))).toEqual(['20:13 P402'])
  })

  it('until is a moment after from (P405), in an allow and in a deny', () => {
    const bounds = (from: string, until: string) => rule(`from: ${from}\n    until: ${until}`)
    const found = (text: string) => findingsOf(text).map(f => `${f.line}:${f.column} ${f.code}`)
    const swapped = base.replace(last, bounds('2026-11-15', '2026-11-15T01:00:00+01:00'))
    expect(found(swapped)).toEqual(['20:12 P405'])
    expect(found(swapped.replace('allow: read', 'deny: read'))).toEqual(['20:12 P405'])
    expect(found(base.replace(last, bounds('2026-11-15', '2026-11-15T01:00:01+01:00')))).toEqual([])
  })

  it('then and needs-login stand in an allow only', () => {
    const denied = base.replace('allow: read', 'deny: read')
    expect(findingsOf(denied.replace(last, rule('then: { cassandra-role: acme_ro }'))).map(f => `${f.line}:${f.column} ${f.code}`)).toEqual(
      ['19:11 P401'],
    )
    expect(findingsOf(denied.replace(last, rule('needs-login: { acr: [x] }'))).map(f => `${f.line}:${f.column} ${f.code}`)).toEqual([
      '19:18 P401',
    ])
  })
})

describe('the platform file', () => {
  const text = 'postern: policy/v1\ntenant: _platform\nowners: [a@example.com]\nrules: []\n'
  const platformFindings = (content: string) =>
    load([file('_platform.policy.yaml', content)]).findings.map(f => `${f.line}:${f.column} ${f.code}`)
  it('refuses recognise, mode and allows (P406)', () => {
    expect(platformFindings(text)).toEqual([])
    expect(platformFindings(`${text}recognise: { issuer: https://a.example, audience: x }\n`)).toEqual(['5:12 P406'])
    expect(platformFindings(`${text}mode: enforce\n`)).toEqual(['5:7 P406'])
    expect(platformFindings(text.replace('[]', '\n  - allow: a\n    why: w\n    who: anyone\n    to: GET /'))).toEqual(['5:5 P406'])
  })
  it('checks always, and checks the names of shared roles', () => {
    expect(platformFindings(`${text}always: { limit: [0/s per tenant] }\n`)).toEqual(['5:19 P403'])
    expect(platformFindings(`${text}shared-roles: [postern_x]\n`)).toEqual(['5:16 P206'])
  })
})
