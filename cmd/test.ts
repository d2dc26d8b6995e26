import { parseArgs } from 'node:util'
import type { Finding } from '../src/model/finding.ts'
import type { Entry } from '../src/policy/compose.ts'
import { runTests } from '../src/policy/tests/run.ts'
import { benchOf, isWhole } from '../src/policy/tests/tested.ts'
import { proveNever } from '../src/policy/tools/never.ts'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, type Policies, printWithSource, selected } from './policies.ts'

export const help = `
postern test [FILE...] [--policies DIR] [--only NAME] [--json]

Does what check does, then decides every request of the test files with the proxy's own engine. A failure shows what was wanted, what
came, the rule that decided, and what keeps the nearest allow from matching. Observe mode is left aside: tests say what is enforced.
Every line of never is proved for all requests there can be, or refuted by one that is allowed.
  FILE...           only tenants whose policy or test file is named
  --policies DIR    the folder (default policies)
  --only NAME       only expectations of this tenant, caller, request or rule; coverage is not judged
  --at INSTANT      the moment of the load, for what depends on it (observe-until): 2026-11-23T10:00:00Z (default: now)
  --json            one JSON object: { findings, tenants }
Exit: 0 all as expected, 1 problems, 2 nothing was tested, 64 usage or files that cannot be read.
`

interface Result {
  readonly tenant: string
  readonly expectations: number
  readonly failed: number
  readonly covered: number
  readonly rules: number
  /** Lines of `never`, and those of them that are refuted or not proven. */
  readonly never: number
  readonly broken: number
}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      policies: { type: 'string', default: 'policies' },
      only: { type: 'string' },
      at: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const policies = await loadPolicies('test', { dir: values.policies, config: undefined, names: positionals, at: values.at }, io)
  if (typeof policies === 'number') return policies
  const findings: Finding[] = [...selected(policies)]
  const results = runAll(policies, values.only, findings)
  const errors = findings.filter(finding => finding.severity === 'error').length
  const expectations = sum(results, 'expectations')
  if (values.json) io.out(`${JSON.stringify({ findings, tenants: results })}\n`)
  else {
    printWithSource(findings, policies.files, io)
    for (const one of results)
      io.out(
        `${one.tenant}: ${count(one.expectations, 'expectation')}, ${one.failed} failed, ${one.covered} of ${count(one.rules, 'rule')} covered${neverText(one)}\n`,
      )
    io.out(
      `${count(results.length, 'tenant')}, ${count(expectations, 'expectation')}, ${sum(results, 'failed')} failed, ${count(errors, 'error')}\n`,
    )
  }
  return errors > 0 ? exit.findings : expectations + sum(results, 'never') === 0 ? exit.cannotTell : exit.done
}

const neverText = ({ never, broken }: Result): string => (never === 0 ? '' : `, ${never - broken} of ${never} never proved`)

const sum = (results: readonly Result[], key: 'expectations' | 'failed' | 'never'): number =>
  results.reduce((total, result) => total + result[key], 0)

const runAll = (policies: Policies, only: string | undefined, findings: Finding[]): Result[] => {
  const results: Result[] = []
  for (const [tenant, entry] of policies.composition?.entries ?? []) {
    const bench = benchOf(entry.onDisk, policies.composition?.platform ?? null)
    if (bench === null || !isNamed(entry, policies.only)) continue
    const ran = runTests(bench, entry.tested.files, {
      selected: ({ caller, request, by }) => only === undefined || [tenant, caller, request, by].includes(only),
      coverage: only === undefined && isWhole(entry.tested.readFindings),
    })
    const tests = only === undefined || only === tenant ? entry.tested.files : []
    const never = tests.reduce((total, test) => total + test.never.length, 0)
    if (only !== undefined && ran.expectations + never === 0) continue
    const refuted = proveNever(bench, tests)
    findings.push(...ran.findings, ...refuted)
    const { expectations, failed, covered } = ran
    results.push({ tenant, expectations, failed, covered, rules: bench.policy.document.rules.length, never, broken: refuted.length })
  }
  return results
}

const isNamed = ({ onDisk, tested }: Entry, only: ReadonlySet<string> | null): boolean =>
  only === null || only.has(onDisk.file) || tested.files.some(test => only.has(test.file))
