import type { Facts, ZoneClocks } from '../../model/decision.ts'
import type { Finding } from '../../model/finding.ts'
import { type CompiledPolicy, compilePolicy } from '../engine/compile.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Rule } from '../language/rule.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import type { TestFile } from '../tests/file.ts'
import type { Never } from '../tests/never.ts'
import { TooMany } from './classes/axis.ts'
import { type Against, callersIn, type Example, sampleOf, spelledExample, written } from './classes/example.ts'
import { type Branch, type ClassOf, decider, easiest, effectOf, explore, nextOf, type Open, stillOpen } from './classes/explore.ts'
import { type Base, commonBase } from './classes/facts.ts'
import { type Form, formOf, gateOf } from './classes/forms.ts'
import { all, type Choice, type Dimension, type Formula, onlyNo, openDimension, possible, testsOf } from './classes/formula.ts'
import { type RouteGroup, routesOf } from './classes/routes.ts'
import { Space } from './classes/space.ts'
import { type Subject, subjectsOf } from './classes/subject.ts'
import { engineOf, nobody, outcomeOf, type World, type WorldSource, worldOf } from './classes/world.ts'

interface Allowed {
  readonly by: string
  readonly example: Example
  readonly facts: Facts
}

/** What became of one line. `unproven`: why it could not be proved. */
export type Verdict = { readonly holds: true } | { readonly allowed: Allowed } | { readonly unproven: string }

type Tenant = WorldSource & { readonly policy: CompiledPolicy }

/** Tries to refute every `never` of a tenant's tests: P706 with a request that is allowed all the same, P707 where neither succeeds. */
export const proveNever = (tenant: Tenant, tests: readonly TestFile[]): readonly Finding[] => {
  const judge = neverJudge(tenant, tests)
  return tests.flatMap(({ file, never }) =>
    never.flatMap((line): readonly Finding[] => {
      const verdict = judge(line)
      if ('holds' in verdict) return []
      const [code, message] = 'allowed' in verdict ? ['P706', refuted(verdict.allowed)] : ['P707', `not proven: ${verdict.unproven}`]
      return [{ file, ...line.spot, severity: 'error', code, message }]
    }),
  )
}

/** Judges single lines; `tests` may hold requests that refute one. */
export const neverJudge = (tenant: Tenant, tests: readonly TestFile[]): ((line: Never) => Verdict) => {
  const proof = new Proof(tenant, tests)
  return line => proof.judge(line)
}

const requestOf = ({ by, example }: Allowed): string =>
  `${example.method} ${example.target} is allowed by ${by}, e.g. for ${spelledExample(example)}`

const refuted = (allowed: Allowed): string =>
  `${requestOf(allowed)}. Narrow ${allowed.by} or add a deny; if this is meant, leave addresses out with unless ip-in [10.0.0.0/8], or remove the line.`

class Proof {
  readonly #source: Tenant
  readonly #tests: readonly TestFile[]
  readonly #zones: ZoneClocks = zoneClocks()
  readonly #world: World
  readonly #base: Base | null
  readonly #enforced: (facts: Facts) => ReturnType<typeof outcomeOf>

  constructor(source: Tenant, tests: readonly TestFile[]) {
    const { platform, policy, recognise } = source
    this.#source = source
    this.#tests = tests
    this.#world = worldOf(source)
    this.#base = commonBase([recognise])
    const engine = engineOf(platform, policy, recognise)
    this.#enforced = facts => outcomeOf(engine.decide(facts))
  }

  judge(line: Never): Verdict {
    const rule = asDeny(line)
    const document: PolicyDocument = { ...this.#source.policy.document, rules: [rule] }
    const isMeant = this.#means(document)
    const named = this.#named(isMeant)
    if (named !== null) return { allowed: named }
    const [subject] = subjectsOf(document, nobody).filter(one => one.rule === rule)
    if (subject === undefined || this.#base === null) return { unproven: 'the line cannot be read as a rule.' }
    const { groups, tooMany } = routesOf([this.#world], () => false, [line.line])
    if (tooMany.length > 0)
      return { unproven: `${tooMany.join(', ')} here have more kinds of paths than are looked at. Name a narrower path.` }
    let verdict: Verdict = { holds: true }
    for (const group of groups) {
      const found = this.#refute(group, subject, isMeant, this.#base)
      if ('allowed' in found) return found
      if ('unproven' in found) verdict = found
    }
    return verdict
  }

  /** Whether the line, as the only rule that there is, refuses a request. */
  #means(document: PolicyDocument): (facts: Facts) => boolean {
    const policy = compilePolicy(this.#source.policy.tenant, '', document)
    const engine = engineOf(compilePolicy('_platform', '', nobody), policy, this.#source.recognise)
    return facts => {
      const decision = engine.decide(facts)
      return decision.effect === 'deny' && decision.reason === ruleName
    }
  }

  /** A request that the test files write down: the clearest example there is, and one whose checks are no assumption. */
  #named(isMeant: (facts: Facts) => boolean): Allowed | null {
    const against: Against = { recognise: this.#source.recognise, claims: this.#source.policy.document.claims, zones: this.#zones }
    for (const { name, test } of callersIn(this.#tests))
      for (const request of test.requests.values()) {
        const { facts, example } = written(name, request, test, against)
        const { effect, by } = this.#enforced(facts)
        if (effect === 'allow' && isMeant(facts)) return { by, example, facts }
      }
    return null
  }

  #refute(group: RouteGroup, subject: Subject, isMeant: (facts: Facts) => boolean, base: Base): Verdict {
    const search = new Search(group, subject, { base, zones: this.#zones, world: this.#world, isMeant })
    try {
      search.run()
    } catch (fault) {
      if (fault instanceof TooMany)
        return { unproven: `${search.where} has more classes of requests than are looked at. Simplify its rules.` }
      if (!(fault instanceof Found)) throw fault
    }
    const { real, assumed, doubtful } = search
    if (real !== null) return { allowed: real }
    if (doubtful !== null) return { unproven: `${doubtful} could not be confirmed by the engine.` }
    return assumed === null ? { holds: true } : { unproven: `${requestOf(assumed)}. Narrow ${assumed.by}, or add a deny without a check.` }
  }
}

/** Not a name that a rule of a file can have. */
const ruleName = '(never)'

/** Matches what is meant, exceptions read as a privilege is: neither doubt nor an unknown address is one. */
const asDeny = ({ who, line, unless, text, spot }: Never): Rule => ({
  ...{ effect: 'deny', name: ruleName, why: text, mode: 'enforce', who: [who], except: [], to: [line], from: null, until: null },
  ...{ login: null, role: null, own: nobody.always, spot },
  when: unless && {
    ...{ header: new Map(), query: new Map(), time: null, check: null },
    ipIn: unless.key === 'ip-not-in' ? unless.ranges : null,
    ipNotIn: unless.key === 'ip-in' ? unless.ranges : null,
  },
})

class Found extends Error {}

interface Asked {
  readonly base: Base
  readonly zones: ZoneClocks
  readonly world: World
  readonly isMeant: (facts: Facts) => boolean
}

/** Looks on the routes of one group for a request that is meant and allowed. */
class Search {
  real: Allowed | null = null
  assumed: Allowed | null = null
  /** What should have been allowed and, decided by the engine, was not: then no other class can be trusted either. */
  doubtful: string | null = null
  readonly where: string
  readonly #group: RouteGroup
  readonly #asked: Asked
  readonly #space: Space
  readonly #forms: readonly Form[]
  readonly #gate: Formula

  constructor(group: RouteGroup, subject: Subject, asked: Asked) {
    this.#group = group
    this.#asked = asked
    const [route] = group.routes
    this.where = `${route?.method} ${route?.shown}`
    this.#space = new Space(asked.zones)
    const making = { space: this.#space, zones: asked.zones, issuers: asked.world.recognise.issuer }
    const [list = []] = group.lists
    this.#forms = list.map(one => formOf(one, group.checks.get(one) ?? null, making))
    this.#gate = all(formOf(subject, null, making).body, gateOf([asked.world.recognise], this.#space))
  }

  run(): void {
    this.#space.seal()
    const gateTests = testsOf(this.#gate)
    explore<readonly Form[]>(this.#space.axes.length, this.#forms, (found, forms): Branch<readonly Form[]> | null => {
      const { choice } = found
      const meant = possible(this.#gate, choice)
      const open = stillOpen(forms, choice)
      if (meant === onlyNo || !open.forms.some(form => form.subject.rule.effect === 'allow')) return this.#done(found, false)
      const dimension = (meant & onlyNo ? openDimension(this.#gate, choice) : null) ?? nextDimension(open, choice)
      if (dimension !== null) return { dimension, tests: [gateTests, ...open.forms.map(form => form.tests())], state: open.forms }
      return this.#done(found, effectOf(decider(open) ?? null, choice) === 'allow')
    })
  }

  /** The engine has the last word on every class. */
  #done({ choice }: ClassOf, expected: boolean): null {
    const { base, zones, world, isMeant } = this.#asked
    const [route] = this.#group.routes
    if (route === undefined) return null
    const { facts, assumed, example } = sampleOf({ space: this.#space, group: this.#group, base, zones }, choice, route)
    const { effect, by } = world.decide(facts, assumed)
    const allowed = { by, example, facts }
    if (effect !== 'allow' || !isMeant(facts)) {
      if (expected) this.doubtful ??= requestOf(allowed)
    } else if (example.assumed.length > 0) this.assumed ??= allowed
    else {
      this.real = allowed
      throw new Found()
    }
    return null
  }
}

/** What has to be chosen next to know what is decided: first what the allow asks, for that tells about most denies too. */
const nextDimension = (open: Open, choice: Choice): Dimension | null => {
  const decided = decider(open)
  if (decided !== undefined) return decided !== null && effectOf(decided, choice) === null ? nextOf(decided, choice) : null
  const { forms } = open
  const allow = forms.find(form => form.subject.rule.effect === 'allow')
  return (allow && openDimension(allow.body, choice)) ?? easiest(forms, choice)
}
