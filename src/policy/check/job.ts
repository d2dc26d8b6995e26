import type { CheckType, Expr, Holder } from './ast.ts'
import type { CheckEnvironment, Problem } from './environment.ts'
import type { Syntax } from './syntax.ts'

/** An expression with its type. `whole`: a CEL int, or a list of them; numbers of claims are doubles, and CEL compares the two with `<` only. */
export interface Typed {
  readonly expr: Expr
  readonly whole: boolean
}

/** The variable of the loop around. */
export interface Local {
  readonly name: string
  readonly type: 'string' | 'number'
  readonly whole: boolean
}

/** One expression on its way from the parser's tree to ours. */
export interface Job {
  readonly env: CheckEnvironment
  readonly text: string
  readonly problems: Problem[]
  /** Reads a part. Null: something in it is wrong, and was said. */
  readonly convert: (node: Syntax, job: Job, local: Local | null) => Typed | null
  /** Loops read so far. */
  loops: number
}

export const holders: readonly Holder[] = ['claims', 'path', 'query', 'header']
/** Names that stand for themselves; a loop must not give them another meaning. */
export const reserved: readonly string[] = [...holders, 'method', 'subject', 'scopes']
export const examples: Readonly<Record<Holder, string>> = { claims: 'region', path: 'account', query: 'page', header: 'accept' }

export const typeNames: Readonly<Record<CheckType, string>> = {
  string: 'text',
  number: 'a number',
  bool: 'yes or no',
  'list<string>': 'a list of texts',
  'list<number>': 'a list of numbers',
}

export const reject = (job: Job, at: Syntax | number, number: number, message: string): null => {
  job.problems.push({ at: typeof at === 'number' ? at : at.start, number, message })
  return null
}

export const spanOf = (node: Syntax) => ({ from: node.start, to: node.end })
export const typed = (expr: Expr, whole = false): Typed => ({ expr, whole })

export const isBool = ({ expr }: Typed, job: Job, what: string): boolean => {
  if (expr.type === 'bool') return true
  reject(job, expr.from, 503, `${what} yes or no, but here stands ${typeNames[expr.type]}; compare it with something.`)
  return false
}

export type Sides = readonly [Syntax, Syntax]

/** Both sides, so that a fault of one does not hide the other's. */
export const bothSides = ([left, right]: Sides, job: Job, local: Local | null): readonly [Typed, Typed] | null => {
  const [a, b] = [job.convert(left, job, local), job.convert(right, job, local)]
  return a && b && [a, b]
}
