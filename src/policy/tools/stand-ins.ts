import { type AddressKey, addressKey, addressText, type Range } from '../../config/address.ts'
import type { Scalar } from '../../model/fact.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import { literals } from './literals.ts'

/**
 * Values to write in place of real ones: a draft goes into Git, where nobody's address, group or number belongs. What a policy names stays,
 * for it stands in Git already; anything else becomes one value that the policy treats alike.
 */
export class StandIns {
  readonly #literals: ReadonlyMap<string, ReadonlySet<Scalar>>
  readonly #addresses: readonly Range[]
  readonly #numbers: ReadonlyMap<string, readonly number[]>
  readonly #agents: ReadonlySet<string>
  readonly #subjects: ReadonlySet<string>

  constructor(documents: readonly PolicyDocument[], recognise: Recognise) {
    const callers = documents.flatMap(({ who }) => [...who.values()].flat()).filter(one => typeof one === 'object')
    this.#agents = new Set(callers.flatMap(one => ('agent' in one ? (one.agent ?? []) : [])))
    this.#subjects = new Set(callers.flatMap(one => ('subject' in one ? (one.subject ?? []) : [])))
    this.#literals = literals(documents, [recognise])
    const rules = documents.flatMap(document => document.rules)
    this.#addresses = rules.flatMap(({ when }) => [...(when?.ipIn ?? []), ...(when?.ipNotIn ?? [])])
    const numbers = new Map<string, number[]>()
    for (const { when } of rules)
      for (const [name, wanted] of when?.query ?? [])
        if (wanted.kind === 'range') numbers.set(name, [...(numbers.get(name) ?? []), wanted.min, wanted.max].filter(Number.isFinite))
    this.#numbers = numbers
  }

  /** Whether any rule asks for the address. */
  get readsAddress(): boolean {
    return this.#addresses.length > 0
  }

  value(fact: string, value: Scalar): Scalar {
    const named = this.#literals.get(fact) ?? new Set()
    if (named.has(value) || typeof value === 'boolean') return value
    if (typeof value === 'string') return value === '' ? '' : unnamed(named)
    let other = 0
    while (named.has(other)) other++
    return other
  }

  /** Named items, or one that is not, where there are others only: how many there were is nobody's business. */
  values(fact: string, values: readonly string[]): readonly string[] {
    const named = this.#literals.get(fact) ?? new Set()
    const kept = [...new Set(values)].filter(value => named.has(value)).sort()
    return kept.length > 0 || values.length === 0 ? kept : [unnamed(named)]
  }

  /** A parameter's value; a whole number moves to the nearest place on the same side of every bound. */
  parameter(name: string, value: string): string {
    const bounds = this.#numbers.get(name)
    if (bounds === undefined || !/^-?(0|[1-9]\d{0,14})$/.test(value) || value === '-0') return String(this.value(`query.${name}`, value))
    if (this.#literals.get(`query.${name}`)?.has(value)) return value
    const sorted = [...new Set(bounds)].sort((a, b) => a - b)
    const below = sorted.filter(bound => bound < Number(value)).at(-1)
    return String(sorted.includes(Number(value)) ? value : below === undefined ? (sorted[0] ?? 0) - 1 : below + 1)
  }

  agent(id: string): string {
    return this.#agents.has(id) ? id : unnamed(this.#agents)
  }

  /** Null where no policy names the subject. */
  subject(subject: string): string | null {
    return this.#subjects.has(subject) ? subject : null
  }

  /** An address inside and outside of the same ranges; null for an unknown one. */
  address(text: string | null): string | null {
    const key = text === null ? null : addressKey(text)
    if (key === null) return null
    const where = this.#within(key)
    const edges = this.#addresses.flatMap(({ low, high }) => [low, following(high)])
    const found = [...edges, '\0\0', '\0\0\0\0\0\0\0\0'].find(
      edge => edge !== null && edge.length === key.length && this.#within(edge) === where,
    )
    return found === undefined || found === null ? null : addressText(found)
  }

  #within(key: AddressKey): string {
    return this.#addresses.map(({ low, high }) => (key.length === low.length && key >= low && key <= high ? '1' : '0')).join('')
  }
}

/** A word that is none of these. */
const unnamed = (named: ReadonlySet<Scalar>): string => {
  let word = 'other'
  for (let n = 2; named.has(word); n++) word = `other-${n}`
  return word
}

/** The address after this one; null after the last. */
const following = (key: AddressKey): AddressKey | null => {
  const units = [...Array(key.length).keys()].map(i => key.charCodeAt(i))
  for (let i = units.length - 1; i >= 0; i--) {
    units[i] = ((units[i] ?? 0) + 1) & 0xffff
    if (units[i] !== 0) return String.fromCharCode(...units)
  }
  return null
}
