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
  const { composition, files, findings } = policies
  const entry = composition?.entries.get(name)
  if (composition !== null && entry === undefined) {
    const known = [...composition.entries.keys()]
    const some = `${known.slice(0, 20).join(', ')}${known.length > 20 ? ', ...' : ''}`
    io.err(plain(`postern ${command}: there is no tenant ${JSON.stringify(name)}. Known: ${some}.`).concat('\n'))
    return exit.usage
  }
  const own = new Set([entry?.onDisk.file, composition?.platform.file, ...(entry?.tested.files.map(test => test.file) ?? [])])
  const isOwn = (file: string): boolean => composition === null || own.has(file) || file.split('/').at(-1)?.startsWith(`${name}.`) === true
  const errors = findings.filter(({ severity, file }) => severity === 'error' && isOwn(file))
  const bench = entry === undefined || composition === null ? null : filedBench(entry.onDisk, composition.platform, files)
  if (errors.length === 0 && bench !== null && entry !== undefined) return { entry, bench }
  for (const error of errors) io.err(`${plain(formatFinding(error))}\n`)
  return exit.findings
}
