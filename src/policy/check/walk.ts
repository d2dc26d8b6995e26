import type { Check, Expr } from './ast.ts'

/** Direct parts of an expression, left to right. */
export const parts = (expr: Expr): readonly Expr[] => {
  switch (expr.kind) {
    case 'literal':
    case 'read':
    case 'fact':
    case 'local':
    case 'has':
      return []
    case 'list':
      return expr.items
    case 'not':
      return [expr.operand]
    case 'and':
    case 'or':
    case 'compare':
    case 'join':
      return [expr.left, expr.right]
    case 'in':
      return [expr.item, expr.list]
    case 'size':
      return [expr.of]
    case 'text':
      return [expr.subject, expr.part]
    case 'pattern':
      return [expr.subject]
    case 'loop':
      return [expr.list, expr.body]
  }
}

/** Everything that an expression reads or asks for, each name once, sorted. */
export const readsOf = (root: Expr): Check['reads'] => {
  const names = { claims: new Set<string>(), path: new Set<string>(), query: new Set<string>(), header: new Set<string>() }
  const facts = new Set<Check['reads']['facts'][number]>()
  const visit = (expr: Expr): void => {
    if (expr.kind === 'read' || expr.kind === 'has') names[expr.of].add(expr.name)
    if (expr.kind === 'fact') facts.add(expr.name)
    for (const part of parts(expr)) visit(part)
  }
  visit(root)
  const { claims, path, query, header } = names
  return {
    claims: [...claims].sort(),
    path: [...path].sort(),
    query: [...query].sort(),
    header: [...header].sort(),
    facts: [...facts].sort(),
  }
}
