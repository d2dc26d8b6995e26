import type { CassandraSession, CqlRow } from '../model/cassandra.ts'
import type { Clock } from '../model/deps.ts'
import type { Named } from './events.ts'

/** One open connection of a slot to one node. */
export interface Connection {
  /** Tells it from every other for as long as it is open. */
  readonly key: string
  readonly host: string
  readonly login: string
  /** Which generation the client says it logged in with; null: it does not say. */
  readonly generation: number | null
  /** For people. */
  readonly name: string
}

export interface ConnectionsNow {
  readonly open: readonly Connection[]
  /** Nodes that would not tell. */
  readonly silent: readonly string[]
}

type Session = Pick<CassandraSession, 'execute' | 'hosts'>

// Every column: the ones that tell most exist only since 5.0. Not prepared, so a column more or less does no harm.
const read = 'SELECT * FROM system_views.clients'
const fresh = 1_000
const named = 20

/** Who is connected as a slot, on every node. Asked by many roles at once, it asks the cluster once. */
export class Connections {
  readonly #session: Session
  readonly #clock: Pick<Clock, 'monotonic'>
  #reading: Promise<ConnectionsNow> | null = null
  #readAt = Number.NEGATIVE_INFINITY

  constructor(session: Session, clock: Pick<Clock, 'monotonic'>) {
    this.#session = session
    this.#clock = clock
  }

  /** At most a second old. Never rejects. */
  now(): Promise<ConnectionsNow> {
    const now = this.#clock.monotonic()
    if (this.#reading === null || now - this.#readAt >= fresh) {
      this.#readAt = now
      this.#reading = readConnections(this.#session)
    }
    return this.#reading
  }
}

/** Never rejects. */
export const readConnections = async (session: Session, hosts: readonly string[] = session.hosts()): Promise<ConnectionsNow> => {
  const answers = await Promise.all(hosts.map(async host => ({ host, rows: await session.execute(read, [], { host }).catch(() => null) })))
  return {
    open: answers.flatMap(({ host, rows }) =>
      (rows ?? []).filter(row => String(row['username']).startsWith('postern_')).map(row => connection(host, row)),
    ),
    silent: answers.filter(({ rows }) => rows === null).map(({ host }) => host),
  }
}

const connection = (host: string, row: CqlRow): Connection => {
  const login = String(row['username'])
  const from = `${String(row['address'])}:${String(row['port'])}`
  const options = typeof row['client_options'] === 'object' && row['client_options'] !== null ? row['client_options'] : {}
  const said = Object.fromEntries(Object.entries(options).map(([key, value]) => [key.toUpperCase(), String(value)]))
  const generation = said['APPLICATION_NAME'] === 'postern-backend' ? Number(said['APPLICATION_VERSION']) : Number.NaN
  const client = said['APPLICATION_NAME'] ?? String(row['driver_name'] ?? '')
  return {
    key: `${host} ${from} ${login}`,
    host,
    login,
    generation: Number.isSafeInteger(generation) ? generation : null,
    name: plain(`${from} as ${login}${client === '' ? '' : ` (${client}${Number.isNaN(generation) ? '' : `, generation ${generation}`})`}`),
  }
}

/** A client chooses its own name, and it stands in logs and on terminals. */
const plain = (text: string): string => text.replaceAll(/\p{Cc}/gu, ' ').slice(0, 160)

/** The first few by name. */
export const nameSome = (connections: readonly Connection[]): Named => ({
  count: connections.length,
  some: connections.slice(0, named).map(({ name, host }) => `${name} on ${host}`),
})
