import type { Writable } from 'node:stream'
import type { Clock } from '../model/deps.ts'
import { Outlet } from './outlet.ts'

/** Where written records go on to. A sink never throws, never waits, never keeps `batch`: its buffer is used again. */
export interface Sink {
  readonly up: boolean
  /** Records that this sink did not take. The spool has them. */
  readonly dropped: number
  write(batch: Buffer, records: number): void
  close(): Promise<void>
}

export interface SinkDeps {
  readonly clock: Clock
  readonly stdout: Writable
  /** Whether the spool can be written. */
  readonly spoolUp: () => boolean
}

export interface SinkKind {
  readonly doc: string
  readonly open: (deps: SinkDeps) => Sink
}

/** Bytes that wait for a reader of stdout: a few seconds of a busy sidecar. */
const stdoutBuffer = 4 * 1024 * 1024

/** A write for each turn of the event loop would cost a tenth of a request; whoever reads stdout does not see the difference. */
const gatherMs = 20
const gatherBytes = 64 * 1024

class Stdout implements Sink {
  readonly #outlet: Outlet
  readonly #clock: Clock
  #waiting: Buffer[] = []
  #bytes = 0
  #records = 0
  #due: { cancel(): void } | null = null

  constructor(outlet: Outlet, clock: Clock) {
    this.#outlet = outlet
    this.#clock = clock
  }

  get up(): boolean {
    return this.#outlet.up
  }

  get dropped(): number {
    return this.#outlet.dropped
  }

  write(batch: Buffer, records: number): void {
    this.#waiting.push(Buffer.from(batch))
    this.#bytes += batch.length
    this.#records += records
    if (this.#bytes >= gatherBytes) this.#flush()
    else this.#due ??= this.#clock.after(gatherMs, () => this.#flush())
  }

  close(): Promise<void> {
    this.#flush()
    return this.#outlet.close()
  }

  #flush(): void {
    this.#due?.cancel()
    this.#due = null
    if (this.#bytes === 0) return
    this.#outlet.write(this.#waiting.length === 1 ? (this.#waiting[0] ?? '') : Buffer.concat(this.#waiting), this.#records)
    this.#waiting = []
    this.#bytes = 0
    this.#records = 0
  }
}

/** Every kind of sink: a new one is a file and a line here. */
export const sinkKinds = {
  file: {
    doc: 'The records of `dir`. The spool is this sink: what it wrote has arrived.',
    open: ({ spoolUp }) => ({
      get up() {
        return spoolUp()
      },
      dropped: 0,
      write: () => {},
      close: () => Promise.resolve(),
    }),
  },
  stdout: {
    doc: 'One write for some milliseconds of records. A slow or dead reader costs records here and never holds traffic back.',
    open: ({ clock, stdout }) => new Stdout(new Outlet(stdout, stdoutBuffer, clock), clock),
  },
} as const satisfies Record<string, SinkKind>

export type SinkName = keyof typeof sinkKinds
