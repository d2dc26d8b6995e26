/** One thing that `npm run test:long` does: a command, or test files with more work for them to do. */
export interface Row {
  readonly name: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** A test file with more to do. */
const testing = (name: string, file: string, env: Readonly<Record<string, string>>): Row => ({
  name,
  command: ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.long.config.ts', file],
  env,
})

const tenth = [...Array(10).keys()]

/** On a real Cassandra, where chance decides what meets what. */
const credentials: readonly (readonly [name: string, file: string, env: Readonly<Record<string, string>>])[] = [
  ['21 rotations under load, for each delivery', 'test/real/deliveries.test.ts', { ROTATIONS: '21' }],
  ['the holder stopped, or killed at any arrow; three sidecars', 'test/real/holder.test.ts', {}],
  ['the only node stopped or killed at any arrow', 'test/long/credentials/outage.test.ts', {}],
  ['two data centres, one stopped', 'test/real/ring.test.ts', {}],
  ['two data centres, one killed', 'test/real/ring.test.ts', { KILL: 'yes' }],
  ['slots altered, dropped, cut', 'test/real/cut.test.ts', {}],
  ['a start without Cassandra', 'test/real/cold.test.ts', {}],
  ['no secret in anything that is said', 'test/real/gate.test.ts', {}],
  ['200 roles', 'test/long/credentials/many.test.ts', {}],
]

const rounds = 5
const round = (n: number): readonly Row[] =>
  credentials.map(([name, file, env]) => testing(`credentials: ${name}, ${n} of ${rounds}`, file, { ...env, ROUND: String(n) }))

/** `seed` differs from tree to tree, so that each commit looks at something new, and repeats what it saw. */
export const rows = (seed: number): readonly Row[] => [
  // 1,000 policies, 100 callers times 100 requests each; ten rows, so that a stop in between costs a tenth.
  ...tenth.map(i =>
    testing(`policy: decisions are those of a naive evaluator, part ${i + 1} of 10`, 'test/unit/policy/property.test.ts', {
      SEED: String(seed + i),
      POLICIES: '100',
      REQUESTS: '10000',
    }),
  ),
  testing('policy: no rule that W801 calls dead ever decides', 'test/unit/policy/lint.test.ts', { SEED: String(seed), POLICIES: '10000' }),
  testing('policy: mutants are judged as by compiling and asking everything', 'test/unit/policy/mutate.test.ts', {
    SEED: String(seed),
    POLICIES: '2000',
  }),
  testing('check: values and errors are those of another implementation of CEL', 'test/unit/policy/check-fuzz.test.ts', {
    SEED: String(seed),
    CASES: '100000',
  }),
  testing('diff and never agree with asking every request of a small world', 'test/unit/policy/tools/brute.test.ts', {
    SEED: String(seed),
    CASES: '500',
  }),
  testing('requests: no reader of heads, tokens and targets takes what the grammars of the RFCs refuse', 'test/security/fuzz.test.ts', {
    SEED: String(seed),
    CASES: '1000000',
  }),
  testing('a faulty provider: no wrong decision, no hang, no known token refused', 'test/flow/provider-faults.test.ts', {
    SEED: String(seed),
    CASES: '20',
  }),
  testing('replay agrees with deciding again', 'test/unit/policy/replay-property.test.ts', { SEED: String(seed), CASES: '2000' }),
  ...Array.from({ length: rounds }, (_, i) => round(i + 1)).flat(),
]
