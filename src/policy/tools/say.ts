import { formatDuration } from '../../config/values.ts'
import { methods } from '../../model/exchange.ts'
import type { Limit, Obligations } from '../../model/obligation.ts'
import type { Claim } from '../language/claims.ts'
import type { Login } from '../language/login.ts'
import { platformName } from '../language/names.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { Rule } from '../language/rule.ts'
import { pathText } from './route.ts'
import { sayWhen } from './say-when.ts'
import { sayCallers } from './say-who.ts'
import { anyOf, listed, momentText, quoted } from './words.ts'

/** One thing that a policy says. `rule` null: it is about the policy as a whole. */
export interface Said {
  readonly tenant: string
  readonly effect: Rule['effect'] | null
  readonly rule: string | null
  readonly text: string
}

/** What holds of every policy, so that no sentence has to repeat it. */
export const preamble: readonly string[] = [
  'The first permission that matches decides; a refusal that matches beats every permission; what no permission matches is refused.',
  'A refusal also matches where one of its conditions cannot be told, such as an unknown address or a claim that the token lacks; a permission then does not.',
  '{name} in a path is one segment, /** everything below and the path itself. A refusal also holds with one "/" more at the end.',
]

/** A policy in plain English: the same rules, the same words. */
export const sayPolicy = (tenant: string, document: PolicyDocument, recognise: Recognise | null): readonly Said[] => {
  const whole = (text: string): Said => ({ tenant, effect: null, rule: null, text })
  const always = sayObligations(document.always)
  return [
    ...(recognise === null
      ? [whole('These rules hold for every tenant, before its own; no rule of a tenant undoes one of them.')]
      : [whole(sayRecognise(tenant, recognise))]),
    ...(document.observeUntil === null ? [] : [whole(sayObserved(tenant, document.observeUntil))]),
    ...(document.sharedRoles.length === 0 ? [] : [whole(`Every tenant may name Cassandra role ${listed(document.sharedRoles, 'or')}.`)]),
    ...[...document.claims].map(([name, claim]) => whole(sayDeclared(name, claim))),
    ...(always.length === 0
      ? []
      : [whole(`For every allowed request${tenant === platformName ? ' of every tenant' : ''}: ${always.join(' ')}`)]),
    ...document.rules.map(rule => ({ tenant, effect: rule.effect, rule: rule.name, text: sayRule(rule, document) })),
    ...(recognise === null ? [] : [whole('Everything else is refused.')]),
  ]
}

const sayRecognise = (tenant: string, { host, issuer, audience, claims }: Recognise): string =>
  `A request is of ${tenant} if ${listed(
    [
      ...(host === null ? [] : [`its host is ${anyOf(host)}`]),
      `its token is from ${anyOf(issuer)}`,
      `for audience ${anyOf(audience)}`,
      ...[...claims].map(([name, values]) => `with claim ${quoted(name)} ${anyOf(values)}`),
    ],
    'and',
  )}.`

const sayObserved = (tenant: string, until: number): string =>
  `Until just before ${momentText(until)}, what the rules of ${tenant} refuse is recorded and let pass all the same, without a Cassandra role; what the platform refuses is refused.`

const sayDeclared = (name: string, { type, optional, from }: Claim): string => {
  const source = from === null ? '' : ` It is read from ${quoted(from.join(' / '))} in the token.`
  return `Claim ${name} is ${type}${optional ? ' and may be absent' : '; without it, or of another type, it cannot be told'}.${source}`
}

/** One rule, every key of it. Rules that decide differently give different sentences. */
export const sayRule = (rule: Rule, document: PolicyDocument): string => {
  const [side, opposite] = rule.effect === 'allow' ? (['grant', 'refuse'] as const) : (['refuse', 'grant'] as const)
  const who = sayCallers(rule.who, document, side)
  const except = rule.except.length === 0 ? '' : `, except ${sayCallers(rule.except, document, opposite)},`
  const clauses = sayWhen(rule.when, side).map(clause => `if ${clause}`)
  const span = [
    ...(rule.from === null ? [] : [`from ${momentText(rule.from)} on`]),
    ...(rule.until === null ? [] : [`until just before ${momentText(rule.until)}`]),
  ]
  const conditions = [...span, ...(clauses.length === 0 ? [] : [clauses.join(', and ')])].join(', ')
  // Without "each", a condition could be taken for one of the last route alone.
  const each = conditions === '' ? '' : rule.to.length > 1 ? ', each ' : ', '
  const what = `${rule.to.map(sayLine).join(', or ')}${each}${conditions}.`
  // "Anyone may not" could mean that some may.
  const main = rule.effect === 'allow' ? `${who}${except} may ${what}` : `It is refused to ${who}${except} to ${what}`
  return [
    ...(rule.mode === 'shadow' ? ['On trial, recorded and never enforced:'] : []),
    main,
    ...sayLogin(rule.login),
    ...(rule.effect === 'allow' ? [...sayObligations(rule.own), sayRole(rule)] : []),
    `Why: ${quoted(rule.why)}`,
  ].join(' ')
}

const sayLine = (line: RouteLine): string =>
  line.methods.length === methods.length ? `use any method on ${pathText(line)}` : `${listed(line.methods, 'or')} ${pathText(line)}`

const sayLogin = (login: Login | null): readonly string[] => {
  if (login === null) return []
  const parts = [
    ...(login.acr === null ? [] : [`with acr ${anyOf(login.acr)}`]),
    ...(login.amr === null ? [] : [`by means of ${anyOf(login.amr)}`]),
    ...(login.within === null ? [] : [`at most ${formatDuration(login.within)} before`]),
  ]
  return [`The person must have signed in ${listed(parts, 'and')}; otherwise they are asked to sign in again.`]
}

const sayRole = ({ role }: Rule): string => (role === null ? 'The backend gets no Cassandra role.' : `Runs as Cassandra role ${role.name}.`)

const sayObligations = ({ hide, limits }: Obligations): readonly string[] => [
  ...limits.map(sayLimit),
  ...(hide.length === 0
    ? []
    : [
        `Removed from JSON replies: ${listed(
          hide.map(path => quoted(path.text)),
          'and',
        )}; this does not stop filtering or sorting by ${hide.length === 1 ? 'it' : 'them'}.`,
      ]),
]

const units: Readonly<Record<number, string>> = { 1: 'second', 60: 'minute', 3600: 'hour', 86400: 'day' }
const counted = { tenant: 'for the tenant together', caller: 'for each caller', agent: 'for each agent' } as const
const over = { rule: 'this rule', tenant: 'all rules of the tenant', platform: 'all rules of each tenant' } as const

const sayLimit = (limit: Limit): string =>
  `At most ${limit.amount} a ${units[limit.seconds] ?? `${limit.seconds} s`} ${counted[limit.per]}, counted over ${over[limit.over]}, per instance.`
