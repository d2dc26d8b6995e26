import { describe, expect, it } from 'vitest'
import { readDocument } from '../../../src/config/document.ts'
import { Source } from '../../../src/config/source.ts'
import { auditSettings } from '../../../src/record/settings.ts'

const read = (text: string) => {
  const source = new Source('proxy.config.yaml', Buffer.from(text), 'C')
  return { value: readDocument(source, auditSettings).value, findings: source.findings.map(f => `${f.line}:${f.column} ${f.code}`) }
}

describe('the audit settings', () => {
  it('need nothing but a key; the rest has the defaults of the contract', () => {
    expect(read('key-file: audit-key.pem\n')).toEqual({
      findings: [],
      value: {
        dir: 'audit',
        'key-file': 'audit-key.pem',
        second: null,
        durability: 'interval',
        'sync-every': 1000,
        'checkpoint-every': 10_000,
        'on-full': 'refuse',
        'spool-max': 1024 ** 3,
        sinks: ['file', 'stdout'],
        begin: 'none',
        'hash-key-files': [],
        plain: [],
      },
    })
  })

  it('are read as durations and sizes', () => {
    const { value } = read('key-file: k\nsync-every: 500ms\ncheckpoint-every: 1m\nspool-max: 64MiB\nsecond: elsewhere\nsinks: [file]\n')
    expect(value).toMatchObject({
      'sync-every': 500,
      'checkpoint-every': 60_000,
      'spool-max': 64 * 1024 ** 2,
      second: 'elsewhere',
      sinks: ['file'],
    })
  })

  it.each([
    ['durability: each', '2:13 C209'],
    ['on-full: serve-unrecorded', '2:10 C209'],
    ['begin: writes', '2:8 C209'],
    ['sinks: [file, http]', '2:15 C209'],
    ['retain: 400d', '2:9 C209'],
    ['plain: [""]', '2:9 C204'],
    ['plain: groups', '2:8 C203'],
    ['hash-key-files: a', '2:17 C203'],
    ['sync-every: 1ms', '2:13 C204'],
    ['spool-max: 1KiB', '2:12 C204'],
    ['sinks: [stdout]', '2:1 C204'],
    ['sinks: [file, file]', '2:1 C204'],
    ['second: audit', '2:1 C204'],
    ['second: ./audit/copy', '2:1 C204'],
    ['dir: a/b\nsecond: a', '3:1 C204'],
    ['secnd: x', '2:1 C201'],
  ])('refuse %j at its place', (line, finding) => {
    expect(read(`key-file: k\n${line}\n`)).toEqual({ value: null, findings: [finding] })
  })

  it('document every key', () => {
    for (const [key, field] of Object.entries(auditSettings.fields)) expect(field.doc, key).toMatch(/^.+\.$/)
  })
})
