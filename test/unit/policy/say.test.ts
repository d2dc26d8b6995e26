import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Check, Expr } from '../../../src/policy/check/ast.ts'
import type { PolicyFile } from '../../../src/policy/compose.ts'
import type { PolicyDocument } from '../../../src/policy/language/read.ts'
import type { Rule } from '../../../src/policy/language/rule.ts'
import { sayPolicy, sayRule } from '../../../src/policy/tools/say.ts'
import { sayCheck } from '../../../src/policy/tools/say-check.ts'
import { allow, composed, deny, file, platformFile, tenantFile } from './fixtures.ts'
import { chance, policyFile, policyOf } from './generate.ts'

const versionOf = (files: readonly PolicyFile[], tenant = 'acme') => {
  const composition = composed(files)
  const version = tenant === '_platform' ? composition.platform : composition.entries.get(tenant)?.onDisk
  if (!version?.policy) throw new Error(JSON.stringify(version?.findings))
  return { tenant, document: version.policy.document, recognise: version.recognise }
}
const documentOf = (policy: object): PolicyDocument => versionOf([platformFile(), tenantFile('acme', policy)]).document
const saidOf = (files: readonly PolicyFile[], tenant = 'acme'): string => {
  const { document, recognise } = versionOf(files, tenant)
  return sayPolicy(tenant, document, recognise)
    .map(({ effect, rule, text }) => `${rule === null ? '' : `${effect} ${rule}: `}${text}\n`)
    .join('')
}
const sentence = (rule: object, extra: object = {}): string => {
  const document = documentOf({ ...extra, rules: [rule] })
  const [one] = document.rules
  if (one === undefined) throw new Error('no rule')
  return sayRule(one, document).replace(/ Why: "w"$/, '')
}

const span = { from: 0, to: 0 }
const text = (value: string): Expr => ({ ...span, type: 'string', kind: 'literal', value })
const number = (value: number): Expr => ({ ...span, type: 'number', kind: 'literal', value })
const claim = (name: string, type: Expr['type'] = 'string'): Expr => ({ ...span, type, kind: 'read', of: 'claims', name })
const path = (name: string): Expr => ({ ...span, type: 'string', kind: 'read', of: 'path', name })
const bool = (expr: object): Expr => ({ ...span, type: 'bool', ...expr }) as Expr
const has = (name: string): Expr => bool({ kind: 'has', of: 'claims', name })
const both = (left: Expr, right: Expr): Expr => bool({ kind: 'and', left, right })
const any = (left: Expr, right: Expr): Expr => bool({ kind: 'or', left, right })
const is = (left: Expr, right: Expr): Expr => bool({ kind: 'compare', op: '==', left, right })
const not = (operand: Expr): Expr => bool({ kind: 'not', operand })
const check = (root: Expr, source = 'source'): Check => ({
  text: source,
  root,
  reads: { claims: [], path: [], query: [], header: [], facts: [] },
})
const ownAccount = both(has('accounts'), bool({ kind: 'in', item: path('account'), list: claim('accounts', 'list<string>') }))
const ownRegion = bool({
  kind: 'text',
  op: 'startsWith',
  subject: path('account'),
  part: { ...span, type: 'string', kind: 'join', left: claim('region'), right: text('-') },
})

describe('say, on the example of the specification', () => {
  const source = readFileSync(new URL('../../support/conformance/acme.policy.yaml', import.meta.url), 'utf8')
  const { document, recognise } = versionOf([platformFile(), file('acme.policy.yaml', source)])

  it('gives the sentences that were read and approved', async () => {
    const said = sayPolicy('acme', document, recognise)
    const lines = said.map(({ effect, rule, text: words }) => `${rule === null ? '' : `${effect} ${rule}: `}${words}`)
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('../../support/conformance/acme.said.txt')
  })
})

describe('a sentence says', () => {
  const who = {
    claims: { groups: 'list<string>', dept: 'string?', level: 'number?', tags: 'list<string>?' },
    who: {
      staff: { groups: ['a', 'b'] },
      sales: { claims: { dept: 'sales', level: [1, 2], tags: 'x' }, scopes: 'read', issuer: 'https://idp.example' },
      kpmg: { subject: ['s|1'] },
      some: ['staff', { subject: 'eve' }],
      bot: { agent: ['bot', 'robot'], for: 'staff', 'max-hops': 2, issuer: 'https://idp.example' },
      near: { agent: 'any', 'max-hops': 1 },
      mixed: ['kpmg', 'bot'],
    },
  }
  it.each([
    ['staff', 'staff (in group "a" or "b", acting in person) may GET /v1/a.'],
    [
      'sales',
      'sales (with scope "read", with issuer "https://idp.example", with claim dept "sales", with claim level 1 or 2, with claim tags containing "x", acting in person) may GET /v1/a.',
    ],
    ['some', 'some (staff (in group "a" or "b", acting in person); or with subject "eve", acting in person) may GET /v1/a.'],
    [
      'bot',
      'bot (agent "bot" or "robot" acting for staff (in group "a" or "b"), at most 2 agents in the chain, with issuer "https://idp.example") may GET /v1/a.',
    ],
    ['near', 'near (any agent acting for anyone, directly, no further agent in between) may GET /v1/a.'],
    ['anyone', 'anyone (acting in person) may GET /v1/a.'],
    [['kpmg', 'staff'], 'kpmg (with subject "s|1", acting in person) or staff (in group "a" or "b", acting in person) may GET /v1/a.'],
  ])('who may, for %j', (name, words) => {
    expect(sentence(allow('r', { who: name }), who)).toBe(`${words} The backend gets no Cassandra role.`)
  })

  it('that a refusal follows a person through agents, and an exception to it does not', () => {
    expect(sentence(deny('r', { who: 'staff', except: 'kpmg' }), who)).toBe(
      'It is refused to staff (in group "a" or "b", in person or behind any agent), except kpmg (with subject "s|1", acting in person), to GET /v1/a.',
    )
    expect(sentence(allow('r', { who: 'staff', except: 'kpmg' }), who)).toContain(
      ', except kpmg (with subject "s|1", in person or behind any agent), may GET',
    )
  })

  it.each([
    [{ 'ip-in': ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1'] }, 'the client address is in 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1'],
    [{ 'ip-not-in': '0.0.0.0/0' }, 'the client address is outside 0.0.0.0/0'],
    [{ header: { 'x-a': 'present' } }, 'header x-a is sent and never empty'],
    [{ header: { 'x-a': 'absent' } }, 'header x-a is not sent, or always empty'],
    [{ header: { 'x-a': ['present'] } }, 'header x-a is sent and always "present"'],
    [{ query: { q: 'present' } }, 'query parameter "q" is given'],
    [{ query: { q: 'absent' } }, 'query parameter "q" is not given'],
    [{ query: { q: ['1..5', 'b'] } }, null],
    [{ query: { q: ['a', 'b'] } }, 'query parameter "q", if given, is always "a" or "b"'],
    [{ query: { q: '1..5' } }, 'query parameter "q", if given, is always a whole number from 1 to 5'],
    [{ query: { q: '..-5' } }, 'query parameter "q", if given, is always a whole number of at most -5'],
    [{ query: { q: '0..' } }, 'query parameter "q", if given, is always a whole number of at least 0'],
    [
      { time: { zone: 'Europe/Rome', days: ['mon-fri', 'sun'], 'month-days': ['28-31', 1], between: ['18:00-06:00', '08:00-09:30'] } },
      'it is asked on Monday to Friday or Sunday, on day 1 or 28 to 31 of the month, from 18:00 until 06:00 past midnight or from 08:00 until 09:30, Europe/Rome time',
    ],
  ])('when, of an allow: %j', (when, words) => {
    if (words === null) expect(() => sentence(allow('r', { when }))).toThrow()
    else
      expect(sentence(allow('r', { when }))).toBe(
        `anyone (acting in person) may GET /v1/a, if ${words}. The backend gets no Cassandra role.`,
      )
  })

  it.each([
    [{ header: { 'x-a': 'present' } }, 'one header x-a at least is not empty'],
    [{ header: { 'x-a': 'absent' } }, 'header x-a is not sent, or empty at least once'],
    [{ header: { 'x-a': ['on'] } }, 'one header x-a at least is "on"'],
    [{ query: { q: ['a'] } }, 'one query parameter "q" at least is "a"'],
    [{ query: { q: '1..5' } }, 'one query parameter "q" at least is a whole number from 1 to 5'],
  ])('when, of a deny: one that fits is enough: %j', (when, words) => {
    expect(sentence(deny('r', { when }))).toBe(`It is refused to anyone (in person or behind any agent) to GET /v1/a, if ${words}.`)
  })

  it('routes, spans of time, sign-in, role, limits, hidden members and trial', () => {
    const rule = allow('r', {
      to: ['GET HEAD /v1/{a}', 'ANY /v2/**', 'PUT /'],
      from: '2026-01-01',
      until: '2026-12-01T00:00:00+01:00',
      mode: 'shadow',
      when: { 'ip-in': '10.0.0.0/8', header: { 'x-a': 'present' } },
      'needs-login': { acr: ['x', 'y'], amr: 'hwk', within: '15m' },
      // biome-ignore lint/suspicious/noThenProperty: the key of the format; no rule is ever awaited
      then: { 'cassandra-role': 'acme_rw', limit: ['20/min per caller', '1/s per tenant'], hide: ['$.a', '$..b'] },
    })
    expect(sentence(rule)).toBe(
      'On trial, recorded and never enforced: anyone (acting in person) may GET or HEAD /v1/{a}, or use any method on /v2/**, or PUT /, ' +
        'each from 2026-01-01T00:00:00Z on, until just before 2026-11-30T23:00:00Z, if the client address is in 10.0.0.0/8, and if header x-a is sent and never empty. ' +
        'The person must have signed in with acr "x" or "y", by means of "hwk" and at most 15m before; otherwise they are asked to sign in again. ' +
        'At most 20 a minute for each caller, counted over this rule, per instance. At most 1 a second for the tenant together, counted over this rule, per instance. ' +
        'Removed from JSON replies: "$.a" and "$..b"; this does not stop filtering or sorting by them. Runs as Cassandra role acme_rw.',
    )
  })

  it('until when refusals are let pass, and that the platform is not observed', () => {
    const said = saidOf([platformFile(), tenantFile('acme', { mode: { 'observe-until': '2026-12-01T00:00:00Z' }, rules: [allow('r')] })])
    expect(said).toContain('\nUntil just before 2026-12-01T00:00:00Z, what the rules of acme refuse is recorded and let pass all the same,')
    expect(said).toContain('without a Cassandra role; what the platform refuses is refused.\n')
    expect(saidOf([platformFile(), tenantFile('acme', { rules: [allow('r')] })])).not.toContain('let pass')
  })

  it('of the platform that it holds for every tenant, and which roles it shares', () => {
    const platform = platformFile({ rules: [deny('d')], 'shared-roles': ['shared_ro'], always: { limit: ['5/s per tenant'] } })
    const said = saidOf([platform], '_platform')
    expect(said).toMatch(/^These rules hold for every tenant, before its own; no rule of a tenant undoes one of them\.\n/)
    expect(said).toContain('Every tenant may name Cassandra role shared_ro.')
    expect(said).toContain(
      'For every allowed request of every tenant: At most 5 a second for the tenant together, counted over all rules of each tenant',
    )
  })
})

describe('a check in words', () => {
  const local = { ...span, type: 'string', kind: 'local', name: 'g' } as const
  const rows: readonly (readonly [string, Expr, string])[] = [
    ['in', ownAccount, 'the claim accounts is there and {account} is one of the claim accounts'],
    ['startsWith', ownRegion, '{account} begins with (the claim region followed by "-")'],
    ['not has', not(has('x')), 'the claim x is absent'],
    ['not', not(is(claim('x'), text('a'))), 'not (the claim x is "a")'],
    ['a chain', both(both(has('a'), has('b')), has('c')), 'the claim a is there and the claim b is there and the claim c is there'],
    ['and in or', any(has('a'), both(has('b'), has('c'))), 'the claim a is there or (the claim b is there and the claim c is there)'],
    ['or in and', both(any(has('a'), has('b')), has('c')), '(the claim a is there or the claim b is there) and the claim c is there'],
    ['bool claim', claim('vip', 'bool'), 'the claim vip is true'],
    ['literal', bool({ kind: 'literal', value: false }), 'it is false'],
    ['compare', bool({ kind: 'compare', op: '>=', left: claim('n', 'number'), right: number(3) }), 'the claim n is at least 3'],
    [
      'size',
      bool({ kind: 'compare', op: '<', left: { ...span, type: 'number', kind: 'size', of: claim('s') }, right: number(3) }),
      'the number of characters of the claim s is less than 3',
    ],
    [
      'size of a list',
      bool({
        kind: 'compare',
        op: '!=',
        left: { ...span, type: 'number', kind: 'size', of: claim('l', 'list<string>') },
        right: number(0),
      }),
      'the number of entries of the claim l is not 0',
    ],
    ['method', is({ ...span, type: 'string', kind: 'fact', name: 'method' }, text('PUT')), 'the method is "PUT"'],
    [
      'a list',
      bool({
        kind: 'in',
        item: { ...span, type: 'string', kind: 'fact', name: 'subject' },
        list: { ...span, type: 'list<string>', kind: 'list', items: [text('a'), text('b')] },
      }),
      'the subject is one of ["a", "b"]',
    ],
    ['glob', bool({ kind: 'pattern', op: 'glob', subject: path('p'), pattern: 'a*' }), '{p} fits the pattern "a*"'],
    ['re', bool({ kind: 'pattern', op: 're', subject: path('p'), pattern: 'a+' }), '{p} fits the regular expression "a+"'],
    [
      'exists',
      bool({
        kind: 'loop',
        op: 'exists',
        list: claim('gs', 'list<string>'),
        name: 'g',
        body: bool({ kind: 'text', op: 'endsWith', subject: local, part: text('x') }),
      }),
      'some g of the claim gs fits this: (that g ends with "x")',
    ],
    [
      'all',
      bool({
        kind: 'loop',
        op: 'all',
        list: { ...span, type: 'list<string>', kind: 'fact', name: 'scopes' },
        name: 'g',
        body: is(local, text('x')),
      }),
      'every g of the token\'s scopes fits this: (that g is "x")',
    ],
    ['query', bool({ kind: 'has', of: 'query', name: 'a b' }), 'the query parameter "a b" is there'],
    [
      'header',
      bool({
        kind: 'text',
        op: 'contains',
        subject: { ...span, type: 'string', kind: 'read', of: 'header', name: 'x-a' },
        part: text('q'),
      }),
      'the header x-a contains "q"',
    ],
    ['bools compared', is(has('a'), claim('b', 'bool')), '(the claim a is there) is the claim b'],
  ]
  it.each(rows)('%s', (_, root, words) => expect(sayCheck(check(root))).toBe(words))

  it('is quoted where words would be a maze', () => {
    const maze = Array.from({ length: 6 }).reduce<Expr>(
      (inner, __, i) => (i % 2 === 0 ? any(has('a'), inner) : both(has('b'), inner)),
      has('c'),
    )
    expect(sayCheck(check(maze, 'a "b"'))).toBe('the expression "a \\"b\\"" is true')
    const long = Array.from({ length: 40 }).reduce<Expr>(inner => both(inner, has('d')), has('c'))
    expect(sayCheck(check(long, 'long'))).toBe('the expression "long" is true')
  })
})

/** What decides in a rule, with the definitions behind its names in their place. */
const normalised = (rule: Rule, document: PolicyDocument): string => {
  const definition = (name: string): unknown =>
    (document.who.get(name) ?? []).map(part =>
      typeof part === 'string' ? definition(part) : 'agent' in part ? { ...part, for: part.for.map(definition) } : part,
    )
  const { name: _n, why: _w, spot: _s, ...decides } = rule
  const plain = { ...decides, role: rule.role?.name, who: rule.who.map(definition), except: rule.except.map(definition) }
  return JSON.stringify(plain, (_, value) =>
    value instanceof Map || value instanceof Set ? [...value] : value === Infinity ? 'inf' : value === -Infinity ? '-inf' : value,
  )
}

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

describe('rules that decide differently', () => {
  it(`read differently, over generated policies (SEED=${seed})`, () => {
    const c = chance(seed)
    const known = new Map<string, string>()
    for (let i = 0; i < 300; i++) {
      const { document } = versionOf([platformFile(), policyFile(policyOf(c))])
      for (const rule of document.rules) {
        const said = sayRule(rule, document)
        const means = normalised(rule, document)
        expect(known.get(said) ?? means, said).toBe(means)
        known.set(said, means)
      }
    }
    expect(known.size).toBeGreaterThan(500)
  })

  const full = `postern: policy/v1
tenant: acme
owners: [o@example.com]
recognise:
  host: a.example
  issuer: [https://idp.example, https://other.example]
  audience: api
  claims: { tid: acme }
claims:
  groups: list<string>
  dept: string?
who:
  staff: { groups: [g], scopes: [s], subject: [u], issuer: https://idp.example, claims: { dept: x } }
  bot: { agent: [b], for: staff, max-hops: 2, issuer: https://idp.example }
  all: [staff, bot]
always: { hide: [$.z], limit: [9/s per tenant] }
rules:
  - deny: d
    why: w
    who: anyone
    except: all
    to: GET /v1/**
    when: { header: { x-a: "on" }, query: { q: 1..5 } }
  - allow: r
    why: w
    who: all
    to:
      - GET /v1/{x}
      - PUT /v1/y
    from: 2026-01-01
    until: 2026-12-01T00:00:00Z
    when: { ip-in: 10.0.0.0/8, ip-not-in: 10.1.0.0/16, header: { x-b: present }, query: { s: [a, b] }, time: { zone: UTC, days: mon, month-days: 1, between: 01:00-02:00 } }
    needs-login: { acr: high, amr: hwk, within: 15m }
    then: { cassandra-role: acme_rw, hide: [$.y], limit: [8/min per agent] }
`
  const before = saidOf([platformFile(), file('acme.policy.yaml', full)])

  it.each([
    ['host: a.example', 'host: b.example'],
    ['  host: a.example\n', ''],
    [', https://other.example', ''],
    ['audience: api', 'audience: [api, web]'],
    ['tid: acme', 'tid: other'],
    ['groups: list<string>', 'groups: list<string>?'],
    ['dept: string?', 'dept: string? from department'],
    ['dept: string?', 'dept: list<string>?'],
    ['groups: [g]', 'groups: [g, h]'],
    ['scopes: [s], ', ''],
    ['subject: [u], ', ''],
    ['subject: [u], issuer: https://idp.example', 'subject: [u]'],
    ['dept: x', 'dept: y'],
    ['agent: [b]', 'agent: any'],
    ['for: staff, ', ''],
    ['max-hops: 2', 'max-hops: 3'],
    ['max-hops: 2, ', ''],
    ['max-hops: 2, issuer: https://idp.example', 'max-hops: 2'],
    ['all: [staff, bot]', 'all: [bot]'],
    ['hide: [$.z]', 'hide: [$.z, $.q]'],
    ['9/s per tenant', '9/s per caller'],
    ['9/s per tenant', '9/min per tenant'],
    ['who: anyone', 'who: staff'],
    ['    except: all\n', ''],
    ['GET /v1/**', 'GET /v1'],
    ['GET /v1/**', 'HEAD /v1/**'],
    ['x-a: "on"', 'x-a: "off"'],
    ['x-a: "on"', 'x-a: present'],
    ['q: 1..5', 'q: 1..'],
    ['q: 1..5', 'q: absent'],
    ['who: all', 'who: [all, anyone]'],
    ['      - PUT /v1/y\n', ''],
    ['{x}', '{y}'],
    ['    from: 2026-01-01\n', ''],
    ['until: 2026-12-01T00:00:00Z', 'until: 2026-12-01T00:00:00.001Z'],
    ['ip-in: 10.0.0.0/8', 'ip-in: 10.0.0.0/9'],
    ['ip-not-in: 10.1.0.0/16, ', ''],
    ['x-b: present', 'x-b: absent'],
    ['x-b: present', 'x-b: [present]'],
    ['s: [a, b]', 's: [a]'],
    ['s: [a, b]', 's: "a, b"'],
    ['zone: UTC', 'zone: Europe/Rome'],
    ['days: mon', 'days: mon-tue'],
    ['month-days: 1,', 'month-days: 2,'],
    ['01:00-02:00', '02:00-01:00'],
    ['acr: high', 'acr: [high, low]'],
    ['amr: hwk, ', ''],
    ['within: 15m', 'within: 16m'],
    ['cassandra-role: acme_rw', 'cassandra-role: acme_ro'],
    ['cassandra-role: acme_rw, ', ''],
    ['hide: [$.y]', 'hide: [$..y]'],
    ['8/min per agent', '8/h per agent'],
    ['8/min per agent', '7/min per agent'],
    ['    who: anyone', '    mode: shadow\n    who: anyone'],
  ])('%j -> %j is heard', (from, to) => {
    expect(full).toContain(from)
    expect(saidOf([platformFile(), file('acme.policy.yaml', full.replace(from, to))])).not.toBe(before)
  })

  it('no value can pass for the words around it', () => {
    const tricky = sentence(allow('r', { when: { header: { 'x-a': 'on", and if header x-b is "off' } } }))
    expect(tricky).toContain('always "on\\", and if header x-b is \\"off"')
    const controls = sentence(allow('r', { when: { query: { q: 'a\u009b\u202eb' } } }))
    expect(controls).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
  })
})
