import { bad, fail, oneOrMany, optional, parsed, record, required, type Shape, text, Wrong } from '../../config/shape.ts'
import type { LocalTime } from '../../model/decision.ts'
import { nearestName } from './names.ts'
import { zoneName } from './zone-clock.ts'

/** Minutes of a day; a start later than the end passes midnight. */
interface Span {
  readonly start: number
  readonly end: number
}

/** A window of a place's wall clock; null: any. */
export interface TimeWindow {
  readonly zone: string
  /** 1 Monday to 7 Sunday. */
  readonly days: ReadonlySet<number> | null
  readonly monthDays: ReadonlySet<number> | null
  readonly between: readonly Span[] | null
}

/** The day is that of the moment itself: 02:00 on a Saturday is no Friday, also not in `22:00-06:00`. */
export const isWithin = ({ days, monthDays, between }: TimeWindow, { weekday, monthDay, minute }: LocalTime): boolean =>
  (days === null || days.has(weekday)) &&
  (monthDays === null || monthDays.has(monthDay)) &&
  (between === null || between.some(({ start, end }) => (start < end ? minute >= start && minute < end : minute >= start || minute < end)))

const zone: Shape<string> = {
  schema: { type: 'string', description: 'An IANA time zone, such as Europe/Rome.' },
  read(node, at) {
    const value = text('an IANA time zone, such as Europe/Rome').read(node, at)
    if (value === bad) return bad
    const name = zoneName(value)
    if (name !== null) return name
    const guess = nearestName(at.source, value, Intl.supportedValuesOf('timeZone')) ?? 'for example Europe/Rome'
    return fail(at, node, 305, `"${value}" is not an IANA time zone; write ${guess}.`)
  },
}

const names = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

const parseDays = (value: string): readonly number[] | Wrong => {
  const [first, last, ...more] = value.split('-').map(name => names.indexOf(name) + 1)
  if (!first || last === 0 || more.length > 0)
    return new Wrong(`"${value}" is not a day of the week; write ${names.join(', ')}, or a range such as mon-fri.`)
  // A week has no end: sat-mon is three days.
  const length = (((last ?? first) - first + 7) % 7) + 1
  return Array.from({ length }, (_, i) => ((first - 1 + i) % 7) + 1)
}

const monthDays: Shape<readonly number[]> = {
  schema: {
    anyOf: [
      { type: 'integer', minimum: 1, maximum: 31 },
      { type: 'string', pattern: '^[0-9]{1,2}-[0-9]{1,2}$' },
    ],
  },
  read(node, at) {
    const value = node.kind === 'scalar' ? node.value : null
    const found = /^([1-9]\d?)-([1-9]\d?)$/.exec(typeof value === 'number' ? `${value}-${value}` : String(value))
    const [first, last] = [Number(found?.[1]), Number(found?.[2])]
    if (!(last <= 31))
      return fail(at, node, 305, 'that is not a day of the month; write 1 to 31, or a range such as 28-31; single days without quotes.')
    // How many days 28-3 means depends on the month.
    if (first > last) return fail(at, node, 305, `${first}-${last} passes the end of the month; write [${first}-31, 1-${last}].`)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  },
}

const parseSpan = (value: string): Span | Wrong => {
  const found = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(value)
  if (!found) return new Wrong(`"${value}" is not a time of day; write hours and minutes, 00:00 to 23:59, such as 18:00-06:00.`)
  const [start, end] = [Number(found[1]) * 60 + Number(found[2]), Number(found[3]) * 60 + Number(found[4])]
  return start === end
    ? new Wrong(`${value} may mean never or always; write two times, or remove between for the whole day.`)
    : { start, end }
}

const fields = record({
  zone: required(zone, 'Write whose clock is meant: zone: Europe/Rome'),
  days: optional<readonly (readonly number[])[] | null>(
    oneOrMany(parsed('a day, such as mon-fri', parseDays, 305)),
    null,
    'Days of the week.',
  ),
  'month-days': optional<readonly (readonly number[])[] | null>(oneOrMany(monthDays), null, 'Days of the month.'),
  between: optional<readonly Span[] | null>(
    oneOrMany(parsed('times of day, such as 18:00-06:00', parseSpan, 305)),
    null,
    'Times of day; the start is included, the end is not, and a start later than the end passes midnight.',
  ),
})

export const timeShape: Shape<TimeWindow> = {
  schema: { ...fields.schema, minProperties: 2 },
  read(node, at) {
    const value = fields.read(node, at)
    if (value === bad) return bad
    const { zone, days, 'month-days': monthDays, between } = value
    if (days === null && monthDays === null && between === null)
      return fail(at, node, 305, 'a zone alone holds at any time; write days, month-days or between beside it.')
    return { zone, days: days && new Set(days.flat()), monthDays: monthDays && new Set(monthDays.flat()), between }
  },
}
