import type { Obligations } from '../../../model/obligation.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Rule } from '../../language/rule.ts'
import type { When } from '../../language/when.ts'

/** A policy with one thing taken away. */
export interface Mutant {
  /** What is taken away: `ledger-frozen`, `ledger-frozen.except`, `always.hide $.iban`. */
  readonly what: string
  /** Where it stands in the file. */
  readonly key: readonly (string | number)[]
  readonly change: Change
  /** Whether `mutants-killed` counts it. */
  readonly counted: boolean
  /** It takes an obligation away. */
  readonly obligation: boolean
}

/** A rule in the place of another, null: it is gone; or other obligations for every allow. */
export type Change = { readonly index: number; readonly rule: Rule | null } | { readonly always: Obligations }

/** The document of a mutant. */
export const changed = (document: PolicyDocument, change: Change): PolicyDocument => {
  if ('always' in change) return { ...document, always: change.always }
  const { index, rule } = change
  return { ...document, rules: rule === null ? document.rules.toSpliced(index, 1) : document.rules.with(index, rule) }
}

/** One thing taken from a rule; `rule` null: the rule itself. */
interface Cut {
  readonly key: readonly (string | number)[]
  /** Behind the rule's name, where the key alone does not say it. */
  readonly label?: string
  readonly rule: Rule | null
  readonly counted?: boolean
  readonly obligation?: boolean
}

/**
 * Each rule, and each `except`, `from`, `until`, `needs-login`, `mode` and `when` entry of each; `obligations`: also each of `then` and
 * `always`. Not the top-level `mode`: tests say what the rules enforce, so none could notice.
 */
export const mutantsOf = (document: PolicyDocument, obligations: boolean): readonly Mutant[] => {
  const { rules } = document
  const own = rules.flatMap((rule, index) =>
    [...cutsOf(rule), ...(obligations ? duties(rule) : [])].map(
      (cut): Mutant => ({
        what: [rule.name, ...cut.key.filter(step => typeof step === 'string'), ...(cut.label ? [cut.label] : [])].join('.'),
        key: ['rules', index, ...(cut.rule === null ? [rule.effect] : cut.key)],
        change: { index, rule: cut.rule },
        counted: cut.counted ?? true,
        obligation: cut.obligation ?? false,
      }),
    ),
  )
  return obligations ? [...own, ...sharedDuties(document)] : own
}

const cutsOf = (rule: Rule): readonly Cut[] => [
  { key: [], rule: null },
  ...(rule.except.length > 0 ? [{ key: ['except'], rule: { ...rule, except: [] } }] : []),
  ...(rule.when === null ? [] : conditions(rule, rule.when)),
  ...(rule.mode === 'shadow' ? [{ key: ['mode'], rule: { ...rule, mode: 'enforce' as const } }] : []),
  ...(rule.from === null ? [] : [{ key: ['from'], rule: { ...rule, from: null } }]),
  ...(rule.until === null ? [] : [{ key: ['until'], rule: { ...rule, until: null } }]),
  ...(rule.login === null ? [] : [{ key: ['needs-login'], rule: { ...rule, login: null } }]),
]

const none = { ipIn: null, ipNotIn: null, header: new Map(), query: new Map(), time: null, check: null } satisfies When
const keys = { ipIn: 'ip-in', ipNotIn: 'ip-not-in', header: 'header', query: 'query', time: 'time', check: 'check' } as const

const conditions = (rule: Rule, when: When): readonly Cut[] =>
  (Object.keys(keys) as (keyof typeof keys)[]).flatMap((key): readonly Cut[] => {
    const value = when[key]
    if (value === null || (value instanceof Map && value.size === 0)) return []
    const whole = { key: ['when', keys[key]], rule: { ...rule, when: { ...when, [key]: none[key] } } }
    return key === 'header' || key === 'query' ? [whole, ...names(rule, when, key)] : [whole]
  })

/** Of several names in one entry each is shown too, but the entry counts once. */
const names = (rule: Rule, when: When, key: 'header' | 'query'): readonly Cut[] =>
  when[key].size < 2
    ? []
    : [...when[key].keys()].map(name => ({
        key: ['when', key, name],
        rule: { ...rule, when: { ...when, [key]: new Map([...when[key]].filter(([other]) => other !== name)) } },
        counted: false,
      }))

const duties = (rule: Rule): readonly Cut[] => [
  ...(rule.role === null ? [] : [{ key: ['then', 'cassandra-role'], rule: { ...rule, role: null }, counted: false, obligation: true }]),
  ...without(rule.own).map(({ key, label, left }) => ({
    key: ['then', ...key],
    label,
    rule: { ...rule, own: left },
    counted: false,
    obligation: true,
  })),
]

const sharedDuties = (document: PolicyDocument): readonly Mutant[] =>
  without(document.always).map(({ key, label, left }) => ({
    what: `always.${key[0]}.${label}`,
    key: ['always', ...key],
    change: { always: left },
    counted: false,
    obligation: true,
  }))

/** Obligations without one of their entries, one by one. */
const without = (all: Obligations) => [
  ...all.hide.map((path, i) => ({ key: ['hide', i], label: path.text, left: { ...all, hide: all.hide.toSpliced(i, 1) } })),
  ...all.limits.map((limit, i) => ({ key: ['limit', i], label: limit.text, left: { ...all, limits: all.limits.toSpliced(i, 1) } })),
]
