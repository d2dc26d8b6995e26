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
}

/** What the rows say: the newest generation that was handed out, the one begun after it, and the highest number ever claimed. */
export interface History {
  readonly current: Stored | null
  readonly pending: Stored | null
  readonly highest: number
}

const read = 'SELECT generation, slot, state, secret, not_before, not_after FROM postern.generations WHERE role = ? LIMIT 100'
const claim =
  "INSERT INTO postern.generations (role, generation, slot, state, owner, at, secret, not_before, not_after) VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?) IF NOT EXISTS"
const take = "UPDATE postern.generations SET owner = ? WHERE role = ? AND generation = ? IF state = 'pending'"
const look = 'UPDATE postern.generations SET owner = ? WHERE role = ? AND generation = ? IF owner = ?'
const confirm = "UPDATE postern.generations SET state = 'current', at = ? WHERE role = ? AND generation = ? IF owner = ?"

export const readHistory = async (session: Session, role: string): Promise<History> => {
  const rows = (await session.execute(read, [role])).map(row => stored(role, row))
  const current = rows.find(row => row.state === 'current') ?? null
  const [newest] = rows
  return {
    current,
    pending: newest?.state === 'pending' && newest.generation > (current?.generation ?? 0) ? newest : null,
    highest: newest?.generation ?? 0,
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
})

const instant = (value: unknown): number => (value instanceof Date ? value.getTime() : 0)

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

/** Takes over what a process that is gone had begun. */
export const takeClaim = async (session: Session, role: string, { generation }: Claim, owner: string): Promise<void> =>
  applied(session, take, [owner, role, generation], `generation ${generation} of ${role} is not pending any more`)

/** The last look before a role is altered, as a serial read: nobody has taken over what we had begun. */
export const lookAtClaim = async (session: Session, role: string, { generation }: Claim, owner: string): Promise<void> =>
  applied(session, look, [owner, role, generation, owner], `generation ${generation} of ${role} was taken over`)

/** Before it is handed out: whoever comes after a crash must know which slot is in use. */
export const confirmClaim = async (session: Session, role: string, { generation }: Claim, owner: string, now: number): Promise<void> =>
  applied(session, confirm, [new Date(now), role, generation, owner], `generation ${generation} of ${role} is not ours any more`)

const applied = async (session: Session, cql: string, params: readonly unknown[], otherwise: string): Promise<void> => {
  const rows = await session.execute(cql, params)
  if (rows[0]?.['[applied]'] !== true) throw new Error(otherwise)
}
