import type { ZoneClocks } from '../../../model/decision.ts'
import { isWithin, type TimeWindow } from '../../language/time.ts'
import { TooMany } from './axis.ts'

const minuteMs = 60_000
const dayMs = 86_400_000

/** A zone's distance from UTC, from a moment on. */
interface Piece {
  readonly from: number
  readonly to: number
  readonly offset: number
}

/**
 * Weekdays and days of the month meet in every way within 28 years, and so do days with the few weeks in which two zones are further apart than
 * all year; otherwise two years show every clock and both its offsets.
 */
const horizon = (windows: readonly TimeWindow[]): number => {
  const [days, monthDays] = [windows.some(window => window.days), windows.some(window => window.monthDays)]
  const isSeveral = windows.some(window => window.zone !== windows[0]?.zone)
  return ((days && monthDays) || ((days || monthDays) && isSeveral) ? 28 * 365.25 : 800) * dayMs
}
const anchor = Date.parse('2026-01-05T00:00:00Z')
const maxIntervals = 200

/**
 * Moments that together show every way in which the bounds (first moments of something, ascending) and the windows can hold. Before the
 * first bound and behind the last one it is the calendar of some years that is looked at.
 */
export const moments = (bounds: readonly number[], windows: readonly TimeWindow[], zones: ZoneClocks): readonly number[] => {
  const [first] = bounds
  if (windows.length === 0) return first === undefined ? [anchor] : [first - 1, ...bounds]
  const most = horizon(windows)
  if (first === undefined) return sampled({ from: anchor, to: anchor + most }, windows, zones)
  if (bounds.length > maxIntervals) throw new TooMany()
  const intervals = [
    { from: first - most, to: first },
    ...bounds.map((from, i) => ({ from, to: Math.min(bounds[i + 1] ?? Infinity, from + most) })),
  ]
  return intervals.flatMap(interval => sampled(interval, windows, zones))
}

interface Interval {
  readonly from: number
  readonly to: number
}

/** One moment for each set of windows that holds together in the interval. */
const sampled = (interval: Interval, windows: readonly TimeWindow[], zones: ZoneClocks): readonly number[] => {
  const names = [...new Set(windows.map(window => window.zone))]
  const pieces = new Map(names.map(zone => [zone, piecesOf(zone, interval, zones)]))
  const changes = new Set([interval.from])
  for (const zone of names) for (const change of changesOf(pieces.get(zone) ?? [], cutsOf(zone, windows))) changes.add(change)
  const found = new Map<string, number>()
  const at = new Map(names.map(zone => [zone, 0]))
  for (const moment of [...changes].sort((a, b) => a - b)) {
    const offsets = new Map(names.map(zone => [zone, offsetAt(pieces.get(zone) ?? [], zone, at, moment)]))
    const key = windows.map(window => Number(isWithin(window, local(moment + (offsets.get(window.zone) ?? 0))))).join('')
    if (!found.has(key)) found.set(key, moment)
  }
  return [...found.values()]
}

/** Minutes of the day at which a window of this zone begins or ends. */
const cutsOf = (zone: string, windows: readonly TimeWindow[]): readonly number[] => [
  ...new Set([
    0,
    ...windows.filter(window => window.zone === zone).flatMap(({ between }) => (between ?? []).flatMap(({ start, end }) => [start, end])),
  ]),
]

const changesOf = (pieces: readonly Piece[], cuts: readonly number[]): number[] =>
  pieces.flatMap(({ from, to, offset }) => {
    const changes = [from]
    for (let day = Math.floor((from + offset) / dayMs); day * dayMs - offset < to; day++)
      for (const cut of cuts) {
        const moment = day * dayMs + cut * minuteMs - offset
        if (moment > from && moment < to) changes.push(moment)
      }
    return changes
  })

/** `at` remembers the piece of each zone: moments come in ascending order. */
const offsetAt = (pieces: readonly Piece[], zone: string, at: Map<string, number>, moment: number): number => {
  let i = at.get(zone) ?? 0
  while (i + 1 < pieces.length && (pieces[i]?.to ?? 0) <= moment) i++
  at.set(zone, i)
  return pieces[i]?.offset ?? 0
}

const local = (ms: number) => {
  const day = Math.floor(ms / dayMs)
  return {
    weekday: ((((day + 3) % 7) + 7) % 7) + 1,
    monthDay: new Date(ms).getUTCDate(),
    minute: Math.floor((ms - day * dayMs) / minuteMs),
  }
}

/** A zone's offsets over an interval, looked up once a day and halved down to the minute where two days differ. */
const piecesOf = (zone: string, { from, to }: Interval, zones: ZoneClocks): readonly Piece[] => {
  const offset = (ms: number): number => offsetOf(zone, ms, zones)
  const pieces: Piece[] = []
  let start = from
  let current = offset(from)
  for (let day = from; day < to; day += dayMs) {
    const next = Math.min(day + dayMs, to)
    const after = offset(next)
    if (after === current) continue
    let [low, high] = [Math.floor(day / minuteMs), Math.ceil(next / minuteMs)]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (offset(middle * minuteMs) === current) low = middle
      else high = middle
    }
    pieces.push({ from: start, to: high * minuteMs, offset: current })
    start = high * minuteMs
    current = after
  }
  return [...pieces, { from: start, to, offset: current }]
}

const offsetOf = (zone: string, ms: number, zones: ZoneClocks): number => {
  const shown = zones.at(zone, ms)
  if (shown === null) return 0
  const utc = local(ms)
  const days = ((shown.weekday - utc.weekday + 10) % 7) - 3
  return (days * 1440 + shown.minute - utc.minute) * minuteMs
}
