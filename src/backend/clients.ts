import driver from 'cassandra-driver'
import type { Login } from './login.ts'

export interface Cluster {
  readonly contactPoints: readonly string[]
  /** Default 9042. */
  readonly port?: number
  readonly localDataCenter: string
  readonly keyspace?: string
  /** PEM certificates that sign the nodes' own, and the name in these; null: no TLS, for this machine only. The name and the chain are always verified. */
  readonly tls: { readonly ca: string; readonly serverName?: string } | null
}

interface Entry {
  readonly client: driver.Client
  readonly connected: Promise<void>
  readonly role: string
  readonly generation: number
  users: number
}

/**
 * One driver client for each generation of a login. Cassandra authenticates connections, not requests, so a generation's client serves every
 * request that carries it. The new one connects before the old one goes, and the old one goes with its last request: the driver's own
 * `shutdown()` does not wait, it breaks what is under way.
 */
export class Clients {
  readonly #cluster: Cluster
  readonly #entries = new Map<string, Entry>()
  readonly #newest = new Map<string, number>()
  #closed = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Open clients: at most two a role for longer than a request. */
  get size(): number {
    return this.#entries.size
  }

  /** Runs `work` with the client of this login. Rejects with what the driver or `work` says. */
  async use<T>(login: Login, work: (client: driver.Client) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error('the clients are closed')
    const entry = this.#entry(login)
    entry.users += 1
    try {
      await entry.connected
      this.#newest.set(entry.role, Math.max(entry.generation, this.#newest.get(entry.role) ?? 0))
      return await work(entry.client)
    } finally {
      entry.users -= 1
      this.#sweep(entry.role)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#entries.values()].map(entry => entry.client.shutdown()))
    this.#entries.clear()
  }

  #entry(login: Login): Entry {
    const { role, generation, username, password } = login
    const key = JSON.stringify([username, generation, password])
    const known = this.#entries.get(key)
    if (known) return known
    const client = newClient(this.#cluster, login)
    const entry = { client, connected: client.connect(), role, generation, users: 0 }
    this.#entries.set(key, entry)
    entry.connected.catch(() => {
      // The next request tries again, with a client of its own.
      this.#entries.delete(key)
      void client.shutdown()
    })
    return entry
  }

  #sweep(role: string): void {
    const newest = this.#newest.get(role) ?? 0
    for (const [key, entry] of this.#entries) {
      if (entry.role !== role || entry.users > 0 || entry.generation >= newest) continue
      this.#entries.delete(key)
      void entry.client.shutdown()
    }
  }
}

const newClient = (cluster: Cluster, { username, password, generation }: Login): driver.Client =>
  new driver.Client({
    contactPoints: [...cluster.contactPoints],
    localDataCenter: cluster.localDataCenter,
    ...(cluster.keyspace === undefined ? {} : { keyspace: cluster.keyspace }),
    credentials: { username, password },
    // Postern names connections that are late at a rotation: `system_views.clients` shows this.
    applicationName: 'postern-backend',
    applicationVersion: String(generation),
    // The port of a contact point is not applied to the nodes it tells of.
    protocolOptions: { port: cluster.port ?? 9042, maxVersion: 4 },
    // A guardrail on page size refuses every statement of a driver that asks for its default of 5000 rows.
    queryOptions: { fetchSize: 100 },
    policies: { reconnection: new driver.policies.reconnection.ExponentialReconnectionPolicy(250, 5_000, false) },
    isMetadataSyncEnabled: false,
    // The driver's own default is not to verify.
    ...(cluster.tls === null
      ? {}
      : {
          sslOptions: {
            ca: [cluster.tls.ca],
            rejectUnauthorized: true,
            ...(cluster.tls.serverName === undefined ? {} : { servername: cluster.tls.serverName }),
          },
        }),
  })
