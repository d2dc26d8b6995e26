import { carryOut, messageOf, type Proved, StepFault } from './attempt.ts'
import { type Connection, nameSome } from './connections.ts'
import type { RotationContext } from './context.ts'
import type { RotationStep } from './events.ts'
import { type Cut, readHistory } from './generations.ts'
import { newPassword } from './hash.ts'
import { type Holding, unavailable } from './holding.ts'
import { type Live, liveOf, withLive } from './live.ts'
import { otherSlot, type Slot, slotName } from './names.ts'
import { makePending, type Pending } from './pending.ts'
import { Sentinel } from './sentinel.ts'
import { forgetCached, lock, rekey } from './slot.ts'
import { Tasks } from './tasks.ts'
import type { Tenure } from './tenure.ts'

/** Milliseconds. `statement` is what must be left of the lease when a role statement is sent. */
const timing = { statement: 5_000, backoff: 250, backoffMost: 30_000 }

const slots: readonly Slot[] = ['a', 'b']

export interface RotationParts {
  readonly role: string
  readonly context: RotationContext
  readonly held: Holding
  readonly tenure: Tenure
  /** What forbids handing out anything. */
  readonly cut: () => Cut | null
  /** The rows say that the role is cut. */
  readonly found: (cut: Cut) => void
  /** A generation was confirmed, which ends cuts and wishes. */
  readonly confirmed: () => void
}

/**
 * What the lease holder of a permission role does: next secret into the idle slot, proof on every node, hand over, retire the old one; and look after
 * the one that is handed out. Whatever fails is tried again with the same secret, and the current credential goes on being handed out.
 */
export class Rotation {
  readonly #parts: RotationParts
  readonly #tasks: Tasks<'rotate' | 'retire' | 'check' | 'lock'>
  readonly #sentinel: Sentinel
  #pending: Pending | null = null
  /** In a row. */
  failures = 0
  /** The last of them; empty: none since the last success. */
  failure = ''
  /** What is wrong with the credential that is handed out. */
  fault = ''
  /** Connections of older generations that were open at the last look; null: nobody looked, or no node would say. */
  onPrevious: number | null = null
  /** A generation that stopped working through no act of ours. */
  #suspected = 0
  /** Connections that stood on the current slot before it got its password. */
  #older: ReadonlySet<string> = new Set()
  /** The generation whose predecessor was given more time. */
  #waitedFor = 0

  constructor(parts: RotationParts) {
    this.#parts = parts
    const { session, clock } = parts.context
    this.#sentinel = new Sentinel(session, clock, parts.context.watch.settled)
    this.#tasks = new Tasks(clock)
  }

  /** The lease is ours, or somebody wishes a rotation: as soon as it is this role's turn. */
  soon(): void {
    this.#plan('rotate', 0, () => this.#rotate())
  }

  /** The lease is lost, or the role cut. What was begun is not finished. */
  rest(): void {
    this.#pending = null
    for (const task of ['rotate', 'retire', 'check', 'lock'] as const) this.#tasks.cancel(task)
  }

  /** Makes a cut hold that another process began, or that met a rotation of ours half-way: no login, an unknowable password. */
  lockSlots(ms = 0): void {
    this.#plan('lock', ms, async () => {
      if (this.#parts.cut() === null) return
      try {
        for (const slot of slots) await this.#lockOut(slotName(this.#parts.role, slot), lock)
        this.#succeeded()
      } catch (error) {
        this.#failed('cut', error)
      }
    })
  }

  /** No policy names the role any more. Rejects where that is not ours to do, or cannot be done now. */
  async end(): Promise<void> {
    for (const slot of slots) await this.#lockOut(slotName(this.#parts.role, slot), lock)
  }

  close(): void {
    this.#tasks.close()
  }

  #plan(task: 'rotate' | 'retire' | 'lock', ms: number, job: () => Promise<void>): void {
    this.#tasks.after(task, ms, () => void this.#parts.context.turn(job))
  }

  async #rotate(): Promise<void> {
    const { context, tenure } = this.#parts
    const { epoch } = tenure
    const began = context.clock.monotonic()
    let pending: Pending | null = null
    try {
      this.#mustHold(epoch)
      pending = this.#pending ?? (await this.#claim())
      if (pending === null) return
      this.#mustHold(epoch)
      this.#pending = pending
      const endsCut = pending.cut
      const mustGoOn = (): void => {
        this.#mustHold(epoch)
        const cut = this.#parts.cut()?.at ?? null
        if (cut !== null && cut !== endsCut) throw new Error('the role was cut')
      }
      const proved = await carryOut(pending, context, { mustGoOn, pause: ms => this.#tasks.pause(ms) })
      this.#publish(pending, proved, context.clock.monotonic() - began)
    } catch (error) {
      // Somebody cut the role meanwhile: what was begun is given up, which is no failure.
      if (pending === null || this.#pending === pending) this.#failed(error instanceof StepFault ? error.step : 'claim', error)
    }
  }

  /** Null when nothing is due: the lease came back without anyone having used it; or when nothing may be made. */
  async #claim(): Promise<Pending | null> {
    const { role, context, held, found } = this.#parts
    const { session, clock, settings, owner } = context
    const history = withLive(await readHistory(session, role), held.live)
    if (history.cut !== null) {
      found(history.cut)
      if (!history.asked) return null
      this.#tasks.cancel('lock')
    }
    // Another process handed out a newer one while we did not hold the lease, and may be about to retire ours.
    if (held.live !== null && history.current?.generation !== held.generation) held.forget(unavailable('another process rotated meanwhile'))
    const isSuspect = history.current?.generation === this.#suspected
    if (held.live === null && history.cut === null) held.adopt(history.current, owner)
    const isWanted = history.asked || isSuspect
    const wait = held.live === null || isWanted ? 0 : held.live.due - clock.monotonic()
    if (wait <= 0 || held.live === null) return makePending(role, history, this.#jittered(settings.rotateEvery), context)
    this.#look(held.live, settings.overlap)
    return null
  }

  #publish(pending: Pending, { nodes, older }: Proved, ms: number): void {
    const { role, context, held } = this.#parts
    const { generation, login, password } = pending
    const live = liveOf(pending, password, context.clock.now(), context)
    this.#parts.confirmed()
    held.show(live)
    this.#pending = null
    this.fault = ''
    this.#succeeded()
    this.#older = new Set(older.map(({ key }) => key))
    // Whoever changed the other slot's password has it: it is taken from them at once.
    const isTaken = this.#suspected !== 0
    this.#suspected = 0
    if (isTaken) this.#waitedFor = generation
    this.#look(live, isTaken ? 0 : context.settings.overlap)
    context.observe({ kind: 'rotated', role, generation, slot: login, ms: Math.round(ms), nodes, late: nameSome(older) })
  }

  /** Plans what becomes of a credential that is handed out. */
  #look(live: Live, retireIn: number): void {
    const { clock } = this.#parts.context
    this.#plan('rotate', live.due - clock.monotonic(), () => this.#rotate())
    this.#planRetirement(retireIn, live.credential.generation)
    this.#planCheck(this.#parts.context.watch.every)
  }

  #planRetirement(ms: number, generation: number): void {
    this.#plan('retire', ms, () => this.#retire(generation))
  }

  /** Re-keys the idle slot with a secret that nobody keeps: also what a process that died before us left behind. */
  async #retire(generation: number): Promise<void> {
    const { role, context, held } = this.#parts
    // Waited in line behind a rotation: the idle slot is another one now, and its overlap has only begun.
    if (held.live?.credential.generation !== generation || this.#pending !== null) return
    const { clock, observe, settings } = context
    const login = slotName(role, otherSlot(held.live.slot))
    const late = await this.#late(held.live)
    // Once, and never into the next rotation, which needs the slot.
    const more = Math.min(settings.overlap, held.live.due - clock.monotonic() - settings.overlap / 2)
    if (late !== null && late.length > 0 && this.#waitedFor !== generation && more > 0) {
      this.#waitedFor = generation
      observe({ kind: 'late', role, slot: login, ms: Math.round(more), late: nameSome(late) })
      this.#planRetirement(more, generation)
      return
    }
    const began = clock.monotonic()
    try {
      await this.#lockOut(login, rekey)
      this.#succeeded()
      observe({ kind: 'retired', role, slot: login, ms: Math.round(clock.monotonic() - began), late: late && nameSome(late) })
    } catch (error) {
      this.#failed('retire', error)
    }
  }

  /** Connections that were opened with an older credential than the one handed out now. Null: no node would say. */
  async #late({ slot, credential }: Live): Promise<readonly Connection[] | null> {
    const { role, context } = this.#parts
    const { open, silent } = await context.connections.now()
    const previous = slotName(role, otherSlot(slot))
    const late = open.filter(
      ({ login, key, generation }) =>
        login === previous ||
        (login === credential.username && (this.#older.has(key) || (generation !== null && generation < credential.generation))),
    )
    this.onPrevious = open.length === 0 && silent.length > 0 ? null : late.length
    return this.onPrevious === null ? null : late
  }

  #planCheck(ms: number): void {
    this.#tasks.after('check', this.#jittered(ms), () => void this.#parts.context.checkTurn(() => this.#check()))
  }

  /** Whether what is handed out still works, and who lives on with what is not handed out any more. */
  async #check(): Promise<void> {
    const { held, tenure, context } = this.#parts
    const { epoch } = tenure
    const { live } = held
    const { every, again } = context.watch
    if (live === null) return
    const verdict = await this.#sentinel.look(live.credential)
    await this.#late(live)
    if (this.#tasks.closed || tenure.epoch !== epoch || held.live?.credential.generation !== live.credential.generation) return
    this.#planCheck(verdict.is === 'suspect' ? again : every)
    if (verdict.is === 'suspect') return this.#sentinel.doubt(live.credential)
    if (verdict.is === 'hijacked') return this.#quarantine(live, verdict)
    const fault = verdict.is === 'powerless' ? verdict.why : ''
    if (fault !== '' && fault !== this.fault) this.#report('check', new Error(fault))
    this.fault = fault
  }

  #quarantine({ credential }: Live, { why, everywhere }: { readonly why: string; readonly everywhere: boolean }): void {
    const { held, context, role } = this.#parts
    const { generation, username } = credential
    if (this.#suspected === generation) return
    this.#suspected = generation
    context.observe({ kind: 'quarantined', role, generation, slot: username, why })
    // Where some node still takes it, a backend is better off with it than without any.
    if (everywhere) held.revoke(unavailable(`quarantined: ${why}`))
    this.soon()
  }

  async #lockOut(login: string, how: typeof rekey): Promise<void> {
    const { session, random, hash } = this.#parts.context
    const unknowable = await hash(newPassword(random))
    this.#mustHold(this.#parts.tenure.epoch)
    await how(session, login, unknowable)
    await forgetCached(session, login)
  }

  #succeeded(): void {
    this.failures = 0
    this.failure = ''
  }

  #failed(step: RotationStep, error: unknown): void {
    const { tenure, held } = this.#parts
    if (this.#tasks.closed || tenure.holder !== null) return
    this.failures += 1
    this.failure = `${step}: ${messageOf(error)}`
    this.#report(step, error)
    if (step !== 'cut' && this.#parts.cut() === null) {
      if (held.live === null) held.answer = unavailable(this.failure)
      else held.extend()
    }
    const wait = this.#jittered(Math.min(timing.backoff * 2 ** Math.min(this.failures - 1, 10), timing.backoffMost))
    if (step === 'cut') this.lockSlots(wait)
    else if (step !== 'retire') this.#plan('rotate', wait, () => this.#rotate())
    else if (held.live !== null) this.#planRetirement(wait, held.generation)
  }

  #mustHold(epoch: number): void {
    if (this.#tasks.closed) throw new Error('stopping')
    this.#parts.tenure.mustHold(epoch, timing.statement)
  }

  #report(step: RotationStep, error: unknown): void {
    const { context, role } = this.#parts
    context.observe({ kind: 'failed', role, step, message: messageOf(error), failures: this.failures })
  }

  /** Nine to ten tenths: sidecars that started together drift apart. */
  #jittered(ms: number): number {
    return jittered(this.#parts.context, ms)
  }
}

export const jittered = ({ random }: RotationContext, ms: number): number => Math.round(ms * (0.9 + (random(1)[0] ?? 0) / 2560))
