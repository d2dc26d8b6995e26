import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { Finding } from '../src/model/finding.ts'
import type { Entry } from '../src/policy/compose.ts'
import { runTests } from '../src/policy/tests/run.ts'
import { benchOf, isWhole } from '../src/policy/tests/tested.ts'
import { junit, type TenantReport } from '../src/policy/tools/junit.ts'
import { type Mutation, mutate, tooManySurvive, wantedShare } from '../src/policy/tools/mutate.ts'
import { proveNever } from '../src/policy/tools/never.ts'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, type Policies, plain, policyOptions, printWithSource, selected } from './policies.ts'

export const help = `
postern test [FILE...] [--policies DIR] [--only NAME] [--no-mutants] [--junit FILE] [--strict] [--at MOMENT] [--json]

Does what check does, then decides every request of the test files with the proxy's own engine. A failure shows what was wanted, what
came, the rule that decided, and what keeps the nearest allow from matching. Observe mode is left aside: tests say what is enforced.
Every line of never is proved for all requests there can be, or refuted by one that is allowed.
  FILE...           only tenants whose policy or test file is named
  --policies DIR    the folder (default policies)
  --only NAME       only expectations of this tenant, caller, request or rule; coverage and mutants are not judged
  --no-mutants      passes over "require: mutants-killed"; postern mutate says more about it
  --junit FILE      also writes a report that CI servers read
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
  /** Null: not asked for. */
  readonly mutants: Pick<Mutation, 'counted' | 'killed'> | null
  /** Lines of `never`, and those of them that are refuted or not proven. */
  readonly never: number
  readonly broken: number
}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...policyOptions,
      only: { type: 'string' },
      'no-mutants': { type: 'boolean', default: false },
      junit: { type: 'string' },
      strict: { type: 'boolean', default: false },
      at: { type: 'string' },
    },
  })
  const loaded = await loadPolicies('test', { dir: values.policies, config: undefined, names: positionals, at: values.at }, io)
  if (typeof loaded === 'number') return loaded
  const policies = withBeside(loaded)
  const checked = selected(policies, values.strict)
  const runs = runAll(policies, { only: values.only, mutants: !values['no-mutants'] })
  const findings = [...checked, ...runs.flatMap(one => one.findings)]
  if (
    values.junit !== undefined &&
    !(await written(
      values.junit,
      junit(
        runs.map(one => one.report),
        checked,
      ),
      io,
    ))
  )
    return exit.usage
  const results = runs.map(one => one.result)
  if (values.only !== undefined && results.length === 0)
    io.err(plain(`postern test: no expectation is of a tenant, caller, request or rule ${JSON.stringify(values.only)}.`).concat('\n'))
  const errors = findings.filter(finding => finding.severity === 'error').length
  if (values.json) io.out(`${JSON.stringify({ findings, tenants: results })}\n`)
  else {
    printWithSource(findings, policies.files, io)
    for (const result of results) io.out(`${described(result)}\n`)
    io.out(
      `${count(results.length, 'tenant')}, ${count(sum(results, 'expectations'), 'expectation')}, ${sum(results, 'failed')} failed, ${count(errors, 'error')}\n`,
    )
  }
  return errors > 0 ? exit.findings : sum(results, 'expectations') + sum(results, 'never') === 0 ? exit.cannotTell : exit.done
}

/** Whoever names one file of a tenant asks about the tenant: a fault in its other files is why nothing of it can be tested. */
const withBeside = (policies: Policies): Policies => {
  if (policies.only === null) return policies
  const owners = new Set([...policies.only].map(ownerOf))
  const names = policies.files.map(file => file.name)
  return { ...policies, only: new Set([...policies.only, ...names.filter(name => owners.has(ownerOf(name)))]) }
}

const ownerOf = (file: string): string => file.slice(file.lastIndexOf('/') + 1).split('.', 1)[0] ?? ''

const written = async (file: string, text: string, io: Io): Promise<boolean> => {
  try {
    await writeFile(file, text)
    return true
  } catch (fault) {
    io.err(`postern test: --junit: ${plain(fault instanceof Error ? fault.message : String(fault))}\n`)
    return false
  }
}

const described = ({ tenant, expectations, failed, covered, rules, mutants, never, broken }: Result): string => {
  const killed = mutants === null ? '' : `, ${mutants.killed} of ${count(mutants.counted, 'mutant')} killed`
  const proved = never === 0 ? '' : `, ${never - broken} of ${never} never proved`
  return `${tenant}: ${count(expectations, 'expectation')}, ${failed} failed, ${covered} of ${count(rules, 'rule')} covered${killed}${proved}`
}

const sum = (results: readonly Result[], key: 'expectations' | 'failed' | 'never'): number =>
  results.reduce((total, result) => total + result[key], 0)

interface TenantRun {
  readonly result: Result
  readonly report: TenantReport
  readonly findings: readonly Finding[]
}

interface Wanted {
  readonly only: string | undefined
  readonly mutants: boolean
}

const runAll = (policies: Policies, wanted: Wanted): readonly TenantRun[] =>
  [...(policies.composition?.entries ?? [])].flatMap(([tenant, entry]) =>
    isNamed(entry, policies.only) ? (runTenant(tenant, entry, policies, wanted) ?? []) : [],
  )

/** Null: nothing of this tenant can be run, or is asked for. */
const runTenant = (tenant: string, entry: Entry, policies: Policies, { only, mutants }: Wanted): TenantRun | null => {
  const bench = benchOf(entry.onDisk, policies.composition?.platform ?? null)
  if (bench === null) return null
  const { files: tests, readFindings } = entry.tested
  const whole = only === undefined && isWhole(readFindings)
  const ran = runTests(bench, tests, {
    selected: ({ caller, request, by }) => only === undefined || [tenant, caller, request, by].includes(only),
    coverage: whole,
  })
  const proving = only === undefined || only === tenant ? tests : []
  const stated = proving.flatMap(({ file: name, never }) => never.map(line => ({ file: name, ...line })))
  if (only !== undefined && ran.expectations + stated.length === 0) return null
  const refuted = proveNever(bench, proving)
  const never = stated.map(({ file: name, text, spot }) => ({
    file: name,
    text,
    finding: refuted.find(one => one.file === name && one.line === spot.line && one.column === spot.column) ?? null,
  }))
  const share = wantedShare(tests)
  const file = policies.files.find(({ name }) => name === bench.file)
  // What fails already would notice anything.
  const asked = mutants && whole && share !== null && ran.failed === 0 && file !== undefined
  const mutation = asked ? mutate(bench, file, tests, false) : null
  const { expectations, failed, covered, cases } = ran
  const rules = bench.policy.document.rules.map(rule => rule.name)
  const survive = mutation === null || share === null ? [] : tooManySurvive(mutation, share)
  const judged = { rules: ran.findings.length > failed, mutants: survive.length > 0 }
  return {
    result: {
      tenant,
      expectations,
      failed,
      covered: covered.size,
      rules: rules.length,
      never: never.length,
      broken: refuted.length,
      mutants: mutation && { counted: mutation.counted, killed: mutation.killed },
    },
    report: { tenant, cases, never, rules, covered, mutation, judged },
    findings: [...ran.findings, ...refuted, ...survive],
  }
}

const isNamed = ({ onDisk, tested }: Entry, only: ReadonlySet<string> | null): boolean =>
  only === null || only.has(onDisk.file) || tested.files.some(test => only.has(test.file))
