import { type Endpoint, formatEndpoint } from './config/values.ts'
import { type ControlActs, type ControlSocket, listenControl } from './control.ts'
import { createCredentialAct } from './credential-acts.ts'
import type { CredentialSource } from './credential-source.ts'
import { createLeakGuards } from './credentials/leak.ts'
import { type Current, createCurrent } from './current.ts'
import { denyAct, denyParts } from './deny.ts'
import { type Drained, Draining } from './drain.ts'
import { cannotListen } from './edge/bind.ts'
import { HideMemory } from './edge/hide/memory.ts'
import { type Listener, listen } from './edge/listen.ts'
import { listenOps, type OpsListener } from './edge/ops.ts'
import { listenOptions } from './front.ts'
import { GatewayCertificates } from './gateway-certificates.ts'
import { createHops, type Hops } from './hops.ts'
import { type Assertions, createAssertions } from './identity/assertion.ts'
import { createIdentifier, type Identifier } from './identity/identify.ts'
import { InFlight } from './limits/in-flight.ts'
import { createRateLimiter, type RateLimiter } from './limits/rate.ts'
import { assertionKeys, faultAt } from './load.ts'
import { meterExchange, recordMalformed } from './meter.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { announce, Notices } from './notices.ts'
import { exchange, type Stages } from './pipeline.ts'
import type { Composition } from './policy/compose.ts'
import { zoneClocks } from './policy/language/zone-clock.ts'
import type { NoRollback } from './policy/rollback.ts'
import { eventCodes } from './record/codes.ts'
import type { RunningAudit } from './record/host.ts'
import type { MetricSources, Metrics } from './record/metrics.ts'
import { askedFor, Reloader, type ReloadRequest, type ReloadResult, type RollbackResult } from './reload.ts'
import type { Revocation } from './revocation/revocation.ts'
import { type LogoutListener, listenLogout } from './revocations.ts'
import type { Snapshot } from './snapshot.ts'
import { createStreams, type Streams } from './streams.ts'
import { createTunnels, type Tunnels } from './upstream/upgrade.ts'
import { metricSources, readiness, statusOf, type Views } from './views.ts'
import { type Watching, watchFiles } from './watch.ts'

export interface RuntimeParts {
  readonly deps: Deps
  readonly metrics: Metrics
  readonly audit: RunningAudit
  readonly credentials: CredentialSource
  readonly revocation: Revocation
  readonly first: Snapshot
  readonly composition: Composition
  /** Where the control socket and caches go. */
  readonly state: string
}

/** What is cut at the deadline of a stop has this long to be recorded. */
const settleMs = 2_000

/** A running Postern: everything that outlives a reload, opened in order and closed in the opposite one. */
export class Runtime {
  readonly #parts: RuntimeParts
  readonly #current: Current
  readonly #inFlight = new InFlight()
  readonly #zones = zoneClocks()
  readonly #rates: RateLimiter
  readonly #hideMemory = new HideMemory()
  readonly #notices: Notices
  readonly #identifier: Identifier
  readonly #assertions: Assertions
  readonly #hops: Hops
  readonly #tunnels: Tunnels
  readonly #streams: Streams
  readonly #reloader: Reloader
  readonly #draining: Draining
  readonly #certificates: GatewayCertificates
  #listener: Listener | null = null
  #opsListener: OpsListener | null = null
  #control: ControlSocket | null = null
  #logout: LogoutListener | null = null
  #watching: Watching | null = null
  #stopping: Promise<void> | null = null
  readonly #views: Views

  constructor(parts: RuntimeParts) {
    const { deps, metrics, audit, first } = parts
    this.#parts = parts
    this.#current = createCurrent(first)
    this.#rates = createRateLimiter(deps.clock, { refused: metrics.limited })
    this.#notices = new Notices(deps.log)
    this.#certificates = new GatewayCertificates(deps.clock, deps.log)
    this.#identifier = createIdentifier(deps, { validated: (issuer, result) => metrics.token(issuer === '' ? null : issuer, result) })
    this.#assertions = createAssertions(deps.clock)
    this.#hops = createHops(deps.clock)
    this.#tunnels = createTunnels(deps, this.#hops.isSafeHop)
    this.#draining = new Draining(deps.clock, () => this.#inFlight.count)
    this.#streams = createStreams({ clock: deps.clock, current: this.#current, zones: this.#zones, revocation: parts.revocation })
    parts.revocation.onChange(() => this.#streams.review())
    const observe = {
      changed: (next: Snapshot) => this.#apply(next),
      retired: () => this.#hops.retain(this.#current.peek()),
      counted: (kind: 'config' | 'policy', result: 'loaded' | 'refused') => metrics.reload(kind, result === 'loaded' ? 'done' : 'refused'),
    }
    this.#reloader = new Reloader(
      { clock: deps.clock, log: deps.log, audit, current: this.#current, observe },
      first.loaded,
      parts.composition,
    )
    this.#views = {
      clock: deps.clock,
      startedAt: deps.clock.now(),
      audit: () => audit.status(),
      credentials: () => parts.credentials.status(),
      identifier: this.#identifier,
      snapshot: () => this.#current.peek(),
      refused: () => this.#reloader.refused,
      lastGoodLoad: () => this.#reloader.lastGood,
      inFlight: () => this.#inFlight.count,
      rateBuckets: () => this.#rates.size,
      hideBytes: () => this.#hideMemory.used,
      streams: () => this.#streams.size,
      gatewayCertificates: () => this.#certificates.list(),
      listening: () => (this.#listener === null ? null : { proxy: this.proxy, ops: this.ops }),
      draining: () => this.#draining.on,
      revocation: () => parts.revocation.status(),
    }
  }

  get proxy(): Endpoint {
    return this.#listener?.address ?? this.#current.peek().loaded.config.listen.proxy
  }

  get ops(): Endpoint {
    return this.#opsListener?.address ?? this.#current.peek().loaded.config.listen.ops
  }

  /** Opens the sockets, the proxy's last. With findings nothing may be served and `stop` is due. */
  async open(): Promise<readonly Finding[]> {
    const { deps, metrics, audit, revocation, state, first } = this.#parts
    const { listen: at } = first.loaded.config
    const { logout } = first.loaded.config.revocation
    const opsViews = { ready: () => this.ready(), metrics: metrics.render, jwks: this.#assertions.jwks }
    this.#apply(first)
    const steps: readonly (readonly [key: string, at: Endpoint | null, open: () => Promise<unknown>])[] = [
      ['state', null, async () => (this.#control = await listenControl(state, this.#acts()))],
      ['state', null, () => revocation.start()],
      [
        'revocation.logout',
        logout?.listen ?? null,
        async () => (this.#logout = await listenLogout(first.loaded, { deps, identifier: this.#identifier, revocation, audit })),
      ],
      ['listen.ops', at.ops, async () => (this.#opsListener = await listenOps(at.ops, opsViews))],
      ['listen.proxy', at.proxy, async () => (this.#listener = await this.#listen(first))],
    ]
    for (const [key, at, open] of steps)
      try {
        await open()
      } catch (fault) {
        return [
          faultAt(
            first.loaded,
            key,
            'C301',
            at !== null ? cannotListen(at, fault) : fault instanceof Error ? fault.message : String(fault),
          ),
        ]
      }
    this.#watching = this.#watch(first)
    announce(deps.log, first, formatEndpoint(this.proxy), formatEndpoint(this.ops))
    return []
  }

  #acts(): ControlActs {
    return {
      status: () => this.status(),
      reload: body => this.reload(askedFor(body)),
      rollback: body => this.rollback(String(body['tenant'] ?? ''), String(body['why'] ?? '').slice(0, 1000)),
      drain: () => this.drain(),
      credentials: createCredentialAct(this.#parts),
      deny: body => denyAct(denyParts(this.#parts, this.#current.peek()), body),
    }
  }

  #listen(first: Snapshot): Promise<Listener> {
    const { deps, audit, metrics, credentials, revocation } = this.#parts
    const stages: Stages = {
      clock: deps.clock,
      log: deps.log,
      current: this.#current,
      inFlight: this.#inFlight,
      zones: this.#zones,
      identify: this.#identifier.identify,
      nonce: this.#identifier.nonce,
      challenged: this.#identifier.challenged,
      audit,
      meter: entry => {
        meterExchange(metrics, entry)
        this.#notices.upstream(entry)
      },
      credential: role => credentials.current(role),
      deliver: this.#hops.deliver,
      assert: this.#assertions.assert,
      hop: this.#hops.hop,
      tunnels: this.#tunnels,
      revocation,
      streams: this.#streams,
      leakGuard: createLeakGuards(),
      rates: this.#rates,
      hideMemory: this.#hideMemory,
      certificateProved: certificate => this.#certificates.proved(certificate),
    }
    return listen(
      listenOptions(first.loaded),
      {
        exchange: incoming => {
          this.#draining.arrived()
          void exchange(stages, incoming)
        },
        malformed: (refusal, id, peer) => recordMalformed({ audit, metrics, clock: deps.clock }, refusal, id, peer),
      },
      deps,
    )
  }

  /** Makes what outlives snapshots follow the one now in force. */
  #apply(next: Snapshot): void {
    this.#identifier.configure(next.loaded.issuers, next.loaded.dpop)
    this.#assertions.configure(assertionKeys(next.loaded))
    this.#hops.follow(next.loaded)
    if (next.loaded.tls !== null) this.#listener?.renew(next.loaded.tls)
    this.#parts.credentials.follow(next.loaded, next.policy.roles)
    this.#streams.review()
  }

  #watch({ loaded }: Snapshot): Watching {
    const { deps } = this.#parts
    return watchFiles(loaded, deps, () => {
      this.#reloader
        .reload({ by: 'change', withoutTests: false, why: '' })
        .catch((fault: unknown) => deps.log.error({ fault: String(fault) }, 'reload failed'))
    })
  }

  async reload(request: ReloadRequest): Promise<ReloadResult> {
    this.#record('control', { act: 'reload', by: request.by, without_tests: request.withoutTests, why: request.why })
    const result = await this.#reloader.reload(request)
    this.#parts.deps.log.info({ by: request.by, changed: result.changed, refused: result.refused }, 'files read again, as asked')
    return result
  }

  rollback(tenant: string, why: string): Promise<RollbackResult | NoRollback> {
    this.#record('control', { act: 'rollback', tenant, why })
    return this.#reloader.rollback(tenant, why)
  }

  readonly ready = (): ReturnType<typeof readiness> => readiness(this.#views)

  readonly status = (): object => statusOf(this.#views)

  readonly sources = (): MetricSources => metricSources(this.#views)

  async drain(): Promise<Drained> {
    if (!this.#draining.on) {
      this.#record('control', { act: 'drain' })
      this.#parts.deps.log.info({ in_flight: this.#inFlight.count }, 'draining: unready, still serving')
    }
    this.#draining.on = true
    this.#listener?.lame()
    return this.#draining.quiet(this.#current.peek().limits['drain-deadline'], () => this.#stopping !== null)
  }

  /** Finishes what is under way, then closes everything; the audit last, so that it holds the end too. Idempotent. */
  stop(reason: string): Promise<void> {
    this.#stopping ??= this.#stop(reason)
    return this.#stopping
  }

  async #stop(reason: string): Promise<void> {
    const { deps, audit, credentials, revocation } = this.#parts
    this.#draining.on = true
    deps.log.info({ reason, in_flight: this.#inFlight.count }, 'stopping')
    this.#watching?.close()
    this.#listener?.lame()
    const ended = this.#streams.stop()
    await this.#listener?.close(this.#current.peek().limits['drain-deadline'])
    await Promise.race([Promise.all([this.#inFlight.drained(), ended]), new Promise<void>(done => deps.clock.after(settleMs, done))])
    await this.#hops.close()
    this.#identifier.close()
    await credentials.close()
    await this.#control?.close()
    await this.#logout?.close()
    await revocation.close()
    await audit.close(reason)
    await this.#opsListener?.close()
    deps.log.info({ reason }, 'stopped')
  }

  #record(kind: 'control', detail: Readonly<Record<string, string | boolean>>): void {
    this.#parts.audit.event({ kind, code: eventCodes[kind], time: this.#parts.deps.clock.now(), tenant: null, detail })
  }
}
