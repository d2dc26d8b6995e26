import { chown, open, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Credential, Unavailable } from '../model/credential.ts'
import type { Observe } from './events.ts'
import { shownCredential } from './shown.ts'
import { inTurn } from './tasks.ts'

export interface FilesOptions {
  /** Folder, on tmpfs: a credential on a disk outlives its end in backups and snapshots. */
  readonly dir: string
  /** Group that may read, as the system numbers it; null: the process's own. */
  readonly group: number | null
  readonly roles: readonly string[]
  readonly observe: Observe
  current(role: string): Credential | Unavailable
}

export interface CredentialFiles {
  /** Settles when the folder says what is current. */
  update(): Promise<void>
}

/** `statfs` types of the file systems that live in memory (Linux magic.h): tmpfs, ramfs. */
const inMemory = new Set([0x01021994, 0x858458f6])

/** Whether what is written below a folder stays in memory. */
export const isInMemory = async (dir: string): Promise<boolean> => inMemory.has((await statfs(dir)).type)

/** One JSON file a role, replaced by rename, so that a reader sees the old one or the new one whole. */
export const createCredentialFiles = (options: FilesOptions): CredentialFiles => {
  const written = new Map<string, Credential>()
  const turn = inTurn()
  const writeOne = async (role: string): Promise<void> => {
    const { dir, group, observe } = options
    const file = join(dir, `${role}.json`)
    const answer = options.current(role)
    if ('unavailable' in answer) {
      // What no longer works must not look as if it did.
      if (written.delete(role)) await rm(file, { force: true })
      return
    }
    if (written.get(role) === answer) return
    await replace(file, `${JSON.stringify(shownCredential(answer))}\n`, group)
    if (written.get(role)?.generation !== answer.generation)
      observe({ kind: 'handover', role, generation: answer.generation, via: 'file', to: file })
    written.set(role, answer)
  }
  return {
    update: () =>
      turn(async () => {
        for (const role of options.roles)
          await writeOne(role).catch((fault: unknown) =>
            options.observe({
              kind: 'delivery-failed',
              role,
              via: 'file',
              message: fault instanceof Error ? fault.message : String(fault),
            }),
          )
      }),
  }
}

const replace = async (file: string, text: string, group: number | null): Promise<void> => {
  const fresh = `${file}.new`
  await rm(fresh, { force: true })
  const handle = await open(fresh, 'wx', 0o640)
  try {
    // The umask may have taken the group's bit; it must be there, and nobody else's.
    await handle.chmod(0o640)
    if (group !== null) await chown(fresh, process.getuid?.() ?? -1, group)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(fresh, file)
}
