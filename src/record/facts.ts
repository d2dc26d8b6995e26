import { createHmac } from 'node:crypto'
import type { Decided, Fact, Reading, Scalar } from '../model/fact.ts'
import type { Identity } from '../model/identity.ts'
import type { SecretBytes } from '../model/secret.ts'
import { quoted } from './json.ts'

/** Characters of the facts of a token, and of a request: what does not fit is left out, and named as cut. */
const room = { token: 8192, request: 4096 } as const
const mostItems = { token: 64, request: 8 } as const
const longestPlain = 256
/** 128 bits: enough to tell values apart, too little to be worth more than the key. */
const hashBytes = 16

/** Keyed hash of one value of one fact, as records hold it. The name counts, so that equal values of two facts cannot be linked. */
export interface FactHash {
  /** Which key, without telling anything about it. */
  readonly id: string
  of(name: string, value: Scalar): string
}

/** `key`: 32 random bytes or more. Text is 22 characters of base64url; numbers and truth values have `n.` or `b.` before them. */
export const factHash = (key: SecretBytes): FactHash => {
  // Code units as they are: in UTF-8 every lone surrogate would become the same character.
  const mac = (text: string): Buffer => createHmac('sha256', key.open()).update(text, 'utf16le').digest()
  return {
    id: mac('postern fact key').toString('hex').slice(0, 8),
    of(name, value) {
      const kind = typeof value === 'string' ? 's' : typeof value === 'number' ? 'n' : 'b'
      const hash = mac(`${kind}${name.length} ${name}${value}`).toString('base64url', 0, hashBytes)
      return kind === 's' ? hash : `${kind}.${hash}`
    },
  }
}

export interface FactOptions {
  /** The first one hashes; without one, what is not plain is withheld. */
  readonly keys: readonly SecretBytes[]
  /** Names of facts that are written in clear. */
  readonly plain: ReadonlySet<string>
}

/** Spells what was decided on, as the JSON value of `facts`. */
export type FactSpeller = (decided: Decided) => { readonly text: string; readonly cut: boolean }

/** How the values of one fact are written. */
interface Style {
  readonly group: 'plain' | 'hashed' | 'withheld'
  item(name: string, value: Scalar): string
}

const plainStyle: Style = { group: 'plain', item: (_, value) => (typeof value === 'string' ? quoted(value) : String(value)) }
const withheldStyle: Style = { group: 'withheld', item: (_, value) => (value === '' ? '""' : `"${typeof value}"`) }
/** Hashes kept, and characters of a value whose hash is: the same few parameters and fields come again and again. */
const mostKnown = 4096
const longestKnown = 64

const hashedStyle = (hash: FactHash): Style => {
  const known = new Map<string, string>()
  return {
    group: 'hashed',
    item(name, value) {
      // That a text is empty tells nothing about a person, and every rule may ask for it.
      if (value === '') return '""'
      const key = typeof value === 'string' && value.length <= longestKnown ? `${name.length} ${name}${value}` : null
      const before = key === null ? undefined : known.get(key)
      if (before !== undefined) return before
      const word = `"${hash.of(name, value)}"`
      if (known.size >= mostKnown) known.clear()
      if (key !== null) known.set(key, word)
      return word
    },
  }
}

/** The spelling of a token's facts is kept as long as its identity is: tokens repeat, and hashing is what costs. */
export const factSpeller = ({ keys, plain }: FactOptions): FactSpeller => {
  const [key] = keys
  const hash = key === undefined ? null : factHash(key)
  const hidden = hash === null ? withheldStyle : hashedStyle(hash)
  const styleOf = (name: string): Style => (plain.has(name) ? plainStyle : hidden)
  const known = new WeakMap<Identity, Spelled & { readonly basis: Decided['basis'] }>()
  const ofToken = ({ basis, identity }: Decided): Spelled => {
    const before = known.get(identity)
    if (before?.basis === basis) return before
    const spelled = { basis, ...spell(basis.reads.ofToken(identity), styleOf, 'token') }
    known.set(identity, spelled)
    return spelled
  }
  const head = `{"key":${hash === null ? 'null' : `"${hash.id}"`},"recognised":`
  return decided => {
    const { basis, origin } = decided
    const token = ofToken(decided)
    const request = spell(basis.reads.ofRequest(origin), styleOf, 'request')
    const recognised = basis.recognised === null ? 'null' : `"${basis.recognised}"`
    return { text: `${head}${recognised},"token":${token.text},"request":${request.text}}`, cut: token.cut || request.cut }
  }
}

interface Spelled {
  readonly text: string
  readonly cut: boolean
}

/** Finite numbers are all that JSON and a token can hold. */
const writable = (value: Scalar): boolean => typeof value !== 'number' || Number.isFinite(value)

const spell = ({ facts, incomplete, partial }: Reading, styleOf: (name: string) => Style, of: keyof typeof room): Spelled => {
  if (facts.length === 0 && incomplete.length === 0) return { text: '{}', cut: partial }
  const groups: Record<'plain' | 'hashed' | 'withheld' | 'absent' | 'faulty' | 'incomplete' | 'cut', string[]> = {
    plain: [],
    hashed: [],
    withheld: [],
    absent: [],
    faulty: [],
    incomplete: [],
    cut: [],
  }
  let left = room[of]
  const fits = (word: string): boolean => {
    left -= word.length + 3
    return left >= 0
  }
  // Without these a claim would look as if the token told it: they come first.
  for (const name of incomplete) if (fits(quoted(name))) groups.incomplete.push(quoted(name))
  for (const { name, value } of facts) {
    const word = quoted(name)
    if (!fits(word)) break
    if (value === undefined) groups.absent.push(word)
    else if (value === null || (typeof value !== 'object' && !writable(value))) groups.faulty.push(word)
    else {
      const style = styleOf(name)
      const written = spellValue({ name, value }, style, mostItems[of], left)
      if (written === null) groups.cut.push(word)
      else {
        left -= written.length
        groups[style.group].push(`${word}:${written}`)
      }
    }
  }
  return { text: `{${Object.entries(groups).flatMap(group).join(',')}}`, cut: partial || left < 0 || groups.cut.length > 0 }
}

const maps: readonly string[] = ['plain', 'hashed', 'withheld']

const group = ([name, entries]: [string, readonly string[]]): string | readonly [] => {
  if (entries.length === 0) return []
  const inner = entries.join(',')
  return maps.includes(name) ? `"${name}":{${inner}}` : `"${name}":[${inner}]`
}

/** Null where it does not fit: a part of a list, or of a text, would be judged as if it were the whole. */
const spellValue = ({ name, value }: Fact, style: Style, most: number, left: number): string | null => {
  const items = Array.isArray(value) ? value : [value]
  if (items.length > most) return null
  let size = 2
  const words: string[] = []
  for (const item of items) {
    if (typeof item === 'string' && style.group === 'plain' && item.length > longestPlain) return null
    const word = item === null || !writable(item) ? 'null' : style.item(name, item)
    size += word.length + 1
    if (size > left) return null
    words.push(word)
  }
  return Array.isArray(value) ? `[${words.join(',')}]` : (words[0] ?? null)
}
