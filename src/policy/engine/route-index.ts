import type { Method } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import type { RouteLine } from '../language/pattern.ts'

/** Rules that end here, in file order, and where the next segment leads. Plain data: same rules, same index. */
interface TrieNode {
  literals: Map<string, TrieNode> | null
  variable: TrieNode | null
  /** Rules whose pattern ends with this segment. */
  readonly exact: number[]
  /** Rules whose pattern ends here in `/**`. */
  readonly rest: number[]
}

/** Method, then segment by segment: the cost of a decision follows the rules on a route, not the rules in the file. */
export interface RouteIndex {
  readonly roots: Map<Method, TrieNode>
  /** Denies: one trailing `/` is ignored in pattern and path, so that `/admin/` cannot slip past a deny on `/admin`. */
  readonly ignoreSlash: boolean
}

const node = (): TrieNode => ({ literals: null, variable: null, exact: [], rest: [] })

const childOf = <K>(children: Map<K, TrieNode>, key: K): TrieNode => {
  const known = children.get(key)
  if (known !== undefined) return known
  const child = node()
  children.set(key, child)
  return child
}

export const emptyIndex = (ignoreSlash: boolean): RouteIndex => ({ roots: new Map(), ignoreSlash })

/** Rules are added in file order, so that ascending numbers are file order. */
export const addRoutes = ({ roots, ignoreSlash }: RouteIndex, lines: readonly RouteLine[], number: number): void => {
  for (const line of lines) for (const method of line.methods) insert(childOf(roots, method), line, number, ignoreSlash)
}

const insert = (root: TrieNode, line: RouteLine, number: number, ignoreSlash: boolean): void => {
  let at = root
  const last = line.segments.length - 1
  for (const [index, segment] of line.segments.entries()) {
    if ('literal' in segment) {
      if (ignoreSlash && index === last && segment.literal === '') break
      at.literals ??= new Map()
      at = childOf(at.literals, decodeSegment(segment.literal))
    } else {
      at.variable ??= node()
      at = at.variable
    }
  }
  const leaf = line.rest ? at.rest : at.exact
  // Two lines of one rule may be the same pattern.
  if (leaf.at(-1) !== number) leaf.push(number)
}

const nothing: readonly number[] = []

/** Numbers of the rules whose method and path fit, ascending. `path` is canonical. */
export const candidates = (index: RouteIndex, method: Method, path: string): readonly number[] => {
  const root = index.roots.get(method)
  if (root === undefined) return nothing
  const end = index.ignoreSlash && path.length > 1 && path.charCodeAt(path.length - 1) === 0x2f ? path.length - 1 : path.length
  const leaves: (readonly number[])[] = []
  collect(root, path, 1, end, leaves)
  const [only] = leaves
  if (only === undefined) return nothing
  return leaves.length === 1 ? only : merged(leaves)
}

/** `from` is where the next segment starts; past `end` there is none. */
const collect = (at: TrieNode, path: string, from: number, end: number, leaves: (readonly number[])[]): void => {
  if (at.rest.length > 0) leaves.push(at.rest)
  // The root path "/" has no segment; "/a/" has a second, empty one.
  if (from > end || (from === 1 && end === 1)) {
    if (at.exact.length > 0) leaves.push(at.exact)
    return
  }
  if (at.literals === null && at.variable === null) return
  const slash = path.indexOf('/', from)
  const to = slash < 0 || slash > end ? end : slash
  // `%40private` and `@private` are one name to every backend that decodes, so they are one name here.
  const literal = at.literals?.get(decodeSegment(path.slice(from, to)))
  if (literal !== undefined) collect(literal, path, to + 1, end, leaves)
  if (at.variable !== null && to > from) collect(at.variable, path, to + 1, end, leaves)
}

const merged = (leaves: readonly (readonly number[])[]): readonly number[] => {
  const all = leaves.flat().sort((a, b) => a - b)
  return all.filter((number, i) => number !== all[i - 1])
}
