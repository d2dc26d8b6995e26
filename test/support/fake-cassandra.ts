import { createHash } from 'node:crypto'
import { compare } from 'bcryptjs'
import {
  type CassandraSession,
  CqlFault,
  type CqlRow,
  type HeldLogin,
  type LoginProof,
  type LoginTarget,
} from '../../src/model/cassandra.ts'
import type { Secret } from '../../src/model/secret.ts'
import type { ManualClock } from './manual-clock.ts'

/** Shaped like a bcrypt hash, and quick. */
export const fakeHash = async (password: Secret): Promise<string> =>
  `$2a$04$${createHash('sha256').update(password.open()).digest('hex').slice(0, 53)}`

interface Row {
  slot: unknown
  state: string
  owner: unknown
  at: unknown
  secret: unknown
  not_before: unknown
  not_after: unknown
}

interface Statics {
  cut: Date | null
  cut_why: unknown
  asked: Date | null
}

/** What a session does to one statement: nothing, fail before it is applied, or apply it and lose the answer. */
export type Mishap = 'fails' | 'is lost' | 'hangs' | null

const table = 'acme.invoices'

/** The parts of a cluster that credentials touch: login roles and memberships, lightweight transactions with a TTL, hosts, connections. */
export class FakeCluster {
  readonly clock: ManualClock
  readonly hashes = new Map<string, string>()
  /** Microseconds, as `writetime` gives them. */
  readonly written = new Map<string, number>()
  readonly locked = new Set<string>()
  /** Slots that were made no member of their role, or no longer are. */
  readonly outcasts = new Set<string>()
  readonly dropped = new Set<string>()
  readonly leases = new Map<string, { owner: unknown; until: unknown; end: number }>()
  readonly generations = new Map<string, Map<number, Row>>()
  readonly statics = new Map<string, Statics>()
  hosts = ['10.0.0.1:9042', '10.0.0.2:9042']
  /** Hosts of which this cluster's nodes tell, those that are down included. */
  size: number | null = null
  /** Monotonic; 0 where nothing stands. */
  readonly returned = new Map<string, number>()
  /** Nodes that answer logins otherwise than the truth. */
  readonly verdicts = new Map<string, LoginProof>()
  /** Every role statement that was applied, in order. */
  readonly alters: { readonly login: string; readonly hash: string }[] = []
  /** Logins tried, in order. */
  readonly logins: { readonly host: string; readonly at: number }[] = []
  /** `system_views.clients`: by host. Null: the manager may not read it. */
  connections: Map<string, CqlRow[]> | null = new Map()
  /** CassandraNetworkAuthorizer: LOGIN = false reaches open connections too. */
  isEnforcing = true
  /** The manager has AUTHORIZE on the permission roles. */
  mayRevoke = false
  /** The manager may read `system_auth.roles`. */
  mayReadHashes = false

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  session(): FakeSession {
    return new FakeSession(this)
  }

  async accepts(login: string, password: Secret): Promise<boolean> {
    if (this.locked.has(login) || this.dropped.has(login)) return false
    const hash = this.hashes.get(login) ?? ''
    return hash === (await fakeHash(password)) || (hash.length === 60 && compare(password.open(), hash))
  }

  /** Somebody other than Postern. */
  changePassword(login: string, hash: string): void {
    this.hashes.set(login, hash)
    this.written.set(login, (this.written.get(login) ?? 0) + 1)
  }

  /** A backend connects. */
  connect(login: string, from: string, generation: number | null = null, host = this.hosts[0] ?? ''): void {
    const [address, port] = from.split(':')
    const options = generation === null ? {} : { APPLICATION_NAME: 'postern-backend', APPLICATION_VERSION: String(generation) }
    const row = { address, port: Number(port), username: login, driver_name: 'DataStax Node.js Driver', client_options: options }
    this.connections?.set(host, [...(this.connections.get(host) ?? []), row])
  }

  run(cql: string, params: readonly unknown[], host?: string): readonly CqlRow[] {
    const alter = /^ALTER ROLE (\w+) WITH HASHED PASSWORD = '(.{60})' AND LOGIN = (true|false)$/.exec(cql)
    if (alter) return this.#alter(String(alter[1]), String(alter[2]), alter[3] === 'true')
    const grant = /^(GRANT|REVOKE) \w+ (?:TO|FROM) (\w+)$/.exec(cql)
    if (grant) return this.#grant(grant[1] === 'GRANT', String(grant[2]))
    if (cql.startsWith('DELETE FROM system_views.')) return []
    if (cql.startsWith('SELECT role, resource FROM system_views.permissions')) return [{ role: 'other', resource: 'data' }]
    if (cql.startsWith('SELECT * FROM system_views.clients')) return this.#clients(host ?? '')
    if (cql.startsWith('SELECT writetime')) return this.#writtenAt(String(params[0]))
    if (cql.startsWith('SELECT peer')) return Array.from({ length: (this.size ?? this.hosts.length) - 1 }, () => ({ peer: 'x' }))
    if (cql.startsWith('INSERT INTO postern.leases')) return this.#insertLease(params)
    if (cql.startsWith('UPDATE postern.leases')) return this.#renewLease(params)
    if (cql.startsWith('DELETE FROM postern.leases')) return this.#freeLease(params)
    if (cql.startsWith('SELECT generation')) return this.#history(String(params[0]))
    if (cql.startsWith('INSERT INTO postern.generations')) return this.#claim(params)
    if (cql.startsWith('UPDATE postern.generations USING TTL 0 SET cut')) return this.#stop(params)
    if (cql.startsWith('UPDATE postern.generations USING TTL 0 SET asked')) return this.#ask(params)
    if (cql.startsWith('UPDATE postern.generations SET owner')) return this.#own(params)
    if (cql.startsWith('UPDATE postern.generations')) return this.#confirm(params)
    if (cql.startsWith('SELECT cluster_name')) return [{ cluster_name: 'fake' }]
    throw new CqlFault(0x2000, `the fake does not know: ${cql}`)
  }

  #alter(login: string, hash: string, canLogin: boolean): readonly CqlRow[] {
    if (this.dropped.has(login)) throw new CqlFault(0x2200, `${login} doesn't exist`)
    this.hashes.set(login, hash)
    this.written.set(login, (this.written.get(login) ?? 0) + 1)
    if (canLogin) this.locked.delete(login)
    else this.locked.add(login)
    this.alters.push({ login, hash })
    return []
  }

  #grant(gives: boolean, login: string): readonly CqlRow[] {
    if (!this.mayRevoke) throw new CqlFault(0x2100, 'User mgr does not have sufficient privileges to perform the requested operation')
    if (gives !== this.outcasts.has(login))
      throw new CqlFault(0x2200, gives ? `${login} is a member of x` : `${login} is not a member of x`)
    if (gives) this.outcasts.delete(login)
    else this.outcasts.add(login)
    return []
  }

  #clients(host: string): readonly CqlRow[] {
    if (this.connections === null) throw new CqlFault(0x2100, 'User mgr has no SELECT permission on <table system_views.clients>')
    return this.connections.get(host) ?? []
  }

  #writtenAt(login: string): readonly CqlRow[] {
    if (!this.mayReadHashes) throw new CqlFault(0x2100, 'User mgr has no SELECT permission on <table system_auth.roles>')
    return [{ written: this.written.get(login) ?? null }]
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

  #statics(role: string): Statics {
    const found = this.statics.get(role) ?? { cut: null, cut_why: null, asked: null }
    this.statics.set(role, found)
    return found
  }

  #history(role: string): readonly CqlRow[] {
    const statics = { ...this.#statics(role) }
    const rows = [...this.#rows(role)].sort(([a], [b]) => b - a).map(([generation, row]) => ({ generation, ...row, ...statics }))
    // A partition that has static columns alone is one row without a clustering key.
    return rows.length > 0 || (statics.cut === null && statics.asked === null) ? rows : [{ generation: null, ...statics }]
  }

  #claim([role, generation, slot, owner, at, secret, from, to]: readonly unknown[]): readonly CqlRow[] {
    const rows = this.#rows(String(role))
    if (rows.has(Number(generation))) return [{ '[applied]': false }]
    rows.set(Number(generation), { slot, state: 'pending', owner, at, secret, not_before: from, not_after: to })
    return [{ '[applied]': true }]
  }

  #isAsCut(role: unknown, cut: unknown): boolean {
    const now = this.#statics(String(role)).cut
    return (now?.getTime() ?? null) === (cut instanceof Date ? cut.getTime() : cut)
  }

  /** With the columns that the conditions named. */
  #notApplied(role: unknown, row: Row | undefined): readonly CqlRow[] {
    const { cut } = this.#statics(String(role))
    return [{ '[applied]': false, ...(row === undefined ? {} : { owner: row.owner, state: row.state, cut }) }]
  }

  #own([owner, role, generation, ...conditions]: readonly unknown[]): readonly CqlRow[] {
    const [expected, cut] = conditions.length === 1 ? [undefined, conditions[0]] : conditions
    const row = this.#rows(String(role)).get(Number(generation))
    const isOwn = expected === undefined || row?.owner === expected
    if (row === undefined || row.state !== 'pending' || !isOwn || !this.#isAsCut(role, cut)) return this.#notApplied(role, row)
    row.owner = owner
    return [{ '[applied]': true }]
  }

  #confirm([at, role, generation, owner, cut]: readonly unknown[]): readonly CqlRow[] {
    const row = this.#rows(String(role)).get(Number(generation))
    if (!row || row.owner !== owner || row.state !== 'pending' || !this.#isAsCut(role, cut)) return this.#notApplied(role, row)
    row.state = 'current'
    row.at = at
    this.statics.set(String(role), { cut: null, cut_why: null, asked: null })
    return [{ '[applied]': true }]
  }

  #stop([at, why, role]: readonly unknown[]): readonly CqlRow[] {
    if (this.#statics(String(role)).cut !== null) return [{ '[applied]': false }]
    this.statics.set(String(role), { cut: at as Date, cut_why: why, asked: null })
    return [{ '[applied]': true }]
  }

  #ask([at, role]: readonly unknown[]): readonly CqlRow[] {
    const statics = this.#statics(String(role))
    if (statics.asked !== null) return [{ '[applied]': false }]
    this.statics.set(String(role), { ...statics, asked: at as Date })
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

  async execute(cql: string, params: readonly unknown[] = [], { host }: { readonly host?: string } = {}): Promise<readonly CqlRow[]> {
    this.seen(cql)
    const mishap = this.dead ? 'fails' : this.mishap(cql)
    if (mishap === 'fails') throw new CqlFault(0x1000, 'not enough replicas')
    if (mishap === 'hangs') await new Promise<void>(resolve => this.#hanging.push(resolve))
    const rows = this.#cluster.run(cql, params, host)
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

  upSince(host: string): number {
    return this.#cluster.returned.get(host) ?? 0
  }

  async login(username: string, password: Secret, { host, memberOf }: LoginTarget = {}): Promise<LoginProof> {
    if (this.dead) return 'unknown'
    this.#cluster.logins.push({ host: host ?? '', at: this.#cluster.clock.monotonic() })
    const verdict = host === undefined ? undefined : this.#cluster.verdicts.get(host)
    if (verdict !== undefined) return verdict
    if (!(await this.#cluster.accepts(username, password))) return 'refused'
    return memberOf !== undefined && this.#cluster.outcasts.has(username) ? 'powerless' : 'ok'
  }

  async hold(username: string, password: Secret, host: string): Promise<HeldLogin | null> {
    if ((await this.login(username, password, { host })) !== 'ok') return null
    const cluster = this.#cluster
    const use = async (cql: string): Promise<LoginProof> => {
      if (cluster.isEnforcing && cluster.locked.has(username)) return 'refused'
      return cql.startsWith('SELECT token') && cluster.outcasts.has(username) ? 'refused' : 'ok'
    }
    return {
      use,
      execute: async cql =>
        cql.startsWith('LIST ALL')
          ? [{ permission: 'SELECT', resource: `<table ${table}>` }]
          : [{ table_name: 'invoices', column_name: 'tenant', kind: 'partition_key', position: 0 }],
      close: async () => undefined,
    }
  }

  async close(): Promise<void> {
    this.closed = true
  }
}
