import { type CelInput, CelScalar, celEnv, celError, celFunc, listType, parse, plan } from '@bufbuild/cel'

/** What a name stands for: a value, nothing, or an error when it is read; `has` apart where it differs. */
export type Held = { readonly value: unknown } | 'absent' | 'error' | 'unreadable'

const { BOOL, DYN, STRING } = CelScalar

const mapMark: unique symbol = Symbol.for('@bufbuild/cel/map')
const listMark: unique symbol = Symbol.for('@bufbuild/cel/list')

/** A map as bufbuild's own, whose entries may be errors. */
class FaultyMap {
  readonly [mapMark] = {}
  readonly #of: (name: string) => Held
  constructor(of: (name: string) => Held) {
    this.#of = of
  }
  get(name: string): unknown {
    const held = this.#of(name)
    if (held === 'absent') return undefined
    if (typeof held === 'string') return celError(`${name} cannot be read`)
    return Array.isArray(held.value) ? new BoundedList(held.value) : held.value
  }
  has(name: string): unknown {
    const held = this.#of(name)
    return held === 'error' ? celError(`${name} cannot be told`) : held !== 'absent'
  }
}

/** A list that cannot be looped over when it is longer than the language allows, but can be asked and counted. */
class BoundedList {
  readonly [listMark] = {}
  readonly items: readonly unknown[]
  constructor(items: readonly unknown[]) {
    this.items = items
  }
  get size(): number {
    return this.items.length
  }
  get(index: number): unknown {
    return this.items[index]
  }
  values(): IterableIterator<unknown> {
    return (this.items.length > 256 ? [celError('too long')] : this.items).values()
  }
  [Symbol.iterator](): IterableIterator<unknown> {
    return this.values()
  }
}

interface Gettable {
  readonly size: number
  get(index: number): unknown
}

const contains = (item: unknown, list: Gettable): boolean => {
  for (let i = 0; i < list.size; i++) if (list.get(i) === item) return true
  return false
}

const search = plan(celEnv(), parse('text.matches(pattern)'))

/** RE2 as bufbuild has it, over the whole text. */
export const oracleRe = (text: string, pattern: string): boolean => {
  const found = search({ text, pattern: `\\A(?:${pattern})\\z` })
  if (typeof found !== 'boolean') throw found
  return found
}

export const oracleGlob = (text: string, pattern: string): boolean => {
  const quoted = Array.from(pattern, character =>
    character === '*' ? '.*' : character === '?' ? '.' : /[A-Za-z0-9\u0080-\u{10ffff}]/u.test(character) ? character : `\\${character}`,
  )
  return oracleRe(text, `(?s:${quoted.join('')})`)
}

const bounded =
  (match: (text: string, pattern: string) => boolean) =>
  (text: string, pattern: string): boolean => {
    if ([...text].length > 1024) throw new Error('too long')
    return match(text, pattern)
  }

/** bufbuild orders texts by UTF-16 unit; UTF-8 bytes have the order of code points. */
const order = (name: string, test: (order: number) => boolean) =>
  celFunc(name, [STRING, STRING], BOOL, (a: string, b: string) => test(Buffer.compare(Buffer.from(a), Buffer.from(b))))

const env = celEnv({
  funcs: [
    celFunc('glob', [STRING, STRING], BOOL, bounded(oracleGlob)),
    celFunc('re', [STRING, STRING], BOOL, bounded(oracleRe)),
    celFunc('@in', [DYN, listType(DYN)], BOOL, contains as never),
    order('_<_', n => n < 0),
    order('_<=_', n => n <= 0),
    order('_>_', n => n > 0),
    order('_>=_', n => n >= 0),
  ],
})

export interface OracleRequest {
  readonly claims: (name: string) => Held
  readonly path: (name: string) => Held
  readonly query: (name: string) => Held
  readonly header: (name: string) => Held
  readonly method: string
  readonly subject: string
  readonly scopes: readonly string[]
}

/**
 * Where bufbuild strays from CEL or RE2: names that begin with a word of the language, blanks between brackets with
 * nothing else in them, blanks or comments between two "!", comments in a row, and "{" that stands for itself before a repetition.
 */
export const isStray = (text: string, pattern: string): boolean =>
  /\b(true|false|null|in)\w/.test(text) || /\(\s+\)|\(\s*\/\/|!(?:\s|\/\/.*)+!|\/\/.*\s+\/\//.test(text) || /\{[*+?{]/.test(pattern)

/** The same text, judged by bufbuild's CEL, which wants a line end after a comment. */
export const oracle = (text: string): ((request: OracleRequest) => boolean | 'error') => {
  const run = plan(env, parse(`${text}\n`))
  return ({ claims, path, query, header, method, subject, scopes }) => {
    const map = (of: (name: string) => Held): CelInput => new FaultyMap(of) as unknown as CelInput
    const result = run({
      claims: map(claims),
      path: map(path),
      query: map(query),
      header: map(header),
      method,
      subject,
      scopes: new BoundedList(scopes) as unknown as CelInput,
    })
    return typeof result === 'boolean' ? result : 'error'
  }
}
