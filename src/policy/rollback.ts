import type { Steps } from '../config/steps.ts'
import type { Finding } from '../model/finding.ts'
import { assembling, type Composition, changesOf, type Entry, type TenantChange } from './load/composition.ts'
import { type Draft, settling } from './load/settle.ts'
import { unknownIssuers } from './load/tenant.ts'
import { findingAt, type Version } from './load/version.ts'

export interface RolledBack {
  readonly composition: Composition
  readonly change: TenantChange
}

/** Why a tenant stays as it is, for the operator. */
export interface NoRollback {
  readonly problem: string
}

/**
 * Restores the version that was in force before (policy, section 10.6), if it fits what is in force now. Pure; no file is read. The version rolled
 * back from stays out of force until another one has been in force.
 */
export function* rollingBack(composition: Composition, tenant: string, issuers: readonly string[] | null): Steps<RolledBack | NoRollback> {
  const { platform, entries } = composition
  const entry = entries.get(tenant)
  if (entry === undefined) return { problem: `${tenant} is not a tenant here.` }
  const { previous } = entry
  if (previous === null) return { problem: nothingKept(tenant, entry) }
  const refusal = unknownIssuers(previous, issuers)[0] ?? null
  const drafts = [...entries].map(([name, one]) =>
    name === tenant ? { tenant, onDisk: previous, lastGood: one.enforced, refusal } : asIs(name, one),
  )
  const { enforced, refusals } = yield* settling(drafts, platform.policy?.document.sharedRoles ?? null)
  const others = [...entries].every(([name, one]) => name === tenant || enforced.get(name)?.digest === one.enforced?.digest)
  if (enforced.get(tenant) !== previous || !others)
    return { problem: `the version before does not fit what is in force now: ${reason(refusals.get(tenant))}` }
  const held = (entry.enforced ?? entry.onDisk).digest
  const next = yield* assembling(platform, new Map([...entries, [tenant, { ...entry, enforced: previous, previous: null, held }]]))
  const [change] = next === null ? [] : changesOf(composition, next, new Map())
  return next === null || change === undefined ? { problem: 'nothing would change.' } : { composition: next, change }
}

const nothingKept = (tenant: string, { held }: Entry): string =>
  held === null
    ? `no version of ${tenant} was in force before the present one since this process started. Revert its file instead.`
    : `${tenant} is rolled back already, and only one version is kept. Revert its file instead.`

const reason = (finding: Finding | undefined): string =>
  finding === undefined ? 'another tenant would be refused.' : `${finding.code} ${finding.message}`

/** A tenant that is not meant: it keeps what is in force, or stays without. */
const asIs = (tenant: string, { onDisk, enforced }: Entry): Draft => ({
  tenant,
  onDisk: enforced ?? onDisk,
  lastGood: enforced,
  refusal: enforced === null ? unavailable(onDisk) : null,
})

const unavailable = ({ file }: Version): Finding => findingAt(file, { line: 0, column: 0 }, 'P100', 'no good version')
