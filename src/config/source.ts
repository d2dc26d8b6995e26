import { parse, parsing } from './parse.ts'
import { Report } from './report.ts'
import type { Steps } from './steps.ts'
import type { Family, Node, Parsed, Unparsed } from './tree.ts'
import { offsetWithin } from './within.ts'

export type { Entry, Family, ListNode, MapNode, Node, ScalarNode } from './tree.ts'

/** One file: its tree if it could be read, and everything found wrong with it so far. */
export class Source extends Report {
  readonly root: Node | null
  readonly #bytes: Buffer

  /** Parses the file now, unless somebody did. Never throws: whatever is wrong is in `findings`. */
  constructor(file: string, bytes: Buffer, family: Family, { root, findings, lines }: Parsed = parse({ file, bytes, family })) {
    super(file, family, lines)
    this.root = root
    this.#bytes = bytes
    this.findings.push(...findings)
  }

  /** Reports an error inside the text of a scalar: at the `index`th UTF-16 unit of its value. */
  errorWithin(scalar: Node, index: number, number: number, message: string): void {
    this.error(offsetWithin(this.#bytes.toString('utf8'), scalar.offset, index), number, message)
  }

  get ok(): boolean {
    return this.root !== null && !this.findings.some(f => f.severity === 'error')
  }
}

/** Opens a file in steps. */
export function* opening(unparsed: Unparsed): Steps<Source> {
  const { file, bytes, family } = unparsed
  const parsed = yield { now: unparsed }
  return new Source(file, bytes, family, parsed ?? (yield* parsing(unparsed)))
}
