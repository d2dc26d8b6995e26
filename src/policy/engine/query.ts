/** One parameter as some server reads it; a value that cannot be decoded is null. */
export interface Parameter {
  readonly name: string
  readonly value: string | null
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
  let broken = readPairs(raw, '&', parameters)
  if (raw.includes(';')) broken = readPairs(raw.replaceAll('&', ';'), ';', parameters) || broken
  return { parameters, broken }
}

const readPairs = (raw: string, separator: string, into: Parameter[]): boolean => {
  let broken = false
  for (let from = 0; from <= raw.length; ) {
    const next = raw.indexOf(separator, from)
    const to = next < 0 ? raw.length : next
    if (to > from) {
      const pair = raw.slice(from, to)
      if (!readPair(pair, into)) broken = true
      if (pair.includes('+') && !readPair(pair.replaceAll('+', ' '), into)) broken = true
    }
    from = to + 1
  }
  return broken
}

const readPair = (pair: string, into: Parameter[]): boolean => {
  const mark = pair.indexOf('=')
  const name = decoded(mark < 0 ? pair : pair.slice(0, mark))
  if (name === null) return false
  into.push({ name, value: mark < 0 ? '' : decoded(pair.slice(mark + 1)) })
  return true
}

const decoded = (text: string): string | null => {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
