import { parseRange, type Range } from '../../config/address.ts'
import { type Bad, bad, type Context, fail, type Shape, text, Wrong } from '../../config/shape.ts'
import type { Node } from '../../config/source.ts'
import { unknownName } from '../language/names.ts'
import { parseLine, type RouteLine } from '../language/pattern.ts'
import type { Scope, Spot } from '../language/scope.ts'
import { anyone } from '../language/who.ts'

/** What no request may ever be allowed: read like a deny, so agents of these persons count, and so does whoever cannot be told. */
export interface Never {
  readonly text: string
  readonly who: string
  readonly line: RouteLine
  /** Requests that are not meant; null: all are. An unknown address is no exception. */
  readonly unless: { readonly key: 'ip-in' | 'ip-not-in'; readonly ranges: readonly Range[] } | null
  readonly spot: Spot
}

const advice = 'write who, methods and a path, and where some addresses are not meant "unless ip-in [10.0.0.0/8]": contractors ANY /v1/**'
/** Behind what is wrong with the methods or the path, for it may be the order that is wrong. */
const form = 'The whole line is who, methods and a path: contractors ANY /v1/**.'
const maxRanges = 256

/** Reads one entry of `never`: `<who> <METHOD...> <path> [unless <ip-in or ip-not-in> [list]]` */
export const neverShape = (scope: Scope): Shape<Never> => ({
  schema: { type: 'string', pattern: '^\\S+ [A-Z]+( [A-Z]+)* /\\S*( unless ip-(not-)?in \\[.*\\])?$' },
  read(node, at) {
    const value = text('who, methods and a path, such as contractors ANY /v1/**').read(node, at)
    if (value === bad) return bad
    const [, who, route, rest] = /^(\S+) (.+?)(?: unless(?: (.*))?)?$/.exec(value) ?? []
    if (who === undefined || route === undefined) return fail(at, node, 203, `"${value}" says not what must never be; ${advice}.`)
    const line = parseLine(route)
    if ('number' in line) return wrong(at, node, value.indexOf(route), line.number, `${line.message} ${form}`)
    const fault = callerFault(who, scope, at)
    if (fault !== null) return wrong(at, node, 0, fault.number, fault.message)
    const unless = value === `${who} ${route}` ? null : readUnless(rest ?? '', node, at, value.length - (rest ?? '').length)
    return unless === bad ? bad : { text: value, who, line, unless, spot: at.source.position(node.offset) }
  },
})

const callerFault = (who: string, scope: Scope, at: Context): { readonly number: number; readonly message: string } | null => {
  if (who === anyone) return null
  if (!scope.who.has(who)) return { number: 207, message: unknownName(at.source, who, 'who of the policy', scope.who, [anyone]) }
  if (!scope.bounded.has(who)) return null
  return {
    number: 402,
    message: `"${who}" has max-hops, so an agent with one more hop would not be meant. Name agents without max-hops here.`,
  }
}

const readUnless = (rest: string, node: Node, at: Context, index: number): Never['unless'] | Bad => {
  const [, key, list] = /^(ip-in|ip-not-in) \[([^[\]]*)\]$/.exec(rest) ?? []
  if (list === undefined)
    return wrong(at, node, index, 203, `"${rest}" is no exception; write unless ip-in [10.0.0.0/8, 198.51.100.7], or ip-not-in.`)
  const texts = list.split(',').map(one => one.trim())
  if (texts.length > maxRanges) return wrong(at, node, index, 110, `${texts.length} addresses stand here; at most ${maxRanges} are read.`)
  const ranges: Range[] = []
  for (const one of texts) {
    const range = parseRange(one)
    if (range instanceof Wrong) return wrong(at, node, index, 304, range.message)
    ranges.push(range)
  }
  return { key: key === 'ip-in' ? 'ip-in' : 'ip-not-in', ranges }
}

/** `index` counts from the start of the text. */
const wrong = (at: Context, node: Node, index: number, number: number, message: string): Bad => {
  const quote = node.kind === 'scalar' && node.quoted ? 1 : 0
  at.source.error(node.offset + quote + index, number, message)
  return bad
}
