import { type Example, spelledExample } from './classes/example.ts'
import { type Change, type Decided, spelledPlaces, type TenantDiff } from './diff.ts'
import type { Note } from './diff-notes.ts'

export type Format = 'text' | 'md'

/** Lines of one kind that are shown for one tenant. */
const maxLines = 20
const maxNames = 3

/** The report for people. Tenants of which the same is said are named together, with the example of the first. */
export const diffText = (diffs: readonly TenantDiff[], format: Format): string => {
  const groups = new Map<string, { readonly diff: TenantDiff; readonly tenants: string[] }>()
  for (const diff of diffs) {
    const { state, notes, changes, would, unproven } = diff
    const key = JSON.stringify([state, notes, [changes, would].map(some => some.map(({ example: _, ...rest }) => rest)), unproven])
    const known = groups.get(key)
    if (known === undefined) groups.set(key, { diff, tenants: [diff.tenant] })
    else known.tenants.push(diff.tenant)
  }
  return [...groups.values()].map(({ diff, tenants }) => section(diff, tenants, format)).join('\n')
}

const section = (diff: TenantDiff, tenants: readonly string[], format: Format): string => {
  const state = diff.state === 'changed' ? '' : ` (${diff.state})`
  const head = `${some(tenants, 8, ' and ')}${state}`
  const changes = [...cut(diff.changes, enforced), ...cut(diff.would, trial)]
  const lines = [...diff.notes.map(noteLine), ...changes, ...diff.unproven.map(text => `NOT PROVEN: ${text}`)].map(oneLine)
  return format === 'md'
    ? `### ${head}\n\n${lines.map(line => `- ${markdown(line)}\n`).join('')}`
    : `${head}\n${lines.map(line => `  ${line}\n`).join('')}`
}

/** A value of a policy with a line break in it could write lines of the report. */
const oneLine = (line: string): string => line.replaceAll(/[\p{Cc}\u2028\u2029]/gu, ' ')

const noteLine = ({ kind, text }: Note): string => `${kind}: ${text}`

/** What stands before the change, and between callers and requests. */
type Spelling = Readonly<Record<Change['kind'], { readonly label: string; readonly verb: string }>>

const enforced: Spelling = {
  GAINS: { label: 'GAINS', verb: ' may' },
  LOSES: { label: 'LOSES', verb: ' may no longer' },
  OBLIGATIONS: { label: 'OBLIGATIONS', verb: '' },
  ORDER: { label: 'ORDER', verb: '' },
}

/** Of shadow rules: nothing is decided otherwise yet. */
const trial: Spelling = {
  GAINS: { label: 'WOULD GAIN', verb: ' might' },
  LOSES: { label: 'WOULD LOSE', verb: ' might no longer' },
  OBLIGATIONS: { label: 'WOULD OWE', verb: '' },
  ORDER: { label: 'WOULD ORDER', verb: '' },
}

const cut = (changes: readonly Change[], spelling: Spelling): readonly string[] => {
  const shown: string[] = []
  for (const kind of new Set(changes.map(change => change.kind))) {
    const lines = changes.filter(change => change.kind === kind).map(change => changeLine(change, spelling))
    shown.push(...lines.slice(0, maxLines))
    if (lines.length > maxLines) shown.push(`${spelling[kind].label}: ... and ${lines.length - maxLines} more; --json has all of them`)
  }
  return shown
}

/** `GAINS: contractors may GET /v1/accounts/*\/invoices from any address, e.g. carl, 203.0.113.9 (...)` */
const changeLine = (change: Change, spelling: Spelling): string => {
  const { kind, who, conditions, delta, before, after, example } = change
  const { label, verb } = spelling[kind]
  const what = delta.length === 0 ? '' : `: ${delta.join('; ')}`
  const said = conditions.length === 0 ? '' : ` ${conditions.join(', ')}`
  const how = kind === 'OBLIGATIONS' && before.by === after.by ? '' : ` (${spelledDecision(before)} -> ${spelledDecision(after)})`
  return `${label}: ${some(who, maxNames, ' or ')}${verb} ${spelledPlaces(change.places)}${said}${what}, e.g. ${exampleOf(example)}${how}`
}

const spelledDecision = ({ effect, by }: Decided): string => `${effect} by ${by}`

/** The request itself only where a query matters: the path stands before. */
const exampleOf = (example: Example): string =>
  `${spelledExample(example)}${example.target.includes('?') ? `, ${example.method} ${example.target}` : ''}`

const some = (names: readonly string[], most: number, joint: string): string =>
  names.length <= most ? names.join(joint) : `${names.slice(0, most).join(joint)} and ${names.length - most} more`

/** Kinds stand out; nothing of a policy becomes markup. */
const markdown = (line: string): string => line.replaceAll(/[\\`*_<>[\]|#]/g, '\\$&').replace(/^([A-Z ]+):/, '**$1:**')
