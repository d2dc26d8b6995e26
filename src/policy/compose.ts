import type { PolicyEngine, TenantState } from '../model/decision.ts'
import { byPosition, type Finding } from '../model/finding.ts'
import { policyEngine } from './decide.ts'
import type { CompiledPolicy } from './engine/compile.ts'
import { platformName } from './language/names.ts'
import { type Folder, misplacedFiles, sortFiles, type TenantFiles } from './load/folder.ts'
import { type Draft, type Settled, settle } from './load/settle.ts'
import { digestOf, findingAt, type PolicyFile, readVersion, type Version } from './load/version.ts'
import { type Tested, testVersion } from './tests/tested.ts'

export type { PolicyFile } from './load/version.ts'

export interface ComposeOptions {
  /** Issuers that Postern is configured to trust (P602); null: not checked. */
  readonly issuers: readonly string[] | null
  /** A changed policy whose tests fail does not come into force. */
  readonly testsGateReload: boolean
  /** Passes over the tests this once: a hot fix that a stale test would hold back. */
  readonly withoutTests?: boolean
  /** Milliseconds since the epoch. */
  readonly now: number
}

export interface Entry {
  readonly onDisk: Version
  /** Null: no good version; the tenant's requests get 503. */
  readonly enforced: Version | null
  readonly tested: Tested
}

/** What is in force after a load, and what the next load starts from. */
export interface Composition {
  readonly engine: PolicyEngine
  readonly platform: Version
  /** In order of name. */
  readonly entries: ReadonlyMap<string, Entry>
}

export interface TenantChange {
  /** `_platform` for the platform file. */
  readonly tenant: string
  readonly state: TenantState['state'] | 'removed'
  /** In force before. */
  readonly oldDigest: string | null
  /** On disk now; in force if `finding` is null. */
  readonly newDigest: string | null
  /** The first reason for which the version on disk is refused; null where it is in force. */
  readonly finding: Finding | null
}

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
export const compose = (files: readonly PolicyFile[], previous: Composition | null, options: ComposeOptions): Composed => {
  const folder = sortFiles(files)
  const platform = readPlatform(folder, previous)
  const parts = [...folder.tenants].map(([tenant, own]) => readTenant(tenant, own, platform.version, previous, options))
  const settled = settle(
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
  if (!version?.policy || stopping.length > 0) return { composition: null, findings, changes: [] }
  const entries = new Map(parts.map(part => [part.draft.tenant, entryOf(part, settled)]))
  const composition = { engine: engineOf(version.policy, entries), platform: version, entries }
  return { composition, findings, changes: changesOf(previous, composition, settled) }
}

/** A conflict that stays while others are settled is found again in each round. */
const unique = (findings: readonly Finding[]): Finding[] => [...new Map(findings.map(f => [JSON.stringify(f), f])).values()]

const wholeFile = (file: string, code: string, message: string): Finding => findingAt(file, { line: 0, column: 0 }, code, message)

interface Platform {
  /** Null: there is none. */
  readonly version: Version | null
  readonly stopping: readonly Finding[]
}

const readPlatform = ({ platform: [file, second] }: Folder, previous: Composition | null): Platform => {
  const name = `${platformName}.policy.yaml`
  if (file === undefined)
    return { version: null, stopping: [wholeFile(name, 'P603', 'the platform file is missing. Write it, if only with "rules: []".')] }
  const version = readAgain(platformName, file, previous?.platform)
  if (second === undefined) return { version, stopping: [] }
  return { version, stopping: [wholeFile(second.name, 'P603', `${file.name} is the platform file already. Remove one of them.`)] }
}

/** Bytes that were read before are not read again. */
const readAgain = (tenant: string, file: PolicyFile, ...known: readonly (Version | null | undefined)[]): Version => {
  const digest = digestOf(file.bytes)
  return known.find(version => version?.digest === digest && version.file === file.name) ?? readVersion(tenant, file, digest)
}

interface Part {
  readonly draft: Draft
  readonly tested: Tested
  readonly findings: readonly Finding[]
}

const readTenant = (
  tenant: string,
  own: TenantFiles,
  platform: Version | null,
  previous: Composition | null,
  options: ComposeOptions,
): Part => {
  const before = previous?.entries.get(tenant)
  const lastGood = before?.enforced ?? null
  const file = own.policies[0] ?? { name: `${tenant}.policy.yaml`, bytes: Buffer.alloc(0) }
  const onDisk = readAgain(tenant, file, before?.onDisk, lastGood)
  const gated = options.testsGateReload && options.withoutTests !== true
  const tested = testVersion({ version: onDisk, tests: own.tests, platform, run: gated, before: before?.tested ?? null })
  const misplaced = misplacedFiles(own)
  const ownFindings = [...onDisk.findings, ...misplaced.policies, ...unknownIssuers(onDisk, options.issuers)]
  const testFindings = [...misplaced.tests, ...tested.findings]
  const isNew = lastGood?.digest !== onDisk.digest
  // What is in force already is not taken out of force by a test or a configuration that changed beside it.
  const gates = isNew ? [...ownFindings, ...(gated ? testFindings : [])] : []
  const refusal = gates.toSorted(byPosition).find(finding => finding.severity === 'error') ?? null
  return {
    draft: { tenant, onDisk, lastGood: isNew ? lastGood : onDisk, refusal },
    tested,
    findings: [...ownFindings, ...testFindings],
  }
}

const unknownIssuers = (version: Version, issuers: readonly string[] | null): Finding[] =>
  version.spots.issuers
    .filter(({ text }) => issuers !== null && version.recognise?.issuer.includes(text) && !issuers.includes(text))
    .map(({ text, spot }) =>
      findingAt(
        version.file,
        spot,
        'P602',
        `"${text}" is not among the configured issuers (${issuers?.join(', ')}). Write one of them byte for byte, or configure it.`,
      ),
    )

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

const entryOf = ({ draft, tested }: Part, { enforced }: Settled): Entry => ({
  onDisk: draft.onDisk,
  enforced: enforced.get(draft.tenant) ?? null,
  tested,
})

const stateOf = (tenant: string, { onDisk, enforced }: Entry): TenantState => ({
  tenant,
  state: enforced === null ? 'unavailable' : enforced.digest === onDisk.digest ? 'enforced' : 'stale',
  digestEnforced: enforced?.digest ?? null,
  digestOnDisk: onDisk.digest,
})

const engineOf = (platform: CompiledPolicy, entries: ReadonlyMap<string, Entry>): PolicyEngine =>
  policyEngine(
    platform,
    [...entries].map(([tenant, entry]) => ({
      policy: entry.enforced?.policy ?? null,
      recognise: (entry.enforced ?? entry.onDisk).recognise,
      state: stateOf(tenant, entry),
    })),
  )

const changesOf = (previous: Composition | null, { platform, entries }: Composition, { refusals }: Settled): TenantChange[] => {
  const changes: TenantChange[] = []
  if (previous?.platform.digest !== platform.digest)
    changes.push({
      tenant: platformName,
      state: 'enforced',
      oldDigest: previous?.platform.digest ?? null,
      newDigest: platform.digest,
      finding: null,
    })
  for (const [tenant, entry] of entries) {
    const old = previous?.entries.get(tenant)
    const state = stateOf(tenant, entry)
    const before = old && stateOf(tenant, old)
    if (before?.state === state.state && before.digestEnforced === state.digestEnforced && before.digestOnDisk === state.digestOnDisk)
      continue
    const finding = state.state === 'enforced' ? null : (refusals.get(tenant) ?? null)
    changes.push({ tenant, state: state.state, oldDigest: before?.digestEnforced ?? null, newDigest: entry.onDisk.digest, finding })
  }
  for (const [tenant, old] of previous?.entries ?? [])
    if (!entries.has(tenant))
      changes.push({ tenant, state: 'removed', oldDigest: old.enforced?.digest ?? null, newDigest: null, finding: null })
  return changes
}
