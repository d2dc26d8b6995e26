import { expect, test } from 'vitest'
import { statusLines } from '../../../cmd/status.ts'

test('people read moments as instants and short lists on one line', () => {
  const answer = {
    ready: true,
    decide: null,
    audit: { checkpoint: { time: 1795406939365, size: 11 } },
    credentials: [{ role: 'acme_ro', holder: '', nextAt: 1795406969490, notAfter: null }],
    proof: ['shared-secret', 'source-range'],
    observing: [],
  }
  expect(statusLines(answer)).toEqual([
    'ready: true',
    'decide: null',
    'audit:',
    '  checkpoint:',
    '    time: 2026-11-23T04:08:59.365Z',
    '    size: 11',
    'credentials:',
    '  -',
    '    role: acme_ro',
    '    holder:',
    '    nextAt: 2026-11-23T04:09:29.490Z',
    '    notAfter: null',
    'proof: shared-secret, source-range',
    'observing: none',
  ])
})
