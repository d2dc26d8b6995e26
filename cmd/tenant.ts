import { formatFinding } from '../src/model/finding.ts'
import type { Entry } from '../src/policy/compose.ts'
import type { FiledBench } from '../src/policy/tools/change.ts'
import { filedBench } from '../src/policy/tools/explain.ts'
import { exit, type Io } from './io.ts'
import { type Policies, plain } from './policies.ts'

/** One tenant of a policies folder, ready to be asked. */
export interface Tenant {
  readonly entry: Entry
  readonly bench: FiledBench
}

/** The tenant, or the exit code after saying why not: nothing is told of a policy that would not come into force. */
export const tenantOf = (command: string, policies: Policies, name: string, io: Io): Tenant | number => {
  const { composition, files } = policies
  const entry = composition?.entries.get(name)
  if (composition !== null && entry === undefined) {
    const known = [...composition.entries.keys()]
    const some = `${known.slice(0, 20).join(', ')}${known.length > 20 ? ', ...' : ''}`
    io.err(`${plain(`postern ${command}: there is no tenant ${JSON.stringify(name)}. Known: ${some}.`)}\n`)
    return exit.usage
  }
  const own = files.map(file => file.name).filter(file => file.slice(file.lastIndexOf('/') + 1).startsWith(`${name}.`))
  const errors = versionErrors(policies, composition && new Set([composition.platform.file, ...own]), io)
  const bench = entry && composition && filedBench(entry.onDisk, composition.platform, files)
  return errors > 0 || !bench ? exit.findings : { entry, bench }
}

/** Prints the errors of these files, of all if null, and counts them. */
export const versionErrors = ({ findings }: Policies, names: ReadonlySet<string> | null, io: Io): number => {
  const errors = findings.filter(({ severity, file }) => severity === 'error' && (names === null || names.has(file)))
  for (const error of errors) io.err(`${plain(formatFinding(error))}\n`)
  return errors.length
}
