import { bad, type Context, fail, list, optional, parsed, record, type Shape, Wrong } from '../../config/shape.ts'
import type { Node } from '../../config/source.ts'
import type { HidePath, HideStep, Limit, Obligations } from '../../model/obligation.ts'

const advice = 'write $.a.b, $.a[*].b, $[*].a or $..name, ending in a name.'

/** Reads a path; null where the spelling is not one of the four. */
const parsePath = (text: string): HidePath | Wrong => {
  const anywhere = /^\$\.\.([^\s.[\]*"'$\\]+)$/.exec(text)
  if (anywhere) return { text, steps: [{ kind: 'anywhere', name: anywhere[1] ?? '' }] }
  if (!/^\$(\[\*\]|\.[^\s.[\]*"'$\\]+)*\.[^\s.[\]*"'$\\]+$/.test(text))
    return new Wrong(`"${text}" is not a path to a member of a JSON reply; ${advice}`)
  const steps = [...text.matchAll(/\[\*\]|\.([^.[]+)/g)].map(
    ([, name]): HideStep => (name === undefined ? { kind: 'each' } : { kind: 'member', name }),
  )
  return { text, steps }
}

const hideShape: Shape<readonly HidePath[]> = list(parsed('a path such as $.customer.tax_id', parsePath, 403), { min: 1, max: 32 })

const units = { s: 1, min: 60, h: 3600, day: 86_400 } as const
const mostPerWindow = 1_000_000_000

const parseLimit =
  (over: Limit['over']) =>
  (text: string): Limit | Wrong => {
    const found = /^([1-9]\d{0,9})\/(s|min|h|day) per (tenant|caller|agent)$/.exec(text)
    const amount = Number(found?.[1])
    if (!found || amount > mostPerWindow)
      return new Wrong(`"${text}" is not a limit; write a number, s, min, h or day, and tenant, caller or agent: 20/min per caller.`)
    return { text, amount, seconds: units[found[2] as keyof typeof units], per: found[3] as Limit['per'], over }
  }

const limitsShape = (over: Limit['over']): Shape<readonly Limit[]> =>
  list(parsed('a limit such as 20/min per caller', parseLimit(over), 403), { min: 1, max: 8 })

/** The obligations that stand in `then` as well as in `always`. */
export const obligationFields = (over: Limit['over']) => ({
  hide: optional<readonly HidePath[]>(hideShape, [], 'Members that are removed from JSON replies.'),
  limit: optional<readonly Limit[]>(limitsShape(over), [], 'Rate limits; all must have room.'),
})

/** Reads `always`. */
export const alwaysShape = (platform: boolean): Shape<Obligations> => {
  const fields = record(obligationFields(platform ? 'platform' : 'tenant'))
  return {
    schema: fields.schema,
    read(node, at) {
      const value = fields.read(node, at)
      return value === bad ? bad : { hide: value.hide, limits: value.limit }
    },
  }
}

/** An agent's limit in a rule that no agent can use would be a promise that nothing keeps. */
export const agentsNamed = (
  limits: readonly Limit[],
  who: readonly string[],
  agents: ReadonlySet<string>,
  node: Node,
  at: Context,
): boolean => {
  if (who.some(name => agents.has(name)) || !limits.some(limit => limit.per === 'agent')) return true
  fail(at, node, 403, 'a limit per agent stands in a rule whose who names no agents; write per caller, or move it to always.')
  return false
}
