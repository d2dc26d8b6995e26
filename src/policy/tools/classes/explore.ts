import type { Effect } from '../../../model/decision.ts'
import { maxClasses, TooMany } from './axis.ts'
import type { Form } from './forms.ts'
import { type Choice, type Dimension, onlyNo, onlyYes, openDimension, possible, unchosen } from './formula.ts'

/** What remains of a list of rules under a choice: those that may still decide, in order. */
export interface Open {
  readonly forms: readonly Form[]
  /** The last of them decides if none before it does. */
  readonly ends: boolean
}

/** Drops rules that cannot match, and all behind one that must. */
export const stillOpen = (forms: readonly Form[], choice: Choice): Open => {
  const left: Form[] = []
  for (const form of forms) {
    const mask = possible(form.body, choice)
    const { effect } = form.subject.rule
    // In doubt a deny matches and an allow does not.
    const [cannot, must] = effect === 'deny' ? [mask === onlyNo, !(mask & onlyNo)] : [!(mask & onlyYes), mask === onlyYes]
    if (cannot) continue
    left.push(form)
    if (must) return { forms: left, ends: true }
  }
  return { forms: left, ends: false }
}

/** The rule that decides; null: none matches, undefined: that is still open. */
export const decider = ({ forms, ends }: Open): Form | null | undefined => {
  const [first] = forms
  if (first === undefined) return null
  return ends && forms.length === 1 ? first : undefined
}

/** What is decided by this rule; null: whether the sign-in is good enough is still open. */
export const effectOf = (form: Form | null, choice: Choice): Effect | null => {
  if (form === null || form.subject.rule.effect === 'deny') return 'deny'
  if (form.login === null) return 'allow'
  const mask = possible(form.login, choice)
  if (!(mask & onlyYes)) return 'step-up'
  return mask === onlyYes ? 'allow' : null
}

/** Of a form: the next dimension on the way to knowing whether it matches, and then whether its sign-in is met. */
export const nextOf = (form: Form, choice: Choice): Dimension | null =>
  openDimension(form.body, choice) ?? (form.login && openDimension(form.login, choice))

/** Of the form with the fewest questions left: where one is settled soonest, most classes end soonest. Null: none is open. */
export const easiest = (forms: readonly Form[], choice: Choice): Dimension | null => {
  let best: Dimension | null = null
  let fewest = Number.POSITIVE_INFINITY
  for (const form of forms) {
    let open = 0
    for (const { index } of form.tests().keys()) if (choice[index] === unchosen) open++
    if (open >= fewest) continue
    const next = openDimension(form.body, choice)
    if (next === null) continue
    best = next
    fewest = open
  }
  return best
}

/** The requests of one class: a value for each dimension that matters there, and every value that would have done as well. */
export interface ClassOf {
  readonly choice: Choice
  readonly alike: ReadonlyMap<number, readonly number[]>
}

/** Where the search goes on: it chooses a value for a dimension, as finely as these tests can tell. */
export interface Branch<S> {
  readonly dimension: Dimension
  readonly tests: readonly ReadonlyMap<Dimension, ReadonlySet<number>>[]
  readonly state: S
}

/**
 * Splits the requests of a route into classes, only where it matters: `step` looks at what is chosen so far and says which dimension
 * to split next, or null where the class is done. Throws TooMany beyond 100,000 classes.
 */
export const explore = <S>(dimensions: number, initial: S, step: (found: ClassOf, state: S) => Branch<S> | null): number => {
  const choice: Choice = new Int32Array(dimensions).fill(unchosen)
  const alike = new Map<number, readonly number[]>()
  let classes = 0
  const visit = (state: S): void => {
    const branch = step({ choice, alike }, state)
    if (branch === null) {
      if (++classes > maxClasses) throw new TooMany()
      return
    }
    const { index } = branch.dimension
    for (const values of told(branch)) {
      choice[index] = values[0] ?? 0
      alike.set(index, values)
      visit(branch.state)
    }
    choice[index] = unchosen
    alike.delete(index)
  }
  visit(initial)
  return classes
}

/** Values of the dimension, those together that none of the tests tells apart. */
const told = <S>({ dimension, tests }: Branch<S>): readonly (readonly number[])[] => {
  const asked = new Set(tests.flatMap(one => [...(one.get(dimension) ?? [])]))
  const groups = new Map<string, number[]>()
  for (let value = 0; value < dimension.size; value++) {
    let key = ''
    for (const test of asked) key += dimension.outcomes[test]?.[value]
    const known = groups.get(key)
    if (known === undefined) groups.set(key, [value])
    else known.push(value)
  }
  return [...groups.values()]
}
