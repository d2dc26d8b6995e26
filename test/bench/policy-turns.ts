export interface Timed<T> {
  readonly result: T
  readonly ms: number
  /** CPU of this thread, ms. */
  readonly cpu: number
  /** CPU of this thread between two turns of the event loop, ms: how long others had to wait. */
  readonly worst: number
}

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Runs `task` beside a timer that wants a turn each millisecond. */
export const worstTurn = async <T>(task: () => Promise<T>): Promise<Timed<T>> => {
  let worst = 0
  let last = cpuMs()
  const tick = setInterval(() => {
    const at = cpuMs()
    worst = Math.max(worst, at - last)
    last = at
  }, 1)
  const [began, from] = [performance.now(), last]
  const result = await task()
  const [ms, cpu] = [performance.now() - began, cpuMs() - from]
  clearInterval(tick)
  return { result, ms, cpu, worst }
}
