import type { IncomingHttpHeaders } from 'node:http'
import driver from 'cassandra-driver'

/** The login that Postern put into a request. */
export interface Injected {
  readonly role: string
  readonly username: string
  readonly password: string
  readonly generation: number
}

export interface Cluster {
  readonly contactPoint: string
  readonly port: number
  readonly localDataCenter?: string
}

/** Null when the request carries none: its policy rule names no role. */
export const readInjected = (headers: IncomingHttpHeaders): Injected | null => {
  const field = (name: string): string => String(headers[`x-postern-cassandra-${name}`] ?? '')
  const [role, username, password, generation] = ['role', 'username', 'password', 'generation'].map(field) as [
    string,
    string,
    string,
    string,
  ]
  return username && password ? { role, username, password, generation: Number(generation) } : null
}

interface Entry {
  readonly client: driver.Client
  readonly connected: Promise<void>
  readonly role: string
  readonly generation: number
  users: number
}

/**
 * One client for each generation of a credential. Cassandra authenticates connections, not requests, so a generation's client
 * serves every request that carries it. A new generation connects before the old one goes, and the old one goes when its last
 * request is done: `client.shutdown()` does not wait, it breaks what is under way.
 */
export class Clients {
  readonly #cluster: Cluster
  readonly #entries = new Map<string, Entry>()
  readonly #newest = new Map<string, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  async use<T>(injected: Injected, work: (client: driver.Client) => Promise<T>): Promise<T> {
    const entry = this.#entry(injected)
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
    await Promise.all([...this.#entries.values()].map(entry => entry.client.shutdown()))
    this.#entries.clear()
  }

  #entry(injected: Injected): Entry {
    const { role, generation, username, password } = injected
    const key = JSON.stringify([username, generation, password])
    const known = this.#entries.get(key)
    if (known) return known
    const client = newClient(this.#cluster, injected)
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

const newClient = ({ contactPoint, port, localDataCenter = 'datacenter1' }: Cluster, { username, password }: Injected): driver.Client =>
  new driver.Client({
    contactPoints: [contactPoint],
    localDataCenter,
    credentials: { username, password },
    // The port of a contact point is not applied to the nodes it tells of.
    protocolOptions: { port, maxVersion: 4 },
    // A guardrail on page size refuses every statement of a driver that asks for its default of 5000 rows.
    queryOptions: { fetchSize: 100 },
    policies: { reconnection: new driver.policies.reconnection.ExponentialReconnectionPolicy(250, 5_000, false) },
    isMetadataSyncEnabled: false,
    // Beyond loopback: sslOptions with `ca` and `rejectUnauthorized: true`; the driver's own default is not to verify.
  })
