import { describe, expect, it } from 'vitest'
import { isWithin, type TimeWindow } from '../../../../src/policy/language/time.ts'
import { zoneClocks } from '../../../../src/policy/language/zone-clock.ts'
import { moments } from '../../../../src/policy/tools/classes/moments.ts'

const zones = zoneClocks()
const window = (zone: string, extra: Partial<TimeWindow>): TimeWindow => ({ zone, days: null, monthDays: null, between: null, ...extra })
const told = (windows: readonly TimeWindow[], ms: number): string =>
  windows.map(one => Number(isWithin(one, zones.at(one.zone, ms) ?? { weekday: 0, monthDay: 0, minute: 0 }))).join('')

const office = window('Europe/Rome', { days: new Set([1, 2, 3, 4, 5]), between: [{ start: 8 * 60, end: 18 * 60 }] })
const night = window('America/St_Johns', { between: [{ start: 22 * 60, end: 6 * 60 + 30 }] })
const monthEnd = window('Europe/Rome', { monthDays: new Set([1, 28, 29, 30, 31]) })
const weekend = window('Pacific/Auckland', { days: new Set([6, 7]) })
const minute = 60_000

describe('moments', () => {
  it.each([
    ['one window', [office]],
    ['a window past midnight', [night]],
    ['two zones, of which one has half hours', [office, night]],
    ['zones whose summers are opposite', [weekend, night]],
    ['days of the week and of the month', [office, monthEnd]],
  ])('show every way in which %s can hold', (_, windows) => {
    const got = new Set(moments([], windows, zones).map(ms => told(windows, ms)))
    // Every quarter of an hour of a year and some, clocks changing in it twice.
    const wanted = new Set<string>()
    const start = Date.parse('2026-01-05T00:00:00Z')
    for (let ms = start; ms < start + 400 * 1440 * minute; ms += 15 * minute) wanted.add(told(windows, ms))
    for (const one of wanted) expect(got).toContain(one)
    expect(moments([], windows, zones).length).toBeLessThanOrEqual(2 ** windows.length)
  })

  it('lie in each interval between bounds, and only what is possible there', () => {
    const [from, to] = [Date.parse('2026-11-20T20:00:00Z'), Date.parse('2026-11-22T12:00:00Z')]
    const found = moments([from, to], [office], zones)
    expect(found.some(ms => ms < from)).toBe(true)
    // A Friday evening to a Sunday noon: nobody is in the office.
    expect(found.filter(ms => ms >= from && ms < to).map(ms => told([office], ms))).toEqual(['0'])
    expect(
      found
        .filter(ms => ms >= to)
        .map(ms => told([office], ms))
        .sort(),
    ).toEqual(['0', '1'])
  })

  it('without windows are the bounds, and one before them', () => {
    expect(moments([1000, 2000], [], zones)).toEqual([999, 1000, 2000])
  })
})
