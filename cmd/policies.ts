import { relative, resolve, sep } from 'node:path'
import { inconsistencies } from '../src/consistency.ts'
import { systemClock } from '../src/deps.ts'
import { readConfigFile } from '../src/load.ts'
import { byPosition, type Finding, formatFinding } from '../src/model/finding.ts'
import { type Composed, composing, type PolicyFile } from '../src/policy/compose.ts'
import { parseInstant } from '../src/policy/language/moment.ts'
import { lintPolicies } from '../src/policy/tools/lint.ts'
import { readPolicyFolder } from '../src/policy-folder.ts'
import { trustedIssuers } from '../src/settings.ts'
import { inTurns } from '../src/turns.ts'
import { exit, type Io, plain } from './io.ts'

/** Of every command that reads a policies folder. */
export const policyOptions = {
  policies: { type: 'string', default: 'policies' },
  json: { type: 'boolean', default: false },
} as const

/** A policies folder, read and composed as at a start, without its tests. */
export interface Policies extends Composed {
  readonly files: readonly PolicyFile[]
  /** Moment of the load, milliseconds since the epoch. */
  readonly now: number
  /** Files that the report is limited to; null: all. */
  readonly only: ReadonlySet<string> | null
}

export interface PolicyArguments {
  readonly dir: string
  readonly config: string | undefined
  readonly names: readonly string[]
  /** Moment of the load; not given: now. */
  readonly at?: string | undefined
}

/** Reads what the arguments name, or says why not and gives the exit code. */
export const loadPolicies = async (command: string, args: PolicyArguments, io: Io): Promise<Policies | number> => {
  const now = args.at === undefined ? systemClock.now() : parseInstant(args.at)
  if (typeof now !== 'number') {
    io.err(`postern ${command}: --at: ${plain(now.message)}\n`)
    return exit.usage
  }
  const folder = await readPolicyFolder(args.dir)
  if ('error' in folder) return refuse(io, [folder.error])
  const config = args.config === undefined ? null : await readConfigFile(args.config)
  if (config !== null && !('config' in config)) return refuse(io, config)
  if (config?.config === null) return refuse(io, config.source.findings)
  const issuers = config === null ? null : trustedIssuers(config.config)
  const composed = await inTurns(composing(folder.files, null, { issuers, testsGateReload: false, now }), systemClock)
  const unfit = config !== null && composed.composition !== null ? inconsistencies(config, composed.composition) : []
  const findings = [...folder.findings, ...composed.findings, ...unfit].sort(byPosition)
  const known = new Set([...folder.files.map(file => file.name), ...findings.map(finding => finding.file)])
  const only = new Set<string>()
  for (const name of args.names) {
    const inside = relative(resolve(args.dir), resolve(name)).split(sep).join('/')
    const found = known.has(inside) ? inside : known.has(name) ? name : null
    if (found === null) {
      io.err(`postern ${command}: ${name} is not a policy or test file below ${args.dir}.${fileGuess(name, known)}\n`)
      return exit.usage
    }
    only.add(found)
  }
  return { ...composed, findings, files: folder.files, now, only: args.names.length === 0 ? null : only }
}

/** A tenant is named where a file is wanted. */
const fileGuess = (name: string, known: ReadonlySet<string>): string => {
  const own = `${name.replace(/(\.policy)?(\.ya?ml)?$/, '')}.policy.yaml`
  return known.has(own) ? ` Write ${own}.` : ''
}

const refuse = (io: Io, findings: readonly Finding[]): number => {
  for (const finding of findings) io.err(`${plain(formatFinding(finding))}\n`)
  return exit.usage
}

/** What the report is about, lints included; a finding about the folder as a whole always is. `strict`: warnings are errors. */
export const selected = ({ findings, composition, files, only, now }: Policies, strict: boolean): readonly Finding[] => {
  const all = [...findings, ...(composition === null ? [] : lintPolicies(composition, files, now))]
  const some = only === null ? all : all.filter(({ file }) => file === '.' || only.has(file))
  return strict ? some.map(finding => ({ ...finding, severity: 'error' })) : some
}

/** One finding a line, then the source line and a caret. */
export const printWithSource = (findings: readonly Finding[], files: readonly PolicyFile[], io: Io): void => {
  const lines = new Map<string, readonly string[]>()
  const linesOf = (name: string): readonly string[] => {
    const known = lines.get(name)
    if (known !== undefined) return known
    const read =
      files
        .find(file => file.name === name)
        ?.bytes.toString('utf8')
        .split('\n') ?? []
    lines.set(name, read)
    return read
  }
  for (const finding of findings.toSorted(byPosition)) {
    io.out(`${plain(formatFinding(finding))}\n`)
    const line = finding.line > 0 ? linesOf(finding.file)[finding.line - 1] : undefined
    if (line !== undefined) io.out(excerpt(line, finding.column))
  }
}

const widest = 120

const excerpt = (line: string, column: number): string => {
  const from = column > widest ? column - 40 : 0
  return `${plain(line.slice(from, from + widest))}\n${' '.repeat(Math.max(0, column - 1 - from))}^\n`
}

export { plain }

export const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
