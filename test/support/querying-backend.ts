import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Clients, type Cluster, type Login } from '../../src/backend/index.ts'

/** A service that does one real query for each request, with the login that `login` gives it. */
export interface QueryingBackend {
  readonly port: number
  close(): Promise<void>
}

export interface QueryingOptions {
  readonly cluster: Cluster
  readonly cql: string
  readonly login: (request: IncomingMessage) => Promise<Login | null> | Login | null
}

/** Answers with the generation that it logged in with, or with 500 and what went wrong. */
export const startQuerying = async ({ cluster, cql, login }: QueryingOptions): Promise<QueryingBackend> => {
  const clients = new Clients(cluster)
  const answer = async (request: IncomingMessage): Promise<string> => {
    const given = await login(request)
    if (given === null) throw new Error('no login')
    const { rows } = await clients.use(given, client => client.execute(cql, [], { prepare: true }))
    if (rows.length === 0) throw new Error('no rows')
    return String(given.generation)
  }
  const server = createServer((request, response) => {
    answer(request).then(
      text => response.end(text),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await clients.close()
    },
  }
}
