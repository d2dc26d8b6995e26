import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { inconsistencies } from './consistency.ts'
import { openCredentials } from './credential-source.ts'
import type { CredentialEvent } from './credentials/events.ts'
import { createDeps } from './deps.ts'
import { type LoadedConfig, loadConfig } from './load.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { openAudit } from './record/audit.ts'
import { eventCodes } from './record/codes.ts'
import type { RunningAudit } from './record/host.ts'
import { readSigningKey } from './record/keys.ts'
import type { ProcessLog } from './record/log.ts'
import { createMetrics, type MetricSources, type Metrics } from './record/metrics.ts'
import { loadPolicies } from './reload.ts'
import { Runtime } from './runtime.ts'
import { configFinding } from './settings.ts'
import { createSnapshot } from './snapshot.ts'
import { version } from './version.ts'

export interface AppOptions {
  readonly configFile: string
  /** State folder where the configuration names none. */
  readonly defaultState: string
  /** A fault in one tenant's policy ends the start. */
  readonly strict: boolean
  readonly stdout: Writable
}

/** Starts everything, or says what is wrong with the files. Nothing listens before all of it is in order. */
export const startApp = async (options: AppOptions, log: ProcessLog): Promise<Runtime | readonly Finding[]> => {
  const deps = createDeps(log)
  const loaded = await loadConfig(options.configFile)
  if (!('config' in loaded)) return loaded
  const policies = await loadPolicies(loaded, null, { withoutTests: false, now: deps.clock.now() })
  if (policies.composition === null) return policies.findings
  const unfit = inconsistencies(loaded.read, policies.composition)
  if (options.strict && (unfit.length > 0 || policies.findings.some(finding => finding.severity === 'error')))
    return [...policies.findings, ...unfit]
  const live: { runtime: Runtime | null } = { runtime: null }
  const metrics = createMetrics({ version, clock: deps.clock, sources: lateSources(() => live.runtime?.sources() ?? null), runtime: true })
  const audit = await startAudit(loaded, deps, options)
  if (!('exchange' in audit)) return audit
  const credentials = await openCredentials(loaded, deps, event => onCredential(event, audit, metrics, deps))
  if (!('current' in credentials)) {
    await audit.close('start-refused')
    return credentials
  }
  const first = createSnapshot(loaded, policies.composition.engine, null)
  const state = loaded.config.state === null ? options.defaultState : resolve(dirname(resolve(loaded.file)), loaded.config.state)
  const runtime = new Runtime({ deps, metrics, audit, credentials, first, composition: policies.composition, state })
  live.runtime = runtime
  for (const { tenant, state } of first.policy.tenants)
    if (state === 'unavailable') log.error({ tenant }, 'this tenant is NOT served (503) until its policy and tests are in order')
  for (const finding of [...policies.findings, ...unfit])
    log.warn({ where: `${finding.file}:${finding.line}:${finding.column}`, problem: finding.code }, finding.message)
  const faults = await runtime.open()
  if (faults.length === 0) return runtime
  await runtime.stop('start-refused')
  return faults
}

/** Counting begins before there is a runtime to ask. */
const lateSources = (get: () => MetricSources | null): MetricSources => ({
  audit: () => get()?.audit() ?? null,
  policies: () => get()?.policies() ?? [],
  credentials: () => get()?.credentials() ?? [],
  keys: () => get()?.keys() ?? [],
  tokenCache: () => get()?.tokenCache() ?? null,
  proofs: () => get()?.proofs() ?? 0,
  inFlight: () => get()?.inFlight() ?? 0,
  rateBuckets: () => get()?.rateBuckets() ?? 0,
  hideBytes: () => get()?.hideBytes() ?? 0,
  directTraffic: () => get()?.directTraffic() ?? false,
  gatewayCertificates: () => get()?.gatewayCertificates() ?? [],
})

const startAudit = async (loaded: LoadedConfig, deps: Deps, options: AppOptions): Promise<RunningAudit | readonly Finding[]> => {
  const base = dirname(resolve(loaded.file))
  const settings = loaded.config.audit
  const wrong = (key: string, fault: unknown): readonly Finding[] => {
    const { line, column } = loaded.read.source.position(loaded.read.provenance.get(key) ?? 0)
    return [{ ...configFinding(loaded.file, 'C207', fault instanceof Error ? fault.message : String(fault)), line, column }]
  }
  try {
    const key = await readSigningKey(resolve(base, settings['key-file']))
    return await openAudit(settings, { ...deps, stdout: options.stdout }, { instance: hostname(), version, base, key }).catch(
      (fault: unknown) => wrong('audit.dir', fault),
    )
  } catch (fault) {
    const hint = ' Make one: postern audit keygen --out FILE.'
    return wrong('audit.key-file', new Error(`${fault instanceof Error ? fault.message : String(fault)}${hint}`))
  }
}

const onCredential = (event: CredentialEvent, audit: RunningAudit, metrics: Metrics, { log, clock }: Deps): void => {
  if (event.kind === 'rotated') {
    const { role, generation, slot, ms, nodes } = event
    audit.event({
      kind: 'rotation',
      code: eventCodes.rotation,
      time: clock.now(),
      tenant: null,
      detail: { role, generation, slot, ms, nodes },
    })
    metrics.rotation(role, 'done')
    log.info({ role, generation, slot, ms, nodes }, 'credential rotated')
  } else if (event.kind === 'handover') {
    const { role, generation, via, to } = event
    audit.event({ kind: 'handover', code: eventCodes.handover, time: clock.now(), tenant: null, detail: { role, generation, via, to } })
  } else if (event.kind === 'delivery-failed') {
    log.error({ role: event.role, via: event.via, cause: event.message }, 'a credential could not be handed over')
  } else if (event.kind === 'failed') {
    metrics.rotation(event.role, 'failed')
    log.error(
      { role: event.role, step: event.step, failures: event.failures, cause: event.message },
      'rotation failed; the current credential stays',
    )
  } else if (event.kind === 'file' && event.findings.length > 0) {
    for (const finding of event.findings)
      log.error({ where: `${finding.file}:${finding.line}:${finding.column}`, problem: finding.code }, finding.message)
  } else if (event.kind === 'connection' && !event.up)
    log.error({ cause: event.message }, 'no session with Cassandra; the current credentials stay')
  else log.info(summary(event), `credentials: ${event.kind}`)
}

const summary = (event: CredentialEvent): Readonly<Record<string, string | number | boolean>> =>
  Object.fromEntries(Object.entries(event).filter(([, value]) => typeof value !== 'object'))
