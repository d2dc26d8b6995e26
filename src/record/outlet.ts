import { createWriteStream, fstatSync } from 'node:fs'
import type { Writable } from 'node:stream'
import type { Clock } from '../model/deps.ts'

/** How long `close` waits for a reader that may never read again. */
const closeWithin = 1000

/**
 * A stream that somebody else reads, at their pace or not at all. Never waits and never throws: what does not fit is dropped
 * and counted. Node's own stdout buffers without bound, and `fs.write` to a stalled pipe holds the process back even at its exit.
 */
export class Outlet {
  readonly #out: Writable
  readonly #most: number
  readonly #clock: Clock
  #dropped = 0
  #up = true
  #broken = false

  constructor(out: Writable, mostBytes: number, clock: Clock) {
    this.#out = out
    this.#most = mostBytes
    this.#clock = clock
    // Without a listener the EPIPE of a reader that went away would end the process.
    out.on('error', () => {
      this.#broken = true
      this.#up = false
    })
  }

  /** The last write was accepted. */
  get up(): boolean {
    return this.#up
  }

  get dropped(): number {
    return this.#dropped
  }

  /** Takes `data`, which must not change afterwards, or drops it whole and adds `count` to `dropped`. */
  write(data: Buffer | string, count = 1): void {
    this.#up = !this.#broken && !this.#out.destroyed && this.#out.writableLength + data.length <= this.#most
    if (this.#up) this.#out.write(data)
    else this.#dropped += count
  }

  /** Waits until everything was taken over, a moment at most. Leaves the stream open: it belongs to the process. */
  close(): Promise<void> {
    if (this.#broken || this.#out.destroyed || this.#out.writableLength === 0) return Promise.resolve()
    return new Promise(done => {
      const deadline = this.#clock.after(closeWithin, done)
      const finish = (): void => {
        deadline.cancel()
        done()
      }
      this.#out.once('drain', finish)
      this.#out.once('error', finish)
      // 'drain' only follows a write that was refused; an empty one also reports when those before it are through.
      this.#out.write('', finish)
    })
  }
}

/** A file behind stdout or stderr would be written synchronously by Node's own stream, at the speed of its disk. */
export const standardStream = (fd: number, own: Writable): Writable =>
  fstatSync(fd).isFile() ? createWriteStream('', { fd, autoClose: false }) : own
