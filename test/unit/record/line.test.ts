import { describe, expect, it } from 'vitest'
import { factSpeller } from '../../../src/record/facts.ts'
import { quoted } from '../../../src/record/json.ts'
import { lineMaker, longestLine } from '../../../src/record/line.ts'
import { entry } from '../../support/audit-kit.ts'

const lines = lineMaker('chain-1', factSpeller({ keys: [], plain: new Set() }))
const parse = (line: string): Record<string, unknown> => JSON.parse(line) as Record<string, unknown>

describe('an exchange record', () => {
  it('has its fields in the order of the specification', () => {
    const line = lines.exchange(7, entry())
    expect(line).toBe(
      '{"v":"postern/audit/v1","chain":"chain-1","seq":7,"time":"2026-11-23T10:00:00.007Z","code":"PST2001","kind":"exchange","tenant":"acme",' +
        '"caller":{"issuer":"https://login.acme.example/","subject":"alice","agents":[]},"gateway":{"proof":["shared-secret"],"request-id":"JKJaXmPLvHcESHA=","peer":"10.0.0.9"},' +
        '"request":{"id":"r-1","method":"GET","host":"acme.api.example.com","route":"orders-v1","path":"/v1/orders/7","client-ip":"203.0.113.7","user-agent":"curl/8","bytes":0},' +
        '"decision":{"effect":"allow","rule":"read-orders","reason":"","role":"orders_read","policy-digest":"abc","platform-digest":null,"in-doubt":false,"shadow":null,"observed":null},"credential":{"role":"orders_read","generation":3},' +
        '"upstream":{"name":"orders","status":200,"ms":3.20},"response":{"status":200,"bytes":10,"ms":4.56,"hidden":0,"aborted":false},"facts":null}\n',
    )
  })

  it('says null for what is not known, and never leaves a field out', () => {
    const bare = entry({ tenant: null, issuer: null, subject: null, route: null, clientIp: null, credentialRole: null, upstream: null })
    const record = parse(lines.exchange(0, bare))
    expect(Object.keys(record)).toEqual(Object.keys(parse(lines.exchange(0, entry()))))
    expect(record).toMatchObject({ tenant: null, credential: null, upstream: null, caller: { issuer: null, subject: null, agents: [] } })
  })

  it('says what shadow rules would have decided', () => {
    const line = lines.exchange(0, { ...entry(), shadow: { effect: 'deny', rule: 'try-it' } })
    expect(JSON.parse(line)['decision']).toMatchObject({ effect: 'allow', shadow: { effect: 'deny', rule: 'try-it' } })
  })

  it('declares what it cuts: path 4 KiB, user agent 1 KiB', () => {
    const record = parse(lines.exchange(0, entry({ path: `/${'a'.repeat(5000)}`, userAgent: 'u'.repeat(1025), subject: 's'.repeat(2000) })))
    expect(record['truncated']).toEqual(['subject', 'path', 'user-agent'])
    expect((record['request'] as { path: string }).path).toHaveLength(4096)
    expect((record['request'] as { 'user-agent': string })['user-agent']).toHaveLength(1024)
    expect(parse(lines.exchange(1, entry()))['truncated']).toBeUndefined()
  })

  it('stays under the longest line, whatever it is given', () => {
    const huge = '\u2028'.repeat(100_000)
    const all = Object.fromEntries(Object.entries(entry()).map(([k, v]) => [k, typeof v === 'string' && k !== 'effect' ? huge : v]))
    const line = lines.exchange(0, { ...entry(), ...all, agents: Array.from({ length: 100 }, () => huge) })
    expect(line.length).toBeLessThan(longestLine)
    const detail = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i}${huge}`, huge]))
    const event = lines.event(0, { kind: 'control', code: 'PST7031', time: 0, tenant: huge, detail })
    expect(event.length).toBeLessThan(longestLine)
    expect(parse(event)['truncated']).toContain('detail')
  })

  it.each([
    [0, 0, '0'],
    [0.004, 0, '0'],
    [0.05, 0.05, '0.05'],
    [12.999, 13, '13'],
    [1e9 + 0.5, 1e9 + 0.5, '1000000000.50'],
    [-0.5, 0, '0'],
    [Number.NaN, null, 'null'],
    [Number.POSITIVE_INFINITY, null, 'null'],
  ])('spells %d ms as the JSON number %s', (ms, value, spelled) => {
    const line = lines.exchange(0, entry({ ms }))
    const { response } = parse(line)
    expect(line).toContain(`"ms":${spelled},"hidden":0,"aborted"`)
    expect((response as { ms: number }).ms).toBe(value)
  })

  it('gives times in UTC milliseconds, also when the clock steps back', () => {
    const at = (time: number): string => parse(lines.exchange(0, entry({ time })))['time'] as string
    for (const time of [1_800_000_000_999, 1_800_000_000_000, 1_799_999_999_001, 0]) expect(at(time)).toBe(new Date(time).toISOString())
    expect(at(Number.NaN)).toBe('1970-01-01T00:00:00.000Z')
  })
})

describe('an event record', () => {
  it('carries its flat detail', () => {
    const line = lines.event(3, {
      kind: 'policy-load',
      code: 'PST7011',
      time: 0,
      tenant: 'acme',
      detail: { digest: 'x', n: 1, ok: true, no: null },
    })
    expect(parse(line)).toMatchObject({ seq: 3, kind: 'policy-load', tenant: 'acme', detail: { digest: 'x', n: 1, ok: true, no: null } })
  })
})

describe('hostile text', () => {
  const hostile = [
    'a"b\\c',
    'line\nfeed\r\n\t\0\b\f\v',
    '\u001b[31mred\u001b]0;title\u0007',
    '\u2028\u2029\u0085\u009b31m\u007f',
    '\ud800 lone \udfff surrogates \ude00\ud83d',
    '\u202eright to left\u2066\ufeff',
    'José 日本 😀',
    '","kind":"forged',
    '</script><!--',
  ]

  it.each(hostile)('becomes one printable ASCII line that reads back as it was: %j', text => {
    const line = lines.exchange(0, entry({ path: text, userAgent: text, subject: text, agents: [text], reason: text, requestId: text }))
    expect(line).toMatch(/^[\x20-\x7e]+\n$/)
    const record = parse(line)
    expect(record['caller']).toMatchObject({ subject: text, agents: [text] })
    expect(record['request']).toMatchObject({ id: text, path: text, 'user-agent': text })
    expect(record['kind']).toBe('exchange')
    expect(parse(lines.event(0, { kind: 'control', code: 'c', time: 0, tenant: text, detail: { [text]: text } }))['detail']).toEqual({
      [text]: text,
    })
  })

  it('of every UTF-16 code unit is quoted like JSON, in ASCII', () => {
    for (let c = 0; c < 0x10000; c++) {
      const text = `a${String.fromCharCode(c)}b`
      const out = quoted(text)
      if (!/^[\x20-\x7e]+$/.test(out) || JSON.parse(out) !== text) expect.fail(`code unit ${c.toString(16)} gives ${out}`)
    }
  })
})
