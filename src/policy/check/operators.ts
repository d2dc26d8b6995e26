import type { Expr } from './ast.ts'
import { bothSides, examples, isBool, type Job, type Local, reject, type Sides, spanOf, type Typed, typed, typeNames } from './job.ts'
import { holderOf, presence } from './names.ts'
import { clip, parseSyntax, partsOf, type Syntax } from './syntax.ts'

export const not = (node: Syntax, operand: Syntax, job: Job, local: Local | null): Typed | null => {
  const value = job.convert(operand, job, local)
  if (!value || !isBool(value, job, '"!" turns round')) return null
  return typed({ kind: 'not', operand: value.expr, type: 'bool', ...spanOf(node) })
}

export const logic = (node: Syntax, kind: 'and' | 'or', sides: Sides, job: Job, local: Local | null): Typed | null => {
  const both = bothSides(sides, job, local)
  if (!both) return null
  const [left, right] = both
  const what = kind === 'and' ? '"&&" joins' : '"||" joins'
  const fits = [isBool(left, job, what), isBool(right, job, what)]
  return fits.includes(false) ? null : typed({ kind, left: left.expr, right: right.expr, type: 'bool', ...spanOf(node) })
}

type Comparison = Extract<Expr, { kind: 'compare' }>['op']

/**
 * CEL gives `==` and `<` one rank, so `a == b < c` is `(a == b) < c`; the parser reads `a == (b < c)`, as C does. What stands
 * between the two operators is an expression of its own unless a bracket was opened there.
 */
const isAmbiguous = (op: Comparison, [left, right]: Sides, { text }: Job): boolean => {
  if ((op !== '==' && op !== '!=') || !['<', '<=', '>', '>=', 'in'].includes(right.op)) return false
  const [inner] = partsOf(right)
  const between = text.slice(text.indexOf(op, left.end) + 2, text.indexOf(right.op, inner?.end))
  return !('message' in parseSyntax(between))
}

export const compare = (node: Syntax, op: Comparison, sides: Sides, job: Job, local: Local | null): Typed | null => {
  if (isAmbiguous(op, sides, job))
    return reject(job, sides[1], 501, `"${op}" and "${sides[1].op}" have one rank in CEL; write brackets around the part behind "${op}".`)
  const both = bothSides(sides, job, local)
  if (!both) return null
  const [left, right] = both
  const [one, other] = [left.expr.type, right.expr.type]
  if (one !== other) return reject(job, node, 503, `${typeNames[one]} is compared with ${typeNames[other]}; compare like with like.`)
  const ordered = op !== '==' && op !== '!='
  if (ordered && one !== 'string' && one !== 'number')
    return reject(job, node, 503, `"${op}" orders texts and numbers, but here stands ${typeNames[one]}; write == or !=.`)
  if (!ordered && left.whole !== right.whole) return mixed(node, left, right, job)
  return typed({ kind: 'compare', op, left: left.expr, right: right.expr, type: 'bool', ...spanOf(node) })
}

/** CEL's type check finds no `==` for 3 and 3.0; without words of our own an author would look for the fault in the claim. */
const mixed = (node: Syntax, left: Typed, right: Typed, job: Job): null => {
  const [whole, other] = left.whole ? [left.expr, right.expr] : [right.expr, left.expr]
  const decimal = spelled(whole, true)
  if (decimal !== null)
    return reject(job, whole.from, 503, `a claim's number has decimals, and 3 is never equal to 3.0 in CEL; write ${decimal}.`)
  const integer = spelled(other, false)
  if (integer !== null)
    return reject(job, other.from, 503, `size() is a whole number, and 3.0 is never equal to 3 in CEL; write ${integer}.`)
  return reject(job, node, 503, 'a whole number is compared with one that has decimals, which CEL never finds equal; write <= and >=.')
}

/** A number, or a list of them, that is written out: in the other spelling. */
const spelled = (expr: Expr, decimal: boolean): string | null => {
  if (expr.kind === 'literal') return decimal ? Number(expr.value).toFixed(1) : String(Math.round(Number(expr.value)))
  if (expr.kind !== 'list') return null
  const items = expr.items.map(item => spelled(item, decimal))
  return items.includes(null) ? null : `[${items.join(', ')}]`
}

export const within = (node: Syntax, [item, list]: Sides, job: Job, local: Local | null): Typed | null => {
  const holder = holderOf(list)
  if (holder !== null) {
    const key = item.op === 'value' && typeof item.args === 'string' ? item.args : null
    if (holder === 'claims' || holder === 'path')
      return reject(job, node, 504, `${holder} is no map to look into; write has(claims.${key === null ? 'region' : clip(key)}).`)
    if (key !== null) return presence(node, holder, key, item.start, job)
    return reject(job, item, 504, `the name before "in ${holder}" is not written out; write '${examples[holder]}' in ${holder}.`)
  }
  const both = bothSides([item, list], job, local)
  if (!both) return null
  const [one, many] = both
  const [single, type] = [one.expr.type, many.expr.type]
  if (type === 'string') return reject(job, list, 503, '"in" asks a list, but here stands text; write text.contains(part).')
  if (type !== 'list<string>' && type !== 'list<number>')
    return reject(job, list, 503, `"in" asks a list, but here stands ${typeNames[type]}; write [a, b], or a claim that is a list.`)
  if (type !== `list<${single}>`)
    return reject(job, item, 503, `${typeNames[single]} is looked for in ${typeNames[type]}; compare like with like.`)
  if (one.whole !== many.whole) return mixed(node, one, many, job)
  return typed({ kind: 'in', item: one.expr, list: many.expr, type: 'bool', ...spanOf(node) })
}

export const join = (node: Syntax, sides: Sides, job: Job, local: Local | null): Typed | null => {
  const both = bothSides(sides, job, local)
  if (!both) return null
  const [left, right] = both
  const wrong = both.find(side => side.expr.type !== 'string')
  if (wrong)
    return reject(job, wrong.expr.from, 504, `"+" joins texts only, but here stands ${typeNames[wrong.expr.type]}; write the result out.`)
  // The caller's token says how often a loop runs, so a loop only looks.
  if (local) return reject(job, node, 504, '"+" in a loop is not in the language; write startsWith and endsWith.')
  return typed({ kind: 'join', left: left.expr, right: right.expr, type: 'string', ...spanOf(node) })
}
