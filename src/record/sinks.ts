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
    doc: 'One write for each batch. A slow or dead reader costs records here and never holds traffic back.',
    open: ({ clock, stdout }) => {
      const outlet = new Outlet(stdout, stdoutBuffer, clock)
      return {
        get up() {
          return outlet.up
        },
        get dropped() {
          return outlet.dropped
        },
        write: (batch, records) => outlet.write(Buffer.from(batch), records),
        close: () => outlet.close(),
      }
    },
  },
} as const satisfies Record<string, SinkKind>

export type SinkName = keyof typeof sinkKinds
