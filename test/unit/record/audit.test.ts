import { readFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { readNotes } from '../../../src/record/checkpoint.ts'
import { type Disk, nodeDisk } from '../../../src/record/disk.ts'
import { entry, testAudit } from '../../support/audit-kit.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const notesOf = async (path: string) => readNotes(await readFile(path, 'utf8')).notes

/** Counts writes of records; checkpoints are appended, not written. */
const countingDisk = (): { disk: Disk; writes: number[] } => {
  const writes: number[] = []
  const disk: Disk = {
    ...nodeDisk,
    write(fd, bytes, offset, length, position) {
      writes.push(length)
      return nodeDisk.write(fd, bytes, offset, length, position)
    },
  }
  return { disk, writes }
}

describe('records', () => {
  it('of one event-loop turn are one write', async () => {
    const { disk, writes } = countingDisk()
    const { audit, records } = await testAudit({ disk })
    await audit.idle()
    writes.length = 0
    for (let i = 0; i < 50; i++) audit.exchange(entry({ requestId: `r${i}` }))
    await audit.flush()
    expect(writes).toHaveLength(1)
    expect(await records()).toHaveLength(51)
  })

  it('are numbered without a gap, begin with process-start and end with process-stop', async () => {
    const { audit, records, chain } = await testAudit()
    for (let turn = 0; turn < 5; turn++) {
      for (let i = 0; i < 10; i++) audit.exchange(entry())
      await new Promise<void>(next => setImmediate(next))
    }
    audit.event({ kind: 'rotation', code: 'PST7041', time: 0, tenant: null, detail: { role: 'r' } })
    await audit.close('shutdown')
    const all = await records()
    expect(all.map(r => r['seq'])).toEqual(all.map((_, i) => i))
    expect(new Set(all.map(r => r['chain']))).toEqual(new Set([chain]))
    expect(all[0]).toMatchObject({ kind: 'process-start', code: 'PST7001', detail: { version: '0.0.0', 'previous-chain': null } })
    expect(all.at(-1)).toMatchObject({ kind: 'process-stop', detail: { reason: 'shutdown', lost: 0 } })
    expect(audit.status().records.get('exchange')).toBe(50)
  })

  it('go into a new file when a file is full, and files are named by their first record', async () => {
    const { audit, records, segments, verify } = await testAudit({ limits: { segment: 5_000 } })
    for (let i = 0; i < 30; i++) {
      audit.exchange(entry())
      await audit.flush()
    }
    await audit.close('x')
    const names = await segments()
    expect(names.length).toBeGreaterThan(3)
    expect(names[0]).toBe('000000000000.jsonl')
    expect(await records()).toHaveLength(32)
    expect((await verify()).verdict).toBe('sound')
  })

  it('are whole also where the disk takes only part of a write', async () => {
    const disk: Disk = {
      ...nodeDisk,
      write: (fd, bytes, offset, length, position) => nodeDisk.write(fd, bytes, offset, Math.min(length, 100), position),
    }
    const { audit, records, verify } = await testAudit({ disk })
    for (let i = 0; i < 20; i++) audit.exchange(entry({ requestId: `r${i}` }))
    await audit.close('x')
    expect(await records()).toHaveLength(22)
    expect((await verify()).verdict).toBe('sound')
  })

  it('of more than one chunk keep their order', async () => {
    const { audit, records, verify } = await testAudit({ limits: { chunk: 4096 } })
    for (let i = 0; i < 200; i++) audit.exchange(entry({ requestId: `r${i}` }))
    await audit.close('x')
    const ids = (await records()).flatMap(r => (r['kind'] === 'exchange' ? [(r['request'] as { id: string }).id] : []))
    expect(ids).toEqual(Array.from({ length: 200 }, (_, i) => `r${i}`))
    expect((await verify()).verdict).toBe('sound')
  })
})

describe('checkpoints', () => {
  it('are signed at the start, every checkpoint-every, and also where nothing happened', async () => {
    const { audit, pass, own, there } = await testAudit()
    await audit.idle()
    await pass(31)
    const notes = await notesOf(own('checkpoints'))
    expect(notes.map(note => note.checkpoint.size)).toEqual([1, 1, 1, 1])
    const times = notes.map(note => note.checkpoint.time)
    expect(times[3]! - times[0]!).toBeGreaterThanOrEqual(30_000)
    expect(await readFile(there('checkpoints'), 'utf8')).toBe(await readFile(own('checkpoints'), 'utf8'))
  })

  it('are signed by close over the very last record', async () => {
    const { audit, own, there, records } = await testAudit()
    audit.exchange(entry())
    await audit.close('shutdown')
    const size = (await records()).length
    expect((await notesOf(own('checkpoints'))).at(-1)?.checkpoint.size).toBe(size)
    expect((await notesOf(there('checkpoints'))).at(-1)?.checkpoint.size).toBe(size)
    await audit.close('again')
    expect(await records()).toHaveLength(size)
  })

  it('never vouch for records that are not yet on the disk', async () => {
    const order: string[] = []
    const disk: Disk = {
      ...nodeDisk,
      async sync(fd) {
        await nodeDisk.sync(fd)
        order.push('sync')
      },
      append(path, text) {
        order.push('append')
        return nodeDisk.append(path, text)
      },
    }
    const { audit } = await testAudit({ disk, settings: { second: null } })
    await audit.idle()
    order.length = 0
    audit.exchange(entry())
    await audit.checkpoint()
    expect(order).toEqual(['sync', 'append'])
  })

  it('come early and with marks when there are very many records', async () => {
    const { audit, own, verify } = await testAudit()
    await audit.idle()
    for (let i = 0; i < 512 * 256; i += 1000) {
      for (let k = 0; k < 1000; k++) audit.exchange(entry())
      await audit.flush()
    }
    await audit.idle()
    const early = (await notesOf(own('checkpoints'))).at(-1)?.checkpoint
    expect(early?.size).toBeGreaterThanOrEqual(512 * 256)
    expect(early?.marks.map(mark => mark.size).slice(0, 3)).toEqual([256, 512, 768])
    await audit.close('x')
    expect((await verify()).verdict).toBe('sound')
  })

  it('reach a second place that was away as soon as it is back, all of them', async () => {
    let away = true
    const disk: Disk = {
      ...nodeDisk,
      append: (path, text) =>
        away && path.includes('second') ? Promise.reject(Object.assign(new Error('gone'), { code: 'EIO' })) : nodeDisk.append(path, text),
    }
    const { audit, pass, own, there, log } = await testAudit({ disk })
    await pass(25)
    expect(audit.status()).toMatchObject({ ready: true, checkpoint: { secondFault: 'EIO', secondSize: 0, size: 1 } })
    expect(log.lines).toContainEqual({ level: 'error', fields: { part: 'second', fault: 'EIO' }, message: 'a part of the audit fails' })
    away = false
    await pass(11)
    expect(await readFile(there('checkpoints'), 'utf8')).toBe(await readFile(own('checkpoints'), 'utf8'))
    expect(audit.status().checkpoint).toMatchObject({ secondFault: null, secondSize: 1 })
  })
})

describe('a chain', () => {
  it('names the one before it on this volume and its last checkpoint', async () => {
    const clock = new ManualClock()
    const first = await testAudit({ clock })
    first.audit.exchange(entry())
    await first.audit.close('x')
    await clock.advance(5)
    const second = await testAudit({ clock, base: first.base, instance: 'aaa' })
    await second.audit.close('x')
    await clock.advance(5)
    const third = await testAudit({ clock, base: first.base })
    await third.audit.close('x')
    expect((await second.records())[0]).toMatchObject({ detail: { 'previous-chain': first.chain, 'previous-size': 3 } })
    expect((await third.records())[0]).toMatchObject({ detail: { 'previous-chain': second.chain, 'previous-size': 2 } })
    expect((await third.verify()).verdict).toBe('sound')
    expect((await readFile(`${first.base}/second/chains`, 'utf8')).split('\n')).toEqual([first.chain, second.chain, third.chain, ''])
  })

  it('has a name that is safe for files whatever the instance is called', async () => {
    const { audit, chain } = await testAudit({ instance: '../../pod name\n\u2028' })
    await audit.close('x')
    expect(chain).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]*-\d{8}T\d{9}Z-[0-9a-f]{8}$/)
  })
})

describe('stdout', () => {
  it('gets the same lines as the file', async () => {
    const stdout = new PassThrough()
    const { audit, records, clock } = await testAudit({ stdout, settings: { sinks: ['file', 'stdout'] } })
    for (let i = 0; i < 3; i++) audit.exchange(entry({ requestId: `r${i}` }))
    await audit.flush()
    await clock.advance(20)
    const text = String(stdout.read())
    expect(
      text
        .split('\n')
        .slice(0, -1)
        .map(line => JSON.parse(line)),
    ).toEqual(await records())
  })

  it('that nobody reads costs records there, counted, and nothing else', async () => {
    const stdout = new PassThrough({ highWaterMark: 1 })
    const { audit, pass, log, verify } = await testAudit({ stdout, settings: { sinks: ['file', 'stdout'] } })
    // Where the buffer is nearly full, a small write still finds room.
    for (let i = 0; i < 100 && (i < 8 || audit.status().sinks[1]?.up); i++) {
      for (let k = 0; k < 1000; k++) audit.exchange(entry())
      await audit.flush()
      await pass(1)
    }
    // What is left of the buffer may still take a small write; equal ones find its end.
    for (let i = 0; i < 8; i++) {
      for (let k = 0; k < 100; k++) audit.exchange(entry())
      await audit.flush()
    }
    await pass(1)
    // What is left of the buffer may still take the few records of the last write.
    while (audit.status().sinks[1]?.up) {
      audit.exchange(entry())
      await pass(1)
    }
    const status = audit.status()
    expect(status).toMatchObject({ ready: true, lost: 0 })
    expect(status.sinks[1]).toMatchObject({ kind: 'stdout', up: false })
    expect(status.sinks[1]?.dropped).toBeGreaterThan(1000)
    expect(log.lines.filter(line => line.fields['part'] === 'stdout')).toHaveLength(1)
    stdout.resume()
    await audit.close('x')
    expect((await verify()).verdict).toBe('sound')
  })
})
