import type { Head } from './edge/head.ts'
import { oblige } from './edge/oblige.ts'
import type { RateLimiter } from './limits/rate.ts'
import type { Audit } from './model/audit.ts'
import type { ZoneClocks } from './model/decision.ts'
import { fieldValues, type Origin, type Outgoing } from './model/exchange.ts'
import { nobody } from './model/identity.ts'
import { Refusal } from './model/problem.ts'
import type { Revocation } from './revocation/revocation.ts'
import type { Snapshot } from './snapshot.ts'
import type { Trail } from './trail.ts'
import { preflightFields } from './upstream/fields.ts'
import type { Hop, Upload, UpstreamPlan } from './upstream/hop.ts'

interface Stages {
  readonly audit: Audit
  readonly rates: RateLimiter
  readonly revocation: Pick<Revocation, 'refusal' | 'tenantRefusal'>
  readonly zones: ZoneClocks
  hop(plan: UpstreamPlan): Hop
}

const noUpload: Upload = { stream: null, length: null, maxBytes: 0, received: () => undefined }

const noRoom = (): never => {
  throw new Error('nothing is hidden from a preflight')
}

/** What a browser asks before a request of another origin (Fetch standard, section 4.8); with a token or a body it is no such thing. */
export const isPreflight = ({ framing }: Head, { method, route, authorization, dpop, headers }: Origin): boolean =>
  method === 'OPTIONS' &&
  route?.preflight === 'forward' &&
  authorization === null &&
  dpop === null &&
  framing.kind === 'none' &&
  fieldValues(headers, 'origin').length === 1 &&
  fieldValues(headers, 'access-control-request-method').length === 1

/**
 * Sends a preflight on, decided and recorded like everything else, but for nobody. Where it may not pass, a stranger is told what strangers are
 * told everywhere.
 */
export const forwardPreflight = async (
  stages: Stages,
  snapshot: Snapshot,
  gone: (listener: () => void) => void,
  trail: Trail,
  origin: Origin,
): Promise<Outgoing | Refusal> => {
  const decision = snapshot.policy.preflight({ origin, now: trail.time, zones: stages.zones })
  trail.decision = decision
  const plan = snapshot.upstreams.get(origin.route?.upstream ?? '')
  if (decision.effect === 'deny' || plan === undefined) return new Refusal('PST3001', 'preflight')
  const { permit } = decision
  const closed = stages.revocation.refusal(nobody) ?? stages.revocation.tenantRefusal(permit.tenant)
  if (closed !== null) return closed
  trail.upstream = plan.name
  if (!stages.audit.ready) return new Refusal('PST6001')
  const rates = stages.rates.take(permit, nobody)
  if (rates instanceof Refusal) return rates
  const result = await stages.hop(plan).send(permit, origin, preflightFields(permit, origin, plan.settings), noUpload, gone)
  if (result instanceof Refusal) return result
  trail.answered(result.status)
  return oblige(permit, result, origin, rates, noRoom)
}
