import { CqlFault } from '../model/cassandra.ts'
import type { Connection } from './connections.ts'
import type { RotationContext } from './context.ts'
import type { RotationStep } from './events.ts'
import { confirmClaim, lookAtClaim } from './generations.ts'
import type { Slot } from './names.ts'
import { slotName } from './names.ts'
import type { Pending } from './pending.ts'
import { forgetCached, forgetEverything, prove, rekey } from './slot.ts'

/** Where an attempt stopped, and why. */
export class StepFault extends Error {
  readonly step: RotationStep

  constructor(step: RotationStep, cause: unknown) {
    super(messageOf(cause))
    this.step = step
  }
}

export interface Guard {
  /** Throws where the lease is lost or about to end, or somebody cut the role. */
  mustGoOn(): void
  readonly pause: (ms: number) => Promise<void>
}

export interface Proved {
  /** How many let it in. */
  readonly nodes: number
  /** Connections that stood on the slot before it got its new password. */
  readonly older: readonly Connection[]
}

const proveWithin = 10_000

/** From the claim to the confirmed generation: everything between deciding on a credential and handing it out. Rejects with a StepFault; may be repeated. */
export const carryOut = async (pending: Pending, context: RotationContext, guard: Guard): Promise<Proved> => {
  const { session, owner, clock } = context
  const { login, role, password } = pending
  let step: RotationStep = 'alter'
  try {
    const { open } = await context.connections.now()
    await lookAtClaim(session, pending, owner)
    guard.mustGoOn()
    await rekey(session, login, pending.hash)
    if (pending.cut !== null) await giveBack(role, context)
    await forgetCached(session, login)
    step = 'prove'
    const options = { within: proveWithin, monotonic: () => clock.monotonic(), pause: guard.pause, memberOf: role }
    const nodes = await prove(session, login, password, options)
    step = 'publish'
    guard.mustGoOn()
    await confirmClaim(session, pending, owner, clock.now())
    guard.mustGoOn()
    return { nodes, older: open.filter(connection => connection.login === login) }
  } catch (error) {
    throw new StepFault(step, error)
  }
}

const slots: readonly Slot[] = ['a', 'b']

/** What a cut revoked, where it was allowed to. Otherwise the proof says what a DBA must run. */
const giveBack = async (role: string, { session }: RotationContext): Promise<void> => {
  for (const slot of slots) {
    const login = slotName(role, slot)
    const granted = await session.execute(`GRANT ${role} TO ${login}`).then(() => true, isMember)
    if (granted) await forgetEverything(session, login)
  }
}

const isMember = (error: unknown): boolean => error instanceof CqlFault && error.code === 0x2200 && error.message.includes('is a member of')

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
