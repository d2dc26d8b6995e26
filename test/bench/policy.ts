import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { parse } from '../../src/config/parse.ts'
import type { Parsed } from '../../src/config/tree.ts'
import { systemClock } from '../../src/deps.ts'
import { type Composed, type Composition, compose, composing, type PolicyFile } from '../../src/policy/compose.ts'
import { inTurns } from '../../src/turns.ts'
import { median, table } from './figures.ts'
import { agree, loadCedar, type Peer } from './policy-cedar.ts'
import { worstTurn } from './policy-turns.ts'
import { factsOf, filesOf, platform, policyText, type Question, questionsOf, type World } from './policy-world.ts'

const help = `npm run bench:policy -- [--json FILE] [--rounds N] [--check]

Measures the policy engine alone, in this process: one decision at 10 rules, at 5,000 rules of one tenant, and among 1,000 tenants of 50 rules
each, in turns, and then Cedar's WebAssembly build with the same rules; then loading the 1,000 tenants, and reloading one of them. Few tenants
ask often and most seldom, as in practice; "even" is the median where each asks as often as any other.
  --json FILE    also write the figures as JSON
  --rounds N     rounds of each case (default 40); medians and percentiles are over all of them
  --check        exit 1 where a target is missed
`

const worlds: readonly World[] = [
  { name: 'rules-10', tenants: 1, rules: 10 },
  { name: 'rules-5000', tenants: 1, rules: 5000 },
  { name: 'tenants-1000', tenants: 1000, rules: 50 },
]
const questions = 2_000
const peerQuestions = 4
const options = { issuers: null, testsGateReload: true, now: Date.parse('2026-11-23T10:00:00Z') }

interface Case {
  readonly world: World
  readonly composition: Composition
  readonly questions: readonly Question[]
  /** The same, where every tenant asks as often as any other: the caches of the machine forget each before it comes back. */
  readonly even: readonly Question[]
  readonly peer: Peer
  readonly own: number[]
  readonly evens: number[]
  readonly peers: number[]
}

const good = ({ composition, findings }: Composed): Composition => {
  const errors = findings.filter(finding => finding.severity === 'error')
  if (composition === null || errors.length > 0) throw new Error(errors.map(({ code, message }) => `${code} ${message}`).join('; '))
  return composition
}

/** Whether the reader takes `check`: an older one is measured without. */
const takesCheck = (): boolean => {
  const files = [platform, { name: 't0.policy.yaml', bytes: Buffer.from(policyText('t0', 8, true)) }]
  return !compose(files, null, options).findings.some(finding => finding.severity === 'error')
}

const caseOf = (world: World, check: boolean): Case => {
  const composition = good(compose(filesOf(world, check), null, options))
  const [asked, even] = [questionsOf(world, questions, 'zipf'), questionsOf(world, questions, 'even')]
  const peer = loadCedar(world, check)
  agree(composition.engine, peer, world)
  return { world, composition, questions: asked, even, peer, own: [], evens: [], peers: [] }
}

const microseconds = (work: () => void): number => {
  const began = performance.now()
  work()
  return (performance.now() - began) * 1000
}

const round = ({ composition: { engine }, questions: asked, even, own, evens }: Case, keep: boolean): void => {
  for (const [list, times] of [[asked, own] as const, [even, evens] as const])
    for (const question of list) {
      const facts = factsOf(question)
      const us = microseconds(() => void engine.decide(facts))
      if (keep) times.push(us)
    }
}

const peerRound = ({ peer, peers }: Case, keep: boolean, number: number): void => {
  for (let i = 0; i < peerQuestions; i++) {
    const us = microseconds(() => peer.ask(number * peerQuestions + i))
    if (keep) peers.push(us)
  }
}

const percentile = (values: readonly number[], share: number): number => {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits))

interface Figures {
  readonly name: string
  readonly median_us: number
  readonly p99_us: number
  readonly times_rules_10: number
  /** The median where every tenant asks as often as any other. */
  readonly even_median_us: number
  readonly cedar_median_us: number
}

const decide = (cases: readonly Case[], rounds: number): Figures[] => {
  // The peer afterwards: it reads megabytes for one answer, and that would empty the machine's caches before each of our rounds.
  for (const ask of [round, peerRound]) for (let i = -10; i < rounds; i++) for (const one of cases) ask(one, i >= 0, Math.abs(i))
  const base = median(cases[0]?.own ?? [])
  return cases.map(({ world, own, evens, peers }) => ({
    name: world.name,
    median_us: rounded(median(own), 3),
    p99_us: rounded(percentile(own, 0.99), 3),
    times_rules_10: rounded(median(own) / base),
    even_median_us: rounded(median(evens), 3),
    cedar_median_us: rounded(median(peers), 1),
  }))
}

interface Loads {
  /** Parsed files to something that decides. */
  readonly snapshots_ms: number
  /** Bytes to something that decides. */
  readonly cold_ms: number
  readonly reload_ms: number
  /** CPU of the main thread in one reload: what is left of `reload_ms` on a quiet machine. */
  readonly reload_cpu_ms: number
  /** CPU of the main thread between two turns of the event loop: a pause, without what other processes add. */
  readonly reload_worst_turn_ms: number
  readonly cold_worst_turn_ms: number
  readonly compile_5000_ms: number
  readonly compile_5000_worst_turn_ms: number
}

/** Composes with files that are parsed already. */
const snapshots = (files: readonly PolicyFile[]): number => {
  const parsed = new Map<Buffer, Parsed>(files.map(({ name, bytes }) => [bytes, parse({ file: name, bytes, family: 'P' })]))
  const began = performance.now()
  const steps = composing(files, null, options)
  for (let next = steps.next(undefined); ; ) {
    if (next.done) break
    next = steps.next(next.value && 'now' in next.value ? parsed.get(next.value.now.bytes) : undefined)
  }
  return performance.now() - began
}

const changed = (files: readonly PolicyFile[], at: number, turn: number): PolicyFile[] =>
  files.map((file, i) => (i === at ? { ...file, bytes: Buffer.concat([file.bytes, Buffer.from(`# ${turn}\n`)]) } : file))

const load = async (world: World, check: boolean): Promise<Loads> => {
  const files = filesOf(world, check)
  const snapshotMs = snapshots(files)
  const cold = await worstTurn(() => inTurns(composing(files, null, options), systemClock))
  let previous = good(cold.result)
  const reloads = []
  for (let i = 0; i < 15; i++) {
    const next = await worstTurn(() => inTurns(composing(changed(files, 1 + i, i), previous, options), systemClock))
    previous = good(next.result)
    reloads.push(next)
  }
  const large = filesOf({ name: 'large', tenants: 1, rules: 5000 }, check)
  const compiled = await worstTurn(() => inTurns(composing(large, null, options), systemClock))
  good(compiled.result)
  return {
    snapshots_ms: rounded(snapshotMs, 0),
    cold_ms: rounded(cold.ms, 0),
    cold_worst_turn_ms: rounded(cold.worst, 1),
    reload_ms: rounded(median(reloads.map(({ ms }) => ms)), 1),
    reload_cpu_ms: rounded(median(reloads.map(({ cpu }) => cpu)), 1),
    reload_worst_turn_ms: rounded(median(reloads.map(({ worst }) => worst)), 1),
    compile_5000_ms: rounded(compiled.ms, 0),
    compile_5000_worst_turn_ms: rounded(compiled.worst, 1),
  }
}

const targets = (cases: readonly Figures[], loads: Loads): readonly (readonly [what: string, found: number, most: number])[] => [
  ...cases.map(({ name, median_us }) => [`${name}: median in us`, median_us, 2] as const),
  ...cases.map(({ name, p99_us }) => [`${name}: p99 in us`, p99_us, 20] as const),
  ...cases.map(({ name, times_rules_10 }) => [`${name}: times the median of rules-10`, times_rules_10, 2] as const),
  ['1,000 tenants of 50 rules, parsed files to snapshots, in ms', loads.snapshots_ms, 2000],
  ['the same, bytes to serving, in ms', loads.cold_ms, 6000],
  ['reload of one of them, in ms', loads.reload_ms, 50],
  ['its longest turn of the event loop, in ms of CPU', loads.reload_worst_turn_ms, 10],
]

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      rounds: { type: 'string', default: '40' },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(help)
    return 0
  }
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) throw new Error('--rounds is a whole number from 1 to 1000')
  const check = takesCheck()
  const largest = worlds.at(-1)
  if (largest === undefined) throw new Error('no case')
  const loads = await load(largest, check)
  const cases = decide(
    worlds.map(world => caseOf(world, check)),
    rounds,
  )
  const all = targets(cases, loads)
  const met = all.every(([, found, most]) => found <= most)
  console.log(check ? 'one check on each route' : 'without check: this version does not read it')
  console.log(table([['case', 'median us', 'p99 us', 'x rules-10', 'even us', 'Cedar us'], ...cases.map(one => Object.values(one))]))
  console.log(table([['load', 'ms'], ...Object.entries(loads)]))
  for (const [what, found, most] of all) console.log(`${found <= most ? 'met   ' : 'MISSED'}  ${what}: ${found} (at most ${most})`)
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify({ node: process.version, check, cases, loads }, null, 2)}\n`)
  return values.check && !met ? 1 : 0
}

main().then(
  code => (process.exitCode = code),
  (fault: unknown) => {
    console.error(fault instanceof Error ? fault.message : String(fault))
    process.exitCode = 70
  },
)
