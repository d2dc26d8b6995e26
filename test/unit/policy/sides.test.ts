import { describe, expect, it } from 'vitest'
import { type Asked, allow, decide, deny, engineFor } from './fixtures.ts'

const claims = { groups: 'list<string>', dept: 'string?', level: 'number', vip: 'bool?' }
const who = {
  staff: { groups: ['staff', 'lead'] },
  leads: { groups: 'lead' },
  sales: { claims: { dept: 'sales' } },
  third: { claims: { level: 3 } },
  vips: { claims: { vip: true } },
  writers: { scopes: ['write', 'admin'] },
  auditor: { subject: 'kpmg|1' },
  'staff-sales': { groups: 'staff', claims: { dept: 'sales' } },
  either: ['leads', { claims: { dept: 'sales' } }],
}

/** What one condition says on either side: as the body of an allow, and as the body of a deny. */
const sides = (rule: object, asked: Asked): [string, string] => {
  const granting = engineFor({ claims, who, rules: [allow('read', rule)] })
  const refusing = engineFor({ claims, who, rules: [deny('stop', rule), allow('read')] })
  return [decide(granting, asked), decide(refusing, asked)]
}

const holds = ['allow read', 'deny stop']
const fails = ['deny default', 'allow read']
const unsure = ['deny default', 'deny stop?']

describe('callers: true, false and error on both sides', () => {
  it.each<[string, string, Record<string, unknown>, readonly string[]]>([
    ['a group of the list', 'staff', { groups: ['x', 'lead'] }, holds],
    ['no group of the list', 'staff', { groups: ['x'] }, fails],
    ['a required claim that is missing', 'staff', {}, unsure],
    ['a required claim that is null', 'staff', { groups: null }, unsure],
    ['a text where a list is declared', 'staff', { groups: 'staff' }, unsure],
    ['a list with a number in it', 'staff', { groups: ['staff', 1] }, unsure],
    ['a list of 1,000 items', 'staff', { groups: [...Array(999).fill('x'), 'staff'] }, holds],
    ['a list of 1,001 items', 'staff', { groups: [...Array(1000).fill('x'), 'staff'] }, unsure],
    ['groups left out by _claim_names', 'staff', { groups: ['staff'], _claim_names: { groups: 'src1' } }, unsure],
    ['groups left out by hasgroups', 'staff', { groups: ['x'], hasgroups: true }, unsure],
    ['hasgroups: false', 'staff', { groups: ['x'], hasgroups: false }, fails],
    ['_claim_names of another claim', 'staff', { groups: ['x'], _claim_names: { roles: 'src1' } }, fails],
    ['an optional claim that is absent', 'sales', {}, fails],
    ['an optional claim that is null', 'sales', { dept: null }, fails],
    ['an optional claim that is left out by _claim_names', 'sales', { _claim_names: { dept: 'src1' } }, unsure],
    ['an optional claim of another type', 'sales', { dept: ['sales'] }, unsure],
    ['a number', 'third', { level: 3 }, holds],
    ['the number as text', 'third', { level: '3' }, unsure],
    ['a bool', 'vips', { vip: true }, holds],
    ['the other bool', 'vips', { vip: false }, fails],
    ['an inherited name of JavaScript', 'sales', Object.create({ dept: 'sales' }), fails],
    ['all of: a false beats an error', 'staff-sales', { dept: 'other' }, fails],
    ['all of: an error beats a true', 'staff-sales', { dept: 'sales' }, unsure],
    ['any of: a true beats an error', 'either', { dept: 'sales' }, holds],
    ['any of: an error beats a false', 'either', { dept: 'other' }, unsure],
  ])('%s', (_, name, given, expected) => {
    expect(sides({ who: name }, { claims: given })).toEqual(expected)
  })

  it('scopes, subject and anyone never are in doubt', () => {
    expect(sides({ who: 'writers' }, { scopes: ['read', 'admin'] })).toEqual(holds)
    expect(sides({ who: 'writers' }, { scopes: [] })).toEqual(fails)
    expect(sides({ who: 'auditor' }, { subject: 'kpmg|1' })).toEqual(holds)
    expect(sides({ who: 'auditor' }, { subject: 'KPMG|1' })).toEqual(fails)
    expect(sides({ who: 'anyone' }, {})).toEqual(holds)
    expect(sides({ who: ['auditor', 'writers'] }, { scopes: ['write'] })).toEqual(holds)
  })

  it('from reads another claim, also by JSON pointer, and what is no object on the way is an error', () => {
    const engine = (from: string, kind: 'allow' | 'deny') =>
      engineFor({
        claims: { groups: `list<string>? from ${from}` },
        who: { staff: { groups: 'staff' } },
        rules: kind === 'allow' ? [allow('read', { who: 'staff' })] : [deny('stop', { who: 'staff' }), allow('read')],
      })
    const both = (from: string, given: Record<string, unknown>) =>
      (['allow', 'deny'] as const).map(kind => decide(engine(from, kind), { claims: given }))
    expect(both('cognito:groups', { 'cognito:groups': ['staff'] })).toEqual(holds)
    expect(both('/realm_access/roles', { realm_access: { roles: ['staff'] } })).toEqual(holds)
    expect(both('/a~1b/0', { 'a/b': [['staff']] })).toEqual(holds)
    // What AWS STS says of a caller stands in one namespaced claim.
    const ofSts = { principal_tags: { teams: ['staff'] } }
    expect(both('/https:~1~1sts.amazonaws.com~1/principal_tags/teams', { 'https://sts.amazonaws.com/': ofSts })).toEqual(holds)
    expect(both('/realm_access/roles', { realm_access: {} })).toEqual(fails)
    expect(both('/realm_access/roles', {})).toEqual(fails)
    expect(both('/realm_access/roles', { realm_access: 'x' })).toEqual(unsure)
    expect(both('/realm_access/length', { realm_access: ['x'] })).toEqual(unsure)
  })

  it('issuer compares iss byte for byte', () => {
    const recognise = { issuer: ['https://a.example', 'https://b.example'], audience: 'api' }
    const engine = engineFor({ recognise, who: { b: { issuer: 'https://b.example' } }, rules: [allow('read', { who: 'b' })] })
    expect(decide(engine, { issuer: 'https://b.example' })).toBe('allow read')
    expect(decide(engine, { issuer: 'https://a.example' })).toBe('deny default')
  })
})

describe('except is read on the opposite side', () => {
  const denied = engineFor({ claims, who, rules: [deny('stop', { except: 'leads' }), allow('read')] })
  const allowed = engineFor({ claims, who, rules: [allow('read', { except: 'leads' })] })

  it('takes callers out of a deny and of an allow', () => {
    expect(decide(denied, { claims: { groups: ['lead'] } })).toBe('allow read')
    expect(decide(denied, { claims: { groups: ['x'] } })).toBe('deny stop')
    expect(decide(allowed, { claims: { groups: ['lead'] } })).toBe('deny default')
    expect(decide(allowed, { claims: { groups: ['x'] } })).toBe('allow read')
  })

  it('an exception in doubt is none for a deny, and one for an allow', () => {
    expect(decide(denied, { claims: {} })).toBe('deny stop?')
    expect(decide(allowed, { claims: {} })).toBe('deny default')
  })

  it('an exception to a deny does not survive an error of its body, unless it is certain', () => {
    const engine = engineFor({ claims, who, rules: [deny('stop', { who: 'staff', except: 'auditor' }), allow('read')] })
    expect(decide(engine, { claims: {} })).toBe('deny stop?')
    expect(decide(engine, { claims: {}, subject: 'kpmg|1' })).toBe('allow read')
  })
})

describe('an agent that works for a person', () => {
  const agents = ['agent-x']
  it('matches no allow, whatever the person may', () => {
    expect(decide(engineFor({ claims, who, rules: [allow('read')] }), { agents })).toBe('deny default')
    expect(decide(engineFor({ claims, who, rules: [allow('read', { who: 'auditor' })] }), { agents, subject: 'kpmg|1' })).toBe(
      'deny default',
    )
  })
  it('is followed by the denies of the person', () => {
    const engine = engineFor({ claims, who, rules: [deny('stop', { who: 'sales' }), allow('read')] })
    expect(decide(engine, { agents, claims: { dept: 'sales' } })).toBe('deny stop')
    expect(decide(engine, { agents, claims: { dept: 'x' } })).toBe('deny default')
  })
  it('does not inherit an exception to a deny', () => {
    const engine = engineFor({ claims, who, rules: [deny('stop', { except: 'auditor' }), allow('read')] })
    expect(decide(engine, { subject: 'kpmg|1' })).toBe('allow read')
    expect(decide(engine, { subject: 'kpmg|1', agents })).toBe('deny stop')
  })
})

describe('who names an agent', () => {
  const people = {
    ...who,
    bot: { agent: 'bot' },
    bots: { agent: ['bot', 'robot'] },
    'any-agent': { agent: 'any' },
    helper: { agent: 'bot', for: 'staff' },
    near: { agent: 'any', 'max-hops': 2 },
    home: { agent: 'any', issuer: 'https://idp.example' },
    mixed: ['leads', { agent: 'bot' }],
  }
  const agentSides = (rule: object, asked: Asked): [string, string] => {
    const granting = engineFor({ claims, who: people, rules: [allow('read', rule)] })
    // Whoever is meant by neither rule is refused by default, so that an agent cannot pass by the second.
    const refusing = engineFor({ claims, who: people, rules: [deny('stop', rule)] })
    return [decide(granting, asked), decide(refusing, asked)]
  }
  const meant = ['allow read', 'deny stop']
  const notMeant = ['deny default', 'deny default']
  const inDoubt = ['deny default', 'deny stop?']
  const staff = { groups: ['staff'] }

  it.each<[string, string, Asked, readonly string[]]>([
    ['the acting party', 'bot', { agents: ['bot'] }, meant],
    ['an actor that is only a hop', 'bot', { agents: ['other', 'bot'] }, notMeant],
    ['another agent', 'bot', { agents: ['robot'] }, notMeant],
    ['a person of that name', 'bot', { subject: 'bot' }, notMeant],
    ['one of a list', 'bots', { agents: ['robot', 'x'] }, meant],
    ['any agent', 'any-agent', { agents: ['x'] }, meant],
    ['any agent, asked by a person', 'any-agent', {}, notMeant],
    ['for: the person behind qualifies', 'helper', { agents: ['bot'], claims: staff }, meant],
    ['for: the person behind does not', 'helper', { agents: ['bot'], claims: { groups: ['x'] } }, notMeant],
    ['for: the person behind cannot be told', 'helper', { agents: ['bot'] }, inDoubt],
    ['for: another agent of a person who cannot be told', 'helper', { agents: ['x'] }, notMeant],
    ['for: the person alone', 'helper', { claims: staff }, notMeant],
    ['issuer', 'home', { agents: ['x'] }, meant],
    ['a list of persons and agents: the agent', 'mixed', { agents: ['bot'], claims: { groups: ['x'] } }, meant],
    ['a list of persons and agents: the person', 'mixed', { claims: { groups: ['lead'] } }, meant],
  ])('%s', (_, name, asked, expected) => {
    // max-hops apart, for a deny may not bound them.
    expect(agentSides({ who: name }, asked)).toEqual(expected)
  })

  it('a list of persons and agents grants another agent nothing, and refuses the person behind it', () => {
    expect(agentSides({ who: 'mixed' }, { agents: ['x'], claims: { groups: ['lead'] } })).toEqual(['deny default', 'deny stop'])
  })

  it('max-hops counts nested act levels', () => {
    const engine = engineFor({ who: { near: people.near }, rules: [allow('read', { who: 'near' })] })
    const asked = [[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(agents => decide(engine, { agents }))
    expect(asked).toEqual(['deny default', 'allow read', 'allow read', 'deny default'])
  })

  it('an exception for an agent passes a deny; an exception for persons does not pass to their agents', () => {
    const rules = [deny('stop', { except: ['bot', 'staff'] }), allow('read', { who: 'any-agent' })]
    const engine = engineFor({ claims, who: people, rules })
    expect(decide(engine, { agents: ['bot'], claims: staff })).toBe('allow read')
    expect(decide(engine, { agents: ['x'], claims: staff })).toBe('deny stop')
  })

  it('an exception to an allow follows the person through any agent', () => {
    const engine = engineFor({ claims, who: people, rules: [allow('read', { who: 'any-agent', except: 'sales' })] })
    expect(decide(engine, { agents: ['x'], claims: { dept: 'sales' } })).toBe('deny default')
    expect(decide(engine, { agents: ['x'], claims: { dept: 'x' } })).toBe('allow read')
  })
})

describe('when: headers', () => {
  const header = (wanted: unknown, ...values: string[]) =>
    sides({ when: { header: { 'x-a': wanted } } }, { headers: values.flatMap(value => ['x-a', value]) })
  it.each<[string, unknown, string[], readonly string[]]>([
    ['an exact value', 'on', ['on'], holds],
    ['outer blanks are removed', 'on', [' \ton '], holds],
    ['letters count', 'on', ['On'], fails],
    ['a no-break space stays', 'on', ['on\u00a0'], fails],
    ['no line', 'on', [], fails],
    ['any of a list', ['on', 'off'], ['off'], holds],
    ['present: a line', 'present', ['x'], holds],
    ['present: an empty line is none', 'present', [' '], fails],
    ['present: no line', 'present', [], fails],
    ['absent: no line', 'absent', [], holds],
    ['absent: an empty line', 'absent', [''], holds],
    ['absent: a line', 'absent', ['x'], fails],
    ['a list makes present a literal word', ['present'], ['x'], fails],
    ['repeated and all fit', ['on', 'off'], ['on', 'off'], holds],
    ['repeated and one fits: a grant needs all, a refusal one', 'on', ['on', 'x'], ['deny default', 'deny stop']],
    ['repeated present with an empty line', 'present', ['x', ''], ['deny default', 'deny stop']],
    ['repeated absent with an empty line', 'absent', ['x', ''], ['deny default', 'deny stop']],
  ])('%s', (_, wanted, values, expected) => {
    expect(header(wanted, ...values)).toEqual(expected)
  })
  it('all names of the map must hold', () => {
    expect(sides({ when: { header: { 'x-a': 'present', 'x-b': 'absent' } } }, { headers: ['x-a', '1'] })).toEqual(holds)
    expect(sides({ when: { header: { 'x-a': 'present', 'x-b': 'absent' } } }, { headers: ['x-a', '1', 'x-b', '2'] })).toEqual(fails)
  })
})

describe('when: query', () => {
  const absentConstraint = ['allow read', 'allow read']
  it.each<[string, unknown, string, readonly string[]]>([
    ['a value', 'csv', '?q=csv', holds],
    ['another value', 'csv', '?q=json', fails],
    ['absent under a value: holds for a grant, not for a refusal', 'csv', '', absentConstraint],
    ['absent under a range', '1..5', '?x=1', absentConstraint],
    ['names count letters', 'csv', '?Q=csv', absentConstraint],
    ['names are decoded once', 'csv', '?%71=csv', holds],
    ['values are decoded once', 'a b', '?q=a%20b', holds],
    ['values are not decoded twice', 'a b', '?q=a%2520b', fails],
    ['a plus may be a blank: every reading counts', 'a b', '?q=a+b', ['deny default', 'deny stop']],
    ['a plus may be a plus: every reading counts', 'a+b', '?q=a+b', ['deny default', 'deny stop']],
    ['a semicolon may separate: every reading counts', 'csv', '?x=1;q=csv', holds],
    ['a semicolon may be text: every reading counts', 'csv', '?q=csv;x', ['deny default', 'deny stop']],
    ['present without a value', 'present', '?q', holds],
    ['present but not there', 'present', '?x=1', fails],
    ['present for servers that separate at a semicolon only', 'present', '?x=1;q=1', unsure],
    ['absent for servers that separate at a semicolon only', 'absent', '?x=1;q=1', unsure],
    ['present for every server, whatever its value', 'present', '?q=a+b;x', holds],
    ['absent', 'absent', '?x=1', holds],
    ['absent but there', 'absent', '?q=', fails],
    ['in the range', '1..5', '?q=5', holds],
    ['out of the range', '1..5', '?q=6', fails],
    ['an open range', '2..', '?q=99999', holds],
    ['a negative range', '-5..-1', '?q=-3', holds],
    ['no integer under a range', '1..5', '?q=x', unsure],
    ['another spelling of an integer', '1..5', '?q=03', unsure],
    ['an integer too long to trust', '1..', '?q=1000000000000000', unsure],
    ['nothing under a range', '1..5', '?q=', unsure],
    ['a bad escape in the value', 'csv', '?q=%zz', unsure],
    ['a bad escape in another value', 'csv', '?x=%zz&q=csv', holds],
    ['a bad escape in a name may be this one', 'csv', '?%zz=1&q=csv', ['deny default', 'deny stop']],
    ['a bad escape in a name, and this one absent', 'csv', '?%zz=1', unsure],
    ['a bad escape in a name under absent', 'absent', '?%zz=1', unsure],
    ['invalid UTF-8', 'csv', '?q=%ff', unsure],
    ['repeated and one fits', 'csv', '?q=csv&q=json', ['deny default', 'deny stop']],
    ['repeated and all fit', ['csv', 'json'], '?q=csv&q=json', holds],
    ['repeated: a bad one beats a fitting one for a grant only', 'csv', '?q=csv&q=%zz', ['deny default', 'deny stop']],
  ])('%s', (_, wanted, query, expected) => {
    expect(sides({ when: { query: { q: wanted } } }, { call: `GET /v1/a${query}` })).toEqual(expected)
  })
})

describe('when: addresses', () => {
  const ranges = ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::ffff:172.16.0.0/108']
  const at = (ip: string | null) => [...sides({ when: { 'ip-in': ranges } }, { ip }), ...sides({ when: { 'ip-not-in': ranges } }, { ip })]
  it.each(['10.0.0.0', '10.255.255.255', '192.0.2.7', '2001:db8:ffff::1', '::ffff:10.1.1.1', '::ffff:a01:101', '172.31.255.255'])(
    '%s is inside',
    ip => {
      expect(at(ip)).toEqual([...holds, ...fails])
    },
  )
  it.each(['9.255.255.255', '11.0.0.0', '192.0.2.6', '2001:db9::', '::10.1.1.1', '172.32.0.0', '::1'])('%s is outside', ip => {
    expect(at(ip)).toEqual([...fails, ...holds])
  })
  it.each([
    null,
    '',
    'office',
    '10.0.0.01',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.1, 10.0.0.2',
    '::1%eth0',
    '1:2:3:4:5:6:7:8:9',
    ':::',
    '1::2::3',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '[::1]',
  ])('%j is unknown, which is an error', ip => {
    expect(at(ip)).toEqual([...unsure, ...unsure])
  })
  it('every IPv6 address is in ::/0, and no IPv4 address is', () => {
    expect(sides({ when: { 'ip-in': '::/0' } }, { ip: '2001:db8::1' })).toEqual(holds)
    expect(sides({ when: { 'ip-in': '::/0' } }, { ip: '::ffff:10.0.0.1' })).toEqual(fails)
    expect(sides({ when: { 'ip-in': '0.0.0.0/0' } }, { ip: '::ffff:10.0.0.1' })).toEqual(holds)
  })
  it('ranges may overlap and come in any order', () => {
    const many = ['10.9.0.0/16', '10.0.0.0/8', '10.255.0.0/16', '9.0.0.0/8', '12.0.0.0/8']
    for (const [ip, inside] of [
      ['10.200.0.1', true],
      ['9.9.9.9', true],
      ['11.0.0.1', false],
      ['12.0.0.0', true],
      ['13.0.0.0', false],
    ] as const)
      expect(sides({ when: { 'ip-in': many } }, { ip })).toEqual(inside ? holds : fails)
  })
})

describe('from and until', () => {
  const rule = { from: '2026-11-15', until: '2026-12-20T18:00:00+01:00' }
  const at = (now: string) => sides(rule, { now: Date.parse(now) })
  it('hold from the first moment up to, not including, the last, on both sides', () => {
    expect(at('2026-11-14T23:59:59.999Z')).toEqual(fails)
    expect(at('2026-11-15T00:00:00Z')).toEqual(holds)
    expect(at('2026-12-20T16:59:59.999Z')).toEqual(holds)
    expect(at('2026-12-20T17:00:00Z')).toEqual(fails)
  })
  it('each bounds one end alone', () => {
    expect(sides({ from: '2026-11-15T00:00:00Z' }, { now: Date.parse('2099-01-01') })).toEqual(holds)
    expect(sides({ until: '2026-11-15T00:00:00Z' }, { now: 0 })).toEqual(holds)
  })
  it('end the doubt of a rule that no longer holds', () => {
    expect(sides({ who: 'staff', until: '2026-11-15T00:00:00Z' }, { now: Date.parse('2026-11-15') })).toEqual(fails)
    expect(sides({ who: 'staff', until: '2026-11-15T00:00:00Z' }, { now: 0 })).toEqual(unsure)
  })
})

describe('all conditions of a rule together', () => {
  it('a condition that fails beats one that cannot be told, in any order', () => {
    const when = { 'ip-in': '10.0.0.0/8', header: { 'x-a': 'on' } }
    expect(sides({ who: 'staff', when }, { claims: { groups: ['staff'] }, ip: null })).toEqual(fails)
    expect(sides({ who: 'staff', when }, { claims: {}, headers: ['x-a', 'on'], ip: '11.0.0.1' })).toEqual(fails)
    expect(sides({ who: 'staff', when }, { claims: {}, headers: ['x-a', 'on'] })).toEqual(unsure)
  })
})
