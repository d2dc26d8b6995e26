import type { Current } from './current.ts'
import type { Incoming } from './edge/listen.ts'
import { refuse } from './edge/refuse.ts'
import type { InFlight } from './limits/in-flight.ts'
import type { RateLimiter } from './limits/rate.ts'
import { metadataOf } from './metadata.ts'
import type { Audit, ExchangeEntry } from './model/audit.ts'
import type { Credential, Unavailable } from './model/credential.ts'
import type { Decision, Denial, ZoneClocks } from './model/decision.ts'
import type { Clock, Log } from './model/deps.ts'
import type { Origin, Outgoing, Settled } from './model/exchange.ts'
import { type Identity, nobody } from './model/identity.ts'
import type { Permit } from './model/permit.ts'
import { Refusal } from './model/problem.ts'
import type { Revocation } from './revocation/revocation.ts'
import type { Snapshot } from './snapshot.ts'
import { tenantOf } from './streams.ts'
import { Trail } from './trail.ts'
import type { UpstreamPlan } from './upstream/hop.ts'

/** What deciding needs that has state, whoever sends the request on. */
export interface GateStages {
  readonly clock: Clock
  readonly log: Log
  readonly current: Current
  readonly inFlight: InFlight
  readonly zones: ZoneClocks
  identify(authorization: string | null, origin: Origin): Identity | Refusal | Promise<Identity | Refusal>
  /** What the reply gives a client that speaks DPoP for its next proof. */
  nonce(authorization: string | null): string | null
  /** A refusal as the client that speaks DPoP, or does not, must be told it. */
  challenged(authorization: string | null, refusal: Refusal): Refusal
  readonly audit: Audit
  meter(entry: ExchangeEntry): void
  credential(role: string): Credential | Unavailable
  assert(permit: Permit, identity: Identity, audience: string): string | null
  readonly revocation: Pick<Revocation, 'refusal' | 'tenantRefusal'>
  readonly rates: RateLimiter
}

/** Null: a stream that has ended. */
type Result = Outgoing | Refusal | null

const unanswered: Settled = { bytes: 0, aborted: true }
const ended: Settled = { bytes: 0, aborted: false }

/**
 * Answers one request by `act` and records it. The only place that catches: whatever is thrown on the way to a decision is a refusal, and a
 * fault after the head was sent resets the stream. `act` enters `inFlight` and may `leave` it early.
 */
export const answered = async (
  stages: GateStages,
  incoming: Incoming,
  act: (snapshot: Snapshot, trail: Trail, leave: () => void) => Promise<Result>,
): Promise<void> => {
  const trail = new Trail(stages.clock, incoming)
  const lease = stages.current.lease()
  let under = true
  const leave = (): void => {
    if (under) stages.inFlight.leave()
    under = false
  }
  let settled = unanswered
  try {
    const result = await act(lease.snapshot, trail, leave)
    // A refusal that is left unread must not keep its place from others.
    if (result instanceof Refusal) leave()
    const outgoing =
      result instanceof Refusal
        ? trail.refuse(result, refuse(result, incoming.id, trail.origin?.gatewayRequestId ?? null, metadataOf(lease.snapshot, trail)))
        : result
    settled = outgoing === null ? ended : await answer(incoming, outgoing, trail)
  } catch (fault) {
    stages.log.error(
      { request: incoming.id, fault: fault instanceof Error ? (fault.stack ?? fault.message) : String(fault) },
      'fault in the pipeline',
    )
    const refusal = new Refusal('PST9001')
    settled = await answer(incoming, trail.refuse(refusal, refuse(refusal, incoming.id, null)), trail).catch(() => unanswered)
  } finally {
    leave()
    trail.closed()
    lease.end()
    const entry = trail.entry(settled)
    stages.audit.exchange(entry)
    stages.meter(entry)
  }
}

export const answer = (incoming: Incoming, outgoing: Outgoing, trail: Trail): Promise<Settled> => {
  if (trail.clientGone) return Promise.resolve(unanswered)
  trail.status = outgoing.status
  trail.hidden = outgoing.hidden
  return incoming.reply(outgoing)
}

/** Who may do what, and which backend it concerns. */
export interface Admission {
  readonly identity: Identity
  readonly permit: Permit
  readonly plan: UpstreamPlan
}

/** From the token to the permit: identity, deny list, policy, route. A promise only where the token is not known yet. */
export const admit = (
  stages: GateStages,
  snapshot: Snapshot,
  trail: Trail,
  origin: Origin,
): Admission | Refusal | Promise<Admission | Refusal> => {
  const known = stages.identify(origin.authorization, origin)
  return known instanceof Promise
    ? known.then(identity => admitAs(stages, snapshot, trail, origin, identity))
    : admitAs(stages, snapshot, trail, origin, known)
}

const admitAs = (
  stages: GateStages,
  snapshot: Snapshot,
  trail: Trail,
  origin: Origin,
  identity: Identity | Refusal,
): Admission | Refusal => {
  if (identity instanceof Refusal) {
    trail.tenantOfHost = snapshot.policy.tenantOfHost(origin.host)
    return identity
  }
  trail.identity = identity
  const revoked = stages.revocation.refusal(identity)
  if (revoked !== null) {
    trail.tenantOfHost = snapshot.policy.tenantOfHost(origin.host)
    return stages.challenged(origin.authorization, revoked)
  }

  const decision = snapshot.policy.decide({ origin, identity, now: trail.time, zones: stages.zones })
  trail.decision = decision
  const closed = stages.revocation.tenantRefusal(tenantOf(decision))
  if (closed !== null) return closed
  if (decision.effect === 'deny' && (origin.route !== null || comesBeforeRoute(decision)))
    return stages.challenged(origin.authorization, refusalOf(decision))
  const plan = origin.route === null ? undefined : snapshot.upstreams.get(origin.route.upstream)
  if (decision.effect === 'deny' || plan === undefined) return new Refusal('PST1201')
  return { identity, permit: decision.permit, plan }
}

/** The rule is worth telling the audit where one decided; other reasons only repeat the code. */
const refusalOf = ({ code, reason, challenge }: Denial): Refusal =>
  new Refusal(code, code === 'PST2101' || code === 'PST2106' ? reason : '', 0, challenge)

/** 404 is told only to those who are somebody in a tenant that can decide (contract 2). */
const comesBeforeRoute = (decision: Decision): boolean =>
  decision.effect === 'deny' && (decision.code === 'PST2103' || decision.code === 'PST2104')

/** The signed word about the caller, where the backend wants one; for nobody there is none. */
export const assertionFor = ({ assert }: GateStages, { identity, permit, plan }: Admission): string | null => {
  const { assertion: audience } = plan.settings
  return audience === null || identity === nobody ? null : assert(permit, identity, audience)
}

/** The nonce for the caller's next proof, where it speaks DPoP and nonces are asked for (RFC 9449 section 8.2). */
export const nonceOf = ({ nonce }: GateStages, { authorization }: Origin): readonly string[] => {
  const next = nonce(authorization)
  return next === null ? [] : ['dpop-nonce', next]
}

export const isUnavailable = (value: Credential | readonly string[] | Unavailable): value is Unavailable => 'unavailable' in value

export const withoutCredential = (role: string, { unavailable, detail }: Unavailable): Refusal =>
  new Refusal(unavailable === 'credential-no-lease' ? 'PST4002' : 'PST4001', detail === '' ? role : detail, 5)
