import type { Audit, ExchangeEntry } from './model/audit.ts'
import type { Clock } from './model/deps.ts'
import type { Proof } from './model/exchange.ts'
import { type ProblemCode, problems, type Refusal } from './model/problem.ts'
import type { Metrics } from './record/metrics.ts'
import { malformedEntry } from './trail.ts'

/** Which proof a request lacked. */
const unprovedBy: Readonly<Record<string, readonly [proof: Proof, result: 'missing' | 'wrong']>> = {
  PST1101: ['shared-secret', 'missing'],
  PST1102: ['shared-secret', 'wrong'],
  PST1104: ['client-certificate', 'missing'],
  PST1105: ['client-certificate', 'wrong'],
  PST1106: ['source-range', 'wrong'],
}

/** What one finished exchange adds to the metrics. Routes, tenants, rules and upstreams are names of the configuration; nothing here is the client's. */
export const meterExchange = (metrics: Metrics, entry: ExchangeEntry): void => {
  metrics.exchange(entry.route, entry.method, entry.status, entry.ms)
  if (entry.code in problems) metrics.refusal(entry.code as ProblemCode)
  const unproved = unprovedBy[entry.code]
  if (unproved !== undefined) metrics.proof(...unproved)
  else for (const proof of entry.proof) metrics.proof(proof, 'passed')
  if (entry.observed !== null) metrics.decision(entry.tenant, 'deny', entry.observed.rule, 'observe')
  else if (entry.rule !== '') metrics.decision(entry.tenant, entry.effect, entry.rule, 'enforce')
  if (entry.shadow !== null) metrics.decision(entry.tenant, entry.shadow.effect === 'allow' ? 'allow' : 'deny', entry.shadow.rule, 'shadow')
  if (entry.inDoubt) metrics.policyError(entry.tenant, entry.rule)
  if (entry.code === 'PST1301') metrics.shed(entry.reason.slice(entry.reason.indexOf(': ') + 2))
  if (entry.upstream !== null && (entry.upstreamStatus !== null || entry.code.startsWith('PST5')))
    metrics.upstream(entry.upstream, entry.upstreamStatus === null ? (entry.reason.split(':', 1)[0] ?? '') : classOf(entry.upstreamStatus))
}

interface Recorders {
  readonly audit: Pick<Audit, 'exchange'>
  readonly metrics: Metrics
  readonly clock: Clock
}

/** A request that the parser refused goes on record like any other. */
export const recordMalformed = ({ audit, metrics, clock }: Recorders, refusal: Refusal, id: string, peer: string | undefined): void => {
  const entry = malformedEntry(clock.now(), refusal, id, peer ?? null)
  audit.exchange(entry)
  meterExchange(metrics, entry)
}

const classOf = (status: number): string => `${Math.trunc(status / 100)}xx`
