import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Row } from './rows.ts'

export interface LongRun {
  readonly rows: readonly Row[]
  /** Where rows that passed are remembered; null: nowhere. */
  readonly state: string | null
  /** Runs one row; what it printed is in `output`. */
  readonly execute: (row: Row) => Promise<{ readonly passed: boolean; readonly output: string }>
  readonly now: () => number
  readonly say: (text: string) => void
  /** Rows that passed are run again. */
  readonly fresh: boolean
}

/** Runs every row that has not passed yet, one after the other. A row that fails does not hold up the next. Gives how many failed. */
export const runRows = async ({ rows, state, execute, now, say, fresh }: LongRun): Promise<number> => {
  const done = new Set(state === null || fresh ? [] : await passedBefore(state))
  let failed = 0
  for (const [index, row] of rows.entries()) {
    const place = `[${index + 1}/${rows.length}]`
    if (done.has(keyOf(row))) {
      say(`${place} passed before  ${row.name}\n`)
      continue
    }
    say(`${place} running        ${row.name}\n`)
    const start = now()
    const { passed, output } = await execute(row)
    const seconds = `${Math.round((now() - start) / 1000)} s`
    if (passed) {
      done.add(keyOf(row))
      if (state !== null) await remember(state, done)
    } else failed++
    say(
      passed
        ? `${place} passed         ${row.name}, ${seconds}\n`
        : `${output}\n${place} FAILED         ${row.name}, ${seconds}\n${repeat(row)}\n`,
    )
  }
  say(`${rows.length - failed} passed, ${failed} failed\n`)
  return failed
}

/** A row that is changed is another row. */
const keyOf = ({ command, env }: Row): string => JSON.stringify([command, env])

const repeat = ({ command, env }: Row): string =>
  `again: ${[...Object.entries(env).map(([key, value]) => `${key}=${value}`), 'npx', 'node', ...command].join(' ')}`

const fileOf = (state: string): string => join(state, 'passed.json')

const passedBefore = async (state: string): Promise<readonly string[]> => {
  try {
    const read: unknown = JSON.parse(await readFile(fileOf(state), 'utf8'))
    return Array.isArray(read) ? read.map(String) : []
  } catch {
    return []
  }
}

const remember = async (state: string, done: ReadonlySet<string>): Promise<void> => {
  await mkdir(state, { recursive: true })
  await writeFile(fileOf(state), `${JSON.stringify([...done], null, 2)}\n`)
}
