import type { Scalar } from '../../model/fact.ts'
import { claimFact } from '../engine/reads.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { Expectation } from '../language/when.ts'

/** A keyed hash as records hold it; `id` names the key. */
export interface Hasher {
  readonly id: string
  of(name: string, value: Scalar): string
}

/** Finds the value behind a hash if policies name it. Null: no key of that id is at hand, so nothing can be compared. */
export type Reveal = (key: string | null) => ((name: string, hash: string) => Scalar | undefined) | null

/** Everything that a policy compares facts with, by the name of the fact. */
export const literals = (
  documents: readonly PolicyDocument[],
  recognised: readonly Recognise[],
): ReadonlyMap<string, ReadonlySet<Scalar>> => {
  const found = new Map<string, Set<Scalar>>()
  const add = (name: string, values: Iterable<Scalar>): void => {
    const known = found.get(name) ?? new Set()
    for (const value of values) known.add(value)
    found.set(name, known)
  }
  for (const { audience, claims } of recognised) {
    add('aud', audience)
    for (const [name, values] of claims) add(claimFact([name]), values)
  }
  for (const document of documents) addDocument(document, add)
  return found
}

const addDocument = ({ who, claims, rules }: PolicyDocument, add: (name: string, values: Iterable<Scalar>) => void): void => {
  const fact = (claim: string): string => claimFact(claims.get(claim)?.from ?? [claim])
  // There are only two: a hash of one is as good as the value.
  for (const name of claims.keys()) add(fact(name), [true, false])
  for (const part of [...who.values()].flat()) {
    if (typeof part === 'string' || 'agent' in part) continue
    add(fact('groups'), part.groups ?? [])
    add('scope', part.scopes ?? [])
    for (const [name, values] of part.claims) add(fact(name), values)
  }
  for (const { when, login } of rules) {
    for (const [name, wanted] of when?.header ?? []) add(`header.${name}`, words(wanted))
    for (const [name, wanted] of when?.query ?? []) add(`query.${name}`, words(wanted))
    add('acr', login?.acr ?? [])
    add('amr', login?.amr ?? [])
  }
}

const words = (wanted: Expectation): readonly string[] => (wanted.kind === 'one-of' ? wanted.values : [])

/** Hashes every literal once under every key. */
export const revealer = (known: ReadonlyMap<string, ReadonlySet<Scalar>>, hashers: readonly Hasher[]): Reveal => {
  const keys = new Map(
    hashers.map(hasher => {
      const values = new Map<string, Scalar>()
      for (const [name, literals] of known) for (const value of literals) values.set(`${name} ${hasher.of(name, value)}`, value)
      return [hasher.id, values] as const
    }),
  )
  return key => {
    const values = key === null ? undefined : keys.get(key)
    return values === undefined ? null : (name, hash) => values.get(`${name} ${hash}`)
  }
}
