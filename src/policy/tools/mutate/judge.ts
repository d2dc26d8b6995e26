import type { Decision, Facts, PolicyEngine, ZoneClocks } from '../../../model/decision.ts'
import { policyEngine } from '../../decide.ts'
import { type CompiledPolicy, type CompiledRule, compilePolicy, type RuleSet } from '../../engine/compile.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Rule } from '../../language/rule.ts'
import { no } from '../../language/tri.ts'
import type { Definition } from '../../language/who.ts'
import type { Expectation } from '../../tests/case.ts'
import type { TestFile } from '../../tests/file.ts'
import { type Bench, differs, factsOf } from '../../tests/run.ts'
import { changed, type Mutant } from './mutants.ts'
import { numbersOf, Routed } from './routed.ts'

/** One expectation that the policy itself meets, ready to be asked of mutants. */
export interface Asked {
  readonly test: TestFile
  readonly expectation: Expectation
  readonly facts: Facts
}

/** What a mutant is asked with: the tests of one tenant. */
export class Judge {
  readonly #bench: Bench
  readonly #asked: Routed<Asked>
  readonly #numbers: readonly number[]

  constructor(bench: Bench, tests: readonly TestFile[], zones: ZoneClocks) {
    this.#bench = bench
    this.#asked = new Routed(bench.policy)
    this.#numbers = numbersOf(bench.policy)
    for (const test of tests)
      for (const expectation of test.expectations) {
        const facts = factsOf(bench, test, expectation, zones)
        if (!differs(expectation, bench.engine.decide(facts))) this.#asked.add(facts.origin, { test, expectation, facts })
      }
  }

  /** The first expectation that the mutant does not meet; null: it lives. */
  killer({ change }: Mutant): Asked | null {
    const asked = 'always' in change ? this.#asked.all : this.#asked.about(change.index)
    if (asked.length === 0) return null
    const engine = this.engine(change)
    return asked.find(({ expectation, facts }) => differs(expectation, engine.decide(facts))) ?? null
  }

  decide(facts: Facts): Decision {
    return this.#bench.engine.decide(facts)
  }

  /** The engine of a mutant. One rule is compiled and put into its place, for compiling all of them again would make five thousand rules a matter of hours. */
  engine(change: Mutant['change']): PolicyEngine {
    const { policy, platform, recognise } = this.#bench
    const mutant =
      'always' in change ? compilePolicy(policy.tenant, policy.digest, changed(policy.document, change)) : this.#replaced(change)
    const state = { tenant: policy.tenant, state: 'enforced', digestEnforced: policy.digest, digestOnDisk: policy.digest } as const
    return policyEngine(platform, [{ policy: mutant, recognise, state }])
  }

  #replaced({ index, rule }: { readonly index: number; readonly rule: Rule | null }): CompiledPolicy {
    const { policy } = this.#bench
    const old = policy.document.rules[index]
    const number = this.#numbers[index]
    if (old === undefined || number === undefined) return policy
    const set = this.#set(old.effect)
    const compiled = rule === null ? gone(set.rules[number]) : compiledAlone(policy, rule)
    const mutated = { ...set, rules: compiled ? set.rules.with(number, compiled) : set.rules }
    return old.effect === 'deny' ? { ...policy, denies: mutated } : { ...policy, allows: mutated }
  }

  #set(effect: Rule['effect']): RuleSet {
    return effect === 'deny' ? this.#bench.policy.denies : this.#bench.policy.allows
  }
}

/** A rule that is not there, in the place of one that was: it never matches. */
const gone = (rule: CompiledRule | undefined): CompiledRule | undefined =>
  rule && { ...rule, conditions: [{ label: 'gone', test: () => no }], others: () => no }

const compiledAlone = ({ tenant, digest, document }: CompiledPolicy, rule: Rule): CompiledRule | undefined => {
  const who = new Map([...reached([...rule.who, ...rule.except], document.who)])
  const { denies, allows } = compilePolicy(tenant, digest, { ...document, who, rules: [rule] })
  return (rule.effect === 'deny' ? denies : allows).rules[0]
}

/** The definitions that names lead to. */
const reached = (names: readonly string[], who: PolicyDocument['who']): ReadonlyMap<string, Definition> => {
  const found = new Map<string, Definition>()
  const visit = (name: string): void => {
    const definition = who.get(name)
    if (definition === undefined || found.has(name)) return
    found.set(name, definition)
    for (const part of definition) {
      if (typeof part === 'string') visit(part)
      else if ('agent' in part) part.for.forEach(visit)
    }
  }
  names.forEach(visit)
  return found
}
