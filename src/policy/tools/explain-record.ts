import type { Recorded } from '../../model/recorded.ts'
import { claimFact, readSet } from '../engine/reads.ts'
import { Again, type Against, namesOf } from './again.ts'
import type { FiledBench } from './change.ts'
import { type Explanation, explainFacts } from './explain.ts'
import { explanationLines } from './explain-text.ts'
import type { Hasher } from './literals.ts'
import type { Dim, Outcome } from './possible.ts'
import { lineOf } from './replay.ts'
import { momentText, quoted } from './words.ts'

/** A fact that stands in the way of an explanation, and what its record tells of it. */
export interface Untold {
  readonly name: string
  readonly because: 'hashed' | 'withheld' | 'not recorded' | 'not a value' | 'cut'
}

/** What can be said about a recorded request by the policies at hand. */
export interface RecordExplanation {
  readonly recorded: Pick<Recorded, 'id' | 'tenant' | 'effect' | 'observed' | 'rule' | 'role' | 'policyDigest' | 'platformDigest'> & {
    readonly at: string
  }
  /** Whether the policies at hand are those that decided. `unasked`: no tenant's policy was; `none`: they have no such tenant. */
  readonly version: 'same' | 'other' | 'unasked' | 'none'
  /** Null where a fact that it would show is not on record as it was. */
  readonly explanation: Explanation | null
  readonly untold: readonly Untold[]
  /** All that the policies at hand may decide, whatever the untold facts are. None: nothing can be said. */
  readonly outcomes: readonly (Pick<Outcome, 'effect' | 'rule'> & { readonly role: string | null })[]
}

/** Explains what a record tells, never by a guess. `bench`: of the tenant that the record names; null where there is none. */
export const explainRecord = (
  against: Against,
  bench: FiledBench | null,
  recorded: Recorded,
  hashers: readonly Hasher[],
): RecordExplanation => {
  const { dim, outcomes } = new Again(against, hashers).decide(recorded)
  const untold = untoldOf(recorded, bench, dim)
  const { id, time, tenant, effect, observed, rule, role, policyDigest, platformDigest } = recorded
  // Of a query only what some rule reads is on record, so it must not pass for the request's.
  const request = `${recorded.method} ${recorded.path}`
  return {
    recorded: { id, at: momentText(time), tenant, effect, observed, rule, role, policyDigest, platformDigest },
    version: versionOf(recorded, against, bench),
    explanation: bench && untold.length === 0 ? { ...explainFacts(bench, dim.look.facts), request } : null,
    untold,
    outcomes: outcomes.map(({ effect, rule, owed }) => ({ effect, rule, role: owed?.role ?? null })),
  }
}

const versionOf = (
  { policyDigest, platformDigest }: Recorded,
  { platform }: Against,
  bench: FiledBench | null,
): RecordExplanation['version'] => {
  if (policyDigest === null) return 'unasked'
  if (bench === null) return 'none'
  // A denial by the platform stands on the platform file alone.
  const decided = policyDigest === platform.digest || policyDigest === bench.policy.digest
  return decided && platformDigest === platform.digest ? 'same' : 'other'
}

const untoldOf = (recorded: Recorded, bench: FiledBench | null, dim: Dim): readonly Untold[] => {
  if (recorded.cut.length > 0) return recorded.cut.map(name => ({ name, because: 'cut' }))
  return shownBy(bench, dim).flatMap(name => {
    const because = untoldBecause(name, recorded, dim)
    return because === null ? [] : { name, because }
  })
}

/** Names of all facts of which an explanation shows the value: trial rules are explained too. */
const shownBy = (bench: FiledBench | null, dim: Dim): readonly string[] => {
  if (bench === null) return []
  const documents = [bench.platform, bench.policy].map(({ document }) => ({
    ...document,
    rules: document.rules.filter(rule => lineOf(rule, dim) !== null),
  }))
  return ['aud', ...namesOf(readSet(documents, bench.recognise.claims.keys()))]
}

const untoldBecause = (name: string, { facts }: Recorded, { grades }: Dim): Untold['because'] | null => {
  const value = facts?.values.get(name)
  if (value === undefined) return 'not recorded'
  if (grades.get(name) !== 'exact') return value.kind === 'hashed' || value.kind === 'withheld' ? value.kind : 'not a value'
  // What stands for these decides alike, and is nothing that anybody sent.
  const parts = 'value' in value ? [value.value].flat() : []
  if (value.kind === 'faulty' || parts.includes(null)) return 'not a value'
  const incomplete = facts?.incomplete ?? []
  const elsewhere = incomplete.includes(name) || (incomplete.includes('query') && name.startsWith('query.'))
  return elsewhere || (incomplete.includes('hasgroups') && name === claimFact(['groups'])) ? 'not a value' : null
}

const said: Readonly<Record<Untold['because'], string>> = {
  hashed: 'is hashed: with its key (--hash-key-file), what the policies name is known again, and nothing else',
  withheld: 'is withheld: the record tells its kind only (audit.plain, audit.hash-key-files)',
  'not recorded': 'is not recorded: no rule read it then, or there was no room',
  'not a value': 'was sent in a form that no rule reads, so there is no value to show',
  cut: 'is cut: it was longer than a record holds',
}

const versions: Readonly<Record<RecordExplanation['version'], string>> = {
  same: 'the folder holds these versions',
  other: 'the folder holds OTHER VERSIONS; what follows is what those decide',
  unasked: 'no policy of a tenant was asked; what follows is what the folder decides',
  none: 'the folder has no policy of this tenant',
}

/** For people. Whatever came with a token or a request stands between quotes. */
export const recordLines = ({ recorded, version, explanation, untold, outcomes }: RecordExplanation): readonly string[] => {
  const { id, at, tenant, policyDigest, platformDigest } = recorded
  const head = [
    `request ${quoted(id)} at ${at}; postern audit verify tells whether its record is as it was written`,
    `recorded: ${tenant === null ? 'no tenant' : quoted(tenant)}: ${outcomeText(recorded)}${recorded.observed ? ', let pass by observe mode' : ''}`,
    `by policy sha256 ${policyDigest ?? '(not recorded)'}, platform sha256 ${platformDigest ?? '(not recorded)'}: ${versions[version]}`,
    '',
  ]
  if (explanation !== null) {
    const { effect, by, role } = explanation.decision
    const same = effect === recorded.effect && by === recorded.rule && role === recorded.role
    return [...head, `decided again from its record: ${same ? 'the same' : 'NOT AS RECORDED'}`, '', ...explanationLines(explanation)]
  }
  return [
    ...head,
    'not explained in full, for no value is guessed:',
    ...untold.map(({ name, because }) => `  ${quoted(name)} ${said[because]}`),
    outcomes.length === 0 ? 'nothing can be said of what it comes to' : 'it can only come to:',
    ...outcomes.map(outcome => `  ${outcomeText(outcome)}`),
  ]
}

const outcomeText = ({ effect, rule, role }: RecordExplanation['outcomes'][number]): string =>
  `${effect} by ${quoted(rule)}${role === null ? '' : `, role ${quoted(role)}`}`
