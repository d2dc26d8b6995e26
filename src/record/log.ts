import type { Writable } from 'node:stream'
import { pino } from 'pino'
import type { Clock, Log } from '../model/deps.ts'
import { Outlet } from './outlet.ts'

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

/** Bytes of log that wait for a reader. */
const buffer = 1024 * 1024

export interface ProcessLog extends Log {
  /** Lines that the reader of the stream did not take. */
  readonly dropped: number
  /** Waits until the lines so far are out, a second at most. */
  close(): Promise<void>
}

export interface LogOptions {
  readonly level: LogLevel
  /** `process.stderr`; stdout belongs to the audit. */
  readonly out: Writable
  readonly clock: Clock
}

/** One JSON line for each message: `level`, `time`, the fields, `msg`. */
export const createLog = ({ level, out, clock }: LogOptions): ProcessLog => {
  const outlet = new Outlet(out, buffer, clock)
  const logger = pino(
    {
      level,
      base: null,
      formatters: { level: label => ({ level: label }) },
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
    },
    { write: line => outlet.write(inAscii(line)) },
  )
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    get dropped() {
      return outlet.dropped
    },
    close: () => outlet.close(),
  }
}

/** As in the audit: pino escapes what would end the line, not what a terminal obeys (C1, bidirectional controls), and providers choose names that stand here. */
const inAscii = (line: string): string => line.replaceAll(/[^\x20-\x7e\n]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
