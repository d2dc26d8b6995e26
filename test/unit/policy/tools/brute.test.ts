import { describe, expect, it } from 'vitest'
import type { Decision, Facts, PolicyEngine } from '../../../../src/model/decision.ts'
import type { Method } from '../../../../src/model/exchange.ts'
import type { Composition } from '../../../../src/policy/compose.ts'
import { type Change, diffPolicies } from '../../../../src/policy/tools/diff.ts'
import { neverJudge } from '../../../../src/policy/tools/never.ts'
import { type Asked, composed, facts, file, handing, platformFile, said, tenantFile } from '../fixtures.ts'

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
  const some = <T>(items: readonly T[], most: number): T[] => [...new Set(Array.from({ length: 1 + below(most) }, () => pick(items)))]
  return { below, pick, some, maybe: (percent: number): boolean => next() * 100 < percent }
}
type Chance = ReturnType<typeof chance>

const subsets = <T>(items: readonly T[]): T[][] =>
  Array.from({ length: 2 ** items.length }, (_, set) => items.filter((_, i) => set & (1 << i)))

/** What policies can ask about in one part of the universe, and everything that a request can answer. */
interface Feature {
  readonly when?: (c: Chance) => object
  readonly rule?: (c: Chance, isAllow: boolean) => object
  readonly requests: readonly Partial<Asked>[]
}

const features: Readonly<Record<string, Feature>> = {
  address: {
    when: c => ({ [c.pick(['ip-in', 'ip-not-in'])]: c.some(['10.0.0.0/8', '10.1.0.0/16', '192.0.2.0/24'], 2) }),
    requests: ['10.1.2.3', '10.9.9.9', '192.0.2.200', '203.0.113.9', '::ffff:10.1.2.3', null].map(ip => ({ ip })),
  },
  query: {
    when: c => ({ query: { q: c.pick<string | string[]>(['present', 'absent', 'csv', ['csv', '5'], '1..5', '4..']) } }),
    requests: ['', 'q=', 'q=csv', 'q=5', 'q=3', 'q=0', 'q=9', 'q=x', 'q=%ff', '%zz=1', 'q=csv&%zz', 'q=5&%zz=1']
      .concat('q=csv&q=5 q=csv&q=9 q=5&q=9 q=5&q=3 q=csv&q=%ff q=5&q=%ff q=3&q=%ff q=9&q=%ff q=csv&q=5&q=9'.split(' '))
      .concat(';q= ;q=csv ;q=5 ;q=3 ;q=0 ;q=9 ;q=x ;q=%ff ;q=csv&;q=5 ;q=csv&;q=9 ;q=5&;q=9 ;q=5&;q=3 ;q=csv&;q=%ff ;q=5&;q=%ff'.split(' '))
      .map(query => ({ call: query })),
  },
  header: {
    when: c => ({ header: { 'x-a': c.pick<string | string[]>(['present', 'absent', 'on', ['on', 'off']]) } }),
    requests: subsets(['on', 'off', '', 'else']).map(values => ({ headers: values.flatMap(value => ['x-a', value]) })),
  },
  calendar: {
    when: c => ({
      time: { zone: 'Europe/Rome', ...c.pick([{ days: 'mon-fri' }, { between: '18:00-06:00' }, { 'month-days': [15, 16] }]) },
    }),
    rule: c => ({
      ...(c.maybe(50) ? { from: '2026-11-15' } : {}),
      ...(c.maybe(50) ? { until: '2026-11-20T00:00:00+01:00' } : {}),
    }),
    // Before, within and after the bounds: days of the week and of the month in each way together, by day and by night.
    requests: '07-15 08-15 08-16 11-13 11-14 11-15 11-16 11-19 11-20 11-21 12-15 12-16'
      .split(' ')
      .concat('2027-05-15', '2027-05-16')
      .map(day => (day.length === 5 ? `2026-${day}` : day))
      .flatMap(day => ['00:30', '12:00', '20:00'].map(hour => ({ now: Date.parse(`${day}T${hour}:00+01:00`) })))
      .concat({ now: Date.parse('2026-11-15T00:30:00Z') }, { now: Date.parse('2026-11-15T00:00:00+01:00') }),
  },
  department: { requests: [{}, { dept: 'x' }, { dept: 'y' }, { dept: 3 }, { dept: 'z' }].map(claims => ({ claims })) },
  login: {
    rule: (c, isAllow) => (isAllow && c.maybe(70) ? { 'needs-login': c.pick([{ acr: 'high' }, { within: '15m' }, { amr: ['hwk'] }]) } : {}),
    requests: [{}, { acr: 'high' }]
      .flatMap(acr => [{}, { amr: ['hwk'] }].map(amr => ({ ...acr, ...amr })))
      .flatMap(means => [{}, { auth_time: -600 }, { auth_time: -1000 }, { auth_time: 90 }].map(age => ({ claims: { ...means, ...age } }))),
  },
}
const names = Object.keys(features)
const [address, department] = [features['address'], features['department']] as [Feature, Feature]

const groups = ['g1', 'g2', 'g3']
/** Nobody, each agent that a policy may name, and one that none does, over as many hops as tell bounds apart. */
const chains = [[], ...['bot', 'other', 'stranger'].flatMap(id => [[id], [id, 'h'], [id, 'h', 'h']])]
const callers: readonly Partial<Asked>[] = [...subsets(groups), null, 'g1'].flatMap(set =>
  chains.map(agents => ({ claims: { groups: set }, agents })),
)

const patterns = ['/v1/a', '/v1/{x}', '/v1/**', '/**', '/v1/a/', '/v1/{x}/b', '/v1']
const paths = [
  '/',
  '/v1',
  '/v1/',
  '/v1/a',
  '/v1/a/',
  '/v1/zz',
  '/v1/zz/',
  '/v1/a/b',
  '/v1/zz/b',
  '/v1/a/b/',
  '/v1/zz/b/',
  '/v1/a/c/d',
  '/other',
]

const ruleOf = (c: Chance, i: number, used: readonly Feature[]): object => {
  const isAllow = c.maybe(60)
  const when: object = Object.assign({}, ...used.map(feature => (feature.when && c.maybe(45) ? feature.when(c) : {})))
  const extra: object = Object.assign({}, ...used.map(feature => (feature.rule && c.maybe(50) ? feature.rule(c, isAllow) : {})))
  const own = ['w0', 'w1', 'w2', 'a0', 'a1']
  return {
    [isAllow ? 'allow' : 'deny']: `r${i}`,
    why: 'w',
    who: c.maybe(25) ? 'anyone' : c.some(isAllow ? [...own, 'hops'] : own, 2),
    ...(c.maybe(25) ? { except: c.some(isAllow ? own : [...own, 'hops'], 1) } : {}),
    to: c.some(patterns, 2).map(path => `${c.pick(['GET', 'GET POST', 'POST'])} ${path}`),
    ...(Object.keys(when).length > 0 ? { when } : {}),
    ...(c.maybe(10) ? { mode: 'shadow' } : {}),
    ...extra,
    ...(isAllow && c.maybe(30) ? handing(`acme_${c.pick(['ro', 'rw'])}`) : {}),
  }
}

interface Policy {
  readonly claims: object
  readonly who: object
  readonly rules: readonly object[]
}

const policyOf = (c: Chance, used: readonly Feature[]): Policy => ({
  claims: { groups: c.pick(['list<string>', 'list<string>?']), dept: c.pick(['string', 'string?']) },
  who: {
    w0: { groups: c.some(groups, 2) },
    w1: { groups: c.some(groups, 2), ...(used.includes(department) ? { claims: { dept: c.some(['x', 'y'], 2) } } : {}) },
    w2: ['w0', used.includes(department) ? { claims: { dept: 'x' } } : { groups: 'g3' }],
    a0: {
      agent: c.pick<string | string[]>(['any', 'bot', ['bot', 'other']]),
      ...(c.maybe(50) ? { for: c.pick(['w0', 'w1', 'anyone']) } : {}),
    },
    a1: ['w1', { agent: 'other', for: 'w0' }],
    hops: { agent: c.pick(['any', 'bot']), 'max-hops': 1 + c.below(2), for: 'w0' },
  },
  rules: Array.from({ length: 2 + c.below(5) }, (_, i) => ruleOf(c, i, used)),
})

/** Another version: some rules changed, added, removed or moved, or the callers of a name. */
const edited = (c: Chance, { claims, who, rules }: Policy, used: readonly Feature[]): Policy => {
  const next = [...rules]
  for (let n = 1 + c.below(2); n > 0; n--) {
    const at = c.below(next.length)
    const kind = c.below(5)
    if (kind === 0) next.splice(at, 1)
    else if (kind === 1) next.splice(at, 0, ruleOf(c, 10 + n, used))
    else if (kind === 2) next.push(...next.splice(at, 1))
    else if (kind === 3) next[at] = { ...ruleOf(c, 20 + n, used) }
  }
  return {
    claims: c.maybe(20) ? { ...claims, groups: c.pick(['list<string>', 'list<string>?']) } : claims,
    who: c.maybe(30) ? { ...who, w0: { groups: c.some(groups, 2) } } : who,
    rules: next,
  }
}

const spaceOf = (used: readonly Feature[]): readonly Asked[] => {
  let space: readonly Partial<Asked>[] = callers
  for (const feature of used) space = space.flatMap(asked => feature.requests.map(part => merge(asked, part)))
  return space
}
const merge = (a: Partial<Asked>, b: Partial<Asked>): Asked => ({ ...a, ...b, claims: { ...a.claims, ...b.claims } })

interface Decided {
  readonly method: string
  readonly path: string
  readonly before: string
  readonly after: string
}

/** Signed in relative to the clock of the request. */
const factsFor = (asked: Asked): Facts => {
  const now = asked.now ?? Date.parse('2026-11-16T12:00:00Z')
  const { auth_time: age, ...claims } = asked.claims ?? {}
  const signedIn = typeof age === 'number' ? { auth_time: now / 1000 + age } : {}
  return facts({ ...asked, now, call: `GET /?${asked.call ?? ''}`, claims: { ...claims, ...signedIn } })
}

/** Calls `visit` for every request until it says that this was enough. */
const everywhere = (space: readonly Asked[], visit: (request: Facts) => boolean): boolean =>
  space
    .map(factsFor)
    .some(one =>
      ['GET', 'POST'].some(method =>
        paths.some(path => visit({ ...one, origin: { ...one.origin, method: method as Method, target: { ...one.origin.target, path } } })),
      ),
    )

interface Differing {
  readonly enforced: readonly Decided[]
  /** With shadow rules enforced, where one of them decides before or after. */
  readonly trials: readonly Decided[]
}

const compared = (old: PolicyEngine, now: PolicyEngine, space: readonly Asked[]): Differing => {
  const found = { enforced: new Map<string, Decided>(), trials: new Map<string, Decided>() }
  everywhere(space, request => {
    const { method, target } = request.origin
    const [was, is] = [old.decide(request), now.decide(request)]
    const [before, after, wouldBefore, wouldAfter] = [spelled(was), spelled(is), tried(was), tried(is)]
    const at = { method, path: target.path }
    const key = `${method} ${target.path} `
    if (before !== after) found.enforced.set(`${key}${before} ${after}`, { ...at, before, after })
    if (wouldBefore !== wouldAfter && (wouldBefore !== before || wouldAfter !== after))
      found.trials.set(`${key}${wouldBefore} ${wouldAfter}`, { ...at, before: wouldBefore, after: wouldAfter })
    return false
  })
  return { enforced: [...found.enforced.values()], trials: [...found.trials.values()] }
}
const spelled = (decision: Decision): string => said(decision).replace('?', '')
const tried = (decision: Decision): string => (decision.shadow ? `${decision.shadow.effect} ${decision.shadow.rule}` : spelled(decision))

/** A trailing slash is shown apart only where the path without it is decided otherwise. */
const matches = (shown: string, path: string): boolean => {
  const pattern = shown.replaceAll('*', '[^/]+').replace('/[^/]+[^/]+', '(/.*)?')
  return new RegExp(`^${pattern}/?$`).test(path)
}
const isAbout = (change: Change, { method, path, before, after }: Decided): boolean =>
  change.places.some(place => place.methods.some(one => one === method) && matches(place.path, path)) &&
  `${change.before.effect} ${change.before.by}` === before &&
  `${change.after.effect} ${change.after.by}` === after

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const cases = Number(process.env['CASES'] ?? 12)

const tenantOf = ({ platform, entries }: Composition) => {
  const version = entries.get('acme')?.enforced
  if (!version?.policy || !version.recognise || !platform.policy) throw new Error('no policy')
  return { platform: platform.policy, policy: version.policy, recognise: version.recognise }
}

/** As many as leave the space small enough to decide all of it. */
const usedOf = (c: Chance): readonly Feature[] => {
  const [first, second] = c.some(names, 2).flatMap(name => features[name] ?? [])
  if (first === undefined) return []
  return second === undefined || first.requests.length * second.requests.length > 60 ? [first] : [first, second]
}

describe(`against every request of a small universe (SEED=${seed} CASES=${cases})`, () => {
  it('diff reports a gain or loss on each route where some request has one, and nowhere else', () => {
    const c = chance(seed)
    const seen = { gains: 0, loses: 0, trials: 0, none: 0 }
    for (let i = 0; i < cases; i++) {
      const used = usedOf(c)
      const policy = policyOf(c, used)
      const other = edited(c, policy, used)
      const denies = (): object => ({ rules: c.maybe(20) ? [{ deny: 'top', why: 'w', who: 'anyone', to: `GET ${c.pick(patterns)}` }] : [] })
      const [old, now] = [
        composed([platformFile(denies()), tenantFile('acme', policy)]),
        composed([platformFile(denies()), tenantFile('acme', other)]),
      ]
      const about = `case ${i}: ${JSON.stringify({ policy, other })}`
      const [diff] = diffPolicies(old, now).filter(({ tenant }) => tenant === 'acme')
      expect(diff?.unproven ?? [], about).toEqual([])
      const changes = diff?.changes ?? []
      const { enforced, trials } = compared(old.engine, now.engine, spaceOf(used))
      for (const [kind, side, decided, said] of [
        ['GAINS', 'after', enforced, changes],
        ['LOSES', 'before', enforced, changes],
        ['GAINS', 'after', trials, diff?.would ?? []],
        ['LOSES', 'before', trials, diff?.would ?? []],
      ] as const) {
        const other = side === 'after' ? 'before' : 'after'
        const wanted = decided.filter(one => one[side].startsWith('allow') && !one[other].startsWith('allow'))
        const got = said.filter(change => change.kind === kind)
        for (const one of wanted)
          expect(
            got.some(change => isAbout(change, one)),
            `missed ${kind} ${JSON.stringify(one)} in ${JSON.stringify(got)} ${about}`,
          ).toBe(true)
        for (const change of got)
          expect(
            wanted.some(one => isAbout(change, one)),
            `false ${kind} ${JSON.stringify(change)} ${about}`,
          ).toBe(true)
        if (wanted.length > 0) seen[decided === trials ? 'trials' : kind === 'GAINS' ? 'gains' : 'loses']++
      }
      if (changes.length === 0) seen.none++
    }
    if (cases >= 100) for (const kind of ['gains', 'loses', 'trials', 'none'] as const) expect(seen[kind], kind).toBeGreaterThan(cases / 20)
  })

  it('a never line is refuted if and only if some request breaks it, by a request that the engine really allows', () => {
    const c = chance(seed + 1)
    const seen = { broken: 0, holds: 0 }
    for (let i = 0; i < cases; i++) {
      const used = usedOf(c)
      const policy = policyOf(c, used)
      const who = c.pick(['anyone', 'w0', 'w1', 'w2', 'a0', 'a1'])
      const ranges = c.some(['10.0.0.0/8', '192.0.2.0/24'], 2)
      const unless = c.maybe(30) ? c.pick(['ip-in', 'ip-not-in']) : null
      const to = `${c.pick(['GET', 'GET POST'])} ${c.pick(patterns)}`
      const line = `${who} ${to}${unless === null ? '' : ` unless ${unless} [${ranges.join(', ')}]`}`
      const test = file('acme.policy-test.yaml', { postern: 'policy-test/v1', tenant: 'acme', now: '2026-11-16T12:00:00Z', never: [line] })
      const composition = composed([platformFile(), tenantFile('acme', policy), test])
      // The same line as a rule that refuses nobody: what it means is what a deny would match.
      const when = unless === null ? {} : { when: { [unless === 'ip-in' ? 'ip-not-in' : 'ip-in']: ranges } }
      const meant = composed([
        platformFile(),
        tenantFile('acme', { ...policy, rules: [{ deny: 'never', why: 'w', who, to, ...when }] }),
      ]).engine
      const tests = composition.entries.get('acme')?.tested.files ?? []
      const [never] = tests.flatMap(one => one.never)
      if (!never) throw new Error(`${line} is not read`)
      const verdict = neverJudge(tenantOf(composition), tests)(never)
      const space = spaceOf(unless === null || used.includes(address) ? used : [...used, address])
      const broken = everywhere(
        space,
        request => composition.engine.decide(request).effect === 'allow' && said(meant.decide(request)) !== 'deny default',
      )
      const about = `case ${i}: ${line} ${JSON.stringify(policy)}`
      expect(Object.keys(verdict), about).toEqual([broken ? 'allowed' : 'holds'])
      if ('allowed' in verdict) {
        expect(said(composition.engine.decide(verdict.allowed.facts)), about).toBe(`allow ${verdict.allowed.by}`)
        expect(said(meant.decide(verdict.allowed.facts)), about).toMatch(/^deny never/)
      }
      seen[broken ? 'broken' : 'holds']++
    }
    if (cases >= 100) for (const kind of ['broken', 'holds'] as const) expect(seen[kind], kind).toBeGreaterThan(cases / 20)
  })
})
