import { parseArgs } from 'node:util'
import type { Finding } from '../src/model/finding.ts'
import type { Entry } from '../src/policy/compose.ts'
import { runTests } from '../src/policy/tests/run.ts'
import { benchOf, isWhole } from '../src/policy/tests/tested.ts'
import { exit, type Io } from './io.ts'
import { clockOf, count, loadPolicies, type Policies, printWithSource, selected } from './policies.ts'

export const help = `
postern test [FILE...] [--policies DIR] [--only NAME] [--strict] [--at MOMENT] [--json]

Does what check does, then decides every request of the test files with the proxy's own engine. A failure shows what was wanted, what
came, the rule that decided, and what keeps the nearest allow from matching.
  FILE...           only tenants whose policy or test file is named
  --policies DIR    the folder (default policies)
  --only NAME       only expectations of this tenant, caller, request or rule; coverage is not judged
  --strict          warnings count as errors
  --at MOMENT       the clock of the lints (default now); the tests have their own
  --json            one JSON object: { findings, tenants }
Exit: 0 all as expected, 1 problems, 2 nothing was tested, 64 usage or files that cannot be read.
`

interface Result {
  readonly tenant: string
  readonly expectations: number
  readonly failed: number
  readonly covered: number
  readonly rules: number
}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      policies: { type: 'string', default: 'policies' },
      only: { type: 'string' },
      strict: { type: 'boolean', default: false },
      at: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const now = clockOf('test', values.at, io)
  if (now === null) return exit.usage
  const policies = await loadPolicies('test', { dir: values.policies, config: undefined, names: positionals }, io)
  if (typeof policies === 'number') return policies
  const findings: Finding[] = [...selected(policies, now, values.strict)]
  const results = runAll(policies, values.only, findings)
  const errors = findings.filter(finding => finding.severity === 'error').length
  const expectations = sum(results, 'expectations')
  if (values.json) io.out(`${JSON.stringify({ findings, tenants: results })}\n`)
  else {
    printWithSource(findings, policies.files, io)
    for (const one of results)
      io.out(
        `${one.tenant}: ${count(one.expectations, 'expectation')}, ${one.failed} failed, ${one.covered} of ${count(one.rules, 'rule')} covered\n`,
      )
    io.out(
      `${count(results.length, 'tenant')}, ${count(expectations, 'expectation')}, ${sum(results, 'failed')} failed, ${count(errors, 'error')}\n`,
    )
  }
  return errors > 0 ? exit.findings : expectations === 0 ? exit.cannotTell : exit.done
}

const sum = (results: readonly Result[], key: 'expectations' | 'failed'): number =>
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
    if (only !== undefined && ran.expectations === 0) continue
    findings.push(...ran.findings)
    const { expectations, failed, covered } = ran
    results.push({ tenant, expectations, failed, covered, rules: bench.policy.document.rules.length })
  }
  return results
}

const isNamed = ({ onDisk, tested }: Entry, only: ReadonlySet<string> | null): boolean =>
  only === null || only.has(onDisk.file) || tested.files.some(test => only.has(test.file))
