import { type Identity, nobody } from '../../model/identity.ts'
import type { Agent, Person } from '../language/caller-shape.ts'
import { type Claim, claimReader, faulty, type Scalar } from '../language/claims.ts'
import { both, either, no, type Side, type Tri, told, unsure, yes } from '../language/tri.ts'
import { anyone, type Definition } from '../language/who.ts'

export type CallerTest = (identity: Identity) => Tri

/** What a name of `who` asks of persons, and what it asks of agents. */
export interface Callers {
  /** Read of the person, also of one behind an agent. */
  readonly person: CallerTest
  readonly agent: CallerTest
}

/**
 * Compiles the callers of a rule for one side. On the grant side what a person may do passes to no agent: only a map
 * that names an agent can match one. On the refuse side the person behind the agent is compared too, so a deny follows them.
 * Who has not been named may be any of them: of `nobody` only what holds for everybody is known.
 */
export const callersTest = (names: readonly string[], definitions: ReadonlyMap<string, Callers>, side: Side): CallerTest => {
  const parts = names.map(name => (name === anyone ? everybody : (definitions.get(name) ?? nobodyKnows)))
  const person = anyOf(parts.map(part => part.person))
  const agent = anyOf(parts.map(part => part.agent))
  const ofNobody = names.includes(anyone) ? yes : unsure
  return side === 'grant'
    ? identity => (identity === nobody ? ofNobody : identity.agents.length > 0 ? agent(identity) : person(identity))
    : identity => (identity === nobody ? ofNobody : either(person(identity), agent(identity)))
}

/** The names of `who` in their order, then anyone: first as the bodies of denies read them, then as those of allows do. */
export const callerTests = (definitions: ReadonlyMap<string, Callers>): readonly CallerTest[] =>
  (['refuse', 'grant'] as const).flatMap(side => [...definitions.keys(), anyone].map(name => callersTest([name], definitions, side)))

/** Answers of two bits each that stand in one small integer. */
const perWord = 15

/**
 * Which names hold for one token: a question of token and policy alone, so each is answered once, when it is first asked. The answers of the
 * first names stand in the object itself: among many tokens, a list beside it would be one more wait for memory.
 */
export class CallerBits {
  readonly #identity: Identity
  readonly #tests: readonly CallerTest[]
  // 0: not asked yet; else the answer and one.
  #first = 0
  #second = 0
  #more: Uint8Array | null = null

  constructor(identity: Identity, tests: readonly CallerTest[]) {
    this.#identity = identity
    this.#tests = tests
  }

  /** `place` is one in `tests`. */
  holds(place: number): Tri {
    if (place < perWord) {
      const shift = place << 1
      const before = (this.#first >> shift) & 3
      if (before !== 0) return (before - 1) as Tri
      const answer = this.#ask(place)
      this.#first |= (answer + 1) << shift
      return answer
    }
    if (place < 2 * perWord) {
      const shift = (place - perWord) << 1
      const before = (this.#second >> shift) & 3
      if (before !== 0) return (before - 1) as Tri
      const answer = this.#ask(place)
      this.#second |= (answer + 1) << shift
      return answer
    }
    this.#more ??= new Uint8Array(this.#tests.length)
    const before = this.#more[place] ?? 0
    if (before !== 0) return (before - 1) as Tri
    const answer = this.#ask(place)
    this.#more[place] = answer + 1
    return answer
  }

  #ask(place: number): Tri {
    return this.#tests[place]?.(this.#identity) ?? unsure
  }
}

const everybody: Callers = { person: () => yes, agent: () => no }
const nobodyKnows: Callers = { person: () => unsure, agent: () => unsure }

const anyOf = (tests: readonly CallerTest[]): CallerTest => {
  const [only] = tests
  if (only !== undefined && tests.length === 1) return only
  return identity => {
    let out: Tri = no
    for (const test of tests) {
      out = either(out, test(identity))
      if (out === yes) return yes
    }
    return out
  }
}

const allOf =
  (tests: readonly CallerTest[]): CallerTest =>
  identity => {
    let out: Tri = yes
    for (const test of tests) {
      out = both(out, test(identity))
      if (out === no) return no
    }
    return out
  }

interface Tests {
  readonly persons: readonly CallerTest[]
  readonly agents: readonly CallerTest[]
}
const anybody: Tests = { persons: [everybody.person], agents: [] }

/**
 * One flat list of tests for each name. "Any of" within "any of" is "any of": flattened and without repetition,
 * no nesting of names can make one caller expensive.
 */
export const compileWho = (who: ReadonlyMap<string, Definition>, claims: ReadonlyMap<string, Claim>): ReadonlyMap<string, Callers> => {
  const flat = new Map<string, Tests>()
  const compile = (name: string): Tests => {
    const known = name === anyone ? anybody : flat.get(name)
    if (known !== undefined) return known
    const parts = (who.get(name) ?? []).map((part): Tests => {
      if (typeof part === 'string') return compile(part)
      if (!('agent' in part)) return { persons: [personTest(part, claims)], agents: [] }
      return { persons: [], agents: [agentTest(part, one => compile(one).persons)] }
    })
    const persons = unique(parts.flatMap(part => part.persons))
    const agents = unique(parts.flatMap(part => part.agents))
    flat.set(name, { persons, agents })
    return { persons, agents }
  }
  const callers = (name: string): Callers => {
    const { persons, agents } = compile(name)
    return { person: anyOf(persons), agent: anyOf(agents) }
  }
  return new Map([...who.keys()].map(name => [name, callers(name)]))
}

const unique = <T>(items: readonly T[]): readonly T[] => [...new Set(items)]

const personTest = (person: Person, claims: ReadonlyMap<string, Claim>): CallerTest => {
  const tests: CallerTest[] = []
  if (person.issuer) tests.push(oneOf(person.issuer, identity => identity.issuer))
  if (person.subject) tests.push(oneOf(person.subject, identity => identity.subject))
  if (person.scopes) tests.push(scopesTest(person.scopes))
  if (person.groups) tests.push(claimTest('groups', person.groups, claims))
  for (const [name, values] of person.claims) tests.push(claimTest(name, values, claims))
  return allOf(tests)
}

/** The acting party is the outermost actor; those before it in the chain only count as hops (RFC 8693 4.1). */
const agentTest = ({ agent, for: names, maxHops, issuer }: Agent, personsOf: (name: string) => readonly CallerTest[]): CallerTest => {
  const ids = agent && new Set(agent)
  const tests: CallerTest[] = [({ agents: [acting] }) => told(acting !== undefined && (ids === null || ids.has(acting)))]
  if (maxHops !== null) tests.push(({ agents }) => told(agents.length <= maxHops))
  if (issuer) tests.push(oneOf(issuer, identity => identity.issuer))
  if (names.length > 0) tests.push(anyOf(unique(names.flatMap(personsOf))))
  return allOf(tests)
}

const oneOf = (wanted: readonly string[], read: (identity: Identity) => string): CallerTest => {
  const set = new Set(wanted)
  return identity => told(set.has(read(identity)))
}

const scopesTest = (wanted: readonly string[]): CallerTest => {
  const set = new Set(wanted)
  return identity => told(contains(identity.scopes, set))
}

const claimTest = (name: string, wanted: readonly Scalar[], claims: ReadonlyMap<string, Claim>): CallerTest => {
  const claim = claims.get(name)
  if (claim === undefined) return () => unsure
  const read = claimReader(name, claim)
  const set = new Set<unknown>(wanted)
  return identity => {
    const value = read(identity.claims)
    if (value === faulty) return unsure
    if (value === undefined) return no
    return told(typeof value === 'object' ? contains(value, set) : set.has(value))
  }
}

const contains = (values: readonly unknown[], wanted: ReadonlySet<unknown>): boolean => {
  for (const value of values) if (wanted.has(value)) return true
  return false
}
