import { type Job, type Local, reject, spanOf, type Typed, typed, typeNames } from './job.ts'
import { clip, type Syntax } from './syntax.ts'

type Value = Extract<Syntax, { op: 'value' }>['args']

export const literal = (node: Syntax, value: Value, job: Job): Typed | null => {
  const span = spanOf(node)
  if (typeof value === 'string') {
    const wrong = textProblem(job.text.slice(node.start, node.end), value)
    return wrong === null ? typed({ kind: 'literal', type: 'string', value, ...span }) : reject(job, node, wrong.number, wrong.message)
  }
  if (typeof value === 'boolean') return typed({ kind: 'literal', type: 'bool', value, ...span })
  if (typeof value === 'number') return typed({ kind: 'literal', type: 'number', value, ...span })
  if (typeof value === 'bigint') {
    const number = Number(value)
    if (Number.isSafeInteger(number)) return typed({ kind: 'literal', type: 'number', value: number, ...span }, true)
    return reject(job, node, 504, `${clip(String(value))} is too large to be exact; write at most ${Number.MAX_SAFE_INTEGER}.`)
  }
  if (value === null) return reject(job, node, 504, 'null is not in the language; ask has(...) whether something is there.')
  return reject(job, node, 504, 'bytes and unsigned numbers are not in the language; write a text or a plain number.')
}

/** Spellings that readers of CEL understand in different ways. */
const textProblem = (written: string, value: string): { readonly number: number; readonly message: string } | null => {
  const quoted = written.replace(/^[rR]/, '')
  if (/^('''|""")/.test(quoted)) return { number: 504, message: "triple quotes are not in the language; write '...' on one line." }
  if (/[\r\n]/.test(written)) return { number: 501, message: 'a line break stands in a text; write \\n, or close the text on its line.' }
  if (quoted !== written && value.includes(`\\${quoted[0]}`))
    return { number: 501, message: "a quote stands in an r'...' text; write the other kind of quote around it." }
  return value.isWellFormed() ? null : { number: 501, message: 'the text has half a character (a lone surrogate); write the whole one.' }
}

/** `-3`: the only use of "-". */
export const negative = (node: Syntax, operand: Syntax, job: Job): Typed | null => {
  if (operand.op !== 'value' || !(typeof operand.args === 'number' || typeof operand.args === 'bigint'))
    return reject(job, node, 504, '"-" may only stand before a number that is written out; remove it.')
  const value = literal(operand, operand.args, job)
  if (value?.expr.kind !== 'literal') return null
  // Not -0, which would show where the rule is printed.
  return typed({ ...value.expr, value: 0 - Number(value.expr.value), from: node.start }, value.whole)
}

/** `[a, b]`: texts or numbers, all of one type. */
export const list = (node: Syntax, nodes: readonly Syntax[], job: Job, local: Local | null): Typed | null => {
  if (nodes.length === 0) return reject(job, node, 504, 'an empty list holds nothing; write size(list) == 0 to ask for one.')
  const items = nodes.map(item => job.convert(item, job, local)).filter(item => item !== null)
  const [first] = items
  if (first === undefined || items.length < nodes.length) return null
  const { type } = first.expr
  if (type !== 'string' && type !== 'number')
    return reject(job, first.expr.from, 503, `a list holds texts or numbers, but here stands ${typeNames[type]}; write conditions with ||.`)
  const other = items.find(item => item.expr.type !== type || item.whole !== first.whole)
  if (other === undefined)
    return typed({ kind: 'list', items: items.map(item => item.expr), type: `list<${type}>`, ...spanOf(node) }, first.whole)
  const message =
    other.expr.type === type
      ? 'whole numbers and numbers with decimals stand in one list; write all of them like 3.0.'
      : `the list begins with ${typeNames[type]}, but here stands ${typeNames[other.expr.type]}; write items of one type.`
  return reject(job, other.expr.from, 503, message)
}
