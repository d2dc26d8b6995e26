import { parseArgs } from 'node:util'
import { systemClock } from '../src/deps.ts'
import { formatFinding } from '../src/model/finding.ts'
import { type Composition, composing } from '../src/policy/compose.ts'
import { platformName } from '../src/policy/language/names.ts'
import { diffPolicies, type TenantDiff } from '../src/policy/tools/diff.ts'
import { diffText, type Format } from '../src/policy/tools/diff-text.ts'
import { inTurns } from '../src/turns.ts'
import { readSide, type Side, sideOf } from './against.ts'
import { exit, type Io } from './io.ts'
import { count, plain, policyOptions } from './policies.ts'

export const help = `
postern diff OLD..NEW [--policies DIR] [--fail-on gains] [--format text] [--json]

Says who may do what under NEW that OLD refused, and the other way round: GAINS, LOSES, OBLIGATIONS (role, hide, limit, needs-login of what
both allow) and ORDER (another rule decides the same), each with an example; OBSERVE where observe mode begins or ends. It compares
decisions, for every request there can be, not text. A check is not looked into: a change that hangs on one names it. WOULD GAIN, LOSE,
OWE and ORDER are about shadow rules: what would be decided otherwise if they were enforced. Nobody gains by that, so only --fail-on any
counts it.
  OLD, NEW          Git revisions, or folders written with "./" or "/"; NEW left out is the folder as it is now: main..
  --policies DIR    the folder, also within revisions (default policies)
  --fail-on WHAT    gains: exit 1 if anybody may do more; any: exit 1 if anything differs
  --format FORMAT   text, or md for a pull request
  --json            one JSON object: { tenants }
Exit: 0 compared, 1 what --fail-on names, 2 not everything could be compared, 64 usage, or nothing to read.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...policyOptions,
      'fail-on': { type: 'string' },
      format: { type: 'string', default: 'text' },
    },
  })
  const { format } = values
  const failOn = values['fail-on']
  const [range, ...more] = positionals
  if (range === undefined || more.length > 0 || !isFormat(format) || !(failOn === undefined || failOn === 'gains' || failOn === 'any'))
    return usage(io, 'write one OLD..NEW; --format is text or md, --fail-on is gains or any.')
  const sides = await sidesOf(range, values.policies)
  if (typeof sides === 'string') return usage(io, sides)
  const [before, after] = [await load(sides.old, values.policies, io), await load(sides.now, values.policies, io)]
  if (typeof before === 'number') return before
  if (typeof after === 'number') return after
  const diffs = diffPolicies(before, after)
  if (values.json) io.out(`${JSON.stringify({ tenants: diffs })}\n`)
  else io.out(`${plainLines(diffText(diffs, format))}${summary(diffs)}`)
  return exitOf(diffs, failOn)
}

const isFormat = (format: string): format is Format => format === 'text' || format === 'md'

const usage = (io: Io, message: string): number => {
  io.err(`postern diff: ${plain(message)}\nTry: postern diff --help\n`)
  return exit.usage
}

type Sides = { readonly old: Side; readonly now: Side }

/** "./a.../b" has ".." in two places: the first that leaves something known on both sides is meant. A text says what is wrong. */
const sidesOf = async (range: string, dir: string): Promise<Sides | string> => {
  let wrong = `"${range}" is not OLD..NEW of commits that git knows here, or of folders written with "./" or "/".`
  for (let at = range.indexOf('..', 1); at > 0; at = range.indexOf('..', at + 1)) {
    const old = await sideOf(range.slice(0, at), dir)
    const right = range.slice(at + 2)
    const now = typeof old !== 'object' ? old : right === '' ? { folder: dir } : await sideOf(right, dir)
    if (typeof old === 'object' && typeof now === 'object') return { old, now }
    if (typeof now === 'string') wrong = now
  }
  return wrong
}

/** What would be in force; a number where that is nothing. */
const load = async (side: Side, dir: string, io: Io): Promise<Composition | number> => {
  const name = 'folder' in side ? side.folder : side.revision
  const read = await readSide(side, dir)
  if ('error' in read) {
    io.err(`postern diff: ${plain(formatFinding(read.error))}\n`)
    return exit.usage
  }
  // Behind every moment: whether observe mode would last too long is for check, with a clock; here it would hide the tenant.
  const options = { issuers: null, testsGateReload: false, now: Number.POSITIVE_INFINITY }
  const { composition, findings } = await inTurns(composing(read.files, null, options), systemClock)
  if (composition !== null) return composition
  for (const finding of findings.filter(one => one.severity === 'error').slice(0, 20))
    io.err(`${plain(`${name}: ${formatFinding(finding)}`)}\n`)
  io.err(plain(`postern diff: nothing of ${name} would be loaded, so there is nothing to compare.`).concat('\n'))
  return exit.cannotTell
}

const plainLines = (text: string): string => text.split('\n').map(plain).join('\n')

const summary = (diffs: readonly TenantDiff[]): string => {
  if (diffs.length === 0) return 'no request is decided otherwise\n'
  const changes = diffs.flatMap(diff => diff.changes)
  const of = (kind: string): number => changes.filter(change => change.kind === kind).length
  const would = diffs.reduce((total, diff) => total + diff.would.length, 0)
  const unproven = diffs.reduce((total, diff) => total + diff.unproven.length, 0)
  const tenants = diffs.filter(diff => diff.tenant !== platformName).length
  return `${count(tenants, 'tenant')} not as before: ${of('GAINS')} GAINS, ${of('LOSES')} LOSES, ${of('OBLIGATIONS')} OBLIGATIONS, ${of('ORDER')} ORDER, ${would === 0 ? '' : `${would} WOULD, `}${unproven} not proven\n`
}

const exitOf = (diffs: readonly TenantDiff[], failOn: string | undefined): number => {
  const gains = diffs.some(({ changes, notes }) => changes.some(({ kind }) => kind === 'GAINS') || notes.some(note => note.widens))
  const differs = diffs.some(({ changes, notes, would }) => changes.length + notes.length + would.length > 0)
  if (failOn === 'gains' ? gains : failOn === 'any' && differs) return exit.findings
  return diffs.some(diff => diff.unproven.length > 0) ? exit.cannotTell : exit.done
}
