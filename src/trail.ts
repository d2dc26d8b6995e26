import type { Incoming } from './edge/listen.ts'
import type { ExchangeEntry } from './model/audit.ts'
import type { Credential } from './model/credential.ts'
import type { Decision } from './model/decision.ts'
import type { Clock } from './model/deps.ts'
import type { Origin, Outgoing, Settled } from './model/exchange.ts'
import type { Identity } from './model/identity.ts'
import { Refusal } from './model/problem.ts'

const nothing = (): void => undefined

/** What one exchange learns on its way, local to the pipeline: stages never see it. */
export class Trail {
  readonly time: number
  origin: Origin | null = null
  identity: Identity | null = null
  decision: Decision | null = null
  /** Whose host was asked, where no decision names a tenant. */
  tenantOfHost: string | null = null
  upstream: string | null = null
  credential: Credential | null = null
  /** Postern answered of itself, without a decision: what it told. */
  told: 'resource-metadata' | null = null
  requestBytes = 0
  status = 0
  /** Members removed from the reply. */
  hidden = 0
  /** Forgets the open stream that this exchange has become. */
  closed: () => void = nothing
  readonly #incoming: Incoming
  readonly #clock: Clock
  readonly #started: number
  #refusal: Refusal | null = null
  #upstreamStatus: number | null = null
  #upstreamMs: number | null = null
  #endedBy: Refusal | null = null

  constructor(clock: Clock, incoming: Incoming) {
    this.#clock = clock
    this.#incoming = incoming
    this.time = clock.now()
    this.#started = clock.monotonic()
  }

  received(bytes: number): void {
    this.requestBytes = bytes
  }

  answered(status: number): void {
    this.#upstreamStatus = status
    this.#upstreamMs = this.#elapsed()
  }

  /** Nobody is left to be answered. */
  get clientGone(): boolean {
    return this.#refusal?.code === 'PST1012'
  }

  refuse(refusal: Refusal, outgoing: Outgoing): Outgoing {
    this.#refusal = refusal
    return outgoing
  }

  /** Postern ends a reply whose head may have left already. */
  cutFor(why: Refusal): void {
    this.#endedBy ??= why
  }

  /** A WebSocket that was let through and has ended; null: it never began. */
  streamEnded(status: number | null): void {
    this.#upstreamStatus = status
    this.status ||= status ?? 0
  }

  #elapsed(): number {
    return Math.round((this.#clock.monotonic() - this.#started) * 1000) / 1000
  }

  entry(settled: Settled): ExchangeEntry {
    const { origin, identity, decision } = this
    const { raw } = this.#incoming
    // Unproved: enough to look for whoever came past the gateway, and never used to decide.
    const head = this.#incoming.head instanceof Refusal ? null : this.#incoming.head
    return {
      kind: 'exchange',
      code: (this.#refusal ?? this.#endedBy)?.code ?? (this.told === null ? 'PST2001' : 'PST2002'),
      time: this.time,
      tenant: decision === null ? this.tenantOfHost : decision.effect === 'allow' ? decision.permit.tenant : decision.tenant,
      issuer: identity?.issuer ?? null,
      subject: identity?.subject ?? null,
      agents: identity?.agents ?? [],
      proof: origin?.proof ?? [],
      gatewayRequestId: origin?.gatewayRequestId ?? null,
      peer: this.#incoming.peer ?? null,
      requestId: this.#incoming.id,
      method: origin?.method ?? raw.method ?? '',
      host: origin?.host ?? head?.host ?? '',
      route: origin?.route?.name ?? null,
      path: origin?.target.path ?? head?.target.path ?? raw.url ?? '',
      clientIp: origin?.clientIp ?? null,
      userAgent: origin?.userAgent ?? head?.userAgent ?? '',
      requestBytes: this.requestBytes,
      effect: decision?.effect ?? 'deny',
      rule: decision === null ? '' : decision.effect === 'allow' ? decision.permit.rule : decision.reason,
      role: decision?.effect === 'allow' ? decision.permit.cassandraRole : null,
      reason: this.#reason(),
      policyDigest: decision === null ? null : decision.effect === 'allow' ? decision.permit.policyDigest : decision.policyDigest,
      decided: decision === null || identity === null || origin === null ? null : { basis: decision.basis, identity, origin },
      inDoubt: decision?.effect === 'deny' ? decision.inDoubt : (decision?.observed?.inDoubt ?? false),
      shadow: decision?.shadow ?? null,
      observed: observedIn(decision),
      credentialRole: this.credential?.role ?? null,
      credentialGeneration: this.credential?.generation ?? null,
      upstream: this.upstream,
      upstreamStatus: this.#upstreamStatus,
      upstreamMs: this.#upstreamMs,
      status: this.status,
      responseBytes: settled.bytes,
      ms: this.#elapsed(),
      hidden: this.hidden,
      aborted: settled.aborted,
    }
  }

  #reason(): string {
    const why = this.#refusal ?? this.#endedBy
    if (why === null) return this.told ?? ''
    return why.detail === '' ? why.row.reason : `${why.row.reason}: ${why.detail}`
  }
}

const observedIn = (decision: Decision | null): ExchangeEntry['observed'] =>
  decision?.effect === 'allow' && decision.observed !== null ? { effect: decision.observed.effect, rule: decision.permit.rule } : null

/** A request that the parser refused: there is no head, only that somebody sent something. */
export const malformedEntry = (time: number, refusal: Refusal, requestId: string, peer: string | null): ExchangeEntry => ({
  kind: 'exchange',
  code: refusal.code,
  time,
  tenant: null,
  issuer: null,
  subject: null,
  agents: [],
  proof: [],
  gatewayRequestId: null,
  peer,
  requestId,
  method: '',
  host: '',
  route: null,
  path: '',
  clientIp: null,
  userAgent: '',
  requestBytes: 0,
  effect: 'deny',
  rule: '',
  role: null,
  reason: refusal.row.reason,
  policyDigest: null,
  decided: null,
  inDoubt: false,
  shadow: null,
  observed: null,
  credentialRole: null,
  credentialGeneration: null,
  upstream: null,
  upstreamStatus: null,
  upstreamMs: null,
  status: refusal.row.status,
  responseBytes: 0,
  ms: 0,
  hidden: 0,
  aborted: false,
})
