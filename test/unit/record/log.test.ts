import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createLog } from '../../../src/record/log.ts'
import { standardStream } from '../../../src/record/outlet.ts'
import { temporaryFolder } from '../../support/audit-kit.ts'
import { ManualClock } from '../../support/manual-clock.ts'

describe('the log', () => {
  it('is one JSON line for each message, with level, time and fields', () => {
    const out = new PassThrough()
    const clock = new ManualClock()
    createLog({ level: 'info', out, clock }).warn({ role: 'r', n: 1, none: undefined }, 'two\nlines \u001b[31m')
    const text = String(out.read())
    expect(text.split('\n')).toHaveLength(2)
    expect(text).not.toContain('\u001b')
    expect(JSON.parse(text)).toEqual({
      level: 'warn',
      time: new Date(clock.now()).toISOString(),
      role: 'r',
      n: 1,
      msg: 'two\nlines \u001b[31m',
    })
  })

  it('leaves out what is below its level', () => {
    const out = new PassThrough()
    const log = createLog({ level: 'warn', out, clock: new ManualClock() })
    log.debug({}, 'no')
    log.info({}, 'no')
    log.error({}, 'yes')
    expect(String(out.read()).split('\n')).toHaveLength(2)
  })

  it('never waits for a reader: what is above a megabyte is dropped and counted', async () => {
    const clock = new ManualClock()
    const out = new Writable({ write: () => {} })
    const log = createLog({ level: 'info', out, clock })
    for (let i = 0; i < 2000; i++) log.info({ text: 'x'.repeat(1000) }, 'm')
    expect(out.writableLength).toBeLessThanOrEqual(1024 ** 2)
    expect(log.dropped).toBeGreaterThan(900)
    const closing = log.close()
    await clock.advance(1000)
    await closing
  })

  it('is out when close resolves', async () => {
    const seen: string[] = []
    const out = new Writable({
      write(chunk, _encoding, done) {
        setImmediate(() => {
          seen.push(String(chunk))
          done()
        })
      },
    })
    const log = createLog({ level: 'info', out, clock: new ManualClock() })
    for (let i = 0; i < 10; i++) log.info({ i }, 'm')
    await log.close()
    expect(seen.join('').split('\n')).toHaveLength(11)
  })
})

describe('a standard stream', () => {
  it('that is a file is written without holding up the loop; any other stays what it is', async () => {
    const own = new PassThrough()
    const path = join(await temporaryFolder(), 'out')
    await using file = await open(path, 'w')
    const stream = standardStream(file.fd, own)
    expect(stream).not.toBe(own)
    await new Promise<void>(done => stream.write('line\n', () => done()))
    expect(await readFile(path, 'utf8')).toBe('line\n')
    await using device = await open('/dev/null', 'w')
    expect(standardStream(device.fd, own)).toBe(own)
  })
})
