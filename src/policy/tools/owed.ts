import type { SpelledObligations } from '../../model/obligation.ts'

/** What somebody who is allowed gets and owes. */
export interface Owed extends SpelledObligations {
  readonly role: string | null
}

/** What is taken away and added, in words. None: the same is owed. */
export const owedDelta = (old: Owed, now: Owed): readonly string[] => [
  ...(old.role === now.role ? [] : [`role ${old.role ?? 'none'} -> ${now.role ?? 'none'}`]),
  ...changed('hide', old.hide, now.hide),
  ...changed('limit', old.limits, now.limits),
]

const changed = (what: string, old: readonly string[], now: readonly string[]): readonly string[] => [
  ...missing(old, now).map(one => `${what} -${one}`),
  ...missing(now, old).map(one => `${what} +${one}`),
]

const missing = (some: readonly string[], others: readonly string[]): readonly string[] => some.filter(one => !others.includes(one)).sort()
