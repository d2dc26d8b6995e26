import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { neededTables, schemaScript } from '../../../src/credentials/schema.ts'
import { planned, replicationOf } from '../../../src/provision.ts'
import { statements } from '../../../src/store/script.ts'

const roles = ['acme_finance_ro', 'acme_finance_rw', 'globex_orders_ro']
const plan = { roles, manager: 'postern_manager', replication: null, withCut: false }

describe('the CQL that Postern needs', () => {
  it('is the same in deploy/cassandra/init.cql, for the roles of the demo', async () => {
    const url = new URL('../../../deploy/cassandra/init.cql', import.meta.url)
    expect(await readFile(url, 'utf8')).toBe(schemaScript(plan))
  })

  it('says which tables and columns it makes', () => {
    const shown = Object.fromEntries([...neededTables()].map(([name, columns]) => [name, [...columns].join(' ')]))
    expect(shown).toEqual({
      leases: 'name owner until',
      generations: 'role generation slot state owner at secret not_before not_after cut cut_why asked',
      denials: 'scope id entry',
    })
  })

  it('replicates as asked, and names the data centres as they are', () => {
    const cql = schemaScript({
      ...plan,
      replication: [
        ['dc1', 3],
        ["o'dc", 2],
      ],
    })
    expect(cql).toContain("WITH replication = { 'class': 'NetworkTopologyStrategy', 'dc1': 3, 'o''dc': 2 };")
    expect(statements(cql, { manager_password_hash: 'h' }).join()).not.toContain(':replication_factor')
  })

  it('lets the manager take permission roles away only where that is wished, and says what else it permits', () => {
    expect(schemaScript(plan)).not.toContain('AUTHORIZE')
    const cql = schemaScript({ ...plan, withCut: true })
    expect(cql.match(/^GRANT AUTHORIZE ON ROLE \w+ TO postern_manager;$/gm)).toHaveLength(3)
    expect(cql).toContain('-- It permits more: the manager could grant acme_finance_ro to itself')
  })

  it('takes no name that could be more than a name', () => {
    expect(() => schemaScript({ ...plan, roles: ['x; DROP ROLE y'] })).toThrow(/not a role name/)
  })

  it('counts its statements, and holds no secret', () => {
    const { cql, count } = planned(plan)
    expect(count).toBe(statements(cql, { manager_password_hash: '', replication_factor: '' }).length)
    expect(cql).toContain('HASHED PASSWORD = :manager_password_hash')
  })

  it('is replicated three times in each data centre, or on every node of a smaller one', async () => {
    const execute = async (cql: string) =>
      (cql.includes('peers') ? ['dc2', 'dc1', 'dc1', 'dc1'] : ['dc1']).map(name => ({ data_center: name }))
    expect(await replicationOf({ execute })).toEqual([
      ['dc1', 3],
      ['dc2', 1],
    ])
  })
})
