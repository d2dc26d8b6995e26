import type { Steps } from '../../config/steps.ts'
import { methods } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import type { RouteLine } from '../language/pattern.ts'
import { allowExact, allowRest, bitOf, childSize, denyExact, denyRest, type Kind, nodeSize, pair, type RouteTable } from './route-index.ts'

/** Above so many rules on one spot they are found by their callers. */
const most = 16

interface Ending {
  readonly number: number
  methods: number
  /** Indexes of the callers that the rule names. */
  readonly who: readonly number[]
}

interface Branch {
  literals: Map<string, Branch> | null
  variable: Branch | null
  endings: Record<Kind, Ending[]> | null
}

const branch = (): Branch => ({ literals: null, variable: null, endings: null })

export interface Routed {
  readonly effect: 'allow' | 'deny'
  readonly to: readonly RouteLine[]
  /** Callers that the rule names, as places in `CallerBits`. */
  readonly who: readonly number[]
}

/** Builds a table; rules of one effect are added in file order. */
export class RouteTree {
  readonly #root = branch()
  readonly #count: Record<Routed['effect'], number> = { deny: 0, allow: 0 }

  /** Gives the rule its number among those of its effect. */
  add({ effect, to, who }: Routed): void {
    const number = this.#count[effect]++
    for (const line of to) {
      const at = this.#end(line, effect === 'deny')
      at.endings ??= { 0: [], 1: [], 2: [], 3: [] }
      const list = at.endings[effect === 'deny' ? (line.rest ? denyRest : denyExact) : line.rest ? allowRest : allowExact]
      const bits = line.methods.reduce((all, method) => all | bitOf(method), 0)
      const last = list.at(-1)
      // Two lines of one rule may be the same pattern.
      if (last?.number === number) last.methods |= bits
      else list.push({ number, methods: bits, who })
    }
  }

  /** Denies: one trailing `/` is ignored in pattern and path, so that `/admin/` cannot slip past a deny on `/admin`. */
  #end({ segments }: RouteLine, ignoreSlash: boolean): Branch {
    let at = this.#root
    for (const [index, segment] of segments.entries()) {
      if ('literal' in segment) {
        if (ignoreSlash && index === segments.length - 1 && segment.literal === '') break
        const literal = decodeSegment(segment.literal)
        at.literals ??= new Map()
        const child = at.literals.get(literal) ?? branch()
        at.literals.set(literal, child)
        at = child
      } else {
        at.variable ??= branch()
        at = at.variable
      }
    }
    return at
  }

  *table(): Steps<RouteTable> {
    const table: number[] = []
    // Depth first: the way of a path lies together. `from` is where the parent wants to know the place.
    const stack: { readonly branch: Branch; readonly literal: string; readonly from: number | null }[] = [
      { branch: this.#root, literal: '', from: null },
    ]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { branch, literal, from } = next
      const text: number[] = []
      for (let last = literal.length - 3; last >= 0; last -= 2) text.push(pair(literal, 0, last))
      for (const one of text.reverse()) table.push(one)
      const node = table.length
      if (from !== null) table[from] = node
      const children = [...(branch.literals ?? [])].sort(([a], [b]) => a.length - b.length || fromLast(a, b))
      table.push(children.length, 0, 0)
      for (const [name] of children) table.push(name.length, pair(name, 0, name.length - 1), 0)
      table[node + 2] = listsOf(branch.endings, table)
      for (const [i, [name, child]] of children.entries())
        stack.push({ branch: child, literal: name, from: node + nodeSize + i * childSize + 2 })
      if (branch.variable !== null) stack.push({ branch: branch.variable, literal: '', from: node + 1 })
      yield
    }
    return Int32Array.from(table)
  }
}

/** The order of two texts of one length by their last difference. */
const fromLast = (a: string, b: string): number => {
  for (let last = a.length - 1; last >= 0; last -= 2) {
    const order = pair(a, 0, last) - pair(b, 0, last)
    if (order !== 0) return order
  }
  return 0
}

/** Writes the lists of one node and gives their place; 0: it has none. */
const listsOf = (endings: Branch['endings'], lists: number[]): number => {
  if (endings === null) return 0
  const all = Object.values(endings)
  const several = new Map<readonly number[], number>()
  for (const { who } of all.flat())
    if (who.length !== 1 && !several.has(who)) {
      several.set(who, -lists.length)
      lists.push(who.length, ...who)
    }
  const packed = ({ number, methods: bits, who }: Ending): number[] => [(number << methods.length) | bits, several.get(who) ?? who[0] ?? 0]
  const place = lists.length
  for (const list of all) {
    // A rule that names no callers stands under none of them, and a deny that is not found refuses nobody.
    if (list.length <= most || list.some(({ who }) => who.length === 0)) lists.push(list.length, ...list.flatMap(packed))
    else byCallers(list, packed, lists)
  }
  return place
}

const byCallers = (list: readonly Ending[], packed: (one: Ending) => readonly number[], lists: number[]): void => {
  const groups = new Map<number, (readonly number[])[]>()
  for (const ending of list)
    for (const caller of new Set(ending.who)) {
      const group = groups.get(caller)
      if (group === undefined) groups.set(caller, [packed(ending)])
      else group.push(packed(ending))
    }
  lists.push(-groups.size)
  for (const [caller, group] of groups) {
    lists.push(caller, group.length)
    for (const one of group) lists.push(...one)
  }
}
