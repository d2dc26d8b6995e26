import { describe, expect, it } from 'vitest'
import { otherSlot, slotName, wrongRole } from '../../../src/credentials/names.ts'

describe('names of roles', () => {
  it.each(['acme_finance_ro', 'a', `a${'b'.repeat(37)}`, 'systematic', 'posterns'])('%s may name a permission role', name => {
    expect(wrongRole(name)).toBeNull()
    expect(slotName(name, 'a')).toMatch(/^[a-z][a-z0-9_]{0,47}$/)
  })

  it.each([
    '',
    'A',
    '1a',
    '_a',
    `a${'b'.repeat(38)}`,
    'a-b',
    'a b',
    'a"b',
    "a'; DROP ROLE x; --",
    'a\n',
    'é',
    'postern',
    'postern_x',
    'cassandra',
    'system_auth',
  ])('%j may not, and never becomes part of a statement', name => {
    expect(wrongRole(name)).not.toBeNull()
    expect(() => slotName(name, 'a')).toThrow()
  })

  it('has two slots', () => {
    expect([slotName('acme_ro', 'a'), slotName('acme_ro', otherSlot('a')), otherSlot('b')]).toEqual([
      'postern_acme_ro_a',
      'postern_acme_ro_b',
      'a',
    ])
  })
})
