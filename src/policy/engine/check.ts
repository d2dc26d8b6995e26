import type { Facts } from '../../model/decision.ts'
import { nobody } from '../../model/identity.ts'
import { decodeSegment } from '../../model/target.ts'
import type { Check } from '../check/ast.ts'
import { type Binding, compileCheck, type Value } from '../check/compile.ts'
import { type Claim, claimReader, faulty } from '../language/claims.ts'
import type { RouteLine } from '../language/pattern.ts'
import { either, no, type Side, type Tri, told, unsure } from '../language/tri.ts'
import { routeIndex } from './few-routes.ts'
import { withoutBlanks } from './header.ts'
import { hasParameter, type Query } from './query.ts'
import { candidates } from './route-index.ts'

/** What an expression looks at. */
interface Asked {
  readonly facts: Facts
  readonly query: Query
}

/** Where these lines put the variables that the expression reads. */
const placesIn = (check: Check, { segments }: RouteLine): readonly number[] =>
  check.reads.path.map(name => segments.findIndex(segment => 'variable' in segment && segment.variable === name))

/** What `checkTest` gives depends on this alone; null: on the lines themselves. */
export const checkKey = (check: Check, lines: readonly RouteLine[], claims: ReadonlyMap<string, Claim>): readonly unknown[] | null => {
  const [places = '', ...others] = new Set(lines.map(line => placesIn(check, line).join()))
  return others.length > 0 ? null : [check.text, places, ...check.reads.claims.map(name => [name, claims.get(name)])]
}

/**
 * Compiles `when.check` of a rule. A rule with several `to` lines is several rules of one name, each with its own
 * variables: where the lines put a variable at different places, the expression is asked for each line that fits.
 */
export const checkTest = (
  check: Check,
  lines: readonly RouteLine[],
  claims: ReadonlyMap<string, Claim>,
  side: Side,
): ((asked: Asked) => Tri) => {
  const groups = new Map<string, { readonly places: readonly number[]; readonly lines: RouteLine[] }>()
  for (const line of lines) {
    const places = placesIn(check, line)
    const group = groups.get(places.join()) ?? { places, lines: [] }
    group.lines.push(line)
    groups.set(places.join(), group)
  }
  const tests = [...groups.values()].map(({ places }) =>
    compileCheck(
      check.root,
      binding(claims, name => places[check.reads.path.indexOf(name)]),
    ),
  )
  const [only] = tests
  if (only !== undefined && tests.length === 1) return only
  const index = routeIndex(
    [...groups.values()].map(group => group.lines),
    side === 'refuse' ? 'deny' : 'allow',
  )
  return asked => {
    const { method, target } = asked.facts.origin
    return candidates(index, method, target.path).reduce<Tri>((out, number) => either(out, tests[number]?.(asked) ?? unsure), no)
  }
}

const binding = (claims: ReadonlyMap<string, Claim>, placeOf: (name: string) => number | undefined): Binding<Asked> => ({
  value(of, name) {
    if (of === 'path') {
      const place = placeOf(name)
      return asked => (place === undefined ? undefined : segment(asked.facts.origin.target.path, place))
    }
    if (of === 'query') return asked => parameter(asked.query, name)
    if (of === 'header') return asked => header(asked.facts.origin.headers, name)
    if (of === 'fact') return factOf(name)
    const read = claimOf(name, claims)
    return ({ facts }) => {
      const found = read(facts.identity.claims)
      return found === faulty || found === undefined ? undefined : wellFormed(found as Value)
    }
  },
  present(of, name) {
    if (of === 'query') return asked => hasParameter(asked.query, name)
    if (of === 'header') return asked => hasHeader(asked.facts.origin.headers, name)
    const read = claimOf(name, claims)
    return ({ facts }) => {
      const found = read(facts.identity.claims)
      return found === faulty || facts.identity === nobody ? unsure : told(found !== undefined)
    }
  },
})

const claimOf = (name: string, claims: ReadonlyMap<string, Claim>): ReturnType<typeof claimReader> => {
  const claim = claims.get(name)
  return claim === undefined ? () => faulty : claimReader(name, claim)
}

const factOf = (name: string): ((asked: Asked) => Value | undefined) => {
  if (name === 'method') return asked => asked.facts.origin.method
  const part = name === 'subject' ? 'subject' : 'scopes'
  return ({ facts: { identity } }) => (identity === nobody ? undefined : wellFormed(identity[part]))
}

/** Half a character in a token would begin and end what it is no part of. */
const wellFormed = (value: Value): Value | undefined => {
  if (typeof value === 'string') return value.isWellFormed() ? value : undefined
  if (typeof value !== 'object') return value
  for (const item of value) if (typeof item === 'string' && !item.isWellFormed()) return undefined
  return value
}

/** A segment of a canonical path, decoded once. */
const segment = (path: string, place: number): string | undefined => {
  let from = 1
  for (let i = 0; i < place; i++) {
    from = path.indexOf('/', from) + 1
    if (from === 0) return undefined
  }
  const end = path.indexOf('/', from)
  return decodeSegment(end < 0 ? path.slice(from) : path.slice(from, end))
}

/** The one value that every server reads; anything else is an error. */
const parameter = ({ parameters, broken }: Query, name: string): string | undefined => {
  if (broken) return undefined
  let value: string | null = null
  let seen = false
  for (const found of parameters) {
    if (found.name !== name) continue
    if (seen || !found.certain) return undefined
    seen = true
    value = found.value
  }
  return value ?? undefined
}

const header = (headers: readonly string[], name: string): string | undefined => {
  let value: string | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue
    if (value !== undefined) return undefined
    value = withoutBlanks(headers[i + 1] ?? '')
  }
  return value === '' ? undefined : value
}

/** As `present` under `when.header`: a line that is not empty. Lines that disagree on it are an error. */
const hasHeader = (headers: readonly string[], name: string): Tri => {
  let out: Tri | null = null
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue
    const held = told(withoutBlanks(headers[i + 1] ?? '') !== '')
    out = out === null || out === held ? held : unsure
  }
  return out ?? no
}
