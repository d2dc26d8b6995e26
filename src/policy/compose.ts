import { finish, type Steps } from '../config/steps.ts'
import type { Unparsed } from '../config/tree.ts'
import { byPosition, type Finding } from '../model/finding.ts'
import { platformName } from './language/names.ts'
import { assembling, type Composition, changesOf, type TenantChange } from './load/composition.ts'
import { type Folder, sortFiles } from './load/folder.ts'
import { settling } from './load/settle.ts'
import { type ComposeOptions, entryOf, knownVersions, type Loading, type Part, readingAgain, readingTenant } from './load/tenant.ts'
import { digestOf, findingAt, type PolicyFile, type Version } from './load/version.ts'

export type { Composition, Entry, TenantChange } from './load/composition.ts'
export type { ComposeOptions } from './load/tenant.ts'
export type { PolicyFile } from './load/version.ts'

export interface Composed {
  /** Null: the load as a whole is refused, and what was in force stays. */
  readonly composition: Composition | null
  /** Everything wrong on disk, also in files that did not change. */
  readonly findings: readonly Finding[]
  /** What differs from `previous`. */
  readonly changes: readonly TenantChange[]
}

const maxTenants = 10_000

/** Composes the policies of a folder (policy, section 10). Pure: same bytes and same previous, same result, in any order of files. */
export const compose = (files: readonly PolicyFile[], previous: Composition | null, options: ComposeOptions): Composed =>
  finish(composing(files, previous, options))

export function* composing(files: readonly PolicyFile[], previous: Composition | null, options: ComposeOptions): Steps<Composed> {
  const folder = sortFiles(files)
  yield
  const digests = yield* digesting(folder)
  const loading: Loading = { digestOf: file => digests.get(file) ?? digestOf(file.bytes), tests: new Map() }
  yield { soon: unread(folder, previous, loading) }
  const platform = yield* readingPlatform(folder, previous, loading)
  const parts: Part[] = []
  for (const [tenant, own] of folder.tenants) {
    parts.push(yield* readingTenant({ tenant, own, platform: platform.version, before: previous?.entries.get(tenant), loading, options }))
    yield
  }
  const settled = yield* settling(
    parts.map(part => part.draft),
    platform.version?.policy?.document.sharedRoles ?? null,
  )
  const stopping = [...platform.stopping, ...wholeRefusals(folder, previous)]
  const findings = [
    ...folder.findings,
    ...(platform.version?.findings ?? []),
    ...stopping,
    ...parts.flatMap(part => part.findings),
    ...unique(settled.findings),
  ].sort(byPosition)
  const { version } = platform
  if (version === null || stopping.length > 0) return { composition: null, findings, changes: [] }
  yield
  const entries = new Map(parts.map(part => [part.draft.tenant, entryOf(part, settled.enforced)]))
  const composition = yield* assembling(version, entries)
  return { composition, findings, changes: composition === null ? [] : changesOf(previous, composition, settled.refusals) }
}

/** Each policy's digest, once. */
function* digesting({ platform, tenants }: Folder): Steps<ReadonlyMap<PolicyFile, string>> {
  const digests = new Map<PolicyFile, string>()
  for (const file of [...platform, ...[...tenants.values()].flatMap(({ policies }) => policies)]) {
    digests.set(file, digestOf(file.bytes))
    yield
  }
  return digests
}

/** What will have to be parsed, in the order in which it will be asked for. */
const unread = ({ platform, tenants }: Folder, previous: Composition | null, loading: Loading): readonly Unparsed[] => {
  const found = platform.filter(file => previous?.platform.digest !== loading.digestOf(file))
  for (const [tenant, { policies, tests }] of tenants) {
    const [file] = policies
    const known = knownVersions(previous?.entries.get(tenant))
    if (file !== undefined && !known.some(version => version?.digest === loading.digestOf(file))) found.push(file, ...tests)
  }
  return found.map(({ name, bytes }) => ({ file: name, bytes, family: 'P' }))
}

/** A conflict that stays while others are settled is found again in each round. */
const unique = (findings: readonly Finding[]): Finding[] => [...new Map(findings.map(f => [JSON.stringify(f), f])).values()]

const wholeFile = (file: string, code: string, message: string): Finding => findingAt(file, { line: 0, column: 0 }, code, message)

interface Platform {
  /** Null: there is none. */
  readonly version: Version | null
  readonly stopping: readonly Finding[]
}

function* readingPlatform({ platform: [file, second] }: Folder, previous: Composition | null, loading: Loading): Steps<Platform> {
  const name = `${platformName}.policy.yaml`
  if (file === undefined)
    return { version: null, stopping: [wholeFile(name, 'P603', 'the platform file is missing. Write it, if only with "rules: []".')] }
  const version = yield* readingAgain(platformName, file, [previous?.platform], loading)
  if (second === undefined) return { version, stopping: [] }
  return { version, stopping: [wholeFile(second.name, 'P603', `${file.name} is the platform file already. Remove one of them.`)] }
}

/** Reasons for which nothing of this load may come into force. */
const wholeRefusals = ({ tenants }: Folder, previous: Composition | null): Finding[] => {
  if (tenants.size > maxTenants)
    return [wholeFile('.', 'P110', `${tenants.size} tenants; at most ${maxTenants} are served. Run another Postern.`)]
  const known = [...(previous?.entries.keys() ?? [])]
  const gone = known.filter(tenant => !tenants.has(tenant))
  // A folder that is half mounted or half copied must not take everybody's access away.
  if (gone.length <= 1 || gone.length * 10 <= known.length) return []
  const some = `${gone.slice(0, 5).join(', ')}${gone.length > 5 ? ', ...' : ''}`
  return [
    wholeFile(
      '.',
      'P604',
      `the files of ${gone.length} of ${known.length} tenants are gone (${some}). Remove tenants one at a time or up to a tenth at once, or restart Postern.`,
    ),
  ]
}
