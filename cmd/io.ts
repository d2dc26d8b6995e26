/** Where a command writes. Results go to `out`, everything for people beside them to `err`. */
export interface Io {
  out(text: string): void
  err(text: string): void
}

/** Exit codes of every command (contract 7). */
export const exit = { done: 0, findings: 1, cannotTell: 2, partly: 3, usage: 64, fault: 70 } as const

export interface Command {
  readonly help: string
  run(args: string[], io: Io): Promise<number>
}

/** Policies, records and names of clients are somebody else's text: they must not steer the terminal of whoever reads them. */
export const plain = (text: string): string => text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ')
