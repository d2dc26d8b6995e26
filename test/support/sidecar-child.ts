import { randomBytes } from 'node:crypto'
import { openCassandraProvider } from '../../src/credentials/cassandra.ts'
import type { RotationSettings, WatchSettings } from '../../src/credentials/context.ts'
import { systemClock } from '../../src/deps.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { Secret, SecretBytes } from '../../src/model/secret.ts'
import { openSession } from '../../src/store/session.ts'
import { type Meet, metBy } from './sidecar.ts'

/** What this process does to itself, at which statement. */
export interface Mishap {
  readonly signal: 'SIGSTOP' | 'SIGKILL'
  /** Of the CQL, as a regular expression; `login` is the proof. */
  readonly at: string
  readonly when: 'before' | 'after'
  /** Not before so many rotations, and after them not before this statement. */
  readonly rotations: number
  readonly since?: string
}

export interface ChildStart {
  readonly contactPoint: string
  readonly port: number
  readonly localDataCenter: string
  readonly username: string
  readonly password: string
  readonly keys: readonly string[]
  readonly roles: readonly string[]
  readonly settings: RotationSettings
  readonly watch: WatchSettings
  readonly mishap: Mishap | null
}

/** What is handed out after each event. */
export interface ChildCredential {
  readonly role: string
  readonly username: string
  readonly password: string
  readonly generation: number
}

const start = (options: ChildStart): void => {
  let rotations = 0
  let { mishap } = options
  let isArmed = mishap?.since === undefined
  const meet: Meet = (cql, when) => {
    if (mishap === null || rotations < mishap.rotations) return
    if (isArmed && mishap.when === when && new RegExp(mishap.at).test(cql)) {
      const { signal } = mishap
      mishap = null
      process.kill(process.pid, signal)
    } else if (when === 'after' && mishap.since !== undefined && new RegExp(mishap.since).test(cql)) isArmed = true
  }
  const { contactPoint, port, localDataCenter, username, password, keys, roles, settings, watch } = options
  const connect = async (): Promise<CassandraSession> => {
    const at = { contactPoints: [contactPoint], port, localDataCenter, tls: null }
    const session = await openSession(at, { username, password: new Secret(password) }, { clock: systemClock })
    return metBy(session, meet)
  }
  const provider = openCassandraProvider({
    settings,
    watch,
    group: 'test',
    keys: keys.map(key => new SecretBytes(Buffer.from(key, 'hex'))),
    connect,
    clock: systemClock,
    random: randomBytes,
    observe: event => {
      if (event.kind === 'rotated') rotations += 1
      const given = roles.flatMap((role): ChildCredential[] => {
        const answer = provider.current(role)
        return 'unavailable' in answer ? [] : [{ ...answer, role, password: answer.password.open() }]
      })
      process.send?.({ event, given })
    },
  })
  provider.roles(roles)
  process.once('disconnect', () => process.exit())
}

process.once('message', message => start(message as ChildStart))
