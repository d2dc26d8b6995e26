import { randomBytes } from 'node:crypto'
import { openCassandraProvider } from '../../src/credentials/cassandra.ts'
import type { CredentialEvent } from '../../src/credentials/events.ts'
import type { Credential } from '../../src/model/credential.ts'
import type { SecretBytes } from '../../src/model/secret.ts'
import { FakeCluster, type FakeSession, fakeHash, type Mishap } from './fake-cassandra.ts'
import { ManualClock } from './manual-clock.ts'

export const role = 'acme_finance_ro'
export const [slotA, slotB] = [`postern_${role}_a`, `postern_${role}_b`]
export const minute = 60_000
export const settings = { rotateEvery: 15 * minute, overlap: 5 * minute, hardTtl: 60 * minute, afterHardTtl: 'refuse' } as const

/** One sidecar's provider on a fake cluster. */
export interface Process {
  readonly provider: ReturnType<typeof openCassandraProvider>
  readonly session: FakeSession
  readonly events: CredentialEvent[]
  current(role?: string): Credential
}

export interface StartOptions {
  readonly mishap?: (cql: string) => Mishap
  /** By which sidecars share. */
  readonly keys?: readonly SecretBytes[]
  readonly afterHardTtl?: 'refuse' | 'keep'
}

export const start = async (
  cluster: FakeCluster,
  roles: readonly string[] = [role],
  { mishap = () => null, keys = [], afterHardTtl = 'refuse' }: StartOptions = {},
): Promise<Process> => {
  const session = cluster.session()
  session.mishap = mishap
  const events: CredentialEvent[] = []
  const provider = openCassandraProvider({
    settings: { ...settings, afterHardTtl },
    group: 'orders',
    keys,
    connect: async () => session,
    observe: event => events.push(event),
    clock: cluster.clock,
    random: randomBytes,
    hash: fakeHash,
  })
  provider.roles(roles)
  await cluster.clock.advance(0)
  const current = (name = role): Credential => {
    const answer = provider.current(name)
    if ('unavailable' in answer) throw new Error(`unavailable: ${answer.unavailable} ${answer.detail}`)
    return answer
  }
  return { provider, session, events, current }
}

export const world = () => {
  const clock = new ManualClock()
  return { clock, cluster: new FakeCluster(clock) }
}

export const kinds = <Kind extends CredentialEvent['kind']>(process: Process, kind: Kind) =>
  process.events.filter((event): event is Extract<CredentialEvent, { kind: Kind }> => event.kind === kind)
