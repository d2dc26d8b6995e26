import type { Range } from '../../../config/address.ts'
import type { PolicyDocument } from '../../language/read.ts'
import type { Rule } from '../../language/rule.ts'
import { isWithin, type TimeWindow } from '../../language/time.ts'
import type { Expectation, When } from '../../language/when.ts'
import { type Callers, coversCallers, spellCallers } from './callers.ts'
import { coversRoutes } from './routes.ts'

/** A rule with its callers written out. */
export interface Spelled {
  readonly rule: Rule
  /** Its place among all rules of the file. */
  readonly index: number
  readonly who: Callers
  readonly except: Callers
}

export const spellRules = ({ rules, who }: PolicyDocument): readonly Spelled[] =>
  rules.map((rule, index) => ({ rule, index, who: spellCallers(rule.who, who), except: spellCallers(rule.except, who) }))

/**
 * Whenever `narrow` matches, `wide` matches: every condition of the one follows from a condition of the other by its text alone. Says no
 * where it cannot tell. Deny and deny, allow and allow, or a wide deny and a narrow allow.
 */
export const covers = (wide: Spelled, narrow: Spelled): boolean => {
  const [w, n] = [wide.rule, narrow.rule]
  if (w.mode === 'shadow' && n.mode === 'enforce') return false
  const mixed = w.effect !== n.effect
  const side = w.effect === 'deny' ? 'refuse' : 'grant'
  return (
    (w.from === null || (n.from !== null && n.from >= w.from)) &&
    (w.until === null || (n.until !== null && n.until <= w.until)) &&
    coversCallers(wide.who, narrow.who, side) &&
    coversCallers(narrow.except, wide.except, n.effect === 'allow' ? 'refuse' : 'grant') &&
    (w.when === null || coversWhen(w.when, n.when ?? always, mixed)) &&
    coversCheck(w, n) &&
    coversRoutes(w.to, n.to, w.effect === 'allow')
  )
}

const always: When = { ipIn: null, ipNotIn: null, header: new Map(), query: new Map(), time: null, check: null }

const coversWhen = (wide: When, narrow: When, mixed: boolean): boolean =>
  (wide.ipIn === null || (narrow.ipIn !== null && coversRanges(wide.ipIn, narrow.ipIn))) &&
  (wide.ipNotIn === null ||
    (narrow.ipNotIn !== null && coversRanges(narrow.ipNotIn, wide.ipNotIn)) ||
    (narrow.ipIn !== null && apart(narrow.ipIn, wide.ipNotIn))) &&
  [...wide.header].every(([name, wanted]) => impliesHeader(narrow.header.get(name), wanted)) &&
  [...wide.query].every(([name, wanted]) => impliesQuery(narrow.query.get(name), wanted, mixed)) &&
  (wide.time === null || (narrow.time !== null && coversTime(wide.time, narrow.time)))

/** Every address of `narrow` is one of `wide`. */
export const coversRanges = (wide: readonly Range[], narrow: readonly Range[]): boolean =>
  narrow.every(one => wide.some(other => other.low.length === one.low.length && other.low <= one.low && other.high >= one.high))

const apart = (a: readonly Range[], b: readonly Range[]): boolean =>
  !a.some(one => b.some(other => other.low.length === one.low.length && other.low <= one.high && other.high >= one.low))

const sameValues = (narrow: Expectation, wide: Expectation): boolean =>
  narrow.kind === 'one-of' && wide.kind === 'one-of' && narrow.values.every(value => wide.values.includes(value))

const impliesHeader = (narrow: Expectation | undefined, wide: Expectation): boolean => {
  if (narrow === undefined) return false
  // A header that is one of some values is there; on neither side does its absence fit a value.
  if (wide.kind === 'present' && narrow.kind === 'one-of') return !narrow.values.includes('')
  return sameValues(narrow, wide) || (narrow.kind === wide.kind && (wide.kind === 'present' || wide.kind === 'absent'))
}

const impliesQuery = (narrow: Expectation | undefined, wide: Expectation, mixed: boolean): boolean => {
  if (narrow === undefined) return false
  if (narrow.kind === wide.kind && (wide.kind === 'present' || wide.kind === 'absent')) return true
  // An absent parameter fits a value in an allow, and does not in a deny.
  if (mixed) return false
  return sameValues(narrow, wide) || (narrow.kind === 'range' && wide.kind === 'range' && narrow.min >= wide.min && narrow.max <= wide.max)
}

const coversTime = (wide: TimeWindow, narrow: TimeWindow): boolean =>
  wide.zone === narrow.zone &&
  within(narrow.days, wide.days) &&
  within(narrow.monthDays, wide.monthDays) &&
  minutes.every(minute => !isMinute(narrow, minute) || isMinute(wide, minute))

const within = (narrow: ReadonlySet<number> | null, wide: ReadonlySet<number> | null): boolean =>
  wide === null || (narrow !== null && [...narrow].every(one => wide.has(one)))

/** Of a day. */
export const minutes: readonly number[] = Array.from({ length: 1440 }, (_, minute) => minute)
export const isMinute = ({ between, zone }: TimeWindow, minute: number): boolean =>
  isWithin({ zone, days: null, monthDays: null, between }, { weekday: 1, monthDay: 1, minute })

/** The same text asks the same, unless it reads variables of a path that the other rule names otherwise. */
const coversCheck = (wide: Rule, narrow: Rule): boolean => {
  const check = wide.when?.check ?? null
  if (check === null) return true
  if (narrow.when?.check?.text !== check.text) return false
  return check.reads.path.length === 0 || JSON.stringify(wide.to) === JSON.stringify(narrow.to)
}
