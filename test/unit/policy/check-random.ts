import type { Chance } from '../../support/chance.ts'

/** Declarations under which random expressions are read; some names mean something to JavaScript. */
export const declared = {
  region: 'string',
  dept: 'string?',
  constructor: 'string?',
  groups: 'list<string>',
  accounts: 'list<string>?',
  toString: 'list<string>?',
  level: 'number',
  score: 'number?',
  marks: 'list<number>',
  valueOf: 'list<number>?',
  vip: 'bool',
  beta: 'bool?',
} as const
export type ClaimName = keyof typeof declared
const claimNames = Object.keys(declared) as ClaimName[]
export const isOptional = (name: ClaimName): boolean => declared[name].endsWith('?')
export const typeOf = (name: ClaimName): string => declared[name].replace('?', '')

export const variables = ['account', 'item'] as const
export const queryNames = ['q', 'page', 'constructor', 'a b', '__proto__', 'größe'] as const
export const headerNames = ['x-purpose', 'accept', 'constructor', 'valueof'] as const

/** Astral, combining, look-alike, on either side of the surrogates, and plain. */
export const letters = [
  'a',
  'b',
  'eu',
  'eu-7',
  '-',
  '',
  'é',
  'e\u0301',
  '😀',
  '\ufb01',
  '\ud7ff',
  '\u{10ffff}',
  "it's",
  '"',
  '\\',
  'A',
  'a.c',
  '*',
  '?',
]
export const numbers = [0, 1, 2, 3, -1, 0.5, 2.5, -3.25, 1e21, 9007199254740991, 1e-7]

const words = (c: Chance): string => Array.from({ length: c.below(3) }, () => c.pick(letters)).join('')

/** A text as an author may spell it. */
export const quoted = (c: Chance, value: string): string => {
  const quote = c.pick(["'", '"'])
  if (c.maybe(15) && !value.includes(quote) && !/[\n\r]/.test(value)) return `r${quote}${value}${quote}`.replace(/\\(['"])$/, '\\ $1')
  const spell = (letter: string): string => {
    const code = letter.codePointAt(0) ?? 0
    if (letter === quote || letter === '\\') return `\\${letter}`
    if (!c.maybe(12)) return letter
    if (code > 0xffff) return `\\U${code.toString(16).padStart(8, '0')}`
    return code < 0x80 && c.maybe(50) ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  }
  return `${quote}${Array.from(value, spell).join('')}${quote}`
}

type Kind = 'string' | 'double' | 'int' | 'bool' | 'list<string>' | 'list<double>'

/** What stands around a part: what is known to be there, and the item of the loop. */
interface Around {
  readonly there: ReadonlySet<string>
  readonly item: { readonly name: string; readonly kind: 'string' | 'double' } | null
  readonly loop: { left: number }
}

const plain = /^[A-Za-z_]\w*$/

const readOf = (c: Chance, of: string, name: string): string =>
  plain.test(name) && c.maybe(80) ? `${of}.${name}` : `${of}[${c.maybe(50) ? `'${name}'` : `"${name}"`}]`

const guardOf = (c: Chance, of: string, name: string): string =>
  of === 'claims' || (plain.test(name) && c.maybe(60)) ? `has(${of}.${name})` : `'${name}' in ${of}`

const mayBeAbsent = (c: Chance): readonly [of: string, name: string] =>
  c.pick([
    ['claims', c.pick(claimNames.filter(isOptional))],
    ['query', c.pick(queryNames)],
    ['header', c.pick(headerNames)],
  ] as const)

const kinds: Readonly<Record<string, Kind>> = {
  string: 'string',
  number: 'double',
  bool: 'bool',
  'list<string>': 'list<string>',
  'list<number>': 'list<double>',
}

/** A read of this kind that needs no guard here, or null. */
const read = (c: Chance, kind: Kind, { there }: Around): string | null => {
  const found = claimNames
    .filter(name => kinds[typeOf(name)] === kind && (!isOptional(name) || there.has(`claims.${name}`)))
    .map(name => ['claims', name] as const)
  const others =
    kind === 'string'
      ? [...there]
          .filter(key => !key.startsWith('claims.'))
          .map(key => [key.slice(0, key.indexOf('.')), key.slice(key.indexOf('.') + 1)] as const)
      : []
  const paths = kind === 'string' ? variables.map(name => ['path', name] as const) : []
  const all = [...found, ...others, ...paths]
  if (all.length === 0) return null
  const [of, name] = c.pick(all)
  return readOf(c, of, name)
}

const listOf = (c: Chance, kind: 'string' | 'double' | 'int', depth: number, around: Around): string =>
  `[${Array.from({ length: 1 + c.below(3) }, () => expression(c, kind, depth - 1, around)).join(', ')}]`

const stringOf = (c: Chance, depth: number, around: Around): string => {
  if (around.item?.kind === 'string' && c.maybe(50)) return around.item.name
  if (depth > 0 && around.item === null && c.maybe(20))
    return `${expression(c, 'string', depth - 1, around)} + ${expression(c, 'string', depth - 1, around)}`
  if (c.maybe(10)) return c.pick(['method', 'subject'])
  return (c.maybe(60) ? read(c, 'string', around) : null) ?? quoted(c, words(c))
}

const doubleOf = (c: Chance, around: Around): string => {
  if (around.item?.kind === 'double' && c.maybe(50)) return around.item.name
  const number = c.pick(numbers)
  const written = Number.isInteger(number) && Math.abs(number) < 1e21 ? `${number}.0` : String(number)
  return (c.maybe(60) ? read(c, 'double', around) : null) ?? written
}

const intOf = (c: Chance, depth: number, around: Around): string => {
  if (c.maybe(40)) return String(c.pick([0, 1, 2, 3, 5, 256, 257, -1, '0x3']))
  const of = expression(c, c.pick(['string', 'list<string>', 'list<double>']), depth - 1, around)
  return c.maybe(60) ? `size(${of})` : `(${of}).size()`
}

const comparison = (c: Chance, depth: number, around: Around): string => {
  const kind = c.pick<Kind>(['string', 'string', 'double', 'int', 'bool', 'list<string>', 'list<double>'])
  const ordered = kind === 'string' || kind === 'double' || kind === 'int'
  const op = c.pick(ordered ? ['==', '!=', '<', '<=', '>', '>='] : ['==', '!='])
  // CEL orders an int and a double, though it never finds them equal.
  const other = /[<>]/.test(op) && kind === 'double' && c.maybe(20) ? 'int' : kind
  return `(${expression(c, kind, depth - 1, around)}) ${op} (${expression(c, other, depth - 1, around)})`
}

const loopOf = (c: Chance, depth: number, around: Around): string => {
  around.loop.left--
  const kind = c.pick(['string', 'double'] as const)
  const name = c.pick(['x', 'g', 'constructor'])
  const list = expression(c, `list<${kind}>`, depth - 1, { ...around, item: null })
  const body = expression(c, 'bool', Math.min(2, depth - 1), { ...around, item: { name, kind } })
  return `${list}.${c.pick(['exists', 'all'])}(${name}, ${body})`
}

const bodyTests = (c: Chance, depth: number, around: Around): string => {
  const text = (): string => expression(c, 'string', depth - 1, around)
  const roll = c.below(5)
  if (roll === 0) return `(${text()}).${c.pick(['startsWith', 'endsWith', 'contains'])}(${text()})`
  if (roll === 1)
    return `${text()} in ${c.maybe(50) ? listOf(c, 'string', depth, around) : expression(c, 'list<string>', depth - 1, around)}`
  if (roll === 2) return `(${expression(c, 'double', depth - 1, around)}) in ${expression(c, 'list<double>', depth - 1, around)}`
  if (roll === 3) return `glob(${text()}, ${quoted(c, words(c) + c.pick(['*', '?', '']) + words(c) + c.pick(['*', '']))})`
  return `re(${text()}, ${quoted(c, regexOf(c, 2))})`
}

const boolOf = (c: Chance, depth: number, around: Around): string => {
  if (depth <= 0) return (c.maybe(50) ? read(c, 'bool', around) : null) ?? c.pick(['true', 'false'])
  const roll = c.below(100)
  if (roll < 25) return logicOf(c, depth, around)
  if (roll < 35) return `!(${expression(c, 'bool', depth - 1, around)})`
  if (roll < 65) return comparison(c, depth, around)
  if (roll < 72 && around.loop.left > 0 && around.item === null) return loopOf(c, depth, around)
  if (roll < 80) return guardOf(c, ...mayBeAbsent(c))
  return bodyTests(c, depth, around)
}

const logicOf = (c: Chance, depth: number, around: Around): string => {
  const sub = (more: Around): string => `(${expression(c, 'bool', depth - 1, more)})`
  if (c.maybe(30)) return `${sub(around)} ${c.pick(['&&', '||'])} ${sub(around)}`
  const [of, name] = mayBeAbsent(c)
  const known = { ...around, there: new Set([...around.there, `${of}.${name}`]) }
  return c.maybe(60) ? `${guardOf(c, of, name)} && ${sub(known)}` : `!(${guardOf(c, of, name)}) || ${sub(known)}`
}

const expression = (c: Chance, kind: Kind, depth: number, around: Around): string => {
  if (kind === 'string') return stringOf(c, depth, around)
  if (kind === 'double') return doubleOf(c, around)
  if (kind === 'int') return intOf(c, depth, around)
  if (kind === 'bool') return boolOf(c, depth, around)
  if (kind === 'list<string>') {
    if (c.maybe(10)) return 'scopes'
    return (c.maybe(75) ? read(c, kind, around) : null) ?? listOf(c, 'string', depth, around)
  }
  return (c.maybe(75) ? read(c, kind, around) : null) ?? listOf(c, 'double', depth, around)
}

/** A typed expression of the subset that answers yes or no. */
export const randomCheck = (c: Chance): string => expression(c, 'bool', 2 + c.below(3), { there: new Set(), item: null, loop: { left: 1 } })

/** A pattern that JavaScript and RE2 read alike. */
export const regexOf = (c: Chance, depth: number): string => {
  const atom = (): string => {
    if (depth > 0 && c.maybe(25)) return `(${regexOf(c, depth - 1)})`
    return c.pick(['a', 'b', 'eu', '-', '7', '.', '[a-e]', '[^a]', '\\d', '\\w', 'é', '😀', '\\.', '[😀é]', '\\*'])
  }
  const part = (): string => `${atom()}${c.pick(['', '', '', '*', '+', '?', '{1,2}'])}`
  const row = (): string => Array.from({ length: 1 + c.below(3) }, part).join('')
  return c.maybe(20) ? `${row()}|${row()}` : row()
}

const mistakes: readonly unknown[] = [null, undefined, 3, 'a', '', true, [], ['a'], [1], ['a', 1], {}, [null], [['a']]]

const claimOf = (c: Chance, type: string): unknown => {
  const long = c.maybe(4) ? c.pick([256, 257, 1000, 1001]) : c.below(4)
  if (type === 'string') return words(c)
  if (type === 'number') return c.pick(numbers)
  if (type === 'bool') return c.maybe(50)
  const one = (): unknown => (type === 'list<string>' ? words(c) : c.pick(numbers))
  return Array.from({ length: long }, one)
}

/** Claims of a token: right, absent, null, of another type. */
export const randomClaims = (c: Chance): Record<string, unknown> => {
  const claims: [string, unknown][] = []
  for (const name of claimNames) {
    if (c.maybe(isOptional(name) ? 30 : 4)) continue
    claims.push([name, c.maybe(6) ? c.pick(mistakes) : claimOf(c, typeOf(name))])
  }
  return Object.fromEntries(claims)
}

export { words }
