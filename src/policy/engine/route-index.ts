import type { Steps } from '../../config/steps.ts'
import { type Method, methods } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import type { RouteLine } from '../language/pattern.ts'
import { either, no, type Tri, yes } from '../language/tri.ts'
import { type CallerBits, holds } from './callers.ts'

/** Which rules of a policy end at one node; the order of the lists of one node. */
const [denyExact, denyRest, allowExact, allowRest] = [0, 1, 2, 3] as const
type Kind = 0 | 1 | 2 | 3
const kinds = 4

/** Above so many rules on one spot they are found by their callers, unless one names none: it would be lost, and a lost deny refuses nobody. */
const most = 16

interface Ending {
  readonly number: number
  methods: number
  /** Indexes of the callers that the rule names. */
  readonly who: readonly number[]
}

interface Branch {
  readonly literals: Map<string, Branch>
  variable: Branch | null
  readonly endings: Record<Kind, Ending[]>
}

/**
 * Segment by segment, methods beside the rules: the cost of a decision follows the rules on a route, not the rules in the file. One block of
 * numbers instead of objects: among a thousand tenants, every object on the way would be a wait for memory.
 *
 * From 0: places of the children, the text, the lists, the callers of denies and of allows. Then the nodes, four numbers each: first literal child,
 * how many, child for a variable, its lists; the first is the root, and no child. A literal child is three numbers: length, place in the text, node;
 * ordered by length, then by characters, of which two stand in a number. Lists are by kind: how many rules, then each as `number << 7 | methods`;
 * where there are many, minus the number of their callers, and for each the caller and its rules. Callers are, for each rule, where its own begin.
 */
export type RouteTable = Int32Array

const [childrenAt, textAt, listsAt, callersOfDenies, callersOfAllows, nodesAt] = [0, 1, 2, 3, 4, 5] as const

/** The rules of one effect in a table of both. */
export interface RouteIndex {
  readonly effect: 'allow' | 'deny'
  readonly table: RouteTable
}

const branch = (): Branch => ({ literals: new Map(), variable: null, endings: { 0: [], 1: [], 2: [], 3: [] } })

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
      nodes.push(children.length / 3, literals.size, variable === null ? 0 : queue.push(variable) - 1, listsOf(endings, lists))
      for (const [literal, child] of [...literals].sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1))) {
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

const bitOf = (method: Method): number => 1 << methods.indexOf(method)

/** Writes the lists of one node and gives their place; 0: it has none. */
const listsOf = (endings: Branch['endings'], lists: number[]): number => {
  const all = Object.values(endings)
  if (all.every(list => list.length === 0)) return 0
  const place = lists.length
  for (const list of all) {
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

/** Whether one of the callers that a rule names holds. */
export const named = ({ effect, table }: RouteIndex, number: number, bits: CallerBits): Tri => {
  const at = (table[effect === 'deny' ? callersOfDenies : callersOfAllows] ?? 0) + number
  const end = table[at + 1] ?? 0
  let out: Tri = no
  for (let i = table[at] ?? 0; i < end && out !== yes; i++) out = either(out, holds(bits, table[i] ?? -1))
  return out
}

/** Rules whose method and path fit, by effect, ascending. Rules that name only other callers may be left out. */
export class Candidates {
  readonly denies: number[] = []
  readonly allows: number[] = []
  readonly #table: RouteTable
  readonly #method: number
  readonly #path: string
  readonly #bits: CallerBits | null

  /** `path` is canonical; without `bits` it is nobody who asks, and every rule counts. */
  constructor(table: RouteTable, method: Method, path: string, bits: CallerBits | null) {
    this.#table = table
    this.#method = bitOf(method)
    this.#path = path
    this.#bits = bits
    this.#visit(0, 1)
    ascending(this.denies)
    ascending(this.allows)
  }

  /** `from` is where the next segment starts; past the end there is none. */
  #visit(node: number, from: number): void {
    const table = this.#table
    const path = this.#path
    const at = nodesAt + node * 4
    const lists = table[at + 3] ?? 0
    const end = path.length
    // The root path "/" has no segment; "/a/" has a second, empty one, which a deny does not look at.
    const isLast = from > end || (from === 1 && end === 1)
    if (lists !== 0) this.#collect((table[listsAt] ?? 0) + lists, isLast, from >= end)
    if (isLast) return
    const count = table[at + 1] ?? 0
    const variable = table[at + 2] ?? 0
    if (count === 0 && variable === 0) return
    const slash = path.indexOf('/', from)
    const to = slash < 0 ? end : slash
    if (count !== 0) {
      const child = this.#child(table[at] ?? 0, count, from, to)
      if (child !== 0) this.#visit(child, to + 1)
    }
    if (variable !== 0 && to > from) this.#visit(variable, to + 1)
  }

  #collect(place: number, isLast: boolean, isLastForDeny: boolean): void {
    let at = place
    for (let kind = 0; kind < kinds; kind++) {
      const deny = kind < allowExact
      const wanted = kind === denyExact ? isLastForDeny : kind === allowExact ? isLast : true
      at = this.#list(at, deny, wanted)
    }
  }

  /** Takes one list in, if it is wanted, and gives the place of the next. */
  #list(place: number, deny: boolean, wanted: boolean): number {
    const lists = this.#table
    const count = lists[place] ?? 0
    if (count >= 0) {
      const next = place + 1 + count
      if (wanted) this.#take(place + 1, next, deny)
      return next
    }
    let at = place + 1
    for (let left = -count; left > 0; left--) {
      const from = at + 2
      const next = from + (lists[at + 1] ?? 0)
      if (wanted && (this.#bits === null || holds(this.#bits, lists[at] ?? 0) !== no)) this.#take(from, next, deny)
      at = next
    }
    return at
  }

  #take(from: number, to: number, deny: boolean): void {
    const lists = this.#table
    const into = deny ? this.denies : this.allows
    for (let i = from; i < to; i++) {
      const one = lists[i] ?? 0
      if ((one & this.#method) !== 0) into.push(one >> methods.length)
    }
  }

  /** The child for the literal from `from` to `to`; 0: none. */
  #child(first: number, count: number, from: number, to: number): number {
    let text = this.#path
    let [start, end] = [from, to]
    // `%40private` and `@private` are one name to every backend that decodes, so they are one name here.
    for (let i = from; i < to; i++)
      if (text.charCodeAt(i) === 0x25) {
        text = decodeSegment(text.slice(from, to))
        ;[start, end] = [0, text.length]
        break
      }
    const table = this.#table
    const children = table[childrenAt] ?? 0
    let [low, high] = [first, first + count - 1]
    while (low <= high) {
      const middle = (low + high) >> 1
      const at = children + middle * 3
      const order = (table[at] ?? 0) - (end - start) || this.#compare(table[at + 1] ?? 0, text, start, end)
      if (order === 0) return table[at + 2] ?? 0
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return 0
  }

  #compare(place: number, text: string, start: number, end: number): number {
    const table = this.#table
    const own = table[textAt] ?? 0
    for (let i = start, k = place; i < end; i++, k++) {
      const order = (((table[own + (k >> 1)] ?? 0) >> ((k & 1) << 4)) & 0xffff) - text.charCodeAt(i)
      if (order !== 0) return order
    }
    return 0
  }
}

/** Numbers of the rules whose method and path fit, ascending. `path` is canonical. */
export const candidates = ({ effect, table }: RouteIndex, method: Method, path: string): readonly number[] => {
  const found = new Candidates(table, method, path, null)
  return effect === 'deny' ? found.denies : found.allows
}

/** Puts numbers of several spots into file order, each once. Mostly they are few, and in order already. */
const ascending = (numbers: number[]): void => {
  for (let i = 1; i < numbers.length; i++) {
    if ((numbers[i] ?? 0) > (numbers[i - 1] ?? 0)) continue
    const all = [...new Set(numbers)].sort((a, b) => a - b)
    numbers.length = 0
    for (const number of all) numbers.push(number)
    return
  }
}
