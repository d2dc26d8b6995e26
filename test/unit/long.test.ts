import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Row } from '../long/rows.ts'
import { rows } from '../long/rows.ts'
import { runRows } from '../long/run.ts'

const row = (name: string, env: Row['env'] = {}): Row => ({ name, command: ['x', name], env })

describe('npm run test:long', () => {
  let state = ''
  beforeEach(async () => {
    state = join(await mkdtemp(join(tmpdir(), 'postern-')), 'long')
  })
  afterEach(() => rm(join(state, '..'), { recursive: true }))

  /** Runs rows of which some fail; gives which were run, and what was said. */
  const run = async (all: readonly Row[], failing: readonly string[] = [], fresh = false) => {
    const ran: string[] = []
    let said = ''
    const execute = async ({ name }: Row) => {
      ran.push(name)
      return { passed: !failing.includes(name), output: `output of ${name}` }
    }
    const failed = await runRows({ rows: all, state, execute, now: () => 5000 * ran.length, say: text => (said += text), fresh })
    return { ran, said, failed }
  }

  it('runs every row although one fails, says what each printed that failed and how to repeat it, and counts', async () => {
    const { ran, said, failed } = await run([row('a'), row('b', { SEED: '7' }), row('c')], ['b'])
    expect(ran).toEqual(['a', 'b', 'c'])
    expect(failed).toBe(1)
    expect(said).toBe(`[1/3] running        a
[1/3] passed         a, 5 s
[2/3] running        b
output of b
[2/3] FAILED         b, 5 s
again: SEED=7 npx node x b
[3/3] running        c
[3/3] passed         c, 5 s
2 passed, 1 failed
`)
  })

  it('does not run again what passed on this tree, unless it is changed or all is asked for afresh', async () => {
    await run([row('a'), row('b')], ['b'])
    const again = await run([row('a'), row('b')])
    expect(again.ran).toEqual(['b'])
    expect(again.said).toContain('[1/2] passed before  a\n')
    expect(again.said).toMatch(/2 passed, 0 failed\n$/)
    expect((await run([row('a'), row('b', { SEED: '8' })])).ran).toEqual(['b'])
    expect((await run([row('a'), row('b')], [], true)).ran).toEqual(['a', 'b'])
  })

  it('has rows of different names, of which each is one line to add', () => {
    const names = rows(1).map(one => one.name)
    expect(new Set(names).size).toBe(names.length)
  })
})
