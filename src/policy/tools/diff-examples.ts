import type { Facts } from '../../model/decision.ts'
import type { TestFile } from '../tests/file.ts'
import { type Against, callersIn, type Example, madeBy, type Sample, sampleOf, written } from './classes/example.ts'
import type { RouteGroup } from './classes/routes.ts'
import type { Space } from './classes/space.ts'
import type { Comparing, Transition, Verdict } from './classes/transitions.ts'
import { engineOf, type Outcome, outcomeOf, type WorldSource } from './classes/world.ts'

interface Sides {
  readonly a: WorldSource
  readonly b: WorldSource
  readonly tests: readonly TestFile[]
}

const maxCallers = 50
const maxRequests = 50

/**
 * Finds the clearest example of each transition on these routes: one that a caller of the test files shows, decided by both engines with
 * their checks; else a described one; else one for which something is assumed of a check.
 */
export const examples = (group: RouteGroup, space: Space, comparing: Comparing, sides: Sides): ((transition: Transition) => Example) => {
  const { base, zones } = comparing
  const [before, after] = [enforcedBy(sides.a), enforcedBy(sides.b)]
  const { recognise, policy } = sides.b.policy === null ? sides.a : sides.b
  const against: Against = { recognise, claims: policy?.document.claims ?? new Map(), zones }
  const callers = callersIn(sides.tests).slice(0, maxCallers)
  const shows = (transition: Transition, facts: Facts): boolean =>
    isIt(transition.before, before(facts)) && isIt(transition.after, after(facts))
  const [route] = group.routes
  return transition => {
    const samples = route === undefined ? [] : transition.samples.map(choice => sampleOf({ space, group, base, zones }, choice, route))
    for (const sample of samples)
      for (const caller of callers) {
        const made = madeBy(caller, sample, against)
        if (shows(transition, made.facts)) return made.example
      }
    const free = samples.find(sample => sample.example.assumed.length === 0)
    if (free !== undefined) return free.example
    return fromTests(group, sides.tests, callers, against, facts => shows(transition, facts)) ?? (samples[0] ?? nothing).example
  }
}

const nothing: Pick<Sample, 'example'> = { example: { method: '', target: '', caller: null, words: [], assumed: [] } }

/** A request that a test file writes down for one of these routes: where checks read the path, only somebody who knows them finds one. */
const fromTests = (
  group: RouteGroup,
  tests: readonly TestFile[],
  callers: ReturnType<typeof callersIn>,
  against: Against,
  shows: (facts: Facts) => boolean,
): Example | null => {
  const used = new Set(group.routes.map(route => route.method))
  for (const test of tests)
    for (const request of [...test.requests.values()].filter(({ method }) => used.has(method)).slice(0, maxRequests))
      for (const caller of callers.filter(one => one.test === test)) {
        const { facts, example } = written(caller.name, request, test, against)
        if (shows(facts)) return example
      }
  return null
}

const enforcedBy = ({ platform, policy, recognise }: WorldSource): ((facts: Facts) => Outcome) => {
  const engine = engineOf(platform, policy, recognise)
  return facts => outcomeOf(engine.decide(facts))
}

const isIt = ({ effect, form }: Verdict, outcome: Outcome): boolean =>
  effect === outcome.effect && (form === null || form.subject.rule.name === outcome.by)
