import type { HidePath } from '../../model/obligation.ts'
import { below, compilePaths, elements, nowhere, type Paths, type Place } from './paths.ts'
import { Literal, Numeral, type Scanner, Text, wrong } from './scanners.ts'

/** Arrays and objects in one another. A client's parser that recurses must survive what passes, and so must we. */
const deepest = 512

/** What a name kept for the comparison with its siblings costs besides its characters. */
const nameWeight = 64

interface Frame {
  isObject: boolean
  places: readonly Place[]
  /** Where the paths stand at the elements of an array. */
  elements: readonly Place[]
  /** Names of the object so far. */
  readonly names: Set<string>
  weight: number
  /** Members that stay. */
  kept: number
}

const newFrame = (): Frame => ({ isObject: true, places: nowhere, elements: nowhere, names: new Set(), weight: 0, kept: 0 })

type Expected = 'value' | 'element-or-end' | 'member-or-end' | 'member' | 'colon' | 'after' | 'token'

const isWhite = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09

const words: Readonly<Record<number, string>> = { 116: 'true', 102: 'false', 110: 'null' }

/**
 * Cuts members out of a JSON text that comes in pieces, and reads all of it strictly (RFC 8259, UTF-8 only, no name twice in one object): what
 * two parsers could read in two ways could show one of them a member that this one did not see. Every other byte stays as it is.
 */
export class Cutter {
  /** Members cut; those inside of one that is cut do not count. */
  hidden = 0
  /** Why the text cannot be masked; nothing that was kept may be used then. */
  fault: string | null = null
  readonly #paths: Paths
  readonly #frames: Frame[] = []
  readonly #text = new Text()
  readonly #numeral = new Numeral()
  readonly #literal = new Literal()
  #scanner: Scanner = this.#text
  #expected: Expected = 'value'
  #isName = false
  #depth = 0
  #weight = 0
  /** Where the paths stand at the value that comes. */
  #places: readonly Place[]
  #out = Buffer.alloc(0)
  #length = 0
  /** Bytes of the piece from here on are not copied yet. */
  #mark = 0
  #copying = true
  /** Depth of the object whose member is being cut; 0: none is. */
  #cutting = 0
  /** Where in `#out` the comma before this name is, or the name itself where it is the first. */
  #gapAt = 0
  #nameAt = 0

  constructor(paths: readonly HidePath[]) {
    this.#paths = compilePaths(paths)
    this.#places = this.#paths.root
  }

  /** Bytes of memory held. */
  get memory(): number {
    return this.#out.length + this.#weight
  }

  write(chunk: Buffer): void {
    this.#reserve(chunk.length)
    this.#mark = 0
    let i = 0
    while (i < chunk.length && this.fault === null) {
      if (this.#expected === 'token') i = this.#scan(chunk, i)
      else {
        const c = chunk[i] ?? 0
        if (!isWhite(c)) this.#structure(c, i)
        i += 1
      }
    }
    this.#copy(chunk, chunk.length)
  }

  /** What is left of the text; null where it is not whole or `fault` says why. */
  end(): Buffer | null {
    if (this.#expected === 'token' && this.#depth === 0 && this.#scanner.whole) this.#expected = 'after'
    if (this.#expected !== 'after' || this.#depth > 0) this.fault ??= 'syntax'
    return this.fault === null ? this.#out.subarray(0, this.#length) : null
  }

  #scan(chunk: Buffer, from: number): number {
    const at = this.#scanner.scan(chunk, from)
    if (at === wrong) {
      this.fault = 'syntax'
      return from
    }
    if (this.#scanner.done) {
      if (this.#isName) this.#endName(chunk, at)
      else this.#endValue(at)
    }
    return at
  }

  #structure(c: number, at: number): void {
    const top = this.#frames[this.#depth - 1]
    switch (this.#expected) {
      case 'colon':
        if (c === 0x3a) this.#expected = 'value'
        else this.fault = 'syntax'
        break
      case 'after':
        if (c === 0x2c && this.#depth > 0) this.#comma(at)
        else this.#close(c, at)
        break
      case 'member-or-end':
      case 'member':
        if (c === 0x22) this.#beginName(at)
        else if (this.#expected === 'member-or-end') this.#close(c, at)
        else this.fault = 'syntax'
        break
      case 'element-or-end':
        if (c === 0x5d) this.#close(c, at)
        else this.#beginValue(c)
        break
      default:
        if (top !== undefined && !top.isObject) this.#places = top.elements
        this.#beginValue(c)
    }
  }

  #beginValue(c: number): void {
    const word = words[c]
    this.#isName = false
    this.#expected = 'token'
    if (c === 0x7b || c === 0x5b) this.#open(c === 0x7b)
    else if (c === 0x22) this.#scanner = this.#text.begin()
    else if (c === 0x2d || (c >= 0x30 && c <= 0x39)) this.#scanner = this.#numeral.begin(c)
    else if (word !== undefined) this.#scanner = this.#literal.begin(word)
    else this.fault = 'syntax'
  }

  #open(isObject: boolean): void {
    if (this.#depth === deepest) {
      this.fault = 'depth'
      return
    }
    const frame = this.#frames[this.#depth] ?? newFrame()
    this.#frames[this.#depth] = frame
    frame.isObject = isObject
    frame.places = this.#places
    frame.elements = isObject ? nowhere : elements(this.#places)
    frame.kept = 0
    this.#depth += 1
    this.#places = frame.elements
    this.#expected = isObject ? 'member-or-end' : 'element-or-end'
  }

  #close(c: number, at: number): void {
    const top = this.#frames[this.#depth - 1]
    if (top === undefined || c !== (top.isObject ? 0x7d : 0x5d)) {
      this.fault = 'syntax'
      return
    }
    if (top.names.size > 0) top.names.clear()
    this.#weight -= top.weight
    top.weight = 0
    this.#depth -= 1
    this.#endValue(at + 1)
  }

  #endValue(at: number): void {
    this.#expected = 'after'
    if (this.#cutting === 0 || this.#cutting !== this.#depth) return
    this.#cutting = 0
    this.#copying = true
    this.#mark = at
  }

  #comma(at: number): void {
    const isObject = this.#frames[this.#depth - 1]?.isObject === true
    this.#expected = isObject ? 'member' : 'value'
    if (isObject && this.#cutting === 0) this.#gapAt = this.#length + at - this.#mark
  }

  /** A name is kept even where it goes, to have it in one piece. */
  #beginName(at: number): void {
    if (!this.#copying) this.#mark = at
    this.#copying = true
    this.#nameAt = this.#length + at - this.#mark
    if (this.#expected === 'member-or-end' && this.#cutting === 0) this.#gapAt = this.#nameAt
    this.#scanner = this.#text.begin()
    this.#isName = true
    this.#expected = 'token'
  }

  #endName(chunk: Buffer, at: number): void {
    this.#expected = 'colon'
    const top = this.#frames[this.#depth - 1] ?? newFrame()
    const name = this.#name(chunk, at)
    const known = top.names.size
    if (top.names.add(name).size === known) {
      this.fault = 'repeated name'
      return
    }
    top.weight += nameWeight + name.length
    this.#weight += nameWeight + name.length
    this.#places = below(top.places, name)
    if (this.#cutting > 0) this.#rewind(chunk, this.#nameAt)
    else if (this.#paths.anywhere.has(name) || this.#places.some(place => place.cut)) {
      this.#rewind(chunk, this.#gapAt)
      this.#cutting = this.#depth
      this.hidden += 1
    } else {
      if (top.kept === 0) this.#dropGap(chunk, at)
      top.kept += 1
    }
  }

  /** The comma belongs to the members before, and they are all gone where this is the first that stays. */
  #dropGap(chunk: Buffer, at: number): void {
    const gap = this.#nameAt - this.#gapAt
    if (gap === 0) return
    this.#copy(chunk, at)
    this.#out.copyWithin(this.#gapAt, this.#nameAt, this.#length)
    this.#length -= gap
  }

  #name(chunk: Buffer, at: number): string {
    const begun = this.#nameAt < this.#length
    if (begun) this.#copy(chunk, at)
    const bytes = begun ? this.#out : chunk
    const from = begun ? this.#nameAt : this.#mark + this.#nameAt - this.#length
    const to = begun ? this.#length : at
    if (this.#text.escaped) return JSON.parse(bytes.toString('utf8', from, to)) as string
    return bytes.toString(this.#text.wide ? 'utf8' : 'latin1', from + 1, to - 1)
  }

  /** Leaves nothing in `#out` from here on; copying stops. */
  #rewind(chunk: Buffer, to: number): void {
    if (to > this.#length) this.#copy(chunk, this.#mark + to - this.#length)
    this.#length = to
    this.#copying = false
  }

  #copy(chunk: Buffer, until: number): void {
    if (this.#copying) {
      chunk.copy(this.#out, this.#length, this.#mark, until)
      this.#length += until - this.#mark
    }
    this.#mark = until
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#out.length) return
    const wider = Buffer.allocUnsafe(Math.max(needed, this.#out.length * 2))
    this.#out.copy(wider, 0, 0, this.#length)
    this.#out = wider
  }
}
