import type { Problem } from './environment.ts'
import { partsOf, type Syntax } from './syntax.ts'

export const maxLength = 2000
const maxNodes = 200
const maxDepth = 16
const maxBody = 20
/** Items of a list that a loop looks at; a longer list is an error. */
export const maxItems = 256

/** Whether an expression, or the body of a loop, is too large. Walks without recursion: it bounds what recurses after it. */
export const sizeProblem = (root: Syntax, what: 'expression' | 'body'): Problem | null => {
  const most = what === 'body' ? maxBody : maxNodes
  const open: (readonly [node: Syntax, depth: number])[] = [[root, 1]]
  let nodes = 0
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [node, depth] = next
    if (depth > maxDepth)
      return { at: node.start, number: 507, message: `nested deeper than ${maxDepth} levels here; write the parts side by side.` }
    nodes++
    // `claims.region` is one thing to its reader.
    if ((node.op === '.' || node.op === '[]') && node.args[0].op === 'id') continue
    // As is `a && b && c`, however many there are.
    for (const part of partsOf(node)) open.push([part, isChained(node, part) ? depth : depth + 1])
  }
  if (nodes <= most) return null
  const advice = what === 'body' ? 'test less in the loop' : 'split the rule, or compare with a list: x in [a, b]'
  return {
    at: root.start,
    number: 507,
    message: `${what === 'body' ? 'the body of the loop' : 'the expression'} has ${nodes} parts; at most ${most} are read. Write less: ${advice}.`,
  }
}

const isChained = (node: Syntax, part: Syntax): boolean => node.op === part.op && (node.op === '&&' || node.op === '||' || node.op === '+')
