import { describe, expect, it } from 'vitest'
import { Permit } from '../../../src/model/permit.ts'
import { allow, composed, decide, deny, engineFor, facts, file, handing, platformFile, said, tenantFile } from './fixtures.ts'

describe('the order of a decision', () => {
  const rules = [deny('own', { to: 'GET /v1/b' }), allow('all', { to: 'GET /v1/**', ...handing('acme_ro') })]
  const engine = engineFor({ rules }, { rules: [deny('above', { to: 'GET /v1/c' })] })

  it('platform denies, then tenant denies, then allows, then deny by default', () => {
    expect(decide(engine, { call: 'GET /v1/c' })).toBe('deny above')
    expect(decide(engine, { call: 'GET /v1/b' })).toBe('deny own')
    expect(decide(engine, { call: 'GET /v1/a' })).toBe('allow all')
    expect(decide(engine, { call: 'POST /v1/a' })).toBe('deny default')
  })

  it('an allow is a Permit that names tenant, rule, digest and role', () => {
    const decision = engine.decide(facts())
    const permit = decision.effect === 'allow' ? decision.permit : null
    expect(Permit.is(permit)).toBe(true)
    expect(permit).toMatchObject({ tenant: 'acme', rule: 'all', cassandraRole: 'acme_ro', policyDigest: engine.tenants[0]?.digestEnforced })
  })

  it('a permit says when its allow ends, for the streams that it opens', () => {
    const until = engineFor({ rules: [allow('read', { until: '2026-12-20T18:00:00+01:00' })] })
    const decision = until.decide(facts())
    expect(decision.effect === 'allow' && decision.permit.until).toBe(Date.parse('2026-12-20T17:00:00Z'))
    const open = engine.decide(facts())
    expect(open.effect === 'allow' && open.permit.until).toBeNull()
  })

  it('a refusal says which file refused, with a code for each kind', () => {
    const composition = composed([platformFile({ rules: [deny('above', { to: 'GET /v1/c' })] }), tenantFile('acme', { rules })])
    const acme = composition.entries.get('acme')?.enforced?.digest
    const ask = (call: string, tid = 'acme') => composition.engine.decide(facts({ call, claims: { tid } }))
    expect(ask('GET /v1/c')).toMatchObject({
      code: 'PST2101',
      reason: 'above',
      tenant: 'acme',
      policyDigest: composition.platform.digest,
      inDoubt: false,
    })
    expect(ask('GET /v1/b')).toMatchObject({ code: 'PST2101', reason: 'own', tenant: 'acme', policyDigest: acme })
    expect(ask('PUT /v1/b')).toMatchObject({ code: 'PST2102', reason: 'default', tenant: 'acme', policyDigest: acme })
    expect(ask('GET /v1/a', 'x')).toMatchObject({ code: 'PST2103', reason: 'tenant-mismatch', tenant: null, policyDigest: null })
  })
})

describe('needs-login', () => {
  const login = { acr: ['phrh', 'phr'], amr: 'hwk', within: '15m' }
  const who = { leads: { scopes: 'pay' } }
  const rules = [allow('pay', { who: 'leads', 'needs-login': login }), allow('broad')]
  const now = Date.parse('2026-11-23T10:00:00Z')
  const signedIn = (ago: number, extra: object = {}) => ({ acr: 'phr', amr: ['pwd', 'hwk'], auth_time: now / 1000 - ago, ...extra })
  const ask = (claims: Record<string, unknown>) => decide(engineFor({ who, rules }), { scopes: ['pay'], now, claims })

  it('is met by one of acr, one of amr, and a sign-in that is not too old', () => {
    expect(ask(signedIn(0))).toBe('allow pay')
    expect(ask(signedIn(900, { acr: 'phrh' }))).toBe('allow pay')
    expect(ask(signedIn(-60))).toBe('allow pay')
  })

  it.each<[string, Record<string, unknown>]>([
    ['a sign-in too long ago', signedIn(900.001)],
    ['a sign-in more than 60 s ahead', signedIn(-60.001)],
    ['no auth_time', { acr: 'phr', amr: ['hwk'] }],
    ['auth_time as text', signedIn(0, { auth_time: '1700000000' })],
    ['another acr', signedIn(0, { acr: 'pwd' })],
    ['no acr', { amr: ['hwk'], auth_time: now / 1000 }],
    ['another amr', signedIn(0, { amr: ['otp'] })],
    ['amr as text', signedIn(0, { amr: 'hwk' })],
  ])('%s is step-up, and no later allow undoes it', (_, claims) => {
    expect(ask(claims)).toBe('step-up pay')
  })

  it('is judged only for the allow that decides, and after every deny', () => {
    expect(decide(engineFor({ who, rules }), { now })).toBe('allow broad')
    expect(decide(engineFor({ who, rules: [deny('stop'), ...rules] }), { scopes: ['pay'], now })).toBe('deny stop')
  })

  it('a step-up says what sign-in would be enough', () => {
    const challenged = (needs: object) => {
      const decision = engineFor({ rules: [allow('pay', { 'needs-login': needs })] }).decide(facts({ now }))
      return decision.effect === 'deny' ? [decision.code, decision.tenant, decision.challenge] : []
    }
    expect(challenged(login)).toEqual(['PST2106', 'acme', { acrValues: ['phrh', 'phr'], maxAge: 900 }])
    expect(challenged({ amr: ['hwk'] })).toEqual(['PST2106', 'acme', { acrValues: [], maxAge: null }])
    expect(challenged({ within: '30d' })).toEqual(['PST2106', 'acme', { acrValues: [], maxAge: 2_592_000 }])
  })
})

describe('mode: shadow', () => {
  const mode = 'shadow'
  const shadowOf = (rules: object[], platform: object = {}): [string, string | null] => {
    const decision = engineFor({ rules }, platform).decide(facts())
    return [said(decision), decision.shadow && `${decision.shadow.effect} ${decision.shadow.rule}`]
  }

  it('an allow grants nothing, a deny refuses nothing, and both say what they would have done', () => {
    expect(shadowOf([allow('try', { mode })])).toEqual(['deny default', 'allow try'])
    expect(shadowOf([deny('try', { mode }), allow('read')])).toEqual(['allow read', 'deny try'])
    expect(shadowOf([allow('try', { mode, 'needs-login': { acr: 'high' } })])).toEqual(['deny default', 'step-up try'])
    expect(shadowOf([allow('read')], { rules: [deny('above', { mode })] })).toEqual(['allow read', 'deny above'])
  })

  it('the whole policy is decided again, so what stands before a shadow rule still comes first', () => {
    expect(shadowOf([deny('stop'), allow('try', { mode })])).toEqual(['deny stop', 'deny stop'])
    expect(shadowOf([allow('read'), allow('try', { mode })])).toEqual(['allow read', 'allow read'])
    expect(shadowOf([allow('try', { mode }), allow('read')])).toEqual(['allow read', 'allow try'])
  })

  it('there is no second decision where no shadow rule is on the route, nor outside a tenant', () => {
    expect(shadowOf([allow('read'), allow('try', { mode, to: 'POST /v1/a' })])).toEqual(['allow read', null])
    expect(engineFor({ rules: [allow('try', { mode })] }).decide(facts({ claims: { tid: 'x' } })).shadow).toBeNull()
  })

  it('the role of a shadow allow is handed to nobody, so its credential is not asked for', () => {
    const rules = [allow('try', { mode, ...handing('acme_rw') }), allow('read', handing('acme_ro'))]
    expect(engineFor({ rules }).roles).toEqual(['acme_ro'])
  })

  it('the second decision names the file that would refuse', () => {
    const engine = engineFor({ rules: [allow('read')] }, { rules: [deny('above', { mode })] })
    const { shadow } = engine.decide(facts())
    expect(shadow?.policyDigest).not.toBe(engine.tenants[0]?.digestEnforced)
  })
})

describe('recognition', () => {
  const recognise = {
    host: ['a.example', 'b.example'],
    issuer: ['https://idp.example', 'https://two.example'],
    audience: ['api', 'web'],
    claims: { tid: ['acme', 'acme-old'], env: 'prod' },
  }
  const engine = engineFor({ recognise, rules: [allow('read')] })
  const claims = { tid: 'acme', env: 'prod' }
  const right = { host: 'b.example', issuer: 'https://two.example', audiences: ['x', 'web'], claims }

  it('every line must agree', () => {
    expect(decide(engine, right)).toBe('allow read')
    expect(decide(engine, { ...right, claims: { tid: ['x', 'acme-old'], env: 'prod' } })).toBe('allow read')
    for (const wrong of [
      { host: 'c.example' },
      { issuer: 'https://two.example/' },
      { audiences: [] },
      { audiences: ['API'] },
      { claims: { tid: 'acme', env: 'test' } },
      { claims: { tid: 'acme' } },
      { claims: { tid: 7, env: 'prod' } },
      { claims: { tid: ['x'], env: 'prod' } },
    ])
      expect(decide(engine, { ...right, ...wrong })).toBe('deny tenant-mismatch')
  })

  it('a token of two tenants is a token of none', () => {
    const two = composed([platformFile(), tenantFile('acme', { rules: [allow('read')] }), tenantFile('globex', { rules: [allow('read')] })])
    expect(decide(two.engine, { claims: { tid: ['acme', 'x'] } })).toBe('allow read')
    expect(decide(two.engine, { claims: { tid: ['acme', 'globex'] } })).toBe('deny tenant-mismatch')
  })

  it('a tenant with two of the values in one list claim is found once', () => {
    expect(decide(engine, { ...right, claims: { tid: ['acme', 'acme-old'], env: 'prod' } })).toBe('allow read')
  })

  it('a host tells the tenant only if it belongs to one alone, and no tenant comes without hosts', () => {
    const hosted = (tenant: string, host: string | string[]) =>
      tenantFile(tenant, { recognise: { host, issuer: 'https://idp.example', audience: 'api', claims: { tid: tenant } } })
    const { engine: both } = composed([
      platformFile(),
      hosted('acme', ['a.example', 's.example']),
      hosted('globex', ['g.example', 's.example']),
    ])
    expect(['a.example', 'g.example', 's.example', 'x.example'].map(host => both.tenantOfHost(host))).toEqual([
      'acme',
      'globex',
      null,
      null,
    ])
    expect(both.decide(facts({ host: 'a.example', claims: { tid: 'x' } }))).toMatchObject({ reason: 'tenant-mismatch', tenant: 'acme' })
    expect(both.decide(facts({ host: 's.example', claims: { tid: 'x' } }))).toMatchObject({ reason: 'tenant-mismatch', tenant: null })
    const { engine: open } = composed([platformFile(), hosted('acme', 'a.example'), tenantFile('globex')])
    expect(open.tenantOfHost('a.example')).toBe(null)
  })

  it('a thousand tenants behind one issuer are told apart by their claim', () => {
    const files = Array.from({ length: 1000 }, (_, i) => tenantFile(`t${i}`, { rules: [allow(`read-${i}`)] }))
    const many = composed([platformFile(), ...files])
    expect(decide(many.engine, { claims: { tid: 't617' } })).toBe('allow read-617')
    expect(decide(many.engine, { claims: { tid: 't1000' } })).toBe('deny tenant-mismatch')
  })
})

describe('a tenant without a good version', () => {
  const broken = (extra: object) => tenantFile('acme', { rules: 'x', ...extra })
  it('gets 503 for what its recognise claims', () => {
    const { engine } = composed([platformFile(), broken({}), tenantFile('globex', { rules: [allow('read')] })])
    expect(engine.decide(facts())).toMatchObject({
      effect: 'deny',
      code: 'PST2104',
      reason: 'policy-unavailable',
      tenant: 'acme',
      policyDigest: null,
      inDoubt: false,
      challenge: null,
      shadow: null,
    })
    expect(decide(engine, { claims: { tid: 'globex' } })).toBe('allow read')
  })
  it('gets tenant-mismatch if even its recognise is unreadable', () => {
    const { engine } = composed([platformFile(), broken({ recognise: {} }), file('globex.policy.yaml', '{')])
    expect(said(engine.decide(facts()))).toBe('deny tenant-mismatch')
    expect(engine.tenants.map(tenant => tenant.state)).toEqual(['unavailable', 'unavailable'])
  })
  it('takes no request from a tenant in force, though its lines claim all of them', () => {
    const greedy = broken({ recognise: { issuer: 'https://idp.example', audience: 'api' } })
    const { engine } = composed([platformFile(), greedy, tenantFile('globex', { rules: [allow('read')] })])
    expect(decide(engine, { claims: { tid: 'globex' } })).toBe('allow read')
    expect(decide(engine, { claims: { tid: 'other' } })).toBe('deny policy-unavailable')
  })
})
