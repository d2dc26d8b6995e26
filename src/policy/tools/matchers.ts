import { formatDuration } from '../../config/values.ts'
import { fieldValues } from '../../model/exchange.ts'
import type { Check } from '../check/ast.ts'
import type { Look } from '../engine/conditions.ts'
import { claimReader, faulty } from '../language/claims.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Rule } from '../language/rule.ts'
import { no, type Side, type Tri, yes } from '../language/tri.ts'
import { type Part, partsOf } from './callers.ts'
import type { Judged } from './judged.ts'
import type { KeyPath, Place, Places } from './places.ts'
import { coveringLines } from './route.ts'
import { anyOf, expectationText, listed, momentText, quoted, rangesText, shown, windowText } from './words.ts'

export type Held = 'true' | 'false' | 'error'
export const heldText = (held: Tri): Held => (held === yes ? 'true' : held === no ? 'false' : 'error')

/** One key of a rule, or of a definition that the rule names: whether it holds, what was seen, and what it wants. */
export interface Matcher {
  /** `when.ip-not-in`, `who.finance-staff.groups` */
  readonly key: string
  readonly held: Held
  readonly seen: string
  readonly wanted: string
  readonly place: Place
  /** Of `who` and `except`: the definitions behind the names. */
  readonly parts: readonly Matcher[]
}

/** What a rule and its request are explained with. */
export interface Setting {
  readonly document: PolicyDocument
  readonly file: string
  readonly places: Places
  readonly look: Look
}

/** The key of a condition, from its label. A name of a header or parameter may have dots of its own. */
export const keyOf = (label: string): readonly string[] => {
  const found = /^(when)\.(header|query)\.(.*)$/s.exec(label)
  if (found) return found.slice(1)
  return /^(who|except) /.test(label) ? [label.slice(0, label.indexOf(' '))] : label.split('.')
}

/** The side on which a rule reads its callers, and its exceptions. */
export const sideOf = (rule: Rule, key: 'who' | 'except'): Side => ((rule.effect === 'allow') === (key === 'who') ? 'grant' : 'refuse')

export const callersOf = (rule: Rule, key: 'who' | 'except', { document, look }: Setting): readonly Part[] =>
  partsOf(rule[key], document, look.facts.identity, sideOf(rule, key))

export const matcherOf = (rule: Rule, { condition, held }: Judged, setting: Setting): Matcher => {
  const key = keyOf(condition.label)
  const [name] = key
  const { file, places } = setting
  const common = { key: key.join('.'), held: heldText(held), place: places.rule(file, rule.name, key) }
  if (name === 'who' || name === 'except') {
    const wanted = listed(rule[name], 'or')
    const parts = callersOf(rule, name, setting).flatMap(part => part.atoms.map(atom => atomMatcher(part, atom, setting)))
    return { ...common, seen: callerText(setting.look), wanted: name === 'who' ? wanted : `none of ${wanted}`, parts }
  }
  return { ...common, ...described(rule, key, setting), parts: [] }
}

const atomMatcher = (part: Part, { path, held, seen, wanted, asked }: Part['atoms'][number], { file, places }: Setting): Matcher => ({
  key: asked.of === 'in-person' ? `who.${part.name}` : path.filter(step => typeof step === 'string').join('.'),
  held: heldText(held),
  seen,
  wanted,
  place: places.key(file, path),
  parts: [],
})

export const callerText = ({ facts: { identity } }: Look): string => {
  const { agents, subject } = identity
  return `${agents.map(agent => `agent ${shown(agent)} for `).join('')}subject ${shown(subject)}`
}

interface Described {
  readonly seen: string
  readonly wanted: string
}

const described = (rule: Rule, key: KeyPath, setting: Setting): Described => {
  const { look } = setting
  const [top, second, name = ''] = key
  if (top === 'from') return { seen: momentText(look.facts.now), wanted: `at or after ${momentText(rule.from ?? 0)}` }
  if (top === 'until') return { seen: momentText(look.facts.now), wanted: `before ${momentText(rule.until ?? 0)}` }
  if (top === 'needs-login') return loginText(rule, String(second), look)
  if (second === 'header') return headerText(rule, String(name), look)
  if (second === 'query') return queryText(rule, String(name), look)
  const address = look.facts.origin.clientIp ?? 'unknown'
  if (second === 'ip-in') return { seen: address, wanted: rangesText(rule.when?.ipIn ?? []) }
  if (second === 'ip-not-in') return { seen: address, wanted: `outside ${rangesText(rule.when?.ipNotIn ?? [])}` }
  if (second === 'time' && rule.when?.time) return { seen: localText(rule.when.time.zone, look), wanted: windowText(rule.when.time) }
  return checkText(rule, setting)
}

const headerText = (rule: Rule, name: string, look: Look): Described => {
  const values = fieldValues(look.facts.origin.headers, name)
  const wanted = rule.when?.header.get(name)
  return { seen: listed(values.map(shown), 'and') || 'absent', wanted: wanted === undefined ? '' : expectationText(wanted) }
}

const queryText = (rule: Rule, name: string, look: Look): Described => {
  const { parameters, broken } = look.query
  const values = parameters.filter(one => one.name === name).map(({ value }) => (value === null ? 'not decodable' : shown(value)))
  const seen = listed([...new Set(values)], 'and') || 'absent'
  const wanted = rule.when?.query.get(name)
  return {
    seen: broken ? `${seen}; a parameter's name cannot be decoded` : seen,
    wanted: wanted === undefined ? '' : expectationText(wanted),
  }
}

const weekdays = ['', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']

const localText = (zone: string, { facts }: Look): string => {
  const local = facts.zones.at(zone, facts.now)
  if (local === null) return 'no moment of a calendar'
  const two = (n: number): string => String(n).padStart(2, '0')
  return `${weekdays[local.weekday]}, day ${local.monthDay}, ${two(Math.floor(local.minute / 60))}:${two(local.minute % 60)}`
}

const loginText = ({ login }: Rule, key: string, { facts: { identity, now } }: Look): Described => {
  if (key === 'acr') return { seen: shown(identity.claims['acr']), wanted: anyOf(login?.acr ?? []) }
  if (key === 'amr') return { seen: shown(identity.claims['amr']), wanted: anyOf(login?.amr ?? []) }
  const signedIn = identity.claims['auth_time']
  const wanted = `at most ${formatDuration(login?.within ?? 0)} ago`
  if (typeof signedIn !== 'number') return { seen: 'auth_time absent', wanted }
  const age = now - signedIn * 1000
  return { seen: age < 0 ? `${ageText(-age)} ahead` : `${ageText(age)} ago`, wanted }
}

/** The two largest units that are not zero: `3h`, `16m40s`. */
export const ageText = (ms: number): string => {
  let rest = Math.floor(ms / 1000)
  const parts: string[] = []
  for (const [unit, seconds] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    if (rest >= seconds) parts.push(`${Math.floor(rest / seconds)}${unit}`)
    rest %= seconds
  }
  return parts.slice(0, 2).join('') || '0s'
}

/** What the expression reads, each with its value. */
const checkText = (rule: Rule, { look, document }: Setting): Described => {
  const check = rule.when?.check
  if (!check) return { seen: '', wanted: '' }
  return { seen: readsText(check.reads, rule, look, document).join(', ') || 'nothing', wanted: quoted(check.text) }
}

const readsText = (reads: Check['reads'], rule: Rule, look: Look, document: PolicyDocument): readonly string[] => {
  const { origin, identity } = look.facts
  const lines = coveringLines(rule, origin)
  const claim = (name: string): string => {
    const declared = document.claims.get(name)
    const value = declared && claimReader(name, declared)(identity.claims)
    return value === faulty ? 'missing, or not as declared' : shown(value)
  }
  const parameters = (name: string): readonly unknown[] => look.query.parameters.filter(one => one.name === name).map(one => one.value)
  const several = (values: readonly unknown[]): string => listed(values.map(shown), 'and') || 'absent'
  const facts = { method: origin.method, subject: identity.subject, scopes: identity.scopes }
  return [
    ...reads.claims.map(name => `claims.${name} is ${claim(name)}`),
    ...reads.path.map(name => `path.${name} is ${several([...new Set(lines.map(line => line.variables.get(name)))])}`),
    ...reads.query.map(name => `query ${quoted(name)} is ${several(parameters(name))}`),
    ...reads.header.map(name => `header ${quoted(name)} is ${several(fieldValues(origin.headers, name))}`),
    ...reads.facts.map(name => `${name} is ${shown(facts[name])}`),
  ]
}
