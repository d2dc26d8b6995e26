import { describe, expect, it } from 'vitest'
import { examine } from '../../../src/credentials/doctor/examine.ts'
import { type ClusterFacts, type Grant, gather, type NodeFacts } from '../../../src/credentials/doctor/facts.ts'
import { caches, neededTables } from '../../../src/credentials/schema.ts'
import { CqlFault, type CqlRow } from '../../../src/model/cassandra.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const role = 'acme_finance_ro'
const [a, b] = [`postern_${role}_a`, `postern_${role}_b`]
const manager = 'postern_manager'
const wanted = { roles: [role], rotateEvery: 900_000, overlap: 300_000 }

const settings = new Map([
  ['auth_read_consistency_level', 'LOCAL_QUORUM'],
  ['auth_write_consistency_level', 'EACH_QUORUM'],
  ['authenticator.class_name', 'PasswordAuthenticator'],
  ['authorizer.class_name', 'org.apache.cassandra.auth.CassandraAuthorizer'],
  ['network_authorizer.class_name', 'CassandraNetworkAuthorizer'],
  ['cidr_authorizer.class_name', 'null'],
  ['credentials_validity', '2s'],
  ['roles_validity', '2000ms'],
  ['permissions_validity_in_ms', '2000'],
  ['page_size_fail_threshold', '-1'],
  ['tombstone_failure_threshold', '100000'],
])
const node = (host: string, more: Partial<NodeFacts> = {}): NodeFacts => ({
  host,
  version: '5.0.8',
  dataCenter: 'dc1',
  settings,
  skew: 3,
  skewDoubt: 2,
  ...more,
})
const grant = (resource: string, permission: string, of = manager): Grant => ({ role: of, resource, permission })
const managerGrants: readonly Grant[] = [
  grant('<keyspace postern>', 'SELECT'),
  grant('<keyspace postern>', 'MODIFY'),
  grant('<table system_views.settings>', 'SELECT'),
  grant('<table system_views.clients>', 'SELECT'),
  ...caches.flatMap(cache => ['SELECT', 'MODIFY'].map(permission => grant(`<table system_views.${cache}>`, permission))),
  ...[a, b].flatMap(login => ['ALTER', 'DESCRIBE'].map(permission => grant(`<role ${login}>`, permission))),
]
const three = { class: 'org.apache.cassandra.locator.NetworkTopologyStrategy', dc1: '3' }
const slotGrants = [grant('<table acme.invoices>', 'SELECT', role)]

/** A cluster as it should be. */
const sound: ClusterFacts = {
  manager,
  nodes: ['10.0.0.1:9042', '10.0.0.2:9042', '10.0.0.3:9042'].map(host => node(host)),
  members: new Map([['dc1', 3]]),
  replication: new Map([
    ['system_auth', three],
    ['postern', three],
  ]),
  managerGrants,
  managerRoles: [manager],
  isSuperuser: false,
  slots: [
    { role, login: a, grants: slotGrants },
    { role, login: b, grants: slotGrants },
  ],
  standardLogin: 'refused',
  tables: neededTables(),
}

const findings = (change: Partial<ClusterFacts>): readonly string[] =>
  examine({ ...sound, ...change }, wanted)
    .filter(({ result }) => result !== 'ok')
    .map(({ result, name, message, remedy }) => `${result} ${name}: ${message} -> ${remedy}`)

/** Every node says otherwise to one setting. */
const setting = (name: string, value: string): Partial<ClusterFacts> => ({
  nodes: sound.nodes.map(one => ({ ...one, settings: new Map([...settings, [name, value]]) })),
})
const versions = (...all: readonly string[]): Partial<ClusterFacts> => ({
  nodes: sound.nodes.map((one, i) => ({ ...one, version: all[i % all.length] ?? '' })),
})

describe('the doctor', () => {
  it('finds nothing in a cluster as it should be', () => {
    expect(findings({})).toEqual([])
    expect(examine(sound, wanted).map(({ name }) => name)).toContain('cut')
  })

  it.each<readonly [string, Partial<ClusterFacts>, RegExp]>([
    ['a release with the advisory of password changes', versions('5.0.6'), /fail version: 5.0.6 has CVE-2026-32588.*Upgrade to 5.0.7/],
    ['the same in the line before', versions('4.1.10'), /CVE-2026-32588.*Upgrade to 4.1.11/],
    ['a release without HASHED PASSWORD', versions('4.0.20'), /fail version: 4.0.20 takes no HASHED PASSWORD/],
    ['an upgrade under way', versions('5.0.8', '4.1.11'), /warn version: 5.0.8 on 2, 4.1.11 on 1/],
    ['a node that is down', { members: new Map([['dc1', 4]]) }, /warn nodes: 3 of 4 answer/],
    [
      'system_auth as every new cluster has it',
      { replication: new Map([...sound.replication, ['system_auth', { class: 'x.SimpleStrategy', replication_factor: '1' }]]) },
      /fail replication of system_auth: SimpleStrategy.*'dc1': 3/,
    ],
    [
      'too few replicas in one data centre',
      {
        members: new Map([
          ['dc1', 3],
          ['dc2', 3],
        ]),
        nodes: [...sound.nodes, ...sound.nodes],
      },
      /fail replication of system_auth: too few replicas in dc2 \(0\)/,
    ],
    [
      'no keyspace of ours',
      { replication: new Map([['system_auth', three]]) },
      /fail replication of postern: there is no such keyspace.*init/,
    ],
    ['one node', { members: new Map([['dc1', 1]]), nodes: sound.nodes.slice(0, 1) }, /warn replication of system_auth: one node/],
    ['weak writes of roles', setting('auth_write_consistency_level', 'ONE'), /warn auth consistency: .*writes ONE/],
    ['no passwords asked for', setting('authenticator.class_name', 'AllowAllAuthenticator'), /fail authenticator: AllowAllAuthenticator/],
    ['no authorization', setting('authorizer.class_name', 'AllowAllAuthorizer'), /fail authorizer: AllowAllAuthorizer/],
    ['a cache of two minutes', setting('credentials_validity', '120s'), /warn credentials cache: validity 120s/],
    [
      'a guardrail below what Postern asks for',
      setting('page_size_fail_threshold', '100'),
      /fail guardrails: page_size_fail_threshold is 100/,
    ],
    ['a guardrail below what drivers ask for', setting('page_size_fail_threshold', '1000'), /warn guardrails: .*default of 5000/],
    [
      'leases that may not be read',
      setting('read_consistency_levels_disallowed', '[LOCAL_SERIAL]'),
      /fail guardrails: .* names LOCAL_SERIAL,/,
    ],
    [
      'tables of an older Postern',
      {
        tables: new Map([
          ...neededTables(),
          ['generations', new Set([...neededTables().get('generations')!].filter(name => !/cut|asked/.test(name)))],
        ]),
      },
      /^fail tables: postern.generations is an older one: it has no cut, cut_why, asked. -> Let a DBA run: postern cassandra init.$/,
    ],
    [
      'an older Postern, which shared no denials',
      { tables: new Map([...neededTables()].filter(([name]) => name !== 'denials')) },
      /^fail tables: postern.denials does not exist. -> Let a DBA run: postern cassandra init.$/,
    ],
    ['a superuser as manager', { isSuperuser: true }, /fail manager: postern_manager is a superuser/],
    ['a manager without a grant', { managerGrants: managerGrants.slice(1) }, /fail manager: lacks SELECT ON <keyspace postern>/],
    [
      'a manager of everything',
      { managerGrants: [...managerGrants, grant('<all keyspaces>', 'SELECT')] },
      /fail manager: has more than Postern uses: SELECT ON <all keyspaces>/,
    ],
    [
      'a manager that may make roles',
      { managerGrants: [...managerGrants, grant('<all roles>', 'CREATE')] },
      /fail manager: .*CREATE ON <all roles>/,
    ],
    [
      'a manager with the data of a tenant',
      { managerGrants: [...managerGrants, grant('<table acme.invoices>', 'SELECT')] },
      /warn manager: .*acme.invoices/,
    ],
    [
      'a manager that reads every hash',
      { managerGrants: [...managerGrants, grant('<table system_auth.roles>', 'SELECT')] },
      /warn manager: may read every password hash/,
    ],
    ['a manager in a role', { managerRoles: [manager, 'dba'] }, /warn manager: is a member of dba/],
    ['a slot that is gone', { slots: [{ role, login: a, grants: 'missing' }] }, /fail slot postern_acme_finance_ro_a: does not exist/],
    [
      'a slot that is in another role too',
      { slots: [{ role, login: a, grants: [...slotGrants, grant('<all keyspaces>', 'SELECT', 'dba')] }] },
      /fail slot .*_a: is a member of dba too.*REVOKE dba FROM/,
    ],
    [
      'a slot with a grant of its own',
      { slots: [{ role, login: a, grants: [...slotGrants, grant('<table acme.x>', 'SELECT', a)] }] },
      /warn slot .*: has grants of its own: SELECT ON <table acme.x>/,
    ],
    ['a slot that may do nothing', { slots: [{ role, login: a, grants: [] }] }, /unknown slot .*: may do nothing/],
    ['the login that every new cluster has', { standardLogin: 'ok' }, /fail cassandra\/cassandra: LOGS IN/],
    ['nobody who could say', { standardLogin: 'unknown' }, /unknown cassandra\/cassandra/],
    ['clocks a little apart', { nodes: [node('h', { skew: 0 }), node('i', { skew: 900 }), node('j')] }, /warn clocks: nodes 900 ms apart/],
    ['clocks far apart', { nodes: [node('h', { skew: -9_000 }), node('i'), node('j')] }, /fail clocks/],
    [
      'no settings to read',
      { nodes: sound.nodes.map(one => ({ ...one, settings: null })) },
      /unknown auth consistency: no node shows its settings/,
    ],
  ])('finds %s', (_, change, text) => expect(findings(change).join('\n')).toMatch(text))

  it('says nothing of grants that a DBA gives to, or takes from, a permission role', () => {
    const grants = [grant('<table acme.invoices>', 'MODIFY', role), grant('<keyspace acme>', 'SELECT', role)]
    expect(findings({ slots: [a, b].map(login => ({ role, login, grants })) })).toEqual([])
  })

  describe('on what a cut ends', () => {
    const reach = (change: Partial<ClusterFacts>): string =>
      examine({ ...sound, ...change }, wanted)
        .filter(({ name }) => name === 'cut')
        .map(({ result, message }) => `${result} ${message}`)
        .join()
    const lax = setting('network_authorizer.class_name', 'AllowAllNetworkAuthorizer')

    it.each<readonly [string, Partial<ClusterFacts>, RegExp]>([
      ['connections, where the network authorizer enforces', {}, /^ok ends new logins and open connections at once/],
      [
        'their data, where the manager may revoke',
        { ...lax, managerGrants: [...managerGrants, grant(`<role ${role}>`, 'AUTHORIZE')] },
        /^ok .*takes the data from open connections/,
      ],
      ['logins alone, and warns', lax, /^warn .*connections that are open with acme_finance_ro go on, and are only named/],
      [
        'logins later, where no cache may be emptied',
        { managerGrants: managerGrants.filter(({ permission }) => permission !== 'MODIFY') },
        /when the caches of the nodes have aged/,
      ],
    ])('%s', (_, change, text) => expect(reach(change)).toMatch(text))
  })

  it('reads what it judges of every node that answers, tries the standard login once, and says so before', async () => {
    const clock = new ManualClock()
    const said: string[] = []
    const logins: string[] = []
    const answers: readonly (readonly [RegExp, (cql: string) => readonly CqlRow[]])[] = [
      [/release_version/, () => [{ release_version: '5.0.8', data_center: 'dc1' }]],
      [/system_views.settings/, () => [{ name: 'authorizer', value: 'CassandraAuthorizer' }]],
      [/toTimestamp/, () => [{ now: new Date(clock.now() + 700) }]],
      [/FROM system.local/, () => [{ data_center: 'dc1' }]],
      [/FROM system.peers/, () => [{ data_center: 'dc2' }]],
      [/keyspaces/, () => [{ keyspace_name: 'system_auth', replication: { class: 'x', dc1: '3' } }]],
      [/^LIST ROLES OF "postern_manager"/, () => [{ role: manager, super: false }]],
      [/^LIST ALL PERMISSIONS OF "postern_manager"/, () => [{ role: manager, resource: '<keyspace postern>', permission: 'SELECT' }]],
      [/^LIST ALL PERMISSIONS OF \w+_a$/, () => [{ role, resource: '<table acme.t>', permission: 'SELECT' }]],
      [
        /^LIST ALL PERMISSIONS OF \w+_b$/,
        cql => {
          throw new CqlFault(0x2200, `<role ${cql.split(' ').at(-1)}> doesn't exist`)
        },
      ],
      [/system_schema.columns/, () => [{ table_name: 'generations', column_name: 'cut' }]],
    ]
    const session = {
      execute: async (cql: string, _params?: readonly unknown[], to?: { readonly host?: string }) => {
        if (to?.host === '10.0.0.2:9042') throw new CqlFault(null, 'no answer')
        return answers.find(([pattern]) => pattern.test(cql))?.[1](cql) ?? []
      },
      hosts: () => ['10.0.0.1:9042', '10.0.0.2:9042'],
      upSince: () => 0,
      login: async (name: string) => {
        logins.push(name)
        expect(said.at(-1)).toMatch(/trying the login cassandra\/cassandra once/)
        return 'refused' as const
      },
      hold: async () => null,
      close: async () => undefined,
    }
    const facts = await gather({ session, clock, manager, roles: [role], progress: line => said.push(line) })
    expect(logins).toEqual(['cassandra'])
    expect(facts).toMatchObject({ isSuperuser: false, standardLogin: 'refused', managerRoles: [manager] })
    expect([...facts.tables]).toEqual([['generations', new Set(['cut'])]])
    expect(facts.nodes).toMatchObject([{ version: '5.0.8', skew: 700 }])
    expect([...facts.members]).toEqual([
      ['dc1', 1],
      ['dc2', 1],
    ])
    expect(facts.slots.map(({ grants }) => (Array.isArray(grants) ? grants.length : grants))).toEqual([1, 'missing'])
  })
})
