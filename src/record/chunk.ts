/** Whole lines in the order of their sequence numbers, in one buffer that is written, hashed and handed to the sinks as it is. */
export class Chunk {
  /** The first byte is spare: hashing borrows the byte before each line. */
  readonly bytes: Buffer
  readonly firstSeq: number
  /** Offset behind each line's LF. */
  readonly ends: number[] = []
  #end = 1

  constructor(bytes: Buffer, firstSeq: number) {
    this.bytes = bytes
    this.firstSeq = firstSeq
  }

  get end(): number {
    return this.#end
  }

  get size(): number {
    return this.#end - 1
  }

  /** The lines, without the spare byte. */
  get lines(): Buffer {
    return this.bytes.subarray(1, this.#end)
  }

  /** Sequence number behind the last line. */
  get nextSeq(): number {
    return this.firstSeq + this.ends.length
  }

  /** Adds an ASCII line, or returns false where it does not fit. */
  add(line: string): boolean {
    if (this.#end + line.length > this.bytes.length) return false
    this.#end += this.bytes.write(line, this.#end, 'latin1')
    this.ends.push(this.#end)
    return true
  }
}
