import {
  bad,
  type Context,
  describe,
  entryOf,
  fail,
  integer,
  type JsonSchema,
  oneOrMany,
  optional,
  record,
  type Shape,
  text,
} from '../../config/shape.ts'
import type { Entry, Node } from '../../config/source.ts'
import { type Scalar, scalarShape, scalarType } from './claims.ts'
import { nearestName } from './names.ts'
import type { Scope } from './scope.ts'

/** What one map of `who` asks of a person; all of it must hold. */
export interface Person {
  readonly groups: readonly string[] | null
  readonly scopes: readonly string[] | null
  readonly subject: readonly string[] | null
  readonly issuer: readonly string[] | null
  readonly claims: ReadonlyMap<string, readonly Scalar[]>
}

/** What one map of `who` asks of an agent and of the person that it works for. */
export interface Agent {
  /** Any of these is the acting party; null: any agent. */
  readonly agent: readonly string[] | null
  readonly for: readonly string[]
  readonly maxHops: number | null
  readonly issuer: readonly string[] | null
}

/** Reads one map of `who`. `persons` reads the names that stand under `for`. */
export const callerShape = (scope: Scope, persons: Shape<string>): Shape<Person | Agent> => {
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
    agent: optional<readonly string[] | null>(agents, null, 'The acting party: an agent id, a list of them, or any.'),
    for: optional<readonly string[]>(oneOrMany(persons), [], 'The person that the agent works for; anyone if not given.'),
    'max-hops': optional<number | null>(integer(1, 8), null, 'At most that many nested act levels.'),
  })
  return {
    schema: { ...fields.schema, minProperties: 1 },
    read(node, at) {
      // "All of nothing" would be everybody.
      if (node.kind === 'map' && node.entries.length === 0)
        return fail(
          at,
          node,
          203,
          'an empty map would mean everybody; write groups, scopes, subject, issuer, claims or agent, or use anyone.',
        )
      const [own, claimed] = apartFromClaims(node, fields.fields, scope)
      for (const entry of claimed) fail(at, entry, 201, `${entry.key} is a claim; write claims: { ${entry.key}: ... }.`)
      const value = fields.read(own, at)
      if (!fitTogether(node, at) || value === bad || claimed.length > 0) return bad
      const { groups, scopes, subject, issuer, claims, agent, for: persons, 'max-hops': maxHops } = value
      return agent === null
        ? { groups, scopes, subject, issuer, claims }
        : { agent: agent.includes('any') ? null : agent, for: persons, maxHops, issuer }
    },
  }
}

/** A declared claim beside the keys is what most people try first. */
const apartFromClaims = (node: Node, fields: object, scope: Scope): readonly [Node, readonly Entry[]] => {
  if (node.kind !== 'map') return [node, []]
  const isClaim = ({ key }: Entry): boolean => !Object.hasOwn(fields, key) && scope.claims.has(key)
  return [{ ...node, entries: node.entries.filter(entry => !isClaim(entry)) }, node.entries.filter(isClaim)]
}

/** Whether a map speaks of an agent or of a person: beside `agent`, a group would be read as the agent's by one and as the person's by another. */
const fitTogether = (node: Node, at: Context): boolean => {
  if (node.kind !== 'map') return true
  const ofAgent = entryOf(node, 'agent') !== undefined
  const wrong = node.entries.filter(({ key }) =>
    ofAgent ? ['groups', 'scopes', 'subject', 'claims'].includes(key) : ['for', 'max-hops'].includes(key),
  )
  for (const entry of wrong)
    fail(
      at,
      entry,
      402,
      ofAgent
        ? `${entry.key} stands beside agent, where only for, max-hops and issuer may. Define the person under who, and write its name under for.`
        : `${entry.key} says something about an agent, but agent is missing. Write agent: any, or the agent's id.`,
    )
  return wrong.length === 0
}

const agents: Shape<readonly string[]> = {
  schema: oneOrMany(text('an agent id, or any')).schema,
  read(node, at) {
    const value = oneOrMany(text('an agent id, or any', id => (id === '' ? 'an agent id is empty; write the sub of act.' : null))).read(
      node,
      at,
    )
    // Any of "any" and another: the other would look as if it meant something.
    if (value !== bad && value.length > 1 && value.includes('any'))
      return fail(at, node, 402, 'any stands in a list with agent ids; write agent: any alone, or the ids alone.')
    return value
  },
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
