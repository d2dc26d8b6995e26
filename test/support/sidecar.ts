import { randomBytes } from 'node:crypto'
import { openCassandraProvider } from '../../src/credentials/cassandra.ts'
import type { RotationSettings, WatchSettings } from '../../src/credentials/context.ts'
import type { CredentialEvent } from '../../src/credentials/events.ts'
import { systemClock } from '../../src/deps.ts'
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
}

/** What one Postern process does with a real cluster: its credential provider, with what it tells. */
export class Sidecar {
  readonly provider: ReturnType<typeof openCassandraProvider>
  readonly events: CredentialEvent[] = []
  readonly #waiting = new Set<() => void>()

  constructor(cluster: Tenants, roles: readonly string[], { settings = quick, keys = [], watch }: SidecarOptions = {}) {
    const observe = (event: CredentialEvent): void => {
      this.events.push(event)
      for (const look of this.#waiting) look()
    }
    const deps = { clock: systemClock, random: randomBytes, ...(watch === undefined ? {} : { watch }) }
    this.provider = openCassandraProvider({ settings, group: 'test', keys, connect: cluster.manager, observe, ...deps })
    this.provider.roles(roles.map(cluster.name))
  }

  /** Resolves when as many events as asked for have come, those before the call included. */
  async until(wanted: (event: CredentialEvent) => boolean, count = 1): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (this.events.filter(wanted).length >= count) resolve()
    }
    this.#waiting.add(look)
    look()
    await promise
    this.#waiting.delete(look)
  }

  current(role: string): Credential {
    const answer = this.provider.current(role)
    if ('unavailable' in answer) throw new Error(`${role}: ${answer.detail}`)
    return answer
  }
}

export const rotated = (event: CredentialEvent): boolean => event.kind === 'rotated'
