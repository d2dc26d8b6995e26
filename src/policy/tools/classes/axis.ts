import { type Tri, told } from '../../language/tri.ts'
import type { Dimension, Formula } from './formula.ts'

/** Classes of one route that are looked at. Beyond it the route is reported as not proven. */
export const maxClasses = 100_000
/** Values of one dimension. */
const maxValues = 4096

/** A route has more classes than are looked at. */
export class TooMany extends Error {}

/** What a dimension writes its value into. */
export interface Draft {
  issuer: string
  subject: string
  readonly scopes: string[]
  agents: readonly string[]
  /** By the JSON of the path in the token; undefined: taken away. */
  readonly claims: Map<string, unknown>
  address: string | null
  now: number
  /** Milliseconds since the sign-in; null: not said. */
  age: number | null
  readonly headers: [name: string, value: string][]
  /** Raw pairs. */
  readonly query: string[]
  /** What each check is assumed to say. */
  readonly checks: Map<string, Tri>
}

/** How the values of a dimension become part of a request. */
export interface AxisKind<V> {
  write(draft: Draft, value: V): void
  /** The value in an example; null: nothing to say. */
  say(value: V): string | null
  /** The value itself says more than what tests say of it: nothing is there, or nothing usable. */
  isBare?(value: V): boolean
  /** Values that no rule names, given all that are named. */
  others?(named: readonly V[]): readonly V[]
}

interface Test<V> {
  readonly key: string
  readonly outcome: (value: V) => Tri
}

/**
 * A dimension that is being gathered: rules add tests and the values that can tell these tests apart, and `seal` keeps one value of each
 * kind of answer.
 */
export class Axis<V> implements Dimension {
  readonly index: number
  readonly kind: AxisKind<V>
  readonly labels: string[] = []
  readonly values: V[] = []
  outcomes: readonly (readonly Tri[])[] = []
  readonly #tests: Test<V>[] = []
  readonly #candidates = new Map<string, V>()

  constructor(index: number, kind: AxisKind<V>, initial: readonly V[] = []) {
    this.index = index
    this.kind = kind
    this.add(initial)
  }

  get size(): number {
    return this.values.length
  }

  add(values: readonly V[]): void {
    for (const value of values) this.#candidates.set(JSON.stringify(value) ?? 'undefined', value)
  }

  /** The same key stands for the same test. */
  test(key: string, label: string, outcome: (value: V) => Tri): Formula {
    const known = this.#tests.findIndex(test => test.key === key)
    if (known >= 0) return { kind: 'test', of: this, test: known }
    this.labels.push(label)
    return { kind: 'test', of: this, test: this.#tests.push({ key, outcome }) - 1 }
  }

  /** No more tests or values come. */
  seal(): void {
    const named = [...this.#candidates.values()]
    this.#keep(this.expand([...named, ...(this.kind.others?.(named) ?? [])]))
  }

  /** All values that there are, from those that the rules named. */
  protected expand(named: readonly V[]): readonly V[] {
    return named
  }

  /** Values that no test tells apart are one. */
  protected distinct(values: readonly V[]): readonly V[] {
    const kept = new Map<string, V>()
    for (const value of values) {
      const key = this.#tests.map(test => test.outcome(value)).join('')
      if (!kept.has(key)) kept.set(key, value)
    }
    return [...kept.values()]
  }

  #keep(values: readonly V[]): void {
    const kept = this.distinct(values)
    if (kept.length > maxValues) throw new TooMany()
    this.values.push(...kept)
    this.outcomes = this.#tests.map(test => this.values.map(test.outcome))
  }
}

/** Occurrences of one header or query parameter: none, one, or several in any mixture. */
export class Occurrences<T> extends Axis<readonly T[]> {
  constructor(index: number, kind: AxisKind<readonly T[]>) {
    super(index, kind, [[]])
  }

  /** How a mixture is judged follows from how its parts are, so mixtures are joined until nothing new comes of it. */
  protected override expand(named: readonly (readonly T[])[]): readonly (readonly T[])[] {
    const single = this.distinct(named.filter(value => value.length > 0))
    let mixtures = single
    for (let before = 0; before < mixtures.length; ) {
      before = mixtures.length
      if (before > maxValues) throw new TooMany()
      mixtures = this.distinct([...mixtures, ...mixtures.flatMap(mixture => single.map(one => [...mixture, ...one]))])
    }
    return [[], ...mixtures]
  }
}

export type Element = string | number

/**
 * A list in the token, as far as tests ask whether it contains one of some elements. Elements that the same tests ask for are one dimension:
 * in the list or not.
 */
export class Members {
  readonly #newAxis: (kind: AxisKind<boolean>) => Axis<boolean>
  readonly #what: string
  readonly #write: (draft: Draft, element: Element) => void
  readonly #asked = new Map<string, { readonly wanted: ReadonlySet<Element>; readonly parts: Formula[] }>()

  constructor(what: string, newAxis: (kind: AxisKind<boolean>) => Axis<boolean>, write: (draft: Draft, element: Element) => void) {
    this.#what = what
    this.#newAxis = newAxis
    this.#write = write
  }

  /** The list contains one of these. */
  containsOne(wanted: readonly Element[]): Formula {
    const key = JSON.stringify([...new Set(wanted)].sort())
    const known = this.#asked.get(key)
    if (known !== undefined) return { kind: 'any', parts: known.parts }
    const parts: Formula[] = []
    this.#asked.set(key, { wanted: new Set(wanted), parts })
    return { kind: 'any', parts }
  }

  seal(): void {
    const asked = [...this.#asked.values()]
    const cells = new Map<string, Element[]>()
    for (const element of new Set(asked.flatMap(({ wanted }) => [...wanted]))) {
      const key = asked.map(({ wanted }) => Number(wanted.has(element))).join('')
      cells.set(key, [...(cells.get(key) ?? []), element])
    }
    for (const elements of cells.values()) this.#cell(elements)
  }

  #cell(elements: readonly Element[]): void {
    const [first] = elements
    if (first === undefined) return
    const axis = this.#newAxis({
      write: (draft, inside) => {
        if (inside) this.#write(draft, first)
      },
      say: inside => (inside ? `${this.#what} ${first}` : null),
    })
    axis.add([false, true])
    const test = axis.test('', `with ${this.#what} ${elements.slice(0, 3).join(' or ')}${elements.length > 3 ? ' ...' : ''}`, inside =>
      told(inside),
    )
    axis.seal()
    for (const { wanted, parts } of this.#asked.values()) if (wanted.has(first)) parts.push(test)
  }
}
