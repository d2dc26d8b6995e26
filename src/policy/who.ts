import {
  bad,
  type Context,
  describe,
  fail,
  type JsonSchema,
  list,
  named,
  notBuilt,
  oneOrMany,
  optional,
  record,
  type Shape,
  text,
} from '../config/shape.ts'
import { type Scalar, scalarShape, scalarType } from './claims.ts'
import { nameProblem, nearestName, unknownName } from './names.ts'
import type { Scope } from './scope.ts'

/** What one map of `who` asks; all of it must hold. */
export interface Caller {
  readonly groups: readonly string[] | null
  readonly scopes: readonly string[] | null
  readonly subject: readonly string[] | null
  readonly issuer: readonly string[] | null
  readonly claims: ReadonlyMap<string, readonly Scalar[]>
}

/** A definition: any of these, each a name or a map. */
export type Definition = readonly (string | Caller)[]

export const anyone = 'anyone'

/** Reads `who`. */
export const whoShape = (scope: Scope): Shape<ReadonlyMap<string, Definition>> =>
  named(definition(scope), nameProblem('caller group'), { max: 1000 })

/** Reads `who` and `except` of a rule: names only, so that every group of people has one. */
export const callersShape = (scope: Scope): Shape<readonly string[]> => oneOrMany(reference(scope))

const definition = (scope: Scope): Shape<Definition> => {
  const one = caller(scope)
  const name = reference(scope)
  const item: Shape<string | Caller> = {
    schema: { anyOf: [name.schema, one.schema] },
    read: (node, at) => (node.kind === 'map' ? one.read(node, at) : name.read(node, at)),
  }
  const many = list(item, { min: 1 })
  return {
    schema: { anyOf: [one.schema, many.schema] },
    read(node, at) {
      if (node.kind === 'list') return many.read(node, at)
      if (node.kind !== 'map')
        return fail(
          at,
          node,
          203,
          `${describe(node)} defines nobody; write a map such as { groups: [staff] }, or a list of names and maps.`,
        )
      const value = one.read(node, at)
      return value === bad ? bad : [value]
    },
  }
}

const reference = (scope: Scope): Shape<string> => ({
  schema: { type: 'string', description: 'anyone, or a name defined under who.' },
  read(node, at) {
    if (node.kind === 'map') return fail(at, node, 203, 'a map stands here; give it a name under who, and write the name.')
    const name = text('anyone, or a name defined under who').read(node, at)
    if (name === bad || name === anyone || scope.who.has(name)) return name
    return fail(at, node, 207, unknownName(at.source, name, 'who', scope.who, [anyone]))
  },
})

const caller = (scope: Scope): Shape<Caller> => {
  const fields = record({
    groups: optional<readonly string[] | null>(groups(scope), null, 'The claim groups contains one of them.'),
    scopes: optional<readonly string[] | null>(oneOrMany(text('a scope', oneScope)), null, 'The token has one of them in scope or scp.'),
    subject: optional<readonly string[] | null>(oneOrMany(text('a subject')), null, 'sub equals one of them.'),
    issuer: optional<readonly string[] | null>(oneOrMany(issuer(scope)), null, 'iss equals one of them.'),
    claims: optional<ReadonlyMap<string, readonly Scalar[]>>(
      claimValues(scope),
      new Map(),
      'Each claim equals one value; a list claim contains one.',
    ),
    agent: notBuilt('The acting party.'),
    for: notBuilt('The person that the agent works for.'),
    'max-hops': notBuilt('At most that many nested act levels.'),
  })
  return {
    schema: { ...fields.schema, minProperties: 1 },
    read(node, at) {
      // "All of nothing" would be everybody.
      if (node.kind === 'map' && node.entries.length === 0)
        return fail(at, node, 203, 'an empty map would mean everybody; write groups, scopes, subject, issuer or claims, or use anyone.')
      return fields.read(node, at)
    },
  }
}

const oneScope = (value: string): string | null =>
  value === '' || value.includes(' ') ? `"${value}" is not one scope; write a list for "any of": [a, b].` : null

const groups = (scope: Scope): Shape<readonly string[]> => {
  const names = oneOrMany(text('a group'))
  return {
    schema: names.schema,
    read(node, at) {
      const claim = scope.claims.get('groups')
      if (claim === undefined) return fail(at, node, 502, 'groups are read here but not declared. Add "groups: list<string>" under claims.')
      if (claim !== null && claim.type !== 'list<string>')
        return fail(
          at,
          node,
          502,
          `groups are declared as ${claim.type}; declare "groups: list<string>", or compare the claim under claims here.`,
        )
      return names.read(node, at)
    },
  }
}

const issuer = (scope: Scope): Shape<string> =>
  text(
    'an issuer that stands in recognise.issuer',
    value =>
      scope.issuers === null || scope.issuers.includes(value)
        ? null
        : `"${value}" does not stand in recognise.issuer, so no caller can have it. Write ${scope.issuers.join(' or ') || 'it there'}, or add it there.`,
    207,
  )

const claimValues = (scope: Scope): Shape<ReadonlyMap<string, readonly Scalar[]>> => ({
  schema: { type: 'object', minProperties: 1, additionalProperties: anyScalar },
  read(node, at) {
    if (node.kind !== 'map') return fail(at, node, 203, `claims is ${describe(node)}; write a map: claim: value.`)
    if (node.entries.length === 0) return fail(at, node, 203, 'an empty map of claims would mean everybody; write a claim and its value.')
    const values = new Map<string, readonly Scalar[]>()
    let failed = false
    for (const entry of node.entries) {
      const declared = scope.claims.get(entry.key)
      if (declared === undefined) fail(at, entry, 502, undeclared(at, entry.key, scope))
      const read = declared ? oneOrMany(scalarShape(scalarType(declared.type), entry.key)).read(entry.value, under(at, entry.key)) : bad
      if (read === bad) failed = true
      else values.set(entry.key, read)
    }
    return failed ? bad : values
  },
})

const under = (at: Context, key: string): Context => ({ ...at, path: `${at.path}.${key}` })

const undeclared = (at: Context, name: string, scope: Scope): string => {
  const guess = nearestName(at.source, name, scope.claims.keys())
  return `"${name}" is not declared under claims. ${guess ? `Write ${guess}, or declare` : 'Declare'} it: "${name}: string".`
}

const anyScalar: JsonSchema = { anyOf: ['string', 'number', 'boolean', 'array'].map(type => ({ type })) }
