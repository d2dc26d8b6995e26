import { formatDuration } from '../../config/values.ts'
import { spelledObligations } from '../../model/obligation.ts'
import type { Login } from '../language/login.ts'
import { type Tri, unsure, yes } from '../language/tri.ts'
import { anyone } from '../language/who.ts'
import type { Axis } from './classes/axis.ts'
import type { Form } from './classes/forms.ts'
import { type Choice, onlyNo, onlyYes, possible, unchosen } from './classes/formula.ts'
import type { Space } from './classes/space.ts'
import type { Transition } from './classes/transitions.ts'
import { type Owed, owedDelta } from './owed.ts'

export type Kind = 'GAINS' | 'LOSES' | 'OBLIGATIONS' | 'ORDER'

/** A change in words. */
export interface Described {
  /** Names of `who`. */
  readonly who: readonly string[]
  /** What else all of these requests have, as far as it can be said in a few words. */
  readonly conditions: readonly string[]
  /** Of obligations: what is taken away and added. */
  readonly delta: readonly string[]
}

/** Null: it is a change to nobody. */
export const describe = (transition: Transition, space: Space): (Described & { readonly kind: Kind }) | null => {
  const { before, after } = transition
  const delta = before.effect === 'allow' && after.effect === 'allow' ? deltaOf(before.form, after.form) : []
  const kind = kindOf(transition, delta)
  if (kind === null) return null
  const named = namedBy(transition, kind)
  const speaking = [before.form, after.form].flatMap(form => form ?? [])
  return { kind, delta, who: named?.subject.rule.who ?? [anyone], conditions: conditionsOf(transition, space, speaking) }
}

const kindOf = ({ before, after }: Transition, delta: readonly string[]): Kind | null => {
  if (after.effect === 'allow' && before.effect !== 'allow') return 'GAINS'
  if (before.effect === 'allow' && after.effect !== 'allow') return 'LOSES'
  if (delta.length > 0) return 'OBLIGATIONS'
  const [old, now] = [before.form?.subject.rule.name, after.form?.subject.rule.name]
  // A refusal by a rule that nothing matched before tells nobody anything.
  return before.effect === after.effect && old !== undefined && now !== undefined && old !== now ? 'ORDER' : null
}

/** The rule whose callers the change is about: the deny that made the difference, else the allow. */
const namedBy = ({ before, after }: Transition, kind: Kind): Form | null => {
  const [denied, allowed] = kind === 'LOSES' ? [after.form, before.form] : [before.form, after.form]
  const isMeant = denied?.subject.rule.effect === 'deny' && !denied.subject.rule.who.includes(anyone) && kind !== 'ORDER'
  return isMeant ? denied : (allowed ?? denied)
}

const deltaOf = (before: Form | null, after: Form | null): readonly string[] => {
  if (before === null || after === null) return []
  const [old, now] = [loginText(before.subject.rule.login), loginText(after.subject.rule.login)]
  return [...owedDelta(owedBy(before), owedBy(after)), ...(old === now ? [] : [`needs-login ${old} -> ${now}`])]
}

const owedBy = ({ subject: { obligations, rule } }: Form): Owed => ({ ...spelledObligations(obligations), role: rule.role?.name ?? null })

const loginText = (login: Login | null): string => {
  if (login === null) return 'none'
  const { acr, amr, within } = login
  return [
    ...(acr === null ? [] : [`acr ${acr.join(' or ')}`]),
    ...(amr === null ? [] : [`amr ${amr.join(' or ')}`]),
    ...(within === null ? [] : [`within ${formatDuration(within)}`]),
  ].join(', ')
}

const maxConditions = 4

/** What only some of the requests on the route have, and what the callers' names do not say already. */
const conditionsOf = ({ values, open }: Transition, space: Space, speaking: readonly Form[]): readonly string[] => {
  const [said, rest, checks]: [string[], string[], string[]] = [[], [], []]
  for (const [index, seen] of values) {
    const axis = space.axes[index]
    if (axis === undefined) continue
    if (space.isCheck(axis)) checks.push(checkText(axis, seen))
    else if (!speaking.some(form => isImplied(form, axis, seen, space.axes.length))) {
      const { holds, holdsNot } = constants(axis, seen)
      if (holds.length > 0) said.push(...holds, ...holdsNot.slice(0, 1))
      else rest.push(...holdsNot)
    }
  }
  if (space.axes.some(axis => open.has(axis.index) && space.isAddress(axis))) said.push('from any address')
  // What somebody is not, is mostly what other rules mean.
  return [...(said.length > 0 ? said : rest).slice(0, maxConditions), ...checks]
}

/** Whoever this rule's `who` means has one of these values anyway. */
const isImplied = ({ body, subject }: Form, axis: Axis<unknown>, seen: ReadonlySet<number>, dimensions: number): boolean => {
  const who = body.kind === 'all' ? body.parts[0] : undefined
  if (who === undefined) return false
  const choice: Choice = new Int32Array(dimensions).fill(unchosen)
  for (let value = 0; value < axis.size; value++) {
    if (seen.has(value)) continue
    choice[axis.index] = value
    const mask = possible(who, choice)
    if (subject.rule.effect === 'deny' ? mask !== onlyNo : mask & onlyYes) return false
  }
  return true
}

/** What tests of the dimension say of all these values, in doubt that it is not so. */
const constants = ({ outcomes, labels, values, kind }: Axis<unknown>, seen: ReadonlySet<number>) => {
  const [only] = seen
  const value = values[only ?? 0]
  if (seen.size === 1 && kind.isBare?.(value)) return { holds: [`with ${kind.say(value)}`], holdsNot: [] }
  const rows = outcomes.flatMap((row, test) => (labels[test] ? [{ row, label: labels[test] }] : []))
  const holds = rows.filter(({ row }) => [...seen].every(one => row[one] === yes)).slice(0, 2)
  // Whatever has what is said so far cannot have this anyway.
  const isSaid = (row: readonly Tri[]): boolean =>
    holds.length > 0 && row.every((outcome, one) => outcome !== yes || holds.some(other => other.row[one] !== yes))
  const holdsNot = rows.filter(({ row }) => [...seen].every(one => row[one] !== yes) && !isSaid(row)).slice(0, 2)
  return { holds: holds.map(one => one.label), holdsNot: holdsNot.map(one => opposite(one.label)) }
}

const opposites = [
  ['from outside ', 'from '],
  ['from ', 'from outside '],
  ['with ', 'without '],
  ['before ', 'not before '],
  ['over at most ', 'over more than '],
] as const

const opposite = (label: string): string => {
  const [known, replaced] = opposites.find(([prefix]) => label.startsWith(prefix)) ?? ['', 'not ']
  return `${replaced}${label.slice(known.length)}`
}

const checkText = ({ values, labels }: Axis<unknown>, seen: ReadonlySet<number>): string => {
  const found = [...seen].map(value => values[value])
  const [text] = labels
  if (found.length === 1 && found[0] === unsure) return `where \`${text}\` cannot be evaluated`
  return found.includes(yes) ? `${found.includes(unsure) ? 'unless it is false that' : 'if'} \`${text}\`` : `unless \`${text}\``
}
