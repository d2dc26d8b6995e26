import { close, fdatasync, fstat, fsync, ftruncate, open, write } from 'node:fs'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** What the audit needs of a file system. Tests put faults here; everything else uses `nodeDisk`. */
export interface Disk {
  makeFolder(path: string): Promise<void>
  /** Makes a file that must not exist yet. Gives its descriptor. */
  create(path: string): Promise<number>
  /** Writes at `position`, so that a write tried again lands on the same bytes. May write less than `length`. */
  write(fd: number, bytes: Buffer, offset: number, length: number, position: number): Promise<number>
  sync(fd: number): Promise<void>
  syncFolder(path: string): Promise<void>
  close(fd: number): Promise<void>
  held(fd: number): Promise<{ readonly links: number; readonly size: number; readonly inode: number }>
  /** Inode that now has this name, or null. */
  inode(path: string): Promise<number | null>
  /** Appends and syncs, or leaves the file as it was. */
  append(path: string, text: string): Promise<void>
  /** Null where there is no such file. */
  read(path: string): Promise<string | null>
  /** Names of the folders in a folder; none where it does not exist. */
  folders(path: string): Promise<readonly string[]>
  /** Bytes of the files in the folders of a folder. */
  usage(path: string): Promise<number>
}

// Records name callers: the owner writes them, a log shipper's group may read them, nobody else.
const fileMode = 0o640
const folderMode = 0o750

const calls = {
  open: promisify(open),
  write: promisify(write) as unknown as (
    fd: number,
    bytes: Buffer,
    offset: number,
    length: number,
    position: number | null,
  ) => Promise<{ bytesWritten: number }>,
  datasync: promisify(fdatasync),
  sync: promisify(fsync),
  truncate: promisify(ftruncate),
  stat: promisify(fstat),
  close: promisify(close),
}

const absent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(String(error.code))

const orNull = async <T>(found: Promise<T>): Promise<T | null> => {
  try {
    return await found
  } catch (error) {
    if (absent(error)) return null
    throw error
  }
}

const withFile = async <T>(path: string, flags: string, use: (fd: number) => Promise<T>): Promise<T> => {
  const fd = await calls.open(path, flags, fileMode)
  try {
    return await use(fd)
  } finally {
    await calls.close(fd)
  }
}

const writeAll = async (fd: number, bytes: Buffer): Promise<void> => {
  for (let done = 0; done < bytes.length; ) done += (await calls.write(fd, bytes, done, bytes.length - done, null)).bytesWritten
  await calls.datasync(fd)
}

export const nodeDisk: Disk = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: folderMode })
  },
  create: path => calls.open(path, 'wx', fileMode),
  // Not promisified: this is the one call of the hot path, and the result object costs more than the promise.
  write: (fd, bytes, offset, length, position) =>
    new Promise((done, failed) => {
      write(fd, bytes, offset, length, position, (error, written) => (error ? failed(error) : done(written)))
    }),
  sync: fd => calls.datasync(fd),
  async syncFolder(path) {
    try {
      await withFile(path, 'r', fd => calls.sync(fd))
    } catch (error) {
      // Some file systems know no sync of a folder; that is no reason to stop.
      if (!['EINVAL', 'EISDIR', 'EPERM', 'ENOTSUP'].includes(faultWord(error))) throw error
    }
  },
  close: fd => calls.close(fd),
  async held(fd) {
    const { nlink, size, ino } = await calls.stat(fd)
    return { links: nlink, size, inode: ino }
  },
  inode: async path => (await orNull(stat(path)))?.ino ?? null,
  append: (path, text) =>
    withFile(path, 'a', async fd => {
      const before = (await calls.stat(fd)).size
      try {
        await writeAll(fd, Buffer.from(text))
      } catch (error) {
        // Half an entry would make the next one unreadable too.
        await calls.truncate(fd, before)
        throw error
      }
    }),
  read: path => orNull(readFile(path, 'utf8')),
  async folders(path) {
    const entries = (await orNull(readdir(path, { withFileTypes: true }))) ?? []
    return entries.filter(entry => entry.isDirectory()).map(entry => entry.name)
  },
  async usage(path) {
    let bytes = 0
    for (const folder of await nodeDisk.folders(path))
      for (const name of (await orNull(readdir(join(path, folder)))) ?? [])
        bytes += (await orNull(stat(join(path, folder, name))))?.size ?? 0
    return bytes
  },
}

/** The word for an error in logs and records: `ENOSPC`, or the message where there is none. */
export const faultWord = (error: unknown): string =>
  error instanceof Error ? ('code' in error && typeof error.code === 'string' ? error.code : error.message) : String(error)
