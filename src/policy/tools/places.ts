import { entryOf } from '../../config/shape.ts'
import { type Node, Source } from '../../config/source.ts'
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
  const sources = new Map<string, Source>()
  const sourceOf = (name: string): Source => {
    const known = sources.get(name)
    if (known !== undefined) return known
    const source = new Source(name, files.find(file => file.name === name)?.bytes ?? Buffer.alloc(0), 'P')
    sources.set(name, source)
    return source
  }
  const place = (source: Source, from: Node | null, path: KeyPath): Place => {
    const offset = from === null ? null : deepest(from, path)
    return { file: source.file, ...(offset === null ? { line: 0, column: 0 } : source.position(offset)) }
  }
  return {
    key(file, path) {
      const source = sourceOf(file)
      return place(source, source.root, path)
    },
    rule(file, name, path) {
      const source = sourceOf(file)
      return place(source, ruleNode(source.root, name), path)
    },
  }
}

const ruleNode = (root: Node | null, name: string): Node | null => {
  const rules = root?.kind === 'map' ? entryOf(root, 'rules')?.value : undefined
  const found = rules?.kind === 'list' ? rules.items.find(item => item.kind === 'map' && isNamed(item, name)) : undefined
  return found ?? null
}

const isNamed = (rule: Node & { readonly kind: 'map' }, name: string): boolean => {
  const value = (entryOf(rule, 'allow') ?? entryOf(rule, 'deny'))?.value
  return value?.kind === 'scalar' && value.value === name
}

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
