import type { Finding } from '../model/finding.ts'

/** A value as written, with the offset of its first character. Plain data: it can cross a thread. */
export type Node = ScalarNode | MapNode | ListNode
export interface ScalarNode {
  readonly kind: 'scalar'
  readonly offset: number
  readonly value: string | number | boolean | null
  readonly quoted: boolean
  /** The characters of a plain scalar. */
  readonly text: string
}
export interface MapNode {
  readonly kind: 'map'
  readonly offset: number
  readonly entries: readonly Entry[]
}
export interface Entry {
  readonly key: string
  readonly keyOffset: number
  readonly value: Node
}
export interface ListNode {
  readonly kind: 'list'
  readonly offset: number
  readonly items: readonly Node[]
}

/** A file as parsed. Plain data: it can cross a thread. */
export interface Parsed {
  readonly root: Node | null
  readonly findings: readonly Finding[]
  /** Offset of the first character of each line. */
  readonly lines: readonly number[]
}

/** Which family of codes a file reports: `C` configuration, `P` policies and their tests. */
export type Family = 'C' | 'P'

/** A file that is to be parsed. */
export interface Unparsed {
  readonly file: string
  readonly bytes: Buffer
  readonly family: Family
}
