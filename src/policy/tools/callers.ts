import type { Identity } from '../../model/identity.ts'
import { compileWho } from '../engine/callers.ts'
import type { Agent, Person } from '../language/caller-shape.ts'
import { claimReader, faulty } from '../language/claims.ts'
import type { PolicyDocument } from '../language/read.ts'
import { both, no, type Side, type Tri, yes } from '../language/tri.ts'
import { anyone, type Definition } from '../language/who.ts'
import type { KeyPath } from './places.ts'
import { anyOf, listed, shown } from './words.ts'

/** One thing that a definition of `who` asks. */
export type Asked =
  | { readonly of: 'groups'; readonly values: readonly string[] }
  | { readonly of: 'scopes' | 'subject' | 'issuer'; readonly values: readonly string[] }
  | { readonly of: 'claim'; readonly name: string; readonly values: readonly (string | number | boolean)[] }
  /** Null: any agent. */
  | { readonly of: 'agent'; readonly ids: readonly string[] | null }
  | { readonly of: 'max-hops'; readonly most: number }
  | { readonly of: 'for'; readonly names: readonly string[]; readonly persons: readonly Part[] }
  /** Of persons on the grant side: nobody acts for them. */
  | { readonly of: 'in-person' }

export interface Atom {
  readonly asked: Asked
  readonly held: Tri
  readonly seen: string
  readonly wanted: string
  /** From the top of the policy file. */
  readonly path: KeyPath
}

/** One map of `who`, all of which must hold. */
export interface Part {
  /** The name that is defined so; `anyone` asks nothing. */
  readonly name: string
  readonly atoms: readonly Atom[]
  readonly held: Tri
}

const nobody: Person = { groups: null, scopes: null, subject: null, issuer: null, claims: new Map() }
const anyAgent: Agent = { agent: null, for: [], maxHops: null, issuer: null }

/** What names of `who` ask of one caller, map by map, each asked of the engine's own tests. */
export const partsOf = (names: readonly string[], document: PolicyDocument, identity: Identity, side: Side): readonly Part[] => {
  return new Reader(document, identity).parts(names, side === 'grant')
}

class Reader {
  readonly #document: PolicyDocument
  readonly #identity: Identity

  constructor(document: PolicyDocument, identity: Identity) {
    this.#document = document
    this.#identity = identity
  }

  /** `acting`: what a person may do does not count for an agent. */
  parts(names: readonly string[], acting: boolean): readonly Part[] {
    return this.#flat(names, new Set()).map(({ name, index, part }) => {
      const isAgent = part !== null && 'agent' in part
      const inPerson: readonly Atom[] = !isAgent && acting ? this.#inPerson(name) : []
      const own = part === null ? [] : isAgent ? this.#agent(part, ['who', name, index]) : this.#person(part, ['who', name, index])
      const atoms = [...inPerson, ...own]
      return { name, atoms, held: atoms.reduce<Tri>((all, atom) => both(all, atom.held), yes) }
    })
  }

  /** Every map that the names lead to, once each. */
  #flat(names: readonly string[], seen: Set<string>): { name: string; index: number; part: Person | Agent | null }[] {
    return names.flatMap(name => {
      if (seen.has(name)) return []
      seen.add(name)
      if (name === anyone) return [{ name, index: 0, part: null }]
      return (this.#document.who.get(name) ?? []).flatMap((part, index) =>
        typeof part === 'string' ? this.#flat([part], seen) : [{ name, index, part }],
      )
    })
  }

  /** What keeps an agent from what is a person's. */
  #inPerson(name: string): readonly Atom[] {
    const { agents } = this.#identity
    if (agents.length === 0) return []
    const seen = `through agent ${agents.map(shown).join(' for ')}`
    const wanted = 'the person: what a person may do passes to no agent'
    return [{ asked: { of: 'in-person' }, held: no, seen, wanted, path: ['who', name] }]
  }

  #person(part: Person, path: KeyPath): readonly Atom[] {
    const { issuer, subject, scopes } = this.#identity
    const atom = (of: 'groups' | 'scopes' | 'subject' | 'issuer', seen: string): readonly Atom[] => {
      const values = part[of]
      if (values === null) return []
      return [{ asked: { of, values }, held: this.#ask({ ...nobody, [of]: values }), seen, wanted: anyOf(values), path: [...path, of] }]
    }
    const claims = [...part.claims].map(
      ([name, values]): Atom => ({
        asked: { of: 'claim', name, values },
        held: this.#ask({ ...nobody, claims: new Map([[name, values]]) }),
        seen: this.#claim(name),
        wanted: anyOf(values),
        path: [...path, 'claims', name],
      }),
    )
    return [
      ...atom('groups', this.#claim('groups')),
      ...atom('scopes', shown(scopes)),
      ...atom('subject', shown(subject)),
      ...atom('issuer', shown(issuer)),
      ...claims,
    ]
  }

  #agent(part: Agent, path: KeyPath): readonly Atom[] {
    const { agents, issuer } = this.#identity
    const acting = agents.length === 0 ? 'in person' : `agent ${shown(agents[0])}`
    const { agent: ids, for: names, maxHops: most, issuer: issuers } = part
    const atom = (asked: Asked, only: Partial<Agent>, seen: string, wanted: string, key: string): Atom => ({
      asked,
      held: this.#ask({ ...anyAgent, ...only }, asked.of === 'agent'),
      seen,
      wanted,
      path: [...path, key],
    })
    const atoms = [atom({ of: 'agent', ids }, { agent: ids }, acting, ids === null ? 'any agent' : `agent ${anyOf(ids)}`, 'agent')]
    if (most !== null)
      atoms.push(atom({ of: 'max-hops', most }, { maxHops: most }, `${agents.length} in the chain`, `at most ${most}`, 'max-hops'))
    if (issuers !== null) atoms.push(atom({ of: 'issuer', values: issuers }, { issuer: issuers }, shown(issuer), anyOf(issuers), 'issuer'))
    if (names.length > 0) {
      const persons = this.parts(names, false)
      const seen = persons.some(one => one.held === yes) ? 'a person who qualifies' : 'a person who does not qualify'
      atoms.push(atom({ of: 'for', names, persons }, { for: names }, seen, listed(names, 'or'), 'for'))
    }
    return atoms
  }

  /** A definition beside those of the file, under a name that none of them can have. */
  #ask(part: Person | Agent, naming = false): Tri {
    const needed = 'agent' in part && part.for.length > 0 ? this.#document.who : []
    const who = new Map<string, Definition>([...needed, ['?', [part]]])
    const test = compileWho(who, this.#document.claims).get('?')
    if (test === undefined) return no
    if (!('agent' in part)) return test.person(this.#identity)
    // That nobody acts for the person is said once, by the key agent; the other keys are judged as if somebody did.
    const { agents } = this.#identity
    return test.agent(!naming && agents.length === 0 ? { ...this.#identity, agents: ['?'] } : this.#identity)
  }

  #claim(name: string): string {
    const declared = this.#document.claims.get(name)
    const value = declared && claimReader(name, declared)(this.#identity.claims)
    return value === faulty ? 'missing, or not as declared' : shown(value)
  }
}
