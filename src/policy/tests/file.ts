import { allDefaults, readDocument } from '../../config/document.ts'
import {
  bad,
  choice,
  entryOf,
  fail,
  type JsonSchema,
  list,
  named,
  oneOrMany,
  optional,
  parsed,
  record,
  required,
  type Shape,
  text,
  Wrong,
} from '../../config/shape.ts'
import { type Node, Source } from '../../config/source.ts'
import { type Method, methods } from '../../model/exchange.ts'
import type { Finding } from '../../model/finding.ts'
import { Ambiguous, canonicalTarget } from '../../model/target.ts'
import { instant } from '../language/moment.ts'
import { nameProblem } from '../language/names.ts'
import { isVersion } from '../language/read.ts'
import { emptyScope } from '../language/scope.ts'
import { headerName } from '../language/when.ts'
import type { PolicyFile } from '../load/version.ts'
import { type CallerKeys, callerShape, checkLikes, type TestRequest } from './caller.ts'
import { type Case, caseShape, type Expectation, type TestScope } from './case.ts'
import { gridShape } from './grid.ts'
import { type Never, neverShape } from './never.ts'

export interface TestFile {
  readonly file: string
  /** The frozen clock. */
  readonly now: number
  readonly callers: ReadonlyMap<string, CallerKeys>
  readonly requests: ReadonlyMap<string, TestRequest>
  readonly expectations: readonly Expectation[]
  readonly never: readonly Never[]
  /** Per cent of the tenant's rules that must decide an expectation; null: not said. */
  readonly coverage: number | null
  /** Per cent of the mutants that must be killed; null: not asked. */
  readonly mutants: number | null
}

export interface ReadTestFile {
  readonly test: TestFile | null
  readonly findings: readonly Finding[]
}

export const readTestFile = (file: PolicyFile, scope: TestScope, source = new Source(file.name, file.bytes, 'P')): ReadTestFile => {
  const { root } = source
  if (root === null || !isVersion(source, root, 'policy-test/v1')) return { test: null, findings: source.findings }
  const lines = file.bytes.toString('utf8').split('\n')
  const { value } = readDocument(source, testShape(scope, lines, root))
  if (root.kind === 'map') checkLikes(entryOf(root, 'callers')?.value, { source, path: 'callers', provenance: new Map() })
  if (value === null || !source.ok) return { test: null, findings: source.findings }
  const { callers, requests, now, grid, cases, never } = value
  const cells = grid.map(cell => ({ ...cell, overrides: new Map(), at: now, by: null, role: null, hide: null }))
  const expectations = [...cells, ...cases.map(one => ({ ...one, at: one.at ?? now }))]
  const { 'rules-covered': coverage, 'mutants-killed': mutants } = value.require
  return { test: { file: file.name, callers, requests, expectations, never, now, coverage, mutants }, findings: source.findings }
}

const testShape = (scope: TestScope, lines: readonly string[], root: Node) => {
  const keysOf = (key: string): ReadonlySet<string> => {
    const node = root.kind === 'map' ? entryOf(root, key)?.value : undefined
    return new Set(node?.kind === 'map' ? node.entries.map(entry => entry.key) : [])
  }
  const names = { callers: keysOf('callers'), requests: keysOf('requests') }
  return record({
    postern: required(choice(['policy-test/v1']), 'Write postern: policy-test/v1.'),
    tenant: required(tenantShape(scope.tenant), `Write tenant: ${scope.tenant}.`),
    now: required(instant, 'Write the moment at which the tests run: now: 2026-11-23T10:00:00Z'),
    callers: optional<ReadonlyMap<string, CallerKeys>>(callerShape(scope.policy, names.callers), new Map(), 'Callers by name.'),
    requests: optional<ReadonlyMap<string, TestRequest>>(named(requestShape, nameProblem('test request')), new Map(), 'Requests by name.'),
    grid: optional(gridShape(lines, names), [], 'One expectation a cell.'),
    cases: optional<readonly Case[]>(list(caseShape(scope, names)), [], 'Single expectations.'),
    never: optional<readonly Never[]>(list(neverShape(scope.policy)), [], 'What no request may ever be allowed.'),
    require: optional(requireShape, allDefaults(requireShape), 'What the tests must reach.'),
  })
}

/** What an editor is told of a test file. */
export const testSchema = (): JsonSchema =>
  testShape({ tenant: 'acme', policy: emptyScope, platformRules: null }, [], { kind: 'map', offset: 0, entries: [] }).schema

const tenantShape = (tenant: string): Shape<string> =>
  text(
    'the tenant of the file name',
    value => (value === tenant ? null : `tenant is "${value}", but the file name says "${tenant}"; make them the same.`),
    109,
  )

const percent = parsed<number | null>(
  'a share such as 100%',
  value => {
    const found = /^(\d{1,3})%$/.exec(value)
    const share = Number(found?.[1] ?? Number.NaN)
    return share <= 100 ? share : new Wrong(`"${value}" is not a share; write 0% to 100%.`)
  },
  204,
  { pattern: '^[0-9]{1,3}%$' },
)

const requireShape = record({
  'rules-covered': optional<number | null>(percent, null, 'Share of the rules that must decide an expectation.'),
  'mutants-killed': optional<number | null>(percent, null, 'Share of the mutants that the tests must notice; left out: not asked.'),
})

const call: Shape<Pick<TestRequest, 'method' | 'target'>> = {
  schema: { type: 'string', pattern: '^[A-Z]+ /\\S*$' },
  read(node, at) {
    const value = text('METHOD /path, such as GET /v1/invoices?page=1').read(node, at)
    if (value === bad) return bad
    const [word = '', target = '', ...more] = value.split(' ')
    const method: Method | undefined = methods.find(known => known === word)
    if (method === undefined) return fail(at, node, 301, `"${word}" is not a method here; write one of ${methods.join(' ')}.`)
    if (target === '' || more.length > 0) return fail(at, node, 302, `"${value}" is not a request; write one method, one blank and a path.`)
    const canonical = canonicalTarget(target)
    return canonical instanceof Ambiguous
      ? fail(at, node, 302, `the edge refuses "${target}" with 400 (${canonical.why}), so no policy ever sees it; write another path.`)
      : { method, target: canonical }
  },
}

const callWithHeader = record({
  call: required(call, 'Write the request: call: GET /v1/invoices'),
  header: optional<ReadonlyMap<string, readonly string[]>>(
    named(oneOrMany(text('a header value')), headerName, { number: 307 }),
    new Map(),
    'Header fields; a list repeats the field.',
  ),
})

export const requestShape: Shape<TestRequest> = {
  schema: { anyOf: [call.schema, callWithHeader.schema] },
  read(node, at) {
    if (node.kind !== 'map') {
      const plain = call.read(node, at)
      return plain === bad ? bad : { ...plain, headers: [] }
    }
    const value = callWithHeader.read(node, at)
    if (value === bad) return bad
    return { ...value.call, headers: [...value.header].flatMap(([name, values]) => values.flatMap(one => [name, one])) }
  },
}
