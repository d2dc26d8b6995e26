import { type Method, methods } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import { either, no, type Tri, unsure, yes } from '../language/tri.ts'
import type { CallerBits } from './callers.ts'

/** Which rules of a policy end at one node; the order of the lists of one node. */
export const [denyExact, denyRest, allowExact, allowRest] = [0, 1, 2, 3] as const
export type Kind = 0 | 1 | 2 | 3
const kinds = 4

/**
 * Segment by segment, methods beside the rules: the cost of a decision follows the rules on a route, not the rules in the file. One block of
 * numbers instead of objects, and what is read one after the other side by side: among a thousand tenants, every other place is a wait for memory.
 *
 * The root stands first, and places are counted from it. A node: how many literal children, place of the child for a variable, place of its lists (0: none); then its literal
 * children, each with its length, its last two characters and its place, ordered by these, then by the characters before (names that are counted up
 * differ at their ends). The rest of a child's text stands before it, towards the front by twos. Lists are by kind: how many rules, then each as
 * `number << 7 | methods` and its caller; where there are many, minus the number of their callers, and for each the caller, how many rules, and
 * these. A rule of several callers has minus the place of their list instead, which begins with how many they are.
 */
export type RouteTable = Int32Array

/** Numbers of a node before its literal children, and of each of these. */
export const nodeSize = 3
export const childSize = 3

/** Two characters as one number: that at `last`, and the one before unless it is before `start`. */
export const pair = (text: string, start: number, last: number): number =>
  last < start ? 0 : (text.charCodeAt(last) << 16) | (last > start ? text.charCodeAt(last - 1) : 0)

/** The rules of one effect in a table of both. */
export interface RouteIndex {
  readonly effect: 'allow' | 'deny'
  readonly table: RouteTable
}

export const bitOf = (method: Method): number => 1 << methods.indexOf(method)

/** A rule that covers a request and names its caller, or may do so: its number, and whether that is in doubt. */
export type Hit = number
const hit = (number: number, who: Tri): Hit => (number << 1) | (who === unsure ? 1 : 0)
export const ruleOf = (found: Hit): number => found >> 1
export const whoOf = (found: Hit): Tri => ((found & 1) === 1 ? unsure : yes)

/** Rules whose method and path fit and which may name the caller, by effect, ascending. */
export class Candidates {
  readonly denies: Hit[] = []
  readonly allows: Hit[] = []
  readonly #table: RouteTable
  readonly #root: number
  readonly #method: number
  readonly #path: string
  readonly #bits: CallerBits | null

  /** The policy's table begins at `root`; `path` is canonical; without `bits` every caller is meant. */
  constructor(table: RouteTable, root: number, method: Method, path: string, bits: CallerBits | null) {
    this.#table = table
    this.#root = root
    this.#method = bitOf(method)
    this.#path = path
    this.#bits = bits
    this.#visit(root, 1)
    ascending(this.denies)
    ascending(this.allows)
  }

  /** `from` is where the next segment starts; past the end there is none. */
  #visit(node: number, from: number): void {
    const table = this.#table
    const path = this.#path
    const lists = table[node + 2] ?? 0
    const end = path.length
    // The root path "/" has no segment; "/a/" has a second, empty one, which a deny does not look at.
    const isLast = from > end || (from === 1 && end === 1)
    if (lists !== 0) this.#collect(this.#root + lists, isLast, from >= end)
    if (isLast) return
    const count = table[node] ?? 0
    const variable = table[node + 1] ?? 0
    if (count === 0 && variable === 0) return
    const slash = path.indexOf('/', from)
    const to = slash < 0 ? end : slash
    if (count !== 0) {
      const child = this.#child(node + nodeSize, count, from, to)
      if (child !== 0) this.#visit(this.#root + child, to + 1)
    }
    if (variable !== 0 && to > from) this.#visit(this.#root + variable, to + 1)
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
      const next = place + 1 + 2 * count
      if (wanted) this.#take(place + 1, next, deny)
      return next
    }
    let at = place + 1
    for (let left = -count; left > 0; left--) {
      const from = at + 2
      const next = from + 2 * (lists[at + 1] ?? 0)
      if (wanted && this.#names(lists[at] ?? 0) !== no) this.#take(from, next, deny)
      at = next
    }
    return at
  }

  #take(from: number, to: number, deny: boolean): void {
    const lists = this.#table
    const into = deny ? this.denies : this.allows
    for (let i = from; i < to; i += 2) {
      const one = lists[i] ?? 0
      if ((one & this.#method) === 0) continue
      const who = this.#names(lists[i + 1] ?? 0)
      if (who !== no) into.push(hit(one >> methods.length, who))
    }
  }

  /** Whether the caller is meant: by one place in `CallerBits`, or one of several. */
  #names(caller: number): Tri {
    const bits = this.#bits
    if (bits === null) return yes
    if (caller >= 0) return bits.holds(caller)
    const lists = this.#table
    const at = this.#root - caller
    const end = at + 1 + (lists[at] ?? 0)
    let out: Tri = no
    for (let i = at + 1; i < end && out !== yes; i++) out = either(out, bits.holds(lists[i] ?? -1))
    return out
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
    const ending = pair(text, start, end - 1)
    let [low, high] = [0, count - 1]
    while (low <= high) {
      const middle = (low + high) >> 1
      const at = first + middle * childSize
      const child = table[at + 2] ?? 0
      const order = (table[at] ?? 0) - (end - start) || (table[at + 1] ?? 0) - ending || this.#compare(this.#root + child, text, start, end)
      if (order === 0) return child
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return 0
  }

  /** The text before a node, which is as long, with the characters before the last two. */
  #compare(node: number, text: string, start: number, end: number): number {
    const table = this.#table
    for (let last = end - 3, at = node - 1; last >= start; last -= 2, at--) {
      const order = (table[at] ?? 0) - pair(text, start, last)
      if (order !== 0) return order
    }
    return 0
  }
}

/** Numbers of the rules whose method and path fit, ascending. `path` is canonical. */
export const candidates = ({ effect, table }: RouteIndex, method: Method, path: string): readonly number[] => {
  const found = new Candidates(table, 0, method, path, null)
  return (effect === 'deny' ? found.denies : found.allows).map(ruleOf)
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
