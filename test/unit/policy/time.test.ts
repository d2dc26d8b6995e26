import { describe, expect, it } from 'vitest'
import { zoneClocks, zoneName } from '../../../src/policy/language/zone-clock.ts'
import { allow, decide, engineFor } from './fixtures.ts'

const holds = (time: object, ...moments: string[]): boolean[] => {
  const engine = engineFor({ rules: [allow('read', { when: { time } })] })
  return moments.map(moment => decide(engine, { now: Date.parse(moment) }) === 'allow read')
}

describe('when.time', () => {
  it('between includes its start and excludes its end, on the clock of the zone', () => {
    expect(
      holds(
        { zone: 'Europe/Rome', between: '09:00-17:30' },
        '2026-11-23T07:59:59.999Z',
        '2026-11-23T08:00:00Z',
        '2026-11-23T16:29:59.999Z',
        '2026-11-23T16:30:00Z',
      ),
    ).toEqual([false, true, true, false])
  })

  it('a start later than the end passes midnight, and midnight may end a span', () => {
    const night = { zone: 'UTC', between: '18:00-06:00' }
    const at = (time: string): string => `2026-11-23T${time}Z`
    expect(holds(night, at('17:59:59'), at('18:00:00'), at('00:00:00'), at('05:59:59'), at('06:00:00'))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ])
    expect(holds({ zone: 'UTC', between: '18:00-00:00' }, at('23:59:59'), at('00:00:00'))).toEqual([true, false])
    expect(holds({ zone: 'UTC', between: ['08:00-09:00', '10:00-11:00'] }, at('08:30:00'), at('09:30:00'), at('10:30:00'))).toEqual([
      true,
      false,
      true,
    ])
  })

  it('the day is that of the moment itself, in the zone', () => {
    const friday = { zone: 'Europe/Rome', days: 'fri', between: '22:00-06:00' }
    // 27 November 2026 is a Friday.
    expect(holds(friday, '2026-11-26T23:00:00Z', '2026-11-27T22:59:59Z', '2026-11-27T23:00:00Z')).toEqual([true, true, false])
  })

  it('days are names and ranges, also over the end of the week', () => {
    const week = [23, 24, 25, 26, 27, 28, 29].map(day => `2026-11-${day}T12:00:00Z`)
    expect(holds({ zone: 'UTC', days: 'mon-fri' }, ...week)).toEqual([true, true, true, true, true, false, false])
    expect(holds({ zone: 'UTC', days: 'sat-mon' }, ...week)).toEqual([true, false, false, false, false, true, true])
    expect(holds({ zone: 'UTC', days: ['tue', 'thu-thu'] }, ...week)).toEqual([false, true, false, true, false, false, false])
  })

  it('month-days are days and ranges; every entry of the map must hold', () => {
    const monthEnd = { zone: 'Europe/Rome', 'month-days': ['28-31', 1] }
    expect(holds(monthEnd, '2026-11-27T22:59:59Z', '2026-11-27T23:00:00Z', '2026-12-01T12:00:00Z', '2026-12-01T23:00:00Z')).toEqual([
      false,
      true,
      true,
      false,
    ])
    expect(holds({ ...monthEnd, days: 'sun' }, '2026-11-28T12:00:00Z', '2026-11-29T12:00:00Z')).toEqual([false, true])
  })

  it('an hour that summer time skips never comes, and one that it repeats comes twice', () => {
    const skipped = { zone: 'Europe/Rome', between: '02:00-03:00' }
    // 29 March 2026: 01:59:59 is followed by 03:00:00. 25 October: 02:00 to 03:00 happens twice.
    expect(holds(skipped, '2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z')).toEqual([false, false, false])
    expect(
      holds(
        skipped,
        '2026-10-24T23:59:59Z',
        '2026-10-25T00:00:00Z',
        '2026-10-25T01:00:00Z',
        '2026-10-25T01:59:59Z',
        '2026-10-25T02:00:00Z',
      ),
    ).toEqual([false, true, true, true, false])
  })

  it('an opening hour stays where the wall clock says in summer and winter', () => {
    const open = { zone: 'America/New_York', between: '09:00-10:00' }
    expect(holds(open, '2026-07-01T13:00:00Z', '2026-07-01T14:00:00Z', '2026-12-01T13:59:59Z', '2026-12-01T14:00:00Z')).toEqual([
      true,
      false,
      false,
      true,
    ])
  })

  it('a moment that no calendar has is in doubt, never a throw', () => {
    const engine = engineFor({ rules: [allow('read', { when: { time: { zone: 'UTC', days: 'mon-sun' } } })] })
    for (const now of [Number.NaN, Number.POSITIVE_INFINITY, 9e15]) expect(decide(engine, { now })).toBe('deny default')
  })
})

describe('zone clocks', () => {
  const ask = (clocks: ReturnType<typeof zoneClocks>, moment: string) => clocks.at('Europe/Rome', Date.parse(moment))
  it('answer alike whether they were asked before, in any order of moments', () => {
    const moments = ['2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z', '2026-03-29T00:59:00Z', '2026-12-31T23:00:00Z', '2026-03-29T01:00:59Z']
    const clocks = zoneClocks()
    expect(moments.map(moment => ask(clocks, moment))).toEqual(moments.map(moment => ask(zoneClocks(), moment)))
    expect(ask(clocks, '2026-12-31T23:00:00Z')).toEqual({ weekday: 5, monthDay: 1, minute: 0 })
  })
  it('keep the same minute of the same zone', () => {
    const clocks = zoneClocks()
    expect(ask(clocks, '2026-03-29T00:59:59Z')).toBe(ask(clocks, '2026-03-29T00:59:00Z'))
  })
  it('know zones by their IANA names only', () => {
    expect(['Europe/Rome', 'UTC', 'europe/rome'].map(zoneName)).toEqual(['Europe/Rome', 'UTC', 'Europe/Rome'])
    expect(['+01:00', 'Europe', 'CEST', '', '../UTC', 'Europe/Rome '].map(zoneName)).toEqual(Array(6).fill(null))
  })
})
