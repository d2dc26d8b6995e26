import { isUtf8 } from 'node:buffer'

export type JsonObject = Readonly<Record<string, unknown>>

const deepest = 32

/** Final characters whose unused low bits are zero, for a last group of two and of three characters. */
const endOfTwo = 'AQgw'
const endOfThree = 'AEIMQUYcgkosw048'

/** One spelling for each byte string: a second would be a second token with one signature. The caller has checked the alphabet. */
export const isCanonicalBase64url = (segment: string): boolean => {
  const rest = segment.length % 4
  const last = segment.charAt(segment.length - 1)
  return rest === 0 || (rest === 2 && endOfTwo.includes(last)) || (rest === 3 && endOfThree.includes(last))
}

/** The JSON object in a base64url segment, or what is wrong with it. */
export const decodeObject = (segment: string): JsonObject | string => readObject(Buffer.from(segment, 'base64url'))

/**
 * The JSON object in these bytes, deeply frozen, or what is wrong with it. A member that stands twice is refused
 * (RFC 7515 section 4, RFC 7519 section 4): parsers differ in which one they take, and so would a backend that reads the token itself.
 */
export const readObject = (bytes: Buffer): JsonObject | string => {
  if (!isUtf8(bytes)) return 'not UTF-8'
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'not JSON'
  }
  if (!isObject(value)) return 'not an object'
  const members = sealed(value, 1)
  if (members < 0) return 'too deep, or a member __proto__'
  return members === membersWritten(text) ? value : 'a member stands twice'
}

export const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Freezes and counts the members of every object; below 0 when nested too deeply, or when a member's name could poison a copy. */
const sealed = (value: unknown, depth: number): number => {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > deepest) return Number.NEGATIVE_INFINITY
  let members = 0
  if (Array.isArray(value)) for (const item of value) members += sealed(item, depth + 1)
  else
    for (const [name, item] of Object.entries(value))
      members += name === '__proto__' ? Number.NEGATIVE_INFINITY : 1 + sealed(item, depth + 1)
  Object.freeze(value)
  return members
}

/** In valid JSON every colon outside of a string is one member, however its name is spelled. */
const membersWritten = (text: string): number => {
  let members = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x3a) members++
    else if (c === 0x22) i = endOfString(text, i)
  }
  return members
}

/** Index of the quote that closes a string: the first one that an even number of backslashes precedes. */
const endOfString = (text: string, open: number): number => {
  let close = text.indexOf('"', open + 1)
  while (close > 0 && isEscaped(text, close)) close = text.indexOf('"', close + 1)
  return close < 0 ? text.length : close
}

const isEscaped = (text: string, at: number): boolean => {
  let backslashes = 0
  while (text.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes++
  return backslashes % 2 === 1
}
