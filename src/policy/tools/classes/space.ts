import type { ZoneClocks } from '../../../model/decision.ts'
import { isList, type Scalar, type ScalarType, scalarType } from '../../language/claims.ts'
import type { TimeWindow } from '../../language/time.ts'
import { no, type Tri, told, unsure, yes } from '../../language/tri.ts'
import { Axis, type Draft, type Element, Members, Occurrences } from './axis.ts'
import * as kinds from './axis-kinds.ts'
import { type Claimed, scalar } from './axis-kinds.ts'
import { all, any, type Dimension, type Formula } from './formula.ts'
import { moments } from './moments.ts'
import type { ClaimAt } from './subject.ts'

/** Everything that requests on one route can differ in, as far as the rules there ask. */
export class Space {
  readonly axes: Axis<unknown>[] = []
  readonly #zones: ZoneClocks
  readonly #known = new Map<string, Axis<unknown>>()
  readonly #members = new Map<string, Members>()
  readonly #bounds = new Set<number>()
  readonly #windows = new Map<string, TimeWindow>()
  readonly #hops = new Set([1])
  readonly #ids = new Set<string>()
  readonly #checks = new Set<number>()

  constructor(zones: ZoneClocks) {
    this.#zones = zones
  }

  /** One that is not gathered by name; `seal` is the caller's. */
  #add<V>(make: (index: number) => Axis<V>): Axis<V> {
    const axis = make(this.axes.length)
    this.axes.push(axis as unknown as Axis<unknown>)
    return axis
  }

  #axis<V>(name: string, make: (index: number) => Axis<V>): Axis<V> {
    const known = this.#known.get(name)
    // The name says what V is: each stands in one method only.
    if (known !== undefined) return known as unknown as Axis<V>
    const axis = this.#add(make)
    this.#known.set(name, axis as unknown as Axis<unknown>)
    return axis
  }

  issuer(wanted: readonly string[], accepted: readonly string[]): Formula {
    const axis = this.#axis('issuer', index => new Axis<string>(index, kinds.issuer, accepted))
    return axis.test(JSON.stringify(wanted), `with issuer ${listed(wanted)}`, value => told(wanted.includes(value)))
  }

  subject(wanted: readonly string[]): Formula {
    const axis = this.#axis('subject', index => new Axis<string>(index, kinds.subject))
    axis.add(wanted)
    return axis.test(JSON.stringify(wanted), `with subject ${listed(wanted)}`, value => told(wanted.includes(value)))
  }

  scopes(wanted: readonly string[]): Formula {
    return this.#list('scope', 'scope', (draft, scope) => void draft.scopes.push(String(scope))).containsOne(wanted)
  }

  /** The person acts in person. */
  inPerson(): Formula {
    return this.#agents().test('in person', 'in person', agents => told(agents.length === 0))
  }

  agent(ids: readonly string[] | null): Formula {
    for (const id of ids ?? []) this.#ids.add(id)
    return this.#agents().test(JSON.stringify(ids), ids === null ? 'through an agent' : `through agent ${listed(ids)}`, ([acting]) =>
      told(acting !== undefined && (ids === null || ids.includes(acting))),
    )
  }

  hops(most: number): Formula {
    this.#hops.add(most).add(most + 1)
    return this.#agents().test(`hops ${most}`, `over at most ${most} hops`, agents => told(agents.length <= most))
  }

  #agents(): Axis<readonly string[]> {
    return this.#axis('agents', index => new Axis<readonly string[]>(index, kinds.agents))
  }

  /** `name` is what the policy calls the claim. */
  claim(name: string, { path, type, optional }: ClaimAt, wanted: readonly Scalar[]): Formula {
    const missing = optional ? no : unsure
    const axis = this.#claim(path, name)
    const key = JSON.stringify([type, optional, wanted])
    if (!isList(type)) {
      axis.add([...wanted, ...(type === 'bool' ? [true, false] : [])].map(scalar))
      return axis.test(key, `with ${name} ${listed(wanted)}`, claimed => {
        if (claimed.kind === 'absent') return missing
        return claimed.kind === 'scalar' && typeof claimed.value === (type === 'bool' ? 'boolean' : type)
          ? told(wanted.includes(claimed.value))
          : unsure
      })
    }
    const item = scalarType(type)
    const isThis = (claimed: Claimed): boolean => claimed.kind === 'list' && claimed.item === item
    axis.add([{ kind: 'list', item }])
    const usable = axis.test(`usable ${key}`, '', claimed => (isThis(claimed) ? no : claimed.kind === 'absent' ? missing : unsure))
    return any(usable, all(this.#isList(axis, item), this.#items(path, name, item).containsOne(wanted.filter(kinds.isElement))))
  }

  /** A top-level claim that the tenant is recognised by: text that equals, or a list that contains, one of these. */
  recognised(name: string, wanted: readonly string[]): Formula {
    const axis = this.#claim([name], name)
    axis.add([...wanted.map(scalar), { kind: 'list', item: 'string' }])
    const text = axis.test(`recognised ${JSON.stringify(wanted)}`, `with ${name} ${listed(wanted)}`, claimed =>
      told(claimed.kind === 'scalar' && typeof claimed.value === 'string' && wanted.includes(claimed.value)),
    )
    return any(text, all(this.#isList(axis, 'string'), this.#items([name], name, 'string').containsOne(wanted)))
  }

  /** Whether a rule here reads the top-level claim. */
  reads(name: string): boolean {
    return this.#known.has(claimKey([name]))
  }

  #isList(axis: Axis<Claimed>, item: ScalarType): Formula {
    return axis.test(`list ${item}`, '', claimed => told(claimed.kind === 'list' && claimed.item === item))
  }

  #claim(path: readonly string[], name: string): Axis<Claimed> {
    return this.#axis(claimKey(path), index => new Axis<Claimed>(index, kinds.claim(path, name)))
  }

  #items(path: readonly string[], name: string, item: ScalarType): Members {
    return this.#list(`${claimKey(path)} ${item}`, name, (draft, element) => {
      const list = draft.claims.get(JSON.stringify(path))
      if (Array.isArray(list)) list.push(element)
    })
  }

  #list(key: string, what: string, write: (draft: Draft, element: Element) => void): Members {
    const known = this.#members.get(key)
    if (known !== undefined) return known
    const members = new Members(what, kind => this.#add(index => new Axis<boolean>(index, kind)), write)
    this.#members.set(key, members)
    return members
  }

  acr(wanted: readonly string[]): Formula {
    const axis = this.#claim(['acr'], 'acr')
    axis.add(wanted.map(scalar))
    return axis.test(`acr ${JSON.stringify(wanted)}`, `with acr ${listed(wanted)}`, claimed =>
      told(claimed.kind === 'scalar' && wanted.some(one => one === claimed.value)),
    )
  }

  amr(wanted: readonly string[]): Formula {
    const axis = this.#claim(['amr'], 'amr')
    axis.add([{ kind: 'list', item: 'string' }])
    return all(this.#isList(axis, 'string'), this.#items(['amr'], 'amr', 'string').containsOne(wanted))
  }

  /** Signed in at most so many milliseconds ago, and not more than `ahead` in the future. */
  within(most: number, ahead: number): Formula {
    const axis = this.#axis('age', index => new Axis<number | null>(index, kinds.age, [null]))
    // A second off the bounds: a token says seconds, with fractions that a float does not keep.
    axis.add([most - 1000, most + 1000, 0, -ahead - 1000])
    return axis.test(String(most), `signed in within ${most / 1000}s`, age => told(age !== null && age <= most && age >= -ahead))
  }

  from(bound: number): Formula {
    this.#bounds.add(bound)
    return this.#now().test(`from ${bound}`, `from ${new Date(bound).toISOString()} on`, now => told(now >= bound))
  }

  until(bound: number): Formula {
    this.#bounds.add(bound)
    return this.#now().test(`until ${bound}`, `before ${new Date(bound).toISOString()}`, now => told(now < bound))
  }

  time(window: TimeWindow, label: string, outcome: (now: number) => Tri): Formula {
    const key = JSON.stringify([window.zone, ...[window.days, window.monthDays].map(set => set && [...set].sort()), window.between])
    this.#windows.set(key, window)
    return this.#now().test(key, label, outcome)
  }

  #now(): Axis<number> {
    return this.#axis('now', index => new Axis<number>(index, kinds.now))
  }

  address(key: string, label: string, candidates: readonly (string | null)[], outcome: (address: string | null) => Tri): Formula {
    const axis = this.#axis('address', index => new Axis<string | null>(index, kinds.address))
    axis.add(candidates)
    return axis.test(key, label, outcome)
  }

  header(name: string, key: string, label: string, values: readonly string[], outcome: (lines: readonly string[]) => Tri): Formula {
    const axis = this.#axis(`header ${name}`, index => new Occurrences<string>(index, kinds.header(name)))
    axis.add([...values, ''].map(value => [value]))
    return axis.test(key, label, outcome)
  }

  /** Values are decoded; what is judged are raw pairs. */
  query(name: string, key: string, label: string, values: readonly string[], outcome: (raw: readonly string[]) => Tri): Formula {
    const axis = this.#axis(`query ${name}`, index => new Occurrences<string>(index, kinds.query(name)))
    axis.add(kinds.pairsOf(name, values).map(pair => [pair]))
    return axis.test(key, label, outcome)
  }

  /** The query has a name that cannot be decoded: this, and otherwise that. */
  brokenQuery(then: Tri, otherwise: Tri): Formula {
    const axis = this.#axis('broken', index => new Axis<boolean>(index, kinds.broken, [false, true]))
    return axis.test(`${then}${otherwise}`, '', broken => (broken ? then : otherwise))
  }

  /** A check, whose value is anybody's guess. `key`: checks with the same key say the same. */
  check(key: string, text: string): Formula {
    const axis = this.#axis(`check ${key}`, index => new Axis<Tri>(index, kinds.check(key, text), [yes, no, unsure]))
    this.#checks.add(axis.index)
    return axis.test('', text, value => value)
  }

  isCheck({ index }: Dimension): boolean {
    return this.#checks.has(index)
  }

  isAddress({ index }: Dimension): boolean {
    return this.#known.get('address')?.index === index
  }

  /** Nothing more is asked: gathers the values of every dimension. */
  seal(): void {
    const fill = (name: string, values: () => readonly unknown[]): void => {
      this.#known.get(name)?.add(values())
    }
    fill('agents', () =>
      kinds.chains(
        [...this.#ids],
        [...this.#hops].sort((a, b) => a - b),
      ),
    )
    fill('now', () =>
      moments(
        [...this.#bounds].sort((a, b) => a - b),
        [...this.#windows.values()],
        this.#zones,
      ),
    )
    for (const axis of this.#known.values()) axis.seal()
    for (const members of this.#members.values()) members.seal()
  }
}

const claimKey = (path: readonly string[]): string => `claim ${JSON.stringify(path)}`
const listed = (values: readonly unknown[]): string => `${values.slice(0, 3).join(' or ')}${values.length > 3 ? ' ...' : ''}`
