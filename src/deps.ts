import { randomFillSync } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { createFetch } from './fetch.ts'
import type { Clock, Deps, Log } from './model/deps.ts'

/** The real clock. Timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

export const createDeps = (log: Log): Deps => ({ clock: systemClock, random: createRandom(), fetch: createFetch(), log })

const poolBytes = 8192

/** One system call for some hundred ids; the bytes handed out are copies, used once. */
const createRandom = (): ((bytes: number) => Buffer) => {
  const pool = Buffer.allocUnsafe(poolBytes)
  let used = poolBytes
  return bytes => {
    if (bytes > poolBytes) return randomFillSync(Buffer.allocUnsafe(bytes))
    if (used + bytes > poolBytes) {
      randomFillSync(pool)
      used = 0
    }
    used += bytes
    return Buffer.from(pool.subarray(used - bytes, used))
  }
}
