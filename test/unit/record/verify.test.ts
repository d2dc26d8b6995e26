import { generateKeyPairSync } from 'node:crypto'
import { appendFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { noteSigner, readNotes } from '../../../src/record/checkpoint.ts'
import { type Report, type VerifyInput, verifyAudit } from '../../../src/record/verify.ts'
import { entry, signingKey, type TestAudit, testAudit, verifyFolder, verifyingKey } from '../../support/audit-kit.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** 40 records in several files, with a checkpoint after each ten of them: sizes 1, 11, 21, 31, 41 and, with process-stop, 42. */
const written = async (clock = new ManualClock(), base?: string): Promise<TestAudit> => {
  const log = await testAudit({ clock, limits: { segment: 6_750 }, ...(base === undefined ? {} : { base }) })
  await log.audit.idle()
  for (let i = 1; i <= 40; i++) {
    log.audit.exchange(entry({ requestId: `r${i}` }))
    await log.audit.flush()
    if (i % 10 === 0) {
      await clock.advance(100)
      await log.audit.checkpoint()
    }
  }
  await log.audit.close('x')
  return log
}

const verify = (base: string, changes: Partial<VerifyInput> = {}): Promise<Report> =>
  verifyAudit({
    dir: join(base, 'audit'),
    second: join(base, 'second'),
    publicKey: verifyingKey,
    now: Date.parse('2026-11-23T10:01:00Z'),
    ...changes,
  })

/** Changes the lines of the file that holds a record. */
const edit = async (log: TestAudit, seq: number, change: (lines: string[], at: number) => void): Promise<void> => {
  for (const name of (await log.segments()).toReversed()) {
    if (Number.parseInt(name, 10) > seq) continue
    const lines = (await readFile(log.own(name), 'utf8')).split('\n')
    change(lines, seq - Number.parseInt(name, 10))
    await writeFile(log.own(name), lines.join('\n'))
    return
  }
}

describe('a sound log', () => {
  it('passes, with everything attested', async () => {
    const log = await written()
    expect(await verify(log.base)).toEqual({
      verdict: 'sound',
      findings: [],
      doubts: [],
      notes: [],
      chains: [{ chain: log.chain, records: 42, attested: 42, ended: true }],
      records: 42,
      attested: 42,
      unattested: 0,
      checkpointAge: expect.any(Number),
    })
  })

  it('passes wherever it was moved to', async () => {
    const log = await written()
    await rename(join(log.base, 'audit'), join(log.base, 'evidence'))
    expect((await verify(log.base, { dir: join(log.base, 'evidence') })).verdict).toBe('sound')
  })

  it('passes while Postern still writes; what is not yet signed is counted', async () => {
    const { audit, base, chain } = await testAudit()
    await audit.checkpoint()
    for (let i = 0; i < 5; i++) audit.exchange(entry())
    await audit.flush()
    expect(await verify(base)).toMatchObject({
      verdict: 'sound',
      records: 6,
      attested: 1,
      unattested: 5,
      chains: [{ chain, ended: false }],
    })
  })

  it('passes after a power cut in the middle of a line that was not signed yet', async () => {
    const { audit, base, own } = await testAudit()
    await audit.checkpoint()
    audit.exchange(entry())
    await audit.flush()
    await appendFile(own('000000000000.jsonl'), '{"v":"postern/audit/v1","chain":"')
    expect(await verify(base)).toMatchObject({ verdict: 'sound', records: 2, notes: [expect.stringContaining('incomplete')] })
  })

  it('of several runs passes, and every run is reported', async () => {
    const clock = new ManualClock()
    const first = await written(clock)
    await clock.advance(5)
    await written(clock, first.base)
    const report = await verify(first.base)
    expect(report).toMatchObject({ verdict: 'sound', records: 84 })
    expect(report.chains).toHaveLength(2)
  })

  it('says how old the last checkpoint is', async () => {
    const log = await written()
    const { checkpoint } = log.audit.status()
    expect((await verify(log.base, { now: (checkpoint.time ?? 0) + 7_000 })).checkpointAge).toBe(7_000)
  })
})

describe('tampering with records is found, and where', () => {
  const cases: readonly (readonly [string, number, (lines: string[], at: number) => void, Partial<Report['findings'][number]>])[] = [
    [
      'one byte changed inside a value',
      17,
      (lines, at) => {
        lines[at] = lines[at]!.replace('"alice"', '"alicf"')
      },
      { kind: 'changed', first: 11, last: 20 },
    ],
    [
      'one byte changed so that the line is no JSON',
      17,
      (lines, at) => {
        lines[at] = lines[at]!.replace('{"issuer"', '{!issuer"')
      },
      { kind: 'changed', first: 17, last: 17 },
    ],
    [
      'a space added, which no JSON reader would see',
      5,
      (lines, at) => {
        lines[at] = lines[at]!.replace('"tenant":', '"tenant": ')
      },
      { kind: 'changed', first: 1, last: 10 },
    ],
    ['a line deleted', 17, (lines, at) => void lines.splice(at, 1), { kind: 'missing', first: 17, last: 17 }],
    [
      'two lines swapped',
      23,
      (lines, at) => {
        const [a, b] = [lines[at]!, lines[at + 1]!]
        lines[at] = b
        lines[at + 1] = a
      },
      { kind: 'reordered', first: 23, last: 23 },
    ],
    ['a line repeated', 17, (lines, at) => void lines.splice(at, 0, lines[at]!), { kind: 'inserted', first: 18, last: 18 }],
    [
      'a forged line inserted under the next number',
      33,
      (lines, at) => void lines.splice(at, 0, lines[at]!.replace('"alice"', '"mallory"')),
      { kind: 'inserted', first: 34, last: 34 },
    ],
    [
      'a line renumbered',
      9,
      (lines, at) => {
        lines[at] = lines[at]!.replace('"seq":9,', '"seq":8,')
      },
      { kind: 'inserted', first: 9, last: 9 },
    ],
    [
      'a line of another chain',
      12,
      (lines, at) => {
        lines[at] = lines[at]!.replace('"chain":"unit', '"chain":"else')
      },
      { kind: 'misplaced', first: 12, last: 12 },
    ],
    ['the last line deleted', 41, (lines, at) => void lines.splice(at, 1), { kind: 'cut', first: 41, last: 41 }],
  ]

  it.each(cases)('%s', async (_, seq, change, finding) => {
    const log = await written()
    await edit(log, seq, change)
    const report = await verify(log.base)
    expect(report).toMatchObject({ verdict: 'tampered', findings: [{ chain: log.chain, ...finding }] })
    expect(report.findings[0]?.message).toMatch(String(finding.first))
  })

  it('any one bit of a log', async () => {
    const log = await testAudit()
    log.audit.exchange(entry())
    await log.audit.close('x')
    const path = log.own('000000000000.jsonl')
    const good = await readFile(path)
    for (let i = 0; i < good.length; i += 13) {
      const bad = Buffer.from(good)
      bad[i] = (bad[i] ?? 0) ^ (1 << (i % 8))
      await writeFile(path, bad)
      expect((await verify(log.base)).verdict, `byte ${i}`).toBe('tampered')
    }
    await writeFile(path, good)
    expect((await verify(log.base)).verdict).toBe('sound')
  })

  it('the tail cut off, checkpoints and all', async () => {
    const log = await written()
    const names = await log.segments()
    for (const name of names.slice(-2)) await rm(log.own(name))
    const rest = Number.parseInt(names.at(-2)!, 10)
    const notes = readNotes(await readFile(log.own('checkpoints'), 'utf8')).notes.filter(note => note.checkpoint.size <= rest)
    await writeFile(log.own('checkpoints'), notes.map(note => note.text).join(''))
    const { verdict, findings } = await verify(log.base)
    expect(verdict).toBe('tampered')
    expect(findings).toContainEqual(expect.objectContaining({ kind: 'cut', first: rest, last: 41 }))
    expect(findings).toContainEqual(
      expect.objectContaining({ kind: 'checkpoint-edited', message: expect.stringContaining('missing in the own folder') }),
    )
  })

  it('a file in the middle gone', async () => {
    const log = await written()
    const names = await log.segments()
    await rm(log.own(names[1]!))
    const [first, next] = [Number.parseInt(names[1]!, 10), Number.parseInt(names[2]!, 10)]
    expect((await verify(log.base)).findings).toEqual([
      expect.objectContaining({ kind: 'missing', first, last: next - 1, message: expect.stringContaining('a whole file is gone') }),
    ])
  })

  it('a file renamed', async () => {
    const log = await written()
    const names = await log.segments()
    await rename(log.own(names.at(-1)!), log.own('000000000099.jsonl'))
    expect((await verify(log.base)).findings).toEqual([expect.objectContaining({ kind: 'misplaced' })])
  })

  it('a file without a line end', async () => {
    const log = await written()
    await writeFile(log.own((await log.segments()).at(-1)!), 'x'.repeat(3 * 1024 ** 2))
    expect((await verify(log.base)).verdict).toBe('tampered')
  })
})

describe('tampering with the proof is found', () => {
  it('a checkpoint edited: its signature no longer fits, nor its copy', async () => {
    const log = await written()
    const text = await readFile(log.own('checkpoints'), 'utf8')
    await writeFile(log.own('checkpoints'), text.replace(/^21$/m, '20'))
    const { verdict, findings } = await verify(log.base)
    expect(verdict).toBe('tampered')
    expect(findings.map(f => f.kind)).toEqual(['checkpoint-signature', 'checkpoint-edited'])
    expect(findings[0]?.message).toContain('checkpoint 3 in the own folder')
  })

  it('records changed and checkpoints signed anew with another key', async () => {
    const log = await written()
    await edit(log, 17, (lines, at) => {
      lines[at] = lines[at]!.replace('"alice"', '"alicf"')
    })
    const forged = noteSigner(generateKeyPairSync('ed25519').privateKey)
    const { notes } = readNotes(await readFile(log.own('checkpoints'), 'utf8'))
    await writeFile(log.own('checkpoints'), notes.map(note => forged(note.checkpoint)).join(''))
    const { findings } = await verify(log.base)
    expect(findings.map(f => f.kind)).toEqual(expect.arrayContaining(['checkpoint-signature', 'checkpoint-edited', 'changed']))
  })

  it('a checkpoint removed, and the whole file of them', async () => {
    const log = await written()
    const { notes } = readNotes(await readFile(log.own('checkpoints'), 'utf8'))
    await writeFile(
      log.own('checkpoints'),
      notes
        .toSpliced(2, 1)
        .map(note => note.text)
        .join(''),
    )
    expect((await verify(log.base)).findings).toEqual([
      expect.objectContaining({ kind: 'checkpoint-edited', message: expect.stringContaining('21 records') }),
    ])
    await rm(log.own('checkpoints'))
    expect((await verify(log.base)).verdict).toBe('tampered')
  })

  it("another chain's checkpoints in its place", async () => {
    const clock = new ManualClock()
    const first = await written(clock)
    await clock.advance(5)
    const second = await written(clock, first.base)
    await writeFile(second.own('checkpoints'), await readFile(first.own('checkpoints')))
    expect((await verify(first.base)).findings).toContainEqual(
      expect.objectContaining({ chain: second.chain, message: expect.stringContaining(`belongs to postern/${first.chain}`) }),
    )
  })

  it('a signed checkpoint that contradicts another one', async () => {
    const log = await written()
    const { notes } = readNotes(await readFile(log.own('checkpoints'), 'utf8'))
    const twin = noteSigner(signingKey)({ ...notes[4]!.checkpoint, root: notes[3]!.checkpoint.root, time: notes[4]!.checkpoint.time + 1 })
    for (const file of [log.own('checkpoints'), log.there('checkpoints')])
      await writeFile(file, [...notes.slice(0, 5).map(note => note.text), twin, ...notes.slice(5).map(note => note.text)].join(''))
    expect((await verify(log.base)).findings).toEqual([
      expect.objectContaining({ kind: 'checkpoint-edited', message: expect.stringContaining('contradicts another one of 41 records') }),
    ])
  })

  it('a whole chain removed', async () => {
    const clock = new ManualClock()
    const first = await written(clock)
    await clock.advance(5)
    await written(clock, first.base)
    await rm(join(first.base, 'audit', first.chain), { recursive: true })
    expect((await verify(first.base)).findings).toEqual([expect.objectContaining({ kind: 'missing-chain', chain: first.chain })])
  })

  it('a whole chain removed, also where there is no second place: the next one names it', async () => {
    const clock = new ManualClock()
    const first = await written(clock)
    await clock.advance(5)
    const second = await written(clock, first.base)
    await rm(join(first.base, 'audit', first.chain), { recursive: true })
    expect((await verify(first.base, { second: null })).findings).toEqual([
      expect.objectContaining({ kind: 'missing-chain', chain: first.chain, message: expect.stringContaining(second.chain) }),
    ])
  })

  it('a chain cut below what the next one says about it, with no second place', async () => {
    const clock = new ManualClock()
    const first = await written(clock)
    await clock.advance(5)
    await written(clock, first.base)
    const names = await first.segments()
    await rm(first.own(names.at(-1)!))
    await rm(first.own('checkpoints'))
    expect((await verify(first.base, { second: null })).findings).toContainEqual(
      expect.objectContaining({ kind: 'cut', chain: first.chain, last: 41, message: expect.stringContaining('the first record of') }),
    )
  })

  it('a name in the list of chains that points elsewhere', async () => {
    const log = await written()
    await appendFile(join(log.base, 'second', 'chains'), '../../etc\n')
    expect((await verify(log.base)).verdict).toBe('tampered')
  })
})

describe('what cannot be told', () => {
  it('is whether records are real that were never signed: they count as unattested, and that is said', async () => {
    const log = await written()
    await mkdir(join(log.base, 'audit', 'made-up'))
    await writeFile(join(log.base, 'audit', 'made-up', '000000000000.jsonl'), '{"chain":"made-up","seq":0,"kind":"exchange"}\n')
    expect(await verify(log.base)).toMatchObject({
      records: 43,
      unattested: 1,
      notes: [expect.stringContaining('made-up: nothing vouches')],
    })
  })

  it('is the tail, where there is no second place', async () => {
    const log = await written()
    const report = await verify(log.base, { second: null })
    expect(report).toMatchObject({ verdict: 'cannot-tell', findings: [], records: 42, attested: 42 })
    expect(await verify(log.base, { second: join(log.base, 'nowhere') })).toMatchObject({ verdict: 'cannot-tell' })
  })

  it('is everything signed, where there is no key; nothing counts as attested', async () => {
    const log = await written()
    expect(await verify(log.base, { publicKey: null })).toMatchObject({ verdict: 'cannot-tell', attested: 0, unattested: 42 })
  })

  it('does not hide what was found', async () => {
    const log = await written()
    await edit(log, 17, (lines, at) => void lines.splice(at, 1))
    expect(await verify(log.base, { second: null, publicKey: null })).toMatchObject({
      verdict: 'tampered',
      findings: [{ kind: 'missing', first: 17 }],
    })
  })

  it('is a chain that the second place does not know', async () => {
    const clock = new ManualClock()
    const first = await written(clock)
    await clock.advance(5)
    const second = await written(clock, first.base)
    await rm(join(first.base, 'second', second.chain), { recursive: true })
    await writeFile(join(first.base, 'second', 'chains'), `${first.chain}\n`)
    expect(await verify(first.base)).toMatchObject({ verdict: 'cannot-tell', doubts: [expect.stringContaining(second.chain)] })
  })

  it('is an empty folder; a chain of which nothing was ever written is none', async () => {
    const log = await written()
    await mkdir(join(log.base, 'audit', 'never-began'))
    expect((await verify(log.base)).verdict).toBe('sound')
    await mkdir(join(log.base, 'empty'))
    await mkdir(join(log.base, 'empty-second'))
    await writeFile(join(log.base, 'empty-second', 'chains'), '')
    expect(await verify(log.base, { dir: join(log.base, 'empty'), second: join(log.base, 'empty-second') })).toMatchObject({
      verdict: 'cannot-tell',
    })
  })

  it('is the fault of the second place alone where checkpoints did not reach it yet', async () => {
    const log = await written()
    const { notes } = readNotes(await readFile(log.there('checkpoints'), 'utf8'))
    await writeFile(
      log.there('checkpoints'),
      notes
        .slice(0, -1)
        .map(note => note.text)
        .join(''),
    )
    expect(await verifyFolder(log.base, log.clock)).toMatchObject({
      verdict: 'sound',
      notes: [expect.stringContaining('not reached the second place: 1')],
    })
  })
})
