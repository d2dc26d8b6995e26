import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Entry, readEntry } from './entry.ts'
import { mostEntries } from './list.ts'

/** What a process must still know after a restart. */
export interface Kept {
  readonly entries: readonly Entry[]
  /** Ids of those that the shared table has not taken yet. */
  readonly unshared: readonly string[]
  /** Milliseconds since the epoch of the last look into the shared table; null: never. */
  readonly readAt: number | null
}

const format = 'postern/denials/v1'

export const denialsFile = (state: string): string => join(state, 'denials.json')

/** What was written last; nothing where there is no file. Rejects where the file cannot be read in full: half a deny list lets somebody in. */
export const readKept = async (state: string): Promise<Kept> => {
  const file = denialsFile(state)
  const text = await readFile(file, 'utf8').catch((fault: unknown) => {
    if (fault instanceof Error && 'code' in fault && fault.code === 'ENOENT') return null
    throw fault
  })
  if (text === null) return { entries: [], unshared: [], readAt: null }
  const kept = parsed(text)
  if (kept === null)
    throw new Error(
      `${file} is damaged, and with it what is denied. Bring back a copy, or remove it and deny anew (postern deny): who stood in it gets in until then.`,
    )
  return kept
}

const parsed = (text: string): Kept | null => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { v, entries, unshared, readAt } = value as Readonly<Record<string, unknown>>
  if (v !== format || !Array.isArray(entries) || entries.length > mostEntries || !Array.isArray(unshared)) return null
  const read = entries.map(readEntry)
  const whole = read.filter(entry => entry !== null)
  if (whole.length < read.length || !unshared.every(id => typeof id === 'string')) return null
  return readAt === null || Number.isSafeInteger(readAt) ? { entries: whole, unshared, readAt: readAt as number | null } : null
}

/** Writes the file, one write at a time; what is asked for meanwhile is one more, with what holds then. */
export class KeptFile {
  readonly #state: string
  readonly #current: () => Kept
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | null = null

  constructor(state: string, current: () => Kept) {
    this.#state = state
    this.#current = current
  }

  /** Settles when a write that began after the call is on the disk. */
  save(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = null
        this.#running = this.#write()
        return this.#running
      })
    return this.#next
  }

  async #write(): Promise<void> {
    const file = denialsFile(this.#state)
    const fresh = `${file}.new`
    await mkdir(this.#state, { recursive: true, mode: 0o700 })
    await rm(fresh, { force: true })
    const handle = await open(fresh, 'wx', 0o600)
    try {
      await handle.writeFile(`${JSON.stringify({ v: format, ...this.#current() })}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(fresh, file)
    // The new name itself must outlive a power cut.
    const folder = await open(this.#state, 'r')
    await folder.sync().finally(() => folder.close())
  }
}
