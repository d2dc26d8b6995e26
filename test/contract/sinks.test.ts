import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { type Sink, type SinkKind, sinkKinds } from '../../src/record/sinks.ts'
import { ManualClock } from '../support/manual-clock.ts'

const batch = Buffer.from('{"seq":0}\n'.repeat(100))

/** A stream whose reader takes nothing until it is let go. */
const stalled = (): { out: Writable; release(): void } => {
  let next: (() => void) | null = null
  let open = false
  const out = new Writable({
    write(_chunk, _encoding, done) {
      if (open) done()
      else next = done
    },
  })
  return {
    out,
    release() {
      open = true
      next?.()
    },
  }
}

const broken = (): Writable =>
  new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('the reader is gone'), { code: 'EPIPE' }))
    },
  })

/** What every kind of sink promises to the audit (model of `record/sinks.ts`). A new kind is tested here without a line of its own. */
describe.each(Object.entries(sinkKinds) as [string, SinkKind][])('the sink %s', (_, kind) => {
  const open = (stdout: Writable, clock = new ManualClock()): Sink => kind.open({ clock, stdout, spoolUp: () => true })

  it('is documented in one sentence or more', () => {
    expect(kind.doc).toMatch(/^[A-Z].*\.$/)
  })

  it('is up and has dropped nothing while everything works, and closes more than once', async () => {
    const { out, release } = stalled()
    release()
    const sink = open(out)
    sink.write(batch, 100)
    expect(sink).toMatchObject({ up: true, dropped: 0 })
    await sink.close()
    await sink.close()
  })

  it('does not keep the batch: its buffer is used again at once', async () => {
    const chunks: string[] = []
    const out = new Writable({
      write(chunk, _encoding, done) {
        setImmediate(() => {
          chunks.push(String(chunk))
          done()
        })
      },
    })
    const sink = open(out)
    const own = Buffer.from(batch)
    sink.write(own, 100)
    own.fill(0)
    await sink.close()
    expect(['', batch.toString()]).toContain(chunks.join(''))
  })

  it('never waits, never throws and holds a bounded number of bytes where nobody reads', () => {
    const { out } = stalled()
    const sink = open(out)
    for (let i = 0; i < 20_000; i++) sink.write(batch, 100)
    expect(out.writableLength).toBeLessThanOrEqual(8 * 1024 ** 2)
    expect(sink.up).toBe(sink.dropped === 0)
  })

  it('works again when the reader does', async () => {
    const { out, release } = stalled()
    const sink = open(out)
    for (let i = 0; i < 20_000; i++) sink.write(batch, 100)
    const { dropped } = sink
    release()
    await sink.close()
    sink.write(batch, 100)
    expect(sink).toMatchObject({ up: true, dropped })
  })

  it('survives a reader that is gone', async () => {
    const sink = open(broken())
    sink.write(batch, 100)
    await new Promise<void>(next => setImmediate(next))
    sink.write(batch, 100)
    expect(sink.up).toBe(sink.dropped === 0)
    await sink.close()
  })

  it('closes within a second also where nobody reads', async () => {
    const clock = new ManualClock()
    const sink = open(stalled().out, clock)
    sink.write(batch, 100)
    const closing = sink.close()
    await clock.advance(1_000)
    await closing
  })
})

describe('the sink file', () => {
  it('is as well as the spool', () => {
    let up = true
    const sink = sinkKinds.file.open({ clock: new ManualClock(), stdout: broken(), spoolUp: () => up })
    expect(sink.up).toBe(true)
    up = false
    expect(sink.up).toBe(false)
  })
})
