import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { PolicyFile } from '../../../src/policy/compose.ts'
import { lintPolicies } from '../../../src/policy/tools/lint.ts'
import { composed, facts, file, platformFile } from './fixtures.ts'
import { askedOf, chance, policyFile, policyOf } from './generate.ts'

const now = Date.parse('2026-11-23T10:00:00Z')

const head = `postern: policy/v1
tenant: acme
owners: [a@example.com]
recognise: { issuer: [https://idp.example, https://two.example], audience: api, claims: { tid: acme } }
`
const claims = 'claims: { groups: list<string>, dept: "string?" }\n'
const who = `who:
  staff: { groups: [staff, lead] }
  leads: { groups: [lead] }
  sales: { claims: { dept: sales } }
  bot:   { agent: bot, max-hops: 1 }
  bots:  { agent: any }
`
const everybody = '  - { deny: used, why: w, who: [staff, leads, sales, bots], except: bot, to: GET HEAD /used }\n'

const linted = (rules: string, extra: Partial<{ top: string; platform: object; files: PolicyFile[] }> = {}): string[] => {
  const { top = head + claims + who, platform = {}, files = [] } = extra
  const all = [platformFile(platform), file('acme.policy.yaml', `${top}rules:\n${rules}`), ...files]
  const composition = composed(all)
  const { onDisk } = composition.entries.get('acme') ?? {}
  expect(onDisk?.findings, 'the policy is valid').toEqual([])
  return lintPolicies(composition, all, now).map(f => `${f.line}:${f.column} ${f.code} ${f.message}`)
}

const base = (head + claims + who).split('\n').length
/** A rule on a line of its own, the first in line 13. */
const rule = (text: string): string => `  - { ${text}, why: w }\n`
const codes = (rules: string, extra?: Parameters<typeof linted>[1]): string[] =>
  linted(rules + everybody, extra).map(found => found.split(' ').slice(0, 2).join(' '))

describe('W801, a rule that can never decide', () => {
  const shadowed = (wide: string, narrow: string): boolean => {
    const found = codes(rule(wide) + rule(narrow)).filter(code => code.endsWith('W801'))
    expect(found.every(code => code.startsWith(`${base + 2}:`))).toBe(true)
    return found.length > 0
  }

  it('says which rule takes its requests, and what to do', () => {
    expect(linted(rule('allow: a, who: staff, to: ANY /v1/**') + rule('allow: b, who: leads, to: GET HEAD /v1/x') + everybody)).toEqual([
      `${base + 2}:7 W801 b can never decide: a (line ${base + 1}) stands before it and matches whenever it does. Move it above, narrow a, or remove the rule.`,
    ])
    expect(linted(rule('allow: a, who: leads, to: GET /v1/x') + rule('deny: d, who: staff, to: ANY /v1/**') + everybody)).toEqual([
      `${base + 1}:7 W801 a can never decide: the deny d (line ${base + 2}) refuses all that it allows. Narrow d, for example by except, or remove the rule.`,
    ])
  })

  it.each([
    ['a literal under a variable', 'deny: a, who: staff, to: "GET HEAD /v1/{x}"', 'deny: b, who: staff, to: GET HEAD /v1/y'],
    ['lines that cover together', 'allow: a, who: staff, to: [GET /a, HEAD /a]', 'allow: b, who: staff, to: GET HEAD /a'],
    ['a trailing slash under a deny', 'deny: a, who: staff, to: ANY /v1/a', 'deny: b, who: staff, to: ANY /v1/a/'],
    [
      'one window within another',
      'allow: a, who: staff, to: GET /a, from: 2026-11-01',
      'allow: b, who: staff, to: GET /a, from: 2026-11-02',
    ],
    [
      'addresses within addresses',
      'allow: a, who: staff, to: GET /a, when: { ip-in: 10.0.0.0/8 }',
      'allow: b, who: staff, to: GET /a, when: { ip-in: [10.1.0.0/16, 10.2.0.7] }',
    ],
    [
      'one header value of two',
      'allow: a, who: staff, to: GET /a, when: { header: { x: [on, off] } }',
      'allow: b, who: staff, to: GET /a, when: { header: { x: on } }',
    ],
    [
      'a range within a range',
      'allow: a, who: staff, to: GET /a, when: { query: { n: 1.. } }',
      'allow: b, who: staff, to: GET /a, when: { query: { n: 2..9 } }',
    ],
    [
      'a time within a time',
      'allow: a, who: staff, to: GET /a, when: { time: { zone: UTC, between: "18:00-06:00" } }',
      'allow: b, who: staff, to: GET /a, when: { time: { zone: UTC, between: "23:00-01:00", days: mon-fri } }',
    ],
    [
      'fewer exceptions before more',
      'allow: a, who: staff, except: sales, to: GET /a',
      'allow: b, who: staff, except: [leads, sales], to: GET /a',
    ],
    ['anyone, in person', 'allow: a, who: anyone, to: GET /a', 'allow: b, who: leads, to: GET /a'],
    ['an agent under any agent', 'deny: a, who: bots, to: GET HEAD /a', 'deny: b, who: bots, to: GET HEAD /a'],
    ['anyone, of a deny also agents', 'deny: a, who: anyone, to: GET HEAD /a', 'deny: b, who: bots, to: GET HEAD /a'],
    ['shadow under shadow', 'allow: a, who: staff, to: GET /a, mode: shadow', 'allow: b, who: staff, to: GET /a, mode: shadow'],
    [
      'the same check in other spelling, on a narrower path with its variable in the same place',
      'allow: a, who: staff, to: "GET HEAD /{site}/**", when: { check: "has(claims.dept) && path.site == claims.dept" }',
      'allow: b, who: staff, to: "GET /{site}/b", when: { check: "has(claims.dept)  && (path.site == claims.dept)" }',
    ],
    [
      'a check that asks for more',
      'deny: a, who: staff, to: GET HEAD /a, when: { check: "has(query.n)" }',
      `allow: b, who: staff, to: GET /a, when: { check: "method == 'GET' && has(query.n) && query.n == '1'" }`,
    ],
    ['a narrower sign-in', 'allow: a, who: staff, to: GET /a, needs-login: { acr: x }', 'allow: b, who: staff, to: GET /a'],
  ])('finds %s', (_, wide, narrow) => expect(shadowed(wide, narrow)).toBe(true))

  it.each([
    ['a longer path', 'allow: a, who: staff, to: GET /a', 'allow: b, who: staff, to: GET /a/**'],
    ['another name', 'allow: a, who: staff, to: GET /a', 'allow: b, who: staff, to: GET /b'],
    ['a variable under a literal', 'allow: a, who: staff, to: GET /a', 'allow: b, who: staff, to: "GET /{x}"'],
    ['one line of two', 'allow: a, who: staff, to: GET /a', 'allow: b, who: staff, to: [GET /a, GET /b]'],
    ['a method more', 'allow: a, who: staff, to: GET /a', 'allow: b, who: staff, to: GET HEAD /a'],
    ['a trailing slash under an allow', 'allow: a, who: staff, to: "GET /{x}"', 'allow: b, who: staff, to: GET /a/'],
    ['a trailing slash in a second line', 'allow: a, who: staff, to: [GET /x, "GET /{y}"]', 'allow: b, who: staff, to: [GET /x, GET /a/]'],
    ['a group more', 'allow: a, who: leads, to: GET /a', 'allow: b, who: staff, to: GET /a'],
    ['an agent under anyone', 'allow: a, who: anyone, to: GET /a', 'allow: b, who: bot, to: GET /a'],
    ['an exception', 'allow: a, who: staff, except: sales, to: GET /a', 'allow: b, who: staff, to: GET /a'],
    ['an end', 'allow: a, who: staff, to: GET /a, until: 2027-01-01T00:00:00Z', 'allow: b, who: staff, to: GET /a'],
    ['a shadow rule before', 'allow: a, who: staff, to: GET /a, mode: shadow', 'allow: b, who: staff, to: GET /a'],
    [
      'an absent parameter, which fits an allow and not a deny',
      'deny: a, who: staff, to: GET HEAD /a, when: { query: { n: 1..5 } }',
      'allow: b, who: staff, to: GET /a, when: { query: { n: 1..5 } }',
    ],
    [
      'a check that asks for less',
      'allow: a, who: staff, to: GET /a, when: { check: "has(query.n) && has(query.m)" }',
      'allow: b, who: staff, to: GET /a, when: { check: has(query.n) }',
    ],
    ['a check before none', 'allow: a, who: staff, to: GET /a, when: { check: has(query.n) }', 'allow: b, who: staff, to: GET /a'],
    [
      'either of two as both',
      'allow: a, who: staff, to: GET /a, when: { check: "has(query.n) || has(query.m)" }',
      'allow: b, who: staff, to: GET /a, when: { check: "has(query.n) || has(query.k)" }',
    ],
    [
      'a variable of the same name in another place',
      `allow: a, who: staff, to: "GET /{x}/{y}", when: { check: "path.x == 'a'" }`,
      `allow: b, who: staff, to: "GET /{y}/{x}", when: { check: "path.x == 'a'" }`,
    ],
    [
      'another zone',
      'allow: a, who: staff, to: GET /a, when: { time: { zone: UTC, days: mon } }',
      'allow: b, who: staff, to: GET /a, when: { time: { zone: Europe/Rome, days: mon } }',
    ],
  ])('does not take %s for covered', (_, wide, narrow) => expect(shadowed(wide, narrow)).toBe(false))

  it('finds an allow whose callers or addresses its own words take away', () => {
    expect(codes(rule('allow: a, who: leads, except: staff, to: GET /a'))).toEqual([`${base + 1}:29 W801`])
    expect(codes(rule('allow: a, who: staff, except: leads, to: GET /a'))).toEqual([])
    expect(codes(rule('allow: a, who: staff, to: GET /a, when: { ip-in: 10.1.0.0/16, ip-not-in: 10.0.0.0/8 }'))).toEqual([
      `${base + 1}:69 W801`,
    ])
    // A deny in doubt matches: of a caller whose groups cannot be read, or from an unknown address.
    expect(codes(rule('deny: d, who: leads, except: staff, to: GET HEAD /a'))).toEqual([])
  })

  it('finds what the platform file refuses, but compares no claims of two files', () => {
    const platform = (by: string) => ({
      claims: { groups: 'list<string>' },
      who: { staff: { groups: ['staff', 'lead'] } },
      rules: [{ deny: 'above', why: 'w', who: by, to: 'ANY /v1/admin/**' }],
    })
    const rules = rule('allow: a, who: leads, to: GET /v1/admin/users')
    expect(linted(rules + everybody, { platform: platform('anyone') }).filter(f => f.includes('W801'))).toEqual([
      `${base + 1}:7 W801 a can never decide: the deny above (_platform.policy.yaml:1) refuses all that it allows. Narrow above, for example by except, or remove the rule.`,
    ])
    expect(codes(rules, { platform: platform('staff') }).filter(f => f.includes('W801'))).toEqual([])
  })

  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const policies = Number(process.env['POLICIES'] ?? 300)
  it(`never finds a rule that decides: ${policies} generated policies, 200 requests each (SEED=${seed})`, () => {
    const c = chance(seed)
    let found = 0
    for (let i = 0; i < policies; i++) {
      const policy = policyOf(c)
      const files = [platformFile(), policyFile(policy)]
      const composition = composed(files)
      const dead = new Set(
        lintPolicies(composition, files, now).flatMap(({ code, message }) => (code === 'W801' ? (message.split(' ', 1)[0] ?? '') : [])),
      )
      found += dead.size
      for (let k = 0; dead.size > 0 && k < 200; k++) {
        const asked = askedOf(c)
        const decision = composition.engine.decide(facts(asked))
        const by = [decision.effect === 'allow' ? decision.permit.rule : decision.reason, decision.shadow?.rule ?? '']
        expect(
          by.filter(name => dead.has(name)),
          JSON.stringify({ policy, asked }),
        ).toEqual([])
      }
    }
    expect(found).toBeGreaterThan(50)
  })

  it('is bounded: 2 MiB of rules that all but cover one another take less than 3 s of a processor', () => {
    const lines = Array.from({ length: 30 }, (_, i) => `ANY /a${i}`).join(', ')
    const rules = Array.from(
      { length: 4000 },
      (_, i) => `  - { allow: r${i}, why: w, who: staff, to: [${lines}, "ANY /{x}", GET /${i}] }\n`,
    )
    const text = `${head}${claims}${who}rules:\n${rules.join('')}`
    const files = [platformFile(), file('acme.policy.yaml', text.slice(0, text.lastIndexOf('\n', 2 * 1024 * 1024) + 1))]
    const composition = composed(files)
    const start = process.cpuUsage()
    expect(lintPolicies(composition, files, now).map(f => f.code)).toContain('W810')
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(3000)
  }, 180_000)
})

describe('W802, two allows that the order chooses between', () => {
  const role = (name: string): string => `then: { cassandra-role: acme_${name} }`
  const two = (a: string, b: string): string[] => codes(rule(`allow: a, ${a}`) + rule(`allow: b, ${b}`))
  const at = `${base + 1}:7 W802`

  it('says both, what each hands out, and what to do', () => {
    const rules =
      rule(`allow: a, who: staff, to: GET /v1/a, ${role('ro')}`) + rule('allow: b, who: sales, to: GET /v1/**, needs-login: { acr: x }')
    expect(linted(rules + everybody)).toEqual([
      `${base + 1}:7 W802 some requests fit a (role acme_ro) and b (line ${base + 2}; needs-login x), and the first of the two decides. Make them exclude each other, for example by except, or give both the same.`,
    ])
  })

  it('needs a request of both, different obligations, and neither within the other', () => {
    const [staff, sales] = [`who: staff, to: GET /v1/a, ${role('ro')}`, `who: sales, to: GET /v1/a, ${role('rw')}`]
    expect(two(staff, sales)).toEqual([at])
    expect(two(staff, sales.replace('_rw', '_ro'))).toEqual([])
    expect(two(staff, sales.replace('who: sales', 'who: sales, except: staff'))).toEqual([])
    expect(two(staff, sales.replace('/v1/a', '/v1/b'))).toEqual([])
    expect(two(staff, sales.replace('GET /v1/a', '"GET /v1/{x}"'))).toEqual([at])
    expect(two(staff, `who: bot, to: GET /v1/a, ${role('rw')}`)).toEqual([])
    expect(two(`who: leads, to: GET /v1/a, ${role('rw')}`, staff)).toEqual([])
    expect(two(staff, `who: leads, to: GET /v1/a, ${role('rw')}`)).toEqual([`${base + 2}:7 W801`])
    expect(two(staff, `${sales}, mode: shadow`)).toEqual([])
    const query = (text: string) => `, when: { query: { ${text} } }`
    expect(two(staff + query('f: csv'), sales + query('f: json'))).toEqual([at])
    expect(two(staff + query('f: present'), sales + query('f: absent'))).toEqual([])
    const header = (text: string) => `, when: { header: { x: ${text} } }`
    expect(two(staff + header('a'), sales + header('b'))).toEqual([])
    expect(two(staff + header('a'), sales + header('present'))).toEqual([at])
    const ip = (text: string) => `, when: { ip-in: ${text} }`
    expect(two(staff + ip('10.0.0.0/8'), sales + ip('192.0.2.0/24'))).toEqual([])
    expect(two(staff + ip('10.0.0.0/8'), sales + ip('10.9.0.0/16'))).toEqual([at])
    const days = (text: string) => `, when: { time: { zone: UTC, days: ${text} } }`
    expect(two(staff + days('mon'), sales + days('tue'))).toEqual([])
    expect(two(staff + days('mon'), sales + days('mon-fri'))).toEqual([at])
  })
})

describe('lints of one rule', () => {
  it('W803 before an end, W804 after it, W811 of a deny, at the key and by the clock that is given', () => {
    const until = (moment: string, effect = 'allow') =>
      linted(`  - { ${effect}: a, why: w, who: staff, to: GET HEAD /a, until: "${moment}" }\n${everybody}`)
    expect(until('2026-12-07T10:00:00Z')).toEqual([
      `${base + 1}:54 W803 a ends in 14 days, at 2026-12-07T10:00:00Z. Ask its owner, and write a later moment or remove the rule then.`,
    ])
    expect(until('2026-12-07T10:00:01Z')).toEqual([])
    expect(until('2026-11-23T11:00:01+01:00')).toEqual([expect.stringContaining('W803 a ends in less than a day, at 2026-11-23T10:00:01Z')])
    expect(until('2026-11-23T10:00:00Z')).toEqual([
      `${base + 1}:54 W804 a ended at 2026-11-23T10:00:00Z. Remove the rule, or write a later moment.`,
    ])
    expect(until('2027-11-23T10:00:00Z', 'deny')).toEqual([expect.stringMatching(/:53 W811 the deny a ends by itself .* Remove until/)])
    expect(until('2025-11-23T10:00:00Z', 'deny')).toEqual([expect.stringContaining('W804')])
  })

  it('W805 unused names, but not those that a promise of the tests is about', () => {
    const top = head + claims + who
    const rules = rule('allow: a, who: staff, to: GET /a')
    expect(linted(rules, { top })).toEqual([
      '8:3 W805 no rule and no other name uses leads. Remove it, or use it.',
      '9:3 W805 no rule and no other name uses sales. Remove it, or use it.',
      '10:3 W805 no rule and no other name uses bot. Remove it, or use it.',
      '11:3 W805 no rule and no other name uses bots. Remove it, or use it.',
    ])
    const never = file('acme.policy-test.yaml', 'never:\n  - leads GET /v1/**\n  - bots GET /v1/**\n')
    expect(linted(rules, { top, files: [never] })).toHaveLength(2)
    expect(linted(rules, { top: `${head}claims: { groups: list<string>, dept: string }\nwho: { staff: { groups: staff } }\n` })).toEqual([
      '5:33 W805 nothing reads the claim dept. Remove it, or use it.',
    ])
    expect(
      linted(rule('allow: a, who: work, to: GET /a'), {
        top: `${head}claims: { groups: list<string> }\nwho: { staff: { groups: staff }, work: { agent: x, max-hops: 1, for: staff } }\n`,
      }),
    ).toEqual([])
  })

  it('W807 an agent in an allow without max-hops, at the name in the rule; the exception of a deny and a bounded one are none', () => {
    expect(linted(rule('allow: a, who: [staff, bots], to: GET /a') + everybody)).toEqual([
      `${base + 1}:30 W807 bots (line 11) lets an agent act through any number of others. Add max-hops: 1 there; for a deny, define a second name without it.`,
    ])
    expect(codes(rule('allow: a, who: bot, to: GET /a'))).toEqual([])
    expect(codes(rule('allow: a, who: staff, except: bots, to: GET /a'))).toEqual([])
  })

  it('W808 a deny of GET without HEAD, where HEAD would be allowed', () => {
    const allow = rule('allow: a, who: staff, to: GET HEAD /v1/**')
    const deny = (text: string) => rule(`deny: d, who: sales, ${text}`)
    expect(linted(deny('to: "GET /v1/{x}"') + allow + everybody)).toEqual([
      `${base + 1}:32 W808 d refuses GET /v1/{x} but not HEAD, which tells about the same. Write GET HEAD.`,
    ])
    expect(codes(deny('to: [GET /v1/x, HEAD /v1/**]') + allow)).toEqual([])
    expect(codes(deny('to: GET /v1/x') + rule('allow: a, who: staff, to: GET /v1/**'))).toEqual([])
    expect(codes(deny('to: GET /v1/x') + rule('deny: e, who: sales, to: HEAD /v1/**') + allow)).toEqual([])
    expect(codes(deny('to: GET /v1/x') + rule('deny: e, who: leads, to: HEAD /v1/**') + allow)).toEqual([`${base + 1}:32 W808`])
    const platform = { rules: [{ deny: 'p', why: 'w', who: 'anyone', to: 'GET /v1/x' }] }
    expect(codes(allow, { platform })).toEqual(['1:123 W808'])
  })

  it('W809 a subject while several issuers are recognised, unless its issuer stands beside it', () => {
    const top = (definition: string, issuer = '[https://idp.example, https://two.example]') =>
      `${head.replace('[https://idp.example, https://two.example]', issuer)}who: { kpmg: ${definition} }\n`
    const rules = rule('allow: a, who: kpmg, to: GET /a')
    expect(linted(rules, { top: top('{ subject: k }') })).toEqual([
      '5:16 W809 kpmg names a subject, but 2 issuers are recognised and each may give out that sub. Add issuer beside it.',
    ])
    expect(linted(rules, { top: top('[{ subject: k, issuer: https://idp.example }, { scopes: x }, { subject: k }]') })).toEqual([
      expect.stringMatching(/^5:77 W809/),
    ])
    expect(linted(rules, { top: top('{ subject: k }', 'https://idp.example') })).toEqual([])
  })

  it('W810 over 64 candidates on a route, once, at the worst', () => {
    const many = (n: number) =>
      Array.from({ length: n }, (_, i) => rule(`deny: d${i}, who: sales, to: ANY /v1/**, when: { header: { x: a${i} } }`)).join('')
    expect(codes(many(64))).toEqual([])
    expect(linted(many(64) + rule('allow: a, who: leads, to: GET /v1/x') + everybody)).toEqual([
      `${base + 65}:33 W810 65 rules are candidates for GET /v1/x; each of its requests pays for them. Write narrower paths, or one rule with a list under who.`,
    ])
  })

  it('W812 everything to everybody; any word that narrows it is enough', () => {
    const breadth = (text: string) => codes(rule(`allow: a, ${text}`)).map(found => found.split(' ')[1])
    expect(linted(rule('allow: a, who: anyone, to: ANY /v1/**') + everybody)).toEqual([
      `${base + 1}:34 W812 a lets anyone do everything below /v1. Name the callers, the methods or the paths.`,
    ])
    for (const text of [
      'who: staff, to: ANY /**',
      'who: anyone, to: GET /**',
      'who: anyone, to: ANY /a',
      'who: anyone, to: ANY /**, mode: shadow',
      'who: anyone, to: ANY /**, when: { ip-in: 10.0.0.0/8 }',
      'who: anyone, to: ANY /**, needs-login: { acr: x }',
    ])
      expect(breadth(text), text).toEqual([])
  })
})

describe('our own policies', () => {
  it('have no lint, and the example of the specification none before its audit window nears its end', () => {
    const read = (folder: string, name: string): PolicyFile => ({
      name,
      bytes: readFileSync(new URL(`../../../${folder}/${name}`, import.meta.url)),
    })
    const own = readdirSync(new URL('../../../policies', import.meta.url)).flatMap(name =>
      name.endsWith('.yaml') ? read('policies', name) : [],
    )
    expect(lintPolicies(composed(own), own, now)).toEqual([])
    const example = read('test/support/conformance', 'acme.policy.yaml')
    const files = [platformFile(), example]
    const at = (moment: string) => lintPolicies(composed(files), files, Date.parse(moment)).map(f => `${f.code} ${f.message.split('.')[0]}`)
    expect(at('2026-11-23T10:00:00Z')).toEqual([])
    expect(at('2026-12-07T10:00:00Z')).toContainEqual(expect.stringContaining('W803 year-end-audit ends in 13 days'))
  })
})
