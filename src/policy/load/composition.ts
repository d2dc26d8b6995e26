import type { Steps } from '../../config/steps.ts'
import type { PolicyEngine, TenantState } from '../../model/decision.ts'
import type { Finding } from '../../model/finding.ts'
import { assemblingEngine } from '../decide.ts'
import { platformName } from '../language/names.ts'
import type { Tested } from '../tests/tested.ts'
import type { Version } from './version.ts'

export interface Entry {
  readonly onDisk: Version
  /** Null: no good version; the tenant's requests get 503. */
  readonly enforced: Version | null
  /** What was in force before, for a rollback; null: nothing in this process, or rolled back to already. */
  readonly previous: Version | null
  /** Digest that was rolled back from: it does not come into force again before another one did. */
  readonly held: string | null
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
  /** In force now, or, with a `finding`, refused on disk. */
  readonly newDigest: string | null
  /** The first reason for which the version on disk is refused; null where it is in force. */
  readonly finding: Finding | null
  /** Of what is in force now: see `PolicyEngine.observing`. */
  readonly observeUntil: number | null
}

export const stateOf = (tenant: string, { onDisk, enforced, held }: Entry): TenantState => ({
  tenant,
  state:
    enforced === null ? 'unavailable' : enforced.digest === onDisk.digest ? 'enforced' : onDisk.digest === held ? 'rolled-back' : 'stale',
  digestEnforced: enforced?.digest ?? null,
  digestOnDisk: onDisk.digest,
})

/** Puts together what comes into force. `entries` are in order of name. */
export function* assembling(platform: Version, entries: ReadonlyMap<string, Entry>): Steps<Composition | null> {
  if (platform.policy === null) return null
  const tenants = [...entries].map(([tenant, entry]) => ({
    policy: entry.enforced?.policy ?? null,
    recognise: (entry.enforced ?? entry.onDisk).recognise,
    state: stateOf(tenant, entry),
    observeUntil: observeUntil(entry),
  }))
  return { engine: yield* assemblingEngine(platform.policy, tenants), platform, entries }
}

const observeUntil = (entry: Entry): number | null => entry.enforced?.policy?.document.observeUntil ?? null

/** What differs from `previous`; `refusals`: why a version on disk is not in force. */
export const changesOf = (
  previous: Composition | null,
  { platform, entries }: Composition,
  refusals: ReadonlyMap<string, Finding>,
): TenantChange[] => {
  const changes: TenantChange[] = []
  if (previous?.platform.digest !== platform.digest)
    changes.push({
      tenant: platformName,
      state: 'enforced',
      oldDigest: previous?.platform.digest ?? null,
      newDigest: platform.digest,
      finding: null,
      observeUntil: null,
    })
  for (const [tenant, entry] of entries) {
    const old = previous?.entries.get(tenant)
    const state = stateOf(tenant, entry)
    const before = old && stateOf(tenant, old)
    if (before?.state === state.state && before.digestEnforced === state.digestEnforced && before.digestOnDisk === state.digestOnDisk)
      continue
    const finding = state.state === 'enforced' || state.state === 'rolled-back' ? null : (refusals.get(tenant) ?? null)
    const digests = {
      oldDigest: before?.digestEnforced ?? null,
      newDigest: state.state === 'rolled-back' ? state.digestEnforced : entry.onDisk.digest,
    }
    changes.push({ tenant, state: state.state, ...digests, finding, observeUntil: observeUntil(entry) })
  }
  for (const [tenant, old] of previous?.entries ?? [])
    if (!entries.has(tenant))
      changes.push({
        tenant,
        state: 'removed',
        oldDigest: old.enforced?.digest ?? null,
        newDigest: null,
        finding: null,
        observeUntil: null,
      })
  return changes
}
