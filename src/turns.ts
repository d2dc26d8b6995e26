import { setImmediate } from 'node:timers/promises'
import type { Steps } from './config/steps.ts'
import { unpacking } from './config/transfer.ts'
import type { Parsed } from './config/tree.ts'
import type { Clock } from './model/deps.ts'
import { createParsers, type Parsers } from './parsers.ts'

/** Milliseconds that work in steps keeps the event loop; every request waits for at most so long. */
const turnMs = 4

/** Runs steps so that others have their turn, and lets other threads parse what is long. */
export const inTurns = async <T>(steps: Steps<T>, clock: Clock): Promise<T> => {
  const parsers = createParsers(clock)
  try {
    return await run(steps, parsers, turns(clock))
  } finally {
    await parsers.close()
  }
}

/** Null while the turn lasts. */
type Turn = () => Promise<void> | null

const turns = (clock: Clock): Turn => {
  let began = clock.monotonic()
  return () =>
    clock.monotonic() - began < turnMs
      ? null
      : setImmediate().then(() => {
          began = clock.monotonic()
        })
}

const run = async <T>(steps: Steps<T>, parsers: Parsers, turn: Turn): Promise<T> => {
  let handed: Parsed | undefined
  for (;;) {
    const { done, value } = steps.next(handed)
    handed = undefined
    if (done) return value
    if (value !== undefined && 'soon' in value) parsers.soon(value.soon)
    const packed = value !== undefined && 'now' in value ? parsers.now(value.now) : null
    if (packed !== null) handed = await run(unpacking(await packed), parsers, turn)
    const pause = turn()
    if (pause !== null) await pause
  }
}
