import { describe, expect, it } from 'vitest'
import { initFor } from '../../../src/identity/discovery.ts'
import type { IssuerEntry } from '../../../src/identity/issuer-entry.ts'
import { entryFor, settingsOf } from '../../support/issuer.ts'

describe('T22: a call to a provider', () => {
  const init = (url: string, changes: Partial<IssuerEntry> = {}) =>
    initFor(settingsOf(entryFor('https://login.example.com', changes)), new URL(url), { timeout: 1, maxBytes: 2 })

  it.each([
    ['https://login.example.com/jwks', {}, { reach: 'public' }],
    ['https://elsewhere.example.com/jwks', {}, { reach: 'public' }],
    ['https://login.example.com/jwks', { 'allow-private-addresses': true }, { reach: 'private' }],
    ['http://localhost/jwks', { 'allow-private-addresses': true }, { reach: 'loopback' }],
    ['https://login.example.com/jwks', { proxy: 'http://proxy:3128' }, { reach: 'public', proxy: 'http://proxy:3128' }],
  ] as const)('%s with %j is bound to %j', (url, changes, expected) => {
    expect(init(url, changes)).toEqual({ timeout: 1, maxBytes: 2, ...expected })
  })
})
