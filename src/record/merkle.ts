import { hash } from 'node:crypto'

/** A SHA-256 as 32 one-byte characters: `crypto.hash` gives it in half the time of a Buffer, and it needs no allocation of its own. */
export type Digest = string

const sha256 = (bytes: Uint8Array | string): Digest => hash('sha256', bytes, 'binary')

export const toBase64 = (digest: Digest): string => Buffer.from(digest, 'latin1').toString('base64')
export const fromBase64 = (text: string): Digest => Buffer.from(text, 'base64').toString('latin1')

const LF = 0x0a

/** The Merkle tree of RFC 6962 section 2.1, growing: of all its nodes only the roots of the complete subtrees are kept. */
export class MerkleTree {
  #size = 0
  /** Roots of the complete subtrees, largest first; as many as there are ones in `size`. */
  readonly #peaks: Digest[] = []
  readonly #pair = Buffer.alloc(65, 1)

  get size(): number {
    return this.#size
  }

  /**
   * Adds the leaf for `bytes[start, end)`. The byte before it is borrowed for the leaf prefix and put back:
   * no copy, but nobody else may be reading the buffer, and `start` is at least 1.
   */
  appendIn(bytes: Buffer, start: number, end: number): void {
    const borrowed = bytes[start - 1] ?? LF
    bytes[start - 1] = 0
    this.appendDigest(sha256(bytes.subarray(start - 1, end)))
    bytes[start - 1] = borrowed
  }

  append(leaf: Uint8Array): void {
    this.appendDigest(sha256(Buffer.concat([Buffer.of(0), leaf])))
  }

  /** Adds a leaf by its hash. */
  appendDigest(leaf: Digest): void {
    let node = leaf
    // Division, not a shift: a log may pass 2^31 records.
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) node = this.#node(this.#peaks.pop() ?? '', node)
    this.#peaks.push(node)
    this.#size++
  }

  root(): Digest {
    let at = this.#peaks.length - 1
    if (at < 0) return sha256('')
    let root = this.#peaks[at] ?? ''
    while (at-- > 0) root = this.#node(this.#peaks[at] ?? '', root)
    return root
  }

  #node(left: Digest, right: Digest): Digest {
    this.#pair.write(left, 1, 'latin1')
    this.#pair.write(right, 33, 'latin1')
    return sha256(this.#pair)
  }
}
