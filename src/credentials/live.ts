import type { Credential } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret } from '../model/secret.ts'
import type { RotationSettings } from './context.ts'
import type { History, Stored } from './generations.ts'
import { type Slot, slotName } from './names.ts'
import type { Place, Vault } from './vault.ts'

/** The credential that is handed out, and when its time is over. */
export interface Live {
  readonly slot: Slot
  readonly credential: Credential
  /** Monotonic. */
  readonly due: number
  /** Since the epoch. */
  readonly hardEnd: number
}

type Around = { readonly clock: Pick<Clock, 'now' | 'monotonic'>; readonly settings: RotationSettings }

/** Of a generation that was proved and confirmed at `at`, by us or by the process that holds the lease. */
export const liveOf = (place: Place, password: Secret, at: number, { clock, settings }: Around): Live => {
  const { role, slot, generation, notBefore, notAfter } = place
  // However long it took to make: the next one needs the slot of the one before, which has its overlap from now.
  const nextAt = Math.max(notAfter - settings.overlap, at + settings.overlap)
  const credential = Object.freeze({ role, username: slotName(role, slot), password, generation, notAfter, nextAt })
  const live = { slot, credential, due: clock.monotonic() + Math.max(0, nextAt - clock.now()), hardEnd: notBefore + settings.hardTtl }
  return extended(live, { clock, settings })
}

/** Null: the row's secret cannot be opened, so nobody but its maker can hand it out. */
export const adopted = (stored: Stored, vault: Vault | null, around: Around): Live | null => {
  const password = stored.secret === null ? null : (vault?.open(stored.secret, stored) ?? null)
  return password === null ? null : liveOf(stored, password, stored.at, around)
}

/** It is not retired before the next one has been handed out for an overlap, so while it is the current one it works for that long from now. */
export const extended = (live: Live, { clock, settings }: Around): Live => {
  const most = settings.afterHardTtl === 'keep' ? Number.POSITIVE_INFINITY : live.hardEnd
  const notAfter = Math.min(clock.now() + settings.overlap, most)
  if (notAfter <= live.credential.notAfter) return live
  return { ...live, credential: Object.freeze({ ...live.credential, notAfter }) }
}

/** Rows that somebody removed, or that a restore brought back from before, must not make us re-key the slot that is in use. */
export const withLive = (history: History, live: Live | null): History => {
  if (live === null || (history.current?.generation ?? 0) >= live.credential.generation) return history
  const { role, generation, notAfter } = live.credential
  return {
    ...history,
    current: { role, generation, slot: live.slot, state: 'current', secret: null, notBefore: 0, notAfter, owner: '', at: 0 },
    pending: (history.pending?.generation ?? 0) > generation ? history.pending : null,
    highest: Math.max(history.highest, generation),
  }
}
