import { mayAsk, permitted, type Question, readQuestion } from './edge/decide.ts'
import type { Incoming } from './edge/listen.ts'
import { type Admission, admit, answered, assertionFor, type GateStages, isUnavailable, nonceOf, withoutCredential } from './gate.ts'
import type { Decision } from './model/decision.ts'
import type { Outgoing } from './model/exchange.ts'
import { nobody } from './model/identity.ts'
import { Refusal } from './model/problem.ts'
import { admitPreflight, isPreflight } from './preflight.ts'
import type { Snapshot } from './snapshot.ts'
import type { Trail } from './trail.ts'
import { decidedFields } from './upstream/fields.ts'

/** One question of another proxy: the gate's decision about a request that the other proxy holds and sends on itself. */
export const decide = (stages: GateStages, incoming: Incoming): Promise<void> =>
  answered(stages, incoming, (snapshot, trail) => decideFor(stages, snapshot, incoming, trail))

const decideFor = async (stages: GateStages, snapshot: Snapshot, incoming: Incoming, trail: Trail): Promise<Outgoing | Refusal> => {
  const shed = stages.inFlight.enter(snapshot.limits['max-in-flight'])
  // Before all else, so that who may not ask learns nothing, not even how busy the gate is.
  if (snapshot.decide === null || !mayAsk(incoming.peer, snapshot.decide)) return new Refusal('PST1108')
  trail.elsewhere = true
  if (shed) return shed

  const question = readQuestion(incoming, snapshot.decide, snapshot.routes)
  if (question instanceof Refusal) return question
  const { origin, names } = question
  trail.origin = origin

  const found =
    !(incoming.head instanceof Refusal) && isPreflight(incoming.head, origin)
      ? admitPreflight(stages, snapshot, trail, origin)
      : admit(stages, snapshot, trail, origin)
  const admission = found instanceof Promise ? await found : found
  if (admission instanceof Refusal) return admission
  const unseen = unseenFields(trail.decision, question, snapshot.decide.shown)
  if (unseen !== null) return unseen
  const left = leftUndone(stages, admission, names)
  if (left !== null) return left

  if (!stages.audit.ready) return new Refusal('PST6001')
  const rates = stages.rates.take(admission.permit, admission.identity)
  if (rates instanceof Refusal) return rates
  const fields = decidedFields(admission.identity, admission.plan.settings, assertionFor(stages, admission))
  if (fields instanceof Refusal) return fields
  return permitted(admission.permit, origin, [...fields, ...rates, ...nonceOf(stages, origin)])
}

/**
 * A field that policy did not see and a backend may: what the other proxy may only have kept back (Envoy shows what it was told to), and what came
 * in another spelling or was named in `Connection`. Postern would have removed it, the other proxy sends it on, a backend behind CGI reads `X_Mode`
 * as `x-mode`: a deny by it would not have matched.
 */
const unseenFields = (decision: Decision | null, { origin, otherwise }: Question, shown: ReadonlySet<string> | null): Refusal | null => {
  if ((shown === null && otherwise.size === 0) || decision === null) return null
  const { facts, partial } = decision.basis.reads.ofRequest(origin)
  if (partial) return new Refusal('PST2109', 'fields')
  for (const { name: fact, value } of facts) {
    if (!fact.startsWith('header.')) continue
    const name = fact.slice('header.'.length)
    if (otherwise.has(name)) return new Refusal('PST1109', name)
    if (value === undefined && shown?.has(name) === false) return new Refusal('PST2109', fact)
  }
  return null
}

/** What the permit asks for and only who sends the request on could do; a yes that leaves it out would be another decision. */
const leftUndone = (stages: GateStages, { identity, permit, plan }: Admission, names: ReadonlySet<string>): Refusal | null => {
  const { cassandraRole: role, obligations } = permit
  // A preflight is nobody's; with a cookie that nobody removes it would be somebody's to the backend.
  if (identity === nobody && names.has('cookie')) return new Refusal('PST1109', 'cookie')
  if (obligations.hide.length > 0) return new Refusal('PST2109', 'hide')
  const claimed = plan.settings['identity-headers'].find(({ name }) => names.has(name))
  if (claimed !== undefined) return new Refusal('PST1109', claimed.name)
  if (role === null) return null
  // A login is given to a backend by Postern alone: another proxy has no business with it.
  const { delivery } = plan.settings
  if (delivery !== 'endpoint' && delivery !== 'file') return new Refusal('PST2109', `cassandra-role, delivery ${delivery}`)
  const credential = stages.credential(role)
  return isUnavailable(credential) ? withoutCredential(role, credential) : null
}
