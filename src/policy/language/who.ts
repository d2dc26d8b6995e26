import type { Held, Later } from '../../config/later.ts'
import { bad, type Context, describe, fail, list, named, oneOrMany, type Shape, text } from '../../config/shape.ts'
import { type Agent, callerShape, type Person } from './caller-shape.ts'
import { nameProblem, unknownName } from './names.ts'
import type { Scope } from './scope.ts'
import type { Side } from './tri.ts'

/** A definition: any of these, each a name or a map. */
export type Definition = readonly (string | Person | Agent)[]

export const anyone = 'anyone'

/** Reads `who`. */
export const whoShape = (scope: Scope, later: Later): Shape<ReadonlyMap<string, Held<Definition>>> =>
  named(later.part(definition(scope)), nameProblem('caller group'), { max: 1000 })

/** Reads `who` and `except` of a rule: names only, so that every group of people has one. */
export const callersShape = (scope: Scope, side: Side): Shape<readonly string[]> =>
  oneOrMany(reference(scope, side === 'refuse' ? unbounded(scope) : undefined))

/** What is wrong with a defined name in this place, and what to write, or null. */
type Check = (name: string) => string | null

/** Whoever is refused with two hops at most passes with three. */
const unbounded =
  ({ bounded }: Scope): Check =>
  name =>
    bounded.has(name)
      ? `"${name}" has max-hops, so an agent with one more hop would escape this refusal. Name agents without max-hops here: a name for { agent: ... } alone.`
      : null

const personsOnly =
  ({ agents }: Scope): Check =>
  name =>
    agents.has(name) ? `"${name}" names an agent, but for means the person that the agent works for. Name persons here.` : null

const definition = (scope: Scope): Shape<Definition> => {
  const one = callerShape(scope, reference(scope, personsOnly(scope)))
  const name = reference(scope)
  const item: Shape<string | Person | Agent> = {
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

const unknownCallers = (name: string, scope: Scope, at: Context): string => {
  if (/^(\*|all|every(one|body))$/i.test(name))
    return `"${name}" is not defined under who. Write anyone, which is every caller of the tenant in person.`
  if (/[, ]/.test(name)) return `"${name}" is not one name; write a list for "any of": [${name.split(/[, ]+/).join(', ')}].`
  return unknownName(at.source, name, 'who', scope.who, [anyone])
}

const reference = (scope: Scope, check: Check = () => null): Shape<string> => ({
  schema: { type: 'string', description: 'anyone, or a name defined under who.' },
  read(node, at) {
    if (node.kind === 'map') return fail(at, node, 203, 'a map stands here; give it a name under who, and write the name.')
    const name = text('anyone, or a name defined under who').read(node, at)
    if (name === bad || name === anyone) return name
    if (!scope.who.has(name)) return fail(at, node, 207, unknownCallers(name, scope, at))
    const wrong = check(name)
    return wrong === null ? name : fail(at, node, 402, wrong)
  },
})
