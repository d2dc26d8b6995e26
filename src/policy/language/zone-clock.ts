import type { LocalTime, ZoneClocks } from '../../model/decision.ts'

const weekdays = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']

const formatter = (zone: string): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    weekday: 'short',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  })

/** The name under which the zone data knows a zone, or null. An offset such as `+01:00` is no zone: it knows no summer. */
export const zoneName = (text: string): string | null => {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(text)) return null
  try {
    return formatter(text).resolvedOptions().timeZone
  } catch {
    return null
  }
}

interface Known {
  readonly format: Intl.DateTimeFormat
  readonly minute: number
  readonly time: LocalTime
}

/**
 * One entry for each zone, renewed when the minute changes: asking the zone data costs more than the rest of a decision. Today's offsets
 * are whole minutes, so nothing changes within one. Only zones of loaded policies are asked for, so the map is as small as the zone data.
 */
export const zoneClocks = (): ZoneClocks => {
  const zones = new Map<string, Known>()
  return {
    at(zone, ms) {
      const minute = Math.floor(ms / 60_000)
      const known = zones.get(zone)
      if (known?.minute === minute) return known.time
      if (!(Math.abs(ms) <= 8.64e15)) return null
      const format = known?.format ?? formatter(zone)
      const time = localTime(format, ms)
      zones.set(zone, { format, minute, time })
      return time
    },
  }
}

const localTime = (format: Intl.DateTimeFormat, ms: number): LocalTime => {
  const parts = new Map(format.formatToParts(ms).map(part => [part.type, part.value]))
  const number = (type: 'day' | 'hour' | 'minute'): number => Number(parts.get(type))
  return {
    weekday: weekdays.indexOf(parts.get('weekday') ?? '') + 1,
    monthDay: number('day'),
    minute: number('hour') * 60 + number('minute'),
  }
}
