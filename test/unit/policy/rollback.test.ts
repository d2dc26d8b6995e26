import { describe, expect, it } from 'vitest'
import { finish } from '../../../src/config/steps.ts'
import type { Composition, PolicyFile } from '../../../src/policy/compose.ts'
import { rollingBack } from '../../../src/policy/rollback.ts'
import { allow, composed, decide, handing, load, platformFile, tenantFile } from './fixtures.ts'

const version = (name: string, extra: object = {}): PolicyFile => tenantFile('acme', { rules: [allow(name)], ...extra })
const globex = tenantFile('globex', { rules: [allow('read')] })
const on = (acme: PolicyFile, previous: Composition | null, ...others: PolicyFile[]): Composition =>
  composed([platformFile(), acme, ...(others.length > 0 ? others : [globex])], previous)

const rollback = (from: Composition, tenant = 'acme', issuers: readonly string[] | null = null) =>
  finish(rollingBack(from, tenant, issuers))
const rolled = (from: Composition, tenant = 'acme'): Composition => {
  const result = rollback(from, tenant)
  if ('problem' in result) throw new Error(result.problem)
  return result.composition
}
const problem = (from: Composition, tenant = 'acme', issuers: readonly string[] | null = null): string => {
  const result = rollback(from, tenant, issuers)
  return 'problem' in result ? result.problem : 'rolled back'
}
const state = ({ engine }: Composition, tenant = 'acme') => engine.tenants.find(one => one.tenant === tenant)

const first = on(version('a'), null)
const second = on(version('b'), first)

describe('a rollback', () => {
  it('restores the version before, and says what is on disk', () => {
    const back = rolled(second)
    expect(decide(back.engine)).toBe('allow a')
    expect(state(back)).toEqual({
      tenant: 'acme',
      state: 'rolled-back',
      digestEnforced: state(first)?.digestEnforced,
      digestOnDisk: state(second)?.digestEnforced,
    })
    expect(back.engine.digest).toBe(first.engine.digest)
    expect(state(back, 'globex')).toEqual(state(second, 'globex'))
  })

  it('is one change, from the version in force to the one before', () => {
    const result = rollback(second)
    expect('change' in result && result.change).toEqual({
      tenant: 'acme',
      state: 'rolled-back',
      oldDigest: state(second)?.digestEnforced,
      newDigest: state(first)?.digestEnforced,
      finding: null,
      observeUntil: null,
    })
  })

  it('changes nothing of what it starts from', () => {
    rolled(second)
    expect(decide(second.engine)).toBe('allow b')
    expect(state(second)?.state).toBe('enforced')
  })

  it('holds while the file stays, however often it is read', () => {
    const again = on(version('b'), on(version('b'), rolled(second)))
    expect(decide(again.engine)).toBe('allow a')
    expect(state(again)?.state).toBe('rolled-back')
    expect(load([platformFile(), version('b'), globex], rolled(second)).changes).toEqual([])
  })

  it('ends with a third version, which is then the one that can be rolled back', () => {
    const third = on(version('c'), rolled(second))
    expect(decide(third.engine)).toBe('allow c')
    expect(state(third)?.state).toBe('enforced')
    expect(decide(rolled(third).engine)).toBe('allow a')
  })

  it('does not end with a third version that is refused', () => {
    const broken = on(version('c', { surprise: 1 }), rolled(second))
    expect(decide(broken.engine)).toBe('allow a')
    expect(state(broken)?.state).toBe('stale')
    expect(state(on(version('b'), broken))?.state).toBe('rolled-back')
  })

  it('is at rest when the file is reverted', () => {
    const reverted = on(version('a'), rolled(second))
    expect(decide(reverted.engine)).toBe('allow a')
    expect(state(reverted)?.state).toBe('enforced')
  })

  it('of a stale tenant gives the version before the one in force, and the broken file stays refused', () => {
    const stale = on(version('c', { surprise: 1 }), second)
    expect(decide(rolled(stale).engine)).toBe('allow a')
    expect(state(on(version('b'), rolled(stale)))?.state).toBe('rolled-back')
  })

  it('keeps one version only: twice is an error, and so is a tenant that never changed or is none', () => {
    expect(problem(rolled(second))).toMatch(/rolled back already, and only one version is kept/)
    expect(problem(first)).toMatch(/no version of acme was in force before/)
    expect(problem(second, 'globex')).toMatch(/no version of globex was in force before/)
    expect(problem(second, 'initech')).toBe('initech is not a tenant here.')
    expect(problem(second, '_platform')).toBe('_platform is not a tenant here.')
  })
})

describe('a version that no longer fits', () => {
  it('because another tenant now has its requests is refused (P601)', () => {
    const moved = version('b', { recognise: { issuer: 'https://idp.example', audience: 'api', claims: { tid: 'new' } } })
    const taker = tenantFile('globex', {
      recognise: { issuer: 'https://idp.example', audience: 'api', claims: { tid: ['globex', 'acme'] } },
      rules: [],
    })
    const taken = on(moved, first, taker)
    expect(state(taken, 'globex')?.state).toBe('enforced')
    expect(problem(taken)).toMatch(/does not fit what is in force now: P601 .*globex/)
    expect(decide(taken.engine, { claims: { tid: 'new' } })).toBe('allow b')
  })

  it('because its role now belongs to somebody else is refused (P404)', () => {
    const named = on(tenantFile('acme', { rules: [allow('a', handing('acme_eu_ro'))] }), null)
    const taken = composed([platformFile(), version('b'), globex, tenantFile('acme-eu')], named)
    expect(problem(taken)).toMatch(/does not fit what is in force now: P404 acme_eu_ro belongs to acme-eu/)
  })

  it('because its issuer is no longer configured is refused (P602)', () => {
    expect(problem(second, 'acme', ['https://other.example'])).toMatch(/P602/)
  })
})
