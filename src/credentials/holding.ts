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
    this.#tasks.after('hard', Math.max(0, live.hardEnd - this.#context.clock.now()), () => this.#expire())
  }

  forget(why: Unavailable): void {
    this.live = null
    this.answer = why
    this.#tasks.cancel('hard')
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

  /** Takes over what the rows call current. A generation below one already seen is an old row come back, or a forged one. False: it is sealed by a key that we lack. */
  adopt(current: Stored | null, from: string): boolean {
    if (current === null || current.generation < this.generation) return true
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

  #expire(): void {
    const { generation } = this
    this.forget(unavailable('no rotation succeeded within hard-ttl'))
    this.#context.observe({ kind: 'expired', role: this.#role, generation })
  }
}
