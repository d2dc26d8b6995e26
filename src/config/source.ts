import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, Scalar, type Node as YamlNode } from 'yaml'
import type { Finding } from '../model/finding.ts'
import { syntaxFault } from './syntax.ts'

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

export interface Limits {
  /** Bytes. */
  readonly size: number
  readonly depth: number
  /** Characters of one scalar. */
  readonly scalar: number
}
const defaults: Limits = { size: 2 * 1024 * 1024, depth: 8, scalar: 4096 }

/** Problems of one file that are kept: nobody reads more, and a hostile file could have a million. */
const maxFindings = 1000

/** Which family of codes a file reports: `C` configuration, `P` policies and their tests. */
export type Family = 'C' | 'P'

/** Text of one file, its tree if it could be read, and everything found wrong with it so far. */
export class Source {
  readonly file: string
  readonly family: Family
  readonly findings: Finding[] = []
  root: Node | null = null
  readonly #lines = new LineCounter()

  /** Reads one document of the YAML subset of policy section 3. Never throws: whatever is wrong is in `findings`. */
  constructor(file: string, bytes: Buffer, family: Family, limits: Partial<Limits> = {}) {
    this.file = file
    this.family = family
    const bounds = { ...defaults, ...limits }
    const text = this.#decode(bytes, bounds.size)
    if (text !== null) this.#parse(text, bounds)
  }

  get ok(): boolean {
    return this.root !== null && !this.findings.some(f => f.severity === 'error')
  }

  position(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }

  /** Reports an error at an offset; the number becomes e.g. `P203`. */
  error(offset: number, number: number, message: string): void {
    if (this.findings.length >= maxFindings && !this.ok) return
    this.findings.push({ file: this.file, ...this.position(offset), severity: 'error', code: `${this.family}${number}`, message })
  }

  warn(offset: number, number: number, message: string): void {
    if (this.findings.length >= maxFindings) return
    this.findings.push({ file: this.file, ...this.position(offset), severity: 'warning', code: `W${number}`, message })
  }

  #decode(bytes: Buffer, size: number): string | null {
    if (bytes.length > size) return this.#whole(102, `the file has ${bytes.length} bytes; at most ${size} are read. Split it.`)
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
      return this.#whole(101, 'the file starts with a byte order mark. Save it as UTF-8 without BOM.')
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    } catch {
      return this.#whole(101, 'the file is not valid UTF-8. Save it as UTF-8.')
    }
  }

  #whole(number: number, message: string): null {
    this.findings.push({ file: this.file, line: 0, column: 0, severity: 'error', code: `${this.family}${number}`, message })
    return null
  }

  #parse(text: string, bounds: Limits): void {
    if (tooDeep(text)) return void this.#whole(107, `nested deeper than ${bounds.depth} levels. Flatten it.`)
    try {
      const found = parseAllDocuments(text, { lineCounter: this.#lines, uniqueKeys: false, prettyErrors: false, logLevel: 'silent' })
      const documents = Array.isArray(found) ? found : []
      const [document] = documents
      // The first alone: what follows a syntax error is mostly its echo.
      const [broken] = documents.flatMap(d => [...d.errors, ...d.warnings]).sort((x, y) => x.pos[0] - y.pos[0])
      if (broken) {
        const { offset, message } = syntaxFault(text, (document?.contents as YamlNode | null | undefined) ?? null, broken)
        this.error(offset, 103, message)
      }
      if (documents.length > 1)
        this.error(documents[1]?.range[0] ?? 0, 106, 'more than one document. Remove the "---" line and what follows.')
      if (this.findings.length > 0) return
      if (!document?.contents) return void this.#whole(202, 'the file is empty.')
      if (document.directives?.docStart && /^%/m.test(text.slice(0, document.contents.range?.[0] ?? 0)))
        this.error(0, 105, 'YAML directives are not accepted. Remove the "%" line.')
      this.root = this.#node(document.contents as YamlNode, 1, bounds)
    } catch (fault) {
      // The parser recurses: hostile nesting ends in a RangeError rather than in a tree.
      this.#whole(fault instanceof RangeError ? 107 : 103, `the file cannot be read as YAML: ${firstLine(String(fault))}`)
    }
  }

  #node(node: YamlNode, depth: number, bounds: Limits): Node {
    const offset = node.range?.[0] ?? 0
    if (depth > bounds.depth) this.error(offset, 107, `nested deeper than ${bounds.depth} levels. Flatten it.`)
    if (isAlias(node)) this.error(offset, 105, `the alias *${node.source} is not accepted. Write the value out.`)
    else if (node.anchor) this.error(offset, 105, `the anchor &${node.anchor} is not accepted. Write the value out where it is used.`)
    if (node.tag) this.error(offset, 105, 'tags are not accepted. Remove it.')
    if (depth > bounds.depth) return { kind: 'scalar', offset, value: null, quoted: false, text: '' }
    if (isMap(node)) return { kind: 'map', offset, entries: this.#entries(node.items as Pair[], depth, bounds) }
    if (isSeq(node)) return { kind: 'list', offset, items: node.items.map(item => this.#node(item as YamlNode, depth + 1, bounds)) }
    return this.#scalar(node, offset, bounds)
  }

  #entries(pairs: readonly Pair[], depth: number, bounds: Limits): Entry[] {
    const seen = new Map<string, number>()
    const entries: Entry[] = []
    for (const pair of pairs) {
      const keyOffset = pair.key?.range?.[0] ?? 0
      if (!isScalar(pair.key) || pair.key.anchor) {
        this.error(keyOffset, 105, 'a key must be plain text.')
        continue
      }
      const quoted = pair.key.type === Scalar.QUOTE_DOUBLE || pair.key.type === Scalar.QUOTE_SINGLE
      const key = typeof pair.key.value === 'string' ? pair.key.value : String(pair.key.source ?? pair.key.value)
      if (key === '<<' && !quoted) this.error(keyOffset, 105, 'merge keys are not accepted. Write the entries out.')
      const first = seen.get(key)
      if (first !== undefined)
        this.error(keyOffset, 104, `"${key}" stands here a second time (first in line ${this.position(first).line}). Remove one.`)
      else seen.set(key, keyOffset)
      const value = pair.value
        ? this.#node(pair.value, depth + 1, bounds)
        : ({ kind: 'scalar', offset: keyOffset, value: null, quoted: false, text: '' } as const)
      entries.push({ key, keyOffset, value })
    }
    return entries
  }

  #scalar(node: YamlNode, offset: number, bounds: Limits): ScalarNode {
    if (!isScalar(node)) return { kind: 'scalar', offset, value: null, quoted: false, text: '' }
    const folded = node.type === Scalar.BLOCK_FOLDED
    if (folded) this.error(offset, 105, 'folded text (">") is not accepted. Use one line, or "|".')
    const quoted = node.type === Scalar.QUOTE_DOUBLE || node.type === Scalar.QUOTE_SINGLE
    const value = node.value
    const scalar = typeof value === 'bigint' ? Number(value) : folded ? String(value).trim() : (value as string | number | boolean | null)
    const block = folded || node.type === Scalar.BLOCK_LITERAL
    if (typeof scalar === 'string') {
      const length = block ? longestLine(scalar) : scalar.length
      if (length > bounds.scalar) this.error(offset, 107, `text of ${length} characters; at most ${bounds.scalar} are read.`)
      const end = node.range?.[1] ?? offset
      if (!block && this.position(offset).line !== this.position(Math.max(offset, end - 1)).line)
        this.error(offset, 105, 'text must stand on one line. Join the lines, or use "|".')
    }
    return { kind: 'scalar', offset, value: scalar, quoted: quoted || block, text: node.source ?? String(scalar) }
  }
}

interface Pair {
  readonly key: YamlNode | null
  readonly value: YamlNode | null
}

const firstLine = (text: string): string => (text.split('\n', 1)[0] ?? '').trim()
const longestLine = (text: string): number => text.split('\n').reduce((most, line) => Math.max(most, line.length), 0)

/** The YAML parser recurses for each level; text that can only be an attack on it is refused before it is parsed. */
const tooDeep = (text: string): boolean => {
  let open = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x5b || c === 0x7b) {
      if (++open > 512) return true
    } else if (c === 0x5d || c === 0x7d) open = Math.max(0, open - 1)
  }
  return /^ {600}\S/m.test(text) || /(?:- ){100}/.test(text) || /(?:\? ){100}/.test(text)
}
