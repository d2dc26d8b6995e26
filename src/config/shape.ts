import { mostGuesses, nearest } from './nearest.ts'
import { recordSchema } from './record-schema.ts'
import type { Entry, MapNode, Node, Source } from './source.ts'

/** What a reader returns for a value that it has reported as wrong; the rest of the file is still read. */
export const bad: unique symbol = Symbol('bad')
export type Bad = typeof bad

export type JsonSchema = Readonly<Record<string, unknown>>

/** Where each effective value came from: key path to an offset in the file, or null for a default. */
export type Provenance = Map<string, number | null>

export interface Context {
  readonly source: Source
  /** Keys from the root to here, for provenance. */
  readonly path: string
  readonly provenance: Provenance
}

/** One kind of value: how it is read from a tree (with positions) and how an editor checks it (JSON Schema), from one definition. */
export interface Shape<T> {
  readonly schema: JsonSchema
  /** The spelling of a value that a person would write: `15m`, not 900000. Absent: the value itself. */
  format?(value: T): unknown
  read(node: Node, at: Context): T | Bad
}

export interface Field<T> {
  readonly shape: Shape<T>
  readonly doc: string
  readonly required: boolean
  readonly initial: T | undefined
  /** The running process keeps the old value until it is started again. */
  readonly restart: boolean
}

type FieldOptions = { readonly restart?: boolean }

/** A key that must be written. */
export const required = <T>(shape: Shape<T>, doc: string, options: FieldOptions = {}): Field<T> => ({
  shape,
  doc,
  required: true,
  initial: undefined,
  restart: options.restart ?? false,
})

/** A key with a default; `initial` is what its absence means. */
export const optional = <T>(shape: Shape<T>, initial: T, doc: string, options: FieldOptions = {}): Field<T> => ({
  shape,
  doc,
  required: false,
  initial,
  restart: options.restart ?? false,
})

/** A key of the format that this version does not build yet: an error that says so, never ignored. */
export const notBuilt = (doc: string): Field<never> => ({
  shape: {
    schema: { description: `${doc} Not built yet.`, not: {} },
    read: (node, at) =>
      fail(at, node, 209, `${lastKey(at.path)} is part of the format, but this version does not build it yet. Remove it.`),
  },
  doc,
  required: false,
  initial: undefined,
  restart: false,
})

export const fail = (at: Context, node: Node | Entry, number: number, message: string): Bad => {
  at.source.error('keyOffset' in node ? node.keyOffset : node.offset, number, message)
  return bad
}

const lastKey = (path: string): string => path.slice(path.lastIndexOf('.') + 1)
const child = (at: Context, key: string): Context => ({ ...at, path: at.path ? `${at.path}.${key}` : key })

/** A value as a person would write it. */
export const spell = (shape: Shape<unknown>, value: unknown): unknown =>
  value === null || value === undefined || !shape.format ? value : shape.format(value)

/** Says what stands there, for messages. */
export const describe = (node: Node): string => {
  if (node.kind !== 'scalar') return node.kind === 'map' ? 'a map' : 'a list'
  if (node.value === null) return 'nothing'
  return typeof node.value === 'string' ? `"${clip(node.value)}"` : clip(node.text)
}

const itself = (node: Node): string => (node.kind === 'scalar' && typeof node.value === 'string' ? clip(node.value) : ' ... ')

const clip = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text)

/** Text. `check` returns what is wrong and what to write instead, or null. */
export const text = (what: string, check: (value: string) => string | null = () => null, number = 204): Shape<string> => ({
  schema: { type: 'string', description: what },
  read(node, at) {
    if (node.kind !== 'scalar' || node.value === null)
      return fail(at, node, 203, `${lastKey(at.path)} is ${describe(node)}; write ${what}.`)
    if (typeof node.value !== 'string')
      return fail(at, node, 108, `${clip(node.text)} is read as a ${typeof node.value}; quote it: "${clip(node.text)}".`)
    const wrong = check(node.value)
    return wrong === null ? node.value : fail(at, node, number, wrong)
  },
})

/** What a parser of text found wrong, and what to write instead. */
export class Wrong {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** Text that stands for another value: a duration, an address, a template. */
export const parsed = <T>(
  what: string,
  parse: (value: string) => T | Wrong,
  number = 204,
  schema: JsonSchema = {},
  format: (value: T) => unknown = String,
): Shape<T> => ({
  schema: { type: 'string', description: what, ...schema },
  format,
  read(node, at) {
    // What is wrong with 27 as a duration is not that it lacks quotes.
    const unquoted = node.kind === 'scalar' && typeof node.value === 'number' ? parse(node.text) : null
    if (unquoted instanceof Wrong) return fail(at, node, number, unquoted.message)
    const value = text(what).read(node, at)
    if (value === bad) return bad
    const result = parse(value)
    return result instanceof Wrong ? fail(at, node, number, result.message) : result
  },
})

/** One of a few words. `later` are words of the format that this version does not build yet. */
export const choice = <const T extends string>(words: readonly T[], later: readonly string[] = []): Shape<T> => ({
  schema: { enum: words },
  read(node, at) {
    const value = node.kind === 'scalar' && typeof node.value === 'string' ? node.value : ''
    if ((words as readonly string[]).includes(value)) return value as T
    const known = words.join(' or ')
    if (later.includes(value))
      return fail(at, node, 209, `"${value}" is part of the format, but this version does not build it yet. Write ${known}.`)
    return fail(at, node, 204, `${lastKey(at.path)} is ${describe(node)}; write ${known}.`)
  },
})

export const integer = (min: number, max: number): Shape<number> => ({
  schema: { type: 'integer', minimum: min, maximum: max },
  read(node, at) {
    const value = node.kind === 'scalar' && !node.quoted ? node.value : undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    return fail(at, node, 204, `${lastKey(at.path)} is ${describe(node)}; write a whole number from ${min} to ${max}.`)
  },
})

export const flag: Shape<boolean> = {
  schema: { type: 'boolean' },
  read(node, at) {
    if (node.kind === 'scalar' && typeof node.value === 'boolean') return node.value
    return fail(at, node, 203, `${lastKey(at.path)} is ${describe(node)}; write true or false.`)
  },
}

export const list = <T>(shape: Shape<T>, bounds: { readonly min?: number; readonly max?: number } = {}): Shape<readonly T[]> => {
  const { min = 0, max = 1000 } = bounds
  return {
    schema: { type: 'array', items: shape.schema, minItems: min, maxItems: max },
    format: values => values.map(value => spell(shape, value)),
    read(node, at) {
      if (node.kind !== 'list') return fail(at, node, 203, `${lastKey(at.path)} is ${describe(node)}; write a list: [${itself(node)}].`)
      if (node.items.length < min)
        return fail(at, node, 203, `${lastKey(at.path)} is an empty list; write at least ${min} ${min === 1 ? 'entry' : 'entries'}.`)
      if (node.items.length > max)
        return fail(at, node, 110, `${lastKey(at.path)} has ${node.items.length} entries; at most ${max} are read.`)
      const values = node.items.map(item => shape.read(item, at))
      return values.some(value => value === bad) ? bad : (values as T[])
    },
  }
}

/** One value, or a list of them; always gives a list. */
export const oneOrMany = <T>(shape: Shape<T>, bounds: { readonly max?: number } = {}): Shape<readonly T[]> => {
  const many = list(shape, { min: 1, ...bounds })
  return {
    schema: { anyOf: [shape.schema, many.schema] },
    format: values => values.map(value => spell(shape, value)),
    read(node, at) {
      if (node.kind === 'list') return many.read(node, at)
      const value = shape.read(node, at)
      return value === bad ? bad : [value as T]
    },
  }
}

const mostNames = 1000

/** A map whose keys are names that the author chooses. */
export const named = <T>(
  shape: Shape<T>,
  checkName: (name: string) => string | null,
  bounds: { readonly max?: number; readonly number?: number } = {},
): Shape<ReadonlyMap<string, T>> => ({
  schema: { type: 'object', additionalProperties: shape.schema, maxProperties: bounds.max ?? mostNames },
  format: values => Object.fromEntries([...values].map(([name, value]) => [name, spell(shape, value)])),
  read(node, at) {
    if (node.kind !== 'map') return fail(at, node, 203, `${lastKey(at.path)} is ${describe(node)}; write a map: name: value.`)
    const { max = mostNames, number = 206 } = bounds
    if (node.entries.length > max)
      return fail(at, node, 110, `${lastKey(at.path)} has ${node.entries.length} entries; at most ${max} are read.`)
    const values = new Map<string, T>()
    let failed = false
    for (const entry of node.entries) {
      const wrong = checkName(entry.key)
      if (wrong !== null) fail(at, entry, number, wrong)
      const here = child(at, entry.key)
      here.provenance.set(here.path, entry.value.offset)
      const value = shape.read(entry.value, here)
      if (value === bad || wrong !== null) failed = true
      else values.set(entry.key, value)
    }
    return failed ? bad : values
  },
})

export type Fields = Readonly<Record<string, Field<unknown>>>
type FieldValue<F> = F extends Field<infer T> ? T : never
export type RecordOf<F extends Fields> = { readonly [K in keyof F as FieldValue<F[K]> extends never ? never : K]: FieldValue<F[K]> }

/** A map with known keys. An unknown key is an error that offers the nearest known one; every fault of the map is reported at once. */
export const record = <const F extends Fields>(fields: F): Shape<RecordOf<F>> & { readonly fields: F } => ({
  fields,
  schema: recordSchema(fields),
  format: values =>
    Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, spell(field.shape, (values as Record<string, unknown>)[key])])),
  read(node, at) {
    if (node.kind !== 'map')
      return fail(
        at,
        node,
        203,
        `${lastKey(at.path) || 'the file'} is ${describe(node)}; write a map with ${Object.keys(fields).slice(0, 4).join(', ')} ...`,
      )
    const values: Record<string, unknown> = {}
    let failed = false
    const left = Object.keys(fields).filter(key => !entryOf(node, key))
    // A key that was misspelt is not missing too.
    const meant = new Set(node.entries.flatMap(entry => (Object.hasOwn(fields, entry.key) ? [] : (guessOf(entry.key, fields, left) ?? []))))
    for (const entry of node.entries) if (!readEntry(entry, fields, left, values, at)) failed = true
    for (const [key, field] of Object.entries(fields)) {
      if (Object.hasOwn(values, key) || node.entries.some(entry => entry.key === key)) continue
      if (field.required && meant.has(key)) failed = true
      else if (field.required) {
        fail(at, node, 202, `${key} is missing${at.path ? ` in ${at.path}` : ''}. ${field.doc}`)
        failed = true
      } else {
        values[key] = field.initial
        at.provenance.set(child(at, key).path, null)
      }
    }
    return failed ? bad : (values as RecordOf<F>)
  },
})

/** A key that is not written yet is the likelier one. */
const guessOf = (typed: string, fields: Fields, left: readonly string[]): string | null =>
  nearest(typed, left) ?? nearest(typed, Object.keys(fields))

const readEntry = (entry: Entry, fields: Fields, left: readonly string[], values: Record<string, unknown>, at: Context): boolean => {
  const field = Object.hasOwn(fields, entry.key) ? fields[entry.key] : undefined
  if (!field) {
    const guess = at.source.findings.length < mostGuesses ? guessOf(entry.key, fields, left) : null
    fail(
      at,
      entry,
      201,
      `"${clip(entry.key)}" is not a key here. ${guess ? `Did you mean ${guess}?` : `Known: ${Object.keys(fields).join(', ')}.`}`,
    )
    return false
  }
  const here = child(at, entry.key)
  here.provenance.set(here.path, entry.value.offset)
  const value = field.shape.read(entry.value, here)
  if (value === bad) return false
  values[entry.key] = value
  return true
}

export const entryOf = (node: MapNode, key: string): Entry | undefined => node.entries.find(entry => entry.key === key)
