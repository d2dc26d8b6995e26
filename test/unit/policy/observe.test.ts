import { describe, expect, it } from 'vitest'
import { Permit } from '../../../src/model/permit.ts'
import { benchOf } from '../../../src/policy/tests/tested.ts'
import { type Asked, allow, brief, composed, decide, deny, facts, file, handing, load, platformFile, tenantFile } from './fixtures.ts'

const now = Date.parse('2026-11-23T10:00:00Z')
const until = '2026-11-30T00:00:00Z'
const end = Date.parse(until)
const at = { now }

const mode = { 'observe-until': until }
const always = { hide: ['$.pan'], limit: '5/min per caller' }
const claims = { groups: 'list<string>?' }
const who = { staff: { groups: 'staff' } }
const rules = [
  deny('frozen', { to: 'GET /v1/frozen' }),
  deny('doubtful', { to: 'GET /v1/doubt', when: { 'ip-in': '10.0.0.0/8' } }),
  allow('pay', { to: 'POST /v1/pay', 'needs-login': { acr: 'high' }, ...handing('acme_rw') }),
  allow('read', { who: 'staff', ...handing('acme_ro') }),
]
const policy = { mode, claims, who, always: { ...always, limit: [always.limit] }, rules }
const platform = platformFile({ rules: [deny('never', { to: 'GET /v1/secret' })], always: { hide: ['$.iban'] } })
const engine = composed([platform, tenantFile('acme', policy)], null, at).engine

const ask = (asked: Asked) => engine.decide(facts({ now, ...asked }))
const passed = (asked: Asked) => {
  const decision = ask(asked)
  if (decision.effect !== 'allow') throw new Error(`${decision.reason} refuses`)
  return { observed: decision.observed, permit: decision.permit, genuine: Permit.is(decision.permit) }
}

describe('while a tenant is observed', () => {
  it.each<[string, Asked, string, 'deny' | 'step-up']>([
    ['a deny of its own', { call: 'GET /v1/frozen' }, 'frozen', 'deny'],
    ['its default', { call: 'GET /v1/nothing' }, 'default', 'deny'],
    ['an allow that wants a better sign-in', { call: 'POST /v1/pay' }, 'pay', 'step-up'],
  ])('%s lets pass, says so, names no role and ends with the observation', (_, asked, rule, effect) => {
    const { observed, permit, genuine } = passed(asked)
    expect(observed).toEqual({ effect, inDoubt: false })
    expect(permit).toMatchObject({ tenant: 'acme', rule, cassandraRole: null, until: end })
    expect(genuine).toBe(true)
  })

  it('a deny in doubt is recorded as one', () => {
    expect(passed({ call: 'GET /v1/doubt', ip: null }).observed).toEqual({ effect: 'deny', inDoubt: true })
  })

  it("what is owed on every allowed request is owed all the same, the platform's too", () => {
    const { obligations } = passed({ call: 'GET /v1/nothing' }).permit
    expect(obligations.hide.map(path => path.text)).toEqual(['$.iban', '$.pan'])
    expect(obligations.limits.map(limit => limit.text)).toEqual([always.limit])
  })

  it('a sign-in that is missing costs none of what the allow itself asks for', () => {
    const then = { 'cassandra-role': 'acme_rw', hide: ['$.margin'] }
    const own = [allow('pay', { to: 'POST /v1/pay', 'needs-login': { acr: 'high' }, then })]
    const decision = composed([platform, tenantFile('acme', { ...policy, rules: own })], null, at).engine.decide(
      facts({ now, call: 'POST /v1/pay' }),
    )
    expect(decision.effect === 'allow' && decision.permit.obligations.hide.map(path => path.text)).toEqual(['$.iban', '$.pan', '$.margin'])
    expect(decision.effect === 'allow' && decision.permit.cassandraRole).toBe(null)
  })

  it('an allow decides as ever, with its role', () => {
    const { observed, permit } = passed({ claims: { groups: ['staff'] } })
    expect(observed).toBe(null)
    expect(permit).toMatchObject({ rule: 'read', cassandraRole: 'acme_ro', until: null })
  })

  it('the platform refuses, strangers are refused, and so is a tenant without a good version', () => {
    expect(decide(engine, { now, call: 'GET /v1/secret' })).toBe('deny never')
    expect(decide(engine, { now, claims: { tid: 'globex' } })).toBe('deny tenant-mismatch')
    const broken = composed([platform, tenantFile('acme', { ...policy, surprise: 1 })], null, at)
    expect(decide(broken.engine, { now, call: 'GET /v1/frozen' })).toBe('deny policy-unavailable')
  })

  it('another tenant beside it is enforced', () => {
    const two = composed([platform, tenantFile('acme', policy), tenantFile('globex', { claims, who, rules: rules.slice(0, 2) })], null, at)
    expect(decide(two.engine, { now, call: 'GET /v1/frozen', claims: { tid: 'globex' } })).toBe('deny frozen')
    expect(two.engine.observing).toEqual([{ tenant: 'acme', until: end }])
  })

  it('shadow rules are told as ever, and never pass for observation', () => {
    const shadowed = [deny('trial', { mode: 'shadow' }), allow('read')]
    const decision = composed([platform, tenantFile('acme', { mode, rules: shadowed })], null, at).engine.decide(facts({ now }))
    expect(decision).toMatchObject({ effect: 'allow', shadow: { effect: 'deny', rule: 'trial' }, observed: null })
  })
})

describe('the clock alone ends it', () => {
  it('on the very millisecond, with the same engine', () => {
    expect(decide(engine, { now: end - 1, call: 'GET /v1/frozen' })).toBe('allow frozen')
    expect(decide(engine, { now: end, call: 'GET /v1/frozen' })).toBe('deny frozen')
    expect(decide(engine, { now: end, call: 'POST /v1/pay' })).toBe('step-up pay')
    expect(decide(engine, { now: end, call: 'GET /v1/nothing' })).toBe('deny default')
  })

  it('a moment that no clock shows observes nothing', () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(decide(engine, { now: odd, call: 'GET /v1/frozen' })).toBe('deny frozen')
  })

  it('a moment already past means enforce', () => {
    const late = composed([platform, tenantFile('acme', policy)], null, { now: end + 1 })
    expect(decide(late.engine, { now: end + 1, call: 'GET /v1/frozen' })).toBe('deny frozen')
  })
})

describe('mode', () => {
  const findings = (value: unknown, moment = now, previous = null as Parameters<typeof load>[1]) =>
    brief(load([platformFile(), tenantFile('acme', { mode: value })], previous, { now: moment }).findings.filter(f => f.code !== 'W806'))

  it('enforce is the default, and may be written', () => {
    expect(findings('enforce')).toEqual([])
    expect(composed([platformFile(), tenantFile('acme', { mode: 'enforce' })]).engine.observing).toEqual([])
  })

  it('more than 30 days after the load is P204, where it stands; a day less is W813', () => {
    expect(findings({ 'observe-until': '2026-12-23T10:00:00.001Z' })).toEqual([expect.stringMatching(/^acme\.policy\.yaml:1:\d+ P204$/)])
    expect(findings({ 'observe-until': '2026-12-23T10:00:00Z' })).toEqual([expect.stringMatching(/^acme\.policy\.yaml:1:\d+ W813$/)])
    expect(findings({ 'observe-until': '2026-11-01T00:00:00Z' })).toEqual([])
  })

  it('is refused at the load, never taken out of force by a clock that is set back', () => {
    const files = [platformFile(), tenantFile('acme', { mode })]
    const good = composed(files, null, at)
    const later = composed(files, good, { now: 0 })
    expect(later.engine.tenants).toMatchObject([{ state: 'enforced' }])
    expect(composed(files, null, { now: 0 }).engine.tenants).toMatchObject([{ state: 'unavailable' }])
  })

  it.each<[unknown, string]>([
    ['observe', 'P204'],
    ['shadow', 'P204'],
    [{}, 'P202'],
    [{ 'observe-until': 'tomorrow' }, 'P306'],
    [{ 'observe-until': '2026-11-30' }, 'P306'],
    [{ 'observe-until': until, forever: true }, 'P201'],
    [true, 'P204'],
  ])('%j is %s', (value, code) => {
    expect(findings(value).map(line => line.split(' ')[1])).toEqual([code])
  })

  it('is none of the platform file', () => {
    expect(load([platformFile({ mode: 'enforce' })]).findings.map(f => f.code)).toEqual(['P406'])
  })
})

describe('tests', () => {
  const tested = (expected: string) =>
    file('acme.policy-test.yaml', {
      postern: 'policy-test/v1',
      tenant: 'acme',
      now: '2026-11-23T10:00:00Z',
      callers: { anna: {} },
      requests: { frozen: 'GET /v1/frozen' },
      cases: [{ ask: 'anna frozen', expect: expected }],
      require: { 'rules-covered': '1%' },
    })

  it('decide as enforced, whatever the mode', () => {
    const files = (expected: string) => [platform, tenantFile('acme', policy), tested(expected)]
    const gated = { ...at, testsGateReload: true }
    expect(composed(files('deny by frozen'), null, gated).engine.tenants).toMatchObject([{ state: 'enforced' }])
    expect(composed(files('allow'), null, gated).engine.tenants).toMatchObject([{ state: 'unavailable' }])
  })

  it('have an engine that observes nothing', () => {
    const { entries, platform: above } = composed([platform, tenantFile('acme', policy)], null, at)
    expect(benchOf(entries.get('acme')!.onDisk, above)?.engine.observing).toEqual([])
  })
})
