import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { adminSession } from '../../deploy/demo/cassandra.ts'
import { applySchema, managerRole } from '../../deploy/demo/cassandra-schema.ts'
import { systemClock } from '../../src/deps.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { Secret } from '../../src/model/secret.ts'
import { provision } from '../../src/provision.ts'
import { openSession } from '../../src/store/session.ts'
import { type Kind, ringSuperuser, type Started, type StartedNode } from './cassandra-starter.ts'

/** A node that all files of this run share: make only things with a name of your own (`tenants`). */
export interface SharedCassandra extends StartedNode {
  readonly superuser?: string
  /** As CQL writes it. */
  readonly replication?: string
}

/**
 * Call it at the top of a test file: `const node = await sharedCassandra()`, then `describe.skipIf(node === null)`.
 * Null where JDK 17 or Maven is missing, and says so; under CI=true that is a failure.
 */
export const sharedCassandra = async (kind: 'strict' | 'lax' = 'strict'): Promise<SharedCassandra | null> =>
  (await nodesOf(kind))?.[0] ?? null

/** As `sharedCassandra`: three nodes, two in dc1 and one in dc2. Whoever stops one of them must be the only file of the run that uses them. */
export const sharedRing = (): Promise<readonly SharedCassandra[] | null> => nodesOf('ring')

/** Ends the node's process if it still runs, and starts another one with its data. */
export const restartNode = async (kind: Kind, index = 0): Promise<SharedCassandra> => {
  const node = (await nodesOf(kind, `/${index}`))?.[index]
  if (node === undefined) throw new Error(`there is no node ${index} of ${kind}`)
  return node
}

const nodesOf = async (kind: Kind, act = ''): Promise<readonly SharedCassandra[] | null> => {
  const nodes = await ask(`${kind}${act}`)
  if (nodes === null || kind !== 'ring') return nodes
  return nodes.map(node => ({ ...node, superuser: ringSuperuser, replication: "'dc1': 2, 'dc2': 1" }))
}

const ask = async (path: string): Promise<readonly StartedNode[] | null> => {
  const reply = await fetch(new URL(path, inject('cassandraStarter')))
  const answer = (await reply.json()) as Started
  if ('failed' in answer) throw new Error(answer.failed)
  if (!('missing' in answer)) return answer.nodes
  if (process.env['CI']) throw new Error(`In CI nothing may be skipped; missing: ${answer.missing}`)
  process.stderr.write(`\nSKIPPED: tests against a real Cassandra. Missing: ${answer.missing}.\n`)
  return null
}

export interface Tenants {
  /** Role `acme_finance_ro` of init.cql, as this file's copy of it is called. */
  readonly name: (name: string) => string
  /** What the manager logs in with. */
  readonly login: { readonly username: string; readonly password: Secret }
  /** A session as the manager. */
  readonly manager: () => Promise<CassandraSession>
  /** A session as the superuser. */
  readonly admin: () => Promise<CassandraSession>
  /** Makes more permission roles, which may read acme's invoices, and their slots. */
  readonly addRoles: (roles: readonly string[]) => Promise<void>
  /** The same by way of another node, and its data centre. */
  readonly at: (node: SharedCassandra) => Tenants
}

/** Applies demo.cql and init.cql under names that end in `suffix` (letters): two test files never touch the same role. */
export const tenants = async (node: SharedCassandra, suffix: string): Promise<Tenants> => {
  const name = (text: string): string => text.replaceAll(/acme|globex|postern_manager/g, found => `${found}${suffix}`)
  const replicated = (text: string): string =>
    node.replication === undefined
      ? text
      : text
          .replaceAll("'class': 'SimpleStrategy', 'replication_factor': 1", `'class': 'NetworkTopologyStrategy', ${node.replication}`)
          .replaceAll("'replication_factor': :replication_factor", node.replication)
  const password = new Secret(randomBytes(32).toString('base64url'))
  const session = await adminSession(node)
  await applySchema(session, { password, rename: text => replicated(name(text)) })
  await session.close()
  return by(node, name, { username: name(managerRole), password })
}

const by = (node: SharedCassandra, name: Tenants['name'], login: Tenants['login']): Tenants => ({
  name,
  login,
  admin: () => adminSession(node),
  manager: () => {
    const settings = { contactPoints: [node.contactPoint], port: node.port, localDataCenter: node.localDataCenter, tls: null }
    return openSession(settings, login, { clock: systemClock })
  },
  at: other => by(other, name, login),
  addRoles: async roles => {
    const session = await adminSession(node)
    for (const role of roles.map(name)) {
      await session.execute(`CREATE ROLE IF NOT EXISTS ${role}`)
      await session.execute(`GRANT SELECT ON TABLE ${name('acme')}.invoices TO ${role}`)
    }
    const plan = { roles: roles.map(name), manager: login.username, replication: [[node.localDataCenter, 1]], withCut: false } as const
    await provision(session, plan, login, () => undefined)
    await session.close()
  },
})
