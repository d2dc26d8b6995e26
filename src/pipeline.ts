import type { LeakGuard } from './credentials/leak.ts'
import type { MaskRoom } from './edge/hide/mask.ts'
import type { HideMemory } from './edge/hide/memory.ts'
import type { Incoming } from './edge/listen.ts'
import { oblige } from './edge/oblige.ts'
import type { PeerCertificate } from './edge/peer-certificate.ts'
import { refuse } from './edge/refuse.ts'
import { type Arrival, trust } from './edge/trust.ts'
import { admit, answer, answered, assertionFor, type GateStages, isUnavailable, nonceOf, withoutCredential } from './gate.ts'
import { tell } from './metadata.ts'
import type { Credential, Unavailable } from './model/credential.ts'
import type { Answer, Outgoing } from './model/exchange.ts'
import type { Permit } from './model/permit.ts'
import { Refusal } from './model/problem.ts'
import { forwardPreflight, isPreflight } from './preflight.ts'
import { exchangeForSession, type SessionStages } from './sessions.ts'
import type { Snapshot } from './snapshot.ts'
import { type Admitted, type Streams, watchedAnswer } from './streams.ts'
import type { Trail } from './trail.ts'
import { upstreamFields } from './upstream/fields.ts'
import type { Hop, Upload, UpstreamPlan } from './upstream/hop.ts'
import type { Tunnels } from './upstream/upgrade.ts'

/** The fields that show a backend its credential. */
type Shown = readonly string[] | Unavailable

/** Everything with state that one exchange needs, handed in by `app`. */
export interface Stages extends GateStages, SessionStages {
  /** Whether an assertion of the gateway is shown for the first time. */
  once: Arrival['once']
  deliver(plan: UpstreamPlan, credential: Credential): Shown | Promise<Shown>
  hop(plan: UpstreamPlan): Hop
  readonly tunnels: Tunnels
  readonly streams: Streams
  readonly leakGuard: (credential: Credential) => LeakGuard
  readonly hideMemory: HideMemory
  /** The gateway proved itself with it. */
  certificateProved(certificate: PeerCertificate): void
}

/** One exchange, top to bottom. */
export const exchange = (stages: Stages, incoming: Incoming): Promise<void> =>
  answered(stages, incoming, (snapshot, trail, leave) => decideAndSend(stages, snapshot, incoming, trail, leave))

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
  const origin = trust(incoming.head, { id, peer, certificate, now: trail.time, once: stages.once }, snapshot.gateway, snapshot.routes)
  if (origin instanceof Refusal) return origin
  trail.origin = origin
  if (certificate !== null && origin.proof.includes('client-certificate')) stages.certificateProved(certificate)

  const told = tell(snapshot, origin, trail)
  if (told !== null) return told
  const session = exchangeForSession(stages, snapshot, incoming.head, origin, trail)
  if (session !== null) return session
  if (isPreflight(incoming.head, origin)) return forwardPreflight(stages, snapshot, incoming.gone, trail, origin)

  const found = admit(stages, snapshot, trail, origin)
  const admission = found instanceof Promise ? await found : found
  if (admission instanceof Refusal) return admission
  const { identity, permit, plan } = admission
  // A stream has no text to remove members from, so no backend is asked.
  if (incoming.tunnel !== null && permit.obligations.hide.length > 0) return new Refusal('PST5006', 'upgrade')
  trail.upstream = plan.name

  if (!stages.audit.ready) return new Refusal('PST6001')

  const upload = uploadOf(incoming, snapshot, trail)
  if (upload instanceof Refusal) return upload

  // The last before anything is done for the request: what was refused for another reason has not used up anybody's rate.
  const rates = stages.rates.take(permit, identity)
  if (rates instanceof Refusal) return rates

  const delivered = credentialFor(stages, permit, plan, trail)
  const shown = delivered instanceof Promise ? await delivered : delivered
  if (shown instanceof Refusal) return shown
  const fields = upstreamFields(permit, origin, identity, plan.settings, upload, shown, assertionFor(stages, admission))
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
