import { execFile } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import type { PolicyFile } from './policy/load/version.ts'
import { maxFileBytes, maxFiles, maxTotalBytes, type PolicyFolder, type UnreadableFolder } from './policy-folder.ts'

const deadlineMs = 30_000
/** What `git ls-tree` may print, and every file with a line about each. */
const maxOutput = maxTotalBytes + 16 * 1024 * 1024

class Unreadable extends Error {}

/** The policies folder, and the environment that git runs in. */
export interface RevisionPlace {
  readonly dir: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Where git is run: the folder itself need not exist today. */
interface Here {
  readonly cwd: string
  readonly env: RevisionPlace['env']
}

/**
 * Whether git knows this as a commit; a text says why that cannot be told. Only what git itself resolves is used afterwards, as a full
 * hexadecimal name: nothing that somebody typed is ever in a place where git could read it as an option.
 */
export const isRevision = async (revision: string, place: RevisionPlace): Promise<boolean | string> => {
  try {
    return (await commitOf(revision, repositoryOf(place))) !== null
  } catch (fault) {
    if (fault instanceof Unreadable) return fault.message
    throw fault
  }
}

/** The policies folder as it was in a revision: the same files that `readPolicyFolder` would find in a checkout. */
export const readPolicyRevision = async (revision: string, place: RevisionPlace): Promise<PolicyFolder | UnreadableFolder> => {
  try {
    return await readRevision(revision, place)
  } catch (fault) {
    if (!(fault instanceof Unreadable)) throw fault
    return { error: { file: revision, line: 0, column: 0, severity: 'error', code: 'P100', message: fault.message } }
  }
}

const readRevision = async (revision: string, place: RevisionPlace): Promise<PolicyFolder> => {
  const here = repositoryOf(place)
  const commit = await commitOf(revision, here)
  if (commit === null) throw new Unreadable('git knows no such commit. Write a branch, a tag or a commit that is here.')
  const folder = await folderInside(place.dir, here)
  const tree = await git(here, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}:${folder}`])
  if (tree === null) throw new Unreadable(`there is no folder ${folder === '' ? '.' : folder} in it. Name it with --policies.`)
  const listed = await git(here, ['ls-tree', '-r', '-l', '-z', '--full-tree', text(tree)])
  if (listed === null) throw new Unreadable(`${folder} is not a folder in it. Name the folder with --policies.`)
  const { wanted, findings } = sorted(text(listed).split('\0'))
  return { files: await contents(wanted, here), findings }
}

const repositoryOf = ({ dir, env }: RevisionPlace): Here => {
  let here = resolve(dir)
  while (!existsSync(here) && dirname(here) !== here) here = dirname(here)
  return { cwd: realpathSync(here), env }
}

/** The name of the folder from the top of the repository. */
const folderInside = async (dir: string, here: Here): Promise<string> => {
  const top = await git(here, ['rev-parse', '--show-toplevel'])
  if (top === null) throw new Unreadable(`${here.cwd} is in no Git repository.`)
  const whole = [here.cwd]
  for (let rest = resolve(dir); !existsSync(rest); rest = dirname(rest)) whole.splice(1, 0, basename(rest))
  return relative(text(top), join(...whole))
    .split(sep)
    .join('/')
}

const commitOf = async (revision: string, here: Here): Promise<string | null> => {
  if (revision === '' || revision.includes('\0')) return null
  const found = await git(here, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`])
  return found && text(found)
}

const text = (output: Buffer): string => output.toString('utf8').replace(/\n$/, '')

interface Blob {
  readonly name: string
  readonly id: string
}

/** Lines of `ls-tree -l`: mode, type, id, size, and behind a tab the name. */
const sorted = (lines: readonly string[]): { readonly wanted: readonly Blob[]; readonly findings: PolicyFolder['findings'] } => {
  const wanted: Blob[] = []
  const findings: PolicyFolder['findings'][number][] = []
  let total = 0
  for (const line of lines) {
    const [, mode, type, id, size, name] = /^(\d+) (\w+) ([0-9a-f]+) +(\S+)\t(.*)$/s.exec(line) ?? []
    if (
      id === undefined ||
      name === undefined ||
      !/\.policy(-test)?\.ya?ml$/.test(name) ||
      name.split('/').some(part => part.startsWith('..'))
    )
      continue
    if (type !== 'blob' || mode === '120000')
      throw new Unreadable(`${name} is a link there, and links are not followed. Compare folders instead.`)
    if (name.endsWith('.yml'))
      findings.push({ file: name, line: 0, column: 0, severity: 'error', code: 'P109', message: 'files end in .yaml here. Rename it.' })
    else wanted.push({ name, id })
    total += Number(size)
    if (wanted.length > maxFiles || total > maxTotalBytes) throw new Unreadable('there is more in it than is read. Split the folder.')
  }
  return { wanted: wanted.sort((a, b) => (a.name < b.name ? -1 : 1)), findings }
}

/** Every blob, by one process. */
const contents = async (wanted: readonly Blob[], here: Here): Promise<readonly PolicyFile[]> => {
  if (wanted.length === 0) return []
  const output = await git(here, ['cat-file', '--batch'], wanted.map(({ id }) => `${id}\n`).join(''))
  const files: PolicyFile[] = []
  let at = 0
  for (const { name, id } of wanted) {
    const end = output?.indexOf(0x0a, at) ?? -1
    const size = Number(/^([0-9a-f]+) blob (\d+)$/.exec(output?.toString('latin1', at, end) ?? '')?.[2])
    if (output === null || end < 0 || !Number.isSafeInteger(size)) throw new Unreadable(`git does not give the content of ${name} (${id}).`)
    files.push({ name, bytes: output.subarray(end + 1, end + 1 + Math.min(size, maxFileBytes)) })
    at = end + 1 + size + 1
  }
  return files
}

/**
 * What git prints, or null where it says no. No shell, no pager, no repository's hooks. A partial clone fetches what it lacks, by whatever
 * command its configuration names: a comparison must neither wait for a network nor run that.
 */
const git = ({ cwd, env }: Here, args: readonly string[], input = ''): Promise<Buffer | null> =>
  new Promise((resolve, reject) => {
    const local = { ...env, GIT_NO_LAZY_FETCH: '1', GIT_ALLOW_PROTOCOL: '' }
    const options = { cwd, env: local, timeout: deadlineMs, maxBuffer: maxOutput, encoding: 'buffer', killSignal: 'SIGKILL' } as const
    const child = execFile(
      'git',
      ['--no-pager', '--no-replace-objects', '--literal-pathspecs', ...args],
      options,
      (fault, stdout, stderr) => {
        if (fault === null) resolve(stdout)
        else if ('code' in fault && fault.code === 'ENOENT') reject(new Unreadable('git is not installed here. Compare folders instead.'))
        else if (fault.killed) reject(new Unreadable(`git did not answer within ${deadlineMs / 1000} s, or said too much.`))
        else if (stderr.length > 0) reject(new Unreadable(complaint(stderr.toString('utf8'))))
        else resolve(null)
      },
    )
    // It may end before it has read everything: then its exit tells.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })

const complaint = (said: string): string =>
  /promisor remote|lazy fetching disabled/.test(said)
    ? 'this clone is a partial one and lacks files of that revision; nothing is fetched here. Check it out (git worktree add), and compare folders.'
    : `git: ${said.split('\n', 1)[0]}`
