import type { CassandraSession, LoginProof } from '../model/cassandra.ts'
import { CqlFault } from '../model/cassandra.ts'
import type { Credential } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import { forgetCached, notMember } from './slot.ts'

/** What one node said about the login that is handed out. */
export interface Look {
  readonly host: string
  readonly proof: LoginProof
  /** Milliseconds for which the node has been up without a break. */
  readonly upFor: number
  /** It refused the same login at the look before, and has been up ever since. */
  readonly again: boolean
}

export type Verdict =
  | { readonly is: 'sound' }
  /** One node refuses: no evidence yet, worth another look soon. */
  | { readonly is: 'suspect' }
  /** Somebody other than us changed the slot. */
  | { readonly is: 'hijacked'; readonly why: string; readonly everywhere: boolean }
  /** The slot lost its permission role. */
  | { readonly is: 'powerless'; readonly why: string }

/**
 * One node alone, or one that just returned, is no evidence: a late hint looks the same as a changed password. All that decide are, or one that
 * refuses twice and was up throughout. `settled`: milliseconds after which a node that returned is believed.
 */
export const judge = (looks: readonly Look[], settled: number): 'sound' | 'suspect' | 'hijacked' | 'powerless' => {
  const refused = looks.filter(({ proof }) => proof === 'refused')
  const deciding = looks.filter(({ proof, upFor }) => proof !== 'unknown' && upFor >= settled)
  const isEverywhere = deciding.length > 1 && deciding.every(({ proof }) => proof === 'refused')
  if (isEverywhere || deciding.some(({ proof, again }) => proof === 'refused' && again)) return 'hijacked'
  if (refused.length > 0) return 'suspect'
  return deciding.length > 0 && deciding.every(({ proof }) => proof === 'powerless') ? 'powerless' : 'sound'
}

type Session = Pick<CassandraSession, 'execute' | 'hosts' | 'login' | 'upSince'>

/** Watches one role's current login for changes that are not ours. */
export class Sentinel {
  readonly #session: Session
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #settled: number
  /** Nodes that refused `#generation` at the last look, and since when each has been up. */
  readonly #refused = new Map<string, number>()
  #generation = 0
  /** When the hash of `#generation` was written, by the cluster's account; null: not known yet, or not for us to read. */
  #written: string | null = null
  #mayRead = true

  constructor(session: Session, clock: Pick<Clock, 'monotonic'>, settled: number) {
    this.#session = session
    this.#clock = clock
    this.#settled = settled
  }

  /** Logs in once on every node that is up. */
  async look(credential: Credential): Promise<Verdict> {
    const { username, password, role, generation } = credential
    if (generation !== this.#generation) this.#begin(generation)
    const written = await this.#hashWritten(username)
    if (written !== null && this.#written !== null && written !== this.#written)
      return { is: 'hijacked', why: `the password hash of ${username} was written by somebody else`, everywhere: false }
    this.#written ??= written
    const looks = await Promise.all(
      this.#session.hosts().map(async (host): Promise<Look> => {
        const since = this.#session.upSince(host)
        const proof = await this.#session.login(username, password, { host, memberOf: role })
        return { host, proof, upFor: this.#clock.monotonic() - since, again: this.#refused.get(host) === since }
      }),
    )
    this.#remember(looks)
    return this.#verdict(looks, credential)
  }

  #verdict(looks: readonly Look[], { username, role }: Credential): Verdict {
    const is = judge(looks, this.#settled)
    if (is === 'powerless') return { is, why: notMember(username, role) }
    if (is !== 'hijacked') return { is }
    const refused = looks.filter(({ proof }) => proof === 'refused').map(({ host }) => host)
    const everywhere = looks.every(({ proof }) => proof !== 'ok')
    return { is, why: `the login as ${username} is refused by ${refused.join(', ')}`, everywhere }
  }

  /** What we write ourselves is no intrusion. */
  #begin(generation: number): void {
    this.#generation = generation
    this.#refused.clear()
    this.#written = null
  }

  #remember(looks: readonly Look[]): void {
    this.#refused.clear()
    for (const { host, proof } of looks) if (proof === 'refused') this.#refused.set(host, this.#session.upSince(host))
  }

  /** Before a suspicion is looked into: what a node has cached is not what it knows. */
  async doubt(credential: Credential): Promise<void> {
    await forgetCached(this.#session, credential.username, [...this.#refused.keys()])
  }

  /** Only where the manager was allowed to read every hash, which Postern never asks for. Finds a change within one look, also while caches still accept the old password. */
  async #hashWritten(login: string): Promise<string | null> {
    if (!this.#mayRead) return null
    try {
      const [row] = await this.#session.execute('SELECT writetime(salted_hash) AS written FROM system_auth.roles WHERE role = ?', [login])
      return row?.['written'] === undefined || row['written'] === null ? null : String(row['written'])
    } catch (error) {
      if (error instanceof CqlFault && error.code === 0x2100) this.#mayRead = false
      return null
    }
  }
}
