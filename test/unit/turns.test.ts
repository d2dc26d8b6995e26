import { describe, expect, it } from 'vitest'
import { parse } from '../../src/config/parse.ts'
import { finish } from '../../src/config/steps.ts'
import { unpacking } from '../../src/config/transfer.ts'
import { systemClock } from '../../src/deps.ts'
import { createParsers } from '../../src/parsers.ts'
import { type Composed, compose, composing } from '../../src/policy/compose.ts'
import { inTurns } from '../../src/turns.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { allow, file, options, platformFile, tenantFile } from './policy/fixtures.ts'

const rules = (n: number) => Array.from({ length: n }, (_, i) => allow(`r${i}`, { to: `GET /v1/a${i}/{x}` }))
const small = [platformFile(), ...Array.from({ length: 40 }, (_, i) => tenantFile(`t${i}`, { rules: rules(30) }))]
const large = [platformFile(), tenantFile('acme', { rules: rules(3000) }), tenantFile('globex', { rules: 1 })]
const told = ({ composition, findings, changes }: Composed) => ({
  engine: composition?.engine.digest,
  tables: [...(composition?.entries.values() ?? [])].map(({ enforced }) => enforced?.policy?.allows.index.table),
  findings,
  changes,
})

describe('a load in turns', () => {
  it.each([
    ['many small files', small],
    ['a file that another thread parses', large],
  ])('of %s gives what the same load at once gives', async (_, files) => {
    expect(told(await inTurns(composing(files, null, options()), systemClock))).toEqual(told(compose(files, null, options())))
  })

  it('lets others have their turn, again and again', async () => {
    const turns = { count: 0, done: false }
    const others = (): void => {
      turns.count++
      if (!turns.done) setImmediate(others)
    }
    setImmediate(others)
    await inTurns(composing(small, null, options()), systemClock)
    turns.done = true
    // Some hundred milliseconds of work in turns of four.
    expect(turns.count).toBeGreaterThan(10)
  })

  it('fails where the steps fail, and leaves no thread behind', async () => {
    // biome-ignore lint/correctness/useYield: it fails before it pauses
    const failing = function* (): Generator<undefined, never, undefined> {
      throw new Error('broken')
    }
    await expect(inTurns(failing(), systemClock)).rejects.toThrow('broken')
  })
})

describe('threads that parse', () => {
  const text = (name: string, bytes: string) => ({ file: name, bytes: Buffer.from(bytes), family: 'P' }) as const

  it('hand back exactly what parsing in place gives: numbers that JSON lacks, every kind of node, findings and positions', async () => {
    const parsers = createParsers(systemClock, 1)
    const long = Array.from({ length: 1000 }, (_, i) => `k${i}: { a: .inf, b: [-.nan, "x\\u2028", 'y', null, true, 1.5, -0] }`).join('\n')
    const list = `list:\n${Array.from({ length: 5000 }, (_, i) => `  - { n: ${i}, "__proto__": [.inf] }`).join('\n')}\nafter: end\n`
    try {
      for (const one of [
        `${long}\n`,
        list,
        `${list}list: again\n`,
        `${list}x: *alias\n`,
        `a: [${'1,'.repeat(50_000)}1]`,
        'x'.repeat(70_000),
      ]) {
        const unparsed = text('a.yaml', one)
        const packed = parsers.now(unparsed)
        expect(packed, one.slice(0, 20)).not.toBe(null)
        expect(finish(unpacking(await packed!))).toEqual(parse(unparsed))
      }
    } finally {
      await parsers.close()
    }
  })

  it('leave what is small to whoever asks, unless there is much of it', async () => {
    const parsers = createParsers(systemClock, 1)
    const few = text('few.yaml', 'a: 1')
    parsers.soon([few])
    expect(parsers.now(few)).toBe(null)
    const many = Array.from({ length: 100 }, (_, i) => text(`${i}.yaml`, `a: "${'x'.repeat(20_000)}"\nb: ${i}`))
    parsers.soon(many)
    for (const one of many) expect(finish(unpacking(await parsers.now(one)!))).toEqual(parse(one))
    await parsers.close()
  })

  it('give a file up that takes too long, with a finding, and go on with the next', async () => {
    const clock = new ManualClock()
    const parsers = createParsers(clock, 1)
    const slow = parsers.now(text('slow.yaml', `a: [${'{b: 1},'.repeat(100_000)}]`))
    const next = parsers.now(text('next.yaml', `a: "${'x'.repeat(70_000)}"`))
    await clock.advance(10_000)
    expect(finish(unpacking(await slow!)).findings).toMatchObject([
      { file: 'slow.yaml', code: 'P102', message: expect.stringMatching(/takes more than 10 s/) },
    ])
    expect(finish(unpacking(await next!)).findings).toMatchObject([{ file: 'next.yaml', code: 'P107' }])
    await parsers.close()
  })
})

describe('the order of the files', () => {
  it('does not matter to a load in turns either', async () => {
    const files = [...small, file('x.policy.yaml', 'x: [')]
    const first = told(await inTurns(composing(files, null, options()), systemClock))
    expect(told(await inTurns(composing(files.toReversed(), null, options()), systemClock))).toEqual(first)
  })
})
