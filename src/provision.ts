import { hashChosenPassword } from './credentials/hash.ts'
import { schemaScript } from './credentials/schema.ts'
import type { CassandraSession } from './model/cassandra.ts'
import { runScript, statements } from './store/script.ts'
import type { Login } from './store/session.ts'

/** Replicas of Postern's keyspace, by data centre. */
export type Replication = readonly (readonly [dataCenter: string, factor: number])[]

export interface ProvisionPlan {
  readonly roles: readonly string[]
  /** Who Postern is to log in as. */
  readonly manager: string
  readonly replication: Replication | null
  readonly withCut: boolean
}

/** The CQL that makes what is planned; `:manager_password_hash` stands in it, and `:replication_factor` where no replication is planned. */
export const planned = (plan: ProvisionPlan): { readonly cql: string; readonly count: number } => {
  const cql = schemaScript(plan)
  return { cql, count: statements(cql, { manager_password_hash: '', replication_factor: '' }).length }
}

const most = 3

/** Three replicas in each data centre, or as many as it has nodes. */
export const replicationOf = async (session: Pick<CassandraSession, 'execute'>): Promise<Replication> => {
  const rows = [
    ...(await session.execute('SELECT data_center FROM system.local')),
    ...(await session.execute('SELECT data_center FROM system.peers')),
  ]
  const nodes = new Map<string, number>()
  for (const row of rows) nodes.set(String(row['data_center']), (nodes.get(String(row['data_center'])) ?? 0) + 1)
  return [...nodes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, n]) => [name, Math.min(most, n)])
}

/** Permission roles that the cluster lacks: Postern never makes them, since it cannot know what they may do. */
export const missingRoles = async (session: Pick<CassandraSession, 'execute'>, roles: readonly string[]): Promise<readonly string[]> => {
  const known = new Set((await session.execute('LIST ROLES')).map(row => String(row['role'])))
  return roles.filter(role => !known.has(role))
}

/** Runs what is planned, statement by statement. Rejects at the first that fails; what ran can be run again. */
export const provision = async (
  session: CassandraSession,
  plan: ProvisionPlan,
  manager: Login,
  progress: (done: number) => void,
): Promise<void> => {
  let done = 0
  const counting: Pick<CassandraSession, 'execute'> = {
    execute: async (cql, params, options) => {
      const rows = await session.execute(cql, params, options).finally(() => progress(++done))
      return rows
    },
  }
  await runScript(counting, planned(plan).cql, { manager_password_hash: await hashChosenPassword(manager.password) })
  // Nodes may still know the password and the grants that the manager had before.
  for (const host of session.hosts())
    for (const cache of ['credentials', 'roles'])
      await session
        .execute(`DELETE FROM system_views.${cache}_cache_keys WHERE role = ?`, [manager.username], { host })
        .catch(() => undefined)
}
