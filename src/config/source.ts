import { parse, parsing } from './parse.ts'
import { Report } from './report.ts'
import type { Steps } from './steps.ts'
import type { Family, Node, Parsed, Unparsed } from './tree.ts'

export type { Entry, Family, ListNode, MapNode, Node, ScalarNode } from './tree.ts'

/** One file: its tree if it could be read, and everything found wrong with it so far. */
export class Source extends Report {
  readonly root: Node | null

  /** Parses the file now, unless somebody did. Never throws: whatever is wrong is in `findings`. */
  constructor(file: string, bytes: Buffer, family: Family, { root, findings, lines }: Parsed = parse({ file, bytes, family })) {
    super(file, family, lines)
    this.root = root
    this.findings.push(...findings)
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
