import type { Finding } from '../../model/finding.ts'
import type { Spot } from '../language/scope.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import type { PolicyFile } from '../load/version.ts'
import type { TestFile } from '../tests/file.ts'
import type { Bench } from '../tests/run.ts'
import { type Draft, Drafter } from './mutate/draft.ts'
import { Judge } from './mutate/judge.ts'
import { mutantsOf } from './mutate/mutants.ts'
import { spotsOf } from './spots.ts'

export interface JudgedMutant {
  /** What was taken away: `ledger-frozen`, `ledger-frozen.except`. */
  readonly what: string
  readonly spot: Spot
  /** Whether `mutants-killed` counts it. */
  readonly counted: boolean
  /** The first expectation that notices; null: it lives. */
  readonly killer: { readonly file: string; readonly spot: Spot } | null
  /** Of a survivor: lines for a test file that would notice. Null: none was found. */
  readonly draft: Draft | null
}

export interface Mutation {
  /** The policy file. */
  readonly file: string
  readonly mutants: readonly JudgedMutant[]
  /** Of those that count. */
  readonly counted: number
  readonly killed: number
}

/**
 * Takes one thing after the other from a policy and asks whether its tests notice. An expectation whose request a rule is no candidate for
 * is not asked: the engine looks at candidates only, and a mutant keeps the rule's routes, so nothing could change. `obligations` also takes
 * what `then` and `always` ask, which does not count.
 */
export const mutate = (bench: Bench, file: PolicyFile, tests: readonly TestFile[], obligations: boolean): Mutation => {
  const zones = zoneClocks()
  const judge = new Judge(bench, tests, zones)
  const drafter = new Drafter(bench, tests, judge, zones)
  const spots = spotsOf(file)
  const mutants = mutantsOf(bench.policy.document, obligations).map((mutant): JudgedMutant => {
    const killer = judge.killer(mutant)
    return {
      what: mutant.what,
      spot: spots(...mutant.key),
      counted: mutant.counted,
      killer: killer && { file: killer.test.file, spot: killer.expectation.spot },
      draft: killer === null ? drafter.draft(mutant) : null,
    }
  })
  const counted = mutants.filter(one => one.counted)
  return { file: file.name, mutants, counted: counted.length, killed: counted.filter(one => one.killer !== null).length }
}

/** The share that the test files of one tenant ask for, per cent; null: none asks. */
export const wantedShare = (tests: readonly TestFile[]): number | null => {
  const stated = tests.flatMap(test => test.mutants ?? [])
  return stated.length === 0 ? null : Math.max(...stated)
}

export const reaches = ({ counted, killed }: Mutation, share: number): boolean => counted === 0 || (killed / counted) * 100 >= share

/** P705 for each survivor, where fewer are killed than the tests ask for. */
export const tooManySurvive = (mutation: Mutation, share: number): readonly Finding[] =>
  reaches(mutation, share)
    ? []
    : mutation.mutants
        .filter(one => one.counted && one.killer === null)
        .map(({ what, spot, draft }) => ({
          file: mutation.file,
          ...spot,
          severity: 'error',
          code: 'P705',
          message: `no expectation notices if ${what} is gone (${mutation.killed} of ${mutation.counted} mutants killed, ${share}% wanted). ${advice(draft)}`,
        }))

const advice = (draft: Draft | null): string =>
  draft === null
    ? 'Add a case that it decides.'
    : `Add to cases of ${draft.file}: ${draft.case}${draft.request === null ? '' : ` and to requests: ${draft.request}`}`
