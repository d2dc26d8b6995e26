import { no, type Tri, unsure, yes } from '../language/tri.ts'

/** One parameter as some server reads it; a value that cannot be decoded is null. */
export interface Parameter {
  readonly name: string
  readonly value: string | null
  /** Every server finds a parameter of this name here, whatever its value. */
  readonly certain: boolean
}

export interface Query {
  readonly parameters: readonly Parameter[]
  /** A name could not be decoded: any parameter may be the one meant. */
  readonly broken: boolean
}

const none: Query = { parameters: [], broken: false }

/**
 * Decodes once. Servers disagree on two points: `+` may be a blank, `;` may separate. Each reading counts as an
 * occurrence, so a deny sees what any backend might see, and an allow must fit all of it.
 */
export const readQuery = (raw: string | null): Query => {
  if (raw === null || raw === '') return none
  const parameters: Parameter[] = []
  let broken = false
  for (let from = 0; from <= raw.length; ) {
    const next = raw.indexOf('&', from)
    const to = next < 0 ? raw.length : next
    if (to > from && !readStretch(raw.slice(from, to), parameters)) broken = true
    from = to + 1
  }
  return { parameters, broken }
}

/** What stands between two `&`. */
const readStretch = (stretch: string, into: Parameter[]): boolean => {
  if (!stretch.includes(';') && !stretch.includes('+')) {
    const pair = readPair(stretch)
    if (pair === null) return false
    into.push({ ...pair, certain: true })
    return true
  }
  const separated = stretch.includes(';') ? [[stretch], stretch.split(';').filter(pair => pair !== '')] : [[stretch]]
  const spelled = stretch.includes('+') ? separated.flatMap(pairs => [pairs, pairs.map(pair => pair.replaceAll('+', ' '))]) : separated
  const readings = spelled.map(pairs => pairs.map(readPair))
  const names = readings.map(pairs => new Set(pairs.map(pair => pair?.name)))
  for (const pair of readings.flat()) if (pair !== null) into.push({ ...pair, certain: names.every(known => known.has(pair.name)) })
  return !readings.some(pairs => pairs.includes(null))
}

const readPair = (pair: string): Omit<Parameter, 'certain'> | null => {
  const mark = pair.indexOf('=')
  const name = decoded(mark < 0 ? pair : pair.slice(0, mark))
  return name === null ? null : { name, value: mark < 0 ? '' : decoded(pair.slice(mark + 1)) }
}

const decoded = (text: string): string | null => {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

/** A name that only some servers find, or that cannot be decoded, is neither there nor absent. */
export const hasParameter = ({ parameters, broken }: Query, name: string): Tri => {
  let seen = broken
  for (const found of parameters) {
    if (found.name !== name) continue
    if (found.certain) return yes
    seen = true
  }
  return seen ? unsure : no
}
