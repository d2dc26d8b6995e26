import { describe, expect, it } from 'vitest'
import { allow, decide, deny, engineFor, handing } from './fixtures.ts'

/** Whether an allow, and whether a deny, on these lines covers the call. */
const covered = (to: string | string[], call: string): [boolean, boolean] => [
  decide(engineFor({ rules: [allow('read', { to })] }), { call }) === 'allow read',
  decide(engineFor({ rules: [deny('stop', { to })] }), { call }) === 'deny stop',
]
const yes = [true, true]
const no = [false, false]
const denyOnly = [false, true]

describe('paths', () => {
  it.each<[string, string, readonly boolean[]]>([
    ['/v1/a', '/v1/a', yes],
    ['/v1/a', '/v1/A', no],
    ['/v1/a', '/v1/ab', no],
    ['/v1/a', '/v1', no],
    ['/v1/a', '/v1/a/b', no],
    ['/v1/a', '/v1/a/', denyOnly],
    ['/v1/a/', '/v1/a/', yes],
    ['/v1/a/', '/v1/a', denyOnly],
    ['/', '/', yes],
    ['/', '/a', no],
    ['/v1/{x}', '/v1/a', yes],
    ['/v1/{x}', '/v1/', no],
    ['/v1/{x}', '/v1', no],
    ['/v1/{x}', '/v1/a/b', no],
    ['/v1/{x}', '/v1/a/', denyOnly],
    ['/v1/{x}/c', '/v1/a/c', yes],
    ['/v1/**', '/v1', yes],
    ['/v1/**', '/v1/', yes],
    ['/v1/**', '/v1/a/b/c', yes],
    ['/v1/**', '/v10', no],
    ['/v1/{x}/**', '/v1', no],
    ['/v1/{x}/**', '/v1/a', yes],
    ['/**', '/', yes],
    ['/**', '/a/b', yes],
    ['/v1/caf%c3%a9', '/v1/caf%C3%A9', yes],
    ['/v1/%61', '/v1/a', yes],
    ['/v1/100%25', '/v1/100%25', yes],
  ])('%s and %s', (pattern, path, expected) => {
    expect(covered(`GET ${pattern}`, `GET ${path}`)).toEqual(expected)
  })

  it('a literal and a variable on one segment are both candidates', () => {
    const engine = engineFor({ rules: [deny('stop', { to: 'GET /v1/{x}/c' }), allow('read', { to: 'GET /v1/a/**' })] })
    expect(decide(engine, { call: 'GET /v1/a/c' })).toBe('deny stop')
    expect(decide(engine, { call: 'GET /v1/a/d' })).toBe('allow read')
  })
})

describe('hundreds of names on one segment', () => {
  const names = [
    ...Array.from({ length: 300 }, (_, i) => `resource-${i}`),
    ...Array.from({ length: 300 }, (_, i) => `${(i * 7919) % 997}x${(i * 104_729) % 991}`),
    ...['a', 'b', 'ab', 'ba', 'abc', 'cba', 'caf%C3%A9', 'caf%C3%A8', '%F0%9F%98%80', '%F0%9F%98%81', '~', '-', 'A', 'aa'],
  ]
  const unique = [...new Set(names)]
  const engine = engineFor({
    rules: unique.flatMap((name, i) => [deny(`d${i}`, { to: `POST /v1/${name}` }), allow(`a${i}`, { to: `GET /v1/${name}` })]),
  })

  it('are each found, for denies and for allows, and nothing beside them', () => {
    for (const [i, name] of unique.entries()) {
      expect(decide(engine, { call: `GET /v1/${name}` }), name).toBe(`allow a${i}`)
      expect(decide(engine, { call: `POST /v1/${name}` }), name).toBe(`deny d${i}`)
      for (const other of [`${name}0`, `0${name}`, name.slice(0, -1) + (name.endsWith('!') ? '$' : '!')])
        if (!unique.includes(other) && !/%[^%]?$|%.!$/.test(other))
          expect(decide(engine, { call: `GET /v1/${other}` }), other).toBe('deny default')
    }
  })
})

describe('methods', () => {
  it('GET is not HEAD, ANY is every method, a line may name several', () => {
    expect(covered('GET /v1/a', 'HEAD /v1/a')).toEqual(no)
    expect(covered('GET HEAD /v1/a', 'HEAD /v1/a')).toEqual(yes)
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      expect(covered('ANY /v1/a', `${method} /v1/a`)).toEqual(yes)
    expect(covered(['POST /v1/a', 'GET /v1/b'], 'GET /v1/b')).toEqual(yes)
    expect(covered(['POST /v1/a', 'GET /v1/b'], 'GET /v1/a')).toEqual(no)
  })
})

describe('file order decides, not how exact a pattern is', () => {
  it('the first allow that matches supplies the role', () => {
    const role = handing
    const rules = [
      allow('wide', { to: 'GET /v1/**', who: 'staff', ...role('acme_a') }),
      allow('exact', { to: 'GET /v1/a', ...role('acme_b') }),
      allow('var', { to: 'GET /v1/{x}', ...role('acme_c') }),
    ]
    const engine = engineFor({ claims: { groups: 'list<string>?' }, who: { staff: { groups: 'staff' } }, rules })
    expect(decide(engine, { claims: { groups: ['staff'] } })).toBe('allow wide')
    expect(decide(engine, {})).toBe('allow exact')
    expect(decide(engine, { call: 'GET /v1/z' })).toBe('allow var')
    expect(engine.roles).toEqual(['acme_a', 'acme_b', 'acme_c'])
  })
})
