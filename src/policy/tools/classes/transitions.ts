import type { Effect, ZoneClocks } from '../../../model/decision.ts'
import { TooMany } from './axis.ts'
import { sampleOf } from './example.ts'
import { type Branch, decider, easiest, effectOf, explore, nextOf, type Open, stillOpen } from './explore.ts'
import type { Base } from './facts.ts'
import { type Form, formOf, gateOf } from './forms.ts'
import { type Choice, type Dimension, onlyNo, openDimension, possible, testsOf } from './formula.ts'
import type { RouteGroup } from './routes.ts'
import { Space } from './space.ts'
import type { Outcome, World } from './world.ts'

/** One side of a comparison: what is decided and by which rule; null: none matches. */
export interface Verdict {
  readonly effect: Effect
  readonly form: Form | null
}

/** Classes of one group of routes that are decided in one way before and in another way after. */
export interface Transition {
  readonly before: Verdict
  readonly after: Verdict
  /** Some of the classes, in the order in which they were found. */
  readonly samples: readonly Choice[]
  /** Values that occur, by dimension; a dimension that is missing does not matter. */
  readonly values: ReadonlyMap<number, ReadonlySet<number>>
  /** Dimensions that matter to some of the classes, though every value occurs. */
  readonly open: ReadonlySet<number>
}

export interface Compared {
  readonly space: Space
  readonly transitions: readonly Transition[]
  /** Why some requests could not be compared; null: all were. */
  readonly unproven: string | null
}

export interface Comparing {
  readonly before: World
  readonly after: World
  readonly base: Base
  readonly issuers: readonly string[]
  readonly zones: ZoneClocks
}

const maxSamples = 50

/** Every way in which requests on these routes are decided otherwise than before. */
export const transitionsOn = (group: RouteGroup, comparing: Comparing): Compared => {
  const space = new Space(comparing.zones)
  const search = new Search(space, group, comparing)
  try {
    search.run()
    return {
      space,
      transitions: search.transitions(),
      unproven: search.doubtful ? 'the engine decides a class otherwise than expected' : null,
    }
  } catch (fault) {
    if (!(fault instanceof TooMany)) throw fault
    return { space, transitions: search.transitions(), unproven: 'more classes of requests than are looked at' }
  }
}

interface State {
  readonly before: readonly Form[]
  readonly after: readonly Form[]
}

interface Gathered {
  readonly before: Verdict
  readonly after: Verdict
  readonly samples: Choice[]
  readonly values: Map<number, Set<number>>
  /** Classes in which the dimension is chosen. */
  readonly chosen: Map<number, number>
  classes: number
}

class Search {
  /** A class was decided by the engine otherwise than by the analysis: nothing of this route can be trusted. */
  doubtful = false
  readonly #gathered = new Map<string, Gathered>()
  readonly #space: Space
  readonly #group: RouteGroup
  readonly #comparing: Comparing

  constructor(space: Space, group: RouteGroup, comparing: Comparing) {
    this.#space = space
    this.#group = group
    this.#comparing = comparing
  }

  run(): void {
    const { before, after, zones, issuers } = this.#comparing
    const making = { space: this.#space, zones, issuers }
    const [old = [], now = []] = this.#group.lists.map(list => list.map(one => formOf(one, this.#group.checks.get(one) ?? null, making)))
    const gate = gateOf([before.recognise, after.recognise], this.#space)
    this.#space.seal()
    const gateTests = testsOf(gate)
    explore<State>(this.#space.axes.length, { before: old, after: now }, ({ choice, alike }, state): Branch<State> | null => {
      const recognised = possible(gate, choice)
      if (recognised === onlyNo) return null
      const [a, b] = [stillOpen(state.before, choice), stillOpen(state.after, choice)]
      const dimension = (recognised & onlyNo ? openDimension(gate, choice) : null) ?? nextDimension(a, b, choice)
      if (dimension === null) {
        this.#done(a, b, choice, alike)
        return null
      }
      const forms = [...a.forms, ...b.forms]
      return { dimension, tests: [gateTests, ...forms.map(form => form.tests())], state: { before: a.forms, after: b.forms } }
    })
  }

  #done(a: Open, b: Open, choice: Choice, alike: ReadonlyMap<number, readonly number[]>): void {
    const { before, after, base, zones } = this.#comparing
    const [route] = this.#group.routes
    if (route === undefined) return
    const { facts, assumed } = sampleOf({ space: this.#space, group: this.#group, base, zones }, choice, route)
    const [was, is] = [before.decide(facts, assumed), after.decide(facts, assumed)]
    if (isSame(a, b)) {
      if (was.effect !== is.effect || was.by !== is.by) this.doubtful = true
      return
    }
    const [old, now] = [verdictOf(a, choice), verdictOf(b, choice)]
    if (!agrees(old, was) || !agrees(now, is)) this.doubtful = true
    else this.#gather(old, now, choice, alike)
  }

  #gather(before: Verdict, after: Verdict, choice: Choice, alike: ReadonlyMap<number, readonly number[]>): void {
    const key = [before, after].map(({ effect, form }) => `${effect} ${form?.key}`).join('\n')
    const known: Gathered = this.#gathered.get(key) ?? { before, after, samples: [], values: new Map(), chosen: new Map(), classes: 0 }
    this.#gathered.set(key, known)
    known.classes++
    if (known.samples.length < maxSamples) known.samples.push(choice.slice())
    for (const [dimension, values] of alike) {
      const seen = known.values.get(dimension) ?? new Set()
      known.values.set(dimension, seen)
      for (const value of values) seen.add(value)
      known.chosen.set(dimension, (known.chosen.get(dimension) ?? 0) + 1)
    }
  }

  transitions(): readonly Transition[] {
    return [...this.#gathered.values()].map(({ before, after, samples, values, chosen, classes }) => {
      const isNarrow = (dimension: number): boolean =>
        chosen.get(dimension) === classes && (values.get(dimension)?.size ?? 0) < (this.#space.axes[dimension]?.size ?? 0)
      const [narrow, open] = [[...values].filter(([one]) => isNarrow(one)), [...values.keys()].filter(one => !isNarrow(one))]
      return { before, after, samples, values: new Map(narrow), open: new Set(open) }
    })
  }
}

const keysOf = (forms: readonly Form[]): ReadonlySet<string> => new Set(forms.map(form => form.key))

/** The same rules are left on both sides, so whatever else is chosen is decided alike. */
const isSame = (a: Open, b: Open): boolean => a.forms.length === b.forms.length && a.forms.every((form, i) => form.key === b.forms[i]?.key)

/** What to choose next; null: nothing differs any more, or both sides are decided. What only one side has comes first: mostly it cannot match. */
const nextDimension = (a: Open, b: Open, choice: Choice): Dimension | null => {
  if (isSame(a, b)) return null
  const [old, now] = [decider(a), decider(b)]
  if (old !== undefined && now !== undefined) {
    for (const form of [old, now]) if (form !== null && effectOf(form, choice) === null) return nextOf(form, choice)
    return null
  }
  const [oldKeys, nowKeys] = [keysOf(a.forms), keysOf(b.forms)]
  const forms = [a, b].flatMap(({ forms, ends }) => (ends ? forms.slice(0, -1) : forms))
  const ofOneSide = forms.filter(({ key }) => !(oldKeys.has(key) && nowKeys.has(key)))
  return easiest(ofOneSide, choice) ?? easiest(forms, choice)
}

const verdictOf = (open: Open, choice: Choice): Verdict => {
  const form = decider(open) ?? null
  return { effect: effectOf(form, choice) ?? 'deny', form }
}

const agrees = ({ effect, form }: Verdict, outcome: Outcome): boolean =>
  effect === outcome.effect && (form?.subject.rule.name ?? 'default') === outcome.by
