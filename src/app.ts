import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { inconsistencies } from './consistency.ts'
import { credentialEvents } from './credential-events.ts'
import { openCredentials } from './credential-source.ts'
import { createDeps } from './deps.ts'
import { type LoadedConfig, loadConfig } from './load.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { openAudit } from './record/audit.ts'
import type { RunningAudit } from './record/host.ts'
import { readSigningKey } from './record/keys.ts'
import type { ProcessLog } from './record/log.ts'
import { createMetrics, type MetricSources } from './record/metrics.ts'
import { loadPolicies } from './reload.ts'
import { openRevocation, stateOf } from './revocations.ts'
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
  const policies = await loadPolicies(loaded, null, { withoutTests: false, clock: deps.clock })
  if (policies.composition === null) return policies.findings
  const unfit = inconsistencies(loaded.read, policies.composition)
  if (options.strict && (unfit.length > 0 || policies.findings.some(finding => finding.severity === 'error')))
    return [...policies.findings, ...unfit]
  const state = stateOf(loaded, options.defaultState)
  const revocation = await openRevocation(loaded, state, deps)
  if (!('refusal' in revocation)) return revocation
  const live: { runtime: Runtime | null } = { runtime: null }
  const metrics = createMetrics({ version, clock: deps.clock, sources: lateSources(() => live.runtime?.sources() ?? null), runtime: true })
  const audit = await startAudit(loaded, deps, options)
  if (!('exchange' in audit)) return audit
  const credentials = await openCredentials(loaded, deps, credentialEvents(audit, metrics, deps))
  if (!('current' in credentials)) {
    await audit.close('start-refused')
    return credentials
  }
  const first = createSnapshot(loaded, policies.composition.engine, null)
  const runtime = new Runtime({ deps, metrics, audit, credentials, revocation, first, composition: policies.composition, state })
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
  observing: () => get()?.observing() ?? [],
  lastGoodLoad: () => get()?.lastGoodLoad() ?? null,
  credentials: () => get()?.credentials() ?? [],
  keys: () => get()?.keys() ?? [],
  tokenCache: () => get()?.tokenCache() ?? null,
  proofs: () => get()?.proofs() ?? 0,
  inFlight: () => get()?.inFlight() ?? 0,
  rateBuckets: () => get()?.rateBuckets() ?? 0,
  revocation: () => get()?.revocation() ?? null,
  streams: () => get()?.streams() ?? 0,
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
    return await openAudit(
      settings,
      { ...deps, stdout: options.stdout },
      { instance: hostname(), version, base, key, hashKeys: loaded.hashKeys },
    ).catch((fault: unknown) => wrong('audit.dir', fault))
  } catch (fault) {
    const hint = ' Make one: postern audit keygen --out FILE.'
    return wrong('audit.key-file', new Error(`${fault instanceof Error ? fault.message : String(fault)}${hint}`))
  }
}
