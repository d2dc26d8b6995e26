import type { Parsed, Unparsed } from './tree.ts'

/** What work in steps may ask for when it pauses: that files it will need soon, or one that it needs now, are parsed elsewhere. */
export type Ask = { readonly soon: readonly Unparsed[] } | { readonly now: Unparsed }

/**
 * Work in steps. At each pause others may go first, so that a load of any size never holds up a request; a file that was asked for may be
 * handed back parsed. The result depends on neither.
 */
export type Steps<T> = Generator<Ask | undefined, T, Parsed | undefined>

/** All steps at once, for those who hold nobody up. */
export const finish = <T>(steps: Steps<T>): T => {
  for (;;) {
    const { done, value } = steps.next(undefined)
    if (done) return value
  }
}
