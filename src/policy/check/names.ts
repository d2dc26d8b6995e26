import type { CheckType, Holder } from './ast.ts'
import { examples, holders, type Job, type Local, reject, reserved, spanOf, type Typed, typed, typeNames } from './job.ts'
import { clip, type Syntax } from './syntax.ts'

/** A name that stands alone. */
export const name = (node: Syntax, found: string, job: Job, local: Local | null): Typed | null => {
  const span = spanOf(node)
  if (local?.name === found) return typed({ kind: 'local', name: found, type: local.type, ...span }, local.whole)
  if (found === 'scopes') return typed({ kind: 'fact', name: found, type: 'list<string>', ...span })
  if (found === 'method' || found === 'subject') return typed({ kind: 'fact', name: found, type: 'string', ...span })
  const holder = holderOf(node)
  if (holder !== null)
    return reject(job, node, 504, `${holder} alone is no value; write the name of what you mean: ${holder}.${examples[holder]}.`)
  const known = local ? [...reserved, local.name] : reserved
  const guess = job.env.nearest(found, known)
  return reject(job, node, 502, `"${clip(found)}" is not known. ${guess ? `Write ${guess}` : `Known: ${known.join(', ')}`}.`)
}

export const holderOf = (node: Syntax): Holder | null => (node.op === 'id' ? (holders.find(holder => holder === node.args) ?? null) : null)

/** `claims.region` */
export const field = (node: Syntax, of: Syntax, key: string, job: Job, local: Local | null): Typed | null => {
  const holder = holderOf(of)
  if (holder !== null) return reading(node, holder, key, node.pos, job)
  const inner = job.convert(of, job, local)
  return inner && reject(job, node.pos, 504, `${typeNames[inner.expr.type]} has no field "${clip(key)}"; remove it.`)
}

/** `claims['region']` */
export const index = (node: Syntax, of: Syntax, key: Syntax, job: Job): Typed | null => {
  const holder = holderOf(of)
  if (holder === null)
    return reject(job, node, 504, 'picking one item of a list is not in the language; write x in list, or list.exists(...).')
  if (key.op !== 'value' || typeof key.args !== 'string')
    return reject(job, key, 504, `the name in ${holder}[...] is not written out; write ${holder}['${examples[holder]}'].`)
  return reading(node, holder, key.args, key.start, job)
}

const reading = (node: Syntax, of: Holder, key: string, at: number, job: Job): Typed | null => {
  const type = typeOf(of, key, at, job)
  return type && typed({ kind: 'read', of, name: key, type, ...spanOf(node) })
}

/** `has(claims.x)` and `'x' in header`: whether something is there. */
export const presence = (node: Syntax, of: Holder, key: string, at: number, job: Job): Typed | null => {
  if (typeOf(of, key, at, job) === null) return null
  if (of === 'path') return reject(job, node, 504, `path.${key} is always there; remove the question.`)
  return typed({ kind: 'has', of, name: key, type: 'bool', ...spanOf(node) })
}

/** Type of what a name holds. Null: there is no such name, or its declaration is wrong. */
const typeOf = (of: Holder, key: string, at: number, job: Job): CheckType | null => {
  if (of === 'claims') return claimType(key, at, job)
  if (of === 'path') return pathType(key, at, job)
  const wrong = job.env.nameProblem(of, key)
  return wrong === null ? 'string' : reject(job, at, 502, wrong)
}

const claimType = (key: string, at: number, job: Job): CheckType | null => {
  const { claims, nearest } = job.env
  const claim = claims.get(key)
  if (claim !== undefined) return claim?.type ?? null
  const guess = nearest(key, claims.keys())
  const offer = guess ? `Write claims.${guess}, or declare` : 'Declare'
  return reject(job, at, 502, `"${clip(key)}" is not declared under claims. ${offer} it: "${clip(key)}: string".`)
}

const pathType = (key: string, at: number, job: Job): CheckType | null => {
  if (job.env.path === null) return null
  const { every, some } = job.env.path
  if (every.includes(key)) return 'string'
  if (some.includes(key))
    return reject(job, at, 502, `{${key}} does not stand in every "to" line. Write a rule of its own for the lines without it.`)
  const guess = job.env.nearest(key, every)
  const offer = guess
    ? `Write path.${guess}.`
    : every.length > 0
      ? `Known: ${every.join(', ')}.`
      : `Write {${clip(key)}} as a segment there.`
  return reject(job, at, 502, `"${clip(key)}" is no variable of the "to" lines. ${offer}`)
}
