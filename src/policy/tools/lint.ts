import { entryOf } from '../../config/shape.ts'
import { type Node, Source } from '../../config/source.ts'
import type { Finding } from '../../model/finding.ts'
import type { Composition } from '../compose.ts'
import { located } from '../language/scope.ts'
import { sortFiles } from '../load/folder.ts'
import type { PolicyFile, Version } from '../load/version.ts'
import { type Above, lintOrder } from './lint/order.ts'
import { Report } from './lint/report.ts'
import { lintBreadth, lintEnds, lintHops, lintSubjects, lintUnused } from './lint/single.ts'

/**
 * Lints of every policy file that can be read (W801 to W812 but W806): what is valid and yet hardly meant. `now` is the clock of W803 and
 * W804, milliseconds since the epoch. Of commands only: a reload neither waits for it nor is held up by it.
 */
export const lintPolicies = ({ platform, entries }: Composition, files: readonly PolicyFile[], now: number): readonly Finding[] => {
  const byName = new Map(files.map(file => [file.name, file]))
  const { tenants } = sortFiles(files)
  const above = platform.policy && { file: platform.file, policy: platform.policy }
  const own = [...entries].flatMap(([tenant, { onDisk }]) =>
    lintPolicy(onDisk, byName.get(onDisk.file), tenants.get(tenant)?.tests ?? [], above, now),
  )
  return [...lintPolicy(platform, byName.get(platform.file), [], null, now), ...own]
}

const lintPolicy = (
  { policy, recognise }: Version,
  file: PolicyFile | undefined,
  tests: readonly PolicyFile[],
  platform: Above | null,
  now: number,
): readonly Finding[] => {
  if (policy === null || file === undefined) return []
  const { document } = policy
  const report = new Report(file)
  lintEnds(document, now, report)
  lintUnused(document, new Set(tests.flatMap(test => inNever(test))), report)
  lintHops(document, report)
  lintSubjects(document.who, recognise, report)
  lintBreadth(document, report)
  lintOrder(policy, platform, report)
  return report.findings
}

/** The first word of each `never` line of a test file: a name that a promise alone is about is used. */
const inNever = (file: PolicyFile): readonly string[] => {
  const { root } = new Source(file.name, file.bytes, 'P')
  const lines: Node | undefined = root?.kind === 'map' ? entryOf(root, 'never')?.value : undefined
  return located(lines).map(line => line.text.split(' ', 1)[0] ?? '')
}
