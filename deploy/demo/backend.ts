import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import driver from 'cassandra-driver'
import { Clients, type Cluster, type Login, readHeaders } from '../../src/backend/index.ts'
import { cassandraInvoices, type Invoices, memoryInvoices } from './backend-invoices.ts'

export interface BackendOptions {
  /** 0 lets the system choose. */
  readonly port: number
  /** Without one, invoices live in memory. */
  readonly cassandra?: Cluster
  /** Told what the caller is not told. */
  readonly log?: (line: string) => void
}

/** A node of this machine, as the module for backends wants it told. */
export const localCluster = (node: {
  readonly contactPoint: string
  readonly port: number
  readonly localDataCenter?: string
}): Cluster => ({
  contactPoints: [node.contactPoint],
  port: node.port,
  localDataCenter: node.localDataCenter ?? 'datacenter1',
  tls: null,
})

interface Answer {
  readonly status: number
  readonly body: object
}

/** Runs something with the tenant's invoices, and says with which login. */
type WithInvoices = (request: IncomingMessage, tenant: string, work: (invoices: Invoices) => Promise<Answer>) => Promise<Answer>

/**
 * The service behind Postern. It asks nobody who is calling: only Postern can reach it (loopback), and Postern has decided. What it
 * reads from a request are `x-postern-tenant` and the database login that comes with it; it has no secret of its own.
 */
export const startBackend = async (options: BackendOptions): Promise<{ readonly port: number; close(): Promise<void> }> => {
  const clients = options.cassandra ? new Clients(options.cassandra) : null
  const withInvoices = clients ? inCassandra(clients) : inMemory()
  const server = createServer((request, response) => {
    serve(request, withInvoices)
      .catch((error: unknown) => fault(error, options.log))
      .then(
        answer => send(response, answer),
        () => response.destroy(),
      )
  })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await clients?.close()
    },
  }
}

const serve = async (request: IncomingMessage, withInvoices: WithInvoices): Promise<Answer> => {
  const tenant = String(request.headers['x-postern-tenant'] ?? '')
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(tenant)) return { status: 400, body: { error: 'no tenant: this service is reached through Postern' } }
  const found = /^\/v1\/invoices(?:\/([A-Za-z0-9-]{1,64}))?$/.exec((request.url ?? '').split('?', 1)[0] ?? '')
  if (!found) return notFound
  const id = found[1]
  if (request.method === 'POST' && id === undefined) return add(request, tenant, withInvoices)
  if (request.method !== 'GET') return { status: 405, body: { error: 'not allowed here' } }
  return withInvoices(request, tenant, async invoices => {
    if (id === undefined) return { status: 200, body: { tenant, invoices: await invoices.list() } }
    const invoice = await invoices.find(id)
    return invoice ? { status: 200, body: { tenant, invoice } } : notFound
  })
}

const notFound: Answer = { status: 404, body: { error: 'no such invoice' } }

const add = async (request: IncomingMessage, tenant: string, withInvoices: WithInvoices): Promise<Answer> => {
  const { customer, cents } = await readJson(request)
  if (typeof customer !== 'string' || customer.length > 200 || !Number.isSafeInteger(cents))
    return { status: 400, body: { error: 'write {"customer": "...", "cents": 100}' } }
  return withInvoices(request, tenant, async invoices => ({
    status: 201,
    body: { tenant, invoice: await invoices.add(customer, Number(cents)) },
  }))
}

const inCassandra =
  (clients: Clients): WithInvoices =>
  async (request, tenant, work) => {
    const login = readHeaders(request.headers)
    if (login === null) return { status: 503, body: { error: 'no database login came with this request' } }
    const answer = await clients.use(login, client => work(cassandraInvoices(client, tenant)))
    return { ...answer, body: { ...answer.body, from: 'cassandra', login: shown(login) } }
  }

const inMemory = (): WithInvoices => {
  const invoicesOf = memoryInvoices()
  return async (request, tenant, work) => {
    const login = readHeaders(request.headers)
    const answer = await work(invoicesOf(tenant))
    return { ...answer, body: { ...answer.body, from: 'memory', login: login && shown(login) } }
  }
}

/** What a backend may say about a login, in a body or a log. Never the password. */
const shown = ({ role, username, generation }: Login) => ({ role, username, generation })

const readJson = async (request: IncomingMessage): Promise<Record<string, unknown>> => {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > 65_536) return {}
  }
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

const send = (response: ServerResponse, { status, body }: Answer): void => {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

const fault = (error: unknown, log: BackendOptions['log']): Answer => {
  log?.(error instanceof Error ? error.message : String(error))
  // 0x2100: the role may not do this. The grants of the database hold even where a policy is too wide.
  if (error instanceof driver.errors.ResponseError && error.code === 0x2100)
    return { status: 403, body: { error: 'the database role may not do this' } }
  return { status: 503, body: { error: 'the database did not answer' } }
}
