import type { LeakGuard } from './credentials/leak.ts'
import type { Current } from './current.ts'
import type { MaskRoom } from './edge/hide/mask.ts'
import type { HideMemory } from './edge/hide/memory.ts'
import type { Incoming } from './edge/listen.ts'
import { oblige } from './edge/oblige.ts'
import type { PeerCertificate } from './edge/peer-certificate.ts'
import { refuse } from './edge/refuse.ts'
import { trust } from './edge/trust.ts'
import type { InFlight } from './limits/in-flight.ts'
import type { RateLimiter } from './limits/rate.ts'
import { metadataOf, tell } from './metadata.ts'
import type { Audit, ExchangeEntry } from './model/audit.ts'
import type { Credential, Unavailable } from './model/credential.ts'
import type { Decision, Denial, ZoneClocks } from './model/decision.ts'
import type { Clock, Log } from './model/deps.ts'
import type { Answer, Origin, Outgoing, Settled } from './model/exchange.ts'
import type { Identity } from './model/identity.ts'
import type { Permit } from './model/permit.ts'
import { Refusal } from './model/problem.ts'
import { forwardPreflight, isPreflight } from './preflight.ts'
import type { Revocation } from './revocation/revocation.ts'
import type { Snapshot } from './snapshot.ts'
import { type Admitted, type Streams, tenantOf, watchedAnswer } from './streams.ts'
import { Trail } from './trail.ts'
import { upstreamFields } from './upstream/fields.ts'
import type { Hop, Upload, UpstreamPlan } from './upstream/hop.ts'
import type { Tunnels } from './upstream/upgrade.ts'

/** The fields that show a backend its credential. */
type Shown = readonly string[] | Unavailable

/** Everything with state that one exchange needs, handed in by `app`. */
export interface Stages {
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
  deliver(plan: UpstreamPlan, credential: Credential): Shown | Promise<Shown>
  assert(permit: Permit, identity: Identity, audience: string): string | null
  hop(plan: UpstreamPlan): Hop
  readonly tunnels: Tunnels
  readonly revocation: Pick<Revocation, 'refusal' | 'tenantRefusal'>
  readonly streams: Streams
  readonly leakGuard: (credential: Credential) => LeakGuard
  readonly rates: RateLimiter
  readonly hideMemory: HideMemory
  /** The gateway proved itself with it. */
  certificateProved(certificate: PeerCertificate): void
}

const unanswered: Settled = { bytes: 0, aborted: true }
const ended: Settled = { bytes: 0, aborted: false }

/**
 * One exchange, top to bottom. The only place that catches: whatever is thrown on the way to a decision is a refusal, and a fault after the
 * head was sent resets the stream.
 */
export const exchange = async (stages: Stages, incoming: Incoming): Promise<void> => {
  const trail = new Trail(stages.clock, incoming)
  const lease = stages.current.lease()
  let under = true
  const leave = (): void => {
    if (under) stages.inFlight.leave()
    under = false
  }
  let settled = unanswered
  try {
    const result = await decideAndSend(stages, lease.snapshot, incoming, trail, leave)
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

const answer = (incoming: Incoming, outgoing: Outgoing, trail: Trail): Promise<Settled> => {
  if (trail.clientGone) return Promise.resolve(unanswered)
  trail.status = outgoing.status
  trail.hidden = outgoing.hidden
  return incoming.reply(outgoing)
}

/** The request's path (architecture, section 4). The order is the design; each step takes what the one before it made. Null: a stream that has ended. */
const decideAndSend = async (
  stages: Stages,
  snapshot: Snapshot,
  incoming: Incoming,
  trail: Trail,
  leave: () => void,
): Promise<Outgoing | Refusal | null> => {
  const { turn } = stages.streams
  const shed = stages.inFlight.enter(snapshot.limits['max-in-flight'])
  if (shed) return shed

  if (incoming.head instanceof Refusal) return incoming.head
  const { id, peer, certificate } = incoming
  const origin = trust(incoming.head, { id, peer, certificate, now: trail.time }, snapshot.gateway, snapshot.routes)
  if (origin instanceof Refusal) return origin
  trail.origin = origin
  if (certificate !== null && origin.proof.includes('client-certificate')) stages.certificateProved(certificate)

  const told = tell(snapshot, origin, trail)
  if (told !== null) return told
  if (isPreflight(incoming.head, origin)) return forwardPreflight(stages, snapshot, incoming.gone, trail, origin)

  const known = stages.identify(origin.authorization, origin)
  const identity = known instanceof Promise ? await known : known
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
  const { permit } = decision
  // A stream has no text to remove members from, so no backend is asked.
  if (incoming.tunnel !== null && permit.obligations.hide.length > 0) return new Refusal('PST5006', 'upgrade')
  trail.upstream = plan.name

  if (!stages.audit.ready) return new Refusal('PST6001')

  const upload = uploadOf(incoming, snapshot, trail)
  if (upload instanceof Refusal) return upload

  // The last before anything is done for the request: what was refused for another reason has not used up anybody's rate.
  const rates = stages.rates.take(permit, identity)
  if (rates instanceof Refusal) return rates

  const found = credentialFor(stages, permit, plan, trail)
  const shown = found instanceof Promise ? await found : found
  if (shown instanceof Refusal) return shown
  const { assertion: audience } = plan.settings
  const assertion = audience === null ? null : stages.assert(permit, identity, audience)
  const fields = upstreamFields(permit, origin, identity, plan.settings, upload, shown, assertion)
  if (fields instanceof Refusal) return fields

  const room = maskRoom(stages, plan)
  const admitted = { origin, identity, permit, snapshot, turn }
  const finish = (answer: Answer): Obliged => {
    trail.answered(answer.status)
    const clean = withoutLeak(stages, answer, trail)
    if (clean instanceof Refusal) return clean
    const watched = watchedAnswer(clean, (ordinary, end) => opened(stages, trail, admitted, ordinary, end))
    return oblige(permit, watched, origin, [...rates, ...nonceOf(stages, origin)], room)
  }
  if (incoming.tunnel !== null) return runTunnel(stages, admitted, plan, incoming, fields, trail, { leave, finish })
  incoming.proceed()
  const result = await stages.hop(plan).send(permit, origin, fields, upload, incoming.gone)
  return result instanceof Refusal ? result : finish(result)
}

/** The answer, if it does not show the password that came with the request. */
const withoutLeak = ({ leakGuard, log }: Stages, answer: Answer, trail: Trail): Answer | Refusal => {
  const { credential, upstream } = trail
  if (credential === null) return answer
  return leakGuard(credential).inspect(answer, () => {
    trail.cutFor(new Refusal('PST5007'))
    log.error(
      { upstream, role: credential.role, generation: credential.generation },
      'A BACKEND ANSWERED WITH THE PASSWORD IT WAS GIVEN: blocked',
    )
  })
}

/** The nonce for the caller's next proof, where it speaks DPoP and nonces are asked for (RFC 9449 section 8.2). */
const nonceOf = ({ nonce }: Stages, { authorization }: Origin): readonly string[] => {
  const next = nonce(authorization)
  return next === null ? [] : ['dpop-nonce', next]
}

type Obliged = ReturnType<typeof oblige>

/** What a reply may take to be masked; its time is what the backend has left of its deadline from now on. */
const maskRoom = ({ clock, hideMemory }: Stages, { settings }: UpstreamPlan): (() => MaskRoom) => {
  const asked = clock.monotonic()
  return () => ({
    clock,
    memory: hideMemory,
    maxBytes: settings['hide-buffer'],
    deadline: Math.max(0, settings.deadline - (clock.monotonic() - asked)),
  })
}

/** The rule is worth telling the audit where one decided; other reasons only repeat the code. */
const refusalOf = ({ code, reason, challenge }: Denial): Refusal =>
  new Refusal(code, code === 'PST2101' || code === 'PST2106' ? reason : '', 0, challenge)

/** 404 is told only to those who are somebody in a tenant that can decide (contract 2). */
const comesBeforeRoute = (decision: Decision): boolean =>
  decision.effect === 'deny' && (decision.code === 'PST2103' || decision.code === 'PST2104')

const uploadOf = (incoming: Incoming, snapshot: Snapshot, trail: Trail): Upload | Refusal => {
  if (incoming.head instanceof Refusal) return incoming.head
  const { framing } = incoming.head
  const maxBytes = snapshot.limits['max-body']
  if (framing.kind === 'none') return { stream: null, length: null, maxBytes, received: () => undefined }
  if (framing.length !== null && framing.length > maxBytes) return new Refusal('PST1010')
  trail.requestBytes = framing.length ?? 0
  return { stream: incoming.raw, length: framing.length, maxBytes, received: bytes => trail.received(bytes) }
}

type Delivered = readonly string[] | Refusal

/** The fields that show the backend its credential; none where the permit names no role. */
const credentialFor = (stages: Stages, permit: Permit, plan: UpstreamPlan, trail: Trail): Delivered | Promise<Delivered> => {
  const { cassandraRole: role } = permit
  if (role === null) return []
  // A backend that cannot be given the credential must not be called without it: it would act as somebody else, or fail oddly.
  if (plan.settings.delivery === 'none') return new Refusal('PST4003', plan.name)
  const credential = stages.credential(role)
  if (isUnavailable(credential)) return withoutCredential(role, credential)
  trail.credential = credential
  const fields = stages.deliver(plan, credential)
  const checked = (shown: Shown): Delivered => (isUnavailable(shown) ? withoutCredential(role, shown) : shown)
  return fields instanceof Promise ? fields.then(checked) : checked(fields)
}

const isUnavailable = (value: Credential | readonly string[] | Unavailable): value is Unavailable => 'unavailable' in value

const withoutCredential = (role: string, { unavailable, detail }: Unavailable): Refusal =>
  new Refusal(unavailable === 'credential-no-lease' ? 'PST4002' : 'PST4001', detail === '' ? role : detail, 5)

/** From here on it may be ended from outside, for as long as the exchange lasts. */
const opened = (stages: Stages, trail: Trail, admitted: Admitted, ordinary: boolean, end: (why: Refusal) => void): void => {
  trail.closed = stages.streams.open(admitted, ordinary, why => {
    trail.cutFor(why)
    end(why)
  })
}

const runTunnel = async (
  stages: Stages,
  admitted: Admitted,
  plan: UpstreamPlan,
  incoming: Incoming,
  fields: readonly string[],
  trail: Trail,
  { leave, finish }: { leave(): void; finish(answer: Answer): Obliged },
): Promise<Outgoing | Refusal | null> => {
  if (incoming.tunnel === null) return new Refusal('PST1011')
  const { origin, permit } = admitted
  const { socket, head } = incoming.tunnel
  const refused = (refusal: Refusal): void => {
    void answer(incoming, trail.refuse(refusal, refuse(refusal, incoming.id, origin.gatewayRequestId)), trail)
  }
  const established = (): void => {
    leave()
    opened(stages, trail, admitted, false, () => socket.destroy())
  }
  const result = await stages.tunnels.open(permit, origin, plan, { raw: incoming.raw, socket, head, fields, established, refused })
  if (result instanceof Refusal) return result
  if ('body' in result) return finish(result)
  trail.streamEnded(result.status)
  return null
}
