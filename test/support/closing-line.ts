import type { Reporter, TestModule } from 'vitest/node'

/** Ends every run with `N passed, N failed` alone on a line, and fails a CI run that skipped anything. */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 }
    for (const module of modules) {
      const before = count.failed
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state !== 'pending') count[state] += 1
      }
      // A file or a hook that failed has no failed test of its own.
      if (!module.ok() && count.failed === before) count.failed += 1
    }
    count.failed += errors.length
    if (count.skipped > 0 && process.env['CI']) {
      process.stdout.write(`In CI nothing may be skipped: ${count.skipped} skipped.\n`)
      process.exitCode = 1
    }
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : ''
    process.stdout.write(`${count.passed} passed, ${count.failed} failed${skipped}\n`)
  }
}
