import { randomBytes } from 'node:crypto'
import { compare } from 'bcryptjs'
import { describe, expect, it } from 'vitest'
import { hashPassword, isHash, newPassword } from '../../../src/credentials/hash.ts'
import { forgetCached, rekey } from '../../../src/credentials/slot.ts'
import { FakeCluster } from '../../support/fake-cassandra.ts'
import { ManualClock } from '../../support/manual-clock.ts'

describe('passwords', () => {
  it('have 256 random bits and no character that a header refuses', () => {
    const passwords = Array.from({ length: 50 }, () => newPassword(randomBytes).open())
    for (const password of passwords) expect(password).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(new Set(passwords).size).toBe(50)
  })

  it('are hashed as the only form that Cassandra takes, and verify', async () => {
    const password = newPassword(randomBytes)
    const hash = await hashPassword(password)
    expect(hash).toMatch(/^\$2a\$04\$/)
    expect(hash).toHaveLength(60)
    expect(await compare(password.open(), hash)).toBe(true)
  })

  it.each([
    '$2b$04$cccccccccccccccccccccccccccccccccccccccccccccccccccccc',
    '$2a$04$short',
    `$2a$04$${'a'.repeat(52)}'`,
    `$2a$04$${'a'.repeat(54)}`,
    '',
  ])('%s is never sent: Cassandra would take it, and nobody could log in', async hash => {
    const session = new FakeCluster(new ManualClock()).session()
    const sent: string[] = []
    session.seen = cql => sent.push(cql)
    expect(isHash(hash)).toBe(false)
    await expect(rekey(session, 'postern_acme_ro_a', hash)).rejects.toThrow()
    await expect(rekey(session, "x' OR '1", `$2a$04$${'a'.repeat(53)}`)).rejects.toThrow()
    expect(sent).toEqual([])
  })

  it('are forgotten on every node, and a node that refuses is no fault: its entry ages', async () => {
    const session = new FakeCluster(new ManualClock()).session()
    const sent: string[] = []
    session.seen = cql => sent.push(cql)
    session.mishap = () => 'fails'
    await forgetCached(session, 'postern_acme_ro_a')
    // Three caches hold something about a login, on two nodes.
    expect(sent).toHaveLength(6)
  })
})
