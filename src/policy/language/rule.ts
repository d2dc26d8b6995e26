import {
  type Bad,
  bad,
  type Context,
  choice,
  entryOf,
  type Field,
  fail,
  type JsonSchema,
  optional,
  record,
  required,
  type Shape,
  text,
} from '../../config/shape.ts'
import type { Entry, Node } from '../../config/source.ts'
import { noObligations, type Obligations } from '../../model/obligation.ts'
import { type Login, loginShape } from './login.ts'
import { firstMoment, lastMoment } from './moment.ts'
import { nameProblem, roleProblem } from './names.ts'
import { agentsNamed, obligationFields } from './obligations.ts'
import { linesShape, type RouteLine } from './pattern.ts'
import type { Scope, Spot } from './scope.ts'
import type { Side } from './tri.ts'
import { type When, whenShape } from './when.ts'
import { callersShape } from './who.ts'

export interface Rule {
  readonly effect: 'allow' | 'deny'
  readonly name: string
  readonly why: string
  /** `shadow`: decided and logged, never enforced. */
  readonly mode: 'enforce' | 'shadow'
  readonly who: readonly string[]
  readonly except: readonly string[]
  readonly to: readonly RouteLine[]
  readonly when: When | null
  /** First moment at which the rule holds, and first at which it no longer does; null: no such bound. */
  readonly from: number | null
  readonly until: number | null
  /** Of an allow. */
  readonly login: Login | null
  readonly role: { readonly name: string; readonly spot: Spot } | null
  /** Of an allow: its own `then`, without `always`. */
  readonly own: Obligations
  readonly spot: Spot
}

/** A key of the format that makes no sense in this place: an error with the reason, never ignored. */
export const misplaced = <T = never>(number: number, message: string, initial?: T): Field<T> => ({
  shape: { schema: { not: {} }, read: (node, at) => fail(at, node, number, message) },
  doc: message,
  required: false,
  initial,
  restart: false,
})

export const roleShape = text('a role name', roleProblem, 206)

const why = text('the reason for this rule, in one line', value =>
  value.length >= 1 && value.length <= 300 && !/\p{Cc}/u.test(value)
    ? null
    : `why has ${value.length} characters or a line break; write one line of 1 to 300 characters.`,
)

const common = (scope: Scope, side: Side) => ({
  why: required(why, 'Write the reason for the rule in one line.'),
  who: required(callersShape(scope, side), 'Write anyone, or a name defined under who.'),
  except: optional<readonly string[]>(
    callersShape(scope, side === 'grant' ? 'refuse' : 'grant'),
    [],
    'Callers that the rule does not mean.',
  ),
  to: required(linesShape, 'Write methods and a path: to: GET /v1/invoices/{invoice}'),
  when: optional<When | null>(whenShape(scope), null, 'Further conditions; all must hold.'),
  mode: optional<Rule['mode']>(choice(['enforce', 'shadow']), 'enforce', 'shadow: decided and logged, never enforced.'),
  from: optional<number | null>(firstMoment, null, 'First moment at which the rule holds; a day means 00:00 UTC.'),
  until: optional<number | null>(lastMoment, null, 'First moment at which it no longer holds.'),
})

const allowShape = (scope: Scope) =>
  record({
    allow: required(text('a name for the rule', nameProblem('rule'), 206), 'Grants, under this name.'),
    ...common(scope, 'grant'),
    'needs-login': optional<Login | null>(loginShape, null, 'How the person must have signed in; judged last.'),
    // biome-ignore lint/suspicious/noThenProperty: the key of the format; no rule is ever awaited
    then: optional<Then | null>(thenShape, null, 'Obligations of this rule.'),
  })

const denyShape = (scope: Scope) =>
  record({
    deny: required(text('a name for the rule', nameProblem('rule'), 206), 'Refuses, under this name.'),
    ...common(scope, 'refuse'),
    'needs-login': misplaced(401, 'needs-login stands in an allow only; a deny refuses however the person signed in. Remove it.'),
    // biome-ignore lint/suspicious/noThenProperty: the key of the format; no rule is ever awaited
    then: misplaced(401, 'then stands in an allow only; a deny has nothing to hand over. Remove it.'),
  })

const spotted: Shape<{ readonly name: string; readonly spot: Spot }> = {
  schema: roleShape.schema,
  read(node, at) {
    const name = roleShape.read(node, at)
    return name === bad ? bad : { name, spot: at.source.position(node.offset) }
  },
}

interface Then extends Obligations {
  readonly role: Rule['role']
}

const thenShape: Shape<Then> = (() => {
  const fields = record({
    'cassandra-role': optional<Rule['role']>(spotted, null, 'Role whose current credential the backend receives.'),
    ...obligationFields('rule'),
  })
  return {
    schema: fields.schema,
    read(node, at) {
      const value = fields.read(node, at)
      return value === bad ? bad : { role: value['cassandra-role'], hide: value.hide, limits: value.limit }
    },
  }
})()

/** An editor that is told which of the two is meant says what is wrong with it; of an "any of" it would say what is wrong with both. */
const eitherOf = (allow: JsonSchema, deny: JsonSchema): JsonSchema => ({
  if: { required: ['allow'] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema; no schema is ever awaited
  then: allow,
  else: deny,
})

export const ruleShape = (scope: Scope): Shape<Rule> => {
  const allow = allowShape(scope)
  const deny = denyShape(scope)
  return {
    schema: scope.platform ? deny.schema : eitherOf(allow.schema, deny.schema),
    read(node, at) {
      const entry = effectOf(node, at, scope)
      if (entry === bad) return bad
      const spot = at.source.position(entry.value.offset)
      if (entry.key === 'allow') {
        const rule = allow.read(node, at)
        if (rule === bad || !inOrder(rule, node, at)) return bad
        const then: Then = rule.then ?? { role: null, ...noObligations }
        if (!agentsNamed(then.limits, rule.who, scope.agents, node, at)) return bad
        const { role, hide, limits } = then
        return { ...parts(rule), effect: 'allow', name: rule.allow, login: rule['needs-login'], role, own: { hide, limits }, spot }
      }
      const rule = deny.read(node, at)
      return rule === bad || !inOrder(rule, node, at)
        ? bad
        : { ...parts(rule), effect: 'deny', name: rule.deny, login: null, role: null, own: noObligations, spot }
    },
  }
}

type Common = Pick<Rule, 'why' | 'mode' | 'who' | 'except' | 'to' | 'when' | 'from' | 'until'>
const parts = ({ why, mode, who, except, to, when, from, until }: Common): Common => ({ why, mode, who, except, to, when, from, until })

/** A deny whose window is empty would silently refuse nobody. */
const inOrder = ({ from, until }: Pick<Rule, 'from' | 'until'>, node: Node, at: Context): boolean => {
  const end = node.kind === 'map' ? entryOf(node, 'until') : undefined
  if (from === null || until === null || from < until || end === undefined) return true
  fail(at, end.value, 405, 'until is not after from, so the rule never holds; write a later moment.')
  return false
}

const effectOf = (node: Node, at: Context, scope: Scope): Entry | Bad => {
  if (node.kind !== 'map') return fail(at, node, 203, 'a rule is a map; write "- allow: name" or "- deny: name" and its keys below.')
  const [allow, deny] = [entryOf(node, 'allow'), entryOf(node, 'deny')]
  const entry = allow ?? deny
  if (entry === undefined) return fail(at, node, 202, 'the rule says neither allow nor deny; begin it with "allow: name" or "deny: name".')
  if (allow && deny) return fail(at, deny, 202, 'the rule says allow and deny; write two rules, each with a name of its own.')
  if (allow && scope.platform)
    return fail(at, allow, 406, "the platform file only refuses; move the allow into a tenant's file, or write a deny.")
  if (node.entries[0] !== entry) fail(at, entry, 202, `${entry.key} is not the first key of its rule; move it to the top.`)
  return entry
}
