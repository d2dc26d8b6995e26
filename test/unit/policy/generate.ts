import type { PolicyFile } from '../../../src/policy/compose.ts'
import type { Chance } from '../../support/chance.ts'
import { type Asked, handing, tenantFile } from './fixtures.ts'
import type { NaiveCaller, NaivePolicy, NaiveRule, NaiveTime } from './naive.ts'

export { type Chance, chance } from '../../support/chance.ts'

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
    who: c.maybe(50) ? 'anyone' : c.some(own, 2),
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

/** `crowded` of a hundred have so many rules on a route that they are found by their callers. */
export const policyOf = (c: Chance, crowded = 0): NaivePolicy => {
  const many = crowded > 0 && c.maybe(crowded)
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
  return { claims, who, rules: Array.from({ length: many ? 60 + c.below(90) : 1 + c.below(14) }, (_, i) => ruleOf(c, i, names, many)) }
}

export const askedOf = (c: Chance): Asked => {
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

/** A policy as the file of tenant acme. */
export const policyFile = (policy: NaivePolicy): PolicyFile =>
  tenantFile('acme', {
    ...policy,
    rules: policy.rules.map(({ allow, deny, ...rest }) => ({ ...(allow === undefined ? { deny } : { allow }), why: 'w', ...rest })),
  })
