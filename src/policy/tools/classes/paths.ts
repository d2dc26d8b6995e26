import { decodeSegment } from '../../../model/target.ts'
import type { RouteLine, Segment } from '../../language/pattern.ts'

/** A pattern and how it is compared: denies ignore one trailing slash. */
export interface PathPattern {
  readonly line: Pick<RouteLine, 'segments' | 'rest'>
  readonly ignoreSlash: boolean
}

/** One path for each way in which paths can match the patterns. */
export interface PathAtom {
  readonly path: string
  /** The path with `*` for each segment that stands for any other, and `**` for any further ones. */
  readonly shown: string
}

const maxStates = 50_000

/** How far a pattern has been matched: `at` counts its segments. */
interface Live {
  readonly pattern: number
  readonly at: number
}

interface State {
  readonly path: string
  readonly shown: string
  readonly live: readonly Live[]
  /** Patterns in `/**` that match from here on whatever follows. */
  readonly matched: readonly number[]
}

/**
 * Paths that together show every set of patterns that some path matches. `focus`: only paths that one of these patterns matches are of
 * interest. Null: there are too many.
 */
export const pathAtoms = (patterns: readonly PathPattern[], focus: ReadonlySet<number>): readonly PathAtom[] | null => {
  const shapes = patterns.map(({ line, ignoreSlash }) => shapeOf(line, ignoreSlash))
  const words = spellings(patterns)
  const atoms: PathAtom[] = []
  const seen = new Set<string>()
  const open: State[] = [{ path: '', shown: '', live: patterns.map((_, pattern) => ({ pattern, at: 0 })), matched: [] }]
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const here = settle(state, shapes)
    const key = `${here.live.map(({ pattern, at }) => `${pattern}.${at}`).join()} ${here.matched.join()}`
    if (seen.has(key) || ![...here.matched, ...here.live.map(one => one.pattern)].some(pattern => focus.has(pattern))) continue
    seen.add(key)
    if (seen.size > maxStates) return null
    if (here.live.length === 0) {
      // Only patterns in `/**` are left: whatever follows is matched alike.
      atoms.push({ path: here.path || '/', shown: here.shown.endsWith('/**') ? here.shown : `${here.shown}/**` })
      continue
    }
    atoms.push({ path: here.path || '/', shown: here.shown || '/' })
    if (here.path !== '') atoms.push({ path: `${here.path}/`, shown: `${here.shown}/` })
    open.push(...steps(here, shapes, words))
  }
  return atoms
}

/** A pattern as it is compared: decoded literals, null for a variable. */
interface Shape {
  readonly segments: readonly (string | null)[]
  readonly rest: boolean
}

/** A segment as it is compared. */
export const segmentOf = (segment: Segment): string | null => ('literal' in segment ? decodeSegment(segment.literal) : null)

const shapeOf = ({ segments, rest }: PathPattern['line'], ignoreSlash: boolean): Shape => {
  const shape = segments.map(segmentOf)
  return { segments: ignoreSlash && shape.at(-1) === '' ? shape.slice(0, -1) : shape, rest }
}

interface Words {
  /** A segment that no pattern names. */
  readonly other: string
  /** Each decoded literal as it is written. */
  readonly written: ReadonlyMap<string, string>
}

const spellings = (patterns: readonly PathPattern[]): Words => {
  const written = new Map<string, string>()
  for (const { line } of patterns)
    for (const segment of line.segments) if ('literal' in segment) written.set(decodeSegment(segment.literal), segment.literal)
  let other = 'x'
  for (let i = 1; written.has(other); i++) other = `x${i}`
  return { other, written }
}

/** Moves patterns in `/**` whose segments are all matched to those that match whatever follows. */
const settle = (state: State, shapes: readonly Shape[]): State => {
  const done = state.live.filter(({ pattern, at }) => shapes[pattern]?.rest && at === shapes[pattern].segments.length)
  if (done.length === 0) return state
  const matched = [...state.matched, ...done.map(one => one.pattern)].sort((a, b) => a - b)
  return { ...state, matched, live: state.live.filter(one => !done.includes(one)) }
}

/** Every kind of next segment: each that some pattern names, and last, to be followed first, one that none does: it is shown for all that end alike. */
const steps = (state: State, shapes: readonly Shape[], { other, written }: Words): State[] => {
  const literals = new Set<string>()
  for (const { pattern, at } of state.live) {
    const segment = shapes[pattern]?.segments[at]
    if (typeof segment === 'string' && segment !== '') literals.add(segment)
  }
  const step = (literal: string | null): State => {
    const live = state.live.flatMap(({ pattern, at }) => {
      const wanted = shapes[pattern]?.segments[at]
      return wanted === null || (wanted !== undefined && wanted === literal) ? [{ pattern, at: at + 1 }] : []
    })
    const segment = literal === null ? other : (written.get(literal) ?? literal)
    const shown = literal !== null ? segment : live.length === 0 ? '**' : '*'
    return { path: `${state.path}/${segment}`, shown: `${state.shown}/${shown}`, live, matched: state.matched }
  }
  return [...[...literals].sort().reverse().map(step), step(null)]
}

/** Whether a line covers a canonical path. */
export const covers = ({ line, ignoreSlash }: PathPattern, path: string): boolean => {
  const { segments, rest } = shapeOf(line, ignoreSlash)
  const cut = ignoreSlash && path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
  const parts = cut === '/' ? [] : cut.slice(1).split('/')
  if (rest ? parts.length < segments.length : parts.length !== segments.length) return false
  return segments.every((wanted, i) => {
    const part = parts[i] ?? ''
    return wanted === null ? part !== '' : wanted === decodeSegment(part)
  })
}
