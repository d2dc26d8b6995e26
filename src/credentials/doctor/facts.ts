import { type CassandraSession, CqlFault, type CqlRow, type LoginProof } from '../../model/cassandra.ts'
import type { Clock } from '../../model/deps.ts'
import { Secret } from '../../model/secret.ts'
import { type Slot, slotName } from '../names.ts'

/** One grant, as `LIST ALL PERMISSIONS` shows it. */
export interface Grant {
  /** The role that has it: the one asked about, or one that it is a member of. */
  readonly role: string
  /** `<table acme.t>`, `<role x>`, `<all keyspaces>`. */
  readonly resource: string
  readonly permission: string
}

export interface NodeFacts {
  readonly host: string
  readonly version: string
  readonly dataCenter: string
  /** `system_views.settings`; null: not for us to read. */
  readonly settings: ReadonlyMap<string, string> | null
  /** Milliseconds by which its clock is ahead of ours, give or take `skewDoubt`. */
  readonly skew: number
  readonly skewDoubt: number
}

export interface SlotFacts {
  readonly role: string
  readonly login: string
  /** What it may do; or why that is not known. `missing`: there is no such role. */
  readonly grants: readonly Grant[] | 'missing' | 'denied'
}

/** What a cluster shows of itself to the manager. */
export interface ClusterFacts {
  readonly manager: string
  readonly nodes: readonly NodeFacts[]
  /** Every node that the cluster knows of, by data centre. */
  readonly members: ReadonlyMap<string, number>
  /** By keyspace: strategy and factors. */
  readonly replication: ReadonlyMap<string, Readonly<Record<string, string>>>
  readonly managerGrants: readonly Grant[]
  /** The manager itself and all roles that it is a member of. */
  readonly managerRoles: readonly string[]
  readonly isSuperuser: boolean
  readonly slots: readonly SlotFacts[]
  /** What came of logging in as cassandra/cassandra. */
  readonly standardLogin: LoginProof
  /** Columns of the tables in keyspace postern. */
  readonly tables: ReadonlyMap<string, ReadonlySet<string>>
}

export interface Probing {
  readonly session: CassandraSession
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly manager: string
  readonly roles: readonly string[]
  /** A line for people about what takes time, or should not surprise them. */
  readonly progress: (line: string) => void
}

/** Reads everything that the checks need. Rejects with a CqlFault where not even the tables that every role may read answer. */
export const gather = async ({ session, clock, manager, roles, progress }: Probing): Promise<ClusterFacts> => {
  progress('reading versions, settings and clocks of each node')
  // A node that hangs is what doctor is asked about: it counts as one that does not answer, and the others are judged.
  const answers = await Promise.all(session.hosts().map(host => nodeFacts(session, clock, host).catch(() => null)))
  const nodes = answers.filter(node => node !== null)
  const members = await membersOf(session)
  progress('reading replication and the grants of the manager')
  const keyspaces = await session.execute('SELECT keyspace_name, replication FROM system_schema.keyspaces')
  const quoted = `"${manager.replaceAll('"', '""')}"`
  const own = await session.execute(`LIST ROLES OF ${quoted}`)
  progress(`reading the grants of ${roles.length * 2} slots`)
  const slots: SlotFacts[] = []
  for (const role of roles) for (const slot of ['a', 'b'] as const) slots.push(await slotFacts(session, role, slot))
  progress('trying the login cassandra/cassandra once, which every new cluster has: a refusal in its logs is this')
  const standardLogin = await session.login('cassandra', new Secret('cassandra'))
  return {
    manager,
    nodes,
    members,
    replication: new Map(keyspaces.map(row => [String(row['keyspace_name']), factors(row['replication'])])),
    managerGrants: grantsOf(await session.execute(`LIST ALL PERMISSIONS OF ${quoted}`)),
    managerRoles: own.map(row => String(row['role'])),
    isSuperuser: own.some(row => row['super'] === true),
    slots,
    standardLogin,
    tables: await tablesOf(session),
  }
}

const nodeFacts = async (session: CassandraSession, clock: Probing['clock'], host: string): Promise<NodeFacts> => {
  const at = { host }
  const [local] = await session.execute('SELECT release_version, data_center FROM system.local', [], at)
  const settings = await session.execute('SELECT name, value FROM system_views.settings', [], at).catch(() => null)
  // The second of two: the first may have waited for a connection.
  const asked = clock.monotonic()
  const [time] = await session.execute('SELECT toTimestamp(now()) AS now FROM system.local', [], at)
  const took = clock.monotonic() - asked
  const there = time?.['now'] instanceof Date ? time['now'].getTime() : Number.NaN
  return {
    host,
    version: String(local?.['release_version'] ?? ''),
    dataCenter: String(local?.['data_center'] ?? ''),
    settings: settings && new Map(settings.map(row => [String(row['name']), String(row['value'] ?? '')])),
    skew: Math.round(there - (clock.now() - took / 2)),
    skewDoubt: Math.ceil(took / 2) + 1,
  }
}

const membersOf = async (session: CassandraSession): Promise<ReadonlyMap<string, number>> => {
  const [local, peers] = await Promise.all([
    session.execute('SELECT data_center FROM system.local'),
    session.execute('SELECT data_center FROM system.peers'),
  ])
  const members = new Map<string, number>()
  for (const row of [...local, ...peers]) {
    const name = String(row['data_center'])
    members.set(name, (members.get(name) ?? 0) + 1)
  }
  return members
}

const slotFacts = async (session: CassandraSession, role: string, slot: Slot): Promise<SlotFacts> => {
  const login = slotName(role, slot)
  try {
    return { role, login, grants: grantsOf(await session.execute(`LIST ALL PERMISSIONS OF ${login}`)) }
  } catch (error) {
    if (!(error instanceof CqlFault) || error.code === null) throw error
    return { role, login, grants: error.message.includes("doesn't exist") ? 'missing' : 'denied' }
  }
}

const tablesOf = async (session: CassandraSession): Promise<ReadonlyMap<string, ReadonlySet<string>>> => {
  const tables = new Map<string, Set<string>>()
  const cql = "SELECT table_name, column_name FROM system_schema.columns WHERE keyspace_name = 'postern'"
  for (const { table_name: table, column_name: column } of await session.execute(cql))
    tables.set(String(table), (tables.get(String(table)) ?? new Set()).add(String(column)))
  return tables
}

const grantsOf = (rows: readonly CqlRow[]): readonly Grant[] =>
  rows.map(row => ({ role: String(row['role']), resource: String(row['resource']), permission: String(row['permission']) }))

const factors = (value: unknown): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(typeof value === 'object' && value !== null ? value : {}).map(([key, one]) => [key, String(one)]))
