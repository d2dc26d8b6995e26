import type { Attestor } from './attest.ts'
import { type Head, originOf } from './checkpoint.ts'
import type { Chunk } from './chunk.ts'
import { MerkleTree } from './merkle.ts'

/** Records between two marks: as exactly as this can a changed record be located. */
const markEvery = 256
/** Marks after which a checkpoint does not wait for its time. */
const manyMarks = 512

const done = (task: Promise<void>): Promise<boolean> =>
  task.then(
    () => true,
    () => false,
  )

/** The tree over the records of a chain, and the signing of its head. */
export class LogHead {
  readonly #chain: string
  readonly #attestor: Attestor
  readonly #tree = new MerkleTree()
  #marks: Head[] = []
  #turn: Promise<void> = Promise.resolve()
  #signing = false

  constructor(chain: string, attestor: Attestor) {
    this.#chain = chain
    this.#attestor = attestor
  }

  /** So much has come since the last checkpoint that another should be signed now. */
  get due(): boolean {
    return this.#marks.length >= manyMarks && !this.#signing
  }

  /** Hashes the lines of a chunk that was written; a chunk is the slice that nothing else interrupts. */
  add(chunk: Chunk): void {
    let start = 1
    for (const end of chunk.ends) {
      this.#tree.appendIn(chunk.bytes, start, end - 1)
      start = end
      if (this.#tree.size % markEvery === 0 && this.#marks.length < 2 * manyMarks) this.#marks.push(this.#now())
    }
  }

  /** Signs the head as it is when its turn comes. `synced` resolves when what was added so far is on the disk; where it rejects, nothing is signed: a checkpoint never vouches for less. */
  sign(synced: () => Promise<void>, time: number): Promise<void> {
    const turn = this.#turn.then(() => this.#sign(synced, time))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #sign(synced: () => Promise<void>, time: number): Promise<void> {
    const head = this.#now()
    if (head.size === 0) return
    this.#signing = true
    try {
      if (!(await done(synced()))) return
      const marks = this.#marks.filter(mark => mark.size < head.size)
      await this.#attestor.attest({ origin: originOf(this.#chain), ...head, time, marks })
      if (this.#attestor.status.fault === null) this.#marks = this.#marks.filter(mark => mark.size > head.size)
    } finally {
      this.#signing = false
    }
  }

  #now(): Head {
    return { size: this.#tree.size, root: this.#tree.root() }
  }
}
