import { call, method } from './calls.ts'
import { type Job, type Local, reject, type Typed } from './job.ts'
import { field, index, name } from './names.ts'
import { compare, join, logic, not, within } from './operators.ts'
import type { Syntax } from './syntax.ts'
import { list, literal, negative } from './values.ts'

/** Reads one node of the parser's tree into ours, with its type. Null: something in it is wrong, and was said. */
export const convert = (node: Syntax, job: Job, local: Local | null): Typed | null => {
  switch (node.op) {
    case 'value':
      return literal(node, node.args, job)
    case 'id':
      return name(node, node.args, job, local)
    case '.':
      return field(node, node.args[0], node.args[1], job, local)
    case '[]':
      return index(node, node.args[0], node.args[1], job)
    case '!_':
      return not(node, node.args, job, local)
    case '-_':
      return negative(node, node.args, job)
    case '&&':
      return logic(node, 'and', node.args, job, local)
    case '||':
      return logic(node, 'or', node.args, job, local)
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return compare(node, node.op, node.args, job, local)
    case 'in':
      return within(node, node.args, job, local)
    case '+':
      return join(node, node.args, job, local)
    case 'list':
      return list(node, node.args, job, local)
    case 'call':
      return call(node, node.args[0], node.args[1], job, local)
    case 'rcall':
      return method(node, node.args, job, local)
    case '?:':
      return reject(job, node, 504, '"? :" is not in the language; write (a && b) || (!a && c).')
    case 'map':
      return reject(job, node, 504, 'a map is not in the language; compare with a list: x in [a, b].')
    default:
      return reject(job, node, 504, `arithmetic (${node.op}) is not in the language; write the result out.`)
  }
}
