type Json = unknown
type Schema = Readonly<Record<string, Json>>

const isObject = (value: Json): value is Readonly<Record<string, Json>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const typeOf = (value: Json): readonly string[] => {
  if (value === null) return ['null']
  if (Array.isArray(value)) return ['array']
  if (typeof value === 'number') return Number.isInteger(value) ? ['integer', 'number'] : ['number']
  return [typeof value]
}

/** Words that only tell something to a reader. */
const telling = new Set(['$schema', 'title', 'description', 'default', 'format', 'then', 'else'])

type Keyword = (wanted: never, value: Json, schema: Schema) => readonly string[]
const wrong = (holds: boolean, text: string): readonly string[] => (holds ? [] : [text])
const names = (value: Json): readonly string[] => (isObject(value) ? Object.keys(value) : [])

/** The keywords of JSON Schema draft 7 that ours use; another is a fault, so that none is passed over. */
const keywords: Readonly<Record<string, Keyword>> = {
  type: (wanted: string | readonly string[], value) =>
    wrong(
      [wanted].flat().some(type => typeOf(value).includes(type)),
      `is no ${wanted}`,
    ),
  enum: (wanted: readonly Json[], value) => wrong(wanted.includes(value), `is none of ${wanted}`),
  const: (wanted: Json, value) => wrong(wanted === value, `is not ${wanted}`),
  pattern: (wanted: string, value) => wrong(typeof value !== 'string' || new RegExp(wanted, 'u').test(value), `does not fit ${wanted}`),
  // In characters, as the draft counts them.
  maxLength: (wanted: number, value) =>
    wrong(typeof value !== 'string' || [...value].length <= wanted, `has more than ${wanted} characters`),
  minimum: (wanted: number, value) => wrong(typeof value !== 'number' || value >= wanted, `is below ${wanted}`),
  maximum: (wanted: number, value) => wrong(typeof value !== 'number' || value <= wanted, `is above ${wanted}`),
  minItems: (wanted: number, value) => wrong(!Array.isArray(value) || value.length >= wanted, `has fewer than ${wanted} entries`),
  maxItems: (wanted: number, value) => wrong(!Array.isArray(value) || value.length <= wanted, `has more than ${wanted} entries`),
  uniqueItems: (wanted: boolean, value) =>
    wrong(!wanted || !Array.isArray(value) || new Set(value.map(item => JSON.stringify(item))).size === value.length, 'has an entry twice'),
  minProperties: (wanted: number, value) => wrong(!isObject(value) || names(value).length >= wanted, `has fewer than ${wanted} keys`),
  maxProperties: (wanted: number, value) => wrong(!isObject(value) || names(value).length <= wanted, `has more than ${wanted} keys`),
  required: (wanted: readonly string[], value) =>
    isObject(value) ? wanted.flatMap(key => wrong(Object.hasOwn(value, key), `lacks ${key}`)) : [],
  items: (wanted: Schema, value) => (Array.isArray(value) ? value.flatMap((item, i) => under(i, violations(wanted, item))) : []),
  properties: (wanted: Readonly<Record<string, Schema>>, value) =>
    isObject(value)
      ? Object.entries(wanted).flatMap(([key, one]) => (Object.hasOwn(value, key) ? under(key, violations(one, value[key])) : []))
      : [],
  additionalProperties: (wanted: Schema | false, value, { properties }) =>
    names(value)
      .filter(key => !isObject(properties) || !Object.hasOwn(properties, key))
      .flatMap(key => (wanted === false ? [`has the unknown key ${key}`] : under(key, violations(wanted, (value as Schema)[key])))),
  anyOf: (wanted: readonly Schema[], value) => {
    const found = wanted.map(one => violations(one, value))
    return found.some(one => one.length === 0) ? [] : found.flat()
  },
  not: (wanted: Schema, value) => wrong(violations(wanted, value).length > 0, 'may not stand here'),
  if: (wanted: Schema, value, schema) => {
    const next = schema[violations(wanted, value).length === 0 ? 'then' : 'else']
    return isObject(next) ? violations(next, value) : []
  },
}

const under = (key: string | number, found: readonly string[]): readonly string[] => found.map(one => `${key}.${one}`)

/** What is wrong with a value by a schema; nothing: it is valid. */
export const violations = (schema: Schema, value: Json): readonly string[] =>
  Object.entries(schema).flatMap(([word, wanted]) => {
    if (telling.has(word)) return []
    const keyword = keywords[word]
    if (keyword === undefined) throw new Error(`the keyword ${word} is not known here`)
    return keyword(wanted as never, value, schema)
  })
