import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditFinding } from './finding.ts'
import { MerkleTree } from './merkle.ts'
import { readLines } from './read-lines.ts'
import { segmentName } from './segments.ts'
import type { Expectation } from './verify-notes.ts'

export interface ChainScan {
  /** Records up to the first fault. */
  readonly records: number
  /** Records that a checked signature vouches for. */
  readonly attested: number
  readonly finding: AuditFinding | null
  /** The last file ends inside a line that nothing vouches for, as after a power cut. */
  readonly torn: boolean
  /** The last record says that the process ended. */
  readonly ended: boolean
}

interface Named {
  readonly chain: unknown
  readonly seq: unknown
  readonly kind: unknown
}

const parse = (bytes: Buffer, start: number, end: number): Named | null => {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8', start, end))
    return typeof value === 'object' && value !== null && 'seq' in value && 'chain' in value && 'kind' in value ? value : null
  } catch {
    return null
  }
}

export const segmentsOf = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder)).filter(name => name.endsWith('.jsonl')).toSorted()

/** Reads the records of a chain once, from first to last, against what its checkpoints say about them. */
export const scanChain = async (dir: string, chain: string, expectations: readonly Expectation[]): Promise<ChainScan> => {
  const scan = new Scan(chain, expectations)
  const files = await segmentsOf(join(dir, chain))
  let rest = 0
  for (const [i, file] of files.entries()) {
    scan.file(file)
    rest = (await readLines(join(dir, chain, file), (bytes, start, end) => scan.line(bytes, start, end))).rest
    if (rest > 0 && i < files.length - 1) scan.torn(file)
  }
  return scan.end(rest > 0)
}

class Scan {
  readonly #chain: string
  readonly #expectations: readonly Expectation[]
  readonly #tree = new MerkleTree()
  #at = 0
  /** Sizes at which the tree was found right. */
  #sound = -1
  #attested = 0
  #finding: AuditFinding | null = null
  /** A record stands where an earlier one should: are the skipped ones further on? */
  #skipped: { readonly first: number; readonly last: number; readonly wholeFile: boolean } | null = null
  #file = ''
  #fileBegins = false
  #ended = false

  constructor(chain: string, expectations: readonly Expectation[]) {
    this.#chain = chain
    this.#expectations = expectations
    this.#check()
  }

  file(name: string): void {
    this.#file = name
    this.#fileBegins = true
  }

  line(bytes: Buffer, start: number, end: number): boolean {
    const begins = this.#fileBegins
    this.#fileBegins = false
    if (this.#finding !== null) return false
    const record = parse(bytes, start, end)
    if (this.#skipped !== null) return this.#seek(record)
    const seq = this.#tree.size
    if (record === null) return this.#found('changed', seq, seq, `record ${seq} is not a readable record any more`)
    if (record.chain !== this.#chain)
      return this.#found('misplaced', seq, seq, `in place of record ${seq} stands one of the chain ${String(record.chain)}`)
    if (typeof record.seq !== 'number' || !Number.isSafeInteger(record.seq))
      return this.#found('changed', seq, seq, `record ${seq} has lost its number`)
    if (record.seq < seq)
      return this.#found('inserted', seq, seq, `where record ${seq} should stand, record ${record.seq} stands a second time`)
    if (this.#ended)
      return this.#found('inserted', seq, seq, `record ${seq} stands behind the last record that the process wrote at its end`)
    if (record.seq > seq) {
      this.#skipped = { first: seq, last: record.seq - 1, wholeFile: begins && this.#file === segmentName(record.seq) }
      return true
    }
    if (begins && this.#file !== segmentName(seq))
      return this.#found('misplaced', seq, seq, `the file ${this.#file} begins with record ${seq}; its name says otherwise`)
    this.#tree.appendIn(bytes, start, end)
    this.#ended = record.kind === 'process-stop'
    return this.#check()
  }

  /** A file other than the last does not end with a line end. */
  torn(file: string): void {
    const seq = this.#tree.size
    if (this.#finding === null && this.#skipped === null) this.#found('changed', seq, seq, `${file} ends inside record ${seq}`)
  }

  end(torn: boolean): ChainScan {
    const records = this.#tree.size
    const beyond = this.#expectations.findLast(e => e.size > records)
    if (this.#skipped !== null) {
      const { first, last, wholeFile } = this.#skipped
      const what = first === last ? `record ${first} is missing` : `records ${first} to ${last} are missing`
      this.#found('missing', first, last, wholeFile ? `${what}: a whole file is gone` : what)
    } else if (this.#finding === null && beyond !== undefined) {
      this.#found(
        'cut',
        records,
        beyond.size - 1,
        `records ${records} to ${beyond.size - 1} are gone from the end; ${beyond.source} covers them`,
      )
    }
    return { records, attested: this.#attested, finding: this.#finding, torn: torn && this.#finding === null, ended: this.#ended }
  }

  /** Compares the tree with everything that is said about its present size. */
  #check(): boolean {
    const size = this.#tree.size
    let root: string | null = null
    for (; ; this.#at++) {
      const expectation = this.#expectations[this.#at]
      if (expectation === undefined || expectation.size > size) return true
      root ??= this.#tree.root()
      if (expectation.root !== root && size === this.#sound)
        return this.#found('checkpoint-edited', null, null, `${expectation.source} contradicts another one of ${size} records, which fits`)
      if (expectation.root !== root) {
        const first = Math.max(0, this.#sound)
        return this.#found('changed', first, size - 1, `${range(first, size - 1)} changed: ${expectation.source} does not fit`)
      }
      this.#sound = size
      if (expectation.signed) this.#attested = size
    }
  }

  #seek(record: Named | null): boolean {
    const skipped = this.#skipped
    if (skipped === null || typeof record?.seq !== 'number') return true
    if (record.seq < skipped.first || record.seq > skipped.last) return true
    this.#skipped = null
    return this.#found(
      'reordered',
      skipped.first,
      record.seq,
      `record ${skipped.first} stands behind record ${skipped.last + 1}: lines were swapped`,
    )
  }

  #found(kind: AuditFinding['kind'], first: number | null, last: number | null, message: string): false {
    this.#skipped = null
    this.#finding = { kind, chain: this.#chain, first, last, message }
    return false
  }
}

const range = (first: number, last: number): string =>
  first === last ? `record ${first} was` : `a record between ${first} and ${last} was`
