import type { Finding } from '../../../model/finding.ts'
import type { PolicyFile } from '../../load/version.ts'
import { type Spots, spotsOf } from '../spots.ts'

/** Lints of one file that are kept: nobody reads more. */
const maxFindings = 1000

/** Collects the lints of one file. */
export class Report {
  readonly file: string
  readonly findings: Finding[] = []
  readonly #spots: Spots

  constructor(file: PolicyFile) {
    this.file = file.name
    this.#spots = spotsOf(file)
  }

  /** Warns at a key of the file, such as `rules`, 3, `until`. */
  warn(number: number, path: readonly (string | number)[], message: string): void {
    if (this.findings.length < maxFindings)
      this.findings.push({ file: this.file, ...this.#spots(...path), severity: 'warning', code: `W${number}`, message })
  }

  /** Where a key stands. */
  line(...path: readonly (string | number)[]): number {
    return this.#spots(...path).line
  }
}
