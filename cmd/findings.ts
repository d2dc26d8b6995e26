import { byPosition, type Finding, formatFinding } from '../src/model/finding.ts'
import type { Io } from './io.ts'

/** Every finding on a line of its own, in the order of files and positions. */
export const printFindings = (findings: readonly Finding[], io: Io): void => {
  for (const finding of [...findings].sort(byPosition)) io.err(`${formatFinding(finding)}\n`)
}
