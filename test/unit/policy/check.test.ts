import { describe, expect, it } from 'vitest'
import type { Check } from '../../../src/policy/check/ast.ts'
import type { CheckEnvironment } from '../../../src/policy/check/environment.ts'
import { expression, glob } from '../../../src/policy/check/pattern.ts'
import { readCheck } from '../../../src/policy/check/read.ts'
import type { Claim } from '../../../src/policy/language/claims.ts'
import { parseClaim } from '../../../src/policy/language/claims.ts'
import { type Asked, allow, decide, deny, engineFor, file, load, platformFile, tenantFile } from './fixtures.ts'

const claims = {
  region: 'string',
  dept: 'string?',
  groups: 'list<string>',
  accounts: 'list<string>?',
  level: 'number',
  score: 'number?',
  marks: 'list<number>',
  vip: 'bool',
  constructor: 'string?',
  toString: 'list<string>?',
}

const before = `postern: policy/v1
tenant: acme
owners: [a@example.com]
recognise: { issuer: https://idp.example, audience: api, claims: { tid: acme } }
claims:
${Object.entries(claims)
  .map(([name, type]) => `  ${name}: ${type}`)
  .join('\n')}
rules:
  - allow: read
    why: w
    who: anyone
`
const to = '    to: GET /v1/{account}/x/{item}\n'
/** Line of the check, where its rule has one `to` line. */
const line = before.split('\n').length + 2

/** What is wrong with a check as YAML writes it. */
const found = (check: string, lines = to) =>
  load([platformFile(), file('acme.policy.yaml', `${before}${lines}    when:\n      check: ${check}\n`)]).findings.filter(
    finding => finding.severity === 'error',
  )
/** What is wrong with an expression, whatever YAML would make of it on one line. */
const faults = (text: string) => found(`|-\n        ${text}`)

/** The expression, where in it the fault stands (from 1), its code, and words that say what to write. */
type Row = readonly [text: string, at: number, code: string, message: RegExp]

const rejects = ([text, at, code, message]: Row): void => {
  const [finding, ...others] = faults(text)
  expect(others).toEqual([])
  expect(finding && `${finding.line}:${finding.column - 8} ${finding.code}`).toBe(`${line + 1}:${at} ${code}`)
  expect(finding?.message).toMatch(message)
}

const name = (row: Row): string => row[0]
const rows = (...all: readonly Row[]) => it.each(all.map(row => [name(row), row] as const))

describe('P501 syntax', () => {
  rows(
    ["claims.region = 'eu'", 15, 'P501', /"=" cannot stand here; write ==/],
    ['claims.vip & true', 12, 'P501', /write && /],
    ['claims.vip | true', 12, 'P501', /write \|\| /],
    ['claims.vip claims.vip', 12, 'P501', /"claims" cannot stand here/],
    ["claims.region == 'eu", 18, 'P501', /not closed/],
    ["claims.region == '\\d'", 19, 'P501', /write "\\\\" for a backslash, or r'/],
    ['(claims.vip', 12, 'P501', /close every bracket/],
    ['claims.vip &&', 14, 'P501', /ends too early/],
    ['claims.in == 1.0', 8, 'P501', /write \['in'\]/],
    ['if', 1, 'P501', /reserved word/],
    ['claims.level == 1e999', 17, 'P501', /not a number/],
    ['claims.groups.exists(1, true)', 22, 'P501', /list\.exists\(item,/],
    ['size(claims.groups,) == 1', 20, 'P501', /remove the comma/],
    ["claims.region == r'it\\'s'", 18, 'P501', /the other kind of quote/],
    ['claims.vip == claims.level < 3.0', 15, 'P501', /write brackets around the part behind "=="/],
    ['(claims.vip) != (claims.level) < (3.0)', 18, 'P501', /one rank in CEL/],
    ["true == 'a' in claims.groups && claims.vip", 9, 'P501', /one rank in CEL/],
    ['claims.vip ; true', 12, 'P501', /cannot stand here/],
    ['__proto__ == 1.0', 1, 'P501', /reserved/],
  )('%s', (_, row) => rejects(row))

  it('a line break in a text, and half a character, which only YAML escapes can bring', () => {
    expect(found(`"claims.region == r'\\\\\\nx'"`)).toMatchObject([{ code: 'P501', message: expect.stringMatching(/line break/) }])
    expect(found(`"claims.region == '\\uD83D'"`)).toMatchObject([{ code: 'P501', message: expect.stringMatching(/half a character/) }])
  })
})

describe('P502 unknown names', () => {
  rows(
    ["claims.regoin == 'eu'", 8, 'P502', /Write claims\.region, or declare it: "regoin: string"/],
    ["claims['regoin'] == 'eu'", 8, 'P502', /claims\.region/],
    ['has(claims.dpt)', 12, 'P502', /claims\.dept/],
    ['has(claim.dept)', 5, 'P502', /"claim" is not known\. Write claims/],
    ["claims.__proto__ == 'x'", 8, 'P502', /not declared/],
    ["claims.hasOwnProperty == 'x'", 8, 'P502', /not declared/],
    ["claim.region == 'eu'", 1, 'P502', /Write claims/],
    ["path.acount == 'x'", 6, 'P502', /Write path\.account/],
    ["path.toString == 'x'", 6, 'P502', /Known: account, item/],
    ["constructor == 'x'", 1, 'P502', /Known: claims, path/],
    ["'authorization' in header", 1, 'P502', /never reaches a policy/],
    ['has(header.Accept)', 12, 'P502', /write accept/],
    ["'' in query", 1, 'P502', /not a parameter name/],
    ['claims.groups.exists(g, h == g)', 25, 'P502', /"h" is not known\. Write g/],
  )('%s', (_, row) => rejects(row))

  it('a variable must stand in every line, and a file of the platform has claims of its own', () => {
    const lines = `    to: ['GET /v1/{account}/x/{item}', 'GET /v1/{item}']\n`
    expect(found("path.item == 'x'", lines)).toEqual([])
    expect(found("path.account == 'x'", lines)).toMatchObject([{ code: 'P502', message: expect.stringMatching(/every "to" line/) }])
    expect(found("path.account == 'x'", '    to: GET /v1/a\n')).toMatchObject([
      { code: 'P502', message: expect.stringMatching(/Write \{account\}/) },
    ])
    const engine = engineFor(
      { rules: [allow('read')] },
      { claims: { tier: 'number' }, rules: [deny('low', { when: { check: 'claims.tier < 2.0' } })] },
    )
    expect([1, 3].map(tier => decide(engine, { claims: { tier } }))).toEqual(['deny low', 'allow read'])
    expect(decide(engine)).toBe('deny low?')
  })

  it('what is wrong where it is declared is said there only', () => {
    expect(found("path.account == 'x'", '    to: GET v1/{account}\n').map(finding => finding.code)).toEqual(['P302'])
    const wrong = load([
      platformFile(),
      file('acme.policy.yaml', `${before.replace('region: string', 'region: text')}${to}    when: { check: "claims.region == 'x'" }\n`),
    ])
    expect(wrong.findings.map(finding => finding.code)).toEqual(['W806', 'P309'])
  })
})

describe('P503 types', () => {
  rows(
    ['claims.level == 3', 17, 'P503', /write 3\.0\./],
    ['3 != claims.level', 1, 'P503', /write 3\.0\./],
    ['claims.level in [1, 2]', 17, 'P503', /write \[1\.0, 2\.0\]/],
    ['size(claims.groups) == 3.0', 24, 'P503', /write 3\./],
    ['size(claims.groups) == claims.level', 1, 'P503', /write <= and >=/],
    ["claims.level == '3'", 1, 'P503', /a number is compared with text; compare like with like/],
    ['claims.vip && claims.region', 15, 'P503', /"&&" joins yes or no, but here stands text/],
    ['!claims.region', 2, 'P503', /text; compare it/],
    ['claims.vip < true', 1, 'P503', /write == or !=/],
    ["claims.groups < ['a']", 1, 'P503', /write == or !=/],
    ["'a' in claims.region", 8, 'P503', /text\.contains/],
    ["'a' in claims.vip", 8, 'P503', /a claim that is a list/],
    ['claims.level in claims.groups', 1, 'P503', /a number is looked for in a list of texts/],
    ["claims.region in ['a', 1.0]", 24, 'P503', /items of one type/],
    ['claims.level in [1.0, 2]', 23, 'P503', /like 3\.0/],
    ['claims.vip in [true]', 16, 'P503', /conditions with \|\|/],
    ["claims.groups.startsWith('a')", 1, 'P503', /item in list/],
    ['claims.region.startsWith(claims.level)', 26, 'P503', /compare with ==/],
    ['size(claims.level) > 1', 6, 'P503', /counts characters or items/],
    ["claims.region.exists(x, x == 'a')", 1, 'P503', /items of a list/],
    ['claims.groups.all(g, g)', 22, 'P503', /all\(\) asks yes or no/],
    ["glob(claims.groups, 'a*')", 6, 'P503', /list\.exists/],
  )('%s', (_, row) => rejects(row))

  it('each of several faults is found in one run', () => {
    expect(faults("claims.regoin == 'x' && claims.level == 3 || mehtod == 'GET'").map(finding => finding.code)).toEqual([
      'P502',
      'P503',
      'P502',
    ])
  })
})

describe('P504 outside the subset', () => {
  rows(
    ["claims.vip ? 'a' : 'b'", 1, 'P504', /\(a && b\) \|\| \(!a && c\)/],
    ['claims.level + 1.0 > 2.0', 1, 'P504', /joins texts only/],
    ['claims.level * 2.0 > 2.0', 1, 'P504', /arithmetic/],
    ['-claims.level < 0.0', 1, 'P504', /written out/],
    ["claims.groups[0] == 'a'", 1, 'P504', /x in list/],
    ["claims[claims.region] == 'a'", 8, 'P504', /claims\['region'\]/],
    ["claims.region.name == 'a'", 15, 'P504', /no field "name"/],
    ["{'a': 1}", 1, 'P504', /x in \[a, b\]/],
    ['claims.dept == null', 16, 'P504', /has\(\.\.\.\)/],
    ["claims.region == b'a'", 18, 'P504', /bytes/],
    ['size(claims.groups) == 1u', 24, 'P504', /plain number/],
    ['size(claims.groups) < 9007199254740993', 23, 'P504', /at most 9007199254740991/],
    ["'''a''' == 'a'", 1, 'P504', /write '\.\.\.'/],
    ["claims.region.matches('a')", 1, 'P504', /write re\(text/],
    ["claims.groups.map(g, g) == ['a']", 1, 'P504', /exists or all/],
    ['int(claims.level) == 3', 1, 'P504', /without conversion/],
    ["timestamp('x') == 'x'", 1, 'P504', /when\.time/],
    ["claims.region.startWith('a')", 1, 'P504', /write startsWith/],
    ["claims.region.lowerAscii() == 'a'", 1, 'P504', /known: has, size/],
    ["claims.region.constructor('a') == 'a'", 1, 'P504', /not in the language/],
    ["claims == 'a'", 1, 'P504', /claims\.region/],
    ['claims.groups.exists(g, claims.groups.exists(h, h == g))', 25, 'P504', /loop in a loop/],
    ["claims.groups.exists(g, g == 'a') && claims.groups.all(g, g != 'b')", 38, 'P504', /second loop/],
    ["claims.groups.exists(g, g + '-' == 'a-')", 25, 'P504', /in a loop/],
    ["claims.groups.exists(path, path == 'a')", 22, 'P504', /means something already/],
    ["query.exists(q, q == 'a')", 1, 'P504', /query alone/],
    ["'region' in claims", 1, 'P504', /write has\(claims\.region\)/],
    ['has(path.account)', 1, 'P504', /always there/],
    ["has(header['x-a'])", 1, 'P504', /'name' in header/],
    ['has(claims.region.x)', 1, 'P504', /has\(claims\.region\)/],
    ['has(claims)', 1, 'P504', /has\(claims\.region\)/],
    ['claims.groups == []', 18, 'P504', /size\(list\) == 0/],
    ['size() == 1', 1, 'P504', /size\(list\)/],
    ["startsWith(claims.region, 'a')", 1, 'P504', /text\.startsWith\(part\)/],
  )('%s', (_, row) => rejects(row))
})

describe('P505 guards', () => {
  rows(
    ["claims.dept == 'a'", 1, 'P505', /claims\.dept may be absent; write has\(claims\.dept\) && before it/],
    ["claims.vip && query.page == '1'", 15, 'P505', /has\(query\.page\) &&/],
    ["header['x-a'] == '1'", 1, 'P505', /'x-a' in header &&/],
    ["has(claims.dept) || claims.dept == 'a'", 21, 'P505', /before it/],
    ["!has(claims.dept) && claims.dept == 'a'", 22, 'P505', /before it/],
    ["claims.dept == 'a' && has(claims.dept)", 1, 'P505', /before it/],
    ["has(claims.accounts) && claims.dept == 'a'", 25, 'P505', /claims\.dept/],
    ["(has(claims.dept) || claims.vip) && claims.dept == 'a'", 37, 'P505', /before it/],
    ["(!has(claims.dept) && claims.vip) || claims.dept == 'a'", 38, 'P505', /before it/],
    ["(claims.vip || claims.vip) && claims.groups.exists(g, has(claims.dept)) && claims.dept == 'a'", 76, 'P505', /before it/],
  )('%s', (_, row) => rejects(row))

  it.each([
    "has(claims.dept) && claims.dept == 'a'",
    "!has(claims.dept) || claims.dept == 'a'",
    "!(has(claims.dept) && claims.vip) || claims.dept == 'a'",
    "!(!has(claims.dept) || claims.vip) && claims.dept == 'a'",
    "(claims.vip && has(claims.dept)) && claims.vip && claims.dept == 'a'",
    "(has(claims.dept) || has(claims.dept)) && claims.dept == 'a'",
    "'x-a' in header && (claims.vip || header['x-a'] == 'a')",
    "has(query.page) && 'page' in query && query['page'] == '1'",
    'has(claims.accounts) && claims.groups.exists(g, g in claims.accounts)',
    'has(claims.accounts) && claims.accounts.exists(a, a == path.account)',
    'has(claims.toString) && size(claims.toString) == 0',
    "has(claims.constructor) && claims.constructor == 'a'",
  ])('passes %s', text => {
    expect(faults(text)).toEqual([])
  })
})

describe('P506 patterns', () => {
  rows(
    ["re(claims.region, '(')", 19, 'P506', /missing closing \).*RE2 syntax/],
    ["re(claims.region, '(?=a)')", 19, 'P506', /without look-around/],
    ["re(claims.region, r'(a)\\1')", 19, 'P506', /back references/],
    ["re(claims.region, 'a{1001}')", 19, 'P506', /RE2/],
    ["re(claims.region, '(a{30}){30}')", 19, 'P506', /steps; at most 500/],
    ['re(claims.region, claims.region)', 19, 'P506', /written out; write re\(text/],
    ['glob(claims.region, claims.region)', 21, 'P506', /written out; write glob\(text/],
    [`re(claims.region, '${'a'.repeat(201)}')`, 19, 'P506', /201 characters; at most 200/],
    [`glob(claims.region, '${'a'.repeat(201)}')`, 21, 'P506', /201 characters; at most 200/],
    [`re(claims.region, '${'('.repeat(100)}${')'.repeat(100)}x')`, 19, 'P506', /201 characters/],
  )('%s', (_, row) => rejects(row))

  const errorsOf = (checks: readonly string[]): readonly string[] =>
    load([platformFile(), tenantFile('acme', { claims, rules: checks.map((check, i) => allow(`r${i}`, { when: { check } })) })])
      .findings.filter(finding => finding.severity === 'error')
      .map(({ message }) => message)

  it('the patterns of one file share a bound of work, whatever each of them costs', () => {
    const errors = errorsOf(Array.from({ length: 1000 }, (_, i) => `re(claims.region, '${'\\\\pL'.repeat(49)}{${(i % 9) + 1}}')`))
    expect(errors[0]).toMatch(/too much work together; write glob/)
    // About a hundred were compiled.
    expect(errors.length).toBeGreaterThan(800)
  })

  it('and a bound of steps for one request, of which a loop takes as many as a token has room for, or as it has items', () => {
    const errors = (check: string, count: number) => errorsOf(Array.from({ length: count }, () => check))
    const slow = /could hold up a request together .*write glob, startsWith or a list/
    expect(errors("re(claims.region, 'a{480}')", 20)).toEqual([])
    expect(errors("re(claims.region, 'a{480}')", 22)).toEqual([expect.stringMatching(slow), expect.stringMatching(slow)])
    expect(errors("claims.groups.exists(g, re(g, 'a{480}'))", 2)).toEqual([expect.stringMatching(slow)])
    expect(errors("claims.groups.exists(g, g == 'x' || re(claims.region, 'a{20}'))", 1)).toEqual([])
    expect(errors("claims.groups.exists(g, g == 'x' || re(claims.region, 'a{40}'))", 1)).toEqual([expect.stringMatching(slow)])
  })
})

describe('P507 size', () => {
  const many = (n: number, part: string, between: string): string => Array(n).fill(part).join(between)
  rows(
    [`claims.region == '${'a'.repeat(2000)}'`, 1, 'P507', /2019 characters; at most 2000/],
    [`claims.region in [${many(199, "'a'", ', ')}]`, 1, 'P507', /202 parts; at most 200/],
    [`${'!'.repeat(16)}claims.vip`, 17, 'P507', /deeper than 16 levels/],
    [`${'('.repeat(70)}claims.vip${')'.repeat(70)}`, 65, 'P507', /brackets are nested too deep/],
    [`claims.groups.exists(g, ${many(7, "g == 'a'", ' || ')})`, 25, 'P507', /the body of the loop has 27 parts; at most 20/],
  )('%.40s', (_, row) => rejects(row))

  it.each([
    `claims.region in [${many(197, "'a'", ', ')}]`,
    `${'!'.repeat(15)}claims.vip`,
    `${'('.repeat(60)}claims.vip${')'.repeat(60)}`,
    many(100, 'claims.vip', ' && '),
    many(50, "path.account == 'a'", ' || '),
    `claims.groups.exists(g, ${many(5, "g == 'a'", ' || ')})`,
  ])('reads %.40s', text => {
    expect(faults(text)).toEqual([])
  })

  it.each([
    ['100,000 characters', 'a'.repeat(100_000)],
    ['100,000 brackets', '('.repeat(100_000)],
    ['1,999 brackets', '('.repeat(1999)],
    ['1,999 nots', '!'.repeat(1999)],
    ['1,998 minus signs', `${'-'.repeat(1998)}1`],
    ['a thousand comparisons in a row', many(999, 'a', '<')],
    ['a thousand fields', many(999, 'a', '.')],
    ['a thousand indexes', `a${'[0]'.repeat(600)}`],
    ['lists in lists', '['.repeat(1999)],
    ['maps in maps', '{1:'.repeat(600)],
    ['a thousand choices', many(600, 'a?b:', '')],
    ['loops in loops', 'a.all(x,'.repeat(200)],
  ])('%s are a fault, not a crash', (_, text) => {
    const check = readCheck(text, environment())
    expect('root' in check ? [] : check.map(problem => problem.number)).toSatisfy(
      (numbers: number[]) => numbers.length > 0 && numbers.every(n => n === 501 || n === 507),
    )
  })
})

describe('P508 result', () => {
  rows(
    ['claims.region', 1, 'P508', /answers yes or no, but this is text/],
    ['size(claims.groups)', 1, 'P508', /a number/],
    ['claims.groups', 1, 'P508', /a list of texts/],
  )('%s', (_, row) => rejects(row))
})

const environment = (): CheckEnvironment => ({
  claims: new Map(Object.entries(claims).map(([key, type]) => [key, parseClaim(type) as Claim])),
  path: { every: ['account', 'item'], some: ['account', 'item'] },
  nameProblem: () => null,
  nearest: () => null,
  afford: { compile: () => true, match: () => true },
})

describe('where a fault stands', () => {
  const column = '      check: '.length
  const at = (check: string): string[] => found(check).map(({ line: l, column: c, code }) => `${l}:${c} ${code}`)
  it.each([
    'claims.vip && claims.x',
    "'claims.vip && claims.x'",
    '"claims.vip && claims.x"',
    "'claims.region == ''a'' && claims.x'",
    '"claims.region == \\"\\x61\\u0061\\U0001F600\\" && claims.x"',
  ])('is inside the text, however YAML writes it: %s', written => {
    expect(at(written)).toEqual([`${line}:${column + 1 + written.lastIndexOf('x')} P502`])
  })
  it('what YAML itself makes of the first character is said with its remedy', () => {
    expect(found('!has(claims.dept) || claims.vip')).toMatchObject([
      { code: 'P103', message: expect.stringMatching(/begins with "!" as a tag/) },
    ])
    expect(found("'x-a' in header")).toMatchObject([{ code: 'P103', message: expect.stringMatching(/quote the whole text/) }])
  })
  it('is inside a block of several lines', () => {
    expect(at("|\n        claims.region == 'a' &&\n\n          claims.x\n")).toEqual([`${line + 3}:18 P502`])
    expect(at('|- # why\n        claims.x\n')).toEqual([`${line + 1}:16 P502`])
    expect(at("|\n\n        claims.region ==\n          'a' // the region\n          && claims.x\n")).toEqual([`${line + 4}:21 P502`])
  })
  it('is the text itself where its depth is only in the header', () => {
    expect(at('|2\n        claims.x\n')).toEqual([`${line}:${column + 1} P502`])
  })
})

describe('what is read', () => {
  it('is listed by name, each once, sorted', () => {
    const check = readCheck(
      "has(query.b) && query.b == path.item && 'x-a' in header && claims.vip && claims.region in scopes && query.b != method",
      environment(),
    )
    expect((check as Check).reads).toEqual({
      claims: ['region', 'vip'],
      path: ['item'],
      query: ['b'],
      header: ['x-a'],
      facts: ['method', 'scopes'],
    })
  })
  it('keeps the place of each part in the text', () => {
    const text = "claims.vip && claims.region == 'eu'"
    const { root } = readCheck(text, environment()) as Check
    expect(root.kind === 'and' && [root, root.left, root.right].map(part => text.slice(part.from, part.to))).toEqual([
      text,
      'claims.vip',
      "claims.region == 'eu'",
    ])
  })
})

const base = { region: 'eu', groups: ['staff', 'lead'], level: 3, marks: [1, 2.5], vip: true }
const lines = 'GET POST /v1/{account}/x/{item}'

/** What a check says on either side: as the condition of an allow, and as that of a deny. */
const sides = (check: string, asked: Asked = {}, routes: string | string[] = lines): string => {
  const rule = { to: routes, when: { check } }
  const granting = engineFor({ claims, rules: [allow('read', rule)] })
  const refusing = engineFor({ claims, rules: [deny('stop', rule), allow('read', { to: 'ANY /**' })] })
  const given = { call: 'GET /v1/eu-7/x/i-1', ...asked, claims: { ...base, ...asked.claims } }
  return answers[`${decide(granting, given)}, ${decide(refusing, given)}`] ?? `${decide(granting, given)}, ${decide(refusing, given)}`
}
const answers: Readonly<Record<string, string>> = {
  'allow read, deny stop': 'yes',
  'deny default, allow read': 'no',
  'deny default, deny stop?': 'error',
}

describe('operators and functions', () => {
  it.each<[string, string]>([
    ["claims.region == 'eu'", 'yes'],
    ["claims.region != 'eu'", 'no'],
    ["claims.region == 'EU'", 'no'],
    ["claims.region < 'ev'", 'yes'],
    ["claims.region <= 'eu' && claims.region >= 'eu'", 'yes'],
    ["claims.region > 'eu'", 'no'],
    ["'\\ufb01' < '\\U0001F600'", 'yes'],
    ["'a' < 'ab' && '' < 'a'", 'yes'],
    ['claims.level == 3.0', 'yes'],
    ['claims.level < 4', 'yes'],
    ['claims.level > 2.5 && claims.level >= 3.0 && claims.level <= 3', 'yes'],
    ['claims.level == -3.0', 'no'],
    ['claims.vip == true', 'yes'],
    ['claims.vip != (claims.level == 3.0)', 'no'],
    ['claims.vip', 'yes'],
    ['!claims.vip', 'no'],
    ["claims.groups == ['staff', 'lead']", 'yes'],
    ["claims.groups == ['lead', 'staff']", 'no'],
    ["claims.groups != ['staff']", 'yes'],
    ["'lead' in claims.groups", 'yes'],
    ["claims.region in ['us', 'eu']", 'yes'],
    ['claims.vip == (claims.level < 4.0) && claims.vip == ((claims.level) < (4.0)) && claims.level < 4.0 == claims.vip', 'yes'],
    ["true == ('lead' in claims.groups) && 'lead' in claims.groups == true", 'yes'],
    ["claims.region in [path.account, 'us']", 'no'],
    ['2.5 in claims.marks', 'yes'],
    ['size(claims.groups) in [1, 2]', 'yes'],
    ["path.account == claims.region + '-' + '7'", 'yes'],
    ["path.account.startsWith(claims.region + '-')", 'yes'],
    ["path.account.endsWith('7') && path.account.contains('u-')", 'yes'],
    ["path.account.startsWith('')", 'yes'],
    ['size(claims.region) == 2 && claims.groups.size() == 2', 'yes'],
    ["size('😀é') == 2 && size('e\\u0301') == 2", 'yes'],
    ["claims.groups.exists(g, g.startsWith('le'))", 'yes'],
    ["claims.groups.all(g, g.startsWith('le'))", 'no'],
    ['claims.marks.all(m, m > 0.5 && m in claims.marks)', 'yes'],
    ["glob(path.account, 'e?-*')", 'yes'],
    ["re(path.account, '[a-z]{2}-[0-9]+')", 'yes'],
    ["re(path.account, 'eu')", 'no'],
    ["method == 'GET' && subject == 'anna' && !('x' in scopes)", 'yes'],
    ['true', 'yes'],
    ['has(claims.region)', 'yes'],
    ['has(claims.dept)', 'no'],
  ])('%s: %s', (text, expected) => {
    expect(sides(text)).toBe(expected)
  })

  it('a path variable is its segment, decoded once', () => {
    expect(sides("path.account == 'a b' && path.item == '%4'", { call: 'GET /v1/a%20b/x/%254' })).toBe('yes')
    expect(sides("path.item == 'i-1'", { call: 'GET /v1/a/x/i-1' })).toBe('yes')
  })

  it('lines that put a variable elsewhere are rules of their own: each one that fits is asked', () => {
    const routes = ['GET /{account}/{item}', 'GET /v1/{item}/{account}', 'GET /{item}/b/{account}/**']
    expect(sides("path.account == 'v1' && path.item == 'x'", { call: 'GET /v1/x' }, routes)).toBe('yes')
    expect(sides("path.account == 'c' && path.item == 'b'", { call: 'GET /v1/b/c' }, routes)).toBe('yes')
    expect(sides("path.account == 'c' && path.item == 'v1'", { call: 'GET /v1/b/c' }, routes)).toBe('yes')
    expect(sides("path.account == 'v1'", { call: 'GET /v1/b/c' }, routes)).toBe('no')
    const alike = ['GET /a/{account}/{item}', 'GET /b/{account}/{item}', 'GET /c/{item}/{account}']
    for (const path of ['/a/1/2', '/b/1/2', '/c/2/1']) expect(sides("path.account == '1'", { call: `GET ${path}` }, alike)).toBe('yes')
  })

  it('a trailing slash changes nothing for a deny with variables', () => {
    const engine = engineFor({
      claims,
      rules: [
        deny('stop', { to: ['GET /v1/{account}', 'GET /{account}/v2'], when: { check: "path.account == 'a'" } }),
        allow('read', { to: 'ANY /**' }),
      ],
    })
    expect(['/v1/a/', '/v1/a', '/a/v2/', '/v1/b/'].map(path => decide(engine, { call: `GET ${path}` }))).toEqual([
      'deny stop',
      'deny stop',
      'deny stop',
      'allow read',
    ])
  })
})

describe('errors', () => {
  const missing = { region: undefined }
  it.each<[string, string, Asked]>([
    ['a required claim that is missing', "claims.region == 'eu'", { claims: missing }],
    ['... or asked for', 'has(claims.region)', { claims: missing }],
    ['a claim of another type', 'claims.level == 3.0', { claims: { level: '3' } }],
    ['an optional claim of another type', 'has(claims.dept)', { claims: { dept: 3 } }],
    ['a list with another item', "'a' in claims.groups", { claims: { groups: ['a', 1] } }],
    ['a part of a list', "'a' in ['a', claims.region]", { claims: missing }],
    ['a part of a text', "path.account.startsWith(claims.region + '-')", { claims: missing }],
    ['not of an error', "!(claims.region == 'eu')", { claims: missing }],
    ['an error and a true', "claims.region == 'eu' && claims.vip", { claims: missing }],
    ['an error or a false', "claims.region == 'eu' || !claims.vip", { claims: missing }],
    ['an error in a comparison of conditions', "(claims.region == 'eu') == false", { claims: missing }],
    ['half a character in a claim', 'path.account.startsWith(claims.region)', { claims: { region: '\ud83d' } }],
    ['half a character in a list', "'a' in claims.groups", { claims: { groups: ['a', '\udc00'] } }],
    ['a loop over 257 items', "claims.groups.exists(g, g == 'a')", { claims: { groups: Array(257).fill('a') } }],
    ['a text of 1,025 characters under glob', "glob(claims.region, '*')", { claims: { region: 'é'.repeat(1025) } }],
    ['a text of 1,025 characters under re', "re(claims.region, '.*')", { claims: { region: '😀'.repeat(1025) } }],
    ['a query parameter that occurs twice', "has(query.q) && query.q == 'a'", { call: 'GET /v1/a/x/b?q=a&q=a' }],
    ['a query parameter that cannot be decoded', "has(query.q) && query.q == 'a'", { call: 'GET /v1/a/x/b?q=%zz' }],
    ['a plus, which may be a blank', "has(query.q) && query.q == 'a+b'", { call: 'GET /v1/a/x/b?q=a+b' }],
    ['a semicolon, which may separate: the value', "has(query.q) && query.q == 'a'", { call: 'GET /v1/a/x/b?q=a;x' }],
    ['a semicolon, which may separate: presence', 'has(query.q)', { call: 'GET /v1/a/x/b?x=1;q=a' }],
    ['a plus in a name: presence', "'a b' in query", { call: 'GET /v1/a/x/b?a+b=1' }],
    ['a name that cannot be decoded may be this one', 'has(query.q)', { call: 'GET /v1/a/x/b?%zz=1' }],
    ['... or this one a second time', "has(query.q) && query.q == 'a'", { call: 'GET /v1/a/x/b?q=a&%zz=1' }],
    ['a header that occurs twice', "'x-a' in header && header['x-a'] == 'a'", { headers: ['x-a', 'a', 'x-a', 'a'] }],
    ['a header of which one line is empty', "'x-a' in header", { headers: ['x-a', 'a', 'x-a', ''] }],
    ['exists: an error beats a false', 'claims.groups.exists(g, g == claims.region)', { claims: missing }],
    ['all: an error beats a true', "claims.groups.all(g, g != 'a' && g != claims.region)", { claims: missing }],
  ])('%s', (_, text, asked) => {
    expect(sides(text, asked)).toBe('error')
  })

  it.each<[string, string, string, Asked]>([
    ['a false beats an error', "claims.region == 'eu' && !claims.vip", 'no', { claims: missing }],
    ['a true beats an error', "claims.region == 'eu' || claims.vip", 'yes', { claims: missing }],
    ['exists: a true beats an error', "claims.groups.exists(g, g == 'lead' || g == claims.region)", 'yes', { claims: missing }],
    ['all: a false beats an error', "claims.groups.all(g, g == 'staff' && g != claims.region)", 'no', { claims: missing }],
    ['a loop over 256 items', "claims.groups.all(g, g == 'a')", 'yes', { claims: { groups: Array(256).fill('a') } }],
    ['257 items outside a loop', "'b' in claims.groups || size(claims.groups) != 257", 'no', { claims: { groups: Array(257).fill('a') } }],
    ['a loop over nothing', 'claims.groups.exists(g, true)', 'no', { claims: { groups: [] } }],
    ['all of nothing', 'claims.groups.all(g, false)', 'yes', { claims: { groups: [] } }],
    ['1,024 characters under glob', "glob(claims.region, '*')", 'yes', { claims: { region: '😀'.repeat(1024) } }],
    ['1,024 characters under re', "re(claims.region, '😀*')", 'yes', { claims: { region: '😀'.repeat(1024) } }],
    ['null is absent', 'has(claims.dept)', 'no', { claims: { dept: null } }],
    ['a query parameter', "has(query.q) && query.q == 'a b'", 'yes', { call: 'GET /v1/a/x/b?%71=a%20b' }],
    ['a query parameter without a value', "has(query.q) && query.q == ''", 'yes', { call: 'GET /v1/a/x/b?q' }],
    ['a query parameter that is not there', 'has(query.q)', 'no', { call: 'GET /v1/a/x/b?Q=1' }],
    ['one that occurs twice is there', 'has(query.q)', 'yes', { call: 'GET /v1/a/x/b?q=1&q=2' }],
    ['one whose value has two readings is there', 'has(query.q)', 'yes', { call: 'GET /v1/a/x/b?q=1+2;x' }],
    ['a semicolon elsewhere', "has(query.q) && query.q == 'a'", 'yes', { call: 'GET /v1/a/x/b?q=a&x=1;y=2' }],
    ['a header, without the blanks around it', "'x-a' in header && header['x-a'] == 'a b'", 'yes', { headers: ['x-a', ' \ta b '] }],
    ['a header that is empty is not there', "'x-a' in header", 'no', { headers: ['x-a', ' '] }],
    ['a header that occurs twice is there', "'x-a' in header", 'yes', { headers: ['x-a', '1', 'x-a', '2'] }],
    ['another header', "'x-a' in header", 'no', { headers: ['x-b', '1'] }],
  ])('%s', (_, text, expected, asked) => {
    expect(sides(text, asked)).toBe(expected)
  })
})

describe('names that mean something to JavaScript', () => {
  const tokens: readonly Record<string, unknown>[] = [base, { ...base, constructor: 'a', toString: ['a'] }]
  it.each<[string, readonly string[]]>([
    ['has(claims.constructor)', ['no', 'yes']],
    ["has(claims.constructor) && claims.constructor == 'a'", ['no', 'yes']],
    ["has(claims.toString) && 'a' in claims.toString", ['no', 'yes']],
    ["'__proto__' in query", ['no', 'no']],
    ["has(query.toString) && query.toString == 'a'", ['no', 'no']],
    ["'constructor' in header || 'tostring' in header", ['no', 'no']],
    ["claims.groups.exists(constructor, constructor == 'lead')", ['yes', 'yes']],
  ])('%s', (text, expected) => {
    expect(tokens.map(given => sides(text, { claims: given }))).toEqual(expected)
  })
  it('are found where a request has them', () => {
    expect(sides("'__proto__' in query && query['__proto__'] == 'a'", { call: 'GET /v1/a/x/b?__proto__=a' })).toBe('yes')
    expect(sides("'constructor' in header && header.constructor == 'a'", { headers: ['constructor', 'a'] })).toBe('yes')
  })
  it('cannot be declared where an object cannot carry them', () => {
    const { findings } = load([platformFile(), file('acme.policy.yaml', before.replace('vip: bool', '__proto__: bool') + to)])
    expect(findings.map(finding => finding.code)).toContain('P206')
  })
})

describe('patterns', () => {
  it.each<[string, string, boolean]>([
    ['lit*', 'literal', true],
    ['lit*', 'alit', false],
    ['*lit', 'alit', true],
    ['?', '😀', true],
    ['?', 'e\u0301', false],
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['a*b*c', 'aXbYbZc', true],
    ['a*b*c', 'aXbYbZcd', false],
    ['a.c', 'abc', false],
    ['[a]', '[a]', true],
    ['\\*', '\\x', true],
  ])('glob %s of %s', (pattern, text, expected) => {
    expect(glob(pattern)(text)).toBe(expected)
  })

  it.each(['(a+)+$', '(a|aa)+$', '(.*a){12}', '(a*)*b'])('%s takes a step for each character, not for each way to read them', pattern => {
    // A native RegExp needs longer than this test may run for 30 characters.
    expect(expression(pattern)(`${'a'.repeat(1023)}b`)).toBe(pattern === '(a*)*b')
  })

  it('the worst glob on the longest text is done before a test would time out, two hundred times over', () => {
    const worst = glob(`${'*a'.repeat(99)}b`)
    for (let i = 0; i < 200; i++) expect(worst('a'.repeat(1024))).toBe(false)
  })
})
