import type { Agent, Person } from '../../language/caller-shape.ts'
import type { Side } from '../../language/tri.ts'
import { anyone, type Definition } from '../../language/who.ts'

/** Callers with every name written out: any of these. */
export interface Callers {
  readonly anyone: boolean
  readonly persons: readonly Person[]
  readonly agents: readonly AgentPart[]
}

export interface AgentPart {
  readonly agent: Agent
  /** The persons it may work for. */
  readonly for: Callers
}

type Definitions = ReadonlyMap<string, Definition>

/** Writes names out. The reader has refused circles, so this ends. */
export const spellCallers = (names: readonly string[], who: Definitions): Callers => {
  const persons = new Set<Person>()
  const agents = new Map<Agent, AgentPart>()
  let everybody = false
  const visited = new Set<string>()
  const visit = (name: string): void => {
    if (visited.has(name)) return
    visited.add(name)
    if (name === anyone) everybody = true
    for (const part of who.get(name) ?? []) {
      if (typeof part === 'string') visit(part)
      else if ('agent' in part) agents.set(part, { agent: part, for: spellCallers(part.for.length === 0 ? [anyone] : part.for, who) })
      else persons.add(part)
    }
  }
  for (const name of names) visit(name)
  return { anyone: everybody, persons: [...persons], agents: [...agents.values()] }
}

/**
 * Whoever `narrow` holds for, `wide` holds for; doubt of `narrow` is doubt of `wide` or better. `side` is that on which `wide` is read:
 * on the grant side `anyone` means nobody's agent. Says no where it cannot tell.
 */
export const coversCallers = (wide: Callers, narrow: Callers, side: Side): boolean => {
  if (wide.anyone && side === 'refuse') return true
  if (!wide.anyone && narrow.anyone) return false
  return (
    (wide.anyone || narrow.persons.every(one => wide.persons.some(other => impliesPerson(one, other)))) &&
    narrow.agents.every(one => wide.agents.some(other => impliesAgent(one, other)))
  )
}

const within = <T>(narrow: readonly T[] | null | undefined, wide: readonly T[] | null): boolean =>
  wide === null || (narrow?.every(one => wide.includes(one)) ?? false)

const impliesPerson = (narrow: Person, wide: Person): boolean =>
  within(narrow.groups, wide.groups) &&
  within(narrow.scopes, wide.scopes) &&
  within(narrow.subject, wide.subject) &&
  within(narrow.issuer, wide.issuer) &&
  [...wide.claims].every(([name, values]) => within(narrow.claims.get(name), values))

const impliesAgent = (narrow: AgentPart, wide: AgentPart): boolean =>
  within(narrow.agent.agent, wide.agent.agent) &&
  (wide.agent.maxHops === null || (narrow.agent.maxHops !== null && narrow.agent.maxHops <= wide.agent.maxHops)) &&
  within(narrow.agent.issuer, wide.agent.issuer) &&
  // An agent works for a person, and in the person's place there is no agent.
  coversCallers(wide.for, { ...narrow.for, agents: [] }, 'grant')

/** Somebody belongs to both for certain; lists of a token can carry what each of the two asks. Both are read on the grant side. */
export const meetInCaller = (one: Callers, other: Callers, isList: (claim: string) => boolean): boolean => {
  const people = (callers: Callers): readonly (Person | null)[] => [...(callers.anyone ? [null] : []), ...callers.persons]
  if (people(one).some(a => people(other).some(b => a === null || b === null || meetPerson(a, b, isList)))) return true
  return one.agents.some(a => other.agents.some(b => meetAgent(a, b, isList)))
}

const share = <T>(a: readonly T[] | null | undefined, b: readonly T[] | null | undefined): boolean =>
  !a || !b || a.some(value => b.includes(value))

const meetPerson = (a: Person, b: Person, isList: (claim: string) => boolean): boolean =>
  share(a.subject, b.subject) &&
  share(a.issuer, b.issuer) &&
  [...a.claims].every(([name, values]) => isList(name) || share(values, b.claims.get(name)))

const meetAgent = (a: AgentPart, b: AgentPart, isList: (claim: string) => boolean): boolean =>
  share(a.agent.agent, b.agent.agent) && share(a.agent.issuer, b.agent.issuer) && meetInCaller(a.for, b.for, isList)
