import { join } from 'node:path'
import { type Checkpoint, readNotes } from './checkpoint.ts'
import { type Disk, faultWord } from './disk.ts'

export const checkpointsFile = 'checkpoints'
export const chainsFile = 'chains'

/** Checkpoints that wait for a second place that cannot be reached; the newest ones vouch for what the dropped ones did. */
const mostPending = 1000

export interface AttestorOptions {
  readonly disk: Disk
  readonly chain: string
  /** Folder of all chains. */
  readonly dir: string
  readonly second: string | null
  readonly signed: (checkpoint: Checkpoint) => string
}

export interface AttestorStatus {
  /** Milliseconds since the epoch of the last checkpoint beside the records, or null. */
  readonly time: number | null
  /** Records that it covers. */
  readonly size: number
  /** Records that the second place vouches for. */
  readonly secondSize: number
  /** Why the last attempt failed, or null. */
  readonly fault: string | null
  readonly secondFault: string | null
}

/** Keeps the signed checkpoints of one chain in both places. */
export class Attestor {
  readonly #o: AttestorOptions
  readonly #pending: Array<{ readonly size: number; readonly text: string }> = []
  #listed = false
  #status: AttestorStatus = { time: null, size: 0, secondSize: 0, fault: null, secondFault: null }

  constructor(options: AttestorOptions) {
    this.#o = options
  }

  get status(): AttestorStatus {
    return this.#status
  }

  /** Rejects where one of the places cannot be made: at the start that is a fault of the configuration. */
  async prepare(): Promise<void> {
    const { disk, dir, second, chain } = this.#o
    for (const [key, folder] of [
      ['audit.dir', dir],
      ['audit.second', second],
    ] as const) {
      if (folder === null) continue
      try {
        await disk.makeFolder(join(folder, chain))
      } catch (error) {
        throw new Error(`${key}: ${folder} cannot be written: ${faultWord(error)}`)
      }
    }
  }

  /**
   * Signs and stores. First beside the records, then in the second place: whatever the second place knows and the first
   * does not was taken away, not lost in a crash. Never rejects; the status says what failed.
   */
  async attest(checkpoint: Checkpoint): Promise<void> {
    const { disk, dir, chain, second, signed } = this.#o
    const text = signed(checkpoint)
    try {
      await disk.append(join(dir, chain, checkpointsFile), text)
    } catch (error) {
      this.#status = { ...this.#status, fault: faultWord(error) }
      return
    }
    this.#status = { ...this.#status, time: checkpoint.time, size: checkpoint.size, fault: null }
    if (second === null) return
    this.#pending.push({ size: checkpoint.size, text })
    if (this.#pending.length > mostPending) this.#pending.shift()
    await this.#deliver(second)
  }

  async #deliver(second: string): Promise<void> {
    const { disk, chain } = this.#o
    const last = this.#pending.at(-1)
    if (last === undefined) return
    try {
      await disk.makeFolder(join(second, chain))
      await disk.append(join(second, chain, checkpointsFile), this.#pending.map(note => note.text).join(''))
      this.#pending.length = 0
      // Listed after its first checkpoint is there: a chain that is listed must have one.
      if (!this.#listed) await disk.append(join(second, chainsFile), `${chain}\n`)
      this.#listed = true
      this.#status = { ...this.#status, secondSize: last.size, secondFault: null }
    } catch (error) {
      this.#status = { ...this.#status, secondFault: faultWord(error) }
    }
  }
}

const bootOf = (chain: string): string | null => /-(\d{8}T\d{9}Z)-[0-9a-f]{8}$/.exec(chain)?.[1] ?? null

/** Safe as a file name and in a signed note's first line, and ordered by start among those of one instance. */
export const chainName = (instance: string, now: number, random: Buffer): string => {
  const safe =
    instance
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[.-]+/, '')
      .slice(0, 64) || 'postern'
  return `${safe}-${new Date(now).toISOString().replace(/[-:.]/g, '')}-${random.subarray(0, 4).toString('hex')}`
}

export interface Predecessor {
  readonly chain: string
  /** Size and base64 root of its last checkpoint, null where it has none. */
  readonly size: number | null
  readonly root: string | null
}

/** The chain that began last in this folder: the new one carries its head on, so that it cannot vanish whole. */
export const predecessor = async (disk: Disk, dir: string): Promise<Predecessor | null> => {
  const chains = (await disk.folders(dir)).filter(name => bootOf(name) !== null)
  const latest = chains.reduce<string | null>(
    (best, name) => (best === null || (bootOf(name) ?? '') > (bootOf(best) ?? '') ? name : best),
    null,
  )
  if (latest === null) return null
  const last = readNotes((await disk.read(join(dir, latest, checkpointsFile))) ?? '').notes.at(-1)?.checkpoint
  return { chain: latest, size: last?.size ?? null, root: last ? Buffer.from(last.root, 'latin1').toString('base64') : null }
}
