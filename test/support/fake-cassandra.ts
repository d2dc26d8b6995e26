import { createHash } from 'node:crypto'
import { compare } from 'bcryptjs'
import { type CassandraSession, CqlFault, type CqlRow, type LoginProof } from '../../src/model/cassandra.ts'
import type { Secret } from '../../src/model/secret.ts'
import type { ManualClock } from './manual-clock.ts'

/** Shaped like a bcrypt hash, and quick. */
export const fakeHash = async (password: Secret): Promise<string> =>
  `$2a$04$${createHash('sha256').update(password.open()).digest('hex').slice(0, 53)}`

interface Row {
  slot: unknown
  state: string
  owner: unknown
  secret: unknown
  not_before: unknown
  not_after: unknown
}

/** What a session does to one statement: nothing, fail before it is applied, or apply it and lose the answer. */
export type Mishap = 'fails' | 'is lost' | 'hangs' | null

/** The parts of a cluster that rotation touches: login roles, lightweight transactions with a TTL, hosts. */
export class FakeCluster {
  readonly clock: ManualClock
  readonly hashes = new Map<string, string>()
  readonly leases = new Map<string, { owner: unknown; until: unknown; end: number }>()
  readonly generations = new Map<string, Map<number, Row>>()
  hosts = ['10.0.0.1:9042', '10.0.0.2:9042']
  /** Nodes that answer logins otherwise than the truth. */
  readonly verdicts = new Map<string, LoginProof>()
  /** Every role statement that was applied, in order. */
  readonly alters: { readonly login: string; readonly hash: string }[] = []

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  session(): FakeSession {
    return new FakeSession(this)
  }

  async accepts(login: string, password: Secret): Promise<boolean> {
    const hash = this.hashes.get(login) ?? ''
    return hash === (await fakeHash(password)) || (hash.length === 60 && compare(password.open(), hash))
  }

  run(cql: string, params: readonly unknown[]): readonly CqlRow[] {
    const alter = /^ALTER ROLE (\w+) WITH HASHED PASSWORD = '(.{60})'$/.exec(cql)
    if (alter) return this.#alter(String(alter[1]), String(alter[2]))
    if (cql.startsWith('DELETE FROM system_views.')) return []
    if (cql.startsWith('INSERT INTO postern.leases')) return this.#insertLease(params)
    if (cql.startsWith('UPDATE postern.leases')) return this.#renewLease(params)
    if (cql.startsWith('DELETE FROM postern.leases')) return this.#freeLease(params)
    if (cql.startsWith('SELECT generation')) return this.#history(String(params[0]))
    if (cql.startsWith('INSERT INTO postern.generations')) return this.#claim(params)
    if (cql.startsWith('UPDATE postern.generations SET owner')) return this.#own(params)
    if (cql.startsWith('UPDATE postern.generations')) return this.#confirm(params)
    if (cql.startsWith('SELECT cluster_name')) return [{ cluster_name: 'fake' }]
    throw new CqlFault(0x2000, `the fake does not know: ${cql}`)
  }

  #alter(login: string, hash: string): readonly CqlRow[] {
    this.hashes.set(login, hash)
    this.alters.push({ login, hash })
    return []
  }

  #lease(name: string): { owner: unknown; until: unknown; end: number } | undefined {
    const row = this.leases.get(name)
    if (row && row.end <= this.clock.monotonic()) this.leases.delete(name)
    return this.leases.get(name)
  }

  /** Cassandra counts whole seconds: a row may die up to one second early, and here it always does. */
  #end(ttl: unknown): number {
    return this.clock.monotonic() + Number(ttl) * 1000 - 999
  }

  #insertLease([name, owner, until, ttl]: readonly unknown[]): readonly CqlRow[] {
    const row = this.#lease(String(name))
    if (row) return [{ '[applied]': false, name, owner: row.owner, until: row.until }]
    this.leases.set(String(name), { owner, until, end: this.#end(ttl) })
    return [{ '[applied]': true }]
  }

  #renewLease([ttl, owner, until, name, expected]: readonly unknown[]): readonly CqlRow[] {
    const row = this.#lease(String(name))
    if (!row) return [{ '[applied]': false }]
    if (row.owner !== expected) return [{ '[applied]': false, owner: row.owner }]
    this.leases.set(String(name), { owner, until, end: this.#end(ttl) })
    return [{ '[applied]': true }]
  }

  #freeLease([name, owner]: readonly unknown[]): readonly CqlRow[] {
    const applied = this.#lease(String(name))?.owner === owner
    if (applied) this.leases.delete(String(name))
    return [{ '[applied]': applied }]
  }

  #rows(role: string): Map<number, Row> {
    const rows = this.generations.get(role) ?? new Map<number, Row>()
    this.generations.set(role, rows)
    return rows
  }

  #history(role: string): readonly CqlRow[] {
    return [...this.#rows(role)].sort(([a], [b]) => b - a).map(([generation, row]) => ({ generation, ...row }))
  }

  #claim([role, generation, slot, owner, , secret, from, to]: readonly unknown[]): readonly CqlRow[] {
    const rows = this.#rows(String(role))
    if (rows.has(Number(generation))) return [{ '[applied]': false }]
    rows.set(Number(generation), { slot, state: 'pending', owner, secret, not_before: from, not_after: to })
    return [{ '[applied]': true }]
  }

  #own([owner, role, generation, expected]: readonly unknown[]): readonly CqlRow[] {
    const row = this.#rows(String(role)).get(Number(generation))
    if (row === undefined || (expected === undefined ? row.state !== 'pending' : row.owner !== expected)) return [{ '[applied]': false }]
    row.owner = owner
    return [{ '[applied]': true }]
  }

  #confirm([, role, generation, owner]: readonly unknown[]): readonly CqlRow[] {
    const row = this.#rows(String(role)).get(Number(generation))
    if (!row || row.owner !== owner) return [{ '[applied]': false }]
    row.state = 'current'
    return [{ '[applied]': true }]
  }
}

/** One process's view of the cluster, with mishaps to order. */
export class FakeSession implements CassandraSession {
  readonly #cluster: FakeCluster
  /** Asked before each statement. */
  mishap: (cql: string) => Mishap = () => null
  /** Called when a statement reaches the session, before anything else. */
  seen: (cql: string) => void = () => undefined
  dead = false
  closed = false
  readonly #hanging: (() => void)[] = []

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster
  }

  async execute(cql: string, params: readonly unknown[] = []): Promise<readonly CqlRow[]> {
    this.seen(cql)
    const mishap = this.dead ? 'fails' : this.mishap(cql)
    if (mishap === 'fails') throw new CqlFault(0x1000, 'not enough replicas')
    if (mishap === 'hangs') await new Promise<void>(resolve => this.#hanging.push(resolve))
    const rows = this.#cluster.run(cql, params)
    if (mishap === 'is lost') throw new CqlFault(null, 'no answer')
    return rows
  }

  /** What hung is applied now. */
  release(): void {
    for (const go of this.#hanging.splice(0)) go()
  }

  hosts(): readonly string[] {
    return this.dead ? [] : this.#cluster.hosts
  }

  async login(username: string, password: Secret, host?: string): Promise<LoginProof> {
    if (this.dead) return 'unknown'
    const verdict = host === undefined ? undefined : this.#cluster.verdicts.get(host)
    return verdict ?? ((await this.#cluster.accepts(username, password)) ? 'ok' : 'refused')
  }

  async close(): Promise<void> {
    this.closed = true
  }
}
