import { randomBytes } from 'node:crypto'
import { openCassandraProvider } from '../../src/credentials/cassandra.ts'
import type { RotationSettings, WatchSettings } from '../../src/credentials/context.ts'
import type { CredentialEvent } from '../../src/credentials/events.ts'
import { systemClock } from '../../src/deps.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import type { Credential } from '../../src/model/credential.ts'
import type { SecretBytes } from '../../src/model/secret.ts'
import type { Tenants } from './cassandra.ts'

/** Every second or two. */
export const quick: RotationSettings = { rotateEvery: 1_500, overlap: 500, hardTtl: 60_000, afterHardTtl: 'refuse' }
/** Once, for as long as a test takes. */
export const slow: RotationSettings = { ...quick, rotateEvery: 600_000, overlap: 300_000, hardTtl: 3_600_000 }

export interface SidecarOptions {
  readonly settings?: RotationSettings
  readonly keys?: readonly SecretBytes[]
  readonly watch?: WatchSettings
  readonly meet?: Meet
}

/** Told of each statement before it is sent and after it was answered; `login` stands for a proof. */
export type Meet = (cql: string, when: 'before' | 'after') => void

export const metBy = (session: CassandraSession, meet: Meet): CassandraSession => {
  const around = async <T>(cql: string, work: () => Promise<T>): Promise<T> => {
    meet(cql, 'before')
    const result = await work()
    meet(cql, 'after')
    return result
  }
  return {
    ...session,
    execute: (cql, params, to) => around(cql, () => session.execute(cql, params, to)),
    login: (name, secret, to) => around('login', () => session.login(name, secret, to)),
  }
}

/** What somebody tells, as it comes. */
export class Told<Event> {
  readonly events: Event[] = []
  readonly #listeners = new Set<(event: Event) => void>()

  protected tell(event: Event): void {
    this.events.push(event)
    for (const listener of this.#listeners) listener(event)
  }

  listen(listener: (event: Event) => void): void {
    this.#listeners.add(listener)
  }

  /** Resolves when as many events as asked for have come, those before the call included. */
  async until(wanted: (event: Event) => boolean, count = 1): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (this.events.filter(wanted).length >= count) resolve()
    }
    this.#listeners.add(look)
    look()
    await promise
    this.#listeners.delete(look)
  }
}

/** What one Postern process does with a real cluster: its credential provider, with what it tells. */
export class Sidecar extends Told<CredentialEvent> {
  readonly provider: ReturnType<typeof openCassandraProvider>

  constructor(
    cluster: Tenants,
    roles: readonly string[],
    { settings = quick, keys = [], watch, meet = () => undefined }: SidecarOptions = {},
  ) {
    super()
    const connect = async (): Promise<CassandraSession> => metBy(await cluster.manager(), meet)
    const observe = (event: CredentialEvent): void => this.tell(event)
    const deps = { clock: systemClock, random: randomBytes, ...(watch === undefined ? {} : { watch }) }
    this.provider = openCassandraProvider({ settings, group: 'test', keys, connect, observe, ...deps })
    this.provider.roles(roles.map(cluster.name))
  }

  current(role: string): Credential {
    const answer = this.provider.current(role)
    if ('unavailable' in answer) throw new Error(`${role}: ${answer.detail}`)
    return answer
  }
}

export const rotated = (event: CredentialEvent): boolean => event.kind === 'rotated'
