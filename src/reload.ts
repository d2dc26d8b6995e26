import { dirname, resolve } from 'node:path'
import type { Current } from './current.ts'
import { type LoadedConfig, loadConfig } from './load.ts'
import type { Audit } from './model/audit.ts'
import type { Clock, Log } from './model/deps.ts'
import { byPosition, type Finding } from './model/finding.ts'
import { type Composed, type Composition, composing, type TenantChange } from './policy/compose.ts'
import { type NoRollback, rollingBack } from './policy/rollback.ts'
import { readPolicyFolder } from './policy-folder.ts'
import { eventCodes } from './record/codes.ts'
import { needingRestart } from './settings.ts'
import { createSnapshot, type Snapshot } from './snapshot.ts'
import { inTurns } from './turns.ts'

export interface ReloadRequest {
  /** `start`, `change`, `SIGHUP` or `control`. */
  readonly by: string
  readonly withoutTests: boolean
  /** Why tests are passed over; for the audit. */
  readonly why: string
}

/** What the control socket was asked. */
export const askedFor = (body: Readonly<Record<string, unknown>>): ReloadRequest => ({
  by: 'control',
  withoutTests: body['withoutTests'] === true,
  why: String(body['why'] ?? '').slice(0, 1000),
})

export interface ReloadResult {
  readonly changed: boolean
  /** Something on disk is not in force. */
  readonly refused: boolean
  readonly digest: string
  readonly findings: readonly Finding[]
  /** Keys whose new value waits for a restart. */
  readonly restart: readonly string[]
}

export interface RollbackResult {
  readonly tenant: string
  /** In force now. */
  readonly digest: string
  /** In force before; null: nothing was. */
  readonly from: string | null
  readonly onDisk: string
}

export interface ReloadObserver {
  /** Something else is in force now. */
  changed(next: Snapshot): void
  retired(old: Snapshot): void
  counted(kind: 'config' | 'policy', result: 'loaded' | 'refused'): void
}

/** Policies as read from disk and composed with what is in force. */
export const loadPolicies = async (
  loaded: LoadedConfig,
  previous: Composition | null,
  { withoutTests, clock }: { readonly withoutTests: boolean; readonly clock: Clock },
): Promise<Composed> => {
  const folder = await readPolicyFolder(resolve(dirname(resolve(loaded.file)), loaded.config.policies.dir))
  if ('error' in folder) return { composition: null, findings: [folder.error], changes: [] }
  const options = {
    issuers: issuersOf(loaded),
    testsGateReload: loaded.config.policies['tests-gate-reload'],
    withoutTests,
    now: clock.now(),
  }
  const result = await inTurns(composing(folder.files, previous, options), clock)
  return { ...result, findings: [...folder.findings, ...result.findings] }
}

const issuersOf = (loaded: LoadedConfig): readonly string[] => loaded.issuers.map(({ issuer }) => issuer)

export interface Parts {
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  readonly current: Current
  readonly observe: ReloadObserver
}

/** What one reload found out, before anything is swapped. */
interface Attempt {
  readonly loaded: LoadedConfig
  readonly composition: Composition
  readonly findings: readonly Finding[]
}

/**
 * Reload (architecture, section 6). Every step before the swap may fail and changes nothing but a metric, a log line and an audit record. The
 * configuration and each tenant's policy fall back separately to their last good version, so one broken file never holds back another's fix.
 */
export class Reloader {
  readonly #parts: Parts
  #loaded: LoadedConfig
  readonly #started: LoadedConfig
  #composition: Composition
  #last: Promise<unknown> = Promise.resolve()
  #seen = ''
  #lastGood: number
  /** What the last attempt refused, for `status`. */
  refused: readonly Finding[] = []

  constructor(parts: Parts, loaded: LoadedConfig, composition: Composition) {
    this.#parts = parts
    this.#loaded = loaded
    this.#started = loaded
    this.#composition = composition
    this.#lastGood = parts.clock.now()
  }

  /** Reads everything again. One reload at a time, in the order asked for. */
  reload(request: ReloadRequest): Promise<ReloadResult> {
    return this.#inOrder(() => this.#run(request))
  }

  /** Restores the version of one tenant that was in force before, until its file changes again. Reads nothing. */
  rollback(tenant: string, why: string): Promise<RollbackResult | NoRollback> {
    return this.#inOrder(() => this.#rollback(tenant, why))
  }

  /** When a load last refused nothing, milliseconds since the epoch; the start counts as one. */
  get lastGood(): number {
    return this.#lastGood
  }

  #inOrder<T>(task: () => Promise<T>): Promise<T> {
    const next = this.#last.then(task)
    this.#last = next.catch(() => undefined)
    return next
  }

  async #run(request: ReloadRequest): Promise<ReloadResult> {
    const attempt = await this.#attempt(request)
    this.refused = attempt.findings.filter(finding => finding.severity === 'error')
    if (this.refused.length === 0) this.#lastGood = this.#parts.clock.now()
    const changed = this.#bringIn(attempt.loaded, attempt.composition)
    const restart = needingRestart(this.#started.read, attempt.loaded.read)
    if (changed && restart.length > 0) this.#parts.log.warn({ keys: restart.join(', ') }, 'these keys changed and wait for a restart')
    const { digest } = this.#parts.current.peek()
    return { changed, refused: this.refused.length > 0, digest, findings: attempt.findings, restart }
  }

  async #rollback(tenant: string, why: string): Promise<RollbackResult | NoRollback> {
    const result = await inTurns(rollingBack(this.#composition, tenant, issuersOf(this.#loaded)), this.#parts.clock)
    if ('problem' in result) {
      this.#parts.log.warn({ tenant, problem: result.problem }, 'nothing is rolled back')
      return result
    }
    this.#bringIn(this.#loaded, result.composition)
    this.#changed(result.change, { by: 'rollback', why })
    const { enforced, onDisk } = result.composition.entries.get(tenant) ?? {}
    return { tenant, digest: enforced?.digest ?? '', from: result.change.oldDigest, onDisk: onDisk?.digest ?? '' }
  }

  /** The swap: true if something else is in force now. */
  #bringIn(loaded: LoadedConfig, composition: Composition): boolean {
    const { current, observe } = this.#parts
    const old = current.peek()
    const next = createSnapshot(loaded, composition.engine, old)
    const changed = next.digest !== old.digest
    this.#loaded = loaded
    this.#composition = composition
    // Without a change too: the states of tenants, which status shows, are the new snapshot's.
    current.swap(next, retired => observe.retired(retired))
    if (changed) observe.changed(next)
    return changed
  }

  async #attempt(request: ReloadRequest): Promise<Attempt> {
    const read = await loadConfig(this.#loaded.file)
    const good = 'config' in read
    const loaded = good ? read : this.#loaded
    const policies = await loadPolicies(loaded, this.#composition, { withoutTests: request.withoutTests, clock: this.#parts.clock })
    const findings = [...(good ? read.read.source.findings : read), ...policies.findings].sort(byPosition)
    this.#report(request, good && read.digest !== this.#loaded.digest ? read.digest : null, good ? [] : read, policies, findings)
    return { loaded, composition: policies.composition ?? this.#composition, findings }
  }

  /** The poll comes back to the same broken file every 10 s; it is reported when it breaks and when it breaks differently. */
  #report(
    request: ReloadRequest,
    newConfig: string | null,
    refusedConfig: readonly Finding[],
    policies: Composed,
    findings: readonly Finding[],
  ): void {
    const seen = JSON.stringify([findings.filter(finding => finding.severity === 'error'), newConfig])
    const fresh = seen !== this.#seen || request.by === 'control' || request.by === 'SIGHUP'
    this.#seen = seen
    const detail = { by: request.by, ...(request.withoutTests ? { without_tests: true, why: request.why } : {}) }
    if (newConfig !== null) this.#record('config', 'config-load', { ...detail, digest: newConfig })
    if (fresh && refusedConfig.length > 0) this.#record('config', 'config-refused', { ...detail, ...firstOf(refusedConfig) })
    if (fresh && policies.composition === null) this.#record('policy', 'policy-refused', { ...detail, ...firstOf(policies.findings) })
    for (const change of policies.changes) if (change.finding === null || fresh) this.#changed(change, detail)
  }

  #changed({ tenant, oldDigest, newDigest, state, finding, observeUntil }: TenantChange, detail: Detail): void {
    const about: Detail = { ...detail, old_digest: oldDigest, new_digest: newDigest, state }
    const observing = observeUntil !== null && observeUntil > this.#parts.clock.now()
    if (finding !== null) this.#record('policy', 'policy-refused', { ...about, ...firstOf([finding]) }, tenant)
    else
      this.#record('policy', 'policy-load', observing ? { ...about, observe_until: new Date(observeUntil).toISOString() } : about, tenant)
  }

  #record(
    about: 'config' | 'policy',
    kind: 'config-load' | 'config-refused' | 'policy-load' | 'policy-refused',
    detail: Detail,
    tenant: string | null = null,
  ): void {
    const { audit, clock, log, observe } = this.#parts
    const refused = kind.endsWith('refused')
    audit.event({ kind, code: eventCodes[kind], time: clock.now(), tenant, detail })
    observe.counted(about, refused ? 'refused' : 'loaded')
    if (refused) log.error({ ...detail, tenant }, `${about} refused; the last good version stays in force`)
    else if (detail['state'] === 'removed') log.warn({ ...detail, tenant }, 'tenant removed: its file is gone and its requests are refused')
    else if (detail['observe_until'] !== undefined) log.warn({ ...detail, tenant }, observedNow)
    else log.info({ ...detail, tenant }, `${about} in force`)
  }
}

export const observedNow = 'OBSERVE MODE: what the rules of this tenant refuse is recorded and let pass, without a credential'

type Detail = Readonly<Record<string, string | number | boolean | null>>

const firstOf = (findings: readonly Finding[]): Detail => {
  const [first] = findings.filter(finding => finding.severity === 'error')
  return first
    ? { errors: findings.length, where: `${first.file}:${first.line}:${first.column}`, problem: first.code, message: first.message }
    : {}
}
