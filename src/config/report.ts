import { LineCounter } from 'yaml'
import type { Finding } from '../model/finding.ts'
import type { Family } from './tree.ts'

/** Problems of one file that are kept: nobody reads more, and a hostile file could have a million. */
const maxFindings = 1000

/** A message quotes the file, and the file may hold a line break: what stands behind it would look like a problem of its own. */
const inOneLine = (message: string): string => message.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ')

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
    this.findings.push({
      file: this.file,
      ...this.position(offset),
      severity: 'error',
      code: `${this.family}${number}`,
      message: inOneLine(message),
    })
  }

  warn(offset: number, number: number, message: string): void {
    if (this.findings.length >= maxFindings) return
    this.findings.push({ file: this.file, ...this.position(offset), severity: 'warning', code: `W${number}`, message: inOneLine(message) })
  }

  /** An error of the file as a whole. */
  whole(number: number, message: string): null {
    this.findings.push({ file: this.file, line: 0, column: 0, severity: 'error', code: `${this.family}${number}`, message })
    return null
  }
}
