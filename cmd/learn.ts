import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { Composition, Entry } from '../src/policy/compose.ts'
import type { PolicyFile } from '../src/policy/load/version.ts'
import { readTestFile } from '../src/policy/tests/file.ts'
import { type Bench, runTests } from '../src/policy/tests/run.ts'
import { benchOf } from '../src/policy/tests/tested.ts'
import { type Learned, Learner } from '../src/policy/tools/learn.ts'
import { factHash } from '../src/record/facts.ts'
import { KeyFault, readHashKey } from '../src/record/keys.ts'
import { exit, type Io } from './io.ts'
import { count, loadPolicies, plain, policyOptions } from './policies.ts'
import { eachRecorded, leftOut, type Met, NoRecords, parseSince } from './records.ts'

export const help = `
postern learn RECORDS... --tenant NAME [--policies DIR] [--since 90d] [--hash-key-file FILE]... [-o FILE] [--json]

Drafts a test file from traffic: callers, requests and grid rows, decided by the policy in the folder, and only where the record says that it
was decided so. Then lists rules that decided nothing, and groups and lines wider than their use. Subjects, addresses, values and path
segments that no policy names are replaced; what the policy itself names stays. Facts must be plain, or their key at hand.
  RECORDS...             files of records, the folder of a chain, or the folder of all chains (audit.dir)
  --tenant NAME          whose
  --policies DIR         the folder (default policies)
  --since 90d            only requests of the last 90 days; or since a moment: 2026-11-23T10:00:00Z
  --hash-key-file FILE   a key of audit.hash-key-files
  -o, --out FILE         writes the draft there, never over a file: NAME.learned.policy-test.yaml beside the policy; else it is printed
  --json                 one JSON object: { read, draft, cells, wide, skipped }
Exit: 0 drafted, 2 nothing to draft from, 64 usage, files that cannot be read, a policy with errors, or a file that is there already.
`

/** Something to tell whoever called, and no fault of this program. */
class Refused extends Error {}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      tenant: { type: 'string' },
      ...policyOptions,
      since: { type: 'string' },
      'hash-key-file': { type: 'string', multiple: true, default: [] },
      out: { type: 'string', short: 'o' },
    },
  })
  try {
    const since = values.since === undefined ? null : parseSince(values.since, Date.now())
    if (values.since !== undefined && since === null)
      throw new Refused('--since is a duration such as 90d, or a moment such as 2026-11-23T10:00:00Z.')
    if (values.tenant === undefined || positionals.length === 0) throw new Refused('say which records, and of which --tenant.')
    const policies = await loadPolicies('learn', { dir: values.policies, config: undefined, names: [] }, io)
    if (typeof policies === 'number') return policies
    const { composition, entry, bench } = tenantOf(policies.composition, values.tenant)
    const platform = composition.platform.policy
    if (platform === null) throw new Refused('the platform file has errors; see postern check.')
    const keys = await Promise.all(values['hash-key-file'].map(readHashKey))
    const learner = new Learner(bench, platform, keys.map(factHash))
    let taken = 0
    const met = await eachRecorded(
      positionals,
      since,
      recorded => {
        if (learner.add(recorded)) taken++
        return true
      },
      io,
    )
    const learned = proved(learner, bench, entry, composition)
    const nothing = learned.cells === 0
    if (values.out !== undefined && !nothing) await create(values.out, learned.text)
    const notes = notesOf(learned, met, taken)
    if (values.json)
      io.out(`${JSON.stringify({ read: met, draft: learned.text, cells: learned.cells, wide: learned.wide, skipped: learned.skipped })}\n`)
    else if (values.out !== undefined || nothing) io.out(notes)
    else {
      io.out(learned.text)
      io.err(notes)
    }
    return nothing ? exit.cannotTell : exit.done
  } catch (fault) {
    if (!(fault instanceof Refused || fault instanceof KeyFault || fault instanceof NoRecords)) throw fault
    io.err(`postern learn: ${plain(fault.message)}\n`)
    return exit.usage
  }
}

const tenantOf = (composition: Composition | null, tenant: string) => {
  const entry = composition?.entries.get(tenant)
  const bench = entry && composition ? benchOf(entry.onDisk, composition.platform) : null
  if (!composition || !entry || bench === null) throw new Refused(`there is no good policy of ${tenant} in the folder; see postern check.`)
  return { composition, entry, bench }
}

/** The draft, read and run as `postern test` would beside the tests that are there: one that fails must never be handed out. */
const proved = (learner: Learner, bench: Bench, { onDisk, tested }: Entry, { platform }: Composition): Learned => {
  const alone = learner.draft(null)
  const all = runTests(bench, [...tested.files, alone.test], { coverage: true })
  const { rules } = bench.policy.document
  const uncovered = all.findings.some(finding => finding.code === 'P704')
  const learned = uncovered ? learner.draft(Math.floor((all.covered.size / rules.length) * 100)) : alone
  if (learned.cells === 0 || onDisk.scope === null) return learned
  const file: PolicyFile = { name: learned.test.file, bytes: Buffer.from(learned.text) }
  const read = readTestFile(file, { tenant: onDisk.tenant, policy: onDisk.scope, platformRules: platform.scope?.rules ?? null })
  const ran = read.test && runTests(bench, [read.test], { coverage: false })
  const [fault] = [...read.findings, ...(ran?.findings ?? [])]
  if (fault !== undefined) throw new Error(`the draft does not hold: ${fault.line}:${fault.column} ${fault.message}`)
  return learned
}

const create = async (file: string, text: string): Promise<void> => {
  try {
    await writeFile(file, text, { flag: 'wx' })
  } catch (fault) {
    const code = fault instanceof Error && 'code' in fault ? String(fault.code) : 'unknown fault'
    throw new Refused(code === 'EEXIST' ? `${file} is there already; choose another name.` : `${file} cannot be written (${code}).`)
  }
}

const notesOf = ({ cells, wide, skipped }: Learned, met: Met, taken: number): string => {
  const lines = [`${count(taken, 'request')} of the tenant, ${count(cells, 'cell')} drafted`]
  const why = {
    hashed: 'facts hashed or not recorded (audit.plain, --hash-key-file)',
    unwritable: 'facts that a test file cannot write',
    'no-rule': 'paths that no rule names',
    bound: 'more kinds of callers or requests than are kept',
    'decided-otherwise': 'cells that were decided otherwise than the policy decides the draft',
  } as const
  for (const [key, what] of Object.entries(why)) {
    const n = skipped[key as keyof typeof why]
    if (n > 0) lines.push(`  left out: ${n} ${what}`)
  }
  const without = leftOut(met)
  if (without !== '') lines.push(`  not looked at: ${without}`)
  for (const rule of wide.unused) lines.push(`unused: rule ${rule} decided nothing`)
  for (const { rule, lines: unused, callers } of wide.unneeded) {
    for (const line of unused) lines.push(`wider than its use: rule ${rule} let nobody through by ${line}`)
    for (const name of callers) lines.push(`wider than its use: rule ${rule} let nobody of ${name} through`)
  }
  for (const group of wide.groups ?? []) lines.push(`wider than its use: nobody came with the group ${group}`)
  if (wide.groups === null) lines.push('which groups came is not told by these records')
  return `${lines.map(plain).join('\n')}\n`
}
