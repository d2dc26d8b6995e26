import { Wrong } from './shape.ts'

/**
 * An address as text whose order is the order of addresses: 2 code units of 16 bits for v4, 8 for v6.
 * A v4-mapped v6 address is the v4 address, so that no spelling slips past a range.
 */
export type AddressKey = string

export interface Range {
  readonly low: AddressKey
  readonly high: AddressKey
}

/** The key of an address in text, or null for anything that is not exactly one address. */
export const addressKey = (text: string): AddressKey | null => {
  const v4 = v4Key(text)
  if (v4 !== null) return v4
  const v6 = v6Key(text)
  return v6 !== null && isMapped(v6) ? v6.slice(6) : v6
}

const mapped = '\0\0\0\0\0\uffff'
const isMapped = (key: AddressKey): boolean => key.startsWith(mapped)

/** Four decimals without leading zeros: `010.0.0.1` is 8.0.0.1 to some readers. */
const v4Key = (text: string): AddressKey | null => {
  let value = 0
  let part = -1
  let parts = 0
  for (let i = 0; i <= text.length; i++) {
    const c = i < text.length ? text.charCodeAt(i) : 0x2e
    if (c === 0x2e) {
      if (part < 0) return null
      value = value * 256 + part
      part = -1
      parts++
    } else if (c < 0x30 || c > 0x39 || part === 0) return null
    else {
      part = (part < 0 ? 0 : part) * 10 + c - 0x30
      if (part > 255) return null
    }
  }
  return parts === 4 ? String.fromCharCode(value >>> 16, value & 0xffff) : null
}

const v6Key = (text: string): AddressKey | null => {
  if (text.length > 45 || !text.includes(':')) return null
  const gap = text.indexOf('::')
  if (gap < 0) {
    const whole = groups(text, true)
    return whole?.length === 8 ? String.fromCharCode(...whole) : null
  }
  const head = gap === 0 ? [] : groups(text.slice(0, gap), false)
  const tail = gap + 2 === text.length ? [] : groups(text.slice(gap + 2), true)
  if (!head || !tail || head.length + tail.length > 7) return null
  return String.fromCharCode(...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail)
}

/** Only the end of an address may be written as v4. */
const groups = (text: string, atEnd: boolean): number[] | null => {
  const values: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    const v4 = atEnd && index === parts.length - 1 && part.includes('.') ? v4Key(part) : null
    if (v4 !== null) values.push(v4.charCodeAt(0), v4.charCodeAt(1))
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) values.push(Number.parseInt(part, 16))
    else return null
  }
  return values
}

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. Host bits must be zero: `10.1.2.3/8` is a slip of either the address or the length. */
export const parseRange = (text: string): Range | Wrong => {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const raw = v4Key(address) ?? v6Key(address)
  const length = slash < 0 ? null : /^(0|[1-9]\d{0,2})$/.exec(text.slice(slash + 1))
  if (raw === null || (slash >= 0 && length === null))
    return new Wrong(`"${text}" is not an address; write an address or a range, such as 198.51.100.7, 10.0.0.0/8 or 2001:db8::/32.`)
  const width = raw.length * 16
  const bits = length === null ? width : Number(length[1])
  if (bits > width) return new Wrong(`"${text}" has more bits than the address; write /0 to /${width}.`)
  const low = masked(raw, bits, false)
  if (low !== raw) return new Wrong(`"${text}" has bits behind its length; write ${addressText(low)}/${bits}, or the single address.`)
  const high = masked(raw, bits, true)
  return bits >= 96 && isMapped(raw) ? { low: low.slice(6), high: high.slice(6) } : { low, high }
}

const masked = (key: AddressKey, bits: number, ones: boolean): AddressKey => {
  const units: number[] = []
  for (let i = 0; i < key.length; i++) {
    const keep = Math.min(16, Math.max(0, bits - i * 16))
    const host = 0xffff >>> keep
    units.push(ones ? key.charCodeAt(i) | host : key.charCodeAt(i) & ~host & 0xffff)
  }
  return String.fromCharCode(...units)
}

export const addressText = (key: AddressKey): string => {
  const units = [...Array(key.length).keys()].map(i => key.charCodeAt(i))
  if (units.length === 2) return units.flatMap(unit => [unit >> 8, unit & 255]).join('.')
  return new URL(`http://[${units.map(unit => unit.toString(16)).join(':')}]`).hostname.slice(1, -1)
}

/** A set of addresses: sorted, merged, searched by halving. The families never mix, for their keys differ in length. */
export const addressSet = (ranges: readonly Range[]): ((key: AddressKey) => boolean) => {
  const v4 = merged(ranges.filter(range => range.low.length === 2))
  const v6 = merged(ranges.filter(range => range.low.length === 8))
  return key => {
    const sorted = key.length === 2 ? v4 : v6
    let from = 0
    let to = sorted.length - 1
    while (from <= to) {
      const middle = (from + to) >> 1
      const range = sorted[middle]
      if (range === undefined) return false
      if (key < range.low) to = middle - 1
      else if (key > range.high) from = middle + 1
      else return true
    }
    return false
  }
}

const merged = (ranges: readonly Range[]): readonly Range[] => {
  const out: Range[] = []
  for (const range of ranges.toSorted((a, b) => (a.low < b.low ? -1 : a.low > b.low ? 1 : 0))) {
    const last = out.at(-1)
    if (last === undefined || range.low > last.high) out.push(range)
    else if (range.high > last.high) out[out.length - 1] = { low: last.low, high: range.high }
  }
  return out
}
