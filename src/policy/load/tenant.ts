import type { Steps } from '../../config/steps.ts'
import { byPosition, type Finding } from '../../model/finding.ts'
import type { SharedTests } from '../engine/conditions.ts'
import { type Tested, testingVersion } from '../tests/tested.ts'
import type { Entry } from './composition.ts'
import { misplacedFiles, type TenantFiles } from './folder.ts'
import type { Draft } from './settle.ts'
import { findingAt, type PolicyFile, readingVersion, type Version } from './version.ts'

/** What a load is judged by, beside the files. */
export interface ComposeOptions {
  /** Issuers that Postern is configured to trust (P602); null: not checked. */
  readonly issuers: readonly string[] | null
  /** A changed policy whose tests fail does not come into force. */
  readonly testsGateReload: boolean
  /** Passes over the tests this once: a hot fix that a stale test would hold back. */
  readonly withoutTests?: boolean
  /** Moment of the load, milliseconds since the epoch. */
  readonly now: number
}

/** What all tenants of one load have in common. */
export interface Loading {
  /** SHA-256 of a policy file, hex. */
  digestOf(file: PolicyFile): string
  readonly tests: SharedTests
}

/** Bytes that were read before are not read again. */
export function* readingAgain(
  tenant: string,
  file: PolicyFile,
  known: readonly (Version | null | undefined)[],
  { digestOf, tests }: Loading,
): Steps<Version> {
  const digest = digestOf(file)
  const before = known.find(version => version?.digest === digest && version.file === file.name)
  return before ?? (yield* readingVersion(tenant, file, digest, tests))
}

/** One tenant as read, before it is compared with others. */
export interface Part {
  readonly draft: Draft
  readonly onDisk: Version
  readonly before: Entry | undefined
  readonly tested: Tested
  readonly findings: readonly Finding[]
}

export interface TenantLoad {
  readonly tenant: string
  readonly own: TenantFiles
  /** Null: missing or refused. */
  readonly platform: Version | null
  readonly before: Entry | undefined
  readonly loading: Loading
  readonly options: ComposeOptions
}

const missing = (tenant: string): PolicyFile => ({ name: `${tenant}.policy.yaml`, bytes: Buffer.alloc(0) })

export function* readingTenant({ tenant, own, platform, before, loading, options }: TenantLoad): Steps<Part> {
  const lastGood = before?.enforced ?? null
  const file = own.policies[0] ?? missing(tenant)
  const onDisk = yield* readingAgain(tenant, file, knownVersions(before), loading)
  const gated = options.testsGateReload && options.withoutTests !== true
  const tested = yield* testingVersion({ version: onDisk, tests: own.tests, platform, run: gated, before: before?.tested ?? null })
  const misplaced = misplacedFiles(own)
  const ownFindings = [
    ...onDisk.findings,
    ...misplaced.policies,
    ...unknownIssuers(onDisk, options.issuers),
    ...observation(onDisk, options.now),
  ]
  const testFindings = [...misplaced.tests, ...tested.findings]
  const isNew = lastGood?.digest !== onDisk.digest
  // What is in force already is not taken out of force by a test or a configuration that changed beside it.
  const gates = isNew ? [...ownFindings, ...(gated ? testFindings : [])] : []
  const refusal = gates.toSorted(byPosition).find(finding => finding.severity === 'error') ?? null
  const isHeld = lastGood !== null && before?.held === onDisk.digest
  return {
    draft: isHeld
      ? { tenant, onDisk: lastGood, lastGood, refusal: null }
      : { tenant, onDisk, lastGood: isNew ? lastGood : onDisk, refusal },
    onDisk,
    before,
    tested,
    findings: [...ownFindings, ...testFindings],
  }
}

/** Versions that need not be read again. */
export const knownVersions = (before: Entry | undefined): readonly (Version | null | undefined)[] => [
  before?.onDisk,
  before?.enforced,
  before?.previous,
]

/** What the load makes of one tenant. */
export const entryOf = ({ draft, onDisk, before, tested }: Part, inForce: ReadonlyMap<string, Version>): Entry => {
  const enforced = inForce.get(draft.tenant) ?? null
  const same = enforced?.digest === before?.enforced?.digest
  return {
    onDisk,
    enforced,
    previous: (same ? null : before?.enforced) ?? before?.previous ?? null,
    held: same ? (before?.held ?? null) : null,
    tested,
  }
}

const longestObservation = 30 * 24 * 3_600_000

/** A tenant that is observed longer would be one that nobody protects and nobody remembers. */
const observation = ({ tenant, file, policy, spots: { mode } }: Version, now: number): Finding[] => {
  const until = policy?.document.observeUntil ?? null
  if (until === null || until <= now) return []
  // Moments of a policy are never beyond what a date can say.
  const moment = new Date(until).toISOString()
  if (until > now + longestObservation)
    return [findingAt(file, mode, 'P204', `observe-until is ${moment}, more than 30 days from now; write an earlier moment.`)]
  const message = `observe mode: until ${moment} what the rules of ${tenant} refuse is recorded and let pass, without a credential.`
  return [{ ...findingAt(file, mode, 'W813', message), severity: 'warning' }]
}

/** Issuers of a version that the configuration does not trust. */
export const unknownIssuers = (version: Version, issuers: readonly string[] | null): Finding[] =>
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
