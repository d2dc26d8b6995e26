import { formatDuration } from '../../../config/values.ts'
import type { Method } from '../../../model/exchange.ts'
import type { CompiledPolicy, RuleSet } from '../../engine/compile.ts'
import { candidates } from '../../engine/route-index.ts'
import { platformName } from '../../language/names.ts'
import type { RouteLine } from '../../language/pattern.ts'
import type { Rule } from '../../language/rule.ts'
import { coversCallers } from './callers.ts'
import { covers, coversRanges, type Spelled, spellRules } from './cover.ts'
import { meet } from './meet.ts'
import type { Report } from './report.ts'
import { meetOnPath, pathInto, spelledPath } from './routes.ts'

/** The platform file above a tenant's. */
export interface Above {
  readonly file: string
  readonly policy: CompiledPolicy
}

/** Comparisons of lines in one file. Without a bound, a hostile file of rules that all but cover one another would take minutes. */
const maxSteps = 3_000_000
const maxLines = 500

/** W801, W802, W808 and W810: what rules mean for each other. */
export const lintOrder = (policy: CompiledPolicy, platform: Above | null, report: Report): void => {
  const order = new Order(policy, platform)
  for (const one of order.rules) {
    const reason = deadReason(one, order)
    if (reason !== null) report.warn(801, ['rules', one.index, ...reason.key], reason.message)
    else if (one.rule.effect === 'allow') lintOverlap(one, order, report)
    else lintHead(one, order, report)
  }
  lintCrowd(policy, report)
}

/** The rules of one file beside those that stand on their routes. */
class Order {
  readonly rules: readonly Spelled[]
  readonly policy: CompiledPolicy
  readonly platform: (Above & { readonly denies: readonly (Spelled | null)[] }) | null
  readonly #ofEffect: Readonly<Record<Rule['effect'], readonly Spelled[]>>
  readonly #isPlatform: boolean
  readonly #headAllowed: readonly RouteLine[]
  #left = maxSteps

  constructor(policy: CompiledPolicy, platform: Above | null) {
    this.policy = policy
    this.rules = spellRules(policy.document)
    this.platform = platform && { ...platform, denies: spellRules(platform.policy.document).map(readAlike) }
    this.#ofEffect = {
      deny: this.rules.filter(one => one.rule.effect === 'deny'),
      allow: this.rules.filter(one => one.rule.effect === 'allow'),
    }
    this.#isPlatform = policy.tenant === platformName
    this.#headAllowed = this.#ofEffect.allow.flatMap(({ rule }) => rule.to.filter(line => line.methods.includes('HEAD'))).slice(0, maxLines)
  }

  /** Rules of an effect on the route of a rule's first line, in file order: whatever covers the rule is among them. */
  around({ rule: { to } }: Spelled, effect: Rule['effect']): readonly Spelled[] {
    return this.#first(to, effect === 'deny' ? this.policy.denies : this.policy.allows).flatMap(
      number => this.#ofEffect[effect][number] ?? [],
    )
  }

  /** Denies of the platform on the route of a rule's first line. */
  aboveAll({ rule: { to } }: Spelled): readonly Spelled[] {
    const { platform } = this
    return platform ? this.#first(to, platform.policy.denies).flatMap(number => platform.denies[number] ?? []) : []
  }

  /** Allows below a rule on any of its routes. */
  below({ rule: { to }, index }: Spelled): readonly Spelled[] {
    const found = new Set<number>()
    for (const line of to)
      for (const method of line.methods) for (const number of this.on(this.policy.allows, method, line, to.length)) found.add(number)
    const numbers = [...found].sort((a, b) => a - b)
    return numbers.flatMap(number => this.#ofEffect.allow[number] ?? []).filter(one => one.index > index)
  }

  /** Numbers of the rules on one route; none once the file has cost too much. `cost`: steps that each of them leads to. */
  on(set: RuleSet, method: Method, line: RouteLine, cost: number): readonly number[] {
    if (this.#left <= 0) return []
    const found = candidates(set.index, method, pathInto(line))
    this.#left -= 1 + found.length * cost
    return found
  }

  #first([line, ...more]: readonly RouteLine[], set: RuleSet): readonly number[] {
    const method = line?.methods[0]
    return line === undefined || method === undefined ? [] : this.on(set, method, line, (more.length + 1) ** 2)
  }

  /** Without an allow nothing needs a deny; what allows there are below the platform file, it cannot see. */
  allowsHead(line: RouteLine): boolean {
    return this.#isPlatform || this.#headAllowed.some(allowed => meetOnPath(line, allowed, false))
  }
}

/** Claims of one name may be read from different places in two files: only what does not depend on them can be compared. */
const readAlike = (one: Spelled): Spelled | null =>
  one.rule.except.length > 0 || one.rule.when?.check
    ? null
    : { ...one, who: { anyone: one.who.anyone, persons: [], agents: one.who.agents.filter(part => part.for.anyone) } }

interface Reason {
  /** Below the rule; none: its name. */
  readonly key: readonly string[]
  readonly message: string
}

const deadReason = (one: Spelled, order: Order): Reason | null => {
  const { rule } = one
  const key = [rule.effect]
  if (rule.effect === 'allow' && rule.except.length > 0 && coversCallers(one.except, one.who, 'refuse'))
    return {
      key: ['except'],
      message: `${rule.name} can never decide: except takes out everybody whom who names. Narrow except, or remove the rule.`,
    }
  const { ipIn, ipNotIn } = rule.when ?? {}
  if (rule.effect === 'allow' && ipIn && ipNotIn && coversRanges(ipNotIn, ipIn))
    return {
      key: ['when', 'ip-not-in'],
      message: `${rule.name} can never decide: ip-not-in takes out every address of ip-in. Correct one of them.`,
    }
  const platform = order.aboveAll(one).find(other => covers(other, one))
  if (platform) return { key, message: covered(rule, platform.rule, `${order.platform?.file}:${platform.rule.spot.line}`) }
  const earlier = order.around(one, rule.effect).find(other => other.index < one.index && covers(other, one))
  const deny = rule.effect === 'allow' ? order.around(one, 'deny').find(other => covers(other, one)) : undefined
  const by = deny ?? earlier
  return by ? { key, message: covered(rule, by.rule, `line ${by.rule.spot.line}`) } : null
}

const covered = (rule: Rule, by: Rule, where: string): string =>
  by.effect === rule.effect
    ? `${rule.name} can never decide: ${by.name} (${where}) stands before it and matches whenever it does. ${rule.effect === 'allow' ? 'Move it above, narrow' : 'Narrow'} ${by.name}, or remove the rule.`
    : `${rule.name} can never decide: the deny ${by.name} (${where}) refuses all that it allows. Narrow ${by.name}, for example by except, or remove the rule.`

/** A narrower rule before a wider one is how an exception is written; two that only overlap leave the choice to the order. */
const lintOverlap = (one: Spelled, order: Order, report: Report): void => {
  const { rule } = one
  const { claims } = order.policy.document
  const other = order
    .below(one)
    .find(
      ({ rule: later, ...rest }) =>
        later.mode === rule.mode &&
        handsOut(later) !== handsOut(rule) &&
        meet(one, { rule: later, ...rest }, claims) &&
        !covers({ rule: later, ...rest }, one) &&
        !covers(one, { rule: later, ...rest }),
    )?.rule
  if (other)
    report.warn(
      802,
      ['rules', one.index, 'allow'],
      `some requests fit ${rule.name} (${handsOut(rule)}) and ${other.name} (line ${other.spot.line}; ${handsOut(other)}), and the first of the two decides. Make them exclude each other, for example by except, or give both the same.`,
    )
}

/** What an allow hands out or demands, in words. */
const handsOut = ({ role, own, login }: Rule): string => {
  const parts = [
    role && `role ${role.name}`,
    own.hide.length > 0 &&
      `hide ${own.hide
        .map(path => path.text)
        .toSorted()
        .join(' ')}`,
    own.limits.length > 0 &&
      `limit ${own.limits
        .map(limit => limit.text)
        .toSorted()
        .join(', ')}`,
    login &&
      `needs-login ${[...(login.acr ?? []), ...(login.amr ?? []), ...(login.within === null ? [] : [formatDuration(login.within)])].join(' ')}`,
  ].filter(Boolean)
  return parts.length === 0 ? 'no obligations' : parts.join(', ')
}

/** HEAD tells whether something is there, how large it is and when it changed. */
const lintHead = (one: Spelled, order: Order, report: Report): void => {
  const { rule, index } = one
  for (const [place, line] of rule.to.entries()) {
    if (!line.methods.includes('GET') || line.methods.includes('HEAD') || !order.allowsHead(line)) continue
    const same: Spelled = { ...one, rule: { ...rule, to: [{ ...line, methods: ['HEAD'] }] } }
    if (!order.around(same, 'deny').some(other => covers(other, same)))
      report.warn(
        808,
        ['rules', index, 'to', place],
        `${rule.name} refuses GET ${spelledPath(line)} but not HEAD, which tells about the same. Write GET HEAD.`,
      )
  }
}

const mostOnRoute = 64

/** The one route with the most rules: their cost is paid by each of its requests. */
const lintCrowd = ({ document, denies, allows }: CompiledPolicy, report: Report): void => {
  let steps = 0
  let worst = { count: mostOnRoute, key: [] as readonly (string | number)[], route: '' }
  for (const [index, rule] of document.rules.entries())
    for (const [number, line] of rule.to.entries()) {
      const [method] = line.methods
      if (method === undefined || steps >= maxSteps) continue
      const path = pathInto(line)
      const count = candidates(denies.index, method, path).length + candidates(allows.index, method, path).length
      steps += count
      if (count > worst.count) worst = { count, key: ['rules', index, 'to', number], route: `${method} ${spelledPath(line)}` }
    }
  if (worst.count > mostOnRoute)
    report.warn(
      810,
      worst.key,
      `${worst.count} rules are candidates for ${worst.route}; each of its requests pays for them. Write narrower paths, or one rule with a list under who.`,
    )
}
