import type { Credential, CredentialStatus, Unavailable } from '../model/credential.ts'
import type { RotationContext } from './context.ts'
import type { RotationStep } from './events.ts'
import { confirmClaim, lookAtClaim, readHistory } from './generations.ts'
import { newPassword } from './hash.ts'
import { Holding, unavailable } from './holding.ts'
import { openLease } from './lease.ts'
import { liveOf, withLive } from './live.ts'
import { otherSlot, slotName } from './names.ts'
import { makePending, type Pending } from './pending.ts'
import { forgetCached, prove, rekey } from './slot.ts'
import { Tasks } from './tasks.ts'
import { Tenure } from './tenure.ts'

/** Milliseconds, but for the lease's seconds. `statement` is what must be left of the lease when a role statement is sent. */
const timing = {
  leaseTtl: 12,
  renewEvery: 4_000,
  retryLease: 1_000,
  statement: 5_000,
  proveWithin: 10_000,
  backoff: 250,
  backoffMost: 30_000,
  pollMost: 5_000,
}

/**
 * One permission role's credentials: lease, next secret into the idle slot, proof on every node, hand over, retire the old one.
 * Whatever fails is tried again with the same secret, and the current credential goes on being handed out until the hard TTL.
 */
export class Rotation {
  readonly role: string
  readonly #context: RotationContext
  readonly #held: Holding
  readonly #tenure: Tenure
  readonly #tasks: Tasks<'rotate' | 'retire' | 'drop' | 'follow'>
  #pending: Pending | null = null
  #failures = 0

  constructor(role: string, context: RotationContext) {
    this.role = role
    this.#context = context
    this.#held = new Holding(role, context)
    const { session, clock, owner } = context
    this.#tenure = new Tenure({
      clock,
      lease: openLease(session, clock, { name: `credential/${role}`, owner, ttl: timing.leaseTtl }),
      renewEvery: () => this.#jittered(timing.renewEvery),
      won: () => this.#won(),
      lost: holder => this.#lost(holder),
      doubted: detail => this.#doubted(detail),
    })
    this.#tasks = new Tasks(clock)
  }

  /** Synchronous: it is asked on the hot path. */
  get answer(): Credential | Unavailable {
    return this.#held.answer
  }

  /** Begins in the background. */
  start(): void {
    this.#tenure.start()
  }

  status(): CredentialStatus {
    const { role } = this
    if (!('unavailable' in this.answer)) {
      const { generation, notAfter } = this.answer
      const { holder } = this.#tenure
      const detail = this.#failures > 0 ? `${this.#failures} failures since` : holder === null ? '' : `made by ${holder}`
      return { role, generation, state: 'current', notAfter, detail }
    }
    const state = this.#tenure.holder !== null ? 'no-lease' : this.#failures > 0 ? 'unavailable' : 'preparing'
    return { role, generation: 0, state, notAfter: 0, detail: this.answer.detail }
  }

  /** No policy names the role any more: after the overlap both slots lose their passwords. */
  drop(done: () => void): void {
    this.#tasks.after('drop', this.#context.settings.overlap, () => void this.#context.turn(() => this.#end(done)))
  }

  /** A policy names it again. */
  keep(): void {
    this.#tasks.cancel('drop')
  }

  /** The credential goes on working: backends still hold it, and whoever takes the lease next retires it. */
  async close(): Promise<void> {
    this.#tasks.close()
    this.#held.close()
    // In turn: a statement that is still under way belongs under this lease.
    await this.#context.turn(() => this.#tenure.close())
  }

  #won(): void {
    const { observe, owner } = this.#context
    this.#pending = null
    this.#tasks.cancel('follow')
    if (this.#held.live === null) this.#held.answer = unavailable('being prepared')
    observe({ kind: 'lease', role: this.role, held: true, owner })
    this.#planRotation(0)
  }

  #lost(owner: string): void {
    this.#pending = null
    for (const task of ['rotate', 'retire'] as const) this.#tasks.cancel(task)
    this.#context.observe({ kind: 'lease', role: this.role, held: false, owner })
    if (this.#context.vault !== null) void this.#follow()
    else this.#held.forget({ unavailable: 'credential-no-lease', detail: `the credentials of ${this.role} are made by ${owner}` })
  }

  /** Hands out what the lease holder made, and learns of the next one well within the overlap for which the one before still works. */
  async #follow(): Promise<void> {
    const { session, settings } = this.#context
    const { epoch, holder } = this.#tenure
    const isOver = (): boolean => this.#tasks.closed || this.#tenure.epoch !== epoch
    try {
      const { current } = await readHistory(session, this.role)
      if (isOver()) return
      if (!this.#held.adopt(current, holder ?? ''))
        this.#held.forget(unavailable(`generation ${current?.generation} is sealed by a key that is not among key-files`))
      this.#failures = 0
    } catch (error) {
      if (isOver()) return
      this.#failures += 1
      this.#report('follow', error)
      if (this.#held.isShort) this.#held.extend()
    }
    this.#tasks.after('follow', this.#jittered(Math.min(timing.pollMost, settings.overlap / 4)), () => void this.#follow())
  }

  #doubted(detail: string): void {
    if (this.#held.live === null && this.#tenure.holder === null) this.#held.answer = unavailable(detail)
  }

  #planRotation(ms: number): void {
    this.#tasks.after('rotate', ms, () => void this.#context.turn(() => this.#rotate()))
  }

  #planRetirement(ms: number, generation: number): void {
    this.#tasks.after('retire', ms, () => void this.#context.turn(() => this.#retire(generation)))
  }

  async #rotate(): Promise<void> {
    const { session, clock, owner } = this.#context
    const { epoch } = this.#tenure
    const began = clock.monotonic()
    let step: RotationStep = 'claim'
    try {
      this.#mustHold(epoch)
      const pending = this.#pending ?? (await this.#claim())
      if (pending === null) return
      this.#mustHold(epoch)
      this.#pending = pending
      step = 'alter'
      await lookAtClaim(session, this.role, pending, owner)
      this.#mustHold(epoch)
      await rekey(session, pending.login, pending.hash)
      step = 'prove'
      const nodes = await this.#prove(pending)
      step = 'publish'
      this.#mustHold(epoch)
      await confirmClaim(session, this.role, pending, owner, clock.now())
      this.#mustHold(epoch)
      this.#publish(pending, nodes, clock.monotonic() - began)
    } catch (error) {
      this.#failed(step, error)
    }
  }

  /** Null when nothing is due: the lease came back without anyone having used it. */
  async #claim(): Promise<Pending | null> {
    const { session, clock } = this.#context
    const history = withLive(await readHistory(session, this.role), this.#held.live)
    // Another process handed out a newer one while we did not hold the lease, and may be about to retire ours.
    if (this.#held.live !== null && history.current?.generation !== this.#held.live.credential.generation)
      this.#held.forget(unavailable('another process rotated meanwhile'))
    if (this.#held.live === null) this.#held.adopt(history.current, this.#context.owner)
    const wait = this.#held.live === null ? 0 : this.#held.live.due - clock.monotonic()
    if (wait > 0) {
      this.#planRotation(wait)
      if (this.#held.live !== null) this.#planRetirement(this.#context.settings.overlap, this.#held.live.credential.generation)
      return null
    }
    return makePending(this.role, history, this.#jittered(this.#context.settings.rotateEvery), this.#context)
  }

  async #prove(pending: Pending): Promise<number> {
    const { session, clock } = this.#context
    await forgetCached(session, pending.login)
    const pause = (ms: number): Promise<void> => this.#tasks.pause(ms)
    return prove(session, pending.login, pending.password, { within: timing.proveWithin, monotonic: () => clock.monotonic(), pause })
  }

  #publish(pending: Pending, nodes: number, ms: number): void {
    const { clock, settings, observe } = this.#context
    const { generation, login, password } = pending
    const live = liveOf(pending, password, this.#context)
    this.#held.show(live)
    this.#pending = null
    this.#failures = 0
    this.#planRotation(live.due - clock.monotonic())
    this.#planRetirement(settings.overlap, generation)
    observe({ kind: 'rotated', role: this.role, generation, slot: login, ms: Math.round(ms), nodes })
  }

  /** Re-keys the idle slot with a secret that nobody keeps: also what a process that died before us left behind. */
  async #retire(generation: number): Promise<void> {
    // Waited in line behind a rotation: the idle slot is another one now, and its overlap has only begun.
    if (this.#held.live?.credential.generation !== generation || this.#pending !== null) return
    const { clock, observe } = this.#context
    const began = clock.monotonic()
    const login = slotName(this.role, otherSlot(this.#held.live.slot))
    try {
      await this.#lockOut(login)
      this.#failures = 0
      observe({ kind: 'retired', role: this.role, slot: login, ms: Math.round(clock.monotonic() - began) })
    } catch (error) {
      this.#failed('retire', error)
    }
  }

  async #lockOut(login: string): Promise<void> {
    const { session, random, hash } = this.#context
    const unknowable = await hash(newPassword(random))
    this.#mustHold(this.#tenure.epoch)
    await rekey(session, login, unknowable)
    await forgetCached(session, login)
  }

  async #end(done: () => void): Promise<void> {
    this.#held.forget(unavailable('no policy names the role'))
    try {
      for (const slot of ['a', 'b'] as const) await this.#lockOut(slotName(this.role, slot))
    } catch (error) {
      // Not ours to retire, or out of reach: whoever takes the lease next does it, should the role ever be named again.
      if (this.#tenure.holder === null) this.#report('retire', error)
    }
    this.#tasks.close()
    await this.#tenure.close()
    done()
  }

  #failed(step: RotationStep, error: unknown): void {
    if (this.#tasks.closed || this.#tenure.holder !== null) return
    this.#failures += 1
    this.#report(step, error)
    if (this.#held.live === null) this.#held.answer = unavailable(`${step}: ${messageOf(error)}`)
    else this.#held.extend()
    const wait = this.#jittered(Math.min(timing.backoff * 2 ** Math.min(this.#failures - 1, 10), timing.backoffMost))
    if (step !== 'retire') this.#planRotation(wait)
    else if (this.#held.live !== null) this.#planRetirement(wait, this.#held.live.credential.generation)
  }

  #mustHold(epoch: number): void {
    if (this.#tasks.closed) throw new Error('stopping')
    this.#tenure.mustHold(epoch, timing.statement)
  }

  #report(step: RotationStep, error: unknown): void {
    this.#context.observe({ kind: 'failed', role: this.role, step, message: messageOf(error), failures: this.#failures })
  }

  /** Nine to ten tenths: sidecars that started together drift apart. */
  #jittered(ms: number): number {
    return Math.round(ms * (0.9 + (this.#context.random(1)[0] ?? 0) / 2560))
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
