import { parseRange, type Range } from '../../config/address.ts'
import {
  type Bad,
  bad,
  type Context,
  describe,
  fail,
  list,
  named,
  oneOrMany,
  optional,
  parsed,
  record,
  type Shape,
  text,
} from '../../config/shape.ts'
import type { Node } from '../../config/source.ts'
import type { Check } from '../check/ast.ts'
import type { CheckEnvironment } from '../check/environment.ts'
import { readCheck } from '../check/read.ts'
import { maxLength } from '../check/size.ts'
import { nearestName } from './names.ts'
import type { Scope } from './scope.ts'
import { type TimeWindow, timeShape } from './time.ts'

/** What a header line or a query parameter must be. */
export type Expectation =
  | { readonly kind: 'present' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'one-of'; readonly values: readonly string[] }
  | { readonly kind: 'range'; readonly min: number; readonly max: number }

export interface When {
  readonly ipIn: readonly Range[] | null
  readonly ipNotIn: readonly Range[] | null
  readonly header: ReadonlyMap<string, Expectation>
  readonly query: ReadonlyMap<string, Expectation>
  readonly time: TimeWindow | null
  readonly check: Check | null
}

const ranges = oneOrMany(parsed('an address or a range, such as 10.0.0.0/8', parseRange, 304), { max: 256 })

const keyword = (value: string): Expectation | null => (value === 'present' || value === 'absent' ? { kind: value } : null)

const headerValue = text(
  'present, absent, a value, or a list of values',
  value =>
    /^[ \t]|[ \t]$/.test(value)
      ? `"${value}" begins or ends with a blank; blanks around a header are removed before it is compared.`
      : null,
  307,
)

const headerExpectation: Shape<Expectation> = {
  schema: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }] },
  read(node, at) {
    if (node.kind === 'list') return anyOf(list(headerValue, { min: 1 }).read(node, at))
    const value = headerValue.read(node, at)
    return value === bad ? bad : (keyword(value) ?? { kind: 'one-of', values: [value] })
  },
}

const anyOf = (values: readonly string[] | Bad): Expectation | Bad => (values === bad ? bad : { kind: 'one-of', values })

const queryExpectation: Shape<Expectation> = {
  schema: headerExpectation.schema,
  read(node, at) {
    if (node.kind === 'list') return anyOf(list(text('a value', notRange, 308), { min: 1 }).read(node, at))
    const value = text('present, absent, a value, a list of values, or whole numbers such as 1..500').read(node, at)
    if (value === bad) return bad
    return keyword(value) ?? range(value, node, at) ?? { kind: 'one-of', values: [value] }
  },
}

const rangeSpelling = /^(-?\d{1,15})?\.\.(-?\d{1,15})?$/

/** Inside a list a range would be read as a literal word, and a deny would silently never match. */
const notRange = (value: string): string | null =>
  rangeSpelling.test(value) ? `"${value}" stands in a list, where it is a literal word; write the range alone.` : null

const range = (value: string, node: Node, at: Context): Expectation | Bad | null => {
  if (!value.includes('..')) return null
  const found = rangeSpelling.exec(value)
  const [min, max] = [found?.[1] ?? '', found?.[2] ?? '']
  if (!found || (min === '' && max === ''))
    return fail(at, node, 308, `"${value}" is not a range of whole numbers; write 1..500, 1.. or ..500, or put a literal text in a list.`)
  const bounds = { min: min === '' ? -Infinity : Number(min), max: max === '' ? Infinity : Number(max) }
  if (bounds.min > bounds.max) return fail(at, node, 308, `${value} is empty; write the smaller number first.`)
  return { kind: 'range', ...bounds }
}

/** Fields that never reach a policy: consumed or removed by the edge, or different on every hop. A condition on one would be a lie. */
const removed = new Set(
  `authorization proxy-authorization proxy-authenticate dpop cookie host forwarded connection keep-alive proxy-connection te trailer
  transfer-encoding upgrade x-real-ip x-remote-user remote-user x-http-method x-http-method-override x-method-override`.split(/\s+/),
)
const removedPrefixes = ['x-forwarded-', 'x-postern-', 'x-auth-request-', 'x-amzn-oidc-', 'x-goog-authenticated-']

export const headerName = (name: string): string | null => {
  if (!/^[a-z0-9!#$%&'*+.^`|~-]+$/.test(name))
    return name === name.toLowerCase()
      ? `"${name}" is not a usable header name; the edge removes names with "_" and refuses other characters.`
      : `"${name}" is not in lower case; write ${name.toLowerCase()}.`
  return removed.has(name) || removedPrefixes.some(prefix => name.startsWith(prefix))
    ? `${name} never reaches a policy: the edge consumes or removes it. ${name === 'host' ? 'Use recognise.host.' : 'Remove the condition.'}`
    : null
}

const queryName = (name: string): string | null =>
  name === '' || /[\p{Cc}]/u.test(name)
    ? `"${name}" is not a parameter name; write it decoded, as in when: { query: { page: 1.. } }.`
    : null

/** An empty map would hold for every request, which nobody writes on purpose. */
const notEmpty = <T>(shape: Shape<ReadonlyMap<string, T>>): Shape<ReadonlyMap<string, T>> => ({
  schema: { ...shape.schema, minProperties: 1 },
  read: (node, at) =>
    node.kind === 'map' && node.entries.length === 0
      ? fail(
          at,
          node,
          203,
          `${describe(node)} without entries holds for every request; write a name and what it must be, or remove the key.`,
        )
      : shape.read(node, at),
})

/** Work that the `re` patterns of one file may cost together to compile: about a second. */
const patternWork = 1_500_000

const checkShape = (scope: Scope): Shape<Check> => {
  const expression = text("a CEL expression, such as path.account.startsWith(claims.region + '-')")
  let left = patternWork
  return {
    schema: { type: 'string', description: 'An expression of a CEL subset that must be true.', maxLength },
    read(node, at) {
      const value = expression.read(node, at)
      if (value === bad) return bad
      const env: CheckEnvironment = {
        claims: scope.claims,
        path: scope.variables.get(node.offset) ?? null,
        nameProblem: (of, name) => (of === 'header' ? headerName(name) : queryName(name)),
        nearest: (typed, known) => nearestName(at.source, typed, known),
        afford: work => {
          left -= work
          return left >= 0
        },
      }
      const check = readCheck(value, env)
      if ('root' in check) return check
      for (const problem of check) at.source.errorWithin(node, problem.at, problem.number, problem.message)
      return bad
    },
  }
}

const fieldsOf = (scope: Scope) =>
  record({
    'ip-in': optional<readonly Range[] | null>(ranges, null, 'The client address is in one of them.'),
    'ip-not-in': optional<readonly Range[] | null>(ranges, null, 'The client address is in none of them.'),
    header: optional(
      notEmpty(named(headerExpectation, headerName, { max: 16, number: 307 })),
      new Map<string, Expectation>(),
      'Header fields by lower-case name.',
    ),
    query: optional(
      notEmpty(named(queryExpectation, queryName, { max: 16, number: 308 })),
      new Map<string, Expectation>(),
      'Query parameters by name.',
    ),
    time: optional<TimeWindow | null>(timeShape, null, 'Local wall clock.'),
    check: optional<Check | null>(checkShape(scope), null, 'A CEL expression that must be true.'),
  })

export const whenShape = (scope: Scope): Shape<When> => {
  const fields = fieldsOf(scope)
  return {
    schema: fields.schema,
    read(node, at) {
      const value = fields.read(node, at)
      if (value === bad) return bad
      const { header, query, time, check } = value
      return { ipIn: value['ip-in'], ipNotIn: value['ip-not-in'], header, query, time, check }
    },
  }
}
