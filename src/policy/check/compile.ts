import { both, either, no, not, type Tri, told, unsure, yes } from '../language/tri.ts'
import type { Expr, Holder } from './ast.ts'
import { expression, glob, length } from './pattern.ts'
import { maxItems } from './size.ts'

type Scalar = string | number | boolean
export type Value = Scalar | readonly unknown[]

/** Where the values of a request come from. */
export interface Binding<R> {
  /** Undefined: an error, absence included. A value is of the declared type, and its text is well-formed Unicode. */
  readonly value: (of: Holder | 'fact', name: string) => (request: R) => Value | undefined
  readonly present: (of: Exclude<Holder, 'path'>, name: string) => (request: R) => Tri
}

/** The answer for a request; `item` is that of the loop around. Error is `unsure`, by CEL's rules for `&&` and `||`. */
type Truth<R> = (request: R, item: Scalar) => Tri
type Of<R, T> = (request: R, item: Scalar) => T | undefined

/** Compiles a typed expression to closures: what cannot be told is an answer, never an exception. */
export const compileCheck = <R>(root: Expr, binding: Binding<R>): ((request: R) => Tri) => {
  const answer = truth(root, binding)
  return request => answer(request, '')
}

const truth = <R>(expr: Expr, binding: Binding<R>): Truth<R> => {
  switch (expr.kind) {
    case 'has':
      return binding.present(expr.of, expr.name)
    case 'not': {
      const operand = truth(expr.operand, binding)
      return (request, item) => not(operand(request, item))
    }
    case 'and':
    case 'or':
      return logic(expr, binding)
    case 'compare':
      return compare(expr, binding)
    case 'in': {
      const one = value<R, Scalar>(expr.item, binding)
      return apply(one, value<R, readonly unknown[]>(expr.list, binding), (found, list) => list.includes(found))
    }
    case 'text': {
      const test = textTests[expr.op]
      return apply(value<R, string>(expr.subject, binding), value<R, string>(expr.part, binding), test)
    }
    case 'pattern': {
      const subject = value<R, string>(expr.subject, binding)
      const fits = expr.op === 'glob' ? glob(expr.pattern) : expression(expr.pattern)
      return (request, item) => {
        const text = subject(request, item)
        return text === undefined ? unsure : maybe(fits(text))
      }
    }
    case 'loop':
      return loop(expr, binding)
    default: {
      const read = value<R, boolean>(expr, binding)
      return (request, item) => maybe(read(request, item))
    }
  }
}

const maybe = (fact: boolean | undefined): Tri => (fact === undefined ? unsure : told(fact))

const apply =
  <R, A, B>(left: Of<R, A>, right: Of<R, B>, test: (a: A, b: B) => boolean): Truth<R> =>
  (request, item) => {
    const a = left(request, item)
    if (a === undefined) return unsure
    const b = right(request, item)
    return b === undefined ? unsure : told(test(a, b))
  }

/** On well-formed text these agree with a comparison by code point. */
const textTests: Readonly<Record<Extract<Expr, { kind: 'text' }>['op'], (text: string, part: string) => boolean>> = {
  startsWith: (text, part) => text.startsWith(part),
  endsWith: (text, part) => text.endsWith(part),
  contains: (text, part) => text.includes(part),
}

const logic = <R>(expr: Extract<Expr, { kind: 'and' | 'or' }>, binding: Binding<R>): Truth<R> => {
  const [left, right] = [truth(expr.left, binding), truth(expr.right, binding)]
  return expr.kind === 'and'
    ? (request, item) => {
        const first = left(request, item)
        return first === no ? no : both(first, right(request, item))
      }
    : (request, item) => {
        const first = left(request, item)
        return first === yes ? yes : either(first, right(request, item))
      }
}

const compare = <R>({ op, left, right }: Extract<Expr, { kind: 'compare' }>, binding: Binding<R>): Truth<R> => {
  if (left.type === 'string' && op !== '==' && op !== '!=') {
    const test = orders[op]
    return apply(value<R, string>(left, binding), value<R, string>(right, binding), (a, b) => test(codePointOrder(a, b), 0))
  }
  if (left.type === 'number' && op !== '==' && op !== '!=')
    return apply(value<R, number>(left, binding), value<R, number>(right, binding), orders[op])
  const [a, b] = [value<R, Value>(left, binding), value<R, Value>(right, binding)]
  return op === '==' ? apply(a, b, isEqual) : apply(a, b, (x, y) => !isEqual(x, y))
}

const isEqual = (a: Value, b: Value): boolean =>
  typeof a === 'object' && typeof b === 'object' ? a.length === b.length && a.every((item, i) => item === b[i]) : a === b

const orders: Readonly<Record<'<' | '<=' | '>' | '>=', (a: number, b: number) => boolean>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}

/** JavaScript orders texts by UTF-16 unit, which puts U+1F600 before U+FB01. */
const codePointOrder = (a: string, b: string): number => {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) {
    const [one, other] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (one !== other) return raised(one) - raised(other)
  }
  return a.length - b.length
}

/** Surrogates, which stand for what lies above all other units. */
const raised = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit)

const loop = <R>(expr: Extract<Expr, { kind: 'loop' }>, binding: Binding<R>): Truth<R> => {
  const list = value<R, readonly Scalar[]>(expr.list, binding)
  const body = truth(expr.body, binding)
  const [decisive, otherwise] = expr.op === 'exists' ? ([yes, no] as const) : ([no, yes] as const)
  return (request, item) => {
    const items = list(request, item)
    if (items === undefined || items.length > maxItems) return unsure
    let out: Tri = otherwise
    for (const one of items) {
      const held = body(request, one)
      if (held === decisive) return decisive
      if (held === unsure) out = unsure
    }
    return out
  }
}

/** The type checker has found that the value is a `T`. */
const value = <R, T extends Value>(expr: Expr, binding: Binding<R>): Of<R, T> => anyValue(expr, binding) as Of<R, T>

const anyValue = <R>(expr: Expr, binding: Binding<R>): Of<R, Value> => {
  switch (expr.kind) {
    case 'literal':
      return () => expr.value
    case 'read':
      return binding.value(expr.of, expr.name)
    case 'fact':
      return binding.value('fact', expr.name)
    case 'local':
      return (_, item) => item
    case 'list':
      return list(expr.items, binding)
    case 'join': {
      const [left, right] = [value<R, string>(expr.left, binding), value<R, string>(expr.right, binding)]
      return (request, item) => {
        const head = left(request, item)
        const tail = right(request, item)
        return head === undefined || tail === undefined ? undefined : head + tail
      }
    }
    case 'size': {
      const of = value<R, string | readonly unknown[]>(expr.of, binding)
      return (request, item) => {
        const found = of(request, item)
        return typeof found === 'string' ? length(found) : found?.length
      }
    }
    default: {
      const answer = truth(expr, binding)
      return (request, item) => {
        const held = answer(request, item)
        return held === unsure ? undefined : held === yes
      }
    }
  }
}

const list = <R>(items: readonly Expr[], binding: Binding<R>): Of<R, readonly unknown[]> => {
  if (items.every(item => item.kind === 'literal')) {
    const values = items.map(item => item.value)
    return () => values
  }
  const reads = items.map(item => anyValue(item, binding))
  return (request, item) => {
    const values = reads.map(read => read(request, item))
    return values.includes(undefined) ? undefined : values
  }
}
