import { dirname, resolve } from 'node:path'
import type { Current } from './current.ts'
import { type LoadedConfig, loadConfig } from './load.ts'
import type { Audit } from './model/audit.ts'
import type { Clock, Log } from './model/deps.ts'
import { byPosition, type Finding } from './model/finding.ts'
import { type Composition, compose, type TenantChange } from './policy/compose.ts'
import { readPolicyFolder } from './policy-folder.ts'
import { eventCodes } from './record/codes.ts'
import { needingRestart } from './settings.ts'
import { createSnapshot, type Snapshot } from './snapshot.ts'

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
  options: { readonly withoutTests: boolean; readonly now: number },
): Promise<{
  readonly composition: Composition | null
  readonly findings: readonly Finding[]
  readonly changes: readonly TenantChange[]
}> => {
  const folder = await readPolicyFolder(resolve(dirname(resolve(loaded.file)), loaded.config.policies.dir))
  if ('error' in folder) return { composition: null, findings: [folder.error], changes: [] }
  const result = compose(folder.files, previous, {
    issuers: loaded.issuers.map(({ issuer }) => issuer),
    testsGateReload: loaded.config.policies['tests-gate-reload'],
    withoutTests: options.withoutTests,
    now: options.now,
  })
  return { ...result, findings: [...folder.findings, ...result.findings] }
}

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
  /** What the last attempt refused, for `status`. */
  refused: readonly Finding[] = []

  constructor(parts: Parts, loaded: LoadedConfig, composition: Composition) {
    this.#parts = parts
    this.#loaded = loaded
    this.#started = loaded
    this.#composition = composition
  }

  /** Reads everything again. One reload at a time, in the order asked for. */
  reload(request: ReloadRequest): Promise<ReloadResult> {
    const next = this.#last.then(() => this.#run(request))
    this.#last = next.catch(() => undefined)
    return next
  }

  async #run(request: ReloadRequest): Promise<ReloadResult> {
    const { current, observe } = this.#parts
    const attempt = await this.#attempt(request)
    const old = current.peek()
    const next = createSnapshot(attempt.loaded, attempt.composition.engine, old)
    const changed = next.digest !== old.digest
    this.#loaded = attempt.loaded
    this.#composition = attempt.composition
    this.refused = attempt.findings.filter(finding => finding.severity === 'error')
    // Without a change too: the states of tenants, which status shows, are the new snapshot's.
    current.swap(next, retired => observe.retired(retired))
    if (changed) observe.changed(next)
    const restart = needingRestart(this.#started.read, attempt.loaded.read)
    if (changed && restart.length > 0) this.#parts.log.warn({ keys: restart.join(', ') }, 'these keys changed and wait for a restart')
    return { changed, refused: this.refused.length > 0, digest: current.peek().digest, findings: attempt.findings, restart }
  }

  async #attempt(request: ReloadRequest): Promise<Attempt> {
    const read = await loadConfig(this.#loaded.file)
    const good = 'config' in read
    const loaded = good ? read : this.#loaded
    const policies = await loadPolicies(loaded, this.#composition, { withoutTests: request.withoutTests, now: this.#parts.clock.now() })
    const findings = [...(good ? read.read.source.findings : read), ...policies.findings].sort(byPosition)
    this.#report(request, good && read.digest !== this.#loaded.digest ? read.digest : null, good ? [] : read, policies, findings)
    return { loaded, composition: policies.composition ?? this.#composition, findings }
  }

  /** The poll comes back to the same broken file every 10 s; it is reported when it breaks and when it breaks differently. */
  #report(
    request: ReloadRequest,
    newConfig: string | null,
    refusedConfig: readonly Finding[],
    policies: {
      readonly composition: Composition | null
      readonly changes: readonly TenantChange[]
      readonly findings: readonly Finding[]
    },
    findings: readonly Finding[],
  ): void {
    const seen = JSON.stringify([findings.filter(finding => finding.severity === 'error'), newConfig])
    const fresh = seen !== this.#seen || request.by === 'control' || request.by === 'SIGHUP'
    this.#seen = seen
    const detail = { by: request.by, ...(request.withoutTests ? { without_tests: true, why: request.why } : {}) }
    if (newConfig !== null) this.#record('config', 'config-load', { ...detail, digest: newConfig })
    if (fresh && refusedConfig.length > 0) this.#record('config', 'config-refused', { ...detail, ...firstOf(refusedConfig) })
    if (fresh && policies.composition === null) this.#record('policy', 'policy-refused', { ...detail, ...firstOf(policies.findings) })
    for (const change of policies.changes) {
      const kind = change.finding === null ? 'policy-load' : 'policy-refused'
      if (kind === 'policy-refused' && !fresh) continue
      const about = { ...detail, old_digest: change.oldDigest, new_digest: change.newDigest, state: change.state }
      this.#record('policy', kind, change.finding === null ? about : { ...about, ...firstOf([change.finding]) }, change.tenant)
    }
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
    else log.info({ ...detail, tenant }, `${about} in force`)
  }
}

type Detail = Readonly<Record<string, string | number | boolean | null>>

const firstOf = (findings: readonly Finding[]): Detail => {
  const [first] = findings.filter(finding => finding.severity === 'error')
  return first
    ? { errors: findings.length, where: `${first.file}:${first.line}:${first.column}`, problem: first.code, message: first.message }
    : {}
}
