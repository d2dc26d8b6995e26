import { hostname } from 'node:os'
import type { CassandraSession } from '../model/cassandra.ts'
import type { Credential, CredentialProvider, CredentialStatus, Unavailable } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret, SecretBytes } from '../model/secret.ts'
import type { Acts, CutDone, RoleHistory } from './acts.ts'
import { messageOf } from './attempt.ts'
import { paced } from './budget.ts'
import { Connections } from './connections.ts'
import type { RotationContext, RotationSettings, WatchSettings } from './context.ts'
import { cutRole } from './cut.ts'
import type { Observe } from './events.ts'
import { markCut, readRows } from './generations.ts'
import { hashPassword } from './hash.ts'
import { wrongRole } from './names.ts'
import { type CutEnds, readReach } from './reach.ts'
import { type Asked, Role } from './role.ts'
import { inTurn, Tasks } from './tasks.ts'
import { openVault, type Vault } from './vault.ts'

export interface CassandraProviderOptions {
  readonly settings: RotationSettings
  readonly group: string
  /** AES-256 keys by which the group's sidecars share credentials; none: only the lease holder serves them. */
  readonly keys: readonly SecretBytes[]
  /** Opens the manager's session; tried again for as long as it rejects. */
  readonly connect: () => Promise<CassandraSession>
  readonly observe: Observe
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  readonly hash?: (password: Secret) => Promise<string>
  readonly watch?: WatchSettings
}

/** Each login that is handed out is tried every 30 s; with many roles less often, one role a second. */
const watchDefault: WatchSettings = { every: 30_000, again: 5_000, settled: 60_000 }
const checkPause = 1_000

/** Credentials that Postern makes itself, in Cassandra. Opens at once and connects in the background: routes without a credential need no cluster. */
export const openCassandraProvider = (options: CassandraProviderOptions): CredentialProvider & Acts => new CassandraProvider(options)

class CassandraProvider implements CredentialProvider, Acts {
  readonly #options: CassandraProviderOptions
  readonly #owner: string
  readonly #tasks: Tasks<'connect'>
  readonly #turn = inTurn()
  readonly #checks = inTurn()
  readonly #roles = new Map<string, Role>()
  #wanted: ReadonlySet<string> = new Set()
  #session: CassandraSession | null = null
  #vault: Vault | null = null
  #context: RotationContext | null = null
  #cutEnds: RotationContext['cutEnds'] = () => 'unknown'
  #connecting: Promise<void>
  #failures = 0
  #notYet: Unavailable = unavailable('not connected to Cassandra yet')

  constructor(options: CassandraProviderOptions) {
    this.#options = options
    this.#owner = `${options.group}/${hostname()}/${process.pid}/${options.random(4).toString('hex')}`
    this.#tasks = new Tasks(options.clock)
    this.#connecting = this.#connect()
  }

  current(role: string): Credential | Unavailable {
    return this.#roles.get(role)?.answer ?? this.#notYet
  }

  roles(roles: readonly string[]): void {
    if (this.#tasks.closed) return
    this.#wanted = new Set(roles.filter(role => wrongRole(role) === null))
    this.#reconcile()
  }

  status(): readonly CredentialStatus[] {
    const { detail } = this.#notYet
    return [...this.#wanted].map(role => this.#roles.get(role)?.status() ?? { ...nothing, role, detail })
  }

  async history(role: string): Promise<RoleHistory> {
    const { rows, ...rest } = await readRows(this.#connected(role), role)
    return { role, rows: rows.map(({ secret: _, ...row }) => row), ...rest }
  }

  async rotate(role: string, keepConnections: boolean): Promise<Asked> {
    this.#connected(role)
    const found = this.#roles.get(role)
    if (found === undefined) throw new Error(`no policy names ${role} here; policies name ${[...this.#wanted].join(', ') || 'no role'}`)
    return found.ask(keepConnections)
  }

  async cut(role: string, why: string): Promise<CutDone> {
    const { clock, random, hash = hashPassword } = this.#options
    const cut = { at: clock.now(), why }
    const found = this.#roles.get(role)
    const given = found?.cut(cut) ?? null
    const session = this.#connected(role)
    let unmarked: string | null = null
    const tell = async (): Promise<void> => {
      unmarked = await markCut(session, role, cut).then(() => null, messageOf)
    }
    const report = await cutRole(role, given, { session, clock, random, hash, tell })
    if (unmarked === null) found?.cutMarked()
    return { ...report, ...cut, unmarked }
  }

  async close(): Promise<void> {
    this.#tasks.close()
    this.#wanted = new Set()
    await this.#connecting
    await Promise.all([...this.#roles.values()].map(role => role.close()))
    await this.#session?.close()
  }

  #connected(role: string): CassandraSession {
    const wrong = wrongRole(role)
    if (wrong !== null) throw new Error(wrong)
    if (this.#session === null) throw new Error(this.#notYet.detail)
    return this.#session
  }

  async #connect(): Promise<void> {
    const { connect, observe } = this.#options
    try {
      const session = await connect()
      if (this.#tasks.closed) return void (await session.close())
      this.#vault = await this.#openVault(session)
      this.#session = session
      this.#context = this.#contextOf(session)
      void readReach(session).then(ends => {
        this.#cutEnds = ends
      })
      this.#notYet = unavailable('no policy names the role')
      observe({ kind: 'connection', up: true, message: session.hosts().join(' ') })
      this.#reconcile()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#notYet = unavailable(`no connection to Cassandra: ${message}`)
      observe({ kind: 'connection', up: false, message })
      this.#retry()
    }
  }

  async #openVault(session: CassandraSession): Promise<Vault | null> {
    const { keys, group, random } = this.#options
    if (keys.length === 0) return null
    const [local] = await session.execute('SELECT cluster_name FROM system.local')
    return openVault({ keys, cluster: String(local?.['cluster_name'] ?? ''), group, random })
  }

  #retry(): void {
    const wait = Math.min(500 * 2 ** this.#failures, 10_000)
    this.#failures = Math.min(this.#failures + 1, 10)
    this.#tasks.after('connect', wait, () => {
      this.#connecting = this.#connect()
    })
  }

  #reconcile(): void {
    const context = this.#context
    if (context === null) return
    for (const role of this.#wanted) {
      const known = this.#roles.get(role)
      if (known) known.keep()
      else this.#begin(role, context)
    }
    for (const [name, role] of this.#roles) if (!this.#wanted.has(name)) role.drop(() => this.#forget(name))
  }

  #begin(name: string, context: RotationContext): void {
    const role = new Role(name, context)
    this.#roles.set(name, role)
    role.start()
  }

  #contextOf(session: CassandraSession): RotationContext {
    const { settings, clock, random, observe, hash = hashPassword, watch = watchDefault } = this.#options
    const checkTurn = (job: () => Promise<void>): Promise<void> =>
      this.#checks(async () => {
        await job()
        await this.#tasks.pause(Math.min(checkPause, watch.every))
      }).catch(() => undefined)
    const shared = { settings, clock, random, observe, hash, watch, checkTurn, vault: this.#vault, owner: this.#owner, turn: this.#turn }
    const cutEnds = (role: string): CutEnds => this.#cutEnds(role)
    return { ...shared, cutEnds, session: paced(session, clock), connections: new Connections(session, clock) }
  }

  /** Its slots are locked. A policy may have named the role again while that was under way. */
  #forget(role: string): void {
    this.#roles.delete(role)
    this.#reconcile()
  }
}

const nothing = {
  generation: 0,
  slot: '',
  state: 'unavailable',
  notAfter: 0,
  nextAt: 0,
  onPrevious: null,
  cutEnds: 'unknown',
  holder: '',
} as const

const unavailable = (detail: string): Unavailable => ({ unavailable: 'credential-unavailable', detail })
