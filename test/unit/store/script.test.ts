import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { CqlFault, type CqlRow } from '../../../src/model/cassandra.ts'
import { runScript, statements } from '../../../src/store/script.ts'

const file = (name: string): Promise<string> => readFile(new URL(`../../../deploy/${name}`, import.meta.url), 'utf8')
const session = (answer: (cql: string) => CqlFault | null) => {
  const sent: string[] = []
  const execute = async (cql: string): Promise<readonly CqlRow[]> => {
    sent.push(cql)
    const fault = answer(cql)
    if (fault) throw fault
    return []
  }
  return { sent, execute }
}

describe('a CQL file', () => {
  it('is split at semicolons, but not in text, names or comments', () => {
    expect(statements(`-- a; b\nSELECT ';', "x;y" FROM t /* ; */; // ;\nINSERT 'it''s;'; $$ ; $$`)).toEqual([
      `SELECT ';', "x;y" FROM t`,
      `INSERT 'it''s;'`,
      '$$ ; $$',
    ])
  })

  it('takes values as literals that cannot end themselves', () => {
    expect(statements("A :one; B ':one';", { one: "x'; DROP ROLE y; --" })).toEqual(["A 'x''; DROP ROLE y; --'", "B ':one'"])
  })

  it('does not run at all without a value it asks for', () => {
    expect(() => statements('A; B :two;', { one: '1' })).toThrow(':two')
    expect(() => statements('A :constructor;')).toThrow(':constructor')
  })

  it('runs again: a grant that is there already is no fault', async () => {
    const again = session(cql => (cql.startsWith('GRANT') ? new CqlFault(0x2200, 'slot is a member of role') : null))
    expect(await runScript(again, 'GRANT a TO b; C;')).toBe(2)
    expect(again.sent).toEqual(['GRANT a TO b', 'C'])
  })

  it('stops at the first fault and names the statement without its hash', async () => {
    const broken = session(() => new CqlFault(0x2100, 'not allowed'))
    await expect(runScript(broken, 'ALTER ROLE x\n  WITH HASHED PASSWORD = :hash; B', { hash: 'h' })).rejects.toMatchObject({
      code: 0x2100,
      message: 'ALTER ROLE x: not allowed',
    })
    expect(broken.sent).toHaveLength(1)
  })
})

describe('deploy/cassandra/init.cql', () => {
  it('grants the manager nothing beyond the design', async () => {
    const all = statements(await file('cassandra/init.cql'), { replication_factor: '3', manager_password_hash: 'h' })
    const grants = all.filter(cql => cql.startsWith('GRANT') && cql.endsWith('TO postern_manager'))
    const slot = /^GRANT (ALTER|DESCRIBE) ON ROLE postern_(acme_finance_ro|acme_finance_rw|globex_orders_ro)_[ab] TO /
    expect(grants.filter(cql => !slot.test(cql)).map(cql => cql.replace(' TO postern_manager', ''))).toEqual([
      'GRANT SELECT ON KEYSPACE postern',
      'GRANT MODIFY ON KEYSPACE postern',
      'GRANT SELECT ON TABLE system_views.settings',
      'GRANT SELECT ON TABLE system_views.clients',
      ...['credentials', 'roles', 'network_permissions', 'permissions'].flatMap(cache =>
        ['SELECT', 'MODIFY'].map(permission => `GRANT ${permission} ON TABLE system_views.${cache}_cache_keys`),
      ),
    ])
    expect(grants.filter(cql => slot.test(cql))).toHaveLength(12)
    expect(all.join('\n')).not.toMatch(/SUPERUSER = true|ALL KEYSPACES|ALL ROLES|AUTHORIZE|[^D] PASSWORD/)
  })

  it('and the demo hold no secret, and ask for no value that the runner does not know', async () => {
    const demo = statements(await file('demo/demo.cql'))
    expect(demo.length).toBeGreaterThan(10)
    expect(demo.join('\n')).not.toMatch(/PASSWORD/)
    expect(await file('cassandra/init.cql')).not.toMatch(/\$2[aby]\$\d\d\$/)
  })
})
