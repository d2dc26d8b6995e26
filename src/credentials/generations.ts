import type { CassandraSession } from '../model/cassandra.ts'
import { otherSlot, type Slot } from './names.ts'

type Session = Pick<CassandraSession, 'execute'>

/** The next credential of a role: which number, in which slot. */
export interface Claim {
  readonly generation: number
  readonly slot: Slot
}

/** What the rows say: the newest generation that was handed out, and the highest number ever claimed. */
export interface History {
  readonly current: Claim | null
  readonly highest: number
}

const read = 'SELECT generation, slot, state FROM postern.generations WHERE role = ? LIMIT 100'
const claim = "INSERT INTO postern.generations (role, generation, slot, state, owner, at) VALUES (?, ?, ?, 'pending', ?, ?) IF NOT EXISTS"
const confirm = "UPDATE postern.generations SET state = 'current', at = ? WHERE role = ? AND generation = ? IF owner = ?"

export const readHistory = async (session: Session, role: string): Promise<History> => {
  const rows = await session.execute(read, [role])
  const current = rows.find(row => row['state'] === 'current')
  return {
    current: current ? { generation: Number(current['generation']), slot: current['slot'] === 'b' ? 'b' : 'a' } : null,
    highest: Number(rows[0]?.['generation'] ?? 0),
  }
}

/**
 * Make before break, across processes too: the slot that backends use now is never the one to be re-keyed. Odd generations live
 * in slot a, even ones in b, so a number is left out where a crash used up one that was never handed out.
 */
export const nextClaim = ({ current, highest }: History): Claim => {
  const slot = current ? otherSlot(current.slot) : 'a'
  const next = highest + 1
  return { slot, generation: (next % 2 === 1) === (slot === 'a') ? next : next + 1 }
}

/** Numbers are never given twice, so a backend may keep a pool for each. Rejects when another process took this one. */
export const writeClaim = async (
  session: Session,
  role: string,
  { generation, slot }: Claim,
  owner: string,
  now: number,
): Promise<void> => {
  const rows = await session.execute(claim, [role, generation, slot, owner, new Date(now)])
  if (rows[0]?.['[applied]'] !== true) throw new Error(`generation ${generation} of ${role} is taken already`)
}

/** Before it is handed out: whoever comes after a crash must know which slot is in use. */
export const confirmClaim = async (session: Session, role: string, { generation }: Claim, owner: string, now: number): Promise<void> => {
  const rows = await session.execute(confirm, [new Date(now), role, generation, owner])
  if (rows[0]?.['[applied]'] !== true) throw new Error(`generation ${generation} of ${role} is not ours any more`)
}
