import { afterEach, describe, expect, it, vi } from 'vitest'

const threads = vi.hoisted(() => ({ left: 0 }))
vi.mock('node:worker_threads', async load => {
  const real = await load<typeof import('node:worker_threads')>()
  class Bounded extends real.Worker {
    constructor(...args: ConstructorParameters<typeof real.Worker>) {
      if (threads.left-- <= 0) throw Object.assign(new Error('no thread'), { code: 'ERR_WORKER_INIT_FAILED' })
      super(...args)
    }
  }
  return { ...real, Worker: Bounded }
})

const { createParsers } = await import('../../src/parsers.ts')
const { ManualClock } = await import('../support/manual-clock.ts')

const faults: unknown[] = []
const onFault = (fault: unknown): void => void faults.push(fault)
process.on('uncaughtException', onFault)
afterEach(() => void process.off('uncaughtException', onFault))

describe('where no thread can be had', () => {
  it('each file fails for whoever waits for it, also the next one when a thread has ended, and never the process', async () => {
    threads.left = 1
    const clock = new ManualClock()
    const parsers = createParsers(clock, 1)
    const big = (name: string) => ({ file: name, bytes: Buffer.from(`a: [${'{b: 1},'.repeat(60_000)}]`), family: 'P' }) as const
    const first = parsers.now(big('first.yaml'))
    const [second, third] = [parsers.now(big('second.yaml')), parsers.now(big('third.yaml'))]
    await clock.advance(10_000)
    await first
    await expect(second).rejects.toThrow('no thread')
    await expect(third).rejects.toThrow('no thread')
    await expect(parsers.now(big('fourth.yaml'))).rejects.toThrow('no thread')
    await parsers.close()
    expect(faults).toEqual([])
  })
})
