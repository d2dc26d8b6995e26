import { LineCounter } from 'yaml'
import type { Finding } from '../model/finding.ts'
import type { Family } from './tree.ts'

/** Problems of one file that are kept: nobody reads more, and a hostile file could have a million. */
const maxFindings = 1000

/** What is found wrong with one file, with the positions of its text. */
export class Report {
  readonly file: string
  readonly family: Family
  readonly findings: Finding[] = []
  readonly #lines = new LineCounter()

  constructor(file: string, family: Family, lines: readonly number[] = []) {
    this.file = file
    this.family = family
    for (const start of lines) this.#lines.addNewLine(start)
  }

  /** Offset of the first character of each line. */
  get lines(): readonly number[] {
    return this.#lines.lineStarts
  }

  newLine(offset: number): void {
    this.#lines.addNewLine(offset)
  }

  position(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }

  /** Reports an error at an offset; the number becomes e.g. `P203`. */
  error(offset: number, number: number, message: string): void {
    if (this.findings.length >= maxFindings && this.findings.some(f => f.severity === 'error')) return
    this.findings.push({ file: this.file, ...this.position(offset), severity: 'error', code: `${this.family}${number}`, message })
  }

  warn(offset: number, number: number, message: string): void {
    if (this.findings.length >= maxFindings) return
    this.findings.push({ file: this.file, ...this.position(offset), severity: 'warning', code: `W${number}`, message })
  }

  /** An error of the file as a whole. */
  whole(number: number, message: string): null {
    this.findings.push({ file: this.file, line: 0, column: 0, severity: 'error', code: `${this.family}${number}`, message })
    return null
  }
}
