import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isLoopback } from '../../src/config/values.ts'
import { Secret } from '../../src/model/secret.ts'
import { adminSession, startCassandra } from './cassandra.ts'
import { applySchema, managerRole } from './cassandra-schema.ts'
import { DemoFault, type Say } from './fault.ts'
import { findToolchain } from './toolchain.ts'

/** A Cassandra that holds the demo's tenants and Postern's roles. */
export interface DemoCluster {
  readonly contactPoint: string
  readonly port: number
  readonly localDataCenter: string
  stop(): Promise<void>
}

interface Ports {
  readonly port: number
  readonly storagePort: number
}

/** The cluster that CASSANDRA_CONTACT_POINTS names, or a node of the demo's own, or why there is none. */
export const prepareCluster = async (
  env: NodeJS.ProcessEnv,
  folder: string,
  at: Ports,
  say: Say,
): Promise<DemoCluster | { readonly missing: string }> => {
  const named = env['CASSANDRA_CONTACT_POINTS']
  const found = named ? contactPoint(named) : await ownNode(env, folder, at, say)
  if ('missing' in found) return found
  const cluster = { ...found, localDataCenter: env['CASSANDRA_LOCAL_DATA_CENTER'] ?? 'datacenter1' }
  try {
    await makeRoles(cluster, folder)
    return cluster
  } catch (fault) {
    await cluster.stop()
    throw fault
  }
}

/** The demo creates roles and keyspaces: never in a cluster that somebody else may be using. */
const contactPoint = (named: string): Pick<DemoCluster, 'contactPoint' | 'port' | 'stop'> => {
  const points = named.split(',').map(point => /^\[?([0-9a-fA-F:.]+?)\]?(?::(\d{1,5}))?$/.exec(point.trim()))
  const [first] = points
  if (!first || points.some(point => !isLoopback(point?.[1] ?? '')))
    throw new DemoFault(
      `CASSANDRA_CONTACT_POINTS=${named}: the demo creates roles and keyspaces, so it goes to 127.0.0.0/8 or ::1 only. For a real cluster, let a DBA run deploy/cassandra/init.cql.`,
    )
  return { contactPoint: first[1] ?? '', port: Number(first[2] ?? 9042), stop: () => Promise.resolve() }
}

const ownNode = async (env: NodeJS.ProcessEnv, folder: string, { port, storagePort }: Ports, say: Say) => {
  const toolchain = await findToolchain(env)
  if ('missing' in toolchain) return toolchain
  return startCassandra({ toolchain, dir: join(folder, 'cassandra'), port, storagePort, progress: say })
}

const makeRoles = async (cluster: DemoCluster, folder: string): Promise<void> => {
  const password = new Secret(randomBytes(24).toString('base64url'))
  const session = await adminSession(cluster)
  await applySchema(session, { password }).finally(() => session.close())
  await writeFile(join(folder, 'manager.username'), `${managerRole}\n`, { mode: 0o600 })
  await writeFile(join(folder, 'manager.password'), `${password.open()}\n`, { mode: 0o600 })
}
