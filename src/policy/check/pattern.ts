import { RE2JS } from 're2js'

/** Characters of a pattern that are read. */
export const maxPattern = 200
/** Characters of a text that a pattern is held against; a longer text is an error. */
const maxText = 1024
/** Steps of a compiled pattern: with the length of the text it bounds the work of one match, about 5 ms at worst. */
const maxSteps = 500
/** Characters of a text that the automaton of all steps at once is built for. It is fast once built, but a long text can make it build a state a character. */
const maxBuilt = 64

/** Whether the whole text fits. Undefined: the text is too long to ask. */
export type Matcher = (text: string) => boolean | undefined

/** What the patterns of one file may cost together; each takes what it needs, and gets false where nothing is left. */
export interface Allowance {
  compile(work: number): boolean
  /** Steps that one request may have to take. */
  match(steps: number): boolean
}

/** What is wrong with a pattern of `re`, and what to write instead, or null. `texts`: how many a request may hold against it. */
export const patternProblem = (pattern: string, texts: number, afford: Allowance): string | null => {
  // Classes of Unicode cost as much as hundreds of steps to compile.
  const classes = pattern.split(/\\p/i).length - 1
  if (!afford.compile(200 + 300 * classes)) return tooMany
  try {
    const steps = RE2JS.compile(pattern).programSize()
    if (!afford.compile(steps)) return tooMany
    if (steps > maxSteps) return `the pattern needs ${steps} steps; at most ${maxSteps} are taken. Write smaller counts in {...}.`
    return afford.match(steps * texts) ? null : tooSlow
  } catch (fault) {
    return `${reason(fault)}; write RE2 syntax, without look-around and back references.`
  }
}

const tooMany = 'the patterns of this file are too much work together; write glob or startsWith where they do.'

const tooSlow =
  'the patterns of this file could hold up a request together (a loop counts for each of its items); write glob, startsWith or a list of values where they do.'

const reason = (fault: unknown): string => {
  if (fault instanceof RangeError) return 'the pattern is nested too deep'
  return `the pattern cannot be read (${String(fault instanceof Error ? fault.message : fault).replace(/^error parsing regexp: /, '')})`
}

/** RE2 semantics in time linear in the text. No pattern ever becomes a native RegExp, which may take for ever. */
export const expression = (pattern: string): Matcher => {
  const compiled = RE2JS.compile(pattern)
  return text => (isLong(text) ? undefined : text.length <= maxBuilt ? compiled.testExact(text) : compiled.matcher(text).matches())
}

const anyText = -1
const anyOne = -2

/** `*` is any text, `?` one character, everything else itself. */
export const glob = (pattern: string): Matcher => {
  const wanted = Array.from(pattern, character =>
    character === '*' ? anyText : character === '?' ? anyOne : (character.codePointAt(0) ?? 0),
  )
  return text => (isLong(text) ? undefined : globMatches(wanted, text))
}

/** Goes back to the last `*` only, so the work is at most pattern times text. */
const globMatches = (wanted: readonly number[], text: string): boolean => {
  let [at, next, star, mark] = [0, 0, -1, 0]
  while (at < text.length) {
    const found = text.codePointAt(at) ?? 0
    const want = wanted[next]
    if (want === anyText) {
      star = next++
      mark = at
    } else if (want === anyOne || want === found) {
      next++
      at += width(found)
    } else if (star >= 0) {
      mark += width(text.codePointAt(mark) ?? 0)
      at = mark
      next = star + 1
    } else return false
  }
  while (wanted[next] === anyText) next++
  return next === wanted.length
}

const width = (codePoint: number): number => (codePoint > 0xffff ? 2 : 1)

const isLong = (text: string): boolean => text.length > maxText && (text.length > 2 * maxText || length(text) > maxText)

/** Characters (code points) of a text. */
export const length = (text: string): number => {
  let count = text.length
  for (let i = 1; i < text.length; i++) if (isLow(text.charCodeAt(i)) && isHigh(text.charCodeAt(i - 1))) count--
  return count
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff
