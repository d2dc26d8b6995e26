import type { Secret } from '../model/secret.ts'
import type { RotationContext } from './context.ts'
import { type Claim, type History, nextClaim, writeClaim } from './generations.ts'
import { newPassword } from './hash.ts'
import { slotName } from './names.ts'

/** The next credential, not yet handed out. It stays the same, secret and hash, through every retry. */
export interface Pending extends Claim {
  readonly login: string
  readonly password: Secret
  readonly hash: string
}

/** Claims the next generation in the cluster, then makes its secret. */
export const makePending = async (role: string, history: History, context: RotationContext): Promise<Pending> => {
  const { session, clock, random, hash, owner } = context
  const claim = nextClaim(history)
  await writeClaim(session, role, claim, owner, clock.now())
  const password = newPassword(random)
  return { ...claim, login: slotName(role, claim.slot), password, hash: await hash(password) }
}
