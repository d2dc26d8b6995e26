import { type Finding, formatFinding } from '../../model/finding.ts'
import type { AskedCase } from '../tests/run.ts'
import type { Draft } from './mutate/draft.ts'
import type { Mutation } from './mutate.ts'

/** What one tenant's tests said. */
export interface TenantReport {
  readonly tenant: string
  /** In the order of the files. */
  readonly cases: readonly AskedCase[]
  /** Lines of `never`; `finding` null: proved. */
  readonly never: readonly { readonly file: string; readonly text: string; readonly finding: Finding | null }[]
  readonly rules: readonly string[]
  readonly covered: ReadonlySet<string>
  /** Null: not run. */
  readonly mutation: Mutation | null
  /** Whether a rule that decided nothing, and a mutant that lives, is a failure: not so where the tests ask for a smaller share. */
  readonly judged: { readonly rules: boolean; readonly mutants: boolean }
}

interface Suite {
  readonly name: string
  readonly cases: readonly { readonly name: string; readonly failure: string | null }[]
}

/**
 * JUnit XML: a suite for what check says, one for each test file, and one each for the rules and the mutants of a tenant. Without times or
 * names of machines: the same input gives the same bytes. `findings` are those of check, the tests aside.
 */
export const junit = (reports: readonly TenantReport[], findings: readonly Finding[]): string => {
  const errors = findings.filter(finding => finding.severity === 'error')
  const checked = { name: 'policies read, compile and pass their lints', failure: null }
  const suites: readonly Suite[] = [
    {
      name: 'check',
      cases: errors.length === 0 ? [checked] : errors.map(finding => ({ name: positionOf(finding), failure: formatFinding(finding) })),
    },
    ...reports.flatMap(suitesOf),
  ]
  const cases = suites.flatMap(suite => suite.cases)
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts(cases)}>\n${suites.map(spelledSuite).join('')}</testsuites>\n`
}

const positionOf = ({ file, line, column, code }: Finding): string => `${code} ${file}${line > 0 ? `:${line}:${column}` : ''}`

const suitesOf = ({ tenant, cases, never, rules, covered, mutation, judged }: TenantReport): Suite[] => {
  const files = [...new Set(cases.map(one => one.file))]
  return [
    ...files.map(file => ({
      name: file,
      cases: cases.filter(one => one.file === file).map(one => ({ name: nameOf(one), failure: one.finding && formatFinding(one.finding) })),
    })),
    ...(never.length === 0
      ? []
      : [
          {
            name: `${tenant}: never`,
            cases: never.map(({ text, finding }) => ({ name: text, failure: finding && formatFinding(finding) })),
          },
        ]),
    {
      name: `${tenant}: rules`,
      cases: rules.map(rule => ({
        name: `${rule} decides an expectation`,
        failure: judged.rules && !covered.has(rule) ? `no expectation is decided by ${rule}` : null,
      })),
    },
    ...(mutation === null ? [] : [{ name: `${tenant}: mutants`, cases: mutantCases(mutation, judged.mutants) }]),
  ]
}

const nameOf = ({ expectation: { caller, request, effect, shadow, by, spot } }: AskedCase): string =>
  `${caller} ${request}: ${effect}${shadow}${by === null ? '' : ` by ${by}`} (${spot.line}:${spot.column})`

const mutantCases = ({ file, mutants }: Mutation, judged: boolean): Suite['cases'] =>
  mutants
    .filter(mutant => mutant.counted)
    .map(({ what, spot, killer, draft }) => ({
      name: `an expectation notices if ${what} is gone`,
      failure: judged && killer === null ? [`${file}:${spot.line}:${spot.column} nothing notices`, ...linesOf(draft)].join('; ') : null,
    }))

const linesOf = (draft: Draft | null): readonly string[] =>
  draft === null ? [] : [...(draft.request === null ? [] : [`add to requests: ${draft.request}`]), `add to cases: ${draft.case}`]

const counts = (cases: Suite['cases']): string =>
  `tests="${cases.length}" failures="${cases.filter(one => one.failure !== null).length}" errors="0" skipped="0" time="0"`

const spelledSuite = ({ name, cases }: Suite): string =>
  `  <testsuite name="${escaped(name)}" ${counts(cases)}>\n${cases
    .map(one => {
      const start = `    <testcase classname="${escaped(name)}" name="${escaped(one.name)}" time="0"`
      return one.failure === null ? `${start}/>\n` : `${start}>\n      <failure message="${escaped(one.failure)}"/>\n    </testcase>\n`
    })
    .join('')}  </testsuite>\n`

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }

/**
 * XML 1.0 has no way to write most control characters, surrogates or noncharacters, not even escaped (section 2.2). Bidirectional controls
 * it has, but whoever shows the report would show a name as it is not.
 */
const escaped = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll(/[&<>"']/g, c => entities[c] ?? c)
    .replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufffe\uffff]/gu, '\ufffd')
