import type { Sheet, Table } from './table.ts'

export const tableFormats = ['text', 'md', 'csv', 'html'] as const
export type TableFormat = (typeof tableFormats)[number]

/** The table as a document that ends in a line end. */
export const tableText = (table: Table, format: TableFormat): string => `${writers[format](table).map(plainLine).join('\n')}\n`

const plainLine = (line: string): string => line.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, ' ')

const source = ({ policy, platform }: Table): readonly string[] => [
  `${policy.file} sha256 ${policy.digest}`,
  `${platform.file} sha256 ${platform.digest}`,
]
const title = ({ tenant }: Table): string => `Access review of ${tenant}`
const decidedAt = ({ file, at }: Sheet): string => `Callers and requests of ${file}, decided as of ${at}`
const legend = "+ and - behind a decision: wider or narrower with shadow rules enforced. Decided by Postern's own engine."

/** YAML: comments, and a grid that can stand in a test file. */
const text = (table: Table): readonly string[] => [
  `# ${title(table)}`,
  ...source(table).map(line => `# ${line}`),
  ...table.sheets.flatMap(sheet => {
    const rows = [['request', ...sheet.callers.map(one => one.caller)], ...sheet.rows.map(rowOf)]
    const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
    const lines = rows.map(row => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    return [`# ${decidedAt(sheet)}`, 'grid: |', ...lines.map(line => `  ${line.trimEnd()}`)]
  }),
]

const rowOf = ({ request, cells }: Sheet['rows'][number]): readonly string[] => [request, ...cells.map(cell => cell.outcome)]

const markdown = (table: Table): readonly string[] => [
  `# ${markdownText(title(table))}`,
  '',
  ...source(table).map(line => `- ${markdownText(line)}`),
  ...table.sheets.flatMap(sheet => [
    '',
    `## ${markdownText(decidedAt(sheet))}`,
    '',
    ...markdownTable([
      ['request', 'call', ...sheet.callers.map(one => one.caller)],
      ...sheet.rows.map(row => [row.request, row.call, ...row.cells.map(cellText)]),
    ]),
    '',
    ...markdownTable([['caller', 'keys'], ...sheet.callers.map(({ caller, keys }) => [caller, keys])]),
  ]),
  '',
  markdownText(legend),
]

const cellText = ({ outcome, by }: Sheet['rows'][number]['cells'][number]): string => `${outcome} by ${by}`

const markdownTable = ([head = [], ...rows]: readonly (readonly string[])[]): readonly string[] =>
  [head, head.map(() => '---'), ...rows].map((row, i) => `| ${row.map(cell => (i === 1 ? cell : markdownText(cell))).join(' | ')} |`)

/** Every mark of Markdown and HTML as a reference: a value must not end its cell, nor become a link or a tag. */
const markdownText = (value: string): string => value.replaceAll(/[\\`*_[\]<>|&~#!]/g, c => `&#${c.charCodeAt(0)};`)

/** RFC 4180. One row for each decision, so that a spreadsheet can filter them. */
const csv = (table: Table): readonly string[] => [
  'tenant,test_file,as_of,request,call,caller,caller_keys,decision,decided_by,policy_sha256,platform_sha256',
  ...table.sheets.flatMap(({ file, at, callers, rows }) =>
    rows.flatMap(({ request, call, cells }) =>
      cells.map(({ caller, outcome, by }) =>
        [
          table.tenant,
          file,
          at,
          request,
          call,
          caller,
          callers.find(one => one.caller === caller)?.keys ?? '',
          outcome,
          by,
          table.policy.digest,
          table.platform.digest,
        ]
          .map(csvField)
          .join(','),
      ),
    ),
  ),
]

/** A spreadsheet runs what begins with one of these as a formula (OWASP CSV injection). */
const csvField = (value: string): string => {
  const safe = /^[\s=+\-@|%]/.test(value) ? `'${value}` : value
  return `"${safe.replaceAll('"', '""')}"`
}

const style = `body{font:1rem/1.5 system-ui,sans-serif;margin:2rem;color:#1b1b1b;background:#fff}table{border-collapse:collapse;margin:1rem 0}
th,td{border:1px solid #767676;padding:.3rem .6rem;text-align:left;vertical-align:top}caption{text-align:left;font-weight:bold;padding:.3rem 0}
thead th{background:#f0f0f0}.allow{background:#d9f2dd}.deny{background:#fbe3e4}.step-up{background:#fff3cd}small{color:#444}code{overflow-wrap:anywhere}`

/** Self-contained: no script, nothing fetched. The colour of a cell repeats its word and never stands alone. */
const html = (table: Table): readonly string[] => [
  '<!DOCTYPE html>',
  '<html lang="en">',
  '<head>',
  '<meta charset="utf-8">',
  '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">',
  '<meta name="viewport" content="width=device-width">',
  `<title>${htmlText(title(table))}</title>`,
  `<style>${style.replaceAll('\n', '')}</style>`,
  '</head>',
  '<body>',
  '<main>',
  `<h1>${htmlText(title(table))}</h1>`,
  '<ul>',
  ...source(table).map(line => `<li><code>${htmlText(line)}</code></li>`),
  '</ul>',
  ...table.sheets.flatMap(sheetHtml),
  `<p>${htmlText(legend)}</p>`,
  '</main>',
  '</body>',
  '</html>',
]

const sheetHtml = (sheet: Sheet): readonly string[] => [
  '<table>',
  `<caption>${htmlText(decidedAt(sheet))}</caption>`,
  `<thead><tr><th scope="col">request</th>${sheet.callers.map(({ caller }) => `<th scope="col">${htmlText(caller)}</th>`).join('')}</tr></thead>`,
  '<tbody>',
  ...sheet.rows.map(
    ({ request, call, cells }) =>
      `<tr><th scope="row">${htmlText(request)}<br><small><code>${htmlText(call)}</code></small></th>${cells.map(cellHtml).join('')}</tr>`,
  ),
  '</tbody>',
  '</table>',
  '<table>',
  '<caption>Callers</caption>',
  '<thead><tr><th scope="col">caller</th><th scope="col">keys</th></tr></thead>',
  '<tbody>',
  ...sheet.callers.map(({ caller, keys }) => `<tr><th scope="row">${htmlText(caller)}</th><td><code>${htmlText(keys)}</code></td></tr>`),
  '</tbody>',
  '</table>',
]

const cellHtml = ({ outcome, by }: Sheet['rows'][number]['cells'][number]): string =>
  `<td class="${outcome.replace(/[+-]$/, '')}">${htmlText(outcome)}<br><small>by ${htmlText(by)}</small></td>`

const htmlText = (value: string): string => value.replaceAll(/[&<>"'`]/g, c => `&#${c.charCodeAt(0)};`)

const writers: Readonly<Record<TableFormat, (table: Table) => readonly string[]>> = { text, md: markdown, csv, html }
