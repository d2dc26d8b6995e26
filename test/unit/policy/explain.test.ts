import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Facts } from '../../../src/model/decision.ts'
import type { PolicyFile } from '../../../src/policy/compose.ts'
import { Look } from '../../../src/policy/engine/conditions.ts'
import { zoneClocks } from '../../../src/policy/language/zone-clock.ts'
import { effectOf, reasonOf } from '../../../src/policy/tests/run.ts'
import { type Asking, askedFacts, Unanswerable } from '../../../src/policy/tools/ask.ts'
import type { FiledBench } from '../../../src/policy/tools/change.ts'
import { type Explanation, explainFacts, filedBench } from '../../../src/policy/tools/explain.ts'
import { explanationLines } from '../../../src/policy/tools/explain-text.ts'
import { nearestAllow } from '../../../src/policy/tools/judged.ts'
import type { Matcher } from '../../../src/policy/tools/matchers.ts'
import { combined } from '../../../src/policy/tools/remedy.ts'
import { type Asked, allow, composed, deny, facts, file, platformFile, tenantFile } from './fixtures.ts'
import { askedOf, chance, policyFile, policyOf } from './generate.ts'

const opened = (files: readonly PolicyFile[]) => {
  const composition = composed(files)
  const entry = composition.entries.get('acme')
  const bench = entry && filedBench(entry.onDisk, composition.platform, files)
  if (!entry || !bench) throw new Error('refused')
  return { entry, bench }
}

const conformance = (name: string, cuts: readonly (readonly [RegExp, string])[]): PolicyFile => {
  const text = readFileSync(new URL(`../../support/conformance/${name}`, import.meta.url), 'utf8')
  return file(
    name,
    cuts.reduce((cut, [pattern, by]) => cut.replaceAll(pattern, by), text),
  )
}

/** The example without `never`. */
const example = [platformFile(), conformance('acme.policy.yaml', []), conformance('acme.policy-test.yaml', [[/^never:.*\n( .*\n)+/gm, '']])]
const { entry, bench } = opened(example)

const asked = (caller: string, request: string, extra: Partial<Asking> = {}): Explanation => {
  const { scope } = entry.onDisk
  const found = scope && askedFacts(bench, scope, entry.tested.files, { caller, request, with: [], at: null, ...extra }, zoneClocks())
  if (found === null || found instanceof Unanswerable) throw new Error(found?.messages.join('; '))
  return explainFacts(bench, found)
}

const brief = ({ decision: { effect, by } }: Explanation): string => `${effect} by ${by}`
const rule = (explanation: Explanation, name: string) => {
  const found = explanation.rules.find(one => one.name === name)
  if (found === undefined) throw new Error(`${name} is no candidate`)
  return found
}
const at = ({ place: { file: name, line, column } }: { place: Matcher['place'] }): string => `${name}:${line}:${column}`
const changes = (explanation: Explanation): string[] =>
  (explanation.change?.ways ?? []).map(steps => steps.map(step => `${step.rule}: ${step.needs.join('; ')}`).join(' + '))

describe('explain, on the example of the specification', () => {
  it('points at the very keys of a deny, and says what each saw', () => {
    const found = asked('carl', 'invoice')
    expect(brief(found)).toBe('deny by contractors-off-network')
    const off = rule(found, 'contractors-off-network')
    expect([off, ...off.to, ...off.matchers, ...off.matchers.flatMap(one => one.parts)].map(at)).toEqual([
      'acme.policy.yaml:32:11',
      'acme.policy.yaml:35:5',
      'acme.policy.yaml:34:5',
      'acme.policy.yaml:36:13',
      'acme.policy.yaml:18:30',
    ])
    expect(off.matchers.map(({ key, held, seen, wanted }) => [key, held, seen, wanted])).toEqual([
      ['who', 'true', 'subject "carl"', 'contractors'],
      ['when.ip-not-in', 'true', '203.0.113.9', 'outside 10.0.0.0/8 or 198.51.100.0/24'],
    ])
  })

  it('lists every candidate in file order, also those after the one that decided', () => {
    expect(asked('bot', 'release').rules.map(one => [one.name, one.held, one.decided])).toEqual([
      ['agents-never-move-money', 'true', true],
      ['contractors-off-network', 'false', false],
      ['release-payments', 'false', false],
    ])
  })

  it('says which line of recognise disagreed, and asks no rule then', () => {
    const found = asked('eve', 'invoice')
    expect(brief(found)).toBe('deny by tenant-mismatch')
    expect(found.recognition.filter(line => !line.agrees).map(line => [line.key, line.seen, line.wanted, at(line)])).toEqual([
      ['recognise.claims.tid', '"ffffffff"', '"8f2c1b6e"', 'acme.policy.yaml:9:13'],
    ])
    expect(found.rules).toEqual([])
    expect(changes(found)).toEqual(['recognise: claims.tid would have to be "8f2c1b6e"'])
  })

  it('a step-up: what the sign-in lacks, what the client is told, and the change', () => {
    const found = asked('lea-stale', 'release')
    expect(found.decision).toMatchObject({ effect: 'step-up', by: 'release-payments', challenge: { acrValues: ['phrh'], maxAge: 900 } })
    expect(rule(found, 'release-payments').login.map(({ key, held, seen, wanted }) => [key, held, seen, wanted])).toEqual([
      ['needs-login.acr', 'false', '"pwd"', '"phrh"'],
      ['needs-login.amr', 'false', '["pwd"]', '"hwk"'],
      ['needs-login.within', 'false', '3h ago', 'at most 15m ago'],
    ])
    expect(found.change).toMatchObject({ proved: true })
    expect(found.change?.ways[0]?.[0]?.unmet[2]).toBe('needs-login.within (3h > 15m)')
    const onlyOld = asked('lea', 'release', { with: ['signed-in=3h ago'] })
    expect(onlyOld.change?.ways).toMatchObject([[{ rule: 'allow release-payments', unmet: ['needs-login.within (3h > 15m)'] }]])
  })

  it('obligations of an allow: role, end, hidden members, limits', () => {
    expect(asked('kpmg', 'journal').decision).toMatchObject({
      role: 'acme_audit_ro',
      until: '2026-12-20T17:00:00Z',
      hide: ['$..card_number', '$..iban'],
      limits: ['3000/min per tenant, counted over all rules of the tenant', '300/min per caller, counted over all rules of the tenant'],
    })
  })

  it('a shadow rule is shown as one, with what it would have made of the request', () => {
    const found = asked('anna', 'receipt')
    expect(found.shadow).toEqual({ effect: 'allow', rule: 'mobile-receipts' })
    expect(rule(found, 'mobile-receipts')).toMatchObject({ mode: 'shadow', held: 'true', decided: false })
    expect(found.change).toBeNull()
  })

  it('a clock and other keys than those of the test file', () => {
    const late = asked('kpmg', 'journal', { at: '2026-12-21T09:00:00+01:00' })
    expect(brief(late)).toBe('deny by default')
    expect(changes(late)).toEqual(['allow year-end-audit: ask before 2026-12-20T17:00:00Z'])
    const home = asked('carl', 'invoice', { with: ['ip=10.9.9.9'] })
    expect(brief(home)).toBe('allow by read-own-region-invoices')
    expect(brief(asked('carl', 'GET /v1/accounts/eu-7/invoices?limit=9999', { with: ['ip=10.9.9.9'] }))).toBe('deny by default')
  })

  it.each([
    [{ caller: 'nobody' }, /no caller "nobody".*Known: anna, bot, carl/],
    [{ request: 'nothing' }, /no request "nothing".*Known: bare-release/],
    [{ request: 'GET /v1/../x' }, /request: P302 the edge refuses/],
    [{ with: ['ip'] }, /not key=value/],
    [{ with: ['ip=home'] }, /--with: P304/],
    [{ with: ['grups=[a]'] }, /--with: P201.*groups/],
    [{ at: 'tomorrow' }, /--at: P306/],
  ])('%j cannot be asked, and it says why', (extra, message) => {
    expect(() => asked('anna', 'invoice', extra)).not.toThrow(TypeError)
    const { caller = 'anna', request = 'invoice' } = extra as Partial<Asking>
    expect(() => asked(caller, request, extra)).toThrow(message)
  })
})

/** One rule of every kind of condition; each key stands once in a line of its own. */
const everyKind = file(
  'acme.policy.yaml',
  `postern: policy/v1
tenant: acme
owners: [o@example.com]
recognise:
  host: [api.example]
  issuer: https://idp.example
  audience: api
  claims:
    tid: acme
claims:
  groups: list<string>
  dept: string?
who:
  persons:
    groups: [g]
    scopes: [s]
    subject: [anna]
    issuer: https://idp.example
    claims:
      dept: [x]
  agents:
    agent: [bot]
    for: [persons]
    max-hops: 1
    issuer: https://idp.example
  both: [persons, agents]
rules:
  - deny: first
    why: w
    who: both-but-agents
    except: both
    to:
      - GET /v1/b
      - GET /v1/{a}
  - allow: second
    why: w
    who: both
    to: GET /v1/{a}
    from: 2026-01-01
    until: 2026-12-01T00:00:00Z
    when:
      ip-in: 10.0.0.0/8
      ip-not-in: [10.9.0.0/16]
      header:
        x-a.b: present
        x-c: [on]
      query:
        q.r: 1..5
        s: absent
      time:
        zone: UTC
        days: mon-fri
    needs-login:
      acr: high
      amr: [hwk]
      within: 15m
`.replace('both-but-agents', 'persons'),
)

describe('positions', () => {
  const files = [platformFile(), everyKind]
  const opening = opened(files)
  const lines = everyKind.bytes.toString().split('\n')

  it('every matcher of every kind points at the key that it is about', () => {
    const inPerson = explainFacts(opening.bench, facts({ now: Date.parse('2026-11-23T10:00:00Z') }))
    const asAgent = explainFacts(opening.bench, facts({ agents: ['bot'] }))
    const seen = new Set<string>()
    for (const found of [inPerson, asAgent]) {
      const matchers = found.rules.flatMap(one => [...one.matchers, ...one.login, ...one.matchers.flatMap(inner => inner.parts)])
      for (const { key, place } of [...matchers, ...found.recognition]) {
        const rest = lines[place.line - 1]?.slice(place.column - 1) ?? ''
        const [word = ''] = rest.split(':')
        expect(key.endsWith(word), `${key} at ${place.line}:${place.column}: ${rest}`).toBe(true)
        seen.add(key)
      }
      for (const one of found.rules) expect(lines[one.place.line - 1]?.slice(one.place.column - 1)).toBe(one.name)
      const covering = found.rules.flatMap(one => one.to.map(({ place }) => lines[place.line - 1]?.slice(place.column - 1)))
      expect(covering).toEqual(['GET /v1/{a}', 'to: GET /v1/{a}'])
    }
    expect([...seen].sort()).toEqual(
      `except from needs-login.acr needs-login.amr needs-login.within recognise.audience recognise.claims.tid recognise.host recognise.issuer
      until when.header.x-a.b when.header.x-c when.ip-in when.ip-not-in when.query.q.r when.query.s when.time who who.agents.agent
      who.agents.for who.agents.issuer who.agents.max-hops who.persons who.persons.claims.dept who.persons.groups who.persons.issuer
      who.persons.scopes who.persons.subject`.split(/\s+/),
    )
  })
})

/** A request that is refused, what is said of it, and the request with just that changed. */
type Flip = readonly [name: string, policy: object, asked: Asked, says: string, then: Asked]

const flips: readonly Flip[] = [
  [
    'a group',
    { claims: { groups: 'list<string>' }, who: { w: { groups: ['g1', 'g2'] } }, rules: [allow('r', { who: 'w' })] },
    { claims: { groups: [] } },
    'allow r: add the caller to one of groups "g1", "g2"',
    { claims: { groups: ['g2'] } },
  ],
  [
    'a group that cannot be read',
    { claims: { groups: 'list<string>' }, who: { w: { groups: 'g1' } }, rules: [allow('r', { who: 'w' })] },
    {},
    'allow r: send a token whose groups can be read, with group "g1"',
    { claims: { groups: ['g1'] } },
  ],
  [
    'the nearer of two definitions',
    {
      claims: { groups: 'list<string>', dept: 'string?' },
      who: { w: [{ groups: 'g', claims: { dept: 'x' } }, { subject: 'eve' }] },
      rules: [allow('r', { who: 'w' })],
    },
    { claims: { groups: ['g'] } },
    'allow r: claim dept "x"',
    { claims: { groups: ['g'], dept: 'x' } },
  ],
  [
    'a scope',
    { who: { w: { scopes: 'write' } }, rules: [allow('r', { who: 'w' })] },
    {},
    'allow r: grant the scope "write"',
    { scopes: ['write'] },
  ],
  ['a person instead of an agent', { rules: [allow('r')] }, { agents: ['bot'] }, 'allow r: ask in person, without an agent', {}],
  [
    'an agent',
    { who: { w: { agent: 'bot' } }, rules: [allow('r', { who: 'w' })] },
    {},
    'allow r: act through agent "bot"',
    { agents: ['bot'] },
  ],
  [
    'hops',
    { who: { w: { agent: 'bot', 'max-hops': 1 } }, rules: [allow('r', { who: 'w' })] },
    { agents: ['bot', 'x'] },
    'allow r: have at most 1 in the chain of agents',
    { agents: ['bot'] },
  ],
  [
    'the person behind an agent',
    { claims: { groups: 'list<string>' }, who: { p: { groups: 'g' }, w: { agent: 'bot', for: 'p' } }, rules: [allow('r', { who: 'w' })] },
    { agents: ['bot'], claims: { groups: [] } },
    'allow r: the person behind the agent: add the caller to group "g"',
    { agents: ['bot'], claims: { groups: ['g'] } },
  ],
  [
    'an address inside',
    { rules: [allow('r', { when: { 'ip-in': ['192.0.2.0/24'] } })] },
    {},
    'allow r: come from 192.0.2.0/24',
    { ip: '192.0.2.77' },
  ],
  [
    'an unknown address',
    { rules: [allow('r', { when: { 'ip-not-in': ['192.0.2.0/24'] } })] },
    { ip: null },
    'allow r: come from a known address outside 192.0.2.0/24',
    { ip: '10.0.0.1' },
  ],
  [
    'a header',
    { rules: [allow('r', { when: { header: { 'x-a': ['on', 'off'] } } })] },
    { headers: ['x-a', 'no'] },
    'allow r: send one header x-a: "on" or "off"',
    { headers: ['x-a', 'off'] },
  ],
  [
    'no header',
    { rules: [allow('r', { when: { header: { 'x-a': 'absent' } } })] },
    { headers: ['x-a', 'no'] },
    'allow r: send no header x-a',
    {},
  ],
  [
    'a parameter',
    { rules: [allow('r', { when: { query: { n: '1..5' } } })] },
    { call: 'GET /v1/a?n=7&n=3' },
    'allow r: give the query parameter "n" in 1..5',
    { call: 'GET /v1/a?n=2' },
  ],
  [
    'no parameter',
    { rules: [allow('r', { when: { query: { n: 'absent' } } })] },
    { call: 'GET /v1/a?%6e=7' },
    'allow r: leave out the query parameter "n"',
    {},
  ],
  [
    'a time',
    { rules: [allow('r', { when: { time: { zone: 'UTC', between: '08:00-09:00' } } })] },
    {},
    'allow r: ask from 08:00 until 09:00, UTC time, next at 1970-01-01T08:00:00Z',
    { now: 8 * 3_600_000 },
  ],
  [
    'a beginning',
    { rules: [allow('r', { from: '2026-01-01' })] },
    {},
    'allow r: ask at or after 2026-01-01T00:00:00Z',
    { now: Date.parse('2026-01-01') },
  ],
  [
    'an end',
    { rules: [allow('r', { until: '2026-01-01T00:00:00Z' })] },
    { now: Date.parse('2026-01-01') },
    'allow r: ask before 2026-01-01T00:00:00Z',
    {},
  ],
  [
    'a sign-in',
    { rules: [allow('r', { 'needs-login': { acr: 'high', within: '15m' } })] },
    { now: 1e9, claims: { acr: 'high', auth_time: 0 } },
    'allow r: sign in again, not over 15m before the request',
    { now: 1e9, claims: { acr: 'high', auth_time: 1e6 } },
  ],
  [
    'a deny of a place',
    { rules: [deny('d', { when: { 'ip-not-in': ['192.0.2.0/24'] } }), allow('r')] },
    {},
    'deny d: come from 192.0.2.0/24',
    { ip: '192.0.2.1' },
  ],
  [
    'a deny in doubt',
    { rules: [deny('d', { when: { 'ip-in': ['192.0.2.0/24'] } }), allow('r')] },
    { ip: null },
    'deny d: come from a known address outside 192.0.2.0/24',
    {},
  ],
  [
    'a deny of a group',
    { claims: { groups: 'list<string>' }, who: { w: { groups: 'g' } }, rules: [deny('d', { who: 'w' }), allow('r')] },
    { claims: { groups: ['g', 'h'] } },
    'deny d: groups without "g"',
    { claims: { groups: ['h'] } },
  ],
  [
    'an exception',
    { claims: { groups: 'list<string>' }, who: { w: { groups: 'g' } }, rules: [deny('d', { except: 'w' }), allow('r')] },
    { claims: { groups: [] } },
    'deny d: add the caller to group "g"',
    { claims: { groups: ['g'] } },
  ],
  [
    'an exception of an allow',
    { claims: { groups: 'list<string>' }, who: { w: { groups: 'g' } }, rules: [allow('r', { except: 'w' })] },
    { claims: { groups: ['g'] } },
    'allow r: groups without "g"',
    { claims: { groups: [] } },
  ],
  [
    'two denies and an allow',
    {
      rules: [
        deny('d', { when: { query: { q: 'present' } } }),
        deny('e', { when: { header: { 'x-a': 'present' } } }),
        allow('r', { when: { 'ip-in': '192.0.2.1' } }),
      ],
    },
    { call: 'GET /v1/a?q', headers: ['x-a', '1'] },
    'deny d: leave out the query parameter "q" + deny e: send no header x-a + allow r: come from 192.0.2.1',
    { ip: '192.0.2.1' },
  ],
  [
    'groups that the token left out',
    { claims: { groups: 'list<string>? from /realm/groups' }, who: { w: { groups: 'g' } }, rules: [allow('r', { who: 'w' })] },
    { claims: { hasgroups: true } },
    'allow r: send a token whose groups can be read, with group "g"',
    { claims: { realm: { groups: ['g'] } } },
  ],
  [
    'an agent, of whose other keys nothing is said',
    { who: { p: { subject: 'anna' }, w: { agent: 'bot', for: 'p', 'max-hops': 1 } }, rules: [allow('r', { who: 'w' })] },
    {},
    'allow r: act through agent "bot"',
    { agents: ['bot'] },
  ],
  [
    'a deny that follows a person through an agent',
    {
      claims: { groups: 'list<string>' },
      who: { w: { groups: 'g' }, 'any-agent': { agent: 'any' } },
      rules: [deny('d', { who: 'w' }), allow('r', { who: 'any-agent' })],
    },
    { agents: ['bot'], claims: { groups: ['g'] } },
    'deny d: groups without "g"',
    { agents: ['bot'], claims: { groups: [] } },
  ],
  [
    'what is enforced, not what is tried',
    { rules: [deny('d', { mode: 'shadow' }), allow('r', { when: { header: { 'x-a': 'present' } } })] },
    {},
    'allow r: send one header x-a',
    { headers: ['x-a', '1'] },
  ],
  ['the audience', { rules: [allow('r')] }, { audiences: ['other'] }, 'recognise: audience would have to be "api"', {}],
]

const benchOf = (policy: object): FiledBench => opened([platformFile(), tenantFile('acme', policy)]).bench

describe('of many ways', () => {
  it('the shortest are kept', () => {
    const one = (text: string) => ({ text, apply: null })
    const long = Array.from({ length: 100 }, (_, i) => [one(`a${i}`), one('b')])
    expect(combined([[...long, [one('short')]]])[0]).toEqual([one('short')])
  })

  it('the nearest allow is one in force', () => {
    const trial = allow('trial', { mode: 'shadow', when: { header: { 'x-a': 'present' } } })
    const { policy } = benchOf({ rules: [trial, allow('far', { when: { header: { 'x-a': 'present', 'x-b': 'present' } } })] })
    expect(nearestAllow(policy, new Look(facts()))?.rule.name).toBe('far')
  })
})

describe('the smallest change', () => {
  it.each(flips)('%s: is said, and with nothing else changed the request is allowed', (_, policy, before, says, then) => {
    const one = benchOf(policy)
    const found = explainFacts(one, facts(before))
    expect(found.decision.effect).not.toBe('allow')
    expect(changes(found)).toContain(says)
    expect(found.change?.proved).toBe(true)
    expect(effectOf(one.engine.decide(facts(then)))).toBe('allow')
  })

  it('names the fewest, of equally few every one, and prefers no rule that is farther', () => {
    const one = benchOf({
      rules: [
        allow('far', { when: { header: { 'x-a': 'present' }, query: { q: 'present' } } }),
        allow('near', { when: { header: { 'x-b': 'present' } } }),
        allow('also', { when: { header: { 'x-c': 'present' } } }),
      ],
    })
    expect(changes(explainFacts(one, facts()))).toEqual(['allow near: send one header x-b', 'allow also: send one header x-c'])
  })

  it('is not promised where what helps one rule sets off another', () => {
    const one = benchOf({
      claims: { groups: 'list<string>' },
      who: { w: { groups: 'g' } },
      rules: [deny('d', { who: 'w' }), allow('r', { who: 'w' })],
    })
    expect(explainFacts(one, facts({ claims: { groups: [] } })).change).toMatchObject({ proved: false })
  })

  it('is a change of the policy where a deny asks for nothing', () => {
    const one = benchOf({ rules: [deny('d'), allow('r')] })
    expect(explainFacts(one, facts()).change).toMatchObject({ proved: false })
    expect(changes(explainFacts(one, facts()))).toEqual(['deny d: deny d would have to be changed'])
  })

  it('is none where no allow covers the route', () => {
    expect(explainFacts(benchOf({ rules: [] }), facts()).change).toBeNull()
  })
})

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

describe('routes', () => {
  it('every line of a rule that covers the request is shown, with its own variables, decoded', () => {
    const one = benchOf({ rules: [allow('r', { to: ['GET /v1/{a}', 'PUT /v1/{b}', 'GET /{c}/x%20y', 'GET /v1/**'] })] })
    expect(explainFacts(one, facts({ call: 'GET /v1/x%20y' })).rules[0]?.to.map(({ line, variables }) => [line, variables])).toEqual([
      ['GET /v1/{a}', { a: 'x y' }],
      ['GET /{c}/x%20y', { c: 'v1' }],
      ['GET /v1/**', {}],
    ])
  })
})

describe('which rule decided', () => {
  it('is the one of the platform where a rule of the tenant has its name', () => {
    const { bench: one } = opened([platformFile({ rules: [deny('same')] }), tenantFile('acme', { rules: [deny('same')] })])
    expect(explainFacts(one, facts()).rules.map(({ of, decided }) => [of, decided])).toEqual([
      ['platform', true],
      ['tenant', false],
    ])
  })
})

describe('observe mode', () => {
  const until = '2026-12-01T00:00:00Z'
  const { bench } = opened([
    platformFile({ rules: [deny('top', { to: 'DELETE /v1/a' })] }),
    tenantFile('acme', { mode: { 'observe-until': until }, rules: [allow('read')] }),
  ])
  const observed = (asked: Asked): string | null =>
    explainFacts(bench, facts({ now: Date.parse('2026-11-23T10:00:00Z'), ...asked })).observedUntil

  it('is told of a refusal by the tenant before its end, and of nothing else', () => {
    expect(observed({ call: 'POST /v1/a' })).toBe(until)
    expect(explanationLines(explainFacts(bench, facts({ now: 0, call: 'POST /v1/a' })))).toContain(
      `  observe mode lets it pass all the same, without a credential, until just before ${until}`,
    )
    expect(observed({ call: 'POST /v1/a', now: Date.parse(until) })).toBeNull()
    expect(observed({ call: 'GET /v1/a' })).toBeNull()
    expect(observed({ call: 'DELETE /v1/a' })).toBeNull()
    expect(observed({ call: 'POST /v1/a', issuer: 'https://other.example' })).toBeNull()
  })
})

describe('over generated policies', () => {
  it(`what is explained is what is decided, and a rule that decided held (SEED=${seed})`, () => {
    const c = chance(seed)
    let proved = 0
    for (let i = 0; i < 40; i++) {
      const one = opened([platformFile(), policyFile(policyOf(c))]).bench
      for (let k = 0; k < 20; k++) {
        const question: Facts = facts(askedOf(c))
        const found = explainFacts(one, question)
        const decision = one.engine.decide(question)
        expect([found.decision.effect, found.decision.by]).toEqual([effectOf(decision), reasonOf(decision)])
        const deciding = found.rules.filter(candidate => candidate.decided)
        expect(deciding.map(candidate => candidate.name)).toEqual(found.decision.by === 'default' ? [] : [found.decision.by])
        for (const { effect, held } of deciding) expect(effect === 'deny' ? ['true', 'error'] : ['true']).toContain(held)
        for (const { held, matchers } of found.rules) expect(held).toBe(kleene(matchers.map(matcher => matcher.held)))
        for (const matcher of found.rules.flatMap(candidate => candidate.matchers)) checkParts(matcher)
        if (found.change?.proved) proved++
      }
    }
    // Most refusals have no way out: a deny of everybody, or no allow on the route.
    expect(proved).toBeGreaterThan(20)
  }, 60_000)
})

const kleene = (held: readonly string[]): string => (held.includes('false') ? 'false' : held.includes('error') ? 'error' : 'true')

/** Something behind a `who` that does not hold must be seen not to hold. */
const checkParts = ({ key, held, parts }: Matcher): void => {
  if (key === 'who' && held !== 'true')
    expect(
      parts.some(part => part.held !== 'true'),
      JSON.stringify(parts),
    ).toBe(true)
}
