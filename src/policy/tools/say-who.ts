import type { Agent, Person } from '../language/caller-shape.ts'
import { isList, type Scalar } from '../language/claims.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Side } from '../language/tri.ts'
import { anyone } from '../language/who.ts'
import { anyOf, listed } from './words.ts'

/** On the grant side what a person may do passes to no agent; on the refuse side it follows the person through every agent. */
const reach = { grant: 'acting in person', refuse: 'in person or behind any agent', behind: '' } as const

/** `behind`: the person that an agent works for. */
type Reading = Side | 'behind'

/** Names of `who`, each with what it stands for. Names are no more than names, so a sentence says all of it. */
export const sayCallers = (names: readonly string[], document: PolicyDocument, reading: Reading): string =>
  listed(
    names.map(name => sayName(name, document, reading)),
    'or',
  )

const sayName = (name: string, document: PolicyDocument, reading: Reading): string => {
  if (name === anyone) return reading === 'behind' ? 'anyone' : `anyone (${reach[reading]})`
  const parts = (document.who.get(name) ?? []).map(part => {
    if (typeof part === 'string') return sayName(part, document, reading)
    return 'agent' in part ? sayAgent(part, document) : sayPerson(part, document, reading)
  })
  return `${name} (${parts.join('; or ')})`
}

const sayPerson = (person: Person, document: PolicyDocument, reading: Reading): string =>
  [
    ...say('in group', person.groups),
    ...say('with scope', person.scopes),
    ...say('with subject', person.subject),
    ...say('with issuer', person.issuer),
    ...[...person.claims].map(([name, values]) => sayClaim(name, values, document)),
    ...(reading === 'behind' ? [] : [reach[reading]]),
  ].join(', ')

const sayClaim = (name: string, values: readonly Scalar[], document: PolicyDocument): string => {
  const claim = document.claims.get(name)
  return `with claim ${name} ${claim && isList(claim.type) ? 'containing ' : ''}${anyOf(values)}`
}

const sayAgent = ({ agent, for: persons, maxHops, issuer }: Agent, document: PolicyDocument): string =>
  [
    `${agent === null ? 'any agent' : `agent ${anyOf(agent)}`} acting for ${persons.length === 0 ? 'anyone' : sayCallers(persons, document, 'behind')}`,
    ...(maxHops === null ? [] : [maxHops === 1 ? 'directly, no further agent in between' : `at most ${maxHops} agents in the chain`]),
    ...say('with issuer', issuer),
  ].join(', ')

const say = (what: string, values: readonly string[] | null): readonly string[] => (values === null ? [] : [`${what} ${anyOf(values)}`])
