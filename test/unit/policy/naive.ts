import type { Facts } from '../../../src/model/decision.ts'

/**
 * The semantics of policy section 2, written a second time and without any index, compilation or shared code: the
 * yardstick for the evaluator. True, false, or null for error.
 */
type Truth = boolean | null

export interface NaiveRule {
  readonly allow?: string
  readonly deny?: string
  readonly who: string | readonly string[]
  readonly except?: string | readonly string[]
  readonly to: readonly string[]
  readonly when?: {
    readonly 'ip-in'?: readonly string[]
    readonly 'ip-not-in'?: readonly string[]
    readonly header?: Readonly<Record<string, Wanted>>
    readonly query?: Readonly<Record<string, Wanted>>
    readonly time?: NaiveTime
  }
  readonly mode?: 'shadow'
  readonly from?: string
  readonly until?: string
  readonly 'needs-login'?: { readonly acr?: readonly string[]; readonly amr?: readonly string[]; readonly within?: string }
  readonly then?: { readonly 'cassandra-role': string }
}
export interface NaiveTime {
  readonly zone: string
  readonly days?: readonly string[]
  readonly 'month-days'?: readonly number[]
  readonly between?: string
}
type Wanted = string | readonly string[]
export interface NaiveCaller {
  readonly groups?: readonly string[]
  readonly subject?: readonly string[]
  readonly scopes?: readonly string[]
  readonly claims?: Readonly<Record<string, readonly (string | number)[]>>
  readonly agent?: 'any' | readonly string[]
  readonly for?: readonly string[]
  readonly 'max-hops'?: number
}
export interface NaivePolicy {
  readonly claims: Readonly<Record<string, string>>
  readonly who: Readonly<Record<string, NaiveCaller | readonly (string | NaiveCaller)[]>>
  readonly rules: readonly NaiveRule[]
}

const all = (truths: readonly Truth[]): Truth => (truths.includes(false) ? false : truths.includes(null) ? null : true)
const any = (truths: readonly Truth[]): Truth => (truths.includes(true) ? true : truths.includes(null) ? null : false)
const opposite = (truth: Truth): Truth => (truth === null ? null : !truth)

/** What the policy says with its shadow rules enforced; null where none is on the route. */
export const naiveShadow = (policy: NaivePolicy, facts: Facts): string | null =>
  policy.rules.some(rule => rule.mode === 'shadow' && coversLine(rule, facts, rule.deny !== undefined)) ? judged(policy, facts) : null

export const naiveDecision = (policy: NaivePolicy, facts: Facts): string =>
  judged({ ...policy, rules: policy.rules.filter(rule => rule.mode !== 'shadow') }, facts)

const judged = (policy: NaivePolicy, facts: Facts): string => {
  for (const rule of policy.rules.filter(one => one.deny !== undefined && coversLine(one, facts, true))) {
    const truth = matches(policy, rule, facts, 'refuse')
    if (truth !== false) return `deny ${rule.deny}${truth === null ? '?' : ''}`
  }
  for (const rule of policy.rules.filter(one => one.allow !== undefined && coversLine(one, facts, false)))
    if (matches(policy, rule, facts, 'grant') === true)
      return lacksLogin(rule, facts) ? `step-up ${rule.allow}` : `allow ${rule.allow} ${rule.then?.['cassandra-role'] ?? '-'}`
  return 'deny default'
}

const lacksLogin = ({ 'needs-login': login = {} }: NaiveRule, { identity, now }: Facts): boolean => {
  const { acr, amr, auth_time } = identity.claims
  const minutes = Number(login.within?.replace('m', '') ?? Number.NaN)
  const age = typeof auth_time === 'number' ? now / 1000 - auth_time : Number.NaN
  return (
    (login.acr !== undefined && !login.acr.some(one => one === acr)) ||
    (login.amr !== undefined && !login.amr.some(one => Array.isArray(amr) && amr.includes(one))) ||
    (login.within !== undefined && !(age <= minutes * 60 && age >= -60))
  )
}

const matches = (policy: NaivePolicy, rule: NaiveRule, facts: Facts, side: 'grant' | 'refuse'): Truth => {
  const other = side === 'grant' ? 'refuse' : 'grant'
  const when = rule.when ?? {}
  const { headers, target, clientIp } = facts.origin
  return all([
    rule.from === undefined || facts.now >= new Date(rule.from).getTime(),
    rule.until === undefined || facts.now < new Date(rule.until).getTime(),
    callers(policy, rule.who, facts, side),
    rule.except === undefined ? true : opposite(callers(policy, rule.except, facts, other)),
    when['ip-in'] ? inside(clientIp, when['ip-in']) : true,
    when['ip-not-in'] ? opposite(inside(clientIp, when['ip-not-in'])) : true,
    when.time === undefined || timeHolds(when.time, facts.now),
    ...Object.entries(when.header ?? {}).map(([name, wanted]) => headerHolds(headers, name, wanted, side)),
    ...Object.entries(when.query ?? {}).map(([name, wanted]) => queryHolds(target.query ?? '', name, wanted, side)),
  ])
}

const callers = (policy: NaivePolicy, names: string | readonly string[], facts: Facts, side: 'grant' | 'refuse'): Truth =>
  any([names].flat().map(name => callerHolds(policy, name, facts, side)))

const agentHolds = (policy: NaivePolicy, part: NaiveCaller, facts: Facts, side: 'grant' | 'refuse'): Truth => {
  const { agents } = facts.identity
  const person = { ...facts, identity: { ...facts.identity, agents: [] } }
  return all([
    agents.length > 0 && (part.agent === 'any' || part.agent?.includes(agents[0] ?? '') === true),
    agents.length <= (part['max-hops'] ?? 99),
    part.for === undefined ? true : callers(policy, part.for, person, side),
  ])
}

const callerHolds = (policy: NaivePolicy, part: string | NaiveCaller, facts: Facts, side: 'grant' | 'refuse'): Truth => {
  const inPerson = facts.identity.agents.length === 0
  if (part === 'anyone') return side === 'refuse' || inPerson
  if (typeof part === 'string') {
    const definition = policy.who[part]
    if (definition === undefined) throw new Error(part)
    return any([definition].flat().map(one => callerHolds(policy, one as string | NaiveCaller, facts, side)))
  }
  if (part.agent !== undefined) return agentHolds(policy, part, facts, side)
  if (side === 'grant' && !inPerson) return false
  const { identity } = facts
  return all([
    part.subject ? part.subject.includes(identity.subject) : true,
    part.scopes ? part.scopes.some(scope => identity.scopes.includes(scope)) : true,
    part.groups ? claimHolds(policy, 'groups', part.groups, facts) : true,
    ...Object.entries(part.claims ?? {}).map(([name, values]) => claimHolds(policy, name, values, facts)),
  ])
}

const claimHolds = (policy: NaivePolicy, name: string, values: readonly (string | number)[], { identity }: Facts): Truth => {
  const declared = policy.claims[name] ?? ''
  const type = declared.replace('?', '')
  const value = identity.claims[name]
  if (name === 'groups' && identity.claims['hasgroups'] === true) return null
  if (value === undefined || value === null) return declared.endsWith('?') ? false : null
  if (type === 'list<string>')
    return Array.isArray(value) && value.every(one => typeof one === 'string') ? value.some(one => values.includes(one)) : null
  return typeof value === type ? values.includes(value as string) : null
}

const coversLine = (rule: NaiveRule, { origin }: Facts, ignoreSlash: boolean): boolean =>
  rule.to.some(line => {
    const words = line.split(' ')
    const pattern = words.pop() ?? ''
    if (!words.includes('ANY') && !words.includes(origin.method)) return false
    const cut = (text: string): string => (ignoreSlash && text.length > 1 ? text.replace(/\/$/, '') : text)
    return fits(segmentsOf(cut(pattern)), segmentsOf(cut(origin.target.path)))
  })

const segmentsOf = (path: string): string[] => (path === '/' ? [] : path.slice(1).split('/'))

const fits = (pattern: readonly string[], path: readonly string[]): boolean => {
  const [head, ...rest] = pattern
  if (head === undefined) return path.length === 0
  if (head === '**') return true
  const [first, ...others] = path
  if (first === undefined || (head.startsWith('{') ? first === '' : head !== first)) return false
  return fits(rest, others)
}

const inside = (ip: string | null, ranges: readonly string[]): Truth => {
  const value = ip === null ? null : number(ip)
  if (value === null) return null
  return ranges.some(range => {
    const [base = '', bits = '32'] = range.split('/')
    const size = 2 ** (32 - Number(bits))
    return Math.floor(value / size) === Math.floor((number(base) ?? 0) / size)
  })
}
const number = (ip: string): number | null => {
  const parts = ip.replace('::ffff:', '').split('.').map(Number)
  return parts.length === 4 && parts.every(part => part >= 0 && part < 256) ? parts.reduce((sum, part) => sum * 256 + part, 0) : null
}

const local = new Map<string, Intl.DateTimeFormat>()
const localText = (zone: string, now: number): string => {
  const known = local.get(zone) ?? new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' })
  local.set(zone, known)
  return known.format(now)
}

const timeHolds = ({ zone, days, 'month-days': monthDays, between }: NaiveTime, now: number): boolean => {
  const [date = '', time = ''] = localText(zone, now).split(' ')
  const weekday = new Date(`${date}T12:00:00Z`).toUTCString().slice(0, 3).toLowerCase()
  const [start = '', end = ''] = (between ?? '').split('-')
  const hours = time.slice(0, 5)
  return (
    (days === undefined || days.includes(weekday)) &&
    (monthDays === undefined || monthDays.includes(Number(date.slice(8)))) &&
    (between === undefined || (start < end ? hours >= start && hours < end : hours >= start || hours < end))
  )
}

const combine = (truths: readonly Truth[], side: 'grant' | 'refuse'): Truth => (side === 'grant' ? all(truths) : any(truths))

const headerHolds = (headers: readonly string[], name: string, wanted: Wanted, side: 'grant' | 'refuse'): Truth => {
  const values = headers.filter((_, i) => i % 2 === 1 && headers[i - 1] === name).map(value => value.trim())
  if (values.length === 0) return wanted === 'absent'
  return combine(
    values.map(value => (wanted === 'present' ? value !== '' : wanted === 'absent' ? value === '' : [wanted].flat().includes(value))),
    side,
  )
}

const decoded = (text: string): string | null => {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

const queryHolds = (query: string, name: string, wanted: Wanted, side: 'grant' | 'refuse'): Truth => {
  const pairs = query
    .split('&')
    .filter(Boolean)
    .map(pair => [decoded(pair.split('=')[0] ?? ''), decoded(pair.split('=')[1] ?? '')] as const)
  const values = pairs.filter(([key]) => key === name).map(([, value]) => value)
  const doubt: Truth[] = pairs.some(([key]) => key === null) ? [null] : []
  if (wanted === 'present') return values.length > 0 ? true : doubt.length > 0 ? null : false
  if (wanted === 'absent') return values.length > 0 ? false : doubt.length > 0 ? null : true
  return combine([...doubt, ...values.map(value => valueHolds(value, wanted))], side)
}

const valueHolds = (value: string | null, wanted: Wanted): Truth => {
  if (value === null) return null
  const range = typeof wanted === 'string' ? /^(\d*)\.\.(\d*)$/.exec(wanted) : null
  if (!range) return [wanted].flat().includes(value)
  if (!/^(0|[1-9]\d{0,14})$/.test(value)) return null
  return Number(value) >= Number(range[1] || 0) && Number(value) <= Number(range[2] || 1e15)
}
