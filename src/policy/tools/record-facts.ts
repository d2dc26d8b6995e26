import type { Facts, ZoneClocks } from '../../model/decision.ts'
import type { Scalar } from '../../model/fact.ts'
import type { Recorded, RecordedValue } from '../../model/recorded.ts'
import { put } from '../tests/caller.ts'
import { requestFacts } from '../tests/run.ts'
import type { Reveal } from './literals.ts'

/**
 * How well a fact is known. `exact`: its value. `equal`: whether it equals anything that the policies name, and nothing else.
 * `opaque`: only its kind, and how many. What is not graded is not known at all.
 */
export type Grade = 'exact' | 'equal' | 'opaque'

/** A request as far as its record tells it. */
export interface RecordFacts {
  /** With stand-ins for what is not `exact`: never to be judged by without its grade. */
  readonly facts: Facts
  readonly grades: ReadonlyMap<string, Grade>
}

/** Rebuilds what was decided on. */
export const factsOfRecord = (recorded: Recorded, reveal: Reveal, zones: ZoneClocks): RecordFacts => {
  const grades = new Map<string, Grade>()
  const values = new Map<string, Scalar | null | readonly (Scalar | null)[] | undefined>()
  const look = reveal(recorded.facts?.key ?? null)
  for (const [name, value] of recorded.facts?.values ?? []) {
    const [known, grade] = revealed(name, value, look)
    values.set(name, known)
    // Fields and parameters may occur many times: anything but a list was not written by Postern.
    if (!isOccurring(name) || known === undefined || Array.isArray(known)) grades.set(name, grade)
  }
  const incomplete = recorded.facts?.incomplete ?? []
  const list = (name: string): readonly string[] => {
    const value = values.get(name)
    return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
  }
  const headers: string[] = []
  const query: string[] = incomplete.includes('query') ? ['%ff'] : []
  for (const [name, value] of values) {
    if (name.startsWith('header.')) for (const item of list(name)) headers.push(name.slice('header.'.length), item)
    if (name.startsWith('query.') && Array.isArray(value)) query.push(...value.map(item => pair(name.slice('query.'.length), item)))
  }
  const { issuer, subject, agents, method, host, path, clientIp, time: now } = recorded
  const claims = payloadOf(values, incomplete, grades)
  const identity = { issuer, subject, agents, audiences: list('aud'), scopes: list('scope'), claims, expiresAt: Number.MAX_SAFE_INTEGER }
  const target = { path, query: query.length === 0 ? null : query.join('&') }
  const asked = { method, host, target, clientIp, headers }
  return { facts: requestFacts(asked, identity, now, zones), grades }
}

/** One spelling of a parameter that the engine reads as exactly this. */
const pair = (name: string, value: Scalar | null): string =>
  `${encodeURIComponent(name.toWellFormed())}=${value === null ? '%ff' : encodeURIComponent(String(value).toWellFormed())}`

const isOccurring = (name: string): boolean => name.startsWith('header.') || name.startsWith('query.')

type Value = Scalar | null | readonly (Scalar | null)[] | undefined

const revealed = (name: string, recorded: RecordedValue, look: ReturnType<Reveal>): readonly [Value, Grade] => {
  if (recorded.kind === 'absent') return [undefined, 'exact']
  if (recorded.kind === 'faulty') return [null, 'exact']
  if (recorded.kind === 'plain') return [recorded.value, 'exact']
  const { kind, value } = recorded
  let grade: Grade = 'exact'
  const one = (word: string | null): Scalar | null => {
    if (word === null || word === '') return word
    if (kind === 'withheld' || look === null) {
      grade = 'opaque'
      return standIn(kind === 'withheld' ? word : kindOf(word), word)
    }
    const found = look(name, word)
    if (found === undefined && grade === 'exact') grade = 'equal'
    return found ?? standIn(kindOf(word), word)
  }
  return [typeof value === 'string' ? one(value) : value.map(one), grade]
}

const kindOf = (hash: string): string => (hash.startsWith('n.') ? 'number' : hash.startsWith('b.') ? 'boolean' : 'string')

/** A value of its kind that equals nothing in any policy: no file can hold NUL, and NaN is no number that can be written. */
const standIn = (kind: string, word: string): Scalar => (kind === 'number' ? Number.NaN : kind === 'boolean' ? false : `\0${word}`)

type Payload = Record<string, unknown>

const wholes = new Set(['aud', 'scope'])

/** The payload as far as it is known. A longer path goes first, so that what stands on its way has the last word. */
const payloadOf = (values: ReadonlyMap<string, Value>, incomplete: readonly string[], grades: Map<string, Grade>): Payload => {
  const payload: Payload = Object.create(null)
  const named = [...values].filter(([name]) => !wholes.has(name) && !isOccurring(name))
  const paths = named.map(([name, value]) => ({ name, value, path: pathOf(name) }))
  for (const { value, path } of paths.toSorted((a, b) => b.path.length - a.path.length)) putFact(payload, path, value)
  // Where one fact lies inside of another, only the outer one is told for sure.
  for (const { name, path } of paths)
    if (paths.some(outer => outer.path.length < path.length && outer.value !== undefined && outer.path.every((key, i) => path[i] === key)))
      grades.delete(name)
  const elsewhere: Payload = Object.create(null)
  for (const name of incomplete)
    if (name === 'hasgroups') {
      payload['hasgroups'] = true
      grades.delete('hasgroups')
    } else if (name !== 'query') elsewhere[pathOf(name)[0] ?? ''] = 'elsewhere'
  if (Object.keys(elsewhere).length > 0) payload['_claim_names'] = elsewhere
  return payload
}

/** The inverse of `claimFact`. */
const pathOf = (name: string): readonly string[] =>
  name.startsWith('/')
    ? name
        .slice(1)
        .split('/')
        .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    : [name]

/** What no declaration reads becomes an object, which none reads either. */
const putFact = (payload: Payload, path: readonly string[], value: Value): void => {
  const readable = (item: Scalar | null): unknown => item ?? Object.create(null)
  if (value !== undefined) put(payload, path, typeof value === 'object' && value !== null ? value.map(readable) : readable(value))
}
