import type { Credential, CredentialStatus, Unavailable } from '../model/credential.ts'
import { messageOf } from './attempt.ts'
import { type Connection, nameSome, readConnections } from './connections.ts'
import type { RotationContext } from './context.ts'
import type { Named } from './events.ts'
import { askRotation, type Cut, type History, markCut, readHistory } from './generations.ts'
import { Holding, unavailable } from './holding.ts'
import { openLease } from './lease.ts'
import { slotName } from './names.ts'
import { jittered, Rotation } from './rotation.ts'
import { Tasks } from './tasks.ts'
import { Tenure } from './tenure.ts'

/** Seconds and milliseconds. */
const timing = { leaseTtl: 12, renewEvery: 4_000, lookMost: 5_000, askMost: 30_000, askEvery: 250, afterCut: 10_000 }

/** What came of asking for a rotation. */
export type Asked =
  | { readonly is: 'rotated'; readonly generation: number }
  /** The lease holder has not made one yet; it will when it can. */
  | { readonly is: 'waiting'; readonly holder: string; readonly detail: string }
  /** Connections from before a cut are open: the new password's slot would bring them back to life. */
  | { readonly is: 'refused'; readonly connections: Named }

/** One permission role in this process: what is handed out of it, whoever makes it, and whether anything may be. */
export class Role {
  readonly name: string
  readonly #context: RotationContext
  readonly #held: Holding
  readonly #tenure: Tenure
  readonly #rotation: Rotation
  readonly #tasks: Tasks<'drop' | 'look'>
  /** What stands against handing out anything. `marked`: the other processes know too. */
  #cut: (Cut & { readonly marked: boolean }) | null = null
  /** The wish of the rows was heeded already. */
  #asked = false
  /** Failures to look, in a row. */
  #failures = 0
  #failure = ''
  /** Handed out last, for measuring a cut that is repeated. */
  #last: Credential | null = null
  #degraded = 0

  constructor(name: string, context: RotationContext) {
    this.name = name
    this.#context = context
    this.#held = new Holding(name, context)
    const { session, clock, owner } = context
    this.#tenure = new Tenure({
      clock,
      lease: openLease(session, clock, { name: `credential/${name}`, owner, ttl: timing.leaseTtl }),
      renewEvery: () => jittered(context, timing.renewEvery),
      won: () => this.#won(),
      lost: holder => this.#lost(holder),
      doubted: detail => this.#doubted(detail),
    })
    this.#rotation = new Rotation({
      role: name,
      context,
      held: this.#held,
      tenure: this.#tenure,
      cut: () => this.#cut,
      found: cut => this.#stop({ ...cut, marked: true }),
      confirmed: () => {
        this.#cut = null
        this.#asked = false
      },
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
    const { holder } = this.#tenure
    const failures = this.#failures + this.#rotation.failures
    const cutEnds = this.#context.cutEnds(this.name)
    const shown = { role: this.name, holder: holder ?? '', onPrevious: this.#rotation.onPrevious, cutEnds }
    if (!('unavailable' in this.answer)) {
      const { generation, notAfter, nextAt, username } = this.answer
      const failed = failures > 0 ? `${failures} failures since, the last: ${this.#rotation.failure || this.#failure}` : ''
      const detail = this.#rotation.fault || failed || (holder === null ? '' : `made by ${holder}`)
      return { ...shown, generation, slot: username, state: this.#held.isDegraded ? 'degraded' : 'current', notAfter, nextAt, detail }
    }
    const state = this.#cut !== null ? 'cut' : holder !== null ? 'no-lease' : failures > 0 ? 'unavailable' : 'preparing'
    const detail = [this.answer.detail, this.#cut === null ? '' : this.#rotation.failure].filter(Boolean).join('; ')
    return { ...shown, generation: 0, slot: '', state, notAfter: 0, nextAt: 0, detail }
  }

  /** No policy names the role any more: after the overlap nobody can log in with either slot. */
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
    this.#rotation.close()
    this.#held.close()
    // In turn: a statement that is still under way belongs under this lease.
    await this.#context.turn(() => this.#tenure.close())
  }

  /** Hands out nothing from this moment, whatever becomes of the cluster. Gives what was handed out last. */
  cut(cut: Cut): Credential | null {
    this.#stop({ ...cut, marked: false })
    this.#planLook()
    return this.#last
  }

  /** The rows say so too. */
  cutMarked(): void {
    if (this.#cut !== null) this.#cut = { ...this.#cut, marked: true }
  }

  /** Asks whoever makes the role's credentials for the next one, and waits for it a while. Ends a cut. */
  async ask(keepConnections: boolean): Promise<Asked> {
    const { session, clock } = this.#context
    await this.#tellCut()
    const { current, cut } = await readHistory(session, this.name)
    if (cut !== null && !keepConnections) {
      const open = await this.#connections()
      if (open.length > 0) return { is: 'refused', connections: nameSome(open) }
    }
    await askRotation(session, this.name, clock.now())
    if (this.#tenure.holder === null) this.#rotateSoon()
    return this.#untilAbove(Math.max(current?.generation ?? 0, this.#held.generation))
  }

  async #untilAbove(before: number): Promise<Asked> {
    const { session, clock } = this.#context
    const end = clock.monotonic() + timing.askMost
    for (;;) {
      const { current } = await readHistory(session, this.name)
      if (current !== null && current.generation > before) {
        if (this.#tenure.holder !== null && this.#context.vault !== null) await this.#look()
        return { is: 'rotated', generation: current.generation }
      }
      const detail = this.#rotation.failure || this.status().detail
      if (clock.monotonic() >= end) return { is: 'waiting', holder: this.#tenure.holder ?? '', detail }
      await this.#tasks.pause(timing.askEvery)
    }
  }

  /** Open ones, of either slot. */
  async #connections(): Promise<readonly Connection[]> {
    const { open } = await readConnections(this.#context.session)
    const slots = [slotName(this.name, 'a'), slotName(this.name, 'b')]
    return open.filter(({ login }) => slots.includes(login))
  }

  #won(): void {
    const { observe, owner } = this.#context
    this.#rotation.rest()
    this.#asked = false
    if (this.#held.live === null && this.#cut === null) this.#held.answer = unavailable('being prepared')
    observe({ kind: 'lease', role: this.name, held: true, owner })
    this.#rotation.soon()
    // Whoever cut it may have died half-way.
    if (this.#cut !== null) this.#rotation.lockSlots()
    this.#planLook()
  }

  #lost(owner: string): void {
    this.#rotation.rest()
    this.#context.observe({ kind: 'lease', role: this.name, held: false, owner })
    if (this.#context.vault === null && this.#cut === null)
      this.#held.forget({ unavailable: 'credential-no-lease', detail: `the credentials of ${this.name} are made by ${owner}` })
    void this.#look()
  }

  #doubted(detail: string): void {
    if (this.#held.live === null && this.#tenure.holder === null && this.#cut === null) this.#held.answer = unavailable(detail)
  }

  #planLook(): void {
    const { settings } = this.#context
    this.#tasks.after('look', jittered(this.#context, Math.min(timing.lookMost, settings.overlap / 4)), () => void this.#look())
  }

  /**
   * Reads what the group agreed on. A follower hands out what the lease holder made, and learns of the next one well within the overlap for which
   * the one before still works; the holder learns of cuts and wishes.
   */
  async #look(): Promise<void> {
    const { session, vault } = this.#context
    const { epoch, holder } = this.#tenure
    const isOver = (): boolean => this.#tasks.closed || this.#tenure.epoch !== epoch
    try {
      await this.#tellCut()
      // Nothing to follow without a key.
      if (isOver() || (holder !== null && vault === null)) return
      const history = await readHistory(session, this.name)
      if (isOver()) return
      this.#heed(history, holder)
      this.#failures = 0
    } catch (error) {
      if (isOver()) return
      this.#failures += 1
      this.#failure = messageOf(error)
      // The first, the second, the fourth: an outage of an hour is not a thousand lines a role.
      if (Number.isInteger(Math.log2(this.#failures)))
        this.#context.observe({ kind: 'failed', role: this.name, step: 'follow', message: this.#failure, failures: this.#failures })
      if (this.#held.isShort) this.#held.extend()
    }
    this.#tellDegraded()
    this.#planLook()
  }

  /** Until the rows know of a cut, the other processes do not, and no rotation could end it. */
  async #tellCut(): Promise<void> {
    if (this.#cut === null || this.#cut.marked) return
    await markCut(this.#context.session, this.name, this.#cut)
    this.cutMarked()
  }

  #heed({ current, cut, asked }: History, holder: string | null): void {
    if (cut !== null) this.#stop({ ...cut, marked: true })
    else if (this.#cut?.marked) this.#cut = null
    if (asked && holder === null) this.#rotateSoon()
    this.#asked = asked
    if (this.#cut !== null) return
    if (holder === null) {
      // The next one is late, perhaps because other roles hold up the line; until it is handed out this one stays good.
      if (this.#held.isShort) this.#held.extend()
      return
    }
    if (!this.#held.adopt(current, holder))
      this.#held.forget(unavailable(`generation ${current?.generation} is sealed by a key that is not among key-files`))
  }

  /** Once for each wish: a rotation that fails is repeated at its own pace. */
  #rotateSoon(): void {
    if (!this.#asked) this.#rotation.soon()
    this.#asked = true
  }

  #stop(cut: Cut & { readonly marked: boolean }): void {
    const before = this.#cut
    this.#cut = cut
    if (before?.at === cut.at) return
    this.#last = this.#held.live?.credential ?? this.#last
    this.#rotation.rest()
    this.#held.revoke(unavailable(`cut at ${new Date(cut.at).toISOString()}: ${cut.why}`))
    if (before === null) this.#context.observe({ kind: 'stopped', role: this.name, at: cut.at, why: cut.why })
    // Our own cut locks and measures first; what it missed is made good after it.
    if (this.#tenure.holder === null) this.#rotation.lockSlots(cut.marked ? 0 : timing.afterCut)
  }

  #tellDegraded(): void {
    const { generation } = this.#held
    if (!this.#held.isDegraded || this.#degraded === generation) return
    this.#degraded = generation
    this.#context.observe({ kind: 'degraded', role: this.name, generation, message: this.status().detail || 'the next one is late' })
  }

  async #end(done: () => void): Promise<void> {
    this.#held.forget(unavailable('no policy names the role'))
    try {
      await this.#rotation.end()
    } catch (error) {
      // Not ours to retire, or out of reach: whoever takes the lease next does it, should the role ever be named again.
      if (this.#tenure.holder === null)
        this.#context.observe({ kind: 'failed', role: this.name, step: 'retire', message: messageOf(error), failures: 1 })
    }
    this.#tasks.close()
    this.#rotation.close()
    await this.#tenure.close()
    done()
  }
}
