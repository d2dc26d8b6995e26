import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readPolicyFolder } from '../../../src/policy-folder.ts'
import { file, load, platformFile } from './fixtures.ts'

const policy = `postern: policy/v1
tenant: acme
owners: [security@example.com]
recognise:
  issuer: https://idp.example
  audience: api
claims:
  groups: list<string>
  level: number
who:
  staff: { groups: [staff] }
  leads: { groups: [lead] }
rules:
  - deny: outside
    why: Writing from the office only.
    who: staff
    except: leads
    to: POST /v1/a
    when: { ip-not-in: 10.0.0.0/8 }
  - allow: read
    why: Staff read.
    who: staff
    to: GET HEAD /v1/a
    until: 2026-12-20T18:00:00Z
`

/** What a newcomer writes, in whose place, and the one error that answers: position, code, and what to write instead. */
type Row = readonly [mistake: string, from: string, to: string, error: string, instead: RegExp]

const rows: readonly Row[] = [
  ['a tab', '    why: Staff', '\twhy: Staff', '21:1 P103', /Write spaces/],
  ['no colon', '    why: Staff read.', '    why Staff read.', '21:5 P103', /write a colon and a blank behind the key/],
  ['no blank behind the colon', 'why: Staff', 'why:Staff', '21:5 P103', /a colon and a blank/],
  ['a key too far to the right', '    why: Staff', '      why: Staff', '20:12 P103', /the line below is not indented like/],
  ['a key too far to the left', '    why: Staff', '   why: Staff', '21:1 P103', /begin each entry of a list with "- "/],
  ['a rule without its dash', '  - allow: read', '  allow: read', '20:1 P103', /"- "/],
  ['a colon in a text', 'why: Staff read.', 'why: Staff: read.', '21:10 P103', /quote it/],
  ['an open quote', 'why: Staff read.', "why: 'Staff read.", '21:10 P103', /the same quote at its end/],
  ['an open list', 'groups: [lead] }', 'groups: [lead }', '12:20 P103', /here is not closed; write "\]"/],
  [
    'a list that is closed lines below or never',
    'to: GET HEAD /v1/a',
    'to: [GET HEAD /v1/a',
    '23:9 P103',
    /the list that begins here is not closed/,
  ],
  ['a number for a name', '[lead]', '[8e21]', '12:21 P108', /quote it: "8e21"/],
  ['methods with commas', 'GET HEAD /v1/a', 'GET,HEAD /v1/a', '23:9 P301', /write GET HEAD, with single blanks/],
  ['a star for the methods', 'GET HEAD /v1/a', '"* /v1/a"', '23:9 P301', /write ANY/],
  ['a method in lower case', 'GET HEAD /v1/a', 'get /v1/a', '23:9 P301', /write GET\./],
  ['a method without a path', 'GET HEAD /v1/a', 'POST', '23:9 P301', /"POST" names no path; .*: POST \/v1\/invoices/],
  ['methods as a list', 'GET HEAD /v1/a', '[GET, HEAD /v1/a]', '23:10 P301', /"GET" names no path/],
  ['a path without a method', 'GET HEAD /v1/a', '/v1/a', '23:9 P301', /GET \/v1\/a/],
  ['a star for a segment', 'GET HEAD /v1/a', 'GET /v1/*', '23:9 P302', /\{name\} for one segment or end with \/\*\*/],
  [
    'a variable as other routers write it',
    'GET HEAD /v1/a',
    'GET /v1/:Id/**',
    '23:9 P302',
    /^":Id" is no path variable here; write \{id\}\.$/,
  ],
  ['a star for everybody', 'who: staff', 'who: *', '22:10 P103', /for every caller write anyone, for every method ANY/],
  [
    'a choice in a check without quotes',
    'to: GET HEAD /v1/a',
    'to: GET /v1/a\n    when: { check: true ? true : false }',
    '24:20 P103',
    /needs quotes inside .* A check has no/,
  ],
  ['a type that is none', 'list<string>', 'text', '8:11 P309', /"text" is not a claim type\. Write one of/],
  ['a query in the path', 'GET HEAD /v1/a', 'GET /v1/a?x=1', '23:9 P302', /under when\.query/],
  ['a misspelt key', 'who: staff\n    to: GET', 'woh: staff\n    to: GET', '22:5 P201', /Did you mean who\?/],
  ['an underscore in a key', 'ip-not-in', 'ip_not_in', '19:13 P201', /Did you mean ip-not-in\?/],
  ['no reason', '    why: Staff read.\n', '', '20:5 P202', /the reason for the rule/],
  ['a rule twice', 'allow: read', 'allow: outside', '20:12 P205', /line 14 already; choose another name/],
  ['a key twice', '    until:', '    who: leads\n    until:', '24:5 P104', /Remove one/],
  ['a name with a blank', 'allow: read', 'allow: read all', '20:12 P206', /a-z, 0-9 and "-"/],
  ['nobody of that name', 'who: staff\n    to: GET', 'who: stuff\n    to: GET', '22:10 P207', /Write staff \(line 11\), or define it/],
  ['a star for everybody', 'who: staff\n    to: GET', 'who: "*"\n    to: GET', '22:10 P207', /Write anyone/],
  ['names with commas', 'who: staff\n    to: GET', 'who: staff, leads\n    to: GET', '22:10 P207', /\[staff, leads\]/],
  ['callers in the rule', 'who: staff\n    to: GET', 'who: { groups: staff }\n    to: GET', '22:10 P203', /give it a name under who/],
  ['a claim beside groups', '{ groups: [lead] }', '{ level: 3 }', '12:12 P201', /write claims: \{ level: \.\.\. \}/],
  ['a claim that is not declared', '{ groups: [lead] }', '{ claims: { dept: x } }', '12:22 P502', /Declare it: "dept: string"/],
  ['a number in quotes', '{ groups: [lead] }', '{ claims: { level: "3" } }', '12:29 P108', /without quotes/],
  ['one owner', '[security@example.com]', 'security@example.com', '3:9 P203', /\[security@example\.com\]/],
  ['a range with host bits', '10.0.0.0/8', '10.1.2.3/8', '19:24 P304', /write 10\.0\.0\.0\/8/],
  ['an end that is a day', '2026-12-20T18:00:00Z', '2026-12-20', '24:12 P306', /2026-12-20T00:00:00Z/],
  ['an end without a zone', '2026-12-20T18:00:00Z', '2026-12-20 18:00', '24:12 P306', /seconds and offset/],
  ['a role in place of then', '    until:', '    cassandra-role: acme_ro\n    until:', '24:5 P201', /Known: .*then/],
  ['a string for then', '    until:', '    then: acme_ro\n    until:', '24:11 P203', /a map with cassandra-role/],
  ['a bare limit', '    until:', '    then: { limit: 20/min per caller }\n    until:', '24:20 P203', /\[20\/min per caller\]/],
  ['another effect', '- allow: read', '- effect: allow', '20:5 P202', /"allow: name" or "deny: name"/],
  ['another tenant', 'tenant: acme', 'tenant: globex', '2:9 P109', /file name says "acme"/],
  ['no version', 'postern: policy/v1\n', '', '1:1 P202', /postern: policy\/v1/],
  ['an anchor', 'who: staff\n    to: GET', 'who: &s staff\n    to: GET', '22:13 P105', /Write the value out/],
  ['a folded text', 'why: Staff read.', 'why: >\n      Staff read.', '21:10 P105', /Use one line/],
]

describe('what newcomers write', () => {
  it('is right before the mistake', () => {
    expect(load([platformFile(), file('acme.policy.yaml', policy)]).findings.map(f => f.code)).toEqual(['W806'])
  })

  it.each(rows)('%s: one error, where it stands, with what to write instead', (_, from, to, error, instead) => {
    expect(policy).toContain(from)
    const at = policy.lastIndexOf(from)
    const { findings } = load([platformFile(), file('acme.policy.yaml', policy.slice(0, at) + to + policy.slice(at + from.length))])
    const errors = findings.filter(finding => finding.severity === 'error')
    expect(errors.map(f => `${f.line}:${f.column} ${f.code}`)).toEqual([error])
    expect(errors[0]?.message).toMatch(instead)
    expect(errors[0]?.message, 'one line that ends').toMatch(/^[^\n]+[.?\])]$/)
  })

  it('a file that ends in .yml is P109', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'postern-'))
    await writeFile(join(dir, 'acme.policy.yml'), policy)
    const { findings } = (await readPolicyFolder(dir)) as { findings: unknown }
    await rm(dir, { recursive: true })
    expect(findings).toMatchObject([{ file: 'acme.policy.yml', code: 'P109', message: 'files end in .yaml here. Rename it.' }])
  })
})
