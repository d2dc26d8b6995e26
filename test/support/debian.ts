import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const runs = (program: string, args: readonly string[], cwd?: string): boolean =>
  spawnSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd, timeout: 120_000 }).status === 0

/**
 * A program of a Debian package: the machine's own where it has one, else fetched, unpacked into the cache and not installed. What is missing
 * where neither can be.
 */
export const debianProgram = (name: string, path: string, fetched: string): { readonly program: string } | { readonly missing: string } => {
  if (runs(name, ['-h'])) return { program: name }
  const cache = join(process.env['XDG_CACHE_HOME'] || join(process.env['HOME'] || homedir(), '.cache'), 'postern')
  const unpacked = join(cache, `debian-${fetched}`)
  const program = join(unpacked, path)
  if (runs(program, ['-h'])) return { program }
  process.stderr.write(`${name}: fetching Debian's package ${fetched} into ${unpacked}\n`)
  mkdirSync(cache, { recursive: true })
  const dir = mkdtempSync(join(cache, 'fetching-'))
  try {
    const download = (): boolean => runs('apt-get', ['-q', 'download', fetched], dir)
    if (!download() && !(runs('apt-get', ['-q', 'update']) && download())) return { missing: `${name}, and Debian's package ${fetched}` }
    const [deb = ''] = readdirSync(dir)
    if (!runs('dpkg-deb', ['-x', join(dir, deb), join(dir, 'unpacked')])) return { missing: `dpkg-deb, for ${name}` }
    rmSync(unpacked, { recursive: true, force: true })
    renameSync(join(dir, 'unpacked'), unpacked)
    return runs(program, ['-h']) ? { program } : { missing: `what ${name} of Debian's package ${fetched} needs` }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
