import { bad, fail, oneOrMany, type Shape, text } from '../../config/shape.ts'
import { type Method, methods } from '../../model/exchange.ts'
import { Ambiguous, canonicalPath } from '../../model/target.ts'

export type Segment = { readonly literal: string } | { readonly variable: string }

/** One `to` line: `GET HEAD /v1/invoices/{invoice}`. */
export interface RouteLine {
  readonly methods: readonly Method[]
  readonly segments: readonly Segment[]
  /** Ends in `/**`: zero or more further segments. */
  readonly rest: boolean
}

class Fault {
  readonly number: number
  readonly message: string
  constructor(number: number, message: string) {
    this.number = number
    this.message = message
  }
}

const maxLength = 512
const maxSegments = 32

export const parseMethods = (words: readonly string[]): readonly Method[] | Fault => {
  if (words.length === 1 && words[0] === 'ANY') return methods
  const found: Method[] = []
  for (const word of words) {
    const method = methods.find(known => known === word)
    if (word === 'ANY') return new Fault(301, 'ANY stands alone; remove the other methods.')
    if (method === undefined) return new Fault(301, `"${word}" is not a method here; write ${methodsMeant(word)}.`)
    if (found.includes(method)) return new Fault(301, `${method} stands here twice; remove one.`)
    found.push(method)
  }
  return found
}

const methodsMeant = (word: string): string => {
  if (word === '*' || word.toUpperCase() === 'ALL') return 'ANY for every method'
  const parts = word.split(/[^A-Za-z]+/).filter(part => part !== '')
  const meant = parts.flatMap(part => methods.find(known => known === part.toUpperCase()) ?? [])
  if (meant.length === 0 || meant.length < parts.length) return `one of ${methods.join(' ')}, or ANY`
  return `${meant.join(' ')}${meant.length > 1 ? ', with single blanks between' : ''}`
}

export const parseLine = (line: string): RouteLine | Fault => {
  const words = line.split(' ')
  const path = words.pop() ?? ''
  if (words.includes('') || path === '')
    return new Fault(301, `"${line}" has more than one blank in a row or at an end; write single blanks.`)
  if (words.length === 0) return new Fault(301, incomplete(line))
  const found = parseMethods(words)
  if (found instanceof Fault) return found
  const pattern = parsePattern(path)
  return pattern instanceof Fault ? pattern : { methods: found, ...pattern }
}

const incomplete = (line: string): string => {
  if (line.startsWith('/')) return `"${line}" names no method; write for example GET ${line}.`
  const method = ['ANY', ...methods].find(known => known === line.toUpperCase())
  return method === undefined
    ? `"${line}" is no method and path; write for example GET /v1/invoices.`
    : `"${line}" names no path; write all methods of a line and then the path: ${method === 'HEAD' ? 'GET HEAD' : method} /v1/invoices.`
}

const parsePattern = (path: string): Omit<RouteLine, 'methods'> | Fault => {
  if (!path.startsWith('/')) return new Fault(302, `"${path}" is not a path; begin it with "/".`)
  if (path.length > maxLength) return new Fault(302, `the path has ${path.length} characters; at most ${maxLength} are read.`)
  if (path.includes('?') || path.includes('#'))
    return new Fault(302, `"${path}" has a query or fragment; write the path only, and constrain parameters under when.query.`)
  const parts = path === '/' ? [] : path.slice(1).split('/')
  if (parts.length > maxSegments) return new Fault(302, `the path has ${parts.length} segments; at most ${maxSegments} are read.`)
  const rest = parts.at(-1) === '**'
  if (rest) parts.pop()
  const segments: Segment[] = []
  const seen = new Set<string>()
  for (const [index, part] of parts.entries()) {
    const segment = parseSegment(part, index === parts.length - 1 && !rest)
    if (segment instanceof Fault) return segment
    if ('variable' in segment) {
      if (seen.has(segment.variable))
        return new Fault(303, `{${segment.variable}} stands in the path twice; give each segment its own name.`)
      seen.add(segment.variable)
    }
    segments.push(segment)
  }
  return { segments, rest }
}

const advice = 'write {name} for one segment or end with /**'

const parseSegment = (part: string, last: boolean): Segment | Fault => {
  const braced = /^\{([^{}]*)\}$/.exec(part)
  if (braced) {
    const name = braced[1] ?? ''
    if (/^[a-z][a-z0-9_]{0,31}$/.test(name)) return { variable: name }
    return new Fault(303, `{${name}} is not a path variable; write up to 32 of a-z, 0-9 and "_", beginning with a letter: {invoice}.`)
  }
  if (part === '**') return new Fault(302, '"**" stands before the end; it may only be the last segment.')
  if (/[*{}]/.test(part)) return new Fault(302, `"${part}" matches a part of a segment, which is not in the language; ${advice}.`)
  // Other routers read this as a variable: as a literal, a deny would match nothing that anybody sends.
  const [, named] = /^:([A-Za-z_]\w*)$/.exec(part) ?? []
  if (named !== undefined) return new Fault(302, `"${part}" is no path variable here; write {${named.toLowerCase()}}.`)
  if (part === '') return last ? { literal: '' } : new Fault(302, 'the path has an empty segment ("//"); remove one "/".')
  const canonical = canonicalPath(`/${part}`)
  if (canonical instanceof Ambiguous) return new Fault(302, unreadable(part, canonical.why))
  return { literal: canonical.slice(1) }
}

const unreadable = (part: string, why: string): string => {
  const encoded = encodeURI(part)
  const offer =
    encoded !== part && !(canonicalPath(`/${encoded}`) instanceof Ambiguous)
      ? `write "${encoded}"`
      : 'no request with it reaches the policy; remove it'
  return `"${part}" has ${why}; ${offer}.`
}

const line: Shape<RouteLine> = {
  schema: {
    type: 'string',
    description: 'METHOD [METHOD...] /path, with {name} for one segment and a final /** for the rest.',
    // Editors mark what the reader refuses; of what is percent-encoded only the reader judges.
    pattern: `^(ANY|(${methods.join('|')})( (${methods.join('|')}))*) /(((?!(:[A-Za-z_]\\w*|\\.{1,2})(/|$))[^\\s/*{}?#;\\\\]+|\\{[a-z][a-z0-9_]{0,31}\\})(/|$))*(\\*\\*)?$`,
  },
  read(node, at) {
    const value = text('METHOD /path, such as GET /v1/invoices/{invoice}').read(node, at)
    if (value === bad) return bad
    const parsed = parseLine(value)
    return parsed instanceof Fault ? fail(at, node, parsed.number, parsed.message) : parsed
  },
}

export const linesShape = oneOrMany(line, { max: 32 })
