import { readFile } from 'node:fs/promises'
import { hashPassword } from '../../src/credentials/hash.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import type { Secret } from '../../src/model/secret.ts'
import { runScript } from '../../src/store/script.ts'

export interface SchemaOptions {
  /** What the manager will log in with. */
  readonly password: Secret
  /** Lets tests that share a node rename what they make. */
  readonly rename?: (cql: string) => string
}

/** As init.cql names it. */
export const managerRole = 'postern_manager'

/** Does what a DBA does: the demo's tenants and permission roles, then Postern's own init.cql. Can be repeated, with another password too. */
export const applySchema = async (
  admin: Pick<CassandraSession, 'execute' | 'hosts'>,
  { password, rename = cql => cql }: SchemaOptions,
): Promise<void> => {
  const values = { replication_factor: '1', manager_password_hash: await hashPassword(password) }
  for (const file of ['demo.cql', '../cassandra/init.cql'])
    await runScript(admin, rename(await readFile(new URL(file, import.meta.url), 'utf8')), values)
  // Nodes may still know the password that the manager had in an earlier run.
  for (const host of admin.hosts())
    await admin.execute('DELETE FROM system_views.credentials_cache_keys WHERE role = ?', [rename(managerRole)], { host })
}
