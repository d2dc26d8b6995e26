import { describe, expect, it } from 'vitest'
import { Cutter } from '../../../../src/edge/hide/cutter.ts'
import type { HidePath } from '../../../../src/model/obligation.ts'
import { composed, platformFile, tenantFile } from '../../policy/fixtures.ts'
import { type Json, leadsTo, shapeOf, without } from './naive.ts'

/** As a policy file would give them. */
const pathsOf = (...texts: readonly string[]): readonly HidePath[] => {
  const policy = composed([platformFile(), tenantFile('acme', { always: { hide: texts } })]).entries.get('acme')?.enforced?.policy
  return policy?.document.always.hide ?? []
}

interface Cut {
  readonly text: string | null
  readonly fault: string | null
  readonly hidden: number
}

const cut = (paths: readonly HidePath[], bytes: Buffer | string, borders: readonly number[] = []): Cut => {
  const whole = Buffer.from(bytes)
  const cutter = new Cutter(paths)
  const at = [0, ...borders, whole.length]
  for (let i = 1; i < at.length; i++) cutter.write(Buffer.from(whole.subarray(at[i - 1], at[i])))
  const left = cutter.end()
  return { text: left === null ? null : left.toString('utf8'), fault: cutter.fault, hidden: cutter.hidden }
}

const everyByte = (bytes: Buffer | string): number[] => [...Buffer.from(bytes).keys()].slice(1)

const hide = (text: string, ...paths: readonly string[]): string | null => cut(pathsOf(...paths), text).text

/** xorshift: the same run, every run. */
const dice = (seed: number) => {
  let x = seed
  return (n: number): number => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % n
  }
}

describe('members are cut', () => {
  it.each([
    ['$.a', '{"a":1,"b":2}', '{"b":2}'],
    ['$.b', '{"a":1,"b":2}', '{"a":1}'],
    ['$.b', '{"a":1, "b":[{"x":"}"}], "c":3}', '{"a":1, "c":3}'],
    ['$.a', '{ "a" : 1 , "b" : 2 }', '{  "b" : 2 }'],
    ['$.a', '{"a":{"a":1}}', '{}'],
    ['$.a.b', '{"a":{"b":1,"c":2},"b":3}', '{"a":{"c":2},"b":3}'],
    ['$.a.b', '{"a":[{"b":1}]}', '{"a":[{"b":1}]}'],
    ['$.a[*].b', '{"a":[{"b":1},{"c":2},3,[{"b":4}]]}', '{"a":[{},{"c":2},3,[{"b":4}]]}'],
    ['$.a[*].b', '{"a":{"x":{"b":1,"c":2}}}', '{"a":{"x":{"c":2}}}'],
    ['$[*].a', '[{"a":1},{"b":{"a":2}}]', '[{},{"b":{"a":2}}]'],
    ['$[*][*].a', '[[{"a":1}],{"b":{"a":2}}]', '[[{}],{"b":{}}]'],
    ['$..a', '{"a":1,"b":[{"a":{"a":2}},[{"c":{"a":3,"d":4}}]]}', '{"b":[{},[{"c":{"d":4}}]]}'],
    ['$..a', '"a"', '"a"'],
    ['$..a', '["a","a"]', '["a","a"]'],
    ['$.é', '{"é":1,"e":2}', '{"e":2}'],
    ['$.a', '{"A":1,"a ":2,"aa":3,"a\\u0000":4}', '{"A":1,"a ":2,"aa":3,"a\\u0000":4}'],
    ['$.__proto__', '{"__proto__":{"x":1},"constructor":2}', '{"constructor":2}'],
  ])('%s of %s', (path, text, left) => {
    expect(hide(text, path)).toBe(left)
  })

  it('by several paths at once, and what is inside of a cut member counts no more', () => {
    const { text, hidden } = cut(pathsOf('$.a', '$..b', '$.c[*].d', '$.a.x'), '{"a":{"b":1},"b":2,"c":[{"d":3,"b":4,"e":5}],"f":6}')
    expect([text, hidden]).toEqual(['{"c":[{"e":5}],"f":6}', 4])
  })

  it('also where several paths stand at one value', () => {
    expect(hide('{"a":{"x":{"b":1,"c":2},"y":{"b":1,"c":2}}}', '$.a[*].b', '$.a.x.c')).toBe('{"a":{"x":{},"y":{"c":2}}}')
  })

  it.each(['{"\\u0061":1}', '{"\\u0061"\n:\t1}'])('however their name is escaped: %s', text => {
    expect(hide(text, '$.a')).toMatch(/^\{\s*\}$/)
  })

  it('by names beyond the basic plane, written as characters, escapes or upper-case escapes', () => {
    for (const name of ['😀', '\\ud83d\\ude00', '\\uD83D\\uDE00']) expect(hide(`{"${name}":1,"b":2}`, '$.😀'), name).toBe('{"b":2}')
  })

  it('and all other bytes stay: digits, escapes, blanks', () => {
    const text = '{"n": 1.00000000000000000001e+400 ,\r\n\t"s":"\\u0041\\/é","gone":1,"big":12345678901234567890}\n'
    expect(hide(text, '$.gone')).toBe('{"n": 1.00000000000000000001e+400 ,\r\n\t"s":"\\u0041\\/é","big":12345678901234567890}\n')
  })
})

describe('a text that two parsers may read in two ways is not masked at all', () => {
  it.each([
    ['nothing', ''],
    ['blanks', ' \n'],
    ['a member twice', '{"a":1,"b":2,"a":3}'],
    ['a member twice, once escaped', '{"a":1,"\\u0061":3}'],
    ['a member twice, deep inside of a cut one', '{"gone":[{"x":{"y":1,"y":2}}]}'],
    ['a byte order mark', '\ufeff{"a":1}'],
    ['a second document', '{"a":1}{"a":2}'],
    ['lines of documents', '{"a":1}\n{"a":2}\n'],
    ['something behind it', '{"a":1} x'],
    ['a NUL behind it', '{"a":1}\0'],
    ['a comment', '{"a":1 /* b */}'],
    ['a trailing comma', '{"a":1,}'],
    ['a leading comma', '{,"a":1}'],
    ['two commas', '[1,,2]'],
    ['a comma before the end of an array', '[1,]'],
    ['no comma', '{"a":1 "b":2}'],
    ['no colon', '{"a" 1}'],
    ['a bare name', '{a:1}'],
    ['single quotes', "{'a':1}"],
    ['a wrong bracket', '{"a":[1}'],
    ['an open object', '{"a":1'],
    ['an open string', '"abc'],
    ['a line end in a string', '"a\nb"'],
    ['a wrong escape', '"\\x41"'],
    ['half an escape', '"\\u00g1"'],
    ['a leading zero', '[01]'],
    ['a bare point', '[1.]'],
    ['a plus', '[+1]'],
    ['a bare minus', '-'],
    ['half an exponent', '1e+'],
    ['NaN', '[NaN]'],
    ['half a word', '[tru]'],
    ['a word that goes on', '[nullx]'],
    ['a vertical tab between', '[1,\v2]'],
    ['a no-break space between', '[1,\u00a02]'],
    ['513 levels', `${'['.repeat(513)}${']'.repeat(513)}`],
  ])('%s', (_what, text) => {
    for (const borders of [[], everyByte(text)]) {
      const { text: left, fault } = cut(pathsOf('$.gone'), text, borders)
      expect(left).toBeNull()
      expect(fault).not.toBeNull()
    }
  })

  it.each([
    ['a lone continuation', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an overlong NUL in three bytes', [0xe0, 0x80, 0x80]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['an overlong form in four bytes', [0xf0, 0x80, 0x80, 0x80]],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
    ['a cut character', [0xc3]],
    ['0xff', [0xff]],
    ['latin-1', [0xe9, 0x20, 0x20]],
  ])('bytes that are not UTF-8: %s', (_what, bytes) => {
    const text = Buffer.concat([Buffer.from('{"a":"'), Buffer.from(bytes), Buffer.from('"}')])
    expect(cut([], text).text).toBeNull()
    expect(cut([], text, everyByte(text)).text).toBeNull()
  })

  it('another encoding', () => {
    for (const encoding of ['utf16le', 'latin1'] as const) expect(cut([], Buffer.from('{"é":1}', encoding)).text).toBeNull()
  })

  it('and 512 levels, every scalar alone and any blanks are still fine', () => {
    const deep = `${'{"a":['.repeat(256)}${']}'.repeat(256)}`
    for (const text of [deep, ' \t\r\n[ ] ', '0', '-0.0E-5 ', '"é😀"', 'true', 'null', '{}']) {
      expect(cut([], text).text).toBe(text)
      expect(cut([], text, everyByte(text)).text).toBe(text)
    }
  })
})

const names = ['a', 'b', 'c', 'gone', 'é', '', '😀', '__proto__']
const blanks = ['', '', '', ' ', '\n  ', '\t', '\r\n']

/** Writes a random value, and beside it what is left of it, following the rule of the commas and nothing else. */
class Author {
  readonly #roll: (n: number) => number
  readonly #paths: readonly HidePath[]
  whole = ''
  left = ''

  constructor(seed: number, paths: readonly HidePath[]) {
    this.#roll = dice(seed)
    this.#paths = paths
    this.#blank(true)
    this.#value([], 0, true)
    this.#blank(true)
  }

  #put(text: string, stays: boolean): void {
    this.whole += text
    if (stays) this.left += text
  }

  #blank(stays: boolean): void {
    this.#put(blanks[this.#roll(blanks.length)] ?? '', stays)
  }

  #value(way: readonly (string | number)[], depth: number, stays: boolean): void {
    const kind = this.#roll(depth > 4 ? 4 : 9)
    if (kind >= 7) this.#array(way, depth, stays)
    else if (kind >= 4) this.#object(way, depth, stays)
    else
      this.#put(
        [
          () => `"${this.#string('some text')}"`,
          () => ['0', '-1.50e+3', '12345678901234567890123', '1E400'][this.#roll(4)] ?? '0',
          () => ['true', 'false', 'null'][this.#roll(3)] ?? 'null',
          () => '"a\\"b\\\\c{}[],:é"',
        ][kind]?.() ?? '0',
        stays,
      )
  }

  #array(way: readonly (string | number)[], depth: number, stays: boolean): void {
    this.#put('[', stays)
    this.#blank(stays)
    const n = this.#roll(4)
    for (let i = 0; i < n; i++) {
      if (i > 0) this.#put(',', stays)
      this.#blank(stays)
      this.#value([...way, i], depth + 1, stays)
      this.#blank(stays)
    }
    this.#put(']', stays)
  }

  #object(way: readonly (string | number)[], depth: number, stays: boolean): void {
    this.#put('{', stays)
    this.#blank(stays)
    const mine = names.filter(() => this.#roll(3) === 0)
    let kept = 0
    for (const [i, name] of mine.entries()) {
      const goes = this.#paths.some(path => leadsTo(path, [...way, name]))
      if (i > 0) this.#put(',', stays && !goes && kept > 0)
      if (i > 0) this.#blank(stays && !goes && kept > 0)
      this.#put(`"${this.#string(name)}"`, stays && !goes)
      this.#blank(stays && !goes)
      this.#put(':', stays && !goes)
      this.#blank(stays && !goes)
      this.#value([...way, name], depth + 1, stays && !goes)
      this.#blank(stays)
      if (!goes) kept += 1
    }
    this.#put('}', stays)
  }

  /** Some characters as escapes. */
  #string(text: string): string {
    return [...text]
      .flatMap(character => (this.#roll(3) > 0 ? character : character.split('')))
      .map(unit => (unit.length === 1 && this.#roll(3) === 0 ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : unit))
      .map(unit => (/^[\ud800-\udfff]$/.test(unit) ? `\\u${unit.charCodeAt(0).toString(16)}` : unit))
      .join('')
  }
}

const manyPaths = pathsOf(
  '$.a',
  '$.gone',
  '$..gone',
  '$..é',
  '$.a.b',
  '$.a.b.c',
  '$[*].a',
  '$[*].b.c',
  '$.a[*].b',
  '$.b[*][*].c',
  '$.😀.a',
  '$..__proto__',
  '$[*][*].gone',
)

const somePaths = (roll: (n: number) => number): readonly HidePath[] =>
  Array.from({ length: 1 + roll(4) }, () => manyPaths[roll(manyPaths.length)] ?? { text: '', steps: [] })

describe('for random texts and paths', () => {
  it('what is left is, byte for byte, the text without the cut members, wherever the pieces end', () => {
    const roll = dice(11)
    let hidden = 0
    for (let i = 1; i <= 3000; i++) {
      const paths = somePaths(roll)
      const { whole, left } = new Author(i * 7919, paths)
      const borders = everyByte(whole).filter(() => roll(5) === 0)
      const result = cut(paths, whole, borders)
      expect(result).toEqual({ text: left, fault: null, hidden: result.hidden })
      expect(JSON.parse(left)).toEqual(without(JSON.parse(whole) as Json, paths))
      hidden += result.hidden
    }
    expect(hidden).toBeGreaterThan(1000)
  })

  it('every border between two bytes gives the same', () => {
    const paths = pathsOf('$..gone', '$.a.b', '$[*].é')
    for (let seed = 1; seed <= 60; seed++) {
      const { whole, left } = new Author(seed * 104_729, paths)
      expect(cut(paths, whole, everyByte(whole)).text).toBe(left)
      for (const border of everyByte(whole)) expect(cut(paths, whole, [border]).text).toBe(left)
    }
  })

  it('damaged ones pass only where JSON.parse takes them too, no name is doubled, and nothing that is to be hidden is left', () => {
    const roll = dice(5)
    const junk = ['"', '\\', '{', '}', '[', ']', ',', ':', '\0', '\ufeff', '\\u0061', '"a":', '"gone":1,', 'e', '0', ' ', '\x80', '\n']
    let passed = 0
    for (let i = 1; i <= 20_000; i++) {
      const paths = somePaths(roll)
      let bytes = Buffer.from(new Author(i * 31_337, paths).whole)
      for (let n = roll(3); n >= 0; n--) {
        const at = roll(bytes.length + 1)
        const put = Buffer.from(junk[roll(junk.length)] ?? '', roll(8) === 0 ? 'latin1' : 'utf8')
        bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + roll(3))])
      }
      const { text, fault } = cut(
        paths,
        bytes,
        everyByte(bytes).filter(() => roll(9) === 0),
      )
      const judged = judge(bytes)
      expect(text === null, bytes.toString('latin1')).toBe(judged === null)
      expect(fault === null).toBe(text !== null)
      if (text === null || judged === null) continue
      expect(JSON.parse(text)).toEqual(without(judged.value, paths))
      passed += 1
    }
    expect(passed).toBeGreaterThan(500)
  })
})

/** The platform's own decoder and parser, and a count of names. */
const judge = (bytes: Buffer): { readonly value: Json } | null => {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = JSON.parse(text) as Json
    const { repeats, depth } = shapeOf(text)
    return repeats || depth > 512 ? null : { value }
  } catch {
    return null
  }
}

describe('memory', () => {
  it('held is stated, names that are kept for comparison included', () => {
    const cutter = new Cutter([])
    cutter.write(Buffer.from(`{${Array.from({ length: 1000 }, (_, i) => `"name-${i}":0`).join(',')}`))
    expect(cutter.memory).toBeGreaterThan(1000 * 64 + 12_000)
    cutter.write(Buffer.from('}'))
    expect(cutter.memory).toBeLessThan(40_000)
  })

  it('does not grow with what is cut', () => {
    const cutter = new Cutter(pathsOf('$.gone'))
    cutter.write(Buffer.from('{"gone":"'))
    for (let i = 0; i < 100; i++) cutter.write(Buffer.alloc(10_000, 0x78))
    expect(cutter.memory).toBeLessThan(30_000)
  })
})
