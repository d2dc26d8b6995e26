import { hostname } from 'node:os'
import type { CassandraSession } from '../model/cassandra.ts'
import type { Credential, CredentialProvider, CredentialStatus, Unavailable } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret, SecretBytes } from '../model/secret.ts'
import type { RotationSettings } from './context.ts'
import type { Observe } from './events.ts'
import { hashPassword } from './hash.ts'
import { wrongRole } from './names.ts'
import { Rotation } from './rotation.ts'
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
}

/** Credentials that Postern makes itself, in Cassandra. Opens at once and connects in the background: routes without a credential need no cluster. */
export const openCassandraProvider = (options: CassandraProviderOptions): CredentialProvider => new CassandraProvider(options)

class CassandraProvider implements CredentialProvider {
  readonly #options: CassandraProviderOptions
  readonly #owner: string
  readonly #tasks: Tasks<'connect'>
  readonly #turn = inTurn()
  readonly #rotations = new Map<string, Rotation>()
  #wanted: ReadonlySet<string> = new Set()
  #session: CassandraSession | null = null
  #vault: Vault | null = null
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
    return this.#rotations.get(role)?.answer ?? this.#notYet
  }

  roles(roles: readonly string[]): void {
    if (this.#tasks.closed) return
    this.#wanted = new Set(roles.filter(role => wrongRole(role) === null))
    this.#reconcile()
  }

  status(): readonly CredentialStatus[] {
    const { detail } = this.#notYet
    return [...this.#wanted].map(
      role => this.#rotations.get(role)?.status() ?? { role, generation: 0, state: 'unavailable', notAfter: 0, detail },
    )
  }

  async close(): Promise<void> {
    this.#tasks.close()
    this.#wanted = new Set()
    await this.#connecting
    await Promise.all([...this.#rotations.values()].map(rotation => rotation.close()))
    await this.#session?.close()
  }

  async #connect(): Promise<void> {
    const { connect, observe } = this.#options
    try {
      const session = await connect()
      if (this.#tasks.closed) return void (await session.close())
      this.#vault = await this.#openVault(session)
      this.#session = session
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
    const session = this.#session
    if (session === null) return
    for (const role of this.#wanted) {
      const known = this.#rotations.get(role)
      if (known) known.keep()
      else this.#begin(role, session)
    }
    for (const [role, rotation] of this.#rotations) if (!this.#wanted.has(role)) rotation.drop(() => this.#forget(role))
  }

  #begin(role: string, session: CassandraSession): void {
    const { settings, clock, random, observe, hash = hashPassword } = this.#options
    const context = { session, settings, clock, random, observe, hash, vault: this.#vault, owner: this.#owner, turn: this.#turn }
    const rotation = new Rotation(role, context)
    this.#rotations.set(role, rotation)
    rotation.start()
  }

  /** Its slots are locked. A policy may have named the role again while that was under way. */
  #forget(role: string): void {
    this.#rotations.delete(role)
    this.#reconcile()
  }
}

const unavailable = (detail: string): Unavailable => ({ unavailable: 'credential-unavailable', detail })
