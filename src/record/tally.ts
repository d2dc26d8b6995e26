/** Label value of everything above a bound. */
export const other = '_other'

type Key = string | number

class Cell<T> {
  readonly value: T
  readonly next = new Map<Key, Cell<T>>()
  constructor(value: T) {
    this.value = value
  }
}

/**
 * Values by up to four labels, found by as many map look-ups and nothing else: prom-client hashes its labels on every call,
 * which costs twenty times as much. Each label is bounded; what comes above is counted under `_other`.
 */
export class Tally<T> {
  readonly #bounds: readonly number[]
  readonly #make: () => T
  readonly #root: Cell<T>

  /** `bounds`: distinct values of each label, under each value of the label before it. */
  constructor(bounds: readonly number[], make: () => T) {
    this.#bounds = bounds
    this.#make = make
    this.#root = new Cell(make())
  }

  at(a: Key, b?: Key, c?: Key, d?: Key): T {
    let cell = this.#root.next.get(a) ?? this.#grow(this.#root, a, 0)
    if (b === undefined) return cell.value
    cell = cell.next.get(b) ?? this.#grow(cell, b, 1)
    if (c === undefined) return cell.value
    cell = cell.next.get(c) ?? this.#grow(cell, c, 2)
    if (d === undefined) return cell.value
    return (cell.next.get(d) ?? this.#grow(cell, d, 3)).value
  }

  /** Every value with its labels. */
  *entries(): Generator<readonly [labels: readonly string[], value: T]> {
    yield* this.#below(this.#root, [])
  }

  *#below(cell: Cell<T>, labels: readonly string[]): Generator<readonly [readonly string[], T]> {
    if (labels.length === this.#bounds.length) yield [labels, cell.value]
    else for (const [key, next] of cell.next) yield* this.#below(next, [...labels, String(key)])
  }

  #grow(cell: Cell<T>, key: Key, level: number): Cell<T> {
    const full = cell.next.size >= (this.#bounds[level] ?? 0)
    const name = full ? other : key
    const found = cell.next.get(name)
    if (found !== undefined) return found
    const fresh = new Cell(this.#make())
    cell.next.set(name, fresh)
    return fresh
  }
}

export interface Count {
  n: number
}

export const counts = (...bounds: readonly number[]): Tally<Count> => new Tally(bounds, () => ({ n: 0 }))

/** Observations of one label set: how many fell into each bucket, and their sum. */
export class Buckets {
  readonly bounds: readonly number[]
  /** One more than bounds: the last one is above them all. Not cumulative. */
  readonly counts: Float64Array
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    const { bounds, counts } = this
    let at = 0
    while (at < bounds.length && value > (bounds[at] ?? 0)) at++
    counts[at] = (counts[at] ?? 0) + 1
    this.sum += value
  }
}
