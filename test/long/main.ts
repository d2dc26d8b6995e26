import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Row } from './rows.ts'
import { rows } from './rows.ts'
import { runRows } from './run.ts'

const root = resolve(import.meta.dirname, '../..')
const { values } = parseArgs({ options: { fresh: { type: 'boolean', default: false } } })

/** Over every file that is not ignored, as it is now; null outside of a clone. */
const treeDigest = (): string | null => {
  try {
    const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], { cwd: root, encoding: 'utf8' })
    const digest = createHash('sha256')
    for (const name of listed.split('\0').filter(Boolean).sort()) digest.update(`${name}\0`).update(contents(name)).update('\0')
    return digest.digest('hex').slice(0, 16)
  } catch {
    return null
  }
}

const contents = (name: string): Buffer | string => {
  try {
    return readFileSync(join(root, name))
  } catch {
    // Deleted and not yet committed, or a link to a folder.
    return ''
  }
}

const execute = ({ command, env }: Row): Promise<{ readonly passed: boolean; readonly output: string }> =>
  new Promise(done => {
    const child = spawn(process.execPath, command, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', fault => done({ passed: false, output: String(fault) }))
    child.on('close', code => done({ passed: code === 0, output: Buffer.concat(chunks).toString('utf8') }))
  })

const digest = treeDigest()
const failed = await runRows({
  rows: rows(Number.parseInt(digest?.slice(0, 7) ?? '1', 16)),
  state: digest === null ? null : join(root, '.cache', 'long', digest),
  execute,
  now: Date.now,
  say: text => void process.stdout.write(text),
  fresh: values.fresh,
})
process.exitCode = failed > 0 ? 1 : 0
