import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { type RunningCassandra, type StartOptions, startCassandra } from '../../deploy/demo/cassandra.ts'
import { findToolchain } from '../../deploy/demo/toolchain.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Asking this URL for the first time starts the run's Cassandra node. */
    cassandraStarter: string
  }
}

/** What the starter answers. */
export type Started =
  | { readonly contactPoint: string; readonly port: number; readonly pid: number }
  | { readonly missing: string }
  | { readonly failed: string }

/** Test files run in processes of their own; this one outlives them all, so the node they share is started, lazily, and ended here. */
export const setup = async (project: TestProject): Promise<() => Promise<void>> => {
  const dir = await mkdtemp(join(tmpdir(), 'postern-cassandra-'))
  const nodes = new Map<string, Promise<RunningCassandra | { readonly missing: string }>>()
  const server = createServer((request, response) => {
    const kind = request.url === '/lax' ? 'lax' : 'strict'
    const starting = nodes.get(kind) ?? start(join(dir, kind), kind === 'lax' ? 'AllowAllNetworkAuthorizer' : undefined)
    nodes.set(kind, starting)
    starting
      .catch((error: unknown) => ({ failed: error instanceof Error ? error.message : String(error) }))
      .then(answer => response.end(JSON.stringify(answer)))
      .catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  project.provide('cassandraStarter', `http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  return async () => {
    server.close()
    for (const starting of nodes.values()) {
      const node = await starting.catch(() => null)
      if (node && 'stop' in node) await node.stop()
    }
    await rm(dir, { recursive: true, force: true })
  }
}

const start = async (
  dir: string,
  networkAuthorizer: StartOptions['networkAuthorizer'],
): Promise<RunningCassandra | { readonly missing: string }> => {
  const toolchain = await findToolchain(process.env)
  if ('missing' in toolchain) return toolchain
  const [port, storagePort] = [await freePort(), await freePort()]
  const progress = (line: string): void => void process.stderr.write(`cassandra: ${line}\n`)
  return startCassandra({ toolchain, dir, port, storagePort, progress, networkAuthorizer })
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
