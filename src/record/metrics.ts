import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { CredentialStatus } from '../model/credential.ts'
import type { Observing, TenantState } from '../model/decision.ts'
import type { Clock } from '../model/deps.ts'
import { type ProblemCode, problems } from '../model/problem.ts'
import type { AuditStatus } from './host.ts'
import { asked, type Gauge, type Sample } from './metrics-asked.ts'
import { registerAudit } from './metrics-audit.ts'
import { registerCredentials } from './metrics-credentials.ts'
import { Buckets, type Count, counts, Tally } from './tally.ts'

/** What others know and is asked for at each scrape. A part that does not exist yet answers null. */
export interface MetricSources {
  readonly audit: () => AuditStatus | null
  readonly policies: () => readonly TenantState[]
  /** Tenants in observe mode now. */
  readonly observing: () => readonly Observing[]
  /** Milliseconds since the epoch at which a load last refused nothing, or of the start. */
  readonly lastGoodLoad: () => number | null
  readonly credentials: () => readonly CredentialStatus[]
  /** Milliseconds since the epoch at which an issuer's keys were last fetched; null: never. */
  readonly keys: () => readonly { readonly issuer: string; readonly fetchedAt: number | null }[]
  readonly tokenCache: () => { readonly entries: number; readonly bytes: number } | null
  /** DPoP proofs remembered. */
  readonly proofs: () => number
  readonly inFlight: () => number
  /** Buckets of rate limits that are not full. */
  readonly rateBuckets: () => number
  /** Bytes held by replies from which members are removed. */
  readonly hideBytes: () => number
  /** The deny list; its age in seconds where it is shared, null where it is not, or was never read. */
  readonly revocation: () => { readonly entries: number; readonly unshared: number; readonly ageSeconds: number | null } | null
  readonly streams: () => number
  /** Whether requests are accepted without proof of the gateway. */
  readonly directTraffic: () => boolean
  /** With which the gateway proved itself of late; `notAfter` in milliseconds since the epoch. */
  readonly gatewayCertificates: () => readonly { readonly pin: string; readonly notAfter: number }[]
}

/** Labels are names of the configuration and words of the code. Never pass a user, a path, or text that a client chose. */
export interface Metrics {
  /** One answered exchange; `ms` from arrival to the last byte. */
  exchange(route: string | null, method: string, status: number, ms: number): void
  decision(tenant: string | null, effect: 'allow' | 'deny', rule: string, mode: 'enforce' | 'shadow' | 'observe'): void
  refusal(code: ProblemCode): void
  /** A deny that matched because it could not be evaluated. */
  policyError(tenant: string | null, rule: string): void
  /** `issuer`: a configured one, or null. */
  token(issuer: string | null, result: string): void
  proof(proof: string, result: 'passed' | 'missing' | 'wrong'): void
  upstream(name: string, result: string): void
  /** `ms`: from the claim to the hand-over, of one that is done. */
  rotation(role: string, result: 'done' | 'failed' | 'quarantined', ms?: number): void
  reload(kind: 'config' | 'policy', result: 'done' | 'refused'): void
  shed(reason: string): void
  /** Refused by a rate limit of the policy. */
  limited(tenant: string, per: 'tenant' | 'caller' | 'agent'): void
  /** The exposition text. */
  render(): Promise<{ readonly contentType: string; readonly body: string }>
}

export interface MetricsOptions {
  readonly version: string
  readonly clock: Clock
  readonly sources: MetricSources
  /** Also Node's own metrics. */
  readonly runtime: boolean
}

/** Seconds. API Gateway gives up after 29. */
const durations = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 25, 29]
const none = '_none'
const names = 256
const words = 64

export const createMetrics = ({ version, clock, sources, runtime }: MetricsOptions): Metrics => {
  const registry = new Registry()
  const counter = countersOf(registry)
  if (runtime) collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 })
  registerGauges(registry, version, clock, sources)
  registerAudit(registry, sources.audit)

  const exchanges = new Tally([names, 8, 40], () => new Buckets(durations))
  registry.registerMetric(new OwnHistogram(exchanges))
  const decisions = counter('postern_decisions_total', 'Decisions.', ['tenant', 'effect', 'rule', 'mode'], [names, 2, names, 3])
  const refusals = counter('postern_refusals_total', 'Requests that Postern itself answered.', ['code', 'reason'], [names, 1])
  const errors = counter(
    'postern_policy_errors_total',
    'Denies that matched because they could not be evaluated.',
    ['tenant', 'rule'],
    [names, names],
  )
  const tokens = counter('postern_token_validation_total', 'Tokens looked at.', ['issuer', 'result'], [words, words])
  const proofs = counter('postern_gateway_proof_total', 'Requests by their proof of the gateway.', ['proof', 'result'], [8, 8])
  const upstreams = counter('postern_upstream_requests_total', 'Requests sent on.', ['upstream', 'result'], [names, words])
  const rotations = counter('postern_credential_rotations_total', 'Rotations of a role.', ['role', 'result'], [names, 4])
  const rotationTimes = new Histogram({
    name: 'postern_credential_rotation_duration_seconds',
    help: 'From the claim of a generation to its hand-over.',
    buckets: durations,
    registers: [registry],
  })
  const reloads = counter('postern_reloads_total', 'Attempts to load anew.', ['kind', 'result'], [8, 8])
  const shed = counter('postern_limits_shed_total', 'Requests turned away to protect the process.', ['reason'], [words])
  const limited = counter('postern_limits_refused_total', 'Requests refused by a limit of the policy.', ['tenant', 'per'], [names, 3])
  return {
    exchange: (route, method, status, ms) => exchanges.at(route ?? none, method, status).observe(ms / 1000),
    decision: (tenant, effect, rule, mode) => void decisions.at(tenant ?? none, effect, rule, mode).n++,
    refusal: code => void refusals.at(code, problems[code].reason).n++,
    policyError: (tenant, rule) => void errors.at(tenant ?? none, rule).n++,
    token: (issuer, result) => void tokens.at(issuer ?? none, result).n++,
    proof: (proof, result) => void proofs.at(proof, result).n++,
    upstream: (name, result) => void upstreams.at(name, result).n++,
    rotation: (role, result, ms) => {
      rotations.at(role, result).n++
      if (ms !== undefined) rotationTimes.observe(ms / 1000)
    },
    reload: (kind, result) => void reloads.at(kind, result).n++,
    shed: reason => void shed.at(reason).n++,
    limited: (tenant, per) => void limited.at(tenant, per).n++,
    render: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  }
}

const labelsOf = <T extends string>(labelNames: readonly T[], values: readonly string[]): Record<T, string> =>
  Object.fromEntries(labelNames.map((name, i) => [name, values[i] ?? ''])) as Record<T, string>

const countersOf =
  (registry: Registry) =>
  <T extends string>(name: string, help: string, labelNames: readonly T[], bounds: readonly number[]): Tally<Count> => {
    const tally = counts(...bounds)
    new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        for (const [values, { n }] of tally.entries()) this.inc(labelsOf(labelNames, values), n)
      },
    })
    return tally
  }

const exchangeMetric = {
  name: 'http_server_request_duration_seconds',
  help: 'Time from the arrival of a request to the last byte of its answer.',
}
const exchangeLabels = ['http_route', 'http_request_method', 'http_response_status_code'] as const

/** prom-client's own histogram costs half a microsecond for each request; here it only prints what the tally counted. */
class OwnHistogram extends Histogram<(typeof exchangeLabels)[number]> {
  readonly #tally: Tally<Buckets>

  constructor(tally: Tally<Buckets>) {
    super({ ...exchangeMetric, labelNames: exchangeLabels, buckets: durations, registers: [] })
    this.#tally = tally
  }

  /** What the registry and `get` ask for; their types leave it out. */
  getForPromString(): Promise<object> {
    const values = [...this.#tally.entries()].flatMap(([labels, buckets]) => series(labelsOf(exchangeLabels, labels), buckets))
    return Promise.resolve({ ...exchangeMetric, type: 'histogram', aggregator: 'sum', values })
  }
}

interface Line {
  readonly metricName: string
  readonly labels: Record<string, string | number>
  readonly value: number
}

const series = (labels: Record<string, string>, { bounds, counts: found, sum }: Buckets): Line[] => {
  const { name } = exchangeMetric
  let below = 0
  const buckets = [...found].map((n, i) => {
    below += n
    return { metricName: `${name}_bucket`, labels: { le: bounds[i] ?? '+Inf', ...labels }, value: below }
  })
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: below }]
}

const states: readonly TenantState['state'][] = ['enforced', 'stale', 'rolled-back', 'unavailable']

const registerPolicies = (gauge: Gauge, clock: Clock, { policies, observing, lastGoodLoad }: MetricSources): void => {
  gauge(
    'postern_policy_info',
    'Policy in force for each tenant; those that are not as on disk come first.',
    ['tenant', 'state', 'digest'],
    () =>
      policies()
        .toSorted((a, b) => Number(a.state === 'enforced') - Number(b.state === 'enforced'))
        .slice(0, names)
        .map(p => [{ tenant: p.tenant, state: p.state, digest: p.digestEnforced ?? '' }, 1]),
  )
  gauge('postern_policy_tenants', 'Tenants by what is in force for them.', ['state'], () => {
    const found = Map.groupBy(policies(), p => p.state)
    return states.map(state => [{ state }, found.get(state)?.length ?? 0])
  })
  gauge('postern_policy_digest_differs', 'Tenants whose file on disk is not the one in force.', [], () => [
    [{}, policies().filter(p => p.digestEnforced !== p.digestOnDisk).length],
  ])
  gauge('postern_policy_observing', '1 while what the rules of a tenant refuse is only recorded.', ['tenant'], () =>
    observing()
      .slice(0, names)
      .map(({ tenant }) => [{ tenant }, 1]),
  )
  gauge('postern_policy_last_good_load_age_seconds', 'Time since a load that refused nothing.', [], () => {
    const at = lastGoodLoad()
    return at === null ? [] : [[{}, Math.max(0, clock.now() - at) / 1000]]
  })
}

const registerGauges = (registry: Registry, version: string, clock: Clock, sources: MetricSources): void => {
  const gauge = (name: string, help: string, labelNames: readonly string[], read: () => readonly Sample[]): void =>
    asked(registry, 'gauge', name, help, labelNames, read)
  const one = (value: number | null | undefined): readonly Sample[] => (value === null || value === undefined ? [] : [[{}, value]])
  gauge('postern_build_info', 'What runs.', ['version', 'node'], () => [[{ version, node: process.version }, 1]])
  registerPolicies(gauge, clock, sources)
  gauge('postern_jwks_age_seconds', "Age of an issuer's keys.", ['issuer'], () =>
    sources
      .keys()
      .flatMap(({ issuer, fetchedAt }): Sample[] => (fetchedAt === null ? [] : [[{ issuer }, (clock.now() - fetchedAt) / 1000]])),
  )
  registerCredentials(gauge, names, sources.credentials)
  gauge('postern_token_cache_entries', 'Verified tokens kept.', [], () => one(sources.tokenCache()?.entries))
  gauge('postern_token_cache_bytes', 'Bytes of the verified tokens kept.', [], () => one(sources.tokenCache()?.bytes))
  gauge('postern_dpop_proofs', 'DPoP proofs remembered; at 400000, new ones are refused with 503.', [], () => one(sources.proofs()))
  gauge('postern_limits_in_flight', 'Requests under way.', [], () => one(sources.inFlight()))
  gauge('postern_limits_buckets', 'Token buckets kept for limits of policies.', [], () => one(sources.rateBuckets()))
  gauge('postern_limits_hide_bytes', 'Bytes held by replies from which members are removed.', [], () => one(sources.hideBytes()))
  gauge('postern_streams_open', 'WebSockets, event streams and replies that have been open for 5 s.', [], () => one(sources.streams()))
  gauge('postern_revocation_entries', 'Denials in force.', [], () => one(sources.revocation()?.entries))
  gauge('postern_revocation_unshared', 'Denials that the shared list has not taken yet.', [], () => one(sources.revocation()?.unshared))
  gauge('postern_revocation_age_seconds', 'Age of the copy of the shared deny list; at revocation.max-age, requests are refused.', [], () =>
    one(sources.revocation()?.ageSeconds ?? undefined),
  )
  gauge('postern_gateway_certificate_expiry_timestamp_seconds', 'When a certificate of the gateway ends.', ['pin'], () =>
    sources.gatewayCertificates().map(({ pin, notAfter }) => [{ pin }, notAfter / 1000]),
  )
  gauge('postern_unproved_direct_traffic', '1 where requests are accepted without proof of the gateway.', [], () =>
    one(sources.directTraffic() ? 1 : 0),
  )
}
