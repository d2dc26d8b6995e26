import { describe, expect, it } from 'vitest'
import type { Identity } from '../../../src/model/identity.ts'
import { type Entry, readEntry } from '../../../src/revocation/entry.ts'
import { DenyList, mostEntries } from '../../../src/revocation/list.ts'

const entry = (changes: Partial<Entry> = {}): Entry => ({
  id: 'one',
  kind: 'subject',
  value: 'anna',
  issuer: null,
  issuedUntil: null,
  withoutSession: false,
  at: 1_000,
  until: 60_000,
  why: 'laptop stolen',
  by: 'control',
  removed: false,
  ...changes,
})

const identity = (claims: Readonly<Record<string, unknown>> = {}, changes: Partial<Identity> = {}): Identity => ({
  issuer: 'https://a.example',
  subject: 'anna',
  audiences: ['api'],
  scopes: [],
  agents: [],
  claims: { jti: 'j1', sid: 's1', iat: 10, ...claims },
  expiresAt: 1e12,
  ...changes,
})

const listOf = (...entries: readonly Entry[]): DenyList => {
  const list = new DenyList()
  for (const one of entries) list.put(one)
  return list
}

describe('a denial', () => {
  it.each([
    ['subject', 'anna'],
    ['jti', 'j1'],
    ['sid', 's1'],
  ] as const)('by %s is about that and nothing else', (kind, value) => {
    expect(listOf(entry({ kind, value })).ofCaller(identity(), 2_000)).toMatchObject({ id: 'one' })
    expect(listOf(entry({ kind, value: `${value}x` })).ofCaller(identity(), 2_000)).toBeNull()
  })

  it('of one issuer leaves the same subject of another alone', () => {
    const list = listOf(entry({ issuer: 'https://a.example' }))
    expect(list.ofCaller(identity(), 2_000)).not.toBeNull()
    expect(list.ofCaller(identity({}, { issuer: 'https://b.example' }), 2_000)).toBeNull()
  })

  it('ends at its end, and is dropped by the next sweep', () => {
    const list = listOf(entry())
    expect(list.ofCaller(identity(), 59_999)).not.toBeNull()
    expect(list.ofCaller(identity(), 60_000)).toBeNull()
    expect([list.sweep(60_000), list.size]).toEqual([true, 0])
  })

  it('of a person also refuses those for whom that one acts as an agent', () => {
    expect(listOf(entry()).ofCaller(identity({}, { subject: 'bob', agents: ['mailbot', 'anna'] }), 2_000)).not.toBeNull()
  })

  it('of what was issued before lets a later sign-in pass, and takes a token without a date for an old one', () => {
    const list = listOf(entry({ issuedUntil: 10_000 }))
    expect(list.ofCaller(identity({ iat: 10 }), 2_000)).not.toBeNull()
    expect(list.ofCaller(identity({ iat: 11 }), 2_000)).toBeNull()
    expect(list.ofCaller(identity({ iat: undefined }), 2_000)).not.toBeNull()
  })

  it('of tokens that name no session leaves those of another session alone', () => {
    const list = listOf(entry({ withoutSession: true }))
    expect(list.ofCaller(identity({ sid: undefined }), 2_000)).not.toBeNull()
    expect(list.ofCaller(identity({ sid: 's2' }), 2_000)).toBeNull()
  })

  it('of a tenant is about the tenant alone', () => {
    const list = listOf(entry({ kind: 'tenant', value: 'anna' }))
    expect(list.ofCaller(identity(), 2_000)).toBeNull()
    expect([list.ofTenant('anna', 2_000)?.id, list.ofTenant('anna', 60_000), list.ofTenant('acme', 2_000)]).toEqual(['one', null, null])
  })
})

describe('two copies of one denial', () => {
  it('agree on the removal, in whichever order they meet', () => {
    const removed = entry({ removed: true })
    for (const order of [
      [entry(), removed],
      [removed, entry()],
    ])
      expect(listOf(...order).ofCaller(identity(), 2_000)).toBeNull()
  })

  it('agree on the later act: the same logout once more', () => {
    const again = entry({ at: 2_000, until: 90_000 })
    const list = listOf(entry({ removed: true }), again, entry())
    expect(list.ofCaller(identity(), 80_000)).toEqual(again)
  })
})

describe('the list', () => {
  it('is bounded: full, it takes no new denial, and forgets none', () => {
    const list = new DenyList()
    for (let i = 0; i < mostEntries; i++) list.put(entry({ id: `${i}`, value: `${i}` }))
    expect(list.put(entry())).toBe('full')
    expect(list.size).toBe(mostEntries)
    expect(list.put(entry({ id: '7', value: '7', removed: true }))).toBe('new')
  })

  it('keeps the second denial of a person when the first is removed', () => {
    const list = listOf(entry(), entry({ id: 'two' }), entry({ removed: true }))
    expect(list.ofCaller(identity(), 2_000)?.id).toBe('two')
  })
})

describe('an entry that was read', () => {
  it('is the one that was written', () => {
    expect(readEntry(JSON.parse(JSON.stringify(entry())))).toEqual(entry())
  })

  it.each(Object.keys(entry()))('is none without %s, or with another kind of value there', key => {
    expect(readEntry({ ...entry(), [key]: undefined })).toBeNull()
    expect(readEntry({ ...entry(), [key]: {} })).toBeNull()
  })
})
