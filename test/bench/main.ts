import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  answerBody,
  ask,
  type Case,
  fields,
  makeTokens,
  originCase,
  path,
  plainCase,
  posternCase,
  startProvider,
  startReady,
} from './cases.ts'
import { type CaseFigures, judge, median, table } from './figures.ts'
import { type IdentityCost, identityCost } from './identity.ts'
import { type Bench, connections, loadRound, type Round, writeScript } from './load.ts'
import { moveTo, Processes, pickCores, type Running, rssOf } from './processes.ts'
import { build, ensureTools } from './tools.ts'

const help = `npm run bench -- [--json FILE] [--rounds N] [--seconds N] [--check]

Measures the shipped bundle with everything on (proof, tokens, policy, credential, audit, metrics) beside a plain nginx proxy:
each alone on one core, load (wrk) and origin (nginx) on another, 2,000 distinct RS256 tokens, ${connections} connections, all on loopback.
Linux; nginx and wrk are installed with apt-get where they are missing (root).
  --json FILE    also write the figures as JSON
  --rounds N     rounds of each case, taken in turns (default 3); medians are reported
  --seconds N    length of a round (default 8)
  --check        exit 1 where a target is missed
`

const root = resolve(import.meta.dirname, '../..')
const starts = 5
const idleMs = 5_000
const tokenCount = 2_000
const tokenBytes = 900
/** A just-in-time compiler needs so long before its figures mean anything. */
const warmUp = 12

const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`)

interface Measured {
  readonly each: Case
  readonly running: Running
  readonly ready: number
  readonly idle: number
}

/** Starts a case several times and keeps the last one: time to ready, and memory while nobody has asked for anything. */
const startCase = async (each: Case): Promise<Measured> => {
  const times: number[] = []
  for (let i = 1; ; i++) {
    const { running, ms } = await startReady(each)
    times.push(ms)
    if (i < starts) {
      await running.stop()
      continue
    }
    await delay(idleMs)
    const idle = rssOf(running.pid)
    say(`${each.name}: ready after ${times.map(time => Math.round(time)).join(', ')} ms; ${idle.toFixed(1)} MB idle`)
    return { each, running, ready: median(times), idle }
  }
}

/** What is not on would be measured as fast. */
const checkEverythingIsOn = async ({ each, running }: Measured, token: string): Promise<void> => {
  const call = (at: string, changes: Record<string, string> = {}) =>
    ask(`http://127.0.0.1:${each.port}${at}`, { ...fields, authorization: `Bearer ${token}`, ...changes })
  const expect = (what: string, found: unknown, expected: unknown): void => {
    if (found !== expected) throw new Error(`${each.name}: ${what}: ${String(found)} instead of ${String(expected)}`)
  }
  const reply = await call(path)
  expect('status', reply.status, 200)
  expect('body', reply.body, answerBody)
  expect('process', running.ended(), null)
  if (each.name !== 'postern') return
  expect('what the backend sees', (await call('/v1/invoices/seen')).body, 'acme acme_invoices_ro')
  expect('without a token', (await call(path, { authorization: '' })).status, 401)
  expect('with a changed signature', (await call(path, { authorization: `Bearer ${token.slice(0, -8)}AAAAAAAA` })).status, 401)
  expect('with a wrong proof', (await call(path, { 'x-postern-gateway-proof': 'x'.repeat(54) })).status, 403)
  expect('another path', (await call('/v1/ledgers')).status, 403)
}

/** Records that were lost would be work that was not done. */
const checkRecords = async (each: Case, requests: number): Promise<void> => {
  const { body } = await ask(each.ready.replace('/readyz', '/metrics'))
  const value = (line: string): number =>
    Number(
      body
        .split('\n')
        .find(each => each.startsWith(`${line} `))
        ?.slice(line.length) ?? Number.NaN,
    )
  const kept = value('postern_audit_records_total{kind="exchange"}')
  const lost = value('postern_audit_lost_total')
  const dropped = value('postern_audit_sink_dropped_total{sink="stdout"}')
  say(`audit: ${kept} records for ${requests} counted requests, ${lost} lost, ${dropped} not taken by stdout`)
  if (Number.isNaN(kept + lost + dropped)) throw new Error('postern: /metrics lacks figures of the audit')
  if (!(kept >= requests) || lost !== 0 || dropped !== 0) throw new Error('postern: not every request was recorded')
}

const percent = (share: number): string => `${Math.round(share * 100)} %`

const sayRound = (i: number, round: Round): void =>
  say(
    `round ${i} ${round.name}: ${Math.round(round.rps)} req/s, p50 ${round.p50} ms, p99 ${round.p99} ms, ${round.rss.toFixed(0)} MB, ` +
      `${round.cpuUs.toFixed(1)} us CPU each; proxy ${percent(round.proxy)} of its core (${percent(round.proxyCore)} busy), load core ${percent(round.loadCore)}`,
  )

const figuresOf = ({ each, ready, idle }: Measured, all: readonly Round[]): CaseFigures => {
  const rounds = all.filter(round => round.name === each.name)
  const middle = (of: (round: Round) => number, digits = 0): number => Number(median(rounds.map(of)).toFixed(digits))
  return {
    name: each.name,
    rps: middle(round => round.rps),
    p50_ms: middle(round => round.p50, 2),
    p99_ms: middle(round => round.p99, 2),
    rss_idle_mb: Number(idle.toFixed(1)),
    rss_load_mb: Number(Math.max(...rounds.map(round => round.rss)).toFixed(1)),
    ready_ms: Math.round(ready),
  }
}

/** What the reader must know before believing a figure. */
const caveats = (rounds: readonly Round[]): string[] => {
  const of = (name: string, share: (round: Round) => number): number => median(rounds.filter(round => round.name === name).map(share))
  return [...new Set(rounds.map(round => round.name))].flatMap(name => {
    const full = of(name, round => round.loadCore)
    const others = of(name, round => round.proxyCore - round.proxy)
    return [
      ...(full > 0.95 ? [`${name}: load and origin were saturated (${percent(full)}): its req/s is a LOWER BOUND.`] : []),
      ...(others > 0.05 ? [`${name}: something else used ${percent(others)} of the proxy's core: its req/s is a LOWER BOUND.`] : []),
    ]
  })
}

const report = (cases: readonly CaseFigures[], rounds: readonly Round[], identity: IdentityCost): boolean => {
  const [postern, plain] = cases
  if (postern === undefined || plain === undefined) throw new Error('two cases are compared')
  const cpu = (name: string): number => median(rounds.filter(round => round.name === name).map(round => round.cpuUs))
  const targets = judge(postern, plain, cpu(plain.name) / cpu(postern.name))
  const rows = cases.map(c => [c.name, c.rps, cpu(c.name).toFixed(1), c.p50_ms, c.p99_ms, c.rss_idle_mb, c.rss_load_mb, c.ready_ms])
  console.log(table([['case', 'req/s', 'CPU us', 'p50 ms', 'p99 ms', 'idle MB', 'load MB', 'ready ms'], ...rows]))
  console.log(
    `who calls: ${identity.known_us} us for a known token (no signature check, digest or promise), ${identity.verified_us} us for a new one\n`,
  )
  for (const { what, found, met } of targets) console.log(`${met ? 'met   ' : 'MISSED'}  ${what}: ${found}`)
  for (const caveat of caveats(rounds)) console.log(caveat)
  return targets.every(target => target.met)
}

interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly json: string | undefined
}

const run = async (processes: Processes, folders: string[], { rounds, seconds, json }: Options): Promise<boolean> => {
  ensureTools(say)
  say('building the bundle')
  build(root)
  const cores = pickCores()
  const dir = await mkdtemp(join(tmpdir(), 'postern-bench-'))
  folders.push(dir)
  say(`signing ${tokenCount} tokens; proxy on core ${cores.proxy}, load and origin on core ${cores.load}`)
  const provider = await startProvider()
  try {
    const tokens = makeTokens(provider, tokenCount, tokenBytes)
    const identity = await identityCost(provider.issuer, tokens)
    moveTo(cores.load)
    const bench: Bench = { processes, cores, script: await writeScript(dir, tokens) }
    const origin = await originCase(processes, cores.load, dir)
    await startReady(origin)
    const postern = await posternCase(processes, cores.proxy, join(root, 'dist/postern.mjs'), provider.issuer, origin.port)
    folders.push(dirname(postern.config))
    const measured = [await startCase(postern), await startCase(await plainCase(processes, cores.proxy, dir, origin.port))]
    for (const each of measured) await checkEverythingIsOn(each, tokens[0] ?? '')
    say(`warming up for ${warmUp} s`)
    const done: Round[] = []
    for (const { each, running } of measured) await loadRound(bench, each, running, each === postern ? warmUp : 1)
    for (let i = 1; i <= rounds; i++)
      for (const { each, running } of measured) {
        const round = await loadRound(bench, each, running, seconds)
        sayRound(i, round)
        done.push(round)
      }
    await checkRecords(
      postern,
      done.filter(round => round.name === 'postern').reduce((sum, round) => sum + round.requests, 0),
    )
    const cases = measured.map(each => figuresOf(each, done))
    if (json !== undefined) await writeFile(json, `${JSON.stringify({ node: process.version, cases, identity }, null, 2)}\n`)
    return report(cases, done, identity)
  } finally {
    provider.close()
  }
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '8' },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(help)
    return 0
  }
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!Number.isInteger(rounds) || !Number.isInteger(seconds) || rounds < 1 || seconds < 1 || rounds * seconds > 600)
    throw new Error('--rounds and --seconds are whole numbers from 1, together no more than 600 s of load for each case')
  const processes = new Processes()
  const folders: string[] = []
  const cleanUp = async (): Promise<void> => {
    await processes.stopAll()
    for (const folder of folders) await rm(folder, { recursive: true, force: true })
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().then(() => process.exit(130)))
  try {
    const met = await run(processes, folders, { rounds, seconds, json: values.json })
    return values.check && !met ? 1 : 0
  } finally {
    await cleanUp()
  }
}

main().then(
  code => (process.exitCode = code),
  (fault: unknown) => {
    say(fault instanceof Error ? fault.message : String(fault))
    process.exitCode = 70
  },
)
