import { type AddressKey, addressKey, addressText, type Range } from '../../../config/address.ts'
import type { ZoneClocks } from '../../../model/decision.ts'
import { compileWhen, Look, type Test } from '../../engine/conditions.ts'
import type { Login } from '../../language/login.ts'
import type { Recognise } from '../../language/recognise-shape.ts'
import { no, type Side, unsure, yes } from '../../language/tri.ts'
import type { Expectation, When } from '../../language/when.ts'
import { bareFacts } from './facts.ts'
import { all, any, type Dimension, type Formula, negated, testsOf } from './formula.ts'
import type { Space } from './space.ts'
import type { Callers, Persons, Question, Subject } from './subject.ts'

/** One rule on one route, as logic over the dimensions of that route. */
export interface Form {
  readonly subject: Subject
  readonly body: Formula
  /** Whether a sign-in is good enough; null: not asked. */
  readonly login: Formula | null
  /** What it asks; only once the space is sealed, for until then the elements of lists are not sorted out. */
  tests(): ReadonlyMap<Dimension, ReadonlySet<number>>
  /** Two forms with the same key decide alike on this route. */
  readonly key: string
}

/** What forms of one route are made with. */
export interface Making {
  readonly space: Space
  readonly zones: ZoneClocks
  /** Issuers that are recognised. */
  readonly issuers: readonly string[]
}

/** Sign-ins that lie further ahead than this are unmet (policy 4.4). */
const aheadMs = 60_000

/** `check`: the rule's check as it stands on this route; null: it has none. */
export const formOf = (subject: Subject, check: string | null, making: Making): Form => {
  const { rule, who, except } = subject
  const { space } = making
  const [side, opposite]: readonly [Side, Side] = rule.effect === 'allow' ? ['grant', 'refuse'] : ['refuse', 'grant']
  const body = all(
    callersForm(who, side, making),
    ...(except === null ? [] : [negated(callersForm(except, opposite, making))]),
    ...(rule.from === null ? [] : [space.from(rule.from)]),
    ...(rule.until === null ? [] : [space.until(rule.until)]),
    ...(rule.when === null ? [] : whenForms(rule.when, side, making)),
    ...(check === null ? [] : [space.check(check, rule.when?.check?.text ?? '')]),
  )
  const login = rule.login && loginForm(rule.login, space)
  let known: ReadonlyMap<Dimension, ReadonlySet<number>> | null = null
  const tests = () => {
    known ??= testsOf(login === null ? body : all(body, login))
    return known
  }
  return { subject, body, login, tests, key: `${subject.key} ${check}` }
}

/** That a request is still recognised as the tenant's own, where rules read a claim that the tenant is recognised by. After all forms. */
export const gateOf = (recognises: readonly Recognise[], space: Space): Formula =>
  all(
    ...recognises.flatMap(({ claims }) =>
      [...claims].flatMap(([name, values]) => (space.reads(name) ? [space.recognised(name, values)] : [])),
    ),
  )

/** As in `engine/callers.ts`: allows do not pass to agents, denies follow the person through them. */
export const callersForm = ({ persons, agents }: Callers, side: Side, making: Making): Formula => {
  const { space } = making
  const person = any(...persons.map(one => personForm(one, making)))
  if (side === 'grant' && agents.length === 0) return all(space.inPerson(), person)
  const agent = any(
    ...agents.map(({ ids, maxHops, issuer, persons: workFor }) =>
      all(
        space.agent(ids),
        ...(maxHops === null ? [] : [space.hops(maxHops)]),
        ...(issuer === null ? [] : [space.issuer(issuer, making.issuers)]),
        ...(workFor === null ? [] : [any(...workFor.map(one => personForm(one, making)))]),
      ),
    ),
  )
  return side === 'grant' ? any(all(space.inPerson(), person), all(negated(space.inPerson()), agent)) : any(person, agent)
}

const personForm = (questions: Persons, making: Making): Formula => all(...questions.map(question => questionForm(question, making)))

const questionForm = (question: Question, { space, issuers }: Making): Formula => {
  if (question.of === 'claim') return space.claim(question.name, question.read, question.wanted)
  if (question.of === 'issuer') return space.issuer(question.wanted, issuers)
  return question.of === 'subject' ? space.subject(question.wanted) : space.scopes(question.wanted)
}

const loginForm = ({ acr, amr, within }: Login, space: Space): Formula =>
  all(
    ...(acr === null ? [] : [space.acr(acr)]),
    ...(amr === null ? [] : [space.amr(amr)]),
    ...(within === null ? [] : [space.within(within, aheadMs)]),
  )

const nothing: When = { ipIn: null, ipNotIn: null, header: new Map(), query: new Map(), time: null, check: null }

/** Each condition apart, judged by the engine's own test of it. */
const whenForms = (when: When, side: Side, { space, zones }: Making): Formula[] => {
  const test = (part: Partial<When>): Test => compileWhen({ ...nothing, ...part }, side, [], new Map())[0]?.test ?? (() => unsure)
  const forms: Formula[] = []
  for (const [name, ranges] of [
    ['ipIn', when.ipIn],
    ['ipNotIn', when.ipNotIn],
  ] as const)
    if (ranges !== null) forms.push(addressForm(name, ranges, test({ [name]: ranges }), space, zones))
  for (const [name, wanted] of when.header) {
    const key = JSON.stringify([side, spelledExpectation(wanted)])
    const judge = test({ header: new Map([[name, wanted]]) })
    forms.push(
      space.header(name, key, `with header ${name} ${labelOf(wanted)}`, valuesOf(wanted), lines =>
        judge(new Look(bareFacts(zones, { headers: lines.flatMap(line => [name, line]) }))),
      ),
    )
  }
  for (const [name, wanted] of when.query)
    forms.push(queryForm(name, wanted, side, test({ query: new Map([[name, wanted]]) }), space, zones))
  const { time } = when
  if (time !== null) {
    const judge = test({ time })
    forms.push(space.time(time, `in a time window of ${time.zone}`, now => judge(new Look(bareFacts(zones, {}, now)))))
  }
  return forms
}

const addressForm = (name: 'ipIn' | 'ipNotIn', ranges: readonly Range[], judge: Test, space: Space, zones: ZoneClocks): Formula => {
  const written = ranges.map(rangeText)
  const label = `from ${name === 'ipIn' ? '' : 'outside '}${written.slice(0, 3).join(', ')}${written.length > 3 ? ' ...' : ''}`
  return space.address(JSON.stringify([name, ranges]), label, cutAddresses(ranges), clientIp =>
    judge(new Look(bareFacts(zones, { clientIp }))),
  )
}

/** An address of each stretch between two bounds, both families, and the unknown address; those that a reader knows come first. */
const cutAddresses = (ranges: readonly Range[]): readonly (string | null)[] => {
  const bounds = ranges.flatMap(({ low, high }) => [low, ...following(high)])
  return ['203.0.113.9', '192.0.2.10', '2001:db8::9', '0.0.0.0', '::', ...bounds.map(addressText), null]
}

/** The address behind this one; none behind the last. */
const following = (key: AddressKey): readonly AddressKey[] => {
  const units = [...Array(key.length).keys()].map(i => key.charCodeAt(i))
  for (let i = units.length - 1; i >= 0; i--) {
    const unit = ((units[i] ?? 0) + 1) & 0xffff
    units[i] = unit
    if (unit !== 0) return [String.fromCharCode(...units)]
  }
  return []
}

export const rangeText = ({ low, high }: Range): string => {
  let bits = 0
  while (bits < low.length * 16 && bitOf(low, bits) === bitOf(high, bits)) bits++
  const text = addressText(low)
  return bits === low.length * 16 && addressKey(text) === low ? text : `${text}/${bits}`
}
const bitOf = (key: AddressKey, bit: number): number => (key.charCodeAt(bit >> 4) >> (15 - (bit & 15))) & 1

/**
 * A parameter name that cannot be decoded may be this one: on the grant side, and where it must be absent, the condition can then at best
 * not be told; otherwise it can no longer be denied.
 */
const queryForm = (name: string, wanted: Expectation, side: Side, judge: Test, space: Space, zones: ZoneClocks): Formula => {
  const key = JSON.stringify([side, spelledExpectation(wanted)])
  const form = space.query(name, key, `with query ${name} ${labelOf(wanted)}`, valuesOf(wanted), pairs =>
    judge(new Look(bareFacts(zones, { target: { path: '/', query: pairs.join('&') } }))),
  )
  const mustFit = wanted.kind === 'absent' || (side === 'grant' && wanted.kind !== 'present')
  return mustFit ? all(form, space.brokenQuery(unsure, yes)) : any(form, space.brokenQuery(unsure, no))
}

const valuesOf = (wanted: Expectation): readonly string[] => {
  if (wanted.kind === 'one-of') return wanted.values
  if (wanted.kind !== 'range') return []
  return [wanted.min - 1, wanted.min, wanted.max, wanted.max + 1].filter(Number.isFinite).map(String)
}

const spelledExpectation = (wanted: Expectation): string => {
  if (wanted.kind === 'range') return `${Number.isFinite(wanted.min) ? wanted.min : ''}..${Number.isFinite(wanted.max) ? wanted.max : ''}`
  if (wanted.kind !== 'one-of') return wanted.kind
  return JSON.stringify(wanted.values)
}

const labelOf = (wanted: Expectation): string => {
  if (wanted.kind !== 'one-of') return spelledExpectation(wanted)
  return `${wanted.values.slice(0, 3).join(' or ')}${wanted.values.length > 3 ? ' ...' : ''}`
}
