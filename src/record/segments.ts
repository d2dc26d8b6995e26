import { join } from 'node:path'
import type { Disk } from './disk.ts'

export interface Vanished {
  readonly file: string
  readonly why: 'removed' | 'replaced' | 'shortened'
  /** Records that stood in the file. */
  readonly first: number
  readonly last: number
}

interface Segment {
  readonly fd: number
  readonly path: string
  readonly firstSeq: number
  position: number
  synced: number
}

/** Names sort in the order of their records. */
export const segmentName = (firstSeq: number): string => `${String(firstSeq).padStart(12, '0')}.jsonl`

/** The files of one chain, of which the last is being written. Every method may reject with the disk's fault and be called again. */
export class Segments {
  readonly #folder: string
  readonly #disk: Disk
  readonly #most: number
  #current: Segment | null = null
  #syncing: Promise<void> | null = null

  /** `most`: bytes after which a new file is begun. */
  constructor(folder: string, disk: Disk, most: number) {
    this.#folder = folder
    this.#disk = disk
    this.#most = most
  }

  /** A file for the record `firstSeq` is open after this. */
  async ensure(firstSeq: number): Promise<void> {
    const old = this.#current
    if (old !== null && old.position < this.#most) return
    if (old !== null) {
      await this.sync()
      this.#current = null
      await this.#disk.close(old.fd)
    }
    const path = join(this.#folder, segmentName(firstSeq))
    await this.#disk.makeFolder(this.#folder)
    const fd = await this.#disk.create(path)
    this.#current = { fd, path, firstSeq, position: 0, synced: 0 }
    await this.#disk.syncFolder(this.#folder)
  }

  /** Writes some of `bytes[from, to)` and gives how many. After a fault the next call writes over what a failed one may have left. */
  async write(bytes: Buffer, from: number, to: number): Promise<number> {
    const segment = this.#current
    if (segment === null) throw new Error('no segment')
    const written = await this.#disk.write(segment.fd, bytes, from, to - from, segment.position)
    if (written === 0) throw new Error('nothing written')
    segment.position += written
    return written
  }

  /** Everything written before the call is on the disk when this resolves. */
  async sync(): Promise<void> {
    const segment = this.#current
    const target = segment?.position ?? 0
    // A file that is no longer the current one was synced before it was left.
    while (segment !== null && segment === this.#current && segment.synced < target) {
      this.#syncing ??= this.#syncNow(segment).finally(() => {
        this.#syncing = null
      })
      await this.#syncing
    }
  }

  async #syncNow(segment: Segment): Promise<void> {
    const target = segment.position
    await this.#disk.sync(segment.fd)
    segment.synced = target
  }

  /**
   * Looks whether the file is still where it was, and leaves it if not: `rm`, a log rotation without a signal or a truncation
   * would swallow records for as long as the process lives. Not while a write is under way.
   */
  async inspect(): Promise<Omit<Vanished, 'last'> | null> {
    const segment = this.#current
    if (segment === null) return null
    const [held, inode] = await Promise.all([this.#disk.held(segment.fd), this.#disk.inode(segment.path)])
    const gone = held.links === 0 || inode === null ? 'removed' : inode !== held.inode ? 'replaced' : null
    const why = gone ?? (held.size < segment.position ? 'shortened' : null)
    if (why === null) return null
    await this.close()
    return { file: segment.path, why, first: segment.firstSeq }
  }

  /** Leaves the file as it is. A descriptor closed under a running sync might by then be another file's. */
  async close(): Promise<void> {
    const segment = this.#current
    this.#current = null
    await this.#syncing?.catch(() => {})
    if (segment !== null) await this.#disk.close(segment.fd).catch(() => {})
  }
}
