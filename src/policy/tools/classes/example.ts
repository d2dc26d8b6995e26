import type { Facts, ZoneClocks } from '../../../model/decision.ts'
import type { Claim } from '../../language/claims.ts'
import type { Recognise } from '../../language/recognise-shape.ts'
import type { Tri } from '../../language/tri.ts'
import { buildCaller, resolveCaller, type TestRequest } from '../../tests/caller.ts'
import type { TestFile } from '../../tests/file.ts'
import { requestFacts } from '../../tests/run.ts'
import { type Base, draftOf, factsOf } from './facts.ts'
import { type Choice, unchosen } from './formula.ts'
import type { Route, RouteGroup } from './routes.ts'
import type { Space } from './space.ts'
import type { Subject } from './subject.ts'

/** One request that shows what is meant. */
export interface Example {
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** Caller of the test file; null: described by `words` alone. */
  readonly caller: string | null
  /** What the caller and the request have that matters. */
  readonly words: readonly string[]
  /** Checks whose value was assumed; empty: the engine decides this very request so. */
  readonly assumed: readonly string[]
}

/** A class as a request. */
export interface Sample {
  readonly facts: Facts
  readonly assumed: ReadonlyMap<Subject, Tri>
  readonly example: Example
}

export interface Sampling {
  readonly space: Space
  readonly group: RouteGroup
  readonly base: Base
  readonly zones: ZoneClocks
}

/** The request of a class on one of its routes. */
export const sampleOf = ({ space, group, base, zones }: Sampling, choice: Choice, route: Route): Sample => {
  const draft = draftOf(base)
  const chosen = space.axes.filter(axis => (choice[axis.index] ?? unchosen) !== unchosen)
  for (const axis of chosen) axis.kind.write(draft, axis.values[choice[axis.index] ?? 0])
  const facts = factsOf(draft, base, route.method, route.path, zones)
  const assumed = new Map<Subject, Tri>()
  for (const [subject, key] of group.checks) {
    const value = draft.checks.get(key)
    if (value !== undefined) assumed.set(subject, value)
  }
  const say = (axis: (typeof chosen)[number]): readonly string[] => {
    const said = axis.kind.say(axis.values[choice[axis.index] ?? 0])
    return said === null ? [] : [said]
  }
  return {
    facts,
    assumed,
    example: {
      ...{ method: route.method, target: targetOf(facts), caller: null },
      words: chosen.filter(axis => !space.isCheck(axis)).flatMap(say),
      assumed: chosen.filter(axis => space.isCheck(axis)).flatMap(say),
    },
  }
}

const targetOf = ({ origin: { target } }: Facts): string => `${target.path}${target.query === null ? '' : `?${target.query}`}`

/** What test callers are built against. */
export interface Against {
  readonly recognise: Recognise
  readonly claims: ReadonlyMap<string, Claim>
  readonly zones: ZoneClocks
}

interface Caller {
  readonly name: string
  readonly test: TestFile
}

export const callersIn = (tests: readonly TestFile[]): readonly Caller[] =>
  tests.flatMap(test => [...test.callers.keys()].map(name => ({ name, test })))

/** The request of a sample, made by a caller of a test file. */
export const madeBy = (
  { name, test }: Caller,
  { facts, example }: Sample,
  against: Against,
): { readonly facts: Facts; readonly example: Example } => {
  const { identity, host, clientIp } = buildCaller(name, resolveCaller(name, test.callers), { ...against, now: facts.now })
  const address = clientIp ?? facts.origin.clientIp
  const made = { ...facts, identity, origin: { ...facts.origin, host, clientIp: address } }
  const kept = example.words.filter(word => word.startsWith('at ') || word.startsWith('header '))
  return { facts: made, example: { ...example, caller: name, words: [address ?? 'address unknown', ...kept], assumed: [] } }
}

/** A request of a test file, made by one of its callers. */
export const written = (
  name: string,
  request: TestRequest,
  test: TestFile,
  against: Against,
): { readonly facts: Facts; readonly example: Example } => {
  const { identity, host, clientIp } = buildCaller(name, resolveCaller(name, test.callers), { ...against, now: test.now })
  const facts = requestFacts({ ...request, host, clientIp }, identity, test.now, against.zones)
  const lines = request.headers.flatMap((field, i) => (i % 2 === 0 ? [`header ${field}: ${request.headers[i + 1]}`] : []))
  return {
    facts,
    example: {
      method: request.method,
      target: targetOf(facts),
      caller: name,
      words: [clientIp ?? 'address unknown', ...lines],
      assumed: [],
    },
  }
}

/** In words: `carl, 203.0.113.9`, or what a caller must have. */
export const spelledExample = ({ caller, words, assumed }: Example): string => {
  const who = caller === null ? (words.length === 0 ? ['any caller'] : words) : [caller, ...words]
  return `${who.join(', ')}${assumed.length === 0 ? '' : ` (assuming ${assumed.join(' and ')})`}`
}
