import { entryOf } from '../../config/shape.ts'
import { type Node, Source } from '../../config/source.ts'
import type { Spot } from '../language/scope.ts'
import type { PolicyFile } from '../load/version.ts'

/** Where the keys of a file stand: a key by its name, an entry of a list by its number from 0. */
export type Spots = (...path: readonly (string | number)[]) => Spot

/** Reads a file again for its positions: a compiled policy keeps none that no decision needs. What is not there has the position of what is around it. */
export const spotsOf = (file: PolicyFile): Spots => {
  const source = new Source(file.name, file.bytes, 'P')
  return (...path) => {
    let node: Node | undefined = source.root ?? undefined
    let offset = node?.offset ?? 0
    for (const step of path) {
      const found = stepInto(node, step)
      if (found === null) break
      node = found.node
      offset = found.offset
    }
    return source.position(offset)
  }
}

const stepInto = (node: Node | undefined, step: string | number): { readonly node: Node; readonly offset: number } | null => {
  if (typeof step === 'string') {
    const entry = node?.kind === 'map' ? entryOf(node, step) : undefined
    return entry ? { node: entry.value, offset: entry.keyOffset } : null
  }
  // One value stands for a list of one.
  const item = node?.kind === 'list' ? node.items[step] : node
  return item ? { node: item, offset: item.offset } : null
}
