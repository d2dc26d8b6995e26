import type { Credential, Unavailable } from '../model/credential.ts'
import type { RotationContext } from './context.ts'
import type { Stored } from './generations.ts'
import { adopted, extended, type Live } from './live.ts'
import { Tasks } from './tasks.ts'

export const unavailable = (detail: string): Unavailable => ({ unavailable: 'credential-unavailable', detail })

/** The credential of one role that this process hands out, whoever made it, until its hard TTL. */
export class Holding {
  /** What the hot path reads. Replaced whole, never changed. */
  answer: Credential | Unavailable = unavailable('being prepared')
  live: Live | null = null
  readonly #role: string
  readonly #context: RotationContext
  readonly #tasks: Tasks<'hard'>
  #expired = 0
  /** Below this no row is believed. */
  #least = 0

  constructor(role: string, context: RotationContext) {
    this.#role = role
    this.#context = context
    this.#tasks = new Tasks(context.clock)
  }

  get generation(): number {
    return this.live?.credential.generation ?? 0
  }

  show(live: Live): void {
    this.live = live
    this.answer = live.credential
    this.#least = Math.max(this.#least, this.generation)
    if (this.#expired !== this.generation)
      this.#tasks.after('hard', Math.max(0, live.hardEnd - this.#context.clock.now()), () => this.#expire())
  }

  forget(why: Unavailable): void {
    this.live = null
    this.answer = why
    this.#tasks.cancel('hard')
  }

  /** As `forget`, for good: whatever the rows say, this generation is not handed out again. */
  revoke(why: Unavailable): void {
    this.#least = Math.max(this.#least, this.generation + 1)
    this.forget(why)
  }

  /** It is still the current one, so it works for an overlap from now. */
  extend(): void {
    if (this.live !== null) this.show(extended(this.live, this.#context))
  }

  /** Whether less is promised than a follower needs between two looks. */
  get isShort(): boolean {
    const { clock, settings } = this.#context
    return this.live !== null && this.live.credential.notAfter < clock.now() + settings.overlap / 2
  }

  /** Its time is over, and the next one has not come although there was time to make and to read it. */
  get isDegraded(): boolean {
    const { clock, settings } = this.#context
    return this.live !== null && clock.now() > this.live.credential.nextAt + settings.overlap / 2
  }

  /** Takes over what the rows call current. A generation below one already seen is an old row come back, or a forged one. False: it is sealed by a key that we lack. */
  adopt(current: Stored | null, from: string): boolean {
    if (current === null || current.generation < this.#least || this.#isOver(current)) return true
    if (current.generation === this.generation) {
      if (this.isShort) this.extend()
      return true
    }
    const live = adopted(current, this.#context.vault, this.#context)
    if (live === null) return false
    this.show(live)
    this.#context.observe({ kind: 'adopted', role: this.#role, generation: current.generation, owner: from })
    return true
  }

  close(): void {
    this.#tasks.close()
    this.answer = unavailable('Postern is stopping')
  }

  #isOver({ notBefore }: Stored): boolean {
    const { settings, clock } = this.#context
    return settings.afterHardTtl === 'refuse' && notBefore + settings.hardTtl <= clock.now()
  }

  #expire(): void {
    const { generation } = this
    const kept = this.#context.settings.afterHardTtl === 'keep'
    this.#expired = generation
    if (!kept) this.forget(unavailable('no rotation succeeded within hard-ttl'))
    this.#context.observe({ kind: 'expired', role: this.#role, generation, kept })
  }
}
