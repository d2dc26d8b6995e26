import { Composer, isAlias, isMap, isScalar, isSeq, Lexer, Parser, Scalar, type Node as YamlNode } from 'yaml'
import { Report } from './report.ts'
import { finish, type Steps } from './steps.ts'
import { syntaxFault } from './syntax.ts'
import type { Entry, Node, Parsed, ScalarNode, Unparsed } from './tree.ts'

const maxBytes = 2 * 1024 * 1024
const maxDepth = 8
/** Characters of one scalar. */
const maxScalar = 4096
/** Lexical tokens, blanks and line ends included. Each costs the parser up to a kilobyte; no policy of 2 MiB comes near it. */
const maxTokens = 800_000
/** Errors at which it is no document: the parser keeps each with a trace of its own. */
const maxErrors = 100

/** Parses one document of the YAML subset of policy section 3. Never throws: whatever is wrong is in `findings`. */
export const parse = (unparsed: Unparsed): Parsed => finish(parsing(unparsed))

export function* parsing({ file, bytes, family }: Unparsed): Steps<Parsed> {
  const report = new Report(file, family)
  const text = decoded(bytes, report)
  const root = text === null ? null : yield* treeOf(text, report)
  return { root, findings: report.findings, lines: report.lines }
}

const decoded = (bytes: Buffer, report: Report): string | null => {
  if (bytes.length > maxBytes) return report.whole(102, `the file has ${bytes.length} bytes; at most ${maxBytes} are read. Split it.`)
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
    return report.whole(101, 'the file starts with a byte order mark. Save it as UTF-8 without BOM.')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return report.whole(101, 'the file is not valid UTF-8. Save it as UTF-8.')
  }
}

function* treeOf(text: string, report: Report): Steps<Node | null> {
  if (tooDeep(text)) return report.whole(107, `nested deeper than ${maxDepth} levels. Flatten it.`)
  try {
    const documents = yield* documentsOf(text, report)
    if (documents === null) return report.whole(102, `the file has more than ${maxTokens} words and signs. Split it.`)
    const [document] = documents
    // The first alone: what follows a syntax error is mostly its echo.
    const [broken] = documents.flatMap(d => [...d.errors, ...d.warnings]).sort((x, y) => x.pos[0] - y.pos[0])
    if (broken) {
      const { offset, message } = syntaxFault(text, (document?.contents as YamlNode | null | undefined) ?? null, broken)
      report.error(offset, 103, message)
    }
    if (documents.length > 1)
      report.error(documents[1]?.range[0] ?? 0, 106, 'more than one document. Remove the "---" line and what follows.')
    if (report.findings.length > 0) return null
    if (!document?.contents) return report.whole(202, 'the file is empty.')
    if (document.directives?.docStart && /^%/m.test(text.slice(0, document.contents.range?.[0] ?? 0)))
      report.error(0, 105, 'YAML directives are not accepted. Remove the "%" line.')
    return new Reader(report).node(document.contents as YamlNode, 1)
  } catch (fault) {
    // The parser recurses: hostile nesting ends in a RangeError rather than in a tree.
    return report.whole(fault instanceof RangeError ? 107 : 103, `the file cannot be read as YAML: ${firstLine(String(fault))}`)
  }
}

/** Lexical tokens between two pauses; a thousand take less than a millisecond. */
const tokensAtOnce = 256

/** What `parseAllDocuments` does, in steps, and no further than it is worth; null: too many tokens. */
function* documentsOf(text: string, report: Report): Steps<Documents | null> {
  const parser = new Parser(offset => report.newLine(offset))
  const composer = new Composer({ uniqueKeys: false, logLevel: 'silent' })
  const documents: Documents = []
  report.newLine(0)
  let [tokens, errors] = [0, 0]
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === 'error') errors++
      documents.push(...composer.next(token))
    }
    // What is wrong first is found, and a second document is one too many.
    if (errors > maxErrors || documents.length > 1) break
    if (++tokens > maxTokens) return null
    if (tokens % tokensAtOnce === 0) yield
  }
  for (const token of parser.end()) {
    yield
    documents.push(...composer.next(token))
  }
  documents.push(...composer.end())
  return documents
}
type Documents = (ReturnType<Composer['next']> extends Generator<infer D> ? D : never)[]

/** From the parser's nodes to plain ones; what the subset leaves out is reported where it stands. */
class Reader {
  readonly #report: Report

  constructor(report: Report) {
    this.#report = report
  }

  node(node: YamlNode, depth: number): Node {
    const offset = node.range?.[0] ?? 0
    if (depth > maxDepth) this.#report.error(offset, 107, `nested deeper than ${maxDepth} levels. Flatten it.`)
    if (isAlias(node)) this.#report.error(offset, 105, `the alias *${node.source} is not accepted. Write the value out.`)
    else if (node.anchor)
      this.#report.error(offset, 105, `the anchor &${node.anchor} is not accepted. Write the value out where it is used.`)
    if (node.tag) this.#report.error(offset, 105, 'tags are not accepted. Remove it.')
    if (depth > maxDepth) return { kind: 'scalar', offset, value: null, quoted: false, text: '' }
    if (isMap(node)) return { kind: 'map', offset, entries: this.#entries(node.items as Pair[], depth) }
    if (isSeq(node)) return { kind: 'list', offset, items: node.items.map(item => this.node(item as YamlNode, depth + 1)) }
    return this.#scalar(node, offset)
  }

  #entries(pairs: readonly Pair[], depth: number): Entry[] {
    const seen = new Map<string, number>()
    const entries: Entry[] = []
    for (const pair of pairs) {
      const keyOffset = pair.key?.range?.[0] ?? 0
      if (!isScalar(pair.key) || pair.key.anchor) {
        this.#report.error(keyOffset, 105, 'a key must be plain text.')
        continue
      }
      const quoted = pair.key.type === Scalar.QUOTE_DOUBLE || pair.key.type === Scalar.QUOTE_SINGLE
      const key = typeof pair.key.value === 'string' ? pair.key.value : String(pair.key.source ?? pair.key.value)
      if (key === '<<' && !quoted) this.#report.error(keyOffset, 105, 'merge keys are not accepted. Write the entries out.')
      const first = seen.get(key)
      if (first !== undefined)
        this.#report.error(
          keyOffset,
          104,
          `"${key}" stands here a second time (first in line ${this.#report.position(first).line}). Remove one.`,
        )
      else seen.set(key, keyOffset)
      const value = pair.value
        ? this.node(pair.value, depth + 1)
        : ({ kind: 'scalar', offset: keyOffset, value: null, quoted: false, text: '' } as const)
      entries.push({ key, keyOffset, value })
    }
    return entries
  }

  #scalar(node: YamlNode, offset: number): ScalarNode {
    if (!isScalar(node)) return { kind: 'scalar', offset, value: null, quoted: false, text: '' }
    const folded = node.type === Scalar.BLOCK_FOLDED
    if (folded) this.#report.error(offset, 105, 'folded text (">") is not accepted. Use one line, or "|".')
    const quoted = node.type === Scalar.QUOTE_DOUBLE || node.type === Scalar.QUOTE_SINGLE
    const value = node.value
    const scalar = typeof value === 'bigint' ? Number(value) : folded ? String(value).trim() : (value as string | number | boolean | null)
    const block = folded || node.type === Scalar.BLOCK_LITERAL
    if (typeof scalar === 'string') {
      const length = block ? longestLine(scalar) : scalar.length
      if (length > maxScalar) this.#report.error(offset, 107, `text of ${length} characters; at most ${maxScalar} are read.`)
      const end = node.range?.[1] ?? offset
      if (!block && this.#report.position(offset).line !== this.#report.position(Math.max(offset, end - 1)).line)
        this.#report.error(offset, 105, 'text must stand on one line. Join the lines, or use "|".')
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
