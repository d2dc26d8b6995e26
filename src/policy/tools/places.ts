import { entryOf } from '../../config/shape.ts'
import { type Node, Source } from '../../config/source.ts'
import { located } from '../language/scope.ts'
import type { PolicyFile } from '../load/version.ts'

/** Counts from 1; line 0: the file as a whole. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Keys on the way down; a number is a place in a list, or 0 for the one value that stands without a list. */
export type KeyPath = readonly (string | number)[]

/**
 * Where the keys of policy files stand. A compiled policy keeps no positions: at ten thousand tenants they would cost more memory than the
 * rules, and only an explanation asks for them, so it reads the file again.
 */
export interface Places {
  key(file: string, path: KeyPath): Place
  rule(file: string, name: string, path: KeyPath): Place
}

export const placesOf = (files: readonly PolicyFile[]): Places => {
  const opened = new Map<string, Opened>()
  const open = (name: string): Opened => {
    const known = opened.get(name)
    if (known !== undefined) return known
    const source = new Source(name, files.find(file => file.name === name)?.bytes ?? Buffer.alloc(0), 'P')
    const fresh = { source, rules: rulesOf(source.root) }
    opened.set(name, fresh)
    return fresh
  }
  const place = ({ source }: Opened, from: Node | null | undefined, path: KeyPath): Place => {
    return { file: source.file, ...(from ? source.position(deepest(from, path)) : { line: 0, column: 0 }) }
  }
  return {
    key(file, path) {
      const found = open(file)
      return place(found, found.source.root, path)
    },
    rule(file, name, path) {
      const found = open(file)
      return place(found, found.rules.get(name), path)
    },
  }
}

interface Opened {
  readonly source: Source
  readonly rules: ReadonlyMap<string, Node>
}

const rulesOf = (root: Node | null): ReadonlyMap<string, Node> => {
  const rules = root?.kind === 'map' ? entryOf(root, 'rules')?.value : undefined
  const nodes = rules?.kind === 'list' ? rules.items : []
  return new Map(nodes.flatMap(node => located(effectOf(node)).map(({ text }) => [text, node] as const)))
}

const effectOf = (rule: Node): Node | undefined =>
  rule.kind === 'map' ? (entryOf(rule, 'allow') ?? entryOf(rule, 'deny'))?.value : undefined

/** The last key of the path that is written; a key that is left out stands where its map does. */
const deepest = (from: Node, path: KeyPath): number => {
  let node = from
  let offset = from.offset
  for (const step of path) {
    if (typeof step === 'string') {
      const entry = node.kind === 'map' ? entryOf(node, step) : undefined
      if (entry === undefined) return offset
      node = entry.value
      offset = entry.keyOffset
    } else if (node.kind === 'list') {
      const item = node.items[step]
      if (item === undefined) return offset
      node = item
      offset = item.offset
    }
  }
  return offset
}
