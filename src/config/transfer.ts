import { deserialize, serialize } from 'node:v8'
import type { Steps } from './steps.ts'
import type { Entry, Node, Parsed } from './tree.ts'

/** A parsed file on its way between threads, in parts: a large tree taken in at once would hold everybody up. */
export interface Packed {
  readonly head: Uint8Array
  readonly parts: readonly { readonly entry: number; readonly children: Uint8Array }[]
}

/** Children of one part. */
const atOnce = 128

/** Lists and maps of the top level travel in parts of their own; what stands deeper is as small as one rule. */
export const pack = ({ root, findings, lines }: Parsed): Packed => {
  const parts: { readonly entry: number; readonly children: Uint8Array }[] = []
  const cut = ({ value, ...rest }: Entry, entry: number): Entry => {
    const children = childrenOf(value)
    if (children.length <= atOnce) return { ...rest, value }
    for (let from = 0; from < children.length; from += atOnce)
      parts.push({ entry, children: serialize(children.slice(from, from + atOnce)) })
    return { ...rest, value: value.kind === 'map' ? { ...value, entries: [] } : { ...value, items: [] } } as Entry
  }
  const head = root?.kind === 'map' ? { ...root, entries: root.entries.map(cut) } : root
  return { head: serialize({ root: head, findings, lines } satisfies Parsed), parts }
}

const childrenOf = (node: Node): readonly unknown[] => (node.kind === 'map' ? node.entries : node.kind === 'list' ? node.items : [])

export function* unpacking({ head, parts }: Packed): Steps<Parsed> {
  const parsed = deserialize(head) as Parsed
  for (const { entry, children } of parts) {
    yield
    const value = parsed.root?.kind === 'map' ? parsed.root.entries[entry]?.value : undefined
    if (value !== undefined) (childrenOf(value) as unknown[]).push(...(deserialize(children) as unknown[]))
  }
  return parsed
}
