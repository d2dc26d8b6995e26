import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { adminSession, type RunningCassandra, type StartOptions, startCassandra } from '../../deploy/demo/cassandra.ts'
import { findToolchain } from '../../deploy/demo/toolchain.ts'
import { CqlFault } from '../../src/model/cassandra.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Asking below this URL for a kind of cluster for the first time starts it. */
    cassandraStarter: string
  }
}

/** `strict`, `lax`: one node with CassandraNetworkAuthorizer, or with Cassandra's default. `ring`: three nodes, two in dc1 and one in dc2. */
export type Kind = 'strict' | 'lax' | 'ring'

export type StartedNode = Pick<RunningCassandra, 'contactPoint' | 'port' | 'localDataCenter' | 'pid'>

/** What the starter answers. */
export type Started = { readonly nodes: readonly StartedNode[] } | { readonly missing: string } | { readonly failed: string }

/** Who sets up a ring: the row of role `cassandra` lies on the node that was alone when it was made. */
export const ringSuperuser = 'postern_tester'

/** Test files run in processes of their own; this one outlives them all, so what they share is started, lazily, and ended here. */
export const setup = async (project: TestProject): Promise<() => Promise<void>> => {
  const dir = await mkdtemp(join(tmpdir(), 'postern-cassandra-'))
  const clusters = new Map<Kind, Promise<Cluster | { readonly missing: string }>>()
  const server = createServer((request, response) => {
    const [, name, again] = (request.url ?? '').split('/')
    const kind: Kind = name === 'lax' || name === 'ring' ? name : 'strict'
    const starting = clusters.get(kind) ?? startCluster(kind, join(dir, kind))
    clusters.set(kind, starting)
    starting
      .then(async cluster => {
        if (!(cluster instanceof Cluster)) return cluster
        if (again !== undefined) await cluster.restart(Number(again))
        return { nodes: cluster.nodes }
      })
      .catch((error: unknown) => ({ failed: error instanceof Error ? error.message : String(error) }))
      .then(answer => response.end(JSON.stringify(answer)))
      .catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  project.provide('cassandraStarter', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  return async () => {
    server.close()
    for (const starting of clusters.values()) {
      const cluster = await starting.catch(() => null)
      if (cluster instanceof Cluster) await cluster.stop()
    }
    await rm(dir, { recursive: true, force: true })
  }
}

class Cluster {
  readonly nodes: RunningCassandra[] = []
  readonly #plans: readonly StartOptions[]

  constructor(plans: readonly StartOptions[]) {
    this.#plans = plans
  }

  /** The first alone: it is the seed of the others. */
  async start(): Promise<this> {
    const [first, ...rest] = this.#plans
    if (first) this.nodes.push(await startCassandra(first))
    const others = await Promise.allSettled(rest.map(startCassandra))
    for (const other of others) if (other.status === 'fulfilled') this.nodes.push(other.value)
    const failed = others.find(other => other.status === 'rejected')
    if (!failed) return this
    await this.stop()
    throw failed.reason
  }

  /** With what it had written, whatever became of its process. */
  async restart(index: number): Promise<void> {
    const plan = this.#plans[index]
    if (plan === undefined) throw new Error(`there is no node ${index}`)
    await this.nodes[index]?.stop()
    this.nodes[index] = await startCassandra(plan)
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.stop()))
  }
}

const startCluster = async (kind: Kind, dir: string): Promise<Cluster | { readonly missing: string }> => {
  const toolchain = await findToolchain(process.env)
  if ('missing' in toolchain) return toolchain
  const progress = (line: string): void => void process.stderr.write(`cassandra: ${line}\n`)
  const [port, storagePort] = [await freePort(), await freePort()]
  const shared = { toolchain, port, storagePort, progress }
  if (kind === 'strict') return new Cluster([{ ...shared, dir }]).start()
  if (kind === 'lax') return new Cluster([{ ...shared, dir, networkAuthorizer: 'AllowAllNetworkAuthorizer' }]).start()
  const members = ['dc1', 'dc1', 'dc2'].map((dataCenter, i) => ({
    ...shared,
    dir: join(dir, String(i)),
    member: { address: `127.0.0.${i + 1}`, dataCenter, token: i * 100, seed: '127.0.0.1' },
  }))
  const ring = await new Cluster(members).start()
  await replicateRoles(ring).catch(async error => {
    await ring.stop()
    throw error
  })
  return ring
}

/** Before any role is made, since nothing repairs. */
const replicateRoles = async ({ nodes: [first] }: Cluster): Promise<void> => {
  if (first === undefined) return
  const session = await adminSession(first)
  const at = { host: `${first.contactPoint}:${first.port}` }
  const run = async (cql: string): Promise<void> => {
    for (let tries = 50; ; tries--)
      try {
        return void (await session.execute(cql, [], at))
      } catch (error) {
        // Until gossip has told of every data centre, and until every node sees the others.
        if (!(error instanceof CqlFault) || tries === 0) throw error
        await new Promise(resolve => setTimeout(resolve, 200))
      }
  }
  await run("ALTER KEYSPACE system_auth WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 2, 'dc2': 1}")
  await run(`CREATE ROLE IF NOT EXISTS ${ringSuperuser} WITH SUPERUSER = true AND LOGIN = true AND PASSWORD = 'cassandra'`)
  await session.close()
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
