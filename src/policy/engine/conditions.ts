import { type AddressKey, addressKey, addressSet, type Range } from '../../config/address.ts'
import type { Facts } from '../../model/decision.ts'
import type { Claim } from '../language/claims.ts'
import type { RouteLine } from '../language/pattern.ts'
import { isWithin, type TimeWindow } from '../language/time.ts'
import { both, either, no, not, type Side, type Tri, told, unsure, yes } from '../language/tri.ts'
import type { Expectation, When } from '../language/when.ts'
import { checkKey, checkTest } from './check.ts'
import { withoutBlanks } from './header.ts'
import { hasParameter, type Query, readQuery } from './query.ts'

/** One request under decision: what costs something to read is read once, and only if a candidate asks. */
export class Look {
  readonly facts: Facts
  #address: AddressKey | null | undefined = undefined
  #query: Query | undefined = undefined

  constructor(facts: Facts) {
    this.facts = facts
  }

  /** Null: unknown, or not an address. */
  get address(): AddressKey | null {
    if (this.#address === undefined) {
      const { clientIp } = this.facts.origin
      this.#address = clientIp === null ? null : addressKey(clientIp)
    }
    return this.#address
  }

  get query(): Query {
    this.#query ??= readQuery(this.facts.origin.target.query)
    return this.#query
  }
}

export type Test = (look: Look) => Tri

/** One condition of a rule, with the words that name it in the file. */
export interface Condition {
  readonly label: string
  readonly test: Test
}

/** Tests of one load by what they ask: rules that ask the same, of whichever tenant, share one, which is then at hand when the next rule asks it. */
export type SharedTests = Map<string, Test>

const shared = (tests: SharedTests, key: readonly unknown[], make: () => Test): Test => {
  const text = JSON.stringify(key)
  const known = tests.get(text) ?? make()
  tests.set(text, known)
  return known
}

/** Compiles `when` of a rule with these `to` lines, cheapest first; Kleene logic makes the order invisible. */
export const compileWhen = (
  when: When,
  side: Side,
  lines: readonly RouteLine[],
  claims: ReadonlyMap<string, Claim>,
  tests: SharedTests = new Map(),
): Condition[] => {
  const conditions: Condition[] = []
  if (when.ipIn) conditions.push({ label: 'when.ip-in', test: addressTest(when.ipIn) })
  if (when.ipNotIn) {
    const inside = addressTest(when.ipNotIn)
    conditions.push({ label: 'when.ip-not-in', test: look => not(inside(look)) })
  }
  for (const [name, wanted] of when.header) {
    const test = shared(tests, ['header', side, name, spelled(wanted)], () => headerTest(name, wanted, side))
    conditions.push({ label: `when.header.${name}`, test })
  }
  for (const [name, wanted] of when.query) {
    const test = shared(tests, ['query', side, name, spelled(wanted)], () => queryTest(name, wanted, side))
    conditions.push({ label: `when.query.${name}`, test })
  }
  if (when.time) conditions.push({ label: 'when.time', test: timeTest(when.time) })
  if (when.check) {
    const { check } = when
    const key = checkKey(check, lines, claims)
    const compile = (): Test => checkTest(check, lines, claims, side)
    conditions.push({ label: 'when.check', test: key === null ? compile() : shared(tests, ['check', ...key], compile) })
  }
  return conditions
}

/** JSON has no infinity, and a range without an end is not one without a begin. */
const spelled = (wanted: Expectation): unknown => (wanted.kind === 'range' ? [`${wanted.min}`, `${wanted.max}`] : wanted)

const addressTest = (ranges: readonly Range[]): Test => {
  const includes = addressSet(ranges)
  return look => (look.address === null ? unsure : told(includes(look.address)))
}

const timeTest =
  (window: TimeWindow): Test =>
  ({ facts }) => {
    const local = facts.zones.at(window.zone, facts.now)
    return local === null ? unsure : told(isWithin(window, local))
  }

/** A value that could not be decoded is null. */
type Compare = (value: string | null) => Tri

const compareOf = (wanted: Expectation): Compare => {
  if (wanted.kind === 'range') return rangeCompare(wanted.min, wanted.max)
  if (wanted.kind !== 'one-of') return () => yes
  const set = new Set(wanted.values)
  return value => (value === null ? unsure : told(set.has(value)))
}

const rangeCompare =
  (min: number, max: number): Compare =>
  value => {
    const number = value === null ? null : wholeNumber(value)
    return number === null ? unsure : told(number >= min && number <= max)
  }

/** Only the one decimal spelling: `007`, `1e3` or 20 digits mean different numbers to different readers. */
const wholeNumber = (text: string): number | null => {
  const sign = text.charCodeAt(0) === 0x2d ? 1 : 0
  if (text.length === sign || text.length > 15 + sign) return null
  let number = 0
  for (let i = sign; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9 || (i === sign + 1 && number === 0)) return null
    number = number * 10 + digit
  }
  return sign === 1 ? -number : number
}

const headerTest = (name: string, wanted: Expectation, side: Side): Test => {
  const { kind } = wanted
  const compare = compareOf(wanted)
  return look => {
    const { headers } = look.facts.origin
    let every: Tri = yes
    let some: Tri = no
    let seen = false
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i] !== name) continue
      seen = true
      const value = withoutBlanks(headers[i + 1] ?? '')
      const fits = kind === 'present' ? told(value !== '') : kind === 'absent' ? told(value === '') : compare(value)
      every = both(every, fits)
      some = either(some, fits)
    }
    if (!seen) return told(kind === 'absent')
    return side === 'grant' ? every : some
  }
}

const queryTest = (name: string, wanted: Expectation, side: Side): Test => {
  const { kind } = wanted
  if (kind === 'present') return look => hasParameter(look.query, name)
  if (kind === 'absent') return look => not(hasParameter(look.query, name))
  const compare = compareOf(wanted)
  return look => {
    const { parameters, broken } = look.query
    // A name that cannot be decoded may be this one, with any value.
    let every: Tri = broken ? unsure : yes
    let some: Tri = broken ? unsure : no
    for (const parameter of parameters) {
      if (parameter.name !== name) continue
      const fits = compare(parameter.value)
      every = both(every, fits)
      some = either(some, fits)
    }
    // Nobody seen: `every` still holds and `some` does not, which is what an absent parameter means on either side.
    return side === 'grant' ? every : some
  }
}
