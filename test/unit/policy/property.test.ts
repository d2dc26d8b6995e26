import { describe, expect, it } from 'vitest'
import type { Decision } from '../../../src/model/decision.ts'
import type { PolicyFile } from '../../../src/policy/compose.ts'
import { type Asked, composed, facts, handing, platformFile, tenantFile } from './fixtures.ts'
import { type NaiveCaller, type NaivePolicy, type NaiveRule, type NaiveTime, naiveDecision, naiveShadow } from './naive.ts'

/** Mulberry32: the seed in the title of a failing test repeats it. */
const chance = (seed: number) => {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number): number => Math.floor(next() * n)
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T
  const some = <T>(items: readonly T[], most: number): T[] => Array.from({ length: 1 + below(most) }, () => pick(items))
  return { below, pick, some, maybe: (percent: number): boolean => next() * 100 < percent }
}
type Chance = ReturnType<typeof chance>

const segments = ['a', 'b', 'v1']
const patternOf = ({ pick, below, maybe }: Chance, crowded: boolean): string => {
  if (crowded) return pick(['/**', '/a/**', '/{x0}/**', '/a'])
  const parts = Array.from({ length: below(4) }, (_, i) => pick([...segments, `{x${i}}`]))
  if (maybe(50)) parts.push('**')
  else if (maybe(15)) parts.push('')
  return parts.length === 1 && parts[0] === '' ? '/' : `/${parts.join('/')}`
}
const pathOf = ({ pick, below, maybe }: Chance): string => {
  const path = Array.from({ length: below(5) }, () => `/${pick(segments)}`).join('')
  return path === '' ? '/' : `${path}${maybe(20) ? '/' : ''}`
}

const callerOf = (c: Chance): NaiveCaller => ({
  ...(c.maybe(60) ? { groups: c.some(['g1', 'g2', 'g3'], 2) } : { subject: c.some(['s1', 's2'], 2) }),
  ...(c.maybe(20) ? { scopes: c.some(['read', 'write'], 1) } : {}),
  ...(c.maybe(40) ? { claims: { [c.pick(['dept', 'level'])]: [] as never[] } } : {}),
})
/** Values of a claim's own type. */
const typed = (c: Chance, caller: NaiveCaller): NaiveCaller => ({
  ...caller,
  ...(caller.claims
    ? {
        claims: Object.fromEntries(
          Object.keys(caller.claims).map(name => [name, name === 'dept' ? c.some(['x', 'y'], 2) : c.some([1, 2], 2)]),
        ),
      }
    : {}),
})

const wantedHeader = (c: Chance) => c.pick<string | string[]>(['present', 'absent', 'on', ['on', 'off']])
const wantedQuery = (c: Chance) => c.pick<string | string[]>(['present', 'absent', 'csv', ['csv', '5'], '1..5', '..3', '4..'])
const ranges = ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.0/24', '0.0.0.0/0', '203.0.113.9']

const moments = ['2026-11-15', '2026-11-15T02:00:00+01:00', '2026-11-19T22:59:59Z']
const clocks = [...moments, '2026-11-19T23:00:00Z', '2026-11-15T00:59:59.999Z', '2026-12-01T00:00:00Z'].map(text => Date.parse(text))

const windowOf = (c: Chance): NaiveTime => ({
  zone: c.pick(['UTC', 'Europe/Rome', 'America/St_Johns', 'Pacific/Auckland']),
  ...(c.maybe(50) ? { between: c.pick(['18:00-06:00', '01:00-12:30', '23:00-00:00']) } : { days: c.some(['thu', 'fri', 'sat', 'sun'], 3) }),
  ...(c.maybe(20) ? { 'month-days': c.some([1, 15, 20], 2) } : {}),
})

const loginOf = (c: Chance) =>
  c.pick([{ acr: ['high', 'low'] }, { amr: ['hwk'] }, { within: '15m' }, { acr: ['high'], amr: ['hwk', 'otp'], within: '2m' }])

const ruleOf = (c: Chance, i: number, names: readonly string[], crowded: boolean): NaiveRule => {
  const effect = c.maybe(50) ? 'allow' : 'deny'
  const when = {
    ...(c.maybe(20) ? { time: windowOf(c) } : {}),
    ...(c.maybe(20) ? { 'ip-in': c.some(ranges, 2) } : {}),
    ...(c.maybe(20) ? { 'ip-not-in': c.some(ranges, 2) } : {}),
    ...(c.maybe(25) ? { header: { [c.pick(['x-a', 'x-b'])]: wantedHeader(c) } } : {}),
    ...(c.maybe(25) ? { query: { [c.pick(['q', 'r'])]: wantedQuery(c) } } : {}),
  }
  // Bounded hops stand on the grant side only.
  const [own, opposite] = effect === 'allow' ? [[...names, 'hops'], names] : [names, [...names, 'hops']]
  return {
    [effect]: `r${i}`,
    who: !crowded && c.maybe(50) ? 'anyone' : c.some(own, 2),
    ...(c.maybe(25) ? { except: c.some(opposite, 2) } : {}),
    to: Array.from({ length: 1 + c.below(2) }, () => `${c.pick(['GET', 'GET POST', 'ANY', 'PUT'])} ${patternOf(c, crowded)}`),
    ...(Object.keys(when).length > 0 ? { when } : {}),
    ...(c.maybe(20) ? { mode: 'shadow' as const } : {}),
    ...(c.maybe(15) ? { from: c.pick(moments) } : {}),
    ...(c.maybe(15) ? { until: '2026-11-20T00:00:00+01:00' } : {}),
    ...(effect === 'allow' && c.maybe(50) ? { 'needs-login': loginOf(c) } : {}),
    ...(effect === 'allow' && c.maybe(50) ? handing(`acme_${c.pick(['ro', 'rw'])}`) : {}),
  }
}

const policyOf = (c: Chance): NaivePolicy => {
  const who: Record<string, NaiveCaller | (string | NaiveCaller)[]> = { w0: typed(c, callerOf(c)), w1: typed(c, callerOf(c)) }
  who['w2'] = [c.pick(['w0', 'w1']), typed(c, callerOf(c))]
  who['w3'] = ['w2', 'w0']
  who['a0'] = {
    agent: c.maybe(30) ? 'any' : c.some(['bot', 'robot'], 2),
    ...(c.maybe(50) ? { for: c.some(['w0', 'w1', 'w2', 'anyone'], 2) } : {}),
  }
  who['a1'] = [c.pick(['a0', 'w3']), { agent: ['other'] }]
  who['hops'] = ['a0', { agent: 'any', 'max-hops': 1 + c.below(2), for: ['w3'] }]
  const names = Object.keys(who).filter(name => name !== 'hops')
  const claims = {
    groups: c.pick(['list<string>', 'list<string>?']),
    dept: c.pick(['string', 'string?']),
    level: c.pick(['number', 'number?']),
  }
  // Now and then so many rules that one spot has more than are looked through one by one.
  const crowded = c.maybe(8)
  const length = crowded ? 60 + c.below(90) : 1 + c.below(14)
  return { claims, who, rules: Array.from({ length }, (_, i) => ruleOf(c, i, names, crowded)) }
}

const askedOf = (c: Chance): Asked => {
  const query = Array.from(
    { length: c.below(3) },
    () => `${c.pick(['q', 'r', '%71', '%zz'])}=${c.pick(['csv', '5', '3', '07', 'x', '%ff', ''])}`,
  ).join('&')
  const now = c.pick(clocks)
  return {
    call: `${c.pick(['GET', 'POST', 'PUT', 'DELETE'])} ${pathOf(c)}${query === '' ? '' : `?${query}`}`,
    ip: c.pick(['10.1.2.3', '10.9.9.9', '192.0.2.200', '203.0.113.9', '::ffff:10.1.2.3', null]),
    now,
    subject: c.pick(['s1', 's2', 's3']),
    scopes: c.pick([[], ['read'], ['read', 'write']]),
    agents: c.maybe(35) ? c.some(['bot', 'robot', 'other'], 3) : [],
    headers: Array.from({ length: c.below(3) }, () => [c.pick(['x-a', 'x-b']), c.pick(['on', ' off', '', 'other'])]).flat(),
    claims: {
      ...c.pick<Record<string, unknown>>([
        {},
        { groups: ['g1'] },
        { groups: ['g2', 'g3'] },
        { groups: 'g1' },
        { groups: [] },
        { groups: null },
        { groups: ['g1'], hasgroups: true },
      ]),
      ...c.pick<Record<string, unknown>>([{}, { acr: 'high', amr: ['otp'] }, { acr: 'low', amr: ['pwd', 'hwk'] }, { amr: 'hwk' }]),
      ...(c.maybe(70) ? { auth_time: now / 1000 - c.pick([-61, -60, 0, 120, 121, 900, 901]) } : {}),
      ...c.pick<Record<string, unknown>>([{}, { dept: 'x' }, { dept: 'z' }, { dept: 3 }]),
      ...c.pick<Record<string, unknown>>([{}, { level: 1 }, { level: 9 }, { level: '1' }]),
    },
  }
}

const told = (decision: Decision): string => {
  if (decision.effect === 'allow') return `allow ${decision.permit.rule} ${decision.permit.cassandraRole ?? '-'}`
  if (decision.code === 'PST2106') return `step-up ${decision.reason}`
  return `deny ${decision.reason}${decision.inDoubt ? '?' : ''}`
}

const shadowTold = ({ shadow }: Decision): string | null => shadow && `${shadow.effect} ${shadow.rule}`
/** Effect and rule alone. */
const brief = (text: string): string => text.replace('?', '').split(' ').slice(0, 2).join(' ')

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const cases = Number(process.env['CASES'] ?? 1000)
const requests = 100
const kinds = ['allow', 'step-up', 'deny', 'default', 'doubt', 'shadow', 'crowd'] as const
type Kind = (typeof kinds)[number]

const fileOf = (policy: NaivePolicy) => {
  const rules = policy.rules.map(({ allow, deny, ...rest }) => ({ ...(allow === undefined ? { deny } : { allow }), why: 'w', ...rest }))
  return tenantFile('acme', { ...policy, rules })
}

const kindOf = (wanted: string): Kind => {
  if (wanted.startsWith('step-up')) return 'step-up'
  if (wanted.endsWith('?')) return 'doubt'
  return wanted.startsWith('allow') ? 'allow' : wanted === 'deny default' ? 'default' : 'deny'
}

describe('the indexed evaluator', () => {
  it(`agrees with a naive one over ${cases} generated policies and ${requests} requests each (SEED=${seed} CASES=${cases})`, () => {
    const c = chance(seed)
    const seen = new Map<Kind, number>()
    const count = (kind: Kind): void => void seen.set(kind, (seen.get(kind) ?? 0) + 1)
    for (let i = 0; i < cases; i++) {
      const policy = policyOf(c)
      const { engine } = composed([platformFile(), fileOf(policy)])
      expect(engine.tenants[0]?.state).toBe('enforced')
      if (policy.rules.length > 20) count('crowd')
      for (let k = 0; k < requests; k++) {
        const asked = askedOf(c)
        const known = facts(asked)
        const wanted = naiveDecision(policy, known)
        const shadow = naiveShadow(policy, known)
        // The second time what the first one learned about the token is known.
        for (let turn = 0; turn < 2; turn++) {
          const decision = engine.decide(known)
          const found = [told(decision), shadowTold(decision)]
          const expected = [wanted, shadow && brief(shadow)]
          if (found.join() !== expected.join()) expect(found, JSON.stringify({ policy, asked, turn })).toEqual(expected)
        }
        if (shadow !== null && brief(shadow) !== brief(wanted)) count('shadow')
        count(kindOf(wanted))
      }
    }
    // A generator that only ever meets one kind of decision would prove nothing.
    for (const kind of kinds) expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(cases / 20)
  }, 120_000)
})

describe('the index', () => {
  it(`is the same for the same bytes, in any order of files, however often (SEED=${seed})`, () => {
    const c = chance(seed)
    const files = Array.from({ length: 40 }, (_, i) => {
      const tenant = `t${i}`
      const { bytes } = fileOf(policyOf(c))
      return { name: `${tenant}.policy.yaml`, bytes: Buffer.from(bytes.toString().replaceAll('acme', tenant)) }
    })
    const indexOf = (engine: readonly [platform: PolicyFile, ...PolicyFile[]]) => {
      const { entries, engine: made } = composed(engine)
      const tables = [...entries].map(([tenant, { enforced }]) => [tenant, enforced?.policy?.allows.index.table, enforced?.digest])
      return { tables, digest: made.digest, roles: made.roles, tenants: made.tenants }
    }
    const first = indexOf([platformFile(), ...files])
    expect(first.tables.every(([, table]) => table instanceof Int32Array)).toBe(true)
    for (let turn = 0; turn < 10; turn++) {
      const shuffled = files.map(file => ({ file, at: c.below(1e9) })).sort((a, b) => a.at - b.at)
      expect(indexOf([platformFile(), ...shuffled.map(({ file }) => file)])).toEqual(first)
    }
  })
})
