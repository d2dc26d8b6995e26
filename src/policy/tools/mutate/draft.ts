import type { Decision, ZoneClocks } from '../../../model/decision.ts'
import { Ambiguous, canonicalTarget } from '../../../model/target.ts'
import type { Rule } from '../../language/rule.ts'
import type { CallerKeys, TestRequest } from '../../tests/caller.ts'
import type { Expectation } from '../../tests/case.ts'
import type { TestFile } from '../../tests/file.ts'
import { type Bench, differs, factsOf, hiddenBy, outcomeOf, reasonOf, roleOf } from '../../tests/run.ts'
import type { Judge } from './judge.ts'
import type { Mutant } from './mutants.ts'
import { Routed } from './routed.ts'
import { spelledCase, spelledRequest } from './spell.ts'
import { combined, kindsOf, mostChanges } from './variations.ts'

/** Lines for a test file. */
export interface Draft {
  readonly file: string
  /** For `requests`, where the case asks a new one. */
  readonly request: string | null
  /** For `cases`. */
  readonly case: string
}

/** Decisions that are asked for in search of one draft, and of all: a survivor without a draft is still reported. */
const maxDecisions = 20_000
const maxAll = 400_000

/** A request of a test file. */
interface Named {
  readonly test: TestFile
  readonly name: string
  readonly request: TestRequest
}

interface Question {
  readonly test: TestFile
  readonly caller: string
  readonly request: string
  /** Null: as the file defines it. */
  readonly asked: TestRequest | null
  readonly overrides: CallerKeys
  readonly at: number
}

/** Looks for a case that policy and mutant decide differently: the callers and requests of the tests first as they are, then with small changes. */
export class Drafter {
  readonly #bench: Bench
  readonly #tests: readonly TestFile[]
  readonly #judge: Judge
  readonly #zones: ZoneClocks
  readonly #requests: Routed<Named>
  /** Requests of drafts, by the name that each was given in its file. */
  readonly #given = new Map<TestFile, Map<string, string>>()
  #left = maxAll

  constructor(bench: Bench, tests: readonly TestFile[], judge: Judge, zones: ZoneClocks) {
    this.#bench = bench
    this.#tests = tests
    this.#judge = judge
    this.#zones = zones
    this.#requests = new Routed(bench.policy)
    for (const test of tests) for (const [name, request] of test.requests) this.#requests.add(request, { test, name, request })
  }

  draft(mutant: Mutant): Draft | null {
    const { change } = mutant
    if (this.#left <= 0) return null
    const engine = this.#judge.engine(change)
    let left = Math.min(maxDecisions, this.#left)
    this.#left -= left
    for (const question of this.#questions(change)) {
      if (left-- <= 0) break
      const facts = this.#facts(question)
      const wanted = expectationOf(question, this.#judge.decide(facts), mutant.obligation)
      if (!differs(wanted, engine.decide(facts))) continue
      this.#left += left
      return this.#draftOf(question, wanted)
    }
    this.#left += Math.max(0, left)
    return null
  }

  #draftOf({ test, request, asked, at }: Question, wanted: Expectation): Draft {
    const name = asked === null ? request : this.#nameFor(test, request === '' ? 'draft' : request, asked)
    return {
      file: test.file,
      request: asked === null ? null : spelledRequest(name, asked),
      case: spelledCase({ ...wanted, request: name }, at === test.now ? null : at),
    }
  }

  /** One request has one name in all drafts, and no two have the same: all of them can be added at once. */
  #nameFor(test: TestFile, base: string, asked: TestRequest): string {
    const given = this.#given.get(test) ?? new Map<string, string>()
    this.#given.set(test, given)
    const text = spelledRequest('', asked)
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base.slice(0, 58)}-${number}`
      if (test.requests.has(name) || (given.get(name) ?? text) !== text) continue
      given.set(name, text)
      return name
    }
  }

  #facts({ test, caller, request, asked, overrides, at }: Question) {
    const requests = asked === null ? test.requests : new Map([[request, asked]])
    return factsOf(this.#bench, { callers: test.callers, requests }, { caller, request, overrides, at }, this.#zones)
  }

  /** Few changes before many, over all callers and requests. */
  *#questions(change: Mutant['change']): Generator<Question> {
    const asking = 'always' in change ? this.#requests.all.map(named => ({ ...named, asked: null, kinds: [] })) : this.#asking(change.index)
    for (let changes = 0; changes <= mostChanges; changes++)
      for (const { test, name, asked, kinds } of asking)
        for (const variation of combined(kinds, changes))
          for (const caller of test.callers.keys())
            yield {
              test,
              caller,
              request: name,
              asked: variation.request ?? asked,
              overrides: variation.keys,
              at: variation.at ?? test.now,
            }
  }

  /** Requests of the tests in which the rule could have a say, or else those that its own path makes; each with its changes. */
  #asking(index: number) {
    const { document } = this.#bench.policy
    const rule = document.rules[index]
    if (rule === undefined) return []
    const own = this.#requests.about(index).map(named => ({ ...named, asked: null }))
    const made = this.#tests.flatMap(test => madeOf(rule).map(request => ({ test, name: '', request, asked: request })))
    return (own.length > 0 ? own : made).map(one => ({ ...one, kinds: kindsOf(rule, document, one.test.now, this.#zones, one.request) }))
  }
}

const madeOf = ({ to: [line] }: Rule): readonly TestRequest[] => {
  const [method] = line?.methods ?? []
  if (line === undefined || method === undefined) return []
  const target = canonicalTarget(
    `/${line.segments.map(segment => ('literal' in segment ? segment.literal : `${segment.variable}-1`)).join('/')}`,
  )
  return target instanceof Ambiguous ? [] : [{ method, target, headers: [] }]
}

const expectationOf = ({ caller, request, overrides, at }: Question, decision: Decision, obligation: boolean): Expectation => ({
  ...outcomeOf(decision),
  caller,
  request,
  overrides,
  at,
  by: reasonOf(decision),
  role: obligation ? roleOf(decision) : null,
  hide: obligation && decision.effect === 'allow' ? hiddenBy(decision) : null,
  spot: { line: 0, column: 0 },
})
