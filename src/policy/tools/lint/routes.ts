import { decodeSegment } from '../../../model/target.ts'
import type { RouteLine, Segment } from '../../language/pattern.ts'

type Pattern = Pick<RouteLine, 'segments' | 'rest'>

const isSlash = (segment: Segment | undefined): boolean => segment !== undefined && 'literal' in segment && segment.literal === ''

/** A deny ignores one trailing slash of pattern and path; where one takes part, both patterns are compared without. */
const withoutSlash = (pattern: Pattern): Pattern =>
  isSlash(pattern.segments.at(-1)) ? { segments: pattern.segments.slice(0, -1), rest: pattern.rest } : pattern

/** Every path of `narrow` is one of `wide`. `slash`: a trailing slash matters, as between two allows. */
export const coversPath = (wide: Pattern, narrow: Pattern, slash: boolean): boolean => {
  const [a, b] = slash ? [wide, narrow] : [withoutSlash(wide), withoutSlash(narrow)]
  if (a.segments.length > b.segments.length || (!a.rest && (b.rest || a.segments.length < b.segments.length))) return false
  return a.segments.every((segment, i) => coversSegment(segment, b.segments[i]))
}

const coversSegment = (wide: Segment, narrow: Segment | undefined): boolean => {
  if (narrow === undefined) return false
  if ('variable' in wide) return !isSlash(narrow)
  return 'literal' in narrow && decodeSegment(wide.literal) === decodeSegment(narrow.literal)
}

/** Some path belongs to both. */
export const meetOnPath = (one: Pattern, other: Pattern, slash: boolean): boolean => {
  const [a, b] = slash ? [one, other] : [withoutSlash(one), withoutSlash(other)]
  const shared = Math.min(a.segments.length, b.segments.length)
  if ((a.segments.length > shared && !b.rest) || (b.segments.length > shared && !a.rest)) return false
  return a.segments.slice(0, shared).every((segment, i) => {
    const beside = b.segments[i]
    return beside !== undefined && (coversSegment(segment, beside) || coversSegment(beside, segment))
  })
}

/** Every request line of `narrow` is one of `wide` that suits it; several lines of `wide` may share the methods of one. */
export const coversRoutes = (
  wide: readonly RouteLine[],
  narrow: readonly RouteLine[],
  slash: boolean,
  suits: (wide: RouteLine, narrow: RouteLine) => boolean,
): boolean =>
  narrow.every(line => {
    const around = wide.filter(one => coversPath(one, line, slash) && suits(one, line))
    return line.methods.every(method => around.some(one => one.methods.includes(method)))
  })

/** A path that the pattern matches, with a segment that is no literal of any pattern in the place of each variable. */
export const pathInto = ({ segments, rest }: Pattern): string =>
  `/${[...segments.map(segment => ('literal' in segment ? segment.literal : '\0')), ...(rest ? ['\0'] : [])].join('/')}`

/** The pattern as it is written. */
export const spelledPath = ({ segments, rest }: Pattern): string =>
  `/${[...segments.map(segment => ('literal' in segment ? segment.literal : `{${segment.variable}}`)), ...(rest ? ['**'] : [])].join('/')}`
