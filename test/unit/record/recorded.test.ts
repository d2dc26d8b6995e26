import { describe, expect, it } from 'vitest'
import { Replay } from '../../../src/policy/tools/replay.ts'
import { factHash } from '../../../src/record/facts.ts'
import { readRecord } from '../../../src/record/recorded.ts'
import { hashed, hashKey, inClear, readBack, recorder, withheld } from '../../support/records.ts'
import { allow, composed, facts, platformFile, tenantFile } from '../policy/fixtures.ts'

const policy = {
  claims: { groups: 'list<string>', level: 'number?', roles: 'list<string>? from /realm/roles' },
  who: { staff: { groups: ['g1'], scopes: ['s'], claims: { level: [3], roles: ['r'] } } },
  rules: [
    allow('read', { who: 'staff', when: { header: { 'x-a': 'on' }, query: { q: ['csv'], n: '1..5' } }, 'needs-login': { acr: ['a'] } }),
  ],
}
const composition = composed([platformFile(), tenantFile('acme', policy)])
const asked = facts({
  call: 'GET /v1/a?q=csv&q=%ff&n=3&%zz',
  scopes: ['s'],
  agents: ['bot'],
  headers: ['x-a', 'on', 'x-a', ''],
  claims: { groups: ['g1', 'g9'], level: 3, realm: { roles: ['r'] }, acr: 'a', hasgroups: true },
})
const lines = [inClear, hashed(), withheld].map(options => recorder(options)(composition.engine, asked))

describe('a record read back', () => {
  it('is what was decided on', () => {
    const { facts: told, ...recorded } = readBack(lines[0] ?? '')
    expect(recorded).toMatchObject({
      tenant: 'acme',
      issuer: 'https://idp.example',
      subject: 'anna',
      agents: ['bot'],
      method: 'GET',
      host: 'api.example',
      path: '/v1/a',
      clientIp: '10.1.2.3',
      effect: 'deny',
      rule: 'default',
      role: null,
      policyDigest: composition.engine.tenants[0]?.digestEnforced,
      platformDigest: composition.platform.digest,
      cut: [],
    })
    expect(told?.incomplete).toEqual(['hasgroups', 'query'])
  })

  it('says which deciding fields were cut', () => {
    const long = { ...asked, origin: { ...asked.origin, target: { path: `/v1/${'a'.repeat(5000)}`, query: null } } }
    expect(readBack(recorder(inClear)(composition.engine, long)).cut).toEqual(['path'])
  })

  it('is nothing where a line is no record of this format', () => {
    for (const line of ['', '{', '[]', 'null', '7', '{}', '{"v":"postern/audit/v2","kind":"exchange"}', '{"v":"postern/audit/v1"}'])
      expect(readRecord(line), line).toBeNull()
  })

  it('never makes a replay fail, whatever somebody wrote into it', () => {
    const tenants = [...composition.entries.values()].flatMap(({ enforced }) =>
      enforced?.policy && enforced.recognise ? [{ policy: enforced.policy, recognise: enforced.recognise }] : [],
    )
    if (composition.platform.policy === null) throw new Error('no platform')
    const replay = new Replay({ platform: composition.platform.policy, tenants }, [factHash(hashKey)])
    const odd: readonly unknown[] = [
      null,
      7,
      '',
      'x',
      '\ud800',
      [],
      ['x'],
      [null],
      [7, 'x'],
      {},
      { __proto__: 'x', 'query.\ud800': ['\ud800'] },
      true,
    ]
    let tried = 0
    for (const line of lines)
      for (const path of pathsOf(JSON.parse(line)))
        for (const value of odd) {
          const read = readRecord(JSON.stringify(replaced(JSON.parse(line), path, value)))
          if (read !== null && 'recorded' in read) replay.add(read.recorded)
          tried++
        }
    expect(tried).toBeGreaterThan(1000)
  })
})

type Path = readonly string[]

const pathsOf = (value: unknown): readonly Path[] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => [[key], ...pathsOf(inner).map(path => [key, ...path])])
    : []

const replaced = (value: unknown, [key, ...rest]: Path, by: unknown): unknown => {
  if (key === undefined || typeof value !== 'object' || value === null) return by
  const copy: Record<string, unknown> = Array.isArray(value) ? ([...value] as unknown as Record<string, unknown>) : { ...value }
  copy[key] = replaced(copy[key], rest, by)
  return copy
}
