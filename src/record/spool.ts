import type { Clock } from '../model/deps.ts'
import { Chunk } from './chunk.ts'
import { type Disk, faultWord } from './disk.ts'
import { Segments, type Vanished } from './segments.ts'

export interface SpoolLimits {
  /** Bytes after which a new segment is begun. */
  readonly segment: number
  /** Bytes of one write; at least one line. Also the slice of hashing that nothing else can interrupt. */
  readonly chunk: number
  /** Bytes of records that wait to be written before there is a fault. Half as much again is kept for what is already being served. */
  readonly buffer: number
  /** Bytes that the folder of all chains may hold. */
  readonly spool: number
}

export interface SpoolOptions {
  /** Folder of the chain. */
  readonly folder: string
  readonly disk: Disk
  readonly clock: Clock
  readonly limits: SpoolLimits
  /** Bytes that other chains use already. */
  readonly used: number
  /** These lines are in the file now. The buffer is the callee's until it returns. */
  readonly written: (chunk: Chunk) => void
  readonly vanished: (what: Vanished) => void
}

interface Waiting {
  readonly seq: number
  readonly resolve: () => void
}

const firstRetry = 250
const lastRetry = 5000
/** A disk that takes longer for one write than this is as good as broken. */
const stuckAfter = 5000
const sparesKept = 4

/** Appends lines to the files of one chain: one write at a time, everything meanwhile in a bounded buffer, faults retried for ever. */
export class Spool {
  readonly #o: SpoolOptions
  readonly #segments: Segments
  #queue: Chunk[] = []
  #spares: Buffer[] = []
  #buffered = 0
  #used: number
  #pumping: Promise<void> = Promise.resolve()
  /** Set and cleared in step with the queue, unlike a promise, which settles a moment later. */
  #awake = false
  /** Sequence number behind the last record that left the queue, and behind the last that is in a file. */
  #takenSeq = 0
  #storedSeq = 0
  #waiting: Waiting[] = []
  #inspectDue = false
  #closing = false
  #wake: (() => void) | null = null
  /** When the disk was last asked for something that it has not answered yet. */
  #busySince: number | null = null
  #writeFault: string | null = null
  #syncFault: string | null = null

  constructor(options: SpoolOptions) {
    this.#o = options
    this.#used = options.used
    this.#segments = new Segments(options.folder, options.disk, options.limits.segment)
  }

  /** Why nothing more should be taken on, or null. */
  get fault(): string | null {
    if (this.#closing) return 'closed'
    if (this.#writeFault !== null || this.#syncFault !== null) return this.#writeFault ?? this.#syncFault
    if (this.#buffered >= this.#o.limits.buffer) return 'buffer-full'
    if (this.bytes >= this.#o.limits.spool) return 'spool-full'
    if (this.#busySince !== null && this.#o.clock.monotonic() - this.#busySince > stuckAfter) return 'disk-stuck'
    return null
  }

  get bytes(): number {
    return this.#used + this.#buffered
  }

  get buffered(): number {
    return this.#buffered
  }

  /** Keeps a line for writing at the end of this event-loop turn. False where even the reserve is used up: the line is lost. */
  append(seq: number, line: string): boolean {
    const { buffer, spool } = this.#o.limits
    const after = this.#buffered + line.length
    if (this.#closing || after > buffer * 1.5 || this.#used + after > spool + buffer * 0.5) return false
    let chunk = this.#queue.at(-1)
    if (chunk === undefined || !chunk.add(line)) {
      chunk = new Chunk(this.#spares.pop() ?? Buffer.allocUnsafeSlow(this.#o.limits.chunk + 1), seq)
      if (!chunk.add(line)) return false
      this.#queue.push(chunk)
    }
    this.#buffered = after
    this.#kick()
    return true
  }

  /** Settles when everything appended so far is in the file, or cannot be because the spool is closing. What comes meanwhile is not waited for. */
  flush(): Promise<void> {
    const { resolve, promise } = Promise.withResolvers<void>()
    this.#waiting.push({ seq: this.#queue.at(-1)?.nextSeq ?? this.#takenSeq, resolve })
    this.#release()
    return promise
  }

  /** Settles when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#awake) await this.#pumping
  }

  /** Everything written so far is on the disk when this resolves. Rejects where the disk refuses. */
  async sync(): Promise<void> {
    try {
      await this.#segments.sync()
      this.#syncFault = null
    } catch (error) {
      this.#syncFault = `sync: ${faultWord(error)}`
      throw error
    }
  }

  /** Looks, between two writes, whether the file is still there. */
  inspect(): void {
    if (this.#closing) return
    this.#inspectDue = true
    this.#kick()
  }

  /** Corrects the account of bytes: files may have been moved away. */
  async recount(folder: string): Promise<void> {
    const before = this.#used
    const found = await this.#o.disk.usage(folder)
    this.#used = found + (this.#used - before)
  }

  /** Writes what is left, syncs, closes. A disk that still refuses is tried once more, not for ever. Gives the number of records left over, and whether the others are safe. */
  async close(): Promise<{ readonly left: number; readonly synced: boolean }> {
    this.#closing = true
    this.#wake?.()
    await this.settled()
    const synced = await this.sync().then(
      () => true,
      () => false,
    )
    await this.#segments.close()
    return { left: this.#queue.reduce((sum, chunk) => sum + chunk.ends.length, 0), synced }
  }

  #kick(): void {
    if (this.#awake) return
    this.#awake = true
    this.#pumping = new Promise<void>(next => setImmediate(next)).then(() => this.#pump())
  }

  async #pump(): Promise<void> {
    for (;;) {
      if (this.#inspectDue) await this.#inspect()
      const chunk = this.#queue.shift()
      if (chunk === undefined) {
        if (this.#inspectDue) continue
        return this.#rest()
      }
      this.#takenSeq = chunk.nextSeq
      if (!(await this.#store(chunk))) {
        this.#queue.unshift(chunk)
        return this.#rest()
      }
      this.#storedSeq = chunk.nextSeq
      this.#buffered -= chunk.size
      this.#used += chunk.size
      this.#o.written(chunk)
      if (this.#spares.length < sparesKept) this.#spares.push(chunk.bytes)
      this.#release()
    }
  }

  #rest(): void {
    this.#awake = false
    this.#release()
  }

  #release(): void {
    if (this.#waiting.length === 0) return
    const kept: Waiting[] = []
    for (const waiting of this.#waiting) {
      if (waiting.seq <= this.#storedSeq || !this.#awake) waiting.resolve()
      else kept.push(waiting)
    }
    this.#waiting = kept
  }

  /** Writes one chunk, however often it takes. False when the spool closes and the disk still refuses. */
  async #store(chunk: Chunk): Promise<boolean> {
    let done = 1
    for (let pause = firstRetry; ; pause = Math.min(pause * 2, lastRetry)) {
      this.#busySince = this.#o.clock.monotonic()
      try {
        // Never inside a chunk: a line would end in another file.
        if (done === 1) await this.#segments.ensure(chunk.firstSeq)
        while (done < chunk.end) done += await this.#segments.write(chunk.bytes, done, chunk.end)
        this.#busySince = null
        this.#writeFault = null
        return true
      } catch (error) {
        this.#busySince = null
        this.#writeFault = `write: ${faultWord(error)}`
        if (this.#closing) return false
        await this.#sleep(pause)
        if (done === 1 && this.#inspectDue) await this.#inspect()
      }
    }
  }

  async #inspect(): Promise<void> {
    this.#inspectDue = false
    try {
      const gone = await this.#segments.inspect()
      if (gone !== null) this.#o.vanished({ ...gone, last: this.#storedSeq - 1 })
    } catch {
      // The write that follows meets the same disk and reports it.
    }
  }

  #sleep(ms: number): Promise<void> {
    const { resolve, promise } = Promise.withResolvers<void>()
    const timer = this.#o.clock.after(ms, resolve)
    this.#wake = () => {
      timer.cancel()
      resolve()
    }
    return promise
  }
}
