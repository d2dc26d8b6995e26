import { dirname, resolve } from 'node:path'
import { type Endpoint, formatEndpoint } from './config/values.ts'
import { type ControlSocket, listenControl } from './control.ts'
import type { CredentialSource } from './credential-source.ts'
import { createLeakGuards } from './credentials/leak.ts'
import { type Current, createCurrent } from './current.ts'
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
import { assertionKeys } from './load.ts'
import { meterExchange } from './meter.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import type { Refusal } from './model/problem.ts'
import { announce, Notices } from './notices.ts'
import { exchange, type Stages } from './pipeline.ts'
import type { Composition } from './policy/compose.ts'
import { zoneClocks } from './policy/language/zone-clock.ts'
import { eventCodes } from './record/codes.ts'
import type { RunningAudit } from './record/host.ts'
import type { MetricSources, Metrics } from './record/metrics.ts'
import { Reloader, type ReloadRequest, type ReloadResult } from './reload.ts'
import { configFinding } from './settings.ts'
import type { Snapshot } from './snapshot.ts'
import { malformedEntry } from './trail.ts'
import { createTunnels, type Tunnels } from './upstream/upgrade.ts'
import { metricSources, readiness, statusOf, type Views } from './views.ts'
import { type Watching, watchPaths } from './watch.ts'

export interface RuntimeParts {
  readonly deps: Deps
  readonly metrics: Metrics
  readonly audit: RunningAudit
  readonly credentials: CredentialSource
  readonly first: Snapshot
  readonly composition: Composition
  /** Where the control socket and caches go. */
  readonly state: string
}

/** What is cut at the deadline of a stop has this long to be recorded. */
const settleMs = 2_000
/** A drain is over when nothing has come for so long. */
const quietMs = 3_000

/** A running Postern: everything that outlives a reload, opened in order and closed in the opposite one. */
export class Runtime {
  readonly #parts: RuntimeParts
  readonly #current: Current
  readonly #inFlight = new InFlight()
  readonly #rates: RateLimiter
  readonly #hideMemory = new HideMemory()
  readonly #notices: Notices
  readonly #identifier: Identifier
  readonly #assertions: Assertions
  readonly #hops: Hops
  readonly #tunnels: Tunnels
  readonly #reloader: Reloader
  readonly #certificates: GatewayCertificates
  #listener: Listener | null = null
  #opsListener: OpsListener | null = null
  #control: ControlSocket | null = null
  #watching: Watching | null = null
  #draining = false
  #stopping: Promise<void> | null = null
  #lastArrival = 0
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
      inFlight: () => this.#inFlight.count,
      rateBuckets: () => this.#rates.size,
      hideBytes: () => this.#hideMemory.used,
      streams: () => this.#tunnels.size,
      gatewayCertificates: () => this.#certificates.list(),
      listening: () => (this.#listener === null ? null : { proxy: this.proxy, ops: this.ops }),
      draining: () => this.#draining,
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
    const { deps, metrics, state, first } = this.#parts
    const { listen: at } = first.loaded.config
    this.#apply(first)
    try {
      this.#control = await listenControl(state, {
        status: () => this.status(),
        reload: body => this.#controlReload(body),
        drain: () => this.drain(),
      })
    } catch (fault) {
      return [this.#finding('state', fault instanceof Error ? fault.message : String(fault))]
    }
    try {
      this.#opsListener = await listenOps(at.ops, { ready: () => this.ready(), metrics: metrics.render, jwks: this.#assertions.jwks })
    } catch (fault) {
      return [this.#finding('listen.ops', cannotListen(at.ops, fault))]
    }
    try {
      this.#listener = await this.#listen(first)
    } catch (fault) {
      return [this.#finding('listen.proxy', cannotListen(at.proxy, fault))]
    }
    this.#watching = this.#watch(first)
    announce(deps.log, first, formatEndpoint(this.proxy), formatEndpoint(this.ops))
    return []
  }

  #listen({ loaded }: Snapshot): Promise<Listener> {
    const { deps, audit, metrics, credentials } = this.#parts
    const stages: Stages = {
      clock: deps.clock,
      log: deps.log,
      current: this.#current,
      inFlight: this.#inFlight,
      zones: zoneClocks(),
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
      leakGuard: createLeakGuards(),
      rates: this.#rates,
      hideMemory: this.#hideMemory,
      certificateProved: certificate => this.#certificates.proved(certificate),
    }
    return listen(
      listenOptions(loaded),
      {
        exchange: incoming => {
          if (this.#draining) this.#lastArrival = deps.clock.monotonic()
          void exchange(stages, incoming)
        },
        malformed: (refusal, id, peer) => this.#malformed(refusal, id, peer),
      },
      deps,
    )
  }

  #malformed(refusal: Refusal, id: string, peer: string | undefined): void {
    const entry = malformedEntry(this.#parts.deps.clock.now(), refusal, id, peer ?? null)
    this.#parts.audit.exchange(entry)
    meterExchange(this.#parts.metrics, entry)
  }

  /** Makes what outlives snapshots follow the one now in force. */
  #apply(next: Snapshot): void {
    this.#identifier.configure(next.loaded.issuers, next.loaded.dpop)
    this.#assertions.configure(assertionKeys(next.loaded))
    this.#hops.follow(next.loaded)
    if (next.loaded.tls !== null) this.#listener?.renew(next.loaded.tls)
    this.#parts.credentials.follow(next.loaded, next.policy.roles)
    // Until streams are decided again one by one, a change ends them all: the client reconnects and is judged by what now holds.
    this.#tunnels.closeAll('PST2105')
  }

  #watch({ loaded }: Snapshot): Watching {
    const { config, file } = loaded
    const base = dirname(resolve(file))
    const changed = (): void => {
      this.#reloader
        .reload({ by: 'change', withoutTests: false, why: '' })
        .catch((fault: unknown) => this.#parts.deps.log.error({ fault: String(fault) }, 'reload failed'))
    }
    return watchPaths([resolve(file), ...loaded.secretFiles], [resolve(base, config.policies.dir)], this.#parts.deps, changed)
  }

  async reload(request: ReloadRequest): Promise<ReloadResult> {
    this.#record('control', { act: 'reload', by: request.by, without_tests: request.withoutTests, why: request.why })
    const result = await this.#reloader.reload(request)
    this.#parts.deps.log.info({ by: request.by, changed: result.changed, refused: result.refused }, 'files read again, as asked')
    return result
  }

  #controlReload(body: Readonly<Record<string, unknown>>): Promise<ReloadResult> {
    return this.reload({ by: 'control', withoutTests: body['withoutTests'] === true, why: String(body['why'] ?? '').slice(0, 1000) })
  }

  ready(): ReturnType<typeof readiness> {
    return readiness(this.#views)
  }

  status(): object {
    return statusOf(this.#views)
  }

  sources(): MetricSources {
    return metricSources(this.#views)
  }

  async drain(): Promise<{ readonly quiet: boolean; readonly inFlight: number }> {
    const { clock } = this.#parts.deps
    if (!this.#draining) {
      this.#record('control', { act: 'drain' })
      this.#parts.deps.log.info({ in_flight: this.#inFlight.count }, 'draining: unready, still serving')
    }
    this.#draining = true
    this.#listener?.lame()
    const from = clock.monotonic()
    this.#lastArrival = from
    const deadline = from + this.#current.peek().limits['drain-deadline']
    for (;;) {
      const now = clock.monotonic()
      const quiet = this.#inFlight.count === 0 && now - this.#lastArrival >= quietMs
      if (quiet || now >= deadline || this.#stopping !== null) return { quiet, inFlight: this.#inFlight.count }
      await new Promise<void>(done => clock.after(Math.min(250, deadline - now), done))
    }
  }

  /** Finishes what is under way, then closes everything; the audit last, so that it holds the end too. Idempotent. */
  stop(reason: string): Promise<void> {
    this.#stopping ??= this.#stop(reason)
    return this.#stopping
  }

  async #stop(reason: string): Promise<void> {
    const { deps, audit, credentials } = this.#parts
    this.#draining = true
    deps.log.info({ reason, in_flight: this.#inFlight.count }, 'stopping')
    this.#watching?.close()
    this.#listener?.lame()
    this.#tunnels.closeAll('PST1302')
    await this.#listener?.close(this.#current.peek().limits['drain-deadline'])
    await Promise.race([this.#inFlight.drained(), new Promise<void>(done => deps.clock.after(settleMs, done))])
    await this.#hops.close()
    this.#identifier.close()
    await credentials.close()
    await this.#control?.close()
    await audit.close(reason)
    await this.#opsListener?.close()
    deps.log.info({ reason }, 'stopped')
  }

  #record(kind: 'control', detail: Readonly<Record<string, string | boolean>>): void {
    this.#parts.audit.event({ kind, code: eventCodes[kind], time: this.#parts.deps.clock.now(), tenant: null, detail })
  }

  #finding(key: string, message: string): Finding {
    const { read, file } = this.#parts.first.loaded
    const offset = read.provenance.get(key)
    return { ...configFinding(file, 'C301', message), ...(offset === undefined || offset === null ? {} : read.source.position(offset)) }
  }
}
