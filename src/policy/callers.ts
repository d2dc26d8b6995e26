import type { Identity } from '../model/identity.ts'
import { type Claim, claimReader, faulty, type Scalar } from './claims.ts'
import { both, either, no, type Side, type Tri, told, unsure, yes } from './tri.ts'
import { anyone, type Caller, type Definition } from './who.ts'

export type CallerTest = (identity: Identity) => Tri

/**
 * Compiles the callers of a rule for one side. On the grant side an agent is nobody: what a person may do passes to
 * no agent. On the refuse side the person behind the agent is compared, so a deny follows them.
 */
export const callersTest = (names: readonly string[], definitions: ReadonlyMap<string, CallerTest>, side: Side): CallerTest => {
  const person = anyOf(names.map(name => (name === anyone ? everybody : (definitions.get(name) ?? nobodyKnows))))
  return side === 'refuse' ? person : identity => (identity.agents.length > 0 ? no : person(identity))
}

const everybody: CallerTest = () => yes
const nobodyKnows: CallerTest = () => unsure

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

/**
 * One flat list of tests for each name. "Any of" within "any of" is "any of": flattened and without repetition,
 * no nesting of names can make one caller expensive.
 */
export const compileWho = (who: ReadonlyMap<string, Definition>, claims: ReadonlyMap<string, Claim>): ReadonlyMap<string, CallerTest> => {
  const flat = new Map<string, readonly CallerTest[]>()
  const compile = (name: string): readonly CallerTest[] => {
    const known = flat.get(name)
    if (known !== undefined) return known
    const tests = new Set<CallerTest>()
    for (const part of who.get(name) ?? []) {
      if (part === anyone) tests.add(everybody)
      else if (typeof part === 'string') for (const test of compile(part)) tests.add(test)
      else tests.add(callerTest(part, claims))
    }
    const list = [...tests]
    flat.set(name, list)
    return list
  }
  return new Map([...who.keys()].map(name => [name, anyOf(compile(name))]))
}

const callerTest = (caller: Caller, claims: ReadonlyMap<string, Claim>): CallerTest => {
  const tests: CallerTest[] = []
  if (caller.issuer) tests.push(oneOf(caller.issuer, identity => identity.issuer))
  if (caller.subject) tests.push(oneOf(caller.subject, identity => identity.subject))
  if (caller.scopes) tests.push(scopesTest(caller.scopes))
  if (caller.groups) tests.push(claimTest('groups', caller.groups, claims))
  for (const [name, values] of caller.claims) tests.push(claimTest(name, values, claims))
  return identity => {
    let out: Tri = yes
    for (const test of tests) {
      out = both(out, test(identity))
      if (out === no) return no
    }
    return out
  }
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
  if (claim === undefined) return nobodyKnows
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

/** Definitions that lead back to themselves, or are too many names deep, with what to say about each. */
export const circles = (definitions: ReadonlyMap<string, readonly string[]>, deepest = 4): ReadonlyMap<string, string> => {
  const faults = new Map<string, string>()
  const depths = new Map<string, number>()
  const depth = (name: string, path: readonly string[]): number => {
    const known = depths.get(name)
    if (known !== undefined) return known
    const here = [...path, name]
    let most = 0
    for (const next of definitions.get(name) ?? []) {
      const start = here.indexOf(next)
      if (start >= 0)
        faults.set(name, `"${name}" leads back to itself (${[...here.slice(start), next].join(' -> ')}). Remove one of the names.`)
      else most = Math.max(most, depth(next, here))
    }
    depths.set(name, most + 1)
    if (most >= deepest && !faults.has(name))
      faults.set(name, `"${name}" is ${most + 1} names deep; at most ${deepest} are read. Write the inner names here.`)
    return most + 1
  }
  for (const name of definitions.keys()) depth(name, [])
  return faults
}
