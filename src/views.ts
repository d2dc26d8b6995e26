import { type Endpoint, formatEndpoint } from './config/values.ts'
import { isDirect } from './edge/trust.ts'
import type { Identifier } from './identity/identify.ts'
import type { CredentialStatus } from './model/credential.ts'
import type { Observing } from './model/decision.ts'
import type { Clock } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import type { AuditStatus } from './record/host.ts'
import type { MetricSources } from './record/metrics.ts'
import type { RevocationStatus } from './revocation/revocation.ts'
import type { Snapshot } from './snapshot.ts'
import { version } from './version.ts'

/** What a running process lets others look at. */
export interface Views {
  readonly clock: Clock
  readonly startedAt: number
  readonly audit: () => AuditStatus
  readonly credentials: () => readonly CredentialStatus[]
  readonly identifier: Pick<Identifier, 'status' | 'cache' | 'proofs'>
  readonly snapshot: () => Snapshot
  /** What the last reload refused. */
  readonly refused: () => readonly Finding[]
  /** Milliseconds since the epoch. */
  readonly lastGoodLoad: () => number
  readonly inFlight: () => number
  readonly rateBuckets: () => number
  readonly hideBytes: () => number
  readonly streams: () => number
  readonly revocation: () => RevocationStatus
  readonly gatewayCertificates: () => readonly { readonly pin: string; readonly notAfter: number }[]
  /** Null before the proxy listens. */
  readonly listening: () => { readonly proxy: Endpoint; readonly ops: Endpoint } | null
  readonly draining: () => boolean
}

/**
 * `/readyz`: draining, and an audit that cannot be written, are this replica's own. A provider or a cluster that is down is shared by all
 * replicas: unready, they would all go at once, so it is detail and a metric.
 */
export const readiness = (views: Views): { readonly ready: boolean; readonly detail: object } => {
  const audit = views.audit()
  const ready = views.listening() !== null && !views.draining() && audit.ready
  const detail = {
    ready,
    draining: views.draining(),
    audit: { ready: audit.ready, fault: audit.fault },
    issuers: views.identifier.status(),
    credentials: views.credentials(),
    revocation: views.revocation(),
    tenants: views.snapshot().policy.tenants,
  }
  return { ready, detail }
}

/** Tenants in observe mode, as the clock has it. */
const observing = ({ clock, snapshot }: Views): readonly Observing[] =>
  snapshot().policy.observing.filter(({ until }) => clock.now() < until)

/** `postern status`. */
export const statusOf = (views: Views): object => {
  const snapshot = views.snapshot()
  const audit = views.audit()
  const at = views.listening()
  return {
    version,
    uptime_seconds: Math.round((views.clock.now() - views.startedAt) / 1000),
    proxy: at && formatEndpoint(at.proxy),
    ops: at && formatEndpoint(at.ops),
    ...readiness(views).detail,
    proof: snapshot.gateway.proof,
    snapshot: snapshot.digest,
    configuration: { file: snapshot.loaded.file, digest: snapshot.loaded.digest },
    refused_on_disk: views.refused(),
    observing: observing(views).map(({ tenant, until }) => ({ tenant, until: new Date(until).toISOString() })),
    in_flight: views.inFlight(),
    streams: views.streams(),
    audit: { ...audit, records: Object.fromEntries(audit.records) },
  }
}

/** What a scrape asks for. */
export const metricSources = (views: Views): MetricSources => ({
  audit: views.audit,
  policies: () => views.snapshot().policy.tenants,
  observing: () => observing(views),
  lastGoodLoad: views.lastGoodLoad,
  credentials: views.credentials,
  keys: () =>
    views.identifier
      .status()
      .map(({ issuer, ageSeconds }) => ({ issuer, fetchedAt: ageSeconds === null ? null : views.clock.now() - ageSeconds * 1000 })),
  tokenCache: views.identifier.cache,
  proofs: views.identifier.proofs,
  inFlight: views.inFlight,
  rateBuckets: views.rateBuckets,
  hideBytes: views.hideBytes,
  revocation: views.revocation,
  streams: views.streams,
  directTraffic: () => isDirect(views.snapshot().gateway),
  gatewayCertificates: views.gatewayCertificates,
})
