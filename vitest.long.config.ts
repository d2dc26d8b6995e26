import { defineConfig } from 'vitest/config'

/** For `npm run test:long`, which runs test files of any group with more to do, and those of test/long. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    globalSetup: ['./test/support/cassandra-starter.ts'],
    testTimeout: 4 * 3600_000,
    hookTimeout: 300_000,
    reporters: ['default', './test/support/closing-line.ts'],
  },
})
