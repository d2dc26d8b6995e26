import { type CassandraSession, CqlFault } from '../model/cassandra.ts'
import type { Credential } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret } from '../model/secret.ts'
import { messageOf } from './attempt.ts'
import { anyStatement, type Canary, openCanaries } from './canary.ts'
import { nameSome, readConnections } from './connections.ts'
import type { Named } from './events.ts'
import { newPassword } from './hash.ts'
import { type Slot, slotName } from './names.ts'
import { forgetEverything, lock } from './slot.ts'

/** What a cut reached on one node. Milliseconds from its first statement; null: not within the time watched, or nothing to measure it with. */
export interface NodeCut {
  readonly host: string
  /** Until the login that was handed out was refused. */
  readonly loginMs: number | null
  /** Until an open connection could do nothing at all any more. */
  readonly connectionMs: number | null
  /** Until an open connection could read none of the permission role's tables any more. */
  readonly dataMs: number | null
  /** Connections of either slot that are open all the same. Null: this node would not say. */
  readonly open: Named
}

export interface CutReport {
  readonly role: string
  readonly nodes: readonly NodeCut[]
  /** Nodes of the cluster that could not be asked. */
  readonly unreached: number
  /** The slots lost the permission role too. False: the manager may not do that. */
  readonly revoked: boolean
  /** Slots that could not be locked, with the reason; the lease holder goes on trying. */
  readonly unlocked: readonly string[]
  /** `complete`: every login refused, every connection ended or without data. `unknown`: some of it could not be observed. */
  readonly reached: 'complete' | 'partly' | 'unknown'
}

export interface CutContext {
  readonly session: CassandraSession
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  readonly hash: (password: Secret) => Promise<string>
  /** Tells the other sidecars, while the slots are locked. Never rejects. */
  readonly tell: () => Promise<void>
}

/** How long each effect is watched for: longer than any cache that the manager may not empty keeps its entries by default. */
const watchMs = 5_000
const lookFirst = 5
const lookMost = 100

const slots: readonly Slot[] = ['a', 'b']

/**
 * Ends a permission role's credentials as far as this cluster lets the manager: no login, an unknowable password, emptied caches on every node; and,
 * where it may, no permission role. What that reached is measured with a connection held open on each node for the purpose. Never rejects.
 */
export const cutRole = async (role: string, given: Credential | null, context: CutContext): Promise<CutReport> => {
  const { session, clock } = context
  const canaries =
    given === null ? session.hosts().map(host => ({ host, held: null, data: null })) : await openCanaries(session, given, clock)
  // Not before: whoever reads it locks the slots too, and there would be nothing to measure.
  const telling = context.tell()
  const began = clock.monotonic()
  const [locked, revoked] = await Promise.all([lockAll(role, context), revokeAll(role, session)])
  await Promise.all(slots.map(slot => forgetEverything(session, slotName(role, slot))))
  const nodes = await Promise.all(canaries.map(canary => watch(role, canary, given, began, context)))
  await telling
  const report = { role, nodes, unreached: await unreached(session), revoked, unlocked: locked.filter(fault => fault !== null) }
  return { ...report, reached: reached(report, given !== null) }
}

const reached = ({ nodes, unreached: away, unlocked }: Omit<CutReport, 'reached'>, isMeasured: boolean): CutReport['reached'] => {
  const isAlive = ({ connectionMs, dataMs, open }: NodeCut): boolean =>
    connectionMs === null && dataMs === null && open !== null && open.count > 0
  if (unlocked.length > 0 || nodes.some(node => isAlive(node) || (isMeasured && node.loginMs === null))) return 'partly'
  const isObserved = nodes.every(({ open, connectionMs, dataMs }) => open !== null || connectionMs !== null || dataMs !== null)
  return isMeasured && isObserved && nodes.length > 0 && away === 0 ? 'complete' : 'unknown'
}

/** The faults, by slot. A slot that does not exist lets nobody in. */
const lockAll = (role: string, { session, random, hash }: CutContext): Promise<readonly (string | null)[]> =>
  Promise.all(
    slots.map(async slot => {
      const login = slotName(role, slot)
      try {
        await lock(session, login, await hash(newPassword(random)))
        return null
      } catch (error) {
        return error instanceof CqlFault && error.message.includes("doesn't exist") ? null : `${login}: ${messageOf(error)}`
      }
    }),
  )

/** Needs AUTHORIZE on the permission role, which `init` asks for only with --with-cut: its holder could grant the role to itself. */
const revokeAll = async (role: string, session: CassandraSession): Promise<boolean> => {
  const isNoMember = (error: unknown): boolean =>
    error instanceof CqlFault && error.code === 0x2200 && /not a member|doesn't exist/.test(error.message)
  const results = await Promise.all(
    slots.map(slot => session.execute(`REVOKE ${role} FROM ${slotName(role, slot)}`).then(() => true, isNoMember)),
  )
  return results.every(Boolean)
}

const watch = async (
  role: string,
  { host, held, data }: Canary,
  given: Credential | null,
  began: number,
  { session, clock }: CutContext,
): Promise<NodeCut> => {
  const until = async (isOver: () => Promise<boolean>): Promise<number | null> => {
    for (let wait = lookFirst; ; wait = Math.min(wait * 2, lookMost)) {
      if (await isOver()) return Math.round(clock.monotonic() - began)
      if (clock.monotonic() - began >= watchMs) return null
      await new Promise<void>(resolve => clock.after(wait, resolve))
    }
  }
  const isRefused = (cql: string | null): Promise<number | null> =>
    held === null || cql === null ? Promise.resolve(null) : until(async () => (await held.use(cql)) === 'refused')
  const loginIsRefused = async ({ username, password }: Credential): Promise<boolean> =>
    (await session.login(username, password, { host })) === 'refused'
  const [loginMs, connectionMs, dataMs] = await Promise.all([
    given === null ? null : until(() => loginIsRefused(given)),
    isRefused(anyStatement),
    isRefused(data),
  ])
  await held?.close()
  return { host, loginMs, connectionMs, dataMs, open: await stillOpen(role, host, { session, clock }) }
}

/** Looked at more than once: our own connections to the node are on their way out. */
const stillOpen = async (role: string, host: string, { session, clock }: Pick<CutContext, 'session' | 'clock'>): Promise<Named> => {
  for (let tries = 5; ; tries--) {
    const { open, silent } = await readConnections(session, [host])
    const own = open.filter(({ login }) => slots.some(slot => slotName(role, slot) === login))
    if (silent.length > 0) return null
    if (own.length === 0 || tries === 0) return nameSome(own)
    await new Promise<void>(resolve => clock.after(lookMost, resolve))
  }
}

/** A node that is down keeps what it has cached, and its connections where only we cannot reach it. */
const unreached = async (session: CassandraSession): Promise<number> => {
  const peers = await session.execute('SELECT peer FROM system.peers').catch(() => [])
  return Math.max(0, peers.length + 1 - session.hosts().length)
}
