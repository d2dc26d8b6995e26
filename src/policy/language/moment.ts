import { parsed, type Shape, Wrong } from '../../config/shape.ts'

const spelling = /^(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/

/** Milliseconds since the epoch of 00:00 UTC, or null: `Date.parse` alone would read 30 February as 2 March. */
const dayStart = (date: string): number | null => {
  const ms = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date) ? ms : null
}

/** Milliseconds since the epoch of an instant as policies write it. */
export const parseInstant = (value: string): number | Wrong => {
  const date = spelling.exec(value)?.[1]
  return date === undefined || dayStart(date) === null
    ? new Wrong(`"${value}" is not a moment; write date, time with seconds and offset: 2026-11-23T10:00:00Z.`)
    : Date.parse(value)
}

/** RFC 3339 with seconds and an offset: a local time would be another moment on another machine. */
export const instant: Shape<number> = parsed('a moment such as 2026-11-23T10:00:00Z', parseInstant, 306)

/** Both readings of "from a day" agree, so `from` may be one: 00:00 UTC. */
export const firstMoment: Shape<number> = parsed(
  'a day such as 2026-11-15, or a moment such as 2026-11-15T08:00:00+01:00',
  value => dayStart(value) ?? parseInstant(value),
  306,
)

/** "Until a day" is read two ways, and the day between them is a day of access, so `until` is a moment. */
export const lastMoment: Shape<number> = parsed(
  'a moment such as 2026-12-20T18:00:00+01:00',
  value =>
    dayStart(value) === null
      ? parseInstant(value)
      : new Wrong(`"${value}" may mean that day's begin or end; write the first moment that is out: ${value}T00:00:00Z.`),
  306,
)
