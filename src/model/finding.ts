/** A fault in a file that people write. Positions count from 1; `line` 0 means the file as a whole. */
export interface Finding {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly severity: 'error' | 'warning'
  /** `Cnnn` for configuration, `Pnnn` for policies and their tests, `Wnnn` for lints. Never reused. */
  readonly code: string
  /** What is wrong and what to write instead, in one line. */
  readonly message: string
}

export const byPosition = (a: Finding, b: Finding): number =>
  a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column

export const formatFinding = (f: Finding): string =>
  `${f.file}${f.line > 0 ? `:${f.line}:${f.column}` : ''} ${f.severity} ${f.code} ${f.message}`
