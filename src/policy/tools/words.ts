import { type AddressKey, addressText, type Range } from '../../config/address.ts'
import type { Scalar } from '../language/claims.ts'
import type { TimeWindow } from '../language/time.ts'
import type { Expectation } from '../language/when.ts'

/** What a terminal or a reader's eye could be steered with beyond what JSON escapes: C1 controls, turned text, line ends of Unicode. */
const unsafe = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu
const escaped = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`

/** JSON that can be shown anywhere. */
export const safeJson = (value: unknown): string => JSON.stringify(value).replaceAll(unsafe, escaped)

/** Somebody else's text between quotes, so that it can neither pass for the words around it nor hide in them. */
export const quoted = (value: Scalar): string => safeJson(value)

/** `a`, `a or b`, `a, b or c`. */
export const listed = (words: readonly string[], last: 'or' | 'and'): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`

export const anyOf = (values: Iterable<Scalar>): string => listed([...values].map(quoted), 'or')

/** `10.0.0.0/8`, or the single address. */
export const rangeText = ({ low, high }: Range): string =>
  low === high ? addressText(low) : `${addressText(low)}/${commonBits(low, high)}`

const commonBits = (low: AddressKey, high: AddressKey): number => {
  for (let i = 0; i < low.length; i++) {
    const differing = low.charCodeAt(i) ^ high.charCodeAt(i)
    if (differing !== 0) return i * 16 + Math.clz32(differing) - 16
  }
  return low.length * 16
}

export const rangesText = (ranges: readonly Range[]): string => listed(ranges.map(rangeText), 'or')

export const boundsText = ({ min, max }: { readonly min: number; readonly max: number }): string =>
  `${Number.isFinite(min) ? min : ''}..${Number.isFinite(max) ? max : ''}`

export const expectationText = (wanted: Expectation): string =>
  wanted.kind === 'one-of' ? anyOf(wanted.values) : wanted.kind === 'range' ? boundsText(wanted) : wanted.kind

const weekdays = ['', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday']

/** Neighbours joined: 1, 3, 4, 5 is "1, 3 to 5". */
const runs = (numbers: ReadonlySet<number>, name: (n: number) => string): string => {
  const parts: string[] = []
  const sorted = [...numbers].sort((a, b) => a - b)
  for (let from = 0; from < sorted.length; ) {
    let to = from
    while (sorted[to + 1] === (sorted[to] ?? 0) + 1) to++
    const [first, last] = [name(sorted[from] ?? 0), name(sorted[to] ?? 0)]
    parts.push(from === to ? first : `${first} to ${last}`)
    from = to + 1
  }
  return listed(parts, 'or')
}

const clock = (minute: number): string => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`

/** `on Monday to Friday, on day 1 of the month, from 18:00 until 06:00 of the night, Europe/Rome time` */
export const windowText = ({ zone, days, monthDays, between }: TimeWindow): string =>
  [
    ...(days === null ? [] : [`on ${runs(days, n => weekdays[n] ?? '')}`]),
    ...(monthDays === null ? [] : [`on day ${runs(monthDays, String)} of the month`]),
    ...(between === null
      ? []
      : [
          listed(
            between.map(({ start, end }) => `from ${clock(start)} until ${clock(end)}${start > end ? ' past midnight' : ''}`),
            'or',
          ),
        ]),
    `${zone} time`,
  ].join(', ')

/** A moment as RFC 3339 in UTC, without milliseconds that are zero. */
export const momentText = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z')

const mostShown = 8
const longestShown = 120

/** A value as it was seen, short enough for a line. */
export const shown = (value: unknown): string => {
  if (value === undefined || value === null) return 'absent'
  if (Array.isArray(value)) {
    const more = value.length - mostShown
    return `[${value.slice(0, mostShown).map(shown).join(', ')}${more > 0 ? `, and ${more} more` : ''}]`
  }
  const text = safeJson(value) ?? 'absent'
  return text.length > longestShown ? `${text.slice(0, longestShown - 3)}...` : text
}
