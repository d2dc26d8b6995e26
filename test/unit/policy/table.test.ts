import { describe, expect, it } from 'vitest'
import { Unanswerable } from '../../../src/policy/tools/ask.ts'
import { filedBench } from '../../../src/policy/tools/explain.ts'
import { type Table, type TableChoice, tableOf } from '../../../src/policy/tools/table.ts'
import { tableText } from '../../../src/policy/tools/table-formats.ts'
import { allow, composed, deny, file, load, platformFile, tenantFile } from './fixtures.ts'

const policy = tenantFile('acme', {
  claims: { groups: 'list<string>?', dept: 'string?' },
  who: { staff: { groups: 'staff' }, lead: { groups: 'lead' } },
  rules: [
    deny('no-leads', { who: 'lead', mode: 'shadow', to: 'GET /v1/a' }),
    allow('trial', { who: 'staff', to: 'GET /v1/b', mode: 'shadow' }),
    allow('read', { to: ['GET /v1/a', 'GET /v1/c'], when: { header: { 'x-a': 'absent' } }, until: '2030-01-01T00:00:00Z' }),
    allow('pay', { to: 'POST /v1/a', 'needs-login': { acr: 'high' } }),
  ],
})
const tests = (extra: string): string => `postern: policy-test/v1
tenant: acme
now: 2026-11-23T10:00:00Z
callers:
  ann: { groups: [staff], signed-in: 5m ago }
  lea: { groups: [lead], acr: high, dept: "=HYPERLINK(\\"http://x\\")|<script>[a](b)" }
requests:
  a: GET /v1/a
  b: { call: GET /v1/b, header: { x-b: "<img src=x onerror='1'>" } }
  pay: POST /v1/a
${extra}`

const tableFor = (choice: Partial<TableChoice> = {}, more: ReturnType<typeof file>[] = []): Table | Unanswerable => {
  const files = [platformFile(), policy, file('acme.policy-test.yaml', tests('')), ...more]
  const composition = composed(files)
  const entry = composition.entries.get('acme')
  const bench = entry && filedBench(entry.onDisk, composition.platform, files)
  if (!entry || !bench) throw new Error('refused')
  return tableOf(bench, entry.tested.files, { callers: null, requests: null, at: null, ...choice })
}
const table = (...args: Parameters<typeof tableFor>): Table => {
  const found = tableFor(...args)
  if (found instanceof Unanswerable) throw new Error(found.messages.join('; '))
  return found
}

describe('the access review', () => {
  it('as text is a grid that passes in the test file that it came from, shadow signs and step-up included', () => {
    const grid = tableText(table(), 'text')
    expect(grid.slice(grid.indexOf('grid:'))).toBe(
      'grid: |\n  request  ann      lea\n  a        allow    allow-\n  b        deny+    deny\n  pay      step-up  allow\n',
    )
    const run = (text: string) =>
      load([platformFile(), policy, file('acme.policy-test.yaml', tests(text))], null, { testsGateReload: true }).findings
    expect(run(grid)).toEqual([])
    expect(run(grid.replace('allow-', 'allow')).map(finding => finding.code)).toEqual(['P703'])
  })

  it('says for which moment and by which bytes it was decided, and gives the same bytes again', () => {
    const { policy: own, platform } = table()
    for (const format of ['text', 'md', 'csv', 'html'] as const) {
      const text = tableText(table(), format)
      for (const part of ['2026-11-23T10:00:00Z', own.digest, platform.digest]) expect(text, format).toContain(part)
      expect(tableText(table(), format)).toBe(text)
    }
  })

  it('another clock decides otherwise', () => {
    const later = table({ at: Date.parse('2031-01-01T00:00:00Z') })
    expect(later.sheets[0]?.at).toBe('2031-01-01T00:00:00Z')
    expect(later.sheets[0]?.rows[0]?.cells.map(cell => cell.outcome)).toEqual(['deny', 'deny'])
  })

  it('shows only what was chosen, and refuses names that no test file has', () => {
    const one = table({ callers: ['lea'], requests: ['pay'] })
    expect(one.sheets).toMatchObject([
      { callers: [{ caller: 'lea' }], rows: [{ request: 'pay', cells: [{ outcome: 'allow', by: 'pay' }] }] },
    ])
    expect(tableFor({ callers: ['leah'], requests: ['x'] })).toMatchObject({
      messages: ['--callers: the tests define no "leah". Write lea.', expect.stringContaining('--requests: the tests define no "x".')],
    })
  })

  it('keeps the names of two test files apart', () => {
    const other = tests('').replace('ann: { groups: [staff]', 'ann: { groups: [lead]')
    const { sheets } = table({ callers: ['ann'], requests: ['a'] }, [file('acme.more.policy-test.yaml', other)])
    expect(sheets.map(sheet => [sheet.file, sheet.rows[0]?.cells[0]?.outcome])).toEqual([
      ['acme.more.policy-test.yaml', 'allow-'],
      ['acme.policy-test.yaml', 'allow'],
    ])
  })
})

describe('values of a test file', () => {
  it('are no formulas, quotes or line ends in CSV', () => {
    const text = tableText(table(), 'csv')
    for (const line of text.trimEnd().split('\n')) {
      const fields = [...line.matchAll(/"((?:[^"]|"")*)"(?:,|$)|([a-z_0-9]+)(?:,|$)/g)].map(found => found[1] ?? found[2] ?? '')
      expect(fields).toHaveLength(11)
      for (const field of fields) expect(field).not.toMatch(/^[=+\-@\t\r]/)
    }
    const formula = tableText({ ...table(), tenant: '=1+1' }, 'csv')
    expect(formula).toContain(`"'=1+1"`)
  })

  it('are no tags, and the page runs and fetches nothing', () => {
    const page = tableText(table(), 'html')
    expect(page).not.toMatch(/<script|<img|onerror='/i)
    expect(page).toContain('&#60;script&#62;')
    expect(page).toContain("default-src 'none'")
    expect(page).not.toMatch(/<[^>]*\b(?:src|href)=/)
    const opened = [...page.matchAll(/<([a-z0-9]+)[ >]/g)].map(found => found[1]).filter(tag => !['meta', 'br'].includes(tag ?? ''))
    const closed = [...page.matchAll(/<\/([a-z0-9]+)>/g)].map(found => found[1])
    expect(closed.toSorted()).toEqual(opened.toSorted())
    expect(page).toMatch(/<html lang="en">[\s\S]*<caption>[\s\S]*<th scope="col">request<\/th>[\s\S]*<th scope="row">a<br>/)
  })

  it('end no cell and make no link in Markdown', () => {
    const text = tableText(table(), 'md')
    const row = text.split('\n').find(line => line.startsWith('| lea '))
    expect(row?.match(/(?<!\\)\|/g)).toHaveLength(3)
    expect(row).not.toMatch(/[<>[\]]/)
  })

  it('bring no control characters', () => {
    for (const format of ['text', 'md', 'csv', 'html'] as const)
      expect(tableText({ ...table(), tenant: 'a\u001b[2J\u202eb' }, format)).not.toMatch(/[^\P{Cc}\n]|\p{Bidi_Control}/u)
  })
})
