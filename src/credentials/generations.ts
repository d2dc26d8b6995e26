import type { CassandraSession, CqlRow } from '../model/cassandra.ts'
import { otherSlot, type Slot } from './names.ts'
import type { Place } from './vault.ts'

type Session = Pick<CassandraSession, 'execute'>

/** The next credential of a role: which number, in which slot. */
export interface Claim {
  readonly generation: number
  readonly slot: Slot
}

/** One generation as the rows tell of it. */
export interface Stored extends Place {
  readonly state: 'pending' | 'current'
  /** Sealed; null where the group shares no key. */
  readonly secret: string | null
  /** The process that made it. */
  readonly owner: string
  /** Milliseconds since the epoch: claimed, or handed out. */
  readonly at: number
}

/** A role of which nothing may be handed out. */
export interface Cut {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly why: string
}

/** What the rows say: the newest generation that was handed out, the one begun after it, and the highest number ever claimed. */
export interface History {
  readonly current: Stored | null
  readonly pending: Stored | null
  readonly highest: number
  readonly cut: Cut | null
  /** Somebody asked for a rotation that has not come yet. */
  readonly asked: boolean
}

const read =
  'SELECT generation, slot, state, secret, not_before, not_after, owner, at, cut, cut_why, asked FROM postern.generations WHERE role = ? LIMIT 100'
const claim =
  "INSERT INTO postern.generations (role, generation, slot, state, owner, at, secret, not_before, not_after) VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?) IF NOT EXISTS"
// The cut and the wish stand beside all generations of a role, in static columns: what one process begins and another forbids meets in one row.
const take = "UPDATE postern.generations SET owner = ? WHERE role = ? AND generation = ? IF state = 'pending' AND cut = ?"
const look = "UPDATE postern.generations SET owner = ? WHERE role = ? AND generation = ? IF owner = ? AND state = 'pending' AND cut = ?"
const confirm =
  "UPDATE postern.generations SET state = 'current', at = ?, cut = null, cut_why = null, asked = null WHERE role = ? AND generation = ? IF owner = ? AND state = 'pending' AND cut = ?"
// TTL 0: a cut never ends by itself, as the rows do.
const stop = 'UPDATE postern.generations USING TTL 0 SET cut = ?, cut_why = ?, asked = null WHERE role = ? IF cut = null'
const ask = 'UPDATE postern.generations USING TTL 0 SET asked = ? WHERE role = ? IF asked = null'

export const readHistory = async (session: Session, role: string): Promise<History> => {
  const { rows, cut, asked } = await readRows(session, role)
  const current = rows.find(row => row.state === 'current') ?? null
  const [newest] = rows
  return {
    current,
    pending: newest?.state === 'pending' && newest.generation > (current?.generation ?? 0) ? newest : null,
    highest: newest?.generation ?? 0,
    cut,
    asked,
  }
}

/** The newest 100 generations, newest first. */
export const readRows = async (
  session: Session,
  role: string,
): Promise<{ readonly rows: readonly Stored[]; readonly cut: Cut | null; readonly asked: boolean }> => {
  const found = await session.execute(read, [role])
  const at = instant(found[0]?.['cut'])
  return {
    // A role that was cut before its first generation has static columns alone.
    rows: found.filter(row => typeof row['generation'] === 'number').map(row => stored(role, row)),
    cut: at === 0 ? null : { at, why: String(found[0]?.['cut_why'] ?? '') },
    asked: instant(found[0]?.['asked']) !== 0,
  }
}

const stored = (role: string, row: CqlRow): Stored => ({
  role,
  generation: Number(row['generation']),
  slot: row['slot'] === 'b' ? 'b' : 'a',
  state: row['state'] === 'current' ? 'current' : 'pending',
  secret: typeof row['secret'] === 'string' ? row['secret'] : null,
  notBefore: instant(row['not_before']),
  notAfter: instant(row['not_after']),
  owner: String(row['owner'] ?? ''),
  at: instant(row['at']),
})

const instant = (value: unknown): number => (value instanceof Date ? value.getTime() : 0)

/** Nothing of the role is handed out, or finished, by any process of the group, until a rotation that was asked for later. */
export const markCut = async (session: Session, role: string, { at, why }: Cut): Promise<void> => {
  const params = [new Date(at), why, role]
  // While other data centres are away nobody can confirm a generation, so nothing can meet this; and whoever is left must be told.
  await session.execute(stop, params).catch(() => session.execute(stop, params, { alone: true }))
}

/** The lease holder rotates when it looks next. */
export const askRotation = async (session: Session, role: string, now: number): Promise<void> => {
  await session.execute(ask, [new Date(now), role])
}

/**
 * Make before break, across processes too: the slot that backends use now is never the one to be re-keyed. Odd generations live
 * in slot a, even ones in b, so a number is left out where a crash used up one that was never handed out.
 */
export const nextClaim = ({ current, highest }: Pick<History, 'current' | 'highest'>): Claim => {
  const slot = current ? otherSlot(current.slot) : 'a'
  const next = highest + 1
  return { slot, generation: (next % 2 === 1) === (slot === 'a') ? next : next + 1 }
}

export interface Intent extends Place {
  /** Sealed; null where the group shares no key. */
  readonly secret: string | null
}

/** The intent, before anything is done. Numbers are never given twice, so a backend may keep a pool for each. Rejects when another process took this one. */
export const writeClaim = async (session: Session, intent: Intent, owner: string): Promise<void> => {
  const { role, generation, slot, secret, notBefore, notAfter } = intent
  const [from, to] = [new Date(notBefore), new Date(notAfter)]
  await applied(
    session,
    claim,
    [role, generation, slot, owner, from, secret, from, to],
    `generation ${generation} of ${role} is taken already`,
  )
}

/** A claim, and the cut that stood when it was made, which it will end. Any other cut forbids every step. */
export interface Claimed extends Claim {
  readonly role: string
  readonly cut: number | null
}

const cutOf = ({ cut }: Claimed): Date | null => (cut === null ? null : new Date(cut))

/** Takes over what a process that is gone had begun. */
export const takeClaim = async (session: Session, claimed: Claimed, owner: string): Promise<void> => {
  const { role, generation } = claimed
  await applied(session, take, [owner, role, generation, cutOf(claimed)], `generation ${generation} of ${role} is not pending any more`)
}

/** The last look before a role is altered, as a serial read: nobody has taken over what we had begun, nobody has cut the role. */
export const lookAtClaim = async (session: Session, claimed: Claimed, owner: string): Promise<void> => {
  const { role, generation } = claimed
  const params = [owner, role, generation, owner, cutOf(claimed)]
  await applied(session, look, params, `generation ${generation} of ${role} was taken over or cut`, isConfirmedBy(owner))
}

/** Before it is handed out: whoever comes after a crash must know which slot is in use. */
export const confirmClaim = async (session: Session, claimed: Claimed, owner: string, now: number): Promise<void> => {
  const { role, generation } = claimed
  const params = [new Date(now), role, generation, owner, cutOf(claimed)]
  await applied(session, confirm, params, `generation ${generation} of ${role} is not ours any more, or was cut`, isConfirmedBy(owner))
}

/** Our own confirmation went through and its answer was lost: followers hand the generation out already, so it is finished, not given up. */
const isConfirmedBy =
  (owner: string) =>
  (row: CqlRow | undefined): boolean =>
    row?.['owner'] === owner && row['state'] === 'current' && instant(row['cut']) === 0

const applied = async (
  session: Session,
  cql: string,
  params: readonly unknown[],
  otherwise: string,
  isAsGood: (row: CqlRow | undefined) => boolean = () => false,
): Promise<void> => {
  const [row] = await session.execute(cql, params)
  if (row?.['[applied]'] !== true && !isAsGood(row)) throw new Error(otherwise)
}
