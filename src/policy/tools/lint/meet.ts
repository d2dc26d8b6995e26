import { type AddressKey, addressKey, addressSet, type Range } from '../../../config/address.ts'
import type { Claim } from '../../language/claims.ts'
import { isList } from '../../language/claims.ts'
import type { Rule } from '../../language/rule.ts'
import type { TimeWindow } from '../../language/time.ts'
import type { Expectation, When } from '../../language/when.ts'
import { meetInCaller } from './callers.ts'
import { isMinute, minutes, type Spelled } from './cover.ts'
import { meetOnPath } from './routes.ts'

/** Some request belongs to both allows for certain. Says no where it cannot tell: exceptions, and two different checks. */
export const meet = (one: Spelled, other: Spelled, claims: ReadonlyMap<string, Claim>): boolean => {
  const [a, b] = [one.rule, other.rule]
  const isListClaim = (name: string): boolean => isList(claims.get(name)?.type ?? 'string')
  return (
    a.except.length === 0 &&
    b.except.length === 0 &&
    Math.max(a.from ?? -Infinity, b.from ?? -Infinity) < Math.min(a.until ?? Infinity, b.until ?? Infinity) &&
    meetInCaller(one.who, other.who, isListClaim) &&
    meetOnRoute(a, b) &&
    meetWhen(a.when, b.when)
  )
}

const meetOnRoute = (a: Rule, b: Rule): boolean =>
  a.to.some(line => b.to.some(beside => line.methods.some(method => beside.methods.includes(method)) && meetOnPath(line, beside, true)))

const meetWhen = (a: When | null, b: When | null): boolean =>
  (a?.check?.text ?? null) === (b?.check?.text ?? null) &&
  meetAddress(a, b) &&
  meetTime(a?.time ?? null, b?.time ?? null) &&
  [...(a?.header ?? [])].every(([name, wanted]) => meetValue(wanted, b?.header.get(name))) &&
  [...(a?.query ?? [])].every(([name, wanted]) => meetParameter(wanted, b?.query.get(name)))

/** The bounds of the ranges and one address that hardly any policy names: where none of them is in all, nobody looks further. */
const meetAddress = (a: When | null, b: When | null): boolean => {
  const inside = [a?.ipIn, b?.ipIn].flatMap(ranges => ranges ?? [])
  const outside = [a?.ipNotIn, b?.ipNotIn].flatMap(ranges => ranges ?? [])
  const tries: readonly (AddressKey | null)[] = [...inside, ...outside].flatMap(({ low, high }) => [low, high])
  const holds = (ranges: readonly Range[] | null | undefined, key: AddressKey, wanted: boolean): boolean =>
    !ranges || addressSet(ranges)(key) === wanted
  return [...tries, addressKey('203.0.113.251')].some(
    key => key !== null && [a, b].every(when => holds(when?.ipIn, key, true) && holds(when?.ipNotIn, key, false)),
  )
}

const meetTime = (a: TimeWindow | null, b: TimeWindow | null): boolean =>
  a === null ||
  b === null ||
  (a.zone === b.zone &&
    share(a.days, b.days) &&
    share(a.monthDays, b.monthDays) &&
    minutes.some(minute => isMinute(a, minute) && isMinute(b, minute)))

const share = (a: ReadonlySet<number> | null, b: ReadonlySet<number> | null): boolean =>
  a === null || b === null || [...a].some(one => b.has(one))

const meetValue = (a: Expectation, b: Expectation | undefined): boolean => {
  if (b === undefined || (a.kind === b.kind && a.kind !== 'one-of')) return true
  if (a.kind === 'one-of' && b.kind === 'one-of') return a.values.some(value => b.values.includes(value))
  const listed = a.kind === 'one-of' ? a : b.kind === 'one-of' ? b : null
  return listed !== null && (a.kind === 'present' || b.kind === 'present') && listed.values.some(value => value !== '')
}

/** In an allow an absent parameter fits every value. */
const meetParameter = (a: Expectation, b: Expectation | undefined): boolean => {
  const kinds = [a.kind, b?.kind]
  return !(kinds.includes('present') && kinds.includes('absent'))
}
