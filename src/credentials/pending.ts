import type { Secret } from '../model/secret.ts'
import type { RotationContext } from './context.ts'
import { type History, nextClaim, takeClaim, writeClaim } from './generations.ts'
import { newPassword } from './hash.ts'
import { slotName } from './names.ts'
import type { Place } from './vault.ts'

/** The next credential, not yet handed out. It stays the same, secret and hash, through every retry. */
export interface Pending extends Place {
  readonly login: string
  readonly password: Secret
  readonly hash: string
}

/** What the process before us had begun, with its secret, so that no slot ever has two; or the next generation, claimed in the cluster. */
export const makePending = async (role: string, history: History, period: number, context: RotationContext): Promise<Pending> => {
  const { session, clock, hash, owner, vault, settings, random } = context
  const { pending } = history
  const begun = pending?.secret ? (vault?.open(pending.secret, pending) ?? null) : null
  if (pending !== null && begun !== null) {
    await takeClaim(session, role, pending, owner)
    return { ...pending, login: slotName(role, pending.slot), password: begun, hash: await hash(begun) }
  }
  const notBefore = clock.now()
  const place = { role, ...nextClaim(history), notBefore, notAfter: notBefore + period + settings.overlap }
  const password = newPassword(random)
  await writeClaim(session, { ...place, secret: vault?.seal(password, place) ?? null }, owner)
  return { ...place, login: slotName(role, place.slot), password, hash: await hash(password) }
}
