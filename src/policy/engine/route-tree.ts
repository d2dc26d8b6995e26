import type { Steps } from '../../config/steps.ts'
import { methods } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import type { RouteLine } from '../language/pattern.ts'
import { allowExact, allowRest, bitOf, denyExact, denyRest, type Kind, nodesAt, type RouteTable } from './route-index.ts'

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
  /** Callers that the rule names, as places in `CallerBits.tests`. */
  readonly who: readonly number[]
}

/** Builds a table; rules of one effect are added in file order. */
export class RouteTree {
  readonly #root = branch()
  readonly #callers: Record<Routed['effect'], (readonly number[])[]> = { deny: [], allow: [] }

  /** Gives the rule its number among those of its effect. */
  add({ effect, to, who }: Routed): void {
    const number = this.#callers[effect].push(who) - 1
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
    const nodes: number[] = []
    const children: number[] = []
    const text: number[] = []
    const lists: number[] = [0]
    const queue: Branch[] = [this.#root]
    // Breadth first: the children of a node stand side by side.
    for (let i = 0; i < queue.length; i++) {
      const { literals, variable, endings } = queue[i] ?? branch()
      nodes.push(children.length / 3, literals?.size ?? 0, variable === null ? 0 : queue.push(variable) - 1, listsOf(endings, lists))
      for (const [literal, child] of [...(literals ?? [])].sort(([a], [b]) => a.length - b.length || fromLast(a, b))) {
        children.push(literal.length, text.length * 2, queue.push(child) - 1)
        for (let k = 0; k < literal.length; k += 2) text.push(literal.charCodeAt(k) | ((literal.charCodeAt(k + 1) || 0) << 16))
      }
      yield
    }
    const head = [nodesAt + nodes.length]
    for (const part of [children, text, lists]) head.push((head.at(-1) ?? 0) + part.length)
    const denies = this.#places('deny', head.at(-1) ?? 0)
    head.push((head.at(-1) ?? 0) + denies.length)
    return Int32Array.from([head, nodes, children, text, lists, denies, this.#places('allow', head.at(-1) ?? 0)].flat())
  }

  /** Where the callers of each rule begin, and of the last end; then the callers. */
  #places(effect: Routed['effect'], from: number): number[] {
    const callers = this.#callers[effect]
    let next = from + callers.length + 1
    const places = callers.map(who => {
      next += who.length
      return next - who.length
    })
    return [...places, next, ...callers.flat()]
  }
}

/** The order of two texts of one length by their last difference. */
const fromLast = (a: string, b: string): number => {
  for (let i = a.length - 1; i >= 0; i--) {
    const order = a.charCodeAt(i) - b.charCodeAt(i)
    if (order !== 0) return order
  }
  return 0
}

/** Writes the lists of one node and gives their place; 0: it has none. */
const listsOf = (endings: Branch['endings'], lists: number[]): number => {
  if (endings === null) return 0
  const place = lists.length
  for (const list of Object.values(endings)) {
    // A rule that names no callers stands under none of them, and a deny that is not found refuses nobody.
    if (list.length <= most || list.some(({ who }) => who.length === 0)) lists.push(list.length, ...list.map(packed))
    else byCallers(list, lists)
  }
  return place
}

const packed = ({ number, methods: bits }: Ending): number => (number << methods.length) | bits

const byCallers = (list: readonly Ending[], lists: number[]): void => {
  const groups = new Map<number, number[]>()
  for (const ending of list)
    for (const caller of new Set(ending.who)) {
      const group = groups.get(caller)
      if (group === undefined) groups.set(caller, [packed(ending)])
      else group.push(packed(ending))
    }
  lists.push(-groups.size)
  for (const [caller, group] of groups) {
    lists.push(caller, group.length)
    for (const one of group) lists.push(one)
  }
}
