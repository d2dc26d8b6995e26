import { createHash } from 'node:crypto'
import { watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Clock } from '../model/deps.ts'
import { Tasks } from './tasks.ts'

export interface WatchedFile {
  /** Bytes, or null when the file cannot be read. Also what `changed` is compared with. */
  read(): Promise<Buffer | null>
  close(): void
}

const pollEvery = 5_000
/** An editor or a writer that does not rename makes several events; the last one counts. */
const settle = 50

/**
 * Tells when a file's content changed. The folder is watched, not the file: Kubernetes swaps a link beside it and editors
 * rename over it. Polled slowly as well, because network file systems send no events. Events carry no meaning; content does.
 */
export const watchFile = (file: string, clock: Clock, changed: (bytes: Buffer | null) => void): WatchedFile => {
  const tasks = new Tasks<'poll' | 'settle'>(clock)
  let digest: string | null = null
  const read = async (): Promise<Buffer | null> => {
    const bytes = await readFile(file).catch(() => null)
    digest = digestOf(bytes)
    return bytes
  }
  const look = async (): Promise<void> => {
    const before = digest
    const bytes = await read()
    if (!tasks.closed && digest !== before) changed(bytes)
  }
  const poll = (): void => {
    void look().finally(() => tasks.after('poll', pollEvery, poll))
  }
  tasks.after('poll', pollEvery, poll)
  const watcher = watchFolder(file, () => tasks.after('settle', settle, () => void look()))
  return {
    read,
    close: () => {
      tasks.close()
      watcher?.close()
    },
  }
}

const watchFolder = (file: string, event: () => void): { close(): void } | null => {
  try {
    const watcher = watch(dirname(file), { persistent: false }, (_, name) => {
      if (name === null || name === basename(file) || name.startsWith('..')) event()
    })
    return watcher.on('error', () => watcher.close())
  } catch {
    // No such folder yet, or no watches left: the poll finds it.
    return null
  }
}

const digestOf = (bytes: Buffer | null): string => (bytes === null ? 'unreadable' : createHash('sha256').update(bytes).digest('hex'))
