import { describe, expect, it } from 'vitest'
import { inClear, readBack, recorder } from '../../support/records.ts'
import { type Asked, allow, composed, deny, facts, platformFile, tenantFile } from './fixtures.ts'

/** Names of the facts on the record of one request. */
const recorded = (policy: object, asked: Asked = {}, platform: object = {}) => {
  const { engine } = composed([platformFile(platform), tenantFile('acme', policy)])
  return readBack(recorder(inClear)(engine, facts(asked))).facts
}
const names = (...given: Parameters<typeof recorded>): string[] => [...(recorded(...given)?.values.keys() ?? [])].sort()

const claims = { groups: 'list<string>', region: 'string?', unread: 'string?' }

describe('the facts of a record', () => {
  it('are what the rules read, and nothing else that the token or request carries', () => {
    const policy = {
      claims,
      who: { staff: { groups: ['g1'] }, nobody: { claims: { unread: 'x' } } },
      rules: [allow('read', { who: 'staff', when: { header: { 'x-a': 'present' }, query: { q: 'csv' } } })],
    }
    const asked = { claims: { groups: ['g1'], region: 'eu', unread: 'u', email: 'e' }, headers: ['x-a', '1', 'x-b', '2'] }
    expect(names(policy, asked)).toEqual(['aud', 'groups', 'header.x-a', 'query.q', 'tid'])
  })

  it('come from names within names, from exceptions, from persons behind agents, and from the platform', () => {
    const who = {
      one: { claims: { region: 'eu' } },
      two: ['one', { scopes: ['s'] }],
      bot: { agent: 'any', for: 'staff' },
      staff: { groups: ['g1'] },
    }
    const policy = { claims, who, rules: [deny('d', { who: 'two', except: 'bot' })] }
    const platform = { rules: [deny('p', { when: { query: { z: 'present' } } })] }
    expect(names(policy, {}, platform)).toEqual(['aud', 'groups', 'query.z', 'region', 'scope', 'tid'])
  })

  it('hold how the person signed in where an allow asks for it', () => {
    const policy = { rules: [allow('a', { 'needs-login': { acr: ['high'], amr: ['hwk'], within: '5m' } })] }
    expect(names(policy)).toEqual(['acr', 'amr', 'aud', 'auth_time', 'tid'])
  })

  it('are named by where the token carries them, so that a version that reads another claim finds none', () => {
    const from = { region: 'string? from cognito:region', groups: 'list<string>? from /realm_access/roles' }
    const policy = { claims: from, who: { w: { groups: ['g1'], claims: { region: 'eu' } } }, rules: [allow('a', { who: 'w' })] }
    const { values } = recorded(policy, { claims: { 'cognito:region': 'eu', realm_access: { roles: ['g1'] } } }) ?? { values: new Map() }
    expect(values.get('cognito:region')).toEqual({ kind: 'plain', value: 'eu' })
    expect(values.get('/realm_access/roles')).toEqual({ kind: 'plain', value: ['g1'] })
    expect(values.has('region')).toBe(false)
  })

  it('tell absent, faulty, repeated and undecodable inputs apart', () => {
    const policy = {
      claims,
      who: { w: { groups: ['g1'], claims: { region: 'eu' } } },
      rules: [allow('a', { who: 'w', when: { header: { 'x-a': 'on', 'x-b': 'on' }, query: { q: 'csv', r: 'csv' } } })],
    }
    const asked = { call: 'GET /v1/a?q=csv&q=%ff&%zz=1', claims: { groups: { a: 1 } }, headers: ['x-a', ' on ', 'x-a', 'off'] }
    const { values, incomplete } = recorded(policy, asked) ?? { values: new Map(), incomplete: [] }
    expect(Object.fromEntries(values)).toMatchObject({
      groups: { kind: 'faulty' },
      region: { kind: 'absent' },
      'header.x-a': { kind: 'plain', value: ['on', 'off'] },
      'header.x-b': { kind: 'absent' },
      'query.q': { kind: 'plain', value: ['csv', null] },
      'query.r': { kind: 'absent' },
    })
    expect(incomplete).toEqual(['query'])
  })

  it('say which groups the token left out', () => {
    const policy = { claims, who: { w: { groups: ['g1'] } }, rules: [allow('a', { who: 'w' })] }
    expect(recorded(policy, { claims: { hasgroups: true } })?.incomplete).toEqual(['hasgroups'])
    expect(recorded(policy, { claims: { _claim_names: { groups: 's' } } })?.incomplete).toEqual(['groups'])
  })

  it('of a caller of no tenant are what tells tenants apart', () => {
    expect(names({ claims, rules: [allow('a')] }, { claims: { tid: 'nobody', groups: ['g1'] } })).toEqual(['aud', 'tid'])
  })

  it('change their digest of recognition only with what recognise says', () => {
    const recognise = { issuer: 'https://idp.example', audience: ['api', 'b'], claims: { tid: 'acme' } }
    const of = (own: object): string | null => recorded({ recognise: own, rules: [] })?.recognised ?? null
    expect(of(recognise)).toMatch(/^[0-9a-f]{32}$/)
    expect(of({ ...recognise, audience: ['b', 'api'] })).toBe(of(recognise))
    expect(of({ ...recognise, audience: ['api'] })).not.toBe(of(recognise))
    expect(of({ ...recognise, host: 'api.example' })).not.toBe(of(recognise))
  })
})
