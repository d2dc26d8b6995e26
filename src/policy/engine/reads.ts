import { createHash } from 'node:crypto'
import type { Origin } from '../../model/exchange.ts'
import type { Fact, FactValue, Reading, Reads, Scalar } from '../../model/fact.ts'
import type { Identity } from '../../model/identity.ts'
import { groupsOverflow, isElsewhere, walk } from '../language/claims.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { Rule } from '../language/rule.ts'
import type { Definition } from '../language/who.ts'
import { withoutBlanks } from './header.ts'
import { readQuery } from './query.ts'

/** Parts of an identity with keys of their own in a policy, by the token claim that they come from. */
export type Standard = 'aud' | 'scope' | 'acr' | 'amr' | 'auth_time'

/** Names of everything that rules read and that a record does not hold anyway. */
export interface ReadSet {
  readonly standard: ReadonlySet<Standard>
  /** Paths into the payload, by fact name. */
  readonly claims: ReadonlyMap<string, readonly string[]>
  readonly headers: ReadonlySet<string>
  readonly query: ReadonlySet<string>
}

/** The name of a claim as a fact: itself at the top level, else a JSON pointer, so that it is never the name of another kind of fact. */
export const claimFact = (path: readonly string[]): string => {
  const [top = ''] = path
  if (path.length === 1 && !/^(\/|aud$|scope$|header\.|query\.)/.test(top)) return top
  return path.map(key => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** What the rules of these policies read, and these token claims beside it. */
export const readSet = (documents: readonly PolicyDocument[], recognised: Iterable<string>): ReadSet => {
  const set = {
    standard: new Set<Standard>(['aud']),
    claims: new Map([...recognised].map(name => [claimFact([name]), [name] as readonly string[]])),
    headers: new Set<string>(),
    query: new Set<string>(),
  }
  for (const { rules, who, claims } of documents) {
    const claim = (name: string): void => {
      const path = claims.get(name)?.from ?? [name]
      set.claims.set(claimFact(path), path)
    }
    const seen = new Set<string>()
    for (const rule of rules) {
      for (const name of [...rule.who, ...rule.except]) addCallers(name, who, seen, claim, () => set.standard.add('scope'))
      addConditions(rule, set, claim)
    }
  }
  return set
}

const addCallers = (
  name: string,
  who: ReadonlyMap<string, Definition>,
  seen: Set<string>,
  claim: (name: string) => void,
  scopes: () => void,
): void => {
  if (seen.has(name)) return
  seen.add(name)
  for (const part of who.get(name) ?? []) {
    if (typeof part === 'string') addCallers(part, who, seen, claim, scopes)
    else if ('agent' in part) for (const person of part.for) addCallers(person, who, seen, claim, scopes)
    else {
      if (part.groups) claim('groups')
      if (part.scopes) scopes()
      for (const one of part.claims.keys()) claim(one)
    }
  }
}

interface Growing {
  readonly standard: Set<Standard>
  readonly headers: Set<string>
  readonly query: Set<string>
}

const addConditions = ({ when, login }: Rule, set: Growing, claim: (name: string) => void): void => {
  for (const name of when?.header.keys() ?? []) set.headers.add(name)
  for (const name of when?.query.keys() ?? []) set.query.add(name)
  const reads = when?.check?.reads
  for (const name of reads?.claims ?? []) claim(name)
  for (const name of reads?.header ?? []) set.headers.add(name)
  for (const name of reads?.query ?? []) set.query.add(name)
  if (reads?.facts.includes('scopes')) set.standard.add('scope')
  if (login?.acr) set.standard.add('acr')
  if (login?.amr) set.standard.add('amr')
  if (login?.within) set.standard.add('auth_time')
}

const nothing: Reading = { facts: [], incomplete: [], partial: false }

/** Names of one kind that are read for a record, however many the rules have. */
const mostNames = 256

/** Compiles a read set; facts come in order of name. */
export const compileReads = ({ standard: wholes, claims, headers, query }: ReadSet): Reads => {
  const ofIdentity = [...wholes].sort().map(name => [name, readers[name]] as const)
  const others = [...claims].filter(([name]) => !wholes.has(name as Standard)).sort(([a], [b]) => (a < b ? -1 : 1))
  const paths = others.slice(0, mostNames)
  const fields = [...headers].sort().slice(0, mostNames)
  const parameters = [...query].sort().slice(0, mostNames)
  const partial = fields.length < headers.size || parameters.length < query.size
  return {
    ofToken(identity) {
      const facts: Fact[] = ofIdentity.map(([name, read]) => ({ name, value: read(identity) }))
      const incomplete: string[] = groupsOverflow(identity.claims) ? ['hasgroups'] : []
      for (const [name, path] of paths) {
        facts.push({ name, value: factValue(walk(identity.claims, path)) })
        if (isElsewhere(identity.claims, path[0] ?? '')) incomplete.push(name)
      }
      return { facts, incomplete, partial: paths.length < others.length }
    },
    ofRequest(origin) {
      if (fields.length + parameters.length === 0) return nothing
      const { facts, incomplete } = readParameters(origin, parameters)
      return { facts: [...readFields(origin, fields), ...facts], incomplete, partial }
    },
  }
}

const readers: Readonly<Record<Standard, (identity: Identity) => FactValue>> = {
  aud: identity => identity.audiences,
  scope: identity => identity.scopes,
  acr: identity => factValue(identity.claims['acr']),
  amr: identity => factValue(identity.claims['amr']),
  auth_time: identity => factValue(identity.claims['auth_time']),
}

const isScalar = (value: unknown): value is Scalar => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

const factValue = (value: unknown): FactValue => {
  if (value === undefined || value === null) return undefined
  if (isScalar(value)) return value
  return Array.isArray(value) ? value.map(item => (isScalar(item) ? item : null)) : null
}

/** Everything that occurs under each of the names. */
const gathered = <T extends string | null>(
  prefix: string,
  names: readonly string[],
  each: (take: (name: string, value: T) => void) => void,
): Fact[] => {
  const values = new Map<string, T[]>(names.map(name => [name, []]))
  each((name, value) => values.get(name)?.push(value))
  return [...values].map(([name, found]) => ({ name: `${prefix}.${name}`, value: found.length === 0 ? undefined : found }))
}

const readFields = ({ headers }: Origin, names: readonly string[]): Fact[] =>
  gathered<string>('header', names, take => {
    for (let i = 0; i < headers.length; i += 2) take(headers[i] ?? '', withoutBlanks(headers[i + 1] ?? ''))
  })

const readParameters = ({ target }: Origin, names: readonly string[]): Pick<Reading, 'facts' | 'incomplete'> => {
  if (names.length === 0) return nothing
  const { parameters, broken } = readQuery(target.query)
  // Whether such a name is there at all is a matter of who reads: it stays off the record, and so unknown.
  const doubtful = new Set(parameters.flatMap(({ name, certain }) => (certain ? [] : name)))
  const told = names.filter(name => !doubtful.has(name))
  const facts = gathered<string | null>('query', told, take => {
    for (const { name, value } of parameters) take(name, value)
  })
  return { facts, incomplete: broken ? ['query'] : [] }
}

/** Equal digests: the same requests are recognised. */
export const recogniseDigest = ({ host, issuer, audience, claims }: Recognise): string => {
  const sorted = (values: readonly string[]): readonly string[] => [...new Set(values)].sort()
  const byName = [...claims].map(([name, values]) => [name, sorted(values)] as const).sort(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify([host && sorted(host), sorted(issuer), sorted(audience), byName])
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}
