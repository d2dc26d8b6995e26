import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { CredentialEvent } from '../../src/credentials/events.ts'
import { Secret } from '../../src/model/secret.ts'
import type { SharedCassandra, Tenants } from './cassandra.ts'
import { quick, Told } from './sidecar.ts'
import type { ChildCredential, ChildStart } from './sidecar-child.ts'

export interface ProcessOptions extends Partial<Pick<ChildStart, 'settings' | 'watch' | 'mishap'>> {
  readonly node: SharedCassandra
  readonly cluster: Tenants
  readonly roles: readonly string[]
  /** Hexadecimal. */
  readonly keys?: readonly string[]
}

/** A `Sidecar` in a process of its own, which can be stopped, continued and killed like one, or do that to itself at a chosen statement. */
export class SidecarProcess extends Told<CredentialEvent> {
  readonly #child: ChildProcess
  #given: readonly ChildCredential[] = []

  constructor({ node, cluster, roles, keys = [], settings = quick, watch = defaultWatch, mishap = null }: ProcessOptions) {
    super()
    this.#child = fork(join(import.meta.dirname, 'sidecar-child.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child.on('message', message => {
      const { event, given } = message as { event: CredentialEvent; given: readonly ChildCredential[] }
      this.#given = given
      this.tell(event)
    })
    const { contactPoint, port, localDataCenter } = node
    const { username, password } = cluster.login
    const at = { contactPoint, port, localDataCenter, username, password: password.open() }
    this.#child.send({ ...at, keys, roles, settings, watch, mishap } satisfies ChildStart)
  }

  /** Handed out by it last: it does not forget while it is stopped, nor do backends. */
  given(role: string): { readonly username: string; readonly password: Secret; readonly generation: number } | null {
    const found = this.#given.find(credential => credential.role === role)
    return found === undefined ? null : { ...found, password: new Secret(found.password) }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#child.kill(signal)
  }

  /** Resolves when it is gone, whoever ended it. */
  async ended(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.ended()
  }
}

/** As in production. */
const defaultWatch = { every: 30_000, again: 5_000, settled: 60_000 }
