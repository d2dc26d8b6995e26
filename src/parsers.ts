import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type Packed, pack } from './config/transfer.ts'
import type { Unparsed } from './config/tree.ts'
import type { Clock } from './model/deps.ts'

/** Threads that parse, for the length of one load. */
export interface Parsers {
  /** Begins with what will be asked for, where there is enough of it. */
  soon(files: readonly Unparsed[]): void
  /** Null: small enough to be parsed in place. Rejects where no thread can be had. */
  now(file: Unparsed): Promise<Packed> | null
  close(): Promise<void>
}

/** Bytes of a file from which it is parsed elsewhere. */
const large = 64 * 1024
/** Bytes of all files from which even small ones are parsed elsewhere: a start, or a change of everything. */
const many = 1024 * 1024
const mostThreads = 4
/** Far above what any file takes; what the format allows is bounded by tests. */
const deadlineMs = 10_000
const maxHeapMb = 384

/** Parsed files that wait to be asked for: a thread that is ahead must not fill the memory. */
const ahead = 32

export const createParsers = (clock: Clock, threads = Math.min(mostThreads, availableParallelism())): Parsers => {
  const begun = new Map<Buffer, Job>()
  const queue: Job[] = []
  const running: Thread[] = []
  const next = (): Job | undefined => (queue[0]?.urgent || begun.size - queue.length < ahead ? queue.shift() : undefined)
  const wake = (): void => {
    if (running.length < Math.min(threads, queue.length)) running.push(new Thread(clock, next))
    for (const thread of running) thread.wake()
  }
  const add = (file: Unparsed): Job => {
    const job: Job = { file, ...Promise.withResolvers<Packed>(), urgent: false }
    // Who asked may have left by then.
    job.promise.catch(() => undefined)
    begun.set(file.bytes, job)
    queue.push(job)
    return job
  }
  return {
    soon(files) {
      const all = files.reduce((sum, { bytes }) => sum + bytes.length, 0) >= many
      for (const file of files) if (all || file.bytes.length > large) add(file)
      for (let i = 0; i < threads; i++) wake()
    },
    now(file) {
      const job = begun.get(file.bytes) ?? (file.bytes.length > large ? add(file) : null)
      if (job === null) return null
      begun.delete(file.bytes)
      const at = queue.indexOf(job)
      if (at >= 0) queue.unshift(...queue.splice(at, 1))
      job.urgent = true
      wake()
      return job.promise
    },
    async close() {
      queue.length = 0
      await Promise.all(running.map(thread => thread.close()))
    },
  }
}

interface Job {
  readonly file: Unparsed
  /** Somebody waits for it. */
  urgent: boolean
  readonly promise: Promise<Packed>
  resolve(packed: Packed): void
  reject(fault: unknown): void
}

/** One thread, one file at a time. A file that it cannot digest ends it, never the process; the next file gets another. */
class Thread {
  readonly #clock: Clock
  readonly #next: () => Job | undefined
  #worker: Worker | null = null
  #job: Job | null = null
  #late: { cancel(): void } | null = null

  constructor(clock: Clock, next: () => Job | undefined) {
    this.#clock = clock
    this.#next = next
  }

  wake(): void {
    if (this.#job !== null) return
    const job = this.#next()
    if (job === undefined) return
    this.#job = job
    try {
      this.#worker ??= this.#start()
    } catch (fault) {
      // Where no thread can be had (a bound on processes) that is thrown here, perhaps in a callback of a thread that just ended.
      this.#settle(one => one.reject(fault))
      return
    }
    // Nothing else may keep a command alive that waits for this.
    this.#worker.ref()
    this.#late = this.#clock.after(deadlineMs, () => this.#giveUp(`takes more than ${deadlineMs / 1000} s`))
    // A view's whole memory would be copied, and small buffers share theirs.
    const bytes = Uint8Array.from(job.file.bytes)
    this.#worker.postMessage({ ...job.file, bytes }, [bytes.buffer])
  }

  #start(): Worker {
    const worker = new Worker(entry, { execArgv: [], env: {}, resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } })
    worker.on('message', (packed: Packed) => this.#settle(job => job.resolve(packed)))
    worker.on('error', (fault: NodeJS.ErrnoException) => {
      if (fault.code === 'ERR_WORKER_OUT_OF_MEMORY') this.#giveUp(`needs more than ${maxHeapMb} MB of memory`)
      else this.#end(job => job.reject(fault))
    })
    return worker
  }

  #giveUp(what: string): void {
    this.#end(({ file, resolve }) => {
      const finding = { file: file.file, line: 0, column: 0, severity: 'error', code: `${file.family}102` } as const
      resolve(pack({ root: null, findings: [{ ...finding, message: `parsing the file ${what}. Split it.` }], lines: [] }))
    })
  }

  #end(tell: (job: Job) => void): void {
    void this.#worker?.terminate()
    this.#worker?.removeAllListeners('message')
    this.#worker = null
    this.#settle(tell)
  }

  #settle(tell: (job: Job) => void): void {
    const job = this.#job
    this.#late?.cancel()
    this.#worker?.unref()
    this.#job = null
    if (job !== null) tell(job)
    this.wake()
  }

  async close(): Promise<void> {
    this.#late?.cancel()
    await this.#worker?.terminate()
  }
}

/** Beside this file: the source as it is in a clone, a bundle of its own in the shipped form. */
const entry = new URL(import.meta.url.endsWith('.ts') ? './parse-thread.ts' : './parse-thread.mjs', import.meta.url)
