import { parseArgs } from 'node:util'
import { runTests } from '../src/policy/tests/run.ts'
import { benchOf } from '../src/policy/tests/tested.ts'
import { type JudgedMutant, type Mutation, mutate, reaches, wantedShare } from '../src/policy/tools/mutate.ts'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, type Policies, plain, policyOptions } from './policies.ts'

export const help = `
postern mutate [TENANT] [--obligations] [--policies DIR] [--json]

Takes one thing after the other out of each policy (every rule, and every except, from, until, needs-login, mode and when entry of each)
and asks whether the tests notice. What survives is listed where it stands, with a case to add that would notice, if one is found.
Names within a header or query entry are taken out one by one too; they are reported, not counted.
  TENANT            only this tenant
  --obligations     also every entry of then and always: reported, not counted. No test can see a limit, so limits always survive
  --policies DIR    the folder (default policies)
  --json            one JSON object: { tenants }
Exit: 0 the share that "require: mutants-killed" asks for is killed (all, where nothing is asked), 1 not so or the tests fail,
2 nothing to take out or no tests, 64 usage or files that cannot be read.
`

interface Result extends Mutation {
  readonly tenant: string
  readonly wanted: number
}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...policyOptions,
      obligations: { type: 'boolean', default: false },
    },
  })
  const [tenant, ...more] = positionals
  if (more.length > 0) {
    io.err('postern mutate: one tenant, or none for all.\n')
    return exit.usage
  }
  const policies = await loadPolicies('mutate', { dir: values.policies, config: undefined, names: [] }, io)
  if (typeof policies === 'number') return policies
  const tenants = [...(policies.composition?.entries.keys() ?? [])].filter(name => tenant === undefined || name === tenant)
  if (tenants.length === 0) {
    io.err(
      `postern mutate: ${tenant === undefined ? 'there is no tenant' : `there is no policy of ${plain(tenant)}`} below ${values.policies}.\n`,
    )
    return exit.usage
  }
  const results: Result[] = []
  let failing = false
  for (const name of tenants) {
    const result = mutateTenant(name, policies, values.obligations, io)
    if (result === 'failing') failing = true
    else if (result !== null) results.push(result)
  }
  if (values.json) io.out(`${JSON.stringify({ tenants: results })}\n`)
  else for (const result of results) print(result, io)
  if (failing || results.some(result => !reaches(result, result.wanted))) return exit.findings
  return results.some(result => result.counted > 0) ? exit.done : exit.cannotTell
}

/** Null: there is nothing to ask. */
const mutateTenant = (tenant: string, { composition, files }: Policies, obligations: boolean, io: Io): Result | 'failing' | null => {
  const entry = composition?.entries.get(tenant)
  const bench = entry && benchOf(entry.onDisk, composition?.platform ?? null)
  const file = files.find(({ name }) => name === bench?.file)
  if (!entry || !bench || !file) {
    io.err(`postern mutate: ${tenant}: the policy, or the platform file, is refused; postern check says why.\n`)
    return 'failing'
  }
  const tests = entry.tested.files
  if (entry.tested.readFindings.some(finding => finding.severity === 'error') || runTests(bench, tests, { coverage: false }).failed > 0) {
    io.err(`postern mutate: ${tenant}: its tests fail as it is; postern test says which.\n`)
    return 'failing'
  }
  if (tests.length === 0) {
    io.err(`postern mutate: ${tenant}: there are no tests.\n`)
    return null
  }
  return { tenant, wanted: wantedShare(tests) ?? 100, ...mutate(bench, file, tests, obligations) }
}

const print = (result: Result, io: Io): void => {
  const survivors = result.mutants.filter(mutant => mutant.killer === null)
  for (const mutant of survivors) io.out(describe(result.file, mutant))
  const share = result.counted === 0 ? 100 : Math.floor((result.killed / result.counted) * 1000) / 10
  io.out(`${result.tenant}: ${result.killed} of ${count(result.counted, 'mutant')} killed (${share}%), ${result.wanted}% wanted\n`)
}

const describe = (file: string, { what, spot, counted, draft }: JudgedMutant): string => {
  const lines = [`${file}:${spot.line}:${spot.column} no expectation notices if ${what} is gone${counted ? '' : ' (not counted)'}`]
  if (draft?.request) lines.push(`  to requests of ${draft.file}:  ${draft.request}`)
  if (draft) lines.push(`  to cases of ${draft.file}:  ${draft.case}`)
  else lines.push('  no case was found among the callers and requests of the tests')
  return `${lines.map(plain).join('\n')}\n`
}
