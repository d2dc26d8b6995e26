import { Refusal } from '../model/problem.ts'

/** How many exchanges are under way. Beyond the maximum a request is refused before anything is done for it. */
export class InFlight {
  #count = 0
  #shed = 0
  #idle: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  get shed(): number {
    return this.#shed
  }

  enter(max: number): Refusal | null {
    this.#count += 1
    if (this.#count <= max) return null
    this.#shed += 1
    return new Refusal('PST1301', 'in-flight')
  }

  leave(): void {
    this.#count -= 1
    if (this.#count === 0) for (const done of this.#idle.splice(0)) done()
  }

  /** Settles when nothing is under way. */
  async drained(): Promise<void> {
    if (this.#count > 0) await new Promise<void>(resolve => this.#idle.push(resolve))
  }
}
