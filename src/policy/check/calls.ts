import { isBool, type Job, type Local, reject, reserved, spanOf, type Typed, typed, typeNames } from './job.ts'
import { holderOf, name as named, presence } from './names.ts'
import { maxPattern, patternProblem } from './pattern.ts'
import { maxItems, sizeProblem } from './size.ts'
import { clip, type Syntax } from './syntax.ts'

const known = ['has', 'size', 'startsWith', 'endsWith', 'contains', 'exists', 'all', 'glob', 're'] as const

/** Names that CEL has and this language has not. */
const instead: ReadonlyMap<string, string> = new Map([
  ['matches', "write re(text, 'pattern'), which must match the whole text"],
  ...['map', 'filter', 'exists_one'].map(name => [name, 'write exists or all'] as const),
  ...['int', 'uint', 'double', 'string', 'bytes', 'bool', 'dyn', 'type'].map(name => [name, 'compare without conversion'] as const),
  ...['timestamp', 'duration', 'now', 'getHours', 'getDayOfWeek', 'getDate', 'getMonth', 'getFullYear'].map(
    name => [name, 'write when.time, from or until'] as const,
  ),
])

const unknown = (node: Syntax, name: string, job: Job): null => {
  const offer = instead.get(name) ?? `known: ${known.join(', ')}`
  const guess = instead.has(name) ? null : job.env.nearest(name, known)
  return reject(job, node, 504, `${clip(name)}() is not in the language; ${guess ? `write ${guess}` : offer}.`)
}

const wrongUse = (node: Syntax, job: Job, usage: string): null =>
  reject(job, node, 504, `this call is not in the language; write ${usage}.`)

/** The parser passes over `size(a,)`, which is not CEL. */
const endsInComma = (node: Syntax, args: readonly Syntax[], job: Job): boolean => {
  const rest = job.text.slice(args.at(-1)?.end ?? node.end, node.end).replaceAll(/\/\/.*/g, '')
  if (!/,\s*\)$/.test(rest)) return false
  reject(job, node.end - 1, 501, '")" follows a comma; remove the comma.')
  return true
}

/** `name(...)` */
export const call = (node: Syntax, name: string, args: readonly Syntax[], job: Job, local: Local | null): Typed | null => {
  if (endsInComma(node, args, job)) return null
  const [first, second] = args
  if (name === 'has') return has(node, args, job)
  if (name === 'size') return first && args.length === 1 ? size(node, first, job, local) : wrongUse(node, job, 'size(list)')
  if (name === 'glob' || name === 're')
    return first && second && args.length === 2
      ? pattern(node, name, first, second, job, local)
      : wrongUse(node, job, name === 'glob' ? "glob(text, 'lit*')" : "re(text, '[a-z]+')")
  if (name === 'exists' || name === 'all') return wrongUse(node, job, `list.${name}(item, condition)`)
  if (name === 'startsWith' || name === 'endsWith' || name === 'contains') return wrongUse(node, job, `text.${name}(part)`)
  return unknown(node, name, job)
}

type MethodParts = readonly [name: string, receiver: Syntax, args: readonly Syntax[]]

/** `receiver.name(...)` */
export const method = (node: Syntax, [name, receiver, args]: MethodParts, job: Job, local: Local | null): Typed | null => {
  if (endsInComma(node, args, job)) return null
  const [first, second] = args
  switch (name) {
    case 'size':
      return args.length === 0 ? size(node, receiver, job, local) : wrongUse(node, job, 'size(list)')
    case 'startsWith':
    case 'endsWith':
    case 'contains':
      return first && args.length === 1 ? text(node, name, receiver, first, job, local) : wrongUse(node, job, `text.${name}(part)`)
    case 'exists':
    case 'all':
      return first && second && args.length === 2
        ? loop(node, name, receiver, [first, second], job, local)
        : wrongUse(node, job, `list.${name}(item, condition)`)
    case 'has':
    case 'glob':
    case 're':
      return wrongUse(node, job, name === 'has' ? 'has(claims.region)' : `${name}(text, 'pattern')`)
    default:
      return unknown(node, name, job)
  }
}

const has = (node: Syntax, [of, second]: readonly Syntax[], job: Job): Typed | null => {
  if (of?.op === '.' && second === undefined) {
    const [base, key] = of.args
    const holder = holderOf(base)
    if (holder !== null) return presence(node, holder, key, of.pos, job)
    if (base.op === 'id' && !reserved.includes(base.args)) return named(base, base.args, job, null)
  }
  // CEL knows has() of a field only.
  const holder = of?.op === '[]' ? holderOf(of.args[0]) : null
  return wrongUse(node, job, holder === null ? 'has(claims.region), with claims, query or header' : `'name' in ${holder}`)
}

const size = (node: Syntax, of: Syntax, job: Job, local: Local | null): Typed | null => {
  const value = job.convert(of, job, local)
  if (!value) return null
  const { type } = value.expr
  if (type === 'number' || type === 'bool')
    return reject(job, of, 503, `size() counts characters or items, but here stands ${typeNames[type]}; remove it.`)
  return typed({ kind: 'size', of: value.expr, type: 'number', ...spanOf(node) }, true)
}

const isText = ({ expr }: Typed, job: Job, what: string): boolean => {
  if (expr.type === 'string') return true
  const offer = expr.type.startsWith('list') ? 'write item in list, or list.exists(item, ...)' : 'compare with ==, < or >'
  reject(job, expr.from, 503, `${what} text, but here stands ${typeNames[expr.type]}; ${offer}.`)
  return false
}

type TextOp = 'startsWith' | 'endsWith' | 'contains'

const text = (node: Syntax, op: TextOp, of: Syntax, arg: Syntax, job: Job, local: Local | null): Typed | null => {
  const [subject, part] = [job.convert(of, job, local), job.convert(arg, job, local)]
  if (!subject || !part) return null
  const fits = [isText(subject, job, `${op}() asks`), isText(part, job, `${op}() takes`)]
  return fits.includes(false) ? null : typed({ kind: 'text', op, subject: subject.expr, part: part.expr, type: 'bool', ...spanOf(node) })
}

/** Texts of the greatest length that the items of one list in a token have room for. */
const itemTexts = 16

const pattern = (node: Syntax, op: 'glob' | 're', of: Syntax, arg: Syntax, job: Job, local: Local | null): Typed | null => {
  const subject = job.convert(of, job, local)
  if (arg.op !== 'value' || typeof arg.args !== 'string')
    return reject(job, arg, 506, `the pattern of ${op}() is not written out; write ${op}(text, '${op === 'glob' ? 'lit*' : '[a-z]+'}').`)
  const written = job.convert(arg, job, local)
  if (!subject || !written || !isText(subject, job, `${op}() asks`)) return null
  const wrong =
    arg.args.length > maxPattern
      ? `the pattern has ${arg.args.length} characters; at most ${maxPattern} are read. Write two conditions.`
      : op === 're'
        ? patternProblem(arg.args, local === null ? 1 : subject.expr.kind === 'local' ? itemTexts : maxItems, job.env.afford)
        : null
  if (wrong !== null) return reject(job, arg, 506, wrong)
  return typed({ kind: 'pattern', op, subject: subject.expr, pattern: arg.args, type: 'bool', ...spanOf(node) })
}

const loop = (node: Syntax, op: 'exists' | 'all', of: Syntax, [item, body]: readonly [Syntax, Syntax], job: Job, local: Local | null) => {
  if (local) return reject(job, node, 504, 'a loop in a loop is not in the language; compare with a list: item in [a, b].')
  if (++job.loops > 1) return reject(job, node, 504, 'this is the second loop; write one, or a rule of its own for the other.')
  const list = job.convert(of, job, null)
  if (item.op !== 'id') return wrongUse(item, job, `list.${op}(item, condition)`)
  if (reserved.includes(item.args))
    return reject(job, item, 504, `"${item.args}" means something already; write another name for the item.`)
  const large = sizeProblem(body, 'body')
  if (large) return reject(job, large.at, large.number, large.message)
  if (!list) return null
  const { type } = list.expr
  if (type !== 'list<string>' && type !== 'list<number>')
    return reject(job, of, 503, `${op}() asks the items of a list, but here stands ${typeNames[type]}; write the condition without it.`)
  const inner: Local = { name: item.args, type: type === 'list<string>' ? 'string' : 'number', whole: list.whole }
  const condition = job.convert(body, job, inner)
  if (!condition || !isBool(condition, job, `${op}() asks`)) return null
  return typed({ kind: 'loop', op, list: list.expr, name: item.args, body: condition.expr, type: 'bool', ...spanOf(node) })
}
