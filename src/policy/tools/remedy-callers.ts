import type { Facts } from '../../model/decision.ts'
import { claimReader, faulty, isList, type Scalar } from '../language/claims.ts'
import type { PolicyDocument } from '../language/read.ts'
import { no, yes } from '../language/tri.ts'
import type { Atom, Part } from './callers.ts'
import { withClaim, withIdentity } from './edit.ts'
import { type Alternative, combined, type Remedy } from './remedy.ts'
import { anyOf, listed, quoted } from './words.ts'

/** Ways for the caller to be one of these: for each map, what is missing of it. */
export const becoming = (parts: readonly Part[], document: PolicyDocument): readonly Alternative[] =>
  parts.flatMap(part => combined(part.atoms.filter(atom => atom.held !== yes).map(atom => gained(atom, document))))

/** Ways for the caller to be none of these: of each map that holds, or cannot be told, one thing must end. */
export const ceasing = (parts: readonly Part[], document: PolicyDocument): readonly Alternative[] =>
  combined(parts.filter(part => part.held !== no).map(part => part.atoms.flatMap(atom => lost(atom, document))))

const alone = (text: string, apply: Remedy['apply']): readonly Alternative[] => [[{ text, apply }]]

const gained = ({ asked, held }: Atom, document: PolicyDocument): readonly Alternative[] => {
  switch (asked.of) {
    case 'groups': {
      const groups = `${asked.values.length === 1 ? 'group' : 'one of groups'} ${asked.values.map(quoted).join(', ')}`
      const text = held === no ? `add the caller to ${groups}` : `send a token whose groups can be read, with ${groups}`
      return alone(text, adding('groups', asked.values, document))
    }
    case 'claim':
      return alone(`claim ${asked.name} ${anyOf(asked.values)}`, adding(asked.name, asked.values, document))
    case 'scopes':
      return alone(`grant the scope ${anyOf(asked.values)}`, facts =>
        withIdentity(facts, { scopes: [...facts.identity.scopes, ...asked.values.slice(0, 1)] }),
      )
    case 'subject':
      return alone(`be the subject ${anyOf(asked.values)}`, facts => withIdentity(facts, { subject: asked.values[0] ?? '' }))
    case 'issuer':
      return alone(`sign in at ${anyOf(asked.values)}`, facts => withIdentity(facts, { issuer: asked.values[0] ?? '' }))
    case 'in-person':
      return alone('ask in person, without an agent', facts => withIdentity(facts, { agents: [] }))
    case 'agent':
      return alone(asked.ids === null ? 'act through an agent' : `act through agent ${anyOf(asked.ids)}`, facts =>
        withIdentity(facts, { agents: [asked.ids?.[0] ?? 'agent', ...facts.identity.agents.slice(1)] }),
      )
    case 'max-hops':
      return alone(`have at most ${asked.most} in the chain of agents`, facts =>
        withIdentity(facts, { agents: facts.identity.agents.slice(0, asked.most) }),
      )
    case 'for':
      return becoming(asked.persons, document).map(alternative =>
        alternative.map(one => ({ ...one, text: `the person behind the agent: ${one.text}` })),
      )
  }
}

const lost = ({ asked, held }: Atom, document: PolicyDocument): readonly Alternative[] => {
  switch (asked.of) {
    case 'groups':
    case 'claim': {
      const name = asked.of === 'groups' ? 'groups' : asked.name
      const without = `${name} without ${anyOf(asked.values)}`
      return alone(held === yes ? without : `send a token whose ${name} can be read, ${without}`, removing(name, asked.values, document))
    }
    case 'scopes':
      return alone(`be without the scope ${listed(asked.values.map(quoted), 'and')}`, facts =>
        withIdentity(facts, { scopes: facts.identity.scopes.filter(scope => !asked.values.includes(scope)) }),
      )
    case 'subject':
      return alone(`be another subject than ${anyOf(asked.values)}`, null)
    case 'agent':
      return alone('ask in person, without an agent', facts => withIdentity(facts, { agents: [] }))
    case 'for':
      return ceasing(asked.persons, document)
    default:
      return []
  }
}

/** The claim with one of the values: added to a list, in the place of a single value. */
const adding = (name: string, values: readonly Scalar[], document: PolicyDocument): Remedy['apply'] => {
  const claim = document.claims.get(name)
  if (claim === undefined) return null
  return facts => {
    const [wanted] = values
    return withClaim(facts, name, claim, isList(claim.type) ? [...itemsOf(facts, name, document), wanted] : wanted)
  }
}

/** The claim with none of the values; where no other value can be named, absent if it may be. */
const removing = (name: string, values: readonly Scalar[], document: PolicyDocument): Remedy['apply'] => {
  const claim = document.claims.get(name)
  if (claim === undefined) return null
  if (isList(claim.type))
    return facts => {
      const kept = itemsOf(facts, name, document).filter(item => !values.some(value => value === item))
      return withClaim(facts, name, claim, kept)
    }
  if (claim.optional) return facts => withClaim(facts, name, claim, undefined)
  return claim.type === 'string' ? facts => withClaim(facts, name, claim, `not ${values.join(' ')}`) : null
}

const itemsOf = (facts: Facts, name: string, document: PolicyDocument): readonly unknown[] => {
  const claim = document.claims.get(name)
  const value = claim && claimReader(name, claim)(facts.identity.claims)
  return value !== faulty && Array.isArray(value) ? value : []
}
