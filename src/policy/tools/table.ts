import { nearest } from '../../config/nearest.ts'
import { formatDuration } from '../../config/values.ts'
import { fieldValues } from '../../model/exchange.ts'
import { zoneClocks } from '../language/zone-clock.ts'
import { type CallerKeys, resolveCaller, type TestRequest } from '../tests/caller.ts'
import type { TestFile } from '../tests/file.ts'
import { type Bench, factsOf, outcomeOf, reasonOf, spelled } from '../tests/run.ts'
import { Unanswerable } from './ask.ts'
import { momentText, quoted, shown } from './words.ts'

/** What a cell of the table says. */
export interface CellReport {
  readonly caller: string
  /** As a test file spells it: `allow`, `deny+`, ... */
  readonly outcome: string
  readonly by: string
}

export interface RowReport {
  readonly request: string
  readonly call: string
  readonly cells: readonly CellReport[]
}

/** The callers and requests of one test file, all decided. */
export interface Sheet {
  readonly file: string
  readonly at: string
  readonly callers: readonly { readonly caller: string; readonly keys: string }[]
  readonly rows: readonly RowReport[]
}

/** The access-review table of one tenant. */
export interface Table {
  readonly tenant: string
  readonly policy: { readonly file: string; readonly digest: string }
  readonly platform: { readonly file: string; readonly digest: string }
  readonly sheets: readonly Sheet[]
}

export interface TableChoice {
  /** Null: all. */
  readonly callers: readonly string[] | null
  readonly requests: readonly string[] | null
  /** Milliseconds since the epoch; null: the clock of each test file. */
  readonly at: number | null
}

/** Decides every chosen request for every chosen caller. Names mean something within their file only, so each file is a sheet of its own. */
export const tableOf = (bench: Bench, tests: readonly TestFile[], choice: TableChoice): Table | Unanswerable => {
  const unknown = [...unknownNames(tests, 'callers', choice.callers), ...unknownNames(tests, 'requests', choice.requests)]
  if (unknown.length > 0) return new Unanswerable(unknown)
  const sheets = tests.map(test => sheetOf(bench, test, choice)).filter(sheet => sheet.callers.length > 0 && sheet.rows.length > 0)
  const { policy, platform, file, platformFile } = bench
  return {
    tenant: policy.tenant,
    policy: { file, digest: policy.digest },
    platform: { file: platformFile, digest: platform.digest },
    sheets,
  }
}

const unknownNames = (tests: readonly TestFile[], what: 'callers' | 'requests', chosen: readonly string[] | null): readonly string[] => {
  const known = [...new Set(tests.flatMap(test => [...test[what].keys()]))]
  return (chosen ?? [])
    .filter(name => !known.includes(name))
    .map(name => {
      const guess = nearest(name, known)
      return `--${what}: the tests define no ${JSON.stringify(name)}.${guess === null ? '' : ` Write ${guess}.`}`
    })
}

const sheetOf = (bench: Bench, test: TestFile, choice: TableChoice): Sheet => {
  const zones = zoneClocks()
  const at = choice.at ?? test.now
  const callers = [...test.callers.keys()].filter(name => choice.callers?.includes(name) ?? true)
  const requests = [...test.requests].filter(([name]) => choice.requests?.includes(name) ?? true)
  const cell = (request: string, caller: string): CellReport => {
    const decision = bench.engine.decide(factsOf(bench, test, { caller, request, overrides: new Map(), at }, zones))
    return { caller, outcome: spelled(outcomeOf(decision)), by: reasonOf(decision) }
  }
  return {
    file: test.file,
    at: momentText(at),
    callers: callers.map(caller => ({ caller, keys: keysText(resolveCaller(caller, test.callers)) })),
    rows: requests.map(([request, written]) => ({ request, call: callText(written), cells: callers.map(caller => cell(request, caller)) })),
  }
}

const callText = ({ method, target, headers }: TestRequest): string => {
  const names = [...new Set(headers.filter((_, i) => i % 2 === 0))]
  const fields = names.flatMap(name => fieldValues(headers, name).map(value => `${name}: ${quoted(value)}`))
  return [`${method} ${target.path}${target.query === null ? '' : `?${target.query}`}`, ...fields].join('; ')
}

const keysText = (keys: CallerKeys): string =>
  [...keys].map(([key, value]) => `${key}: ${key === 'signed-in' ? signedInText(value) : shown(value)}`).join('; ')

const signedInText = (value: unknown): string => {
  if (typeof value !== 'object' || value === null) return 'absent'
  return 'ago' in value ? `${formatDuration(Number(value.ago))} ago` : 'at' in value ? momentText(Number(value.at)) : 'absent'
}
