import { bad, type Shape } from '../../config/shape.ts'
import { Source } from '../../config/source.ts'
import type { Facts, ZoneClocks } from '../../model/decision.ts'
import type { Finding } from '../../model/finding.ts'
import { instant } from '../language/moment.ts'
import type { Scope } from '../language/scope.ts'
import { type CallerKeys, overridesShape, type TestRequest } from '../tests/caller.ts'
import { requestShape, type TestFile } from '../tests/file.ts'
import { type Bench, factsOf } from '../tests/run.ts'

/** What somebody asks on a command line. */
export interface Asking {
  /** A caller of the tenant's test files. */
  readonly caller: string
  /** A request of the tenant's test files, or `METHOD /path[?query]`. */
  readonly request: string
  /** `key=value`, the value in YAML: `groups=[a, b]`, `dept=null`. */
  readonly with: readonly string[]
  /** An instant; null: the clock of the test file. */
  readonly at: string | null
}

/** What is wrong with the question. */
export class Unanswerable {
  readonly messages: readonly string[]
  constructor(messages: readonly string[]) {
    this.messages = messages
  }
}

/** The facts of a question in the words of a tenant's test files. */
export const askedFacts = (
  bench: Bench,
  scope: Scope,
  tests: readonly TestFile[],
  asking: Asking,
  zones: ZoneClocks,
): Facts | Unanswerable => {
  const holders = tests.filter(test => test.callers.has(asking.caller))
  const test = holders.find(one => one.requests.has(asking.request)) ?? holders[0]
  if (test === undefined)
    return new Unanswerable([
      `there is no caller ${JSON.stringify(asking.caller)} in the tests of ${bench.policy.tenant}. ${known(tests, 'callers')}`,
    ])
  const request = requestOf(tests, test, asking.request)
  if (request instanceof Unanswerable) return request
  const overrides = overridesOf(asking.with, scope)
  if (overrides instanceof Unanswerable) return overrides
  const at = asking.at === null ? test.now : momentOf(asking.at)
  if (at instanceof Unanswerable) return at
  const requests = new Map([[asking.request, request]])
  return factsOf(bench, { callers: test.callers, requests }, { caller: asking.caller, request: asking.request, overrides, at }, zones)
}

const requestOf = (tests: readonly TestFile[], first: TestFile, asked: string): TestRequest | Unanswerable => {
  const named = first.requests.get(asked) ?? tests.find(test => test.requests.has(asked))?.requests.get(asked)
  if (named !== undefined) return named
  if (!asked.includes(' '))
    return new Unanswerable([
      `there is no request ${JSON.stringify(asked)} in the tests. ${known(tests, 'requests')} Or write one: "GET /v1/invoices?page=1".`,
    ])
  return typedRequest(asked)
}

const known = (tests: readonly TestFile[], what: 'callers' | 'requests'): string => {
  const names = [...new Set(tests.flatMap(test => [...test[what].keys()]))].sort()
  const some = names.slice(0, 20).join(', ')
  return names.length === 0 ? `Its test files define no ${what}.` : `Known: ${some}${names.length > 20 ? ', ...' : ''}.`
}

/** `METHOD /path[?query]` of a command line. */
export const typedRequest = (text: string): TestRequest | Unanswerable => read('request', JSON.stringify(text), requestShape)

/** A moment of a command line. */
export const momentOf = (text: string): number | Unanswerable => read('--at', JSON.stringify(text), instant)

const overridesOf = (pairs: readonly string[], scope: Scope): CallerKeys | Unanswerable => {
  const keys = new Map<string, unknown>()
  for (const pair of pairs) {
    const mark = pair.indexOf('=')
    if (mark < 1) return new Unanswerable([`--with ${JSON.stringify(pair)} is not key=value; write for example --with ip=10.1.2.3.`])
    const one = read('--with', `${JSON.stringify(pair.slice(0, mark))}: ${pair.slice(mark + 1)}`, overridesShape(scope))
    if (one instanceof Unanswerable) return one
    for (const [key, value] of one) keys.set(key, value)
  }
  return keys
}

/** Reads an argument as the files are read, so that the same words mean the same and the same faults are named. */
const read = <T>(name: string, text: string, shape: Shape<T>): T | Unanswerable => {
  const source = new Source(name, Buffer.from(text), 'P')
  const value = source.root === null ? bad : shape.read(source.root, { source, path: name, provenance: new Map() })
  return value === bad || !source.ok ? new Unanswerable(source.findings.map(faultText)) : value
}

const faultText = ({ file, code, message }: Finding): string => `${file}: ${code} ${message}`
