import { bad, fail, list, optional, record, required, type Shape, text } from '../../config/shape.ts'
import { instant } from '../language/moment.ts'
import { roleProblem, unknownName } from '../language/names.ts'
import type { Scope, Spot } from '../language/scope.ts'
import { type CallerKeys, overridesShape, unknownTestName } from './caller.ts'
import { type Outcome, outcomes, type TestNames } from './grid.ts'

/** One thing that a test file asserts. */
export interface Expectation extends Outcome {
  readonly caller: string
  readonly request: string
  readonly overrides: CallerKeys
  readonly at: number
  /** Rule or reason, where the file names it. */
  readonly by: string | null
  readonly role: string | null
  /** Paths that are removed from the reply; null: not asked. */
  readonly hide: readonly string[] | null
  readonly spot: Spot
}

/** Names that a test file may refer to and that other files define. */
export interface TestScope {
  readonly tenant: string
  readonly policy: Scope
  /** Null: the platform file cannot be read, so no rule can be called unknown. */
  readonly platformRules: ReadonlyMap<string, number> | null
}

export type Case = Omit<Expectation, 'at'> & { readonly at: number | null }

export const caseShape = (scope: TestScope, names: TestNames): Shape<Case> => {
  const fields = record({
    ask: required(askShape(names), 'Write a caller and a request: ask: anna invoice'),
    with: optional<CallerKeys>(overridesShape(scope.policy), new Map(), 'Keys of the caller that differ in this case.'),
    at: optional<number | null>(instant, null, 'Another moment than now.'),
    expect: required(expectShape(scope), 'Write allow, step-up or deny, and by which rule: expect: deny by default'),
    role: optional<string | null>(text('a role name', roleProblem, 206), null, 'The Cassandra role that the permit names.'),
    hide: optional<readonly string[] | null>(list(text('a path such as $.customer')), null, 'All that is removed from the reply, exactly.'),
  })
  return {
    schema: fields.schema,
    read(node, at) {
      const value = fields.read(node, at)
      if (value === bad) return bad
      const { ask, expect, role, hide } = value
      if (role !== null && expect.effect !== 'allow')
        return fail(at, node, 703, 'a request that is not allowed has no role; remove role, or expect allow.')
      if (hide !== null && expect.effect !== 'allow')
        return fail(at, node, 703, 'a request that is not allowed has no reply to hide something from; remove hide, or expect allow.')
      return { ...ask, ...expect, overrides: value.with, at: value.at, role, hide, spot: at.source.position(node.offset) }
    },
  }
}

const askShape = (names: TestNames): Shape<Pick<Expectation, 'caller' | 'request'>> => ({
  schema: { type: 'string', pattern: '^\\S+ \\S+$' },
  read(node, at) {
    const value = text('a caller and a request, such as anna invoice').read(node, at)
    if (value === bad) return bad
    const [caller = '', request = '', ...more] = value.split(' ')
    if (request === '' || more.length > 0)
      return fail(at, node, 703, `"${value}" is not a question; write a caller, one blank and a request.`)
    if (!names.callers.has(caller)) return fail(at, node, 701, unknownTestName(at.source, 'caller', caller, names.callers))
    return names.requests.has(request)
      ? { caller, request }
      : fail(at, node, 701, unknownTestName(at.source, 'request', request, names.requests))
  },
})

/** Reasons of a refusal that are not rules. */
const reasons = ['default', 'tenant-mismatch']

const expectShape = (scope: TestScope): Shape<Outcome & Pick<Expectation, 'by'>> => ({
  schema: { type: 'string', pattern: '^(allow-?|step-up[+-]?|deny\\+?)( by \\S+)?$' },
  read(node, at) {
    const value = text('allow, step-up or deny, then "by" and a rule').read(node, at)
    if (value === bad) return bad
    const found = /^(\S+)(?: by (\S+))?$/.exec(value)
    const outcome = outcomes.get(found?.[1] ?? '')
    if (outcome === undefined)
      return fail(
        at,
        node,
        703,
        `"${value}" is not an expectation; write allow, step-up or deny ("deny+" where shadow rules would make it wider, "allow-" narrower), then "by" and a rule or reason: deny by default.`,
      )
    const { effect } = outcome
    const by = found?.[2] ?? null
    if (effect !== 'deny' && by !== null && reasons.includes(by)) return fail(at, node, 703, `${by} only ever denies; write deny by ${by}.`)
    if (by === null || reasons.includes(by) || scope.policy.rules.has(by)) return { ...outcome, by }
    if (scope.platformRules === null || scope.platformRules.has(by)) return { ...outcome, by }
    return fail(at, node, 701, unknownName(at.source, by, 'rules', new Map([...scope.platformRules, ...scope.policy.rules]), reasons))
  },
})
