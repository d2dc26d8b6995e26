import type { Check, Expr, Holder } from '../check/ast.ts'
import { parts } from '../check/walk.ts'
import { quoted } from './words.ts'

/** An expression in words, or its text between quotes where words would be harder to read than the expression. */
export const sayCheck = ({ text, root }: Check): string => {
  const said = deepest(root) > mostDepth ? null : condition(root)
  return said === null || said.length > longest ? `the expression ${quoted(text)} is true` : said
}

const mostDepth = 6
const longest = 400

const deepest = (expr: Expr): number => 1 + Math.max(0, ...parts(expr).map(deepest))

const holders: Readonly<Record<Exclude<Holder, 'path'>, (name: string) => string>> = {
  claims: name => `the claim ${name}`,
  query: name => `the query parameter ${quoted(name)}`,
  header: name => `the header ${name}`,
}

const facts = { method: 'the method', subject: 'the subject', scopes: "the token's scopes" } as const
const comparisons = {
  '==': 'is',
  '!=': 'is not',
  '<': 'is less than',
  '<=': 'is at most',
  '>': 'is more than',
  '>=': 'is at least',
} as const
const texts = { startsWith: 'begins with', endsWith: 'ends with', contains: 'contains' } as const
const patterns = { glob: 'fits the pattern', re: 'fits the regular expression' } as const

/** A yes/no expression as a clause. */
const condition = (expr: Expr): string => {
  switch (expr.kind) {
    case 'literal':
      return `it is ${expr.value}`
    case 'not':
      return expr.operand.kind === 'has' ? `${holders[expr.operand.of](expr.operand.name)} is absent` : `not (${condition(expr.operand)})`
    case 'has':
      return `${holders[expr.of](expr.name)} is there`
    case 'and':
    case 'or':
      return `${inside(expr.left, expr.kind)} ${expr.kind} ${inside(expr.right, expr.kind)}`
    case 'compare':
      return `${value(expr.left)} ${comparisons[expr.op]} ${value(expr.right)}`
    case 'in':
      return `${value(expr.item)} is one of ${value(expr.list)}`
    case 'text':
      return `${value(expr.subject)} ${texts[expr.op]} ${value(expr.part)}`
    case 'pattern':
      return `${value(expr.subject)} ${patterns[expr.op]} ${quoted(expr.pattern)}`
    case 'loop':
      return `${expr.op === 'all' ? 'every' : 'some'} ${expr.name} of ${value(expr.list)} fits this: (${condition(expr.body)})`
    default:
      return `${value(expr)} is true`
  }
}

/** Within a chain of the same word no parentheses are needed. */
const inside = (expr: Expr, around: 'and' | 'or'): string =>
  (expr.kind === 'and' || expr.kind === 'or') && expr.kind !== around ? `(${condition(expr)})` : condition(expr)

/** A value as a noun. */
const value = (expr: Expr): string => {
  switch (expr.kind) {
    case 'literal':
      return quoted(expr.value)
    case 'list':
      return `[${expr.items.map(value).join(', ')}]`
    case 'read':
      return expr.of === 'path' ? `{${expr.name}}` : holders[expr.of](expr.name)
    case 'fact':
      return facts[expr.name]
    case 'local':
      return `that ${expr.name}`
    case 'join':
      return `(${joined(expr)})`
    case 'size':
      return `the ${expr.of.type === 'string' ? 'number of characters' : 'number of entries'} of ${value(expr.of)}`
    default:
      return `(${condition(expr)})`
  }
}

const joined = (expr: Expr): string => (expr.kind === 'join' ? `${joined(expr.left)} followed by ${joined(expr.right)}` : value(expr))
