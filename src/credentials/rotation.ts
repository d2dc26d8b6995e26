import type { Credential, CredentialStatus, Unavailable } from '../model/credential.ts'
import type { RotationContext } from './context.ts'
import type { RotationStep } from './events.ts'
import { confirmClaim, type History, readHistory } from './generations.ts'
import { newPassword } from './hash.ts'
import { openLease } from './lease.ts'
import { otherSlot, type Slot, slotName } from './names.ts'
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
}

interface Live {
  readonly slot: Slot
  readonly credential: Credential
  /** Monotonic. */
  readonly due: number
  /** Since the epoch. */
  readonly hardEnd: number
}

/**
 * One permission role's credentials: lease, next secret into the idle slot, proof on every node, hand over, retire the old one.
 * Whatever fails is tried again with the same secret, and the current credential goes on being handed out until the hard TTL.
 */
export class Rotation {
  readonly role: string
  /** What the hot path reads. Replaced whole, never changed. */
  answer: Credential | Unavailable = unavailable('being prepared')
  readonly #context: RotationContext
  readonly #tenure: Tenure
  readonly #tasks: Tasks<'rotate' | 'retire' | 'hard' | 'drop'>
  #live: Live | null = null
  #pending: Pending | null = null
  #failures = 0

  constructor(role: string, context: RotationContext) {
    this.role = role
    this.#context = context
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

  /** Begins in the background. */
  start(): void {
    this.#tenure.start()
  }

  status(): CredentialStatus {
    const { role } = this
    if (!('unavailable' in this.answer)) {
      const { generation, notAfter } = this.answer
      return { role, generation, state: 'current', notAfter, detail: this.#failures > 0 ? `${this.#failures} failures since` : '' }
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
    this.answer = unavailable('Postern is stopping')
    // In turn: a statement that is still under way belongs under this lease.
    await this.#context.turn(() => this.#tenure.close())
  }

  #won(): void {
    const { observe, owner } = this.#context
    this.#pending = null
    if (this.#live === null) this.answer = unavailable('being prepared')
    observe({ kind: 'lease', role: this.role, held: true, owner })
    this.#planRotation(0)
  }

  #lost(owner: string): void {
    this.#pending = null
    this.#live = null
    for (const task of ['rotate', 'retire', 'hard'] as const) this.#tasks.cancel(task)
    this.answer = { unavailable: 'credential-no-lease', detail: `the credentials of ${this.role} are made by ${owner}` }
    this.#context.observe({ kind: 'lease', role: this.role, held: false, owner })
  }

  #doubted(detail: string): void {
    if (this.#live === null && this.#tenure.holder === null) this.answer = unavailable(detail)
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
    const history = withLive(await readHistory(session, this.role), this.#live)
    if (this.#live !== null && history.current?.generation !== this.#live.credential.generation) {
      // Another process handed out a newer one while we did not hold the lease, and may be about to retire ours.
      this.#live = null
      this.answer = unavailable('another process rotated meanwhile')
    }
    const wait = this.#live === null ? 0 : this.#live.due - clock.monotonic()
    if (wait > 0) {
      this.#planRotation(wait)
      return null
    }
    return makePending(this.role, history, this.#context)
  }

  async #prove(pending: Pending): Promise<number> {
    const { session, clock } = this.#context
    await forgetCached(session, pending.login)
    const pause = (ms: number): Promise<void> => this.#tasks.pause(ms)
    return prove(session, pending.login, pending.password, { within: timing.proveWithin, monotonic: () => clock.monotonic(), pause })
  }

  #publish(pending: Pending, nodes: number, ms: number): void {
    const { clock, settings, observe } = this.#context
    const { generation, slot, login, password } = pending
    const wait = this.#jittered(settings.rotateEvery)
    const credential = Object.freeze({
      role: this.role,
      username: login,
      password,
      generation,
      notAfter: clock.now() + wait + settings.overlap,
      nextAt: clock.now() + wait,
    })
    this.answer = credential
    this.#live = { slot, credential, due: clock.monotonic() + wait, hardEnd: clock.now() + settings.hardTtl }
    this.#pending = null
    this.#failures = 0
    this.#planRotation(wait)
    this.#planRetirement(settings.overlap, generation)
    this.#tasks.after('hard', settings.hardTtl, () => this.#expire())
    observe({ kind: 'rotated', role: this.role, generation, slot: login, ms: Math.round(ms), nodes })
  }

  /** Re-keys the idle slot with a secret that nobody keeps: also what a process that died before us left behind. */
  async #retire(generation: number): Promise<void> {
    // Waited in line behind a rotation: the idle slot is another one now, and its overlap has only begun.
    if (this.#live?.credential.generation !== generation || this.#pending !== null) return
    const { clock, observe } = this.#context
    const began = clock.monotonic()
    const login = slotName(this.role, otherSlot(this.#live.slot))
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
    this.#live = null
    this.answer = unavailable('no policy names the role')
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
    if (this.#live === null) this.answer = unavailable(`${step}: ${messageOf(error)}`)
    else this.#extend(this.#live)
    const wait = this.#jittered(Math.min(timing.backoff * 2 ** Math.min(this.#failures - 1, 10), timing.backoffMost))
    if (step !== 'retire') this.#planRotation(wait)
    else if (this.#live !== null) this.#planRetirement(wait, this.#live.credential.generation)
  }

  /** It is not retired before the next one has been handed out for an overlap, so for that long it works in any case. */
  #extend(live: Live): void {
    const notAfter = Math.min(this.#context.clock.now() + this.#context.settings.overlap, live.hardEnd)
    if (notAfter <= live.credential.notAfter) return
    const credential = Object.freeze({ ...live.credential, notAfter })
    this.answer = credential
    this.#live = { ...live, credential }
  }

  #expire(): void {
    const generation = this.#live?.credential.generation ?? 0
    this.#live = null
    this.answer = unavailable('no rotation succeeded within hard-ttl')
    this.#context.observe({ kind: 'expired', role: this.role, generation })
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

/** Rows that somebody removed must not make us re-key the slot that is in use. */
const withLive = (history: History, live: Live | null): History =>
  live === null || history.current !== null
    ? history
    : {
        current: { slot: live.slot, generation: live.credential.generation },
        highest: Math.max(history.highest, live.credential.generation),
      }

const unavailable = (detail: string): Unavailable => ({ unavailable: 'credential-unavailable', detail })
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
