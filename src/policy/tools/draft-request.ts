import { decodeSegment } from '../../model/target.ts'
import type { CompiledPolicy } from '../engine/compile.ts'
import { candidates } from '../engine/route-index.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { TestRequest } from '../tests/caller.ts'
import { keyText, type Refused } from './draft-caller.ts'
import type { Dim } from './possible.ts'
import type { StandIns } from './stand-ins.ts'

/** The request of a record, for a test file. Null: no rule names its path, so nothing of it may be repeated. */
export const draftRequest = (
  { look, grades }: Dim,
  policies: readonly CompiledPolicy[],
  standIns: StandIns,
  reads: ReadonlySet<string>,
): TestRequest | Refused | null => {
  const { method, target, headers } = look.facts.origin
  const wanted = [...reads].filter(name => name.startsWith('header.') || name.startsWith('query.'))
  if (wanted.some(name => grades.get(name) !== 'exact' && grades.get(name) !== 'equal')) return 'hashed'
  if (target.query?.includes('%ff')) return 'unwritable'
  const path = draftPath(method, target.path, policies)
  if (typeof path !== 'string') return path
  const pairs = new URLSearchParams(target.query ?? '')
  const query = [...pairs].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(standIns.parameter(name, value))}`)
  return {
    method,
    target: { path, query: query.length === 0 ? null : query.join('&') },
    headers: headers.map((word, i) => (i % 2 === 0 ? word : String(standIns.value(`header.${headers[i - 1]}`, word)))),
  }
}

type Method = TestRequest['method']

/** Segments that a pattern spells out stay; any other becomes the name of its variable. Null where that is another route. */
const draftPath = (method: Method, path: string, policies: readonly CompiledPolicy[]): string | Refused | null => {
  const lines = policies.flatMap(({ document }) => document.rules.flatMap(rule => rule.to))
  if (rulesOn(method, path, policies).every(numbers => numbers.length === 0)) return null
  const segments = path.slice(1).split('/')
  const drafted = segments.map((segment, i) => {
    if (segment === '' || lines.some(line => isLiteral(line, i, segment))) return segment
    const name = lines.flatMap(({ segments }) => {
      const one = segments[i]
      return one !== undefined && 'variable' in one ? one.variable : []
    })[0]
    return `${name ?? 'x'}-1`
  })
  const found = `/${drafted.join('/')}`
  return JSON.stringify(rulesOn(method, found, policies)) === JSON.stringify(rulesOn(method, path, policies)) ? found : 'unwritable'
}

const isLiteral = ({ segments }: RouteLine, i: number, segment: string): boolean => {
  const one = segments[i]
  return one !== undefined && 'literal' in one && decodeSegment(one.literal) === decodeSegment(segment)
}

const rulesOn = (method: Method, path: string, policies: readonly CompiledPolicy[]): readonly (readonly number[])[] =>
  policies.flatMap(({ denies, allows }) => [candidates(denies.index, method, path), candidates(allows.index, method, path)])

/** A request as a line of YAML. */
export const spellRequest = ({ method, target, headers }: TestRequest): string => {
  const call = JSON.stringify(`${method} ${target.path}${target.query === null ? '' : `?${target.query}`}`)
  if (headers.length === 0) return call
  const fields = new Map<string, string[]>()
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    fields.set(name, [...(fields.get(name) ?? []), headers[i + 1] ?? ''])
  }
  const spelled = [...fields].map(([name, values]) => `${keyText(name)}: ${JSON.stringify(values.length === 1 ? values[0] : values)}`)
  return `{ call: ${call}, header: { ${spelled.join(', ')} } }`
}
