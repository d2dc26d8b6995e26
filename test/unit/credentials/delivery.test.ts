import { describe, expect, it } from 'vitest'
import { createDeliveries } from '../../../src/credentials/delivery.ts'
import type { Credential } from '../../../src/model/credential.ts'
import { Secret } from '../../../src/model/secret.ts'

const credential = (over: Partial<Credential> = {}): Credential => ({
  role: 'acme_ro',
  username: 'postern_acme_ro_a',
  password: new Secret('s3cret'),
  generation: 7,
  notAfter: Date.parse('2026-11-23T10:00:00Z'),
  nextAt: Date.parse('2026-11-23T09:50:00Z'),
  ...over,
})
const { header } = createDeliveries({ now: Date.now, sealer: () => null })
const backend = { name: 'api', key: null }

describe('delivery by header', () => {
  it('gives five fields, name and value alternating', () => {
    expect(header.deliver(credential(), backend)).toEqual([
      'x-postern-cassandra-username',
      'postern_acme_ro_a',
      'x-postern-cassandra-password',
      's3cret',
      'x-postern-cassandra-role',
      'acme_ro',
      'x-postern-cassandra-generation',
      '7',
      'x-postern-cassandra-expires',
      '2026-11-23T10:00:00.000Z',
    ])
  })

  it('says nothing about the end of a credential that has none', () => {
    expect(header.deliver(credential({ notAfter: Number.POSITIVE_INFINITY }), backend)).not.toContain('x-postern-cassandra-expires')
  })

  it.each(['a\r\nx-admin: 1', 'a\n', 'a b', 'é', '\0', '', 'a'.repeat(513)])('refuses %j, and does not repeat it', text => {
    for (const over of [{ password: new Secret(text) }, { username: text }]) {
      const answer = header.deliver(credential(over), backend)
      expect(answer).toMatchObject({ unavailable: 'credential-unavailable' })
      if (text !== '') expect(JSON.stringify(answer)).not.toContain(JSON.stringify(text).slice(1, -1).concat('"'))
    }
  })

  it.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1', 'unix'])('goes to %s', peer =>
    expect(header.isSafeHop(peer, false)).toBe(true),
  )

  it.each(['10.0.0.1', '::ffff:10.0.0.1', 'localhost', '127.0.0.1.example.com', '', '0.0.0.0', '::', '1270.0.0.1', 'fe80::1'])(
    'never goes to %j',
    peer => expect(header.isSafeHop(peer, false)).toBe(false),
  )
})
