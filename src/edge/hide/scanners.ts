/** Reads one token of JSON (RFC 8259) whose bytes may come in pieces. */
export interface Scanner {
  /** Index after the last byte that belongs to the token, or `wrong`. */
  scan(chunk: Buffer, from: number): number
  /** The token has come to its end. */
  readonly done: boolean
  /** It would be whole if nothing more came. */
  readonly whole: boolean
}

export const wrong = -1

const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39

const isHex = (c: number): boolean => isDigit(c) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66)

const isPlain = (c = 0): boolean => c >= 0x20 && c < 0x80 && c !== 0x22 && c !== 0x5c

/** A string after its opening quote, in well-formed UTF-8 (RFC 3629 section 4): surrogates and overlong forms have more than one reading. */
export class Text implements Scanner {
  done = false
  escaped = false
  /** Holds bytes above ASCII. */
  wide = false
  /** 0: no escape; 1: after the backslash; 2 to 5: one more than the hexadecimal digits to come. */
  #escape = 0
  #more = 0
  #low = 0
  #high = 0

  get whole(): boolean {
    return this.done
  }

  begin(): this {
    this.done = false
    this.escaped = false
    this.wide = false
    return this
  }

  scan(chunk: Buffer, from: number): number {
    let i = from
    while (i < chunk.length) {
      const c = chunk[i++] ?? 0
      if (this.#more > 0 || this.#escape > 0) {
        if (!(this.#more > 0 ? this.#continues(c) : this.#escapes(c))) return wrong
      } else if (c === 0x22) {
        this.done = true
        return i
      } else if (c === 0x5c) {
        this.#escape = 1
        this.escaped = true
      } else if (isPlain(c)) while (isPlain(chunk[i])) i++
      else if (!this.#leads(c)) return wrong
    }
    return i
  }

  #escapes(c: number): boolean {
    if (this.#escape === 1) {
      this.#escape = c === 0x75 ? 5 : 0
      return c === 0x75 || '"\\/bfnrt'.includes(String.fromCharCode(c))
    }
    this.#escape = this.#escape === 2 ? 0 : this.#escape - 1
    return isHex(c)
  }

  /** Controls must be escaped, and lead nothing. */
  #leads(c: number): boolean {
    this.wide = true
    this.#more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1
    this.#low = c === 0xe0 ? 0xa0 : c === 0xf0 ? 0x90 : 0x80
    this.#high = c === 0xed ? 0x9f : c === 0xf4 ? 0x8f : 0xbf
    return c >= 0xc2 && c <= 0xf4
  }

  #continues(c: number): boolean {
    const fits = c >= this.#low && c <= this.#high
    this.#more -= 1
    this.#low = 0x80
    this.#high = 0xbf
    return fits
  }
}

type NumberState = 'sign' | 'zero' | 'integer' | 'point' | 'fraction' | 'exponent' | 'exponent-sign' | 'exponent-digits'

const ends: ReadonlySet<NumberState> = new Set(['zero', 'integer', 'fraction', 'exponent-digits'])

/** Null: the byte does not belong to the number. */
const afterByte = (state: NumberState, c: number): NumberState | null => {
  if (isDigit(c)) {
    if (state === 'sign') return c === 0x30 ? 'zero' : 'integer'
    if (state === 'point') return 'fraction'
    if (state === 'exponent' || state === 'exponent-sign') return 'exponent-digits'
    return state === 'zero' ? null : state
  }
  if (c === 0x2e) return state === 'zero' || state === 'integer' ? 'point' : null
  if (c === 0x65 || c === 0x45) return state === 'zero' || state === 'integer' || state === 'fraction' ? 'exponent' : null
  return (c === 0x2b || c === 0x2d) && state === 'exponent' ? 'exponent-sign' : null
}

/** A number, from its first byte on. Only the byte behind it shows its end. */
export class Numeral implements Scanner {
  done = false
  #state: NumberState = 'sign'

  get whole(): boolean {
    return ends.has(this.#state)
  }

  begin(first: number): this {
    this.done = false
    this.#state = first === 0x2d ? 'sign' : first === 0x30 ? 'zero' : 'integer'
    return this
  }

  scan(chunk: Buffer, from: number): number {
    for (let i = from; i < chunk.length; i++) {
      const next = afterByte(this.#state, chunk[i] ?? 0)
      if (next === null) {
        this.done = true
        return this.whole ? i : wrong
      }
      this.#state = next
    }
    return chunk.length
  }
}

/** `true`, `false` or `null`, after its first byte. */
export class Literal implements Scanner {
  #word = ''
  #at = 0

  get done(): boolean {
    return this.#at === this.#word.length
  }

  get whole(): boolean {
    return this.done
  }

  begin(word: string): this {
    this.#word = word
    this.#at = 1
    return this
  }

  scan(chunk: Buffer, from: number): number {
    let i = from
    for (; i < chunk.length && !this.done; i++) {
      if (chunk[i] !== this.#word.charCodeAt(this.#at)) return wrong
      this.#at += 1
    }
    return i
  }
}
