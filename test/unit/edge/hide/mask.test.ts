import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { codingOf } from '../../../../src/edge/hide/coding.ts'
import { isJson } from '../../../../src/edge/hide/content.ts'
import { type Masked, mask } from '../../../../src/edge/hide/mask.ts'
import { HideMemory } from '../../../../src/edge/hide/memory.ts'
import type { Answer, Body, BodySink, Method } from '../../../../src/model/exchange.ts'
import type { HidePath } from '../../../../src/model/obligation.ts'
import { Refusal } from '../../../../src/model/problem.ts'
import { ManualClock, settled } from '../../../support/manual-clock.ts'

const gone: readonly HidePath[] = [{ text: '$..gone', steps: [{ kind: 'anywhere', name: 'gone' }] }]

/** A backend's body in the test's hands. */
class Source implements Body {
  readonly whole = null
  cancelled = false
  paused = false
  #sink: BodySink | null = null
  open(sink: BodySink): void {
    this.#sink = sink
  }
  resume(): void {
    this.paused = false
  }
  cancel(): void {
    this.cancelled = true
  }
  send(bytes: Buffer | string): void {
    if (this.#sink?.write(Buffer.from(bytes)) === false) this.paused = true
  }
  end(): void {
    this.#sink?.end()
  }
  fail(why: Refusal): void {
    this.#sink?.fail(why)
  }
}

const world = (options: { headers?: readonly string[]; status?: number; method?: Method; maxBytes?: number; memory?: HideMemory } = {}) => {
  const { headers = ['content-type', 'application/json'], status = 200, method = 'GET', maxBytes = 1_000_000 } = options
  const source = new Source()
  const clock = new ManualClock()
  const memory = options.memory ?? new HideMemory()
  const answer: Answer = { status, headers, body: source }
  const result = mask(gone, method, answer, { clock, memory, maxBytes, deadline: 2000 })
  return { source, clock, memory, result }
}

const codeOf = (result: Masked | Refusal): string => (result instanceof Refusal ? `${result.code} ${result.detail}` : 'masked')

const textOf = async (result: Masked | Refusal): Promise<string> => {
  if (result instanceof Refusal) return codeOf(result)
  const chunks: Buffer[] = []
  await new Promise<void>((end, fail) => result.body.open({ write: chunk => chunks.push(chunk) > 0, end, fail }))
  return Buffer.concat(chunks).toString()
}

const coded = (coding: string): readonly string[] => ['content-type', 'application/json', 'content-encoding', coding]

describe('a reply that must be masked', () => {
  it('is held until it has been read to its end, and then given whole', async () => {
    const { source, result, memory, clock } = world()
    let done = false
    void result.then(() => {
      done = true
    })
    source.send('{"a":1,"go')
    source.send('ne":2}')
    await settled()
    expect([done, memory.used > 0]).toEqual([false, true])
    source.end()
    expect(await textOf(await result)).toBe('{"a":1}')
    expect(await result).toMatchObject({ hidden: 1, bytes: 7 })
    expect([memory.used, clock.waiting]).toEqual([0, 0])
  })

  it.each([
    ['application/json', true],
    ['Application/JSON', true],
    ['application/json; charset=utf-8', true],
    ['application/json;charset="UTF-8"', true],
    ['application/json;', true],
    ['application/json ; version=1;charset=utf8 ', true],
    ['application/problem+json', true],
    ['application/vnd.api+json; ext="a;charset=utf-16"', true],
    ['application/json; charset=utf-16', false],
    ['application/json; charset=iso-8859-1', false],
    ['application/json; charset=utf-8; charset=utf-16', false],
    ['application/json; ext="x; charset=utf-8"; charset=utf-7', false],
    ['application/json; charset', false],
    ['application/json; charset=utf-8 utf-16', false],
    ['application/json; charset="utf-8', false],
    ['application/json, text/html', false],
    ['application/json text/html', false],
    ['application/jsonp', false],
    ['application/json-seq', false],
    ['application/x-ndjson', false],
    ['application/geo+json-seq', false],
    ['application/javascript', false],
    ['text/json', false],
    ['text/event-stream', false],
    ['multipart/mixed; boundary="+json"', false],
    ['json', false],
    ['+json', false],
    ['', false],
    [`application/json${'; '.repeat(5000)}x`, false],
  ])('has to be JSON in UTF-8: %s', (type, fits) => {
    expect(isJson(type)).toBe(fits)
  })

  it('is refused by its head where that says enough, and the backend is let go', async () => {
    const json = ['content-type', 'application/json']
    for (const [options, code] of [
      [{ headers: ['content-type', 'text/csv'] }, 'PST5006 content-type'],
      [{ headers: [...json, ...json] }, 'PST5006 content-type'],
      [{ headers: json, status: 206 }, 'PST5006 partial reply'],
      [{ headers: json, status: 226 }, 'PST5006 partial reply'],
      [{ headers: coded('zstd') }, 'PST5006 content-encoding'],
      [{ headers: coded('gzip, gzip') }, 'PST5006 content-encoding'],
      [{ headers: [...coded('gzip'), 'content-encoding', 'identity'] }, 'PST5006 content-encoding'],
    ] as const) {
      const { source, result } = world(options)
      expect(codeOf(await result)).toBe(code)
      expect(source.cancelled).toBe(true)
    }
  })

  it.each([
    ['HEAD', 200, ['content-type', 'text/csv', 'content-length', '5']],
    ['GET', 204, []],
    ['GET', 304, ['etag', '"x"']],
    ['POST', 201, ['content-length', '0']],
  ] as const)('without a body needs no masking: %s %d', async (method, status, headers) => {
    const { source, result } = world({ method, status, headers })
    source.end()
    expect(await textOf(await result)).toBe('')
  })

  it('that has a body though nothing announced one is refused', async () => {
    const { source, result } = world({ status: 201, headers: ['content-length', '2'] })
    source.send('{}')
    expect(codeOf(await result)).toBe('PST5006 content-type')
  })

  it('that is empty and says that it is JSON is not JSON', async () => {
    const { source, result } = world()
    source.end()
    expect(codeOf(await result)).toBe('PST5006 syntax')
  })

  it('breaks off with the reason that the hop gives', async () => {
    const { source, result, memory } = world()
    source.send('{"gone":1')
    source.fail(new Refusal('PST1012'))
    expect(codeOf(await result)).toBe('PST1012 ')
    expect(memory.used).toBe(0)
  })

  it('has a deadline to its last byte, also where bytes keep coming', async () => {
    const { source, result, clock, memory } = world()
    for (let i = 0; i < 3; i++) {
      source.send(' ')
      await clock.advance(700)
    }
    expect(codeOf(await result)).toBe('PST5003 masked reply')
    expect([source.cancelled, memory.used, clock.waiting]).toEqual([true, 0, 0])
  })

  it('that is larger than its buffer is refused at the first byte too many, cut members counted too', async () => {
    const { source, result } = world({ maxBytes: 100 })
    source.send(`{"gone":"${'x'.repeat(80)}`)
    await settled()
    expect(source.cancelled).toBe(false)
    source.send('x'.repeat(20))
    expect(codeOf(await result)).toBe('PST5006 too large')
    expect(source.cancelled).toBe(true)
  })

  it('is turned away where others hold the memory, which they give back when they have left or their client has', async () => {
    const memory = new HideMemory(150_000)
    const big = `"${'x'.repeat(60_000)}"`
    const [first, second, third] = [world({ memory }), world({ memory }), world({ memory })]
    for (const { source } of [first, second, third]) source.send(big)
    expect(codeOf(await third.result)).toBe('PST1301 hide-memory')
    first.source.end()
    second.source.end()
    const [one, two] = [await first.result, await second.result]
    expect(memory.used).toBeGreaterThan(100_000)
    expect(await textOf(one)).toBe(big)
    if (!(two instanceof Refusal)) two.body.cancel()
    expect(memory.used).toBe(0)
  })

  it('leaves at the pace of the client', async () => {
    const { source, result } = world()
    source.send(`"${'x'.repeat(300_000)}"`)
    source.end()
    const masked = await result
    if (masked instanceof Refusal) throw new Error('refused')
    let bytes = 0
    let ended = false
    const write = (chunk: Buffer): boolean => {
      bytes += chunk.length
      return false
    }
    masked.body.open({ write, end: () => (ended = true), fail: () => undefined })
    expect([bytes, ended]).toEqual([65_536, false])
    for (let i = 0; i < 5; i++) masked.body.resume()
    expect([bytes, ended]).toEqual([300_002, true])
  })
})

describe('a coding that was not asked for', () => {
  const text = `{"a":"${'y'.repeat(100_000)}","gone":1}`
  const left = text.replace(',"gone":1', '')

  it.each([
    ['gzip', gzipSync(text)],
    ['X-GZIP', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['gzip', Buffer.concat([gzipSync(text.slice(0, 7)), gzipSync(text.slice(7))])],
  ])('is undone, byte by byte too: %s', async (coding, bytes) => {
    for (const step of [bytes.length, 1]) {
      const { source, result, memory } = world({ headers: coded(coding) })
      for (let i = 0; i < bytes.length; i += step) source.send(bytes.subarray(i, i + step))
      source.end()
      expect(await textOf(await result)).toBe(left)
      expect(memory.used).toBe(0)
    }
  })

  it('of brotli is undone only by a Node in which that is safe (CVE-2026-111497)', async () => {
    const versions = ['24.22.0', '24.22.1', '24.23.0', '25.9.9', '26.10.0', '26.12.0', '26.12.1', '26.13.0', '27.0.0']
    expect(versions.filter(version => codingOf(['br'], version) !== null)).toEqual(['24.22.1', '24.23.0', '26.12.1', '26.13.0', '27.0.0'])
    const coding = codingOf(['br'], '27.0.0')
    if (coding === null || coding === 'identity') throw new Error('no brotli')
    const decoder = coding.open()
    decoder.end(brotliCompressSync(text))
    expect(Buffer.concat(await decoder.toArray()).toString()).toBe(text)
  })

  it.each([
    ['cut short', gzipSync(text).subarray(0, 100)],
    ['with a wrong checksum', Buffer.concat([gzipSync(text).subarray(0, -8), Buffer.alloc(8)])],
    ['that is none', Buffer.from(text)],
    ['empty', Buffer.alloc(0)],
  ])('%s is refused', async (_what, bytes) => {
    const { source, result, memory } = world({ headers: coded('gzip') })
    source.send(bytes)
    source.end()
    expect(codeOf(await result)).toMatch(/^PST5006 (content-encoding|syntax)$/)
    expect([source.cancelled, memory.used]).toEqual([true, 0])
  })

  it('that is not the one named is refused', async () => {
    const { source, result } = world({ headers: coded('deflate') })
    source.send(deflateRawSync(text))
    source.end()
    expect(codeOf(await result)).toBe('PST5006 content-encoding')
  })

  it('cannot blow up: a bomb stops at the buffer, and blocks that decode to nothing at the same bound', async () => {
    const memory = new HideMemory()
    const bomb = world({ headers: coded('gzip'), maxBytes: 200_000, memory })
    const bytes = gzipSync(Buffer.alloc(150_000_000, 0x20), { level: 9 })
    expect(bytes.length).toBeLessThan(200_000)
    bomb.source.send(bytes)
    bomb.source.end()
    expect(codeOf(await bomb.result)).toBe('PST5006 too large')
    expect(memory.used).toBe(0)
    const empty = world({ headers: coded('deflate'), maxBytes: 10_000 })
    empty.source.send(Buffer.from([0x78, 0x9c]))
    for (let i = 0; i < 2001; i++) empty.source.send(Buffer.from([0, 0, 0, 0xff, 0xff]))
    expect(codeOf(await empty.result)).toBe('PST5006 too large')
  })

  it('holds the backend back while it is undone', async () => {
    const { source, result } = world({ headers: coded('gzip'), maxBytes: 10_000_000 })
    const bytes = gzipSync(Buffer.from(`"${Array.from({ length: 200_000 }, (_, i) => (i * 7919) % 100_003).join(' ')}"`), { level: 0 })
    source.send(bytes.subarray(0, 200_000))
    expect(source.paused).toBe(true)
    await expect.poll(() => source.paused).toBe(false)
    source.send(bytes.subarray(200_000))
    source.end()
    expect(codeOf(await result)).toBe('masked')
  })
})
