import { Refusal } from '../model/problem.ts'
import { canonicalIp, withoutBlanks } from './head.ts'

/** Which field tells the client's address, and how many trusted hops wrote into it, the gateway included (at least 1). */
export interface ClientIpSource {
  readonly from: 'x-postern-client-ip' | 'forwarded' | 'x-forwarded-for'
  readonly hops: number
}

/**
 * The address that the outermost trusted hop saw, or null where the field is absent or that hop kept it to itself. What stands further left
 * is the client's own word and is not looked at. A field that is malformed, shorter than the trusted hops or split over lines is refused:
 * somebody between reads it otherwise (T15, T16).
 */
export const forwardedIp = (lines: readonly string[], { from, hops }: ClientIpSource): string | null | Refusal => {
  const [line] = lines
  if (line === undefined) return null
  const found = lines.length > 1 ? null : from === 'forwarded' ? ofForwarded(line, hops) : ofList(line, hops)
  return found === null ? new Refusal('PST1103', from) : found.address
}

/** Null: malformed. An address of null: not told. */
type Told = { readonly address: string | null } | null

/** `X-Forwarded-For` has no standard: addresses between commas, without ports. */
const ofList = (line: string, hops: number): Told => {
  const address = canonicalIp(withoutBlanks(line.split(',').at(-hops) ?? ''))
  return address === null ? null : { address }
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const quotedString = '"(?:[\\t !#-\\[\\]-~]|\\\\[\\t -~])*"'
/** RFC 7239 section 4: no blanks around `=` and none around `;`. */
const pair = new RegExp(`(${token})=(${token}|${quotedString})`, 'y')

/** RFC 7239. Read from its beginning: a quote that the client opened may swallow what follows, and then nothing can be told apart. */
const ofForwarded = (line: string, hops: number): Told => {
  const elements: (string | null)[] = []
  for (let at = 0; at <= line.length; ) {
    const element = elementAt(line, at)
    if (element === null) return null
    elements.push(element.node)
    at = element.end + 1
  }
  const node = elements.at(-hops)
  if (elements.length < hops || node === undefined) return null
  return node === null ? { address: null } : ofNode(node)
}

interface Element {
  readonly node: string | null
  /** Where its comma stands, or the end of the field. */
  readonly end: number
}

const elementAt = (line: string, from: number): Element | null => {
  let at = afterBlanks(line, from)
  let node: string | null = null
  const names = new Set<string>()
  for (;;) {
    pair.lastIndex = at
    const [whole, name = '', value = ''] = pair.exec(line) ?? []
    // Section 4: no parameter twice in one element.
    if (whole === undefined || names.has(name.toLowerCase())) return null
    names.add(name.toLowerCase())
    if (name.toLowerCase() === 'for') node = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
    at += whole.length
    if (line[at] === ';') {
      at += 1
      continue
    }
    const end = afterBlanks(line, at)
    return end === line.length || line[end] === ',' ? { node, end } : null
  }
}

/** Section 6: an address with or without a port, `unknown`, or a name that only its maker understands. */
const ofNode = (node: string): Told => {
  const found = /^(?:(\d{1,3}(?:\.\d{1,3}){3})|\[([0-9A-Fa-f:.]{2,45})\]|unknown|_[A-Za-z0-9._-]+)(?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?$/.exec(
    node,
  )
  if (!found) return null
  const text = found[1] ?? found[2]
  if (text === undefined) return { address: null }
  const address = canonicalIp(text)
  return address === null || (found[2] !== undefined && !text.includes(':')) ? null : { address }
}

const afterBlanks = (text: string, from: number): number => {
  let at = from
  while (text[at] === ' ' || text[at] === '\t') at += 1
  return at
}
