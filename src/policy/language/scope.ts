import { entryOf } from '../../config/shape.ts'
import type { MapNode, Node, Source } from '../../config/source.ts'
import type { PathVariables } from '../check/environment.ts'
import { type Claim, parseClaim } from './claims.ts'
import { parseLine, type RouteLine } from './pattern.ts'

/** Line and column of something that a check across lines or files may have to point at. */
export interface Spot {
  readonly line: number
  readonly column: number
}

/**
 * What a file defines, read before the file itself: a reference is judged where it stands, and one fault does not
 * hide another. Nothing here is reported; whatever is malformed is reported by the reader proper.
 */
export interface Scope {
  readonly platform: boolean
  /** Caller groups and the line that defines each. */
  readonly who: ReadonlyMap<string, number>
  /** Caller groups that name an agent, and those of them that bound its hops, each by themselves or by a name in them. */
  readonly agents: ReadonlySet<string>
  readonly bounded: ReadonlySet<string>
  /** Declared claims; null where the declaration itself is wrong. */
  readonly claims: ReadonlyMap<string, Claim | null>
  /** `recognise.issuer`; null where a file has none (the platform's). */
  readonly issuers: readonly string[] | null
  /** `recognise.claims`, by name. */
  readonly recognised: readonly string[]
  /** Rules, by name, and the line of each. */
  readonly rules: ReadonlyMap<string, number>
  /** Variables of the `to` lines around each `when.check`, by the offset of the check; null where a line is wrong. */
  readonly variables: ReadonlyMap<number, PathVariables | null>
}

export const emptyScope: Scope = {
  platform: false,
  who: new Map(),
  agents: new Set(),
  bounded: new Set(),
  claims: new Map(),
  issuers: [],
  recognised: [],
  rules: new Map(),
  variables: new Map(),
}

export const scopeOf = (source: Source, platform: boolean): Scope => {
  const { root } = source
  if (root?.kind !== 'map') return { ...emptyScope, platform }
  const recognise = value(root, 'recognise')
  const who = entries(value(root, 'who'))
  return {
    platform,
    agents: namesWith(who, 'agent'),
    bounded: namesWith(who, 'max-hops'),
    who: new Map(who.map(entry => [entry.key, source.position(entry.keyOffset).line])),
    claims: new Map(entries(value(root, 'claims')).map(entry => [entry.key, claimOf(entry.value)])),
    issuers: platform ? null : texts(recognise?.kind === 'map' ? value(recognise, 'issuer') : undefined),
    recognised: recognise?.kind === 'map' ? entries(value(recognise, 'claims')).map(entry => entry.key) : [],
    rules: new Map(ruleNames(root).map(name => [name.text, source.position(name.offset).line])),
    variables: new Map(ruleMaps(root).flatMap(checked)),
  }
}

const value = (map: MapNode, key: string): Node | undefined => entryOf(map, key)?.value
const entries = (node: Node | undefined): MapNode['entries'] => (node?.kind === 'map' ? node.entries : [])

/** Names whose definition has a map with this key, and names whose list leads to one of them. */
const namesWith = (who: MapNode['entries'], key: string): ReadonlySet<string> => {
  const users = new Map<string, string[]>()
  const found = new Set<string>()
  for (const { key: name, value: definition } of who) {
    for (const part of definition.kind === 'list' ? definition.items : [definition])
      if (part.kind === 'map' && entryOf(part, key)) found.add(name)
    for (const { text } of definition.kind === 'list' ? located(definition) : []) {
      const known = users.get(text)
      if (known === undefined) users.set(text, [name])
      else known.push(name)
    }
  }
  // A set hands out what is added while it is walked.
  for (const name of found) for (const user of users.get(name) ?? []) found.add(user)
  return found
}

const claimOf = (node: Node): Claim | null => {
  const claim = node.kind === 'scalar' && typeof node.value === 'string' ? parseClaim(node.value) : null
  return claim !== null && 'type' in claim ? claim : null
}

/** The text, or the texts of the list, that stand here. */
export const texts = (node: Node | undefined): readonly string[] => located(node).map(one => one.text)

export interface Located {
  readonly text: string
  readonly offset: number
}

export const located = (node: Node | undefined): readonly Located[] => {
  const nodes = node === undefined ? [] : node.kind === 'list' ? node.items : [node]
  return nodes.flatMap(item =>
    item.kind === 'scalar' && typeof item.value === 'string' ? [{ text: item.value, offset: item.offset }] : [],
  )
}

/** Names of the rules, in file order, as far as they can be read. */
export const ruleNames = (root: Node | null): readonly Located[] =>
  ruleMaps(root).flatMap(rule => located(value(rule, 'allow') ?? value(rule, 'deny')))

const ruleMaps = (root: Node | null): readonly MapNode[] => {
  const rules = root?.kind === 'map' ? value(root, 'rules') : undefined
  return rules?.kind === 'list' ? rules.items.filter(rule => rule.kind === 'map') : []
}

/** Where the check of a rule stands, if it has one, and the variables around it. */
const checked = (rule: MapNode): (readonly [number, PathVariables | null])[] => {
  const when = value(rule, 'when')
  const check = when?.kind === 'map' ? value(when, 'check') : undefined
  return check === undefined ? [] : [[check.offset, variablesOf(value(rule, 'to'))]]
}

const variablesOf = (to: Node | undefined): PathVariables | null => {
  const lines = texts(to).map(parseLine)
  const read = lines.filter((line): line is RouteLine => 'segments' in line)
  if (read.length === 0 || read.length < lines.length) return null
  const [first = [], ...others] = read.map(line => line.segments.flatMap(segment => ('variable' in segment ? [segment.variable] : [])))
  return { every: first.filter(name => others.every(names => names.includes(name))), some: [first, ...others].flat() }
}
