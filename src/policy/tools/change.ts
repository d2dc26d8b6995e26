import type { Facts } from '../../model/decision.ts'
import type { CompiledPolicy } from '../engine/compile.ts'
import { Look } from '../engine/conditions.ts'
import type { Rule } from '../language/rule.ts'
import { no, yes } from '../language/tri.ts'
import type { Bench } from '../tests/run.ts'
import { type Candidate, candidatesOf, type Judged, unmetOf } from './judged.ts'
import { callersOf, keyOf, matcherOf, type Setting } from './matchers.ts'
import type { Place, Places } from './places.ts'
import { recognitionOf } from './recognition.ts'
import { type Alternative, combined, type Remedy } from './remedy.ts'
import { becoming, ceasing } from './remedy-callers.ts'
import { addressRemedy, fromRemedy, headerRemedy, loginRemedy, queryRemedy, timeRemedy, untilRemedy } from './remedy-when.ts'

/** A bench whose files are at hand, so that keys can be pointed at. */
export interface FiledBench extends Bench {
  readonly places: Places
}

/** What one rule, or recognition, would need. */
export interface Step {
  /** `allow release-payments`, `deny off-network`, `recognise` */
  readonly rule: string
  readonly place: Place
  /** The keys that stand in the way. */
  readonly unmet: readonly string[]
  readonly needs: readonly string[]
}

export interface Change {
  /** All steps of one way are needed. The ways are as small as each other: any will do. */
  readonly ways: readonly (readonly Step[])[]
  /** The engine allowed the request once all of it was applied. False: a part of it has no single value that could be tried, or something else refuses then. */
  readonly proved: boolean
}

interface Plan {
  readonly steps: readonly {
    readonly rule: string
    readonly place: Place
    readonly unmet: readonly string[]
    readonly remedies: Alternative
  }[]
}

const mostPlans = 200

/** The fewest changes to a refused request that would have had it allowed. Null: no allow in force covers its method and path. */
export const smallestChange = (bench: FiledBench, facts: Facts): Change | null => {
  const disagreeing = recognitionOf(bench.recognise, facts).filter(line => !line.agrees)
  const recognised = disagreeing.reduce((at, { remedy }) => remedy.apply?.(at) ?? at, facts)
  const before: Plan['steps'] = disagreeing.map(({ path, remedy }) => ({
    rule: 'recognise',
    place: bench.places.key(bench.file, path),
    unmet: [path.join('.')],
    remedies: [remedy],
  }))
  const plans = plansFor(bench, recognised).map(({ steps }) => ({ steps: [...before, ...steps] }))
  const found = plans.find(plan => allowsAfter(bench, facts, plan))
  const [first] = plans
  if (found === undefined) return first === undefined ? null : { ways: [first.steps.map(spelled)], proved: false }
  const equal = plans.filter(plan => sizeOf(plan) === sizeOf(found) && allowsAfter(bench, facts, plan))
  return { ways: equal.slice(0, mostWays).map(({ steps }) => steps.map(spelled)), proved: true }
}

const mostWays = 4

const spelled = ({ rule, place, unmet, remedies }: Plan['steps'][number]): Step => ({
  rule,
  place,
  unmet,
  needs: [...new Set(remedies.map(remedy => remedy.text))],
})

/** Suggestions can undo each other: only the engine says whether they lead anywhere. */
const allowsAfter = (bench: Bench, facts: Facts, { steps }: Plan): boolean => {
  let changed = facts
  for (const { apply } of steps.flatMap(step => step.remedies)) {
    if (apply === null) return false
    changed = apply(changed)
  }
  return bench.engine.decide(changed).effect === 'allow'
}

/** Every deny that matches must stop, and one allow must begin to. The smallest first; of equals, the rule that stands first. */
const plansFor = (bench: FiledBench, facts: Facts): readonly Plan[] => {
  const look = new Look(facts)
  const above = deniesOf(bench.platform, settingOf(bench, 'platform', look))
  const own = settingOf(bench, 'tenant', look)
  const denies = [...above, ...deniesOf(bench.policy, own)]
  const plans = candidatesOf(bench.policy, 'allow', look)
    .filter(({ rule }) => !rule.shadow)
    .flatMap(one => productOf([...denies, { one, setting: own, holds: true }].filter(step => unmetIn(step).length > 0)))
  return plans.sort((a, b) => sizeOf(a) - sizeOf(b)).slice(0, mostPlans)
}

const sizeOf = ({ steps }: Plan): number => steps.reduce((sum, { remedies }) => sum + remedies.length, 0)

export const settingOf = (bench: FiledBench, of: 'platform' | 'tenant', look: Look): Setting => ({
  document: bench[of === 'platform' ? 'platform' : 'policy'].document,
  file: of === 'platform' ? bench.platformFile : bench.file,
  places: bench.places,
  look,
})

interface Wanted {
  readonly one: Candidate
  readonly setting: Setting
  /** Whether the rule is to match. */
  readonly holds: boolean
}

const deniesOf = (policy: CompiledPolicy, setting: Setting): readonly Wanted[] =>
  candidatesOf(policy, 'deny', setting.look)
    .filter(({ rule, held }) => !rule.shadow && held !== no)
    .map(one => ({ one, setting, holds: false }))

/** What stands in the way: of an allow all that does not hold, of a deny all that does, or cannot be told. */
const unmetIn = ({ one, holds }: Wanted): readonly Judged[] =>
  holds ? unmetOf([...one.conditions, ...one.login]) : one.conditions.filter(({ held }) => held !== no)

const productOf = (wanted: readonly Wanted[]): readonly Plan[] =>
  wanted.reduce<readonly Plan[]>(
    (plans, step) =>
      plans
        .flatMap(plan => stepsFor(step).map(one => ({ steps: [...plan.steps, one] })))
        .sort((a, b) => sizeOf(a) - sizeOf(b))
        .slice(0, mostPlans),
    [{ steps: [] }],
  )

/** To stop a deny, another request is asked for before another caller: conditions stand behind `who`. */
const stepsFor = (wanted: Wanted): Plan['steps'] => {
  const { one, setting, holds } = wanted
  const { effect, name, spot } = one.written
  const unmet = unmetIn(wanted)
  const ways = unmet.map(judged => waysFor(one.written, judged, holds, setting))
  const alternatives = holds
    ? combined(ways)
    : ways
        .toReversed()
        .flat()
        .sort((a, b) => a.length - b.length)
  const step = {
    rule: `${effect} ${name}`,
    place: { file: setting.file, ...spot },
    unmet: unmet.map(judged => gap(one.written, judged, setting)),
  }
  // A deny of everybody, without a condition, is no matter of what was asked.
  if (alternatives.length === 0) return [{ ...step, remedies: [{ text: `${effect} ${name} would have to be changed`, apply: null }] }]
  return alternatives.map(remedies => ({ ...step, remedies }))
}

/** `needs-login.within (3h > 15m)` */
const gap = (rule: Rule, judged: Judged, setting: Setting): string => {
  const { key, seen, wanted } = matcherOf(rule, judged, setting)
  const overdue = /^(\w+) ago$/.exec(seen)?.[1]
  if (key === 'needs-login.within' && overdue !== undefined) return `${key} (${overdue} > ${/^at most (\w+) ago$/.exec(wanted)?.[1]})`
  return `${key} (${seen}; ${judged.held === yes ? 'is' : 'wanted'} ${wanted})`
}

const waysFor = (rule: Rule, { condition }: Judged, holds: boolean, setting: Setting): readonly Alternative[] => {
  const key = keyOf(condition.label)
  const [top] = key
  if (top === 'who' || top === 'except') {
    const parts = callersOf(rule, top, setting)
    // To match, a rule wants its callers in and its exceptions out; not to match, one of them the other way round.
    return (top === 'who') === holds ? becoming(parts, setting.document) : ceasing(parts, setting.document)
  }
  const remedy = remedyFor(rule, key, holds, setting.look.facts)
  return remedy ? [[remedy]] : []
}

const remedyFor = (rule: Rule, [top, second, name = '']: readonly string[], holds: boolean, facts: Facts): Remedy | null | undefined => {
  const { when, from, until, login } = rule
  if (top === 'needs-login') return login && loginRemedy(login, second)
  if (top === 'from') return from === null ? null : fromRemedy(from, holds)
  if (top === 'until') return until === null ? null : untilRemedy(until, holds)
  if (second === 'ip-in') return when?.ipIn && addressRemedy(when.ipIn, holds)
  if (second === 'ip-not-in') return when?.ipNotIn && addressRemedy(when.ipNotIn, !holds)
  if (second === 'time') return when?.time && timeRemedy(when.time, holds, facts)
  if (second === 'check') return when?.check && { text: `make the check ${holds ? 'true' : 'false'}`, apply: null }
  const wanted = second === 'header' ? when?.header.get(name) : when?.query.get(name)
  return wanted && (second === 'header' ? headerRemedy : queryRemedy)(name, wanted, holds)
}
