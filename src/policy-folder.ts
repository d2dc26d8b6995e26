import { open, readdir, readlink, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding } from './model/finding.ts'
import type { PolicyFile } from './policy/load/version.ts'

export interface PolicyFolder {
  readonly files: readonly PolicyFile[]
  readonly findings: readonly Finding[]
}

export interface UnreadableFolder {
  readonly error: Finding
}

/** Ten thousand tenants, each with a few test files. */
export const maxFiles = 30_000
const maxFolders = 10_000
const maxDepth = 32
/** One byte more than the reader accepts, so that it is the reader who refuses the file. */
export const maxFileBytes = 2 * 1024 * 1024 + 1
export const maxTotalBytes = 256 * 1024 * 1024
const attempts = 5

/**
 * Reads every policy and test file below a folder, at any depth. All or nothing: a file that is listed but cannot be read would
 * otherwise look like a tenant that was removed. While files change under the reader it begins again.
 */
export const readPolicyFolder = async (dir: string): Promise<PolicyFolder | UnreadableFolder> => {
  let last: unknown = null
  for (let attempt = 0; attempt < attempts; attempt++) {
    try {
      return await readOnce(dir)
    } catch (fault) {
      last = fault
      if (!(fault instanceof Moved) && codeOf(fault) !== 'ENOENT') break
    }
  }
  if (last instanceof TooMuch) return unreadable(dir, 'P110', last.message)
  if (last instanceof Moved) return unreadable(dir, 'P100', 'the files change faster than they can be read. Try again.')
  const where = last instanceof Error && 'path' in last && last.path !== dir ? ` at ${String(last.path)}` : ''
  return unreadable(dir, 'P100', `the policies cannot be read (${codeOf(last)}${where}). Give a folder and files that this user may read.`)
}

const unreadable = (file: string, code: string, message: string): UnreadableFolder => ({
  error: { file, line: 0, column: 0, severity: 'error', code, message },
})

class TooMuch extends Error {}
/** The folder or a file was replaced while it was read. */
class Moved extends Error {}

const codeOf = (fault: unknown): string => (fault instanceof Error ? ((fault as NodeJS.ErrnoException).code ?? fault.message) : 'unknown')

const readOnce = async (dir: string): Promise<PolicyFolder> => {
  const before = await generation(dir)
  const listing: Listing = { names: [], findings: [], folders: 0 }
  await list(dir, '', [], listing)
  const files: PolicyFile[] = []
  let total = 0
  for (const name of listing.names.sort()) {
    const bytes = await readStable(join(dir, name))
    total += bytes.length
    if (total > maxTotalBytes) throw new TooMuch(`the files have more than ${maxTotalBytes / 1024 / 1024} MiB together. Split the folder.`)
    files.push({ name, bytes })
  }
  // Kubernetes swaps all files of a ConfigMap at once by this link; half of each set is no set.
  if ((await generation(dir)) !== before) throw new Moved()
  return { files, findings: listing.findings }
}

const generation = (dir: string): Promise<string> => readlink(join(dir, '..data')).catch(() => '')

interface Listing {
  readonly names: string[]
  readonly findings: Finding[]
  folders: number
}

/** Follows links to files and folders: Kubernetes makes links of both. `above` are the folders on the way, so that a link back to one ends here. */
const list = async (dir: string, prefix: string, above: readonly string[], into: Listing): Promise<void> => {
  const here = await realpath(join(dir, prefix))
  if (above.includes(here)) return
  into.folders++
  if (above.length > maxDepth || into.folders > maxFolders)
    throw new TooMuch('there are too many folders, or links between them. Split the folder.')
  for (const entry of await readdir(here, { withFileTypes: true })) {
    const name = prefix + entry.name
    const interesting = /\.policy(-test)?\.ya?ml$/.test(entry.name)
    if (entry.name.startsWith('..') || !(interesting || entry.isDirectory() || entry.isSymbolicLink())) continue
    const kind = entry.isSymbolicLink() ? await linked(join(here, entry.name), interesting) : entry
    if (kind?.isDirectory()) await list(dir, `${name}/`, [...above, here], into)
    else if (kind?.isFile() && interesting) add(name, into)
  }
}

/** A dangling link matters only if a policy should be there. */
const linked = async (path: string, interesting: boolean) => {
  try {
    return await stat(path)
  } catch (fault) {
    if (interesting) throw fault
    return null
  }
}

const add = (name: string, into: Listing): void => {
  if (name.endsWith('.yml')) {
    const message = 'files end in .yaml here. Rename it.'
    into.findings.push({ file: name, line: 0, column: 0, severity: 'error', code: 'P109', message })
    return
  }
  if (into.names.length >= maxFiles) throw new TooMuch(`there are more than ${maxFiles} policy and test files. Split the folder.`)
  into.names.push(name)
}

/** The bytes of a file that was not written to meanwhile. */
const readStable = async (path: string): Promise<Buffer> => {
  const file = await open(path, 'r')
  try {
    const before = await file.stat({ bigint: true })
    const buffer = Buffer.alloc(Number(before.size) < maxFileBytes ? Number(before.size) + 1 : maxFileBytes)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    const after = await file.stat({ bigint: true })
    if (before.size !== after.size || before.mtimeNs !== after.mtimeNs || (length !== Number(before.size) && length < maxFileBytes))
      throw new Moved()
    return buffer.subarray(0, length)
  } finally {
    await file.close()
  }
}
