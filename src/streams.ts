import type { Current } from './current.ts'
import type { Decision, ZoneClocks } from './model/decision.ts'
import type { Clock } from './model/deps.ts'
import type { Answer, Body, BodySink, Origin } from './model/exchange.ts'
import type { Identity } from './model/identity.ts'
import type { Permit } from './model/permit.ts'
import { Refusal } from './model/problem.ts'
import type { Revocation } from './revocation/revocation.ts'
import type { Snapshot } from './snapshot.ts'

/** What a stream was let through by. */
export interface Admitted {
  readonly origin: Origin
  readonly identity: Identity
  readonly permit: Permit
  /** The snapshot that it was decided under. */
  readonly snapshot: Snapshot
  /** `Streams.turn` before it was decided. */
  readonly turn: number
}

export interface Streams {
  /** Grows whenever streams are decided again: what was decided in an earlier turn is looked at once more as it opens. */
  readonly turn: number
  /** WebSockets, event streams, and replies that have been open for so long that they count as streams. */
  readonly size: number
  /** `end` is called at most once. An `ordinary` reply becomes a stream only after a while. The result forgets the stream. */
  open(admitted: Admitted, ordinary: boolean, end: (why: Refusal) => void): () => void
  /** Decides every open stream again, now. */
  review(): void
  /** Ends what has no end of its own; what comes later ends as it opens. Settles when their exchanges are over. */
  stop(): Promise<void>
}

export interface StreamParts {
  readonly clock: Clock
  readonly current: Current
  readonly zones: ZoneClocks
  readonly revocation: Pick<Revocation, 'refusal' | 'tenantRefusal'>
}

interface Stream {
  readonly admitted: Admitted
  readonly ordinary: boolean
  readonly end: (why: Refusal) => void
  /** On the monotonic clock, from when on it counts as a stream. */
  readonly since: number
  /** Milliseconds since the epoch. */
  until: number
  untilCode: 'PST3007' | 'PST2102'
  /** Why it is to end once it counts as a stream. */
  refused: Refusal | null
  /** It was ended, and its exchange is not over yet. */
  ending: boolean
}

/** A reply that is over sooner is left alone; one that is not ends no later than this after it was refused (policy 6.3). */
const ordinaryFor = 5_000
/** How often ends that are due are looked for. */
const lookEvery = 1_000

/** The open streams. An ordinary reply costs an entry in a set; no timer is made for it. */
export const createStreams = (parts: StreamParts): Streams => new OpenStreams(parts)

class OpenStreams implements Streams {
  readonly #parts: StreamParts
  readonly #open = new Set<Stream>()
  #turn = 0
  #looking = false
  #stopping = false
  readonly #stopped = Promise.withResolvers<void>()

  constructor(parts: StreamParts) {
    this.#parts = parts
  }

  get turn(): number {
    return this.#turn
  }

  get size(): number {
    const now = this.#parts.clock.monotonic()
    let counted = 0
    for (const { since, ending } of this.#open) if (since <= now && !ending) counted++
    return counted
  }

  open(admitted: Admitted, ordinary: boolean, end: (why: Refusal) => void): () => void {
    const since = this.#parts.clock.monotonic() + (ordinary ? ordinaryFor : 0)
    const stream: Stream = {
      admitted,
      ordinary,
      end,
      since,
      ...lastMoment(admitted.permit, admitted.identity),
      refused: null,
      ending: false,
    }
    this.#open.add(stream)
    if (admitted.turn !== this.#turn) this.#decide(stream)
    const { refused } = stream
    const now = refused ?? (this.#stopping ? new Refusal('PST1302') : null)
    if (now !== null && !ordinary) this.#end(stream, now)
    this.#look()
    return () => {
      this.#open.delete(stream)
      this.#settle()
    }
  }

  review(): void {
    this.#turn++
    for (const stream of this.#open) this.#decide(stream)
    this.#sweep()
  }

  stop(): Promise<void> {
    this.#stopping = true
    for (const stream of this.#open) if (!stream.ordinary) this.#end(stream, new Refusal('PST1302'))
    this.#settle()
    return this.#stopped.promise
  }

  #settle(): void {
    if (this.#stopping && [...this.#open].every(({ ordinary }) => ordinary)) this.#stopped.resolve()
  }

  #decide(stream: Stream): void {
    const judged = judge(this.#parts, stream.admitted)
    if (judged instanceof Refusal) stream.refused = judged
    else {
      stream.refused = null
      Object.assign(stream, lastMoment(judged, stream.admitted.identity))
    }
  }

  #sweep(): void {
    const { clock } = this.#parts
    const [now, monotonic] = [clock.now(), clock.monotonic()]
    for (const stream of this.#open) {
      if (stream.ending || stream.since > monotonic) continue
      if (stream.refused !== null) this.#end(stream, stream.refused)
      else if (stream.until <= now) this.#end(stream, new Refusal(stream.untilCode))
    }
  }

  #end(stream: Stream, why: Refusal): void {
    if (stream.ending) return
    stream.ending = true
    stream.end(why)
  }

  /** One timer for all, and none while nothing is open. */
  #look(): void {
    if (this.#looking) return
    this.#looking = true
    this.#parts.clock.after(lookEvery, () => {
      this.#looking = false
      this.#sweep()
      if (this.#open.size > 0) this.#look()
    })
  }
}

/** A stream outlives neither the token nor the grant that opened it. */
const lastMoment = ({ until }: Permit, { expiresAt }: Identity): { readonly until: number; readonly untilCode: 'PST3007' | 'PST2102' } =>
  until !== null && until < expiresAt ? { until, untilCode: 'PST2102' } : { until: expiresAt, untilCode: 'PST3007' }

const changed = (detail: string): Refusal => new Refusal('PST2105', detail)

/** The permit under which the stream goes on, or why it ends: what would be refused now, or be answered by another backend, with another login, or with less in it. */
const judge = ({ clock, current, zones, revocation }: StreamParts, { origin, identity, permit, snapshot }: Admitted): Permit | Refusal => {
  const denied = revocation.refusal(identity)
  if (denied !== null) return denied
  const now = current.peek()
  if (issuerDigest(now, identity) !== issuerDigest(snapshot, identity)) return changed('issuer')
  const route = now.routes.again(origin.host, origin.target.path)
  if (route === null || route.upstream !== origin.route?.upstream || !now.upstreams.has(route.upstream)) return changed('route')
  const decision = now.policy.decide({ origin: { ...origin, route }, identity, now: clock.now(), zones })
  const closed = revocation.tenantRefusal(tenantOf(decision))
  if (closed !== null) return closed
  if (decision.effect === 'deny') return changed(decision.reason)
  const next = decision.permit
  if (next.tenant !== permit.tenant) return changed('tenant')
  if (next.cassandraRole !== permit.cassandraRole) return changed('cassandra-role')
  const hidden = new Set(permit.obligations.hide.map(({ text }) => text))
  return next.obligations.hide.every(({ text }) => hidden.has(text)) ? next : changed('hide')
}

/** Null for a tenant that does not know the caller: to be refused by it would tell them that it exists. */
export const tenantOf = (decision: Decision): string | null =>
  decision.effect === 'allow' ? decision.permit.tenant : decision.code === 'PST2103' ? null : decision.tenant

/** Under other settings the token might be refused; a token is not kept to be looked at again, so in doubt it is. */
const issuerDigest = ({ loaded }: Snapshot, { issuer }: Identity): string | undefined =>
  loaded.issuers.find(one => one.issuer === issuer)?.digest

/**
 * The answer, so that `opened` hears of a body that comes in pieces. `opened` gets what ends it in the middle and returns what forgets it.
 * An answer that is there as a whole stays as it is.
 */
export const watchedAnswer = (answer: Answer, opened: (ordinary: boolean, end: (why: Refusal) => void) => void): Answer =>
  answer.body.whole === null ? { ...answer, body: new WatchedBody(answer, opened) } : answer

class WatchedBody implements Body {
  readonly #answer: Answer
  readonly #opened: (ordinary: boolean, end: (why: Refusal) => void) => void

  constructor(answer: Answer, opened: (ordinary: boolean, end: (why: Refusal) => void) => void) {
    this.#answer = answer
    this.#opened = opened
  }

  get whole(): Buffer | null {
    return this.#answer.body.whole
  }

  open(sink: BodySink): void {
    const { body, headers } = this.#answer
    const state = { over: false }
    this.#opened(!isEventStream(headers), why => {
      state.over = true
      // First, as a body that is cancelled says that the client is gone.
      sink.fail(why)
      body.cancel()
    })
    if (!state.over) body.open(sink)
  }

  resume(): void {
    this.#answer.body.resume()
  }

  cancel(): void {
    this.#answer.body.cancel()
  }
}

const isEventStream = (headers: readonly string[]): boolean => {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'content-type') return /^text\/event-stream\b/i.test(headers[i + 1] ?? '')
  return false
}
