import type { Expr } from './ast.ts'
import type { CheckEnvironment, Problem } from './environment.ts'
import { parts } from './walk.ts'

type Read = Extract<Expr, { kind: 'read' | 'has' }>

/** Names are data of the policy's author: a key of holder and name, never an object's member. */
const keyOf = ({ of, name }: Read): string => `${of}.${name}`

/** What must be there where an expression holds, and where it does not. */
interface Known {
  readonly held: ReadonlySet<string>
  readonly failed: ReadonlySet<string>
}

const nothing: Known = { held: new Set(), failed: new Set() }

/**
 * Reads of what may be absent, before anything has said that it is there. Read unguarded, an absent value would be an
 * error on every request without it: an allow that never matches, a deny that always does.
 */
export const unguarded = (root: Expr, env: CheckEnvironment): readonly Problem[] => {
  const problems: Problem[] = []
  const visit = (expr: Expr, there: ReadonlySet<string>): Known => {
    if (expr.kind === 'read' && mayBeAbsent(expr, env) && !there.has(keyOf(expr))) problems.push(problem(expr))
    if (expr.kind === 'has') return { held: new Set([keyOf(expr)]), failed: nothing.failed }
    if (expr.kind === 'not') {
      const { held, failed } = visit(expr.operand, there)
      return { held: failed, failed: held }
    }
    if (expr.kind === 'and' || expr.kind === 'or') {
      const left = visit(expr.left, there)
      const right = visit(expr.right, union(there, expr.kind === 'and' ? left.held : left.failed))
      return expr.kind === 'and'
        ? { held: union(left.held, right.held), failed: shared(left.failed, right.failed) }
        : { held: shared(left.held, right.held), failed: union(left.failed, right.failed) }
    }
    for (const part of parts(expr)) visit(part, there)
    return nothing
  }
  visit(root, nothing.held)
  return problems
}

const mayBeAbsent = ({ of, name }: Read, { claims }: CheckEnvironment): boolean =>
  of === 'query' || of === 'header' || (of === 'claims' && claims.get(name)?.optional === true)

const union = (a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> => (b.size === 0 ? a : new Set([...a, ...b]))
const shared = (a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> => new Set([...a].filter(key => b.has(key)))

const problem = (read: Read): Problem => {
  const { of, name } = read
  const plain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
  const guard = plain ? `has(${of}.${name})` : `'${name}' in ${of}`
  return {
    at: read.from,
    number: 505,
    message: `${plain ? `${of}.${name}` : `${of}['${name}']`} may be absent; write ${guard} && before it.`,
  }
}
