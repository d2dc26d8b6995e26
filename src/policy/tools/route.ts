import type { Origin } from '../../model/exchange.ts'
import { methods } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import { routeIndex } from '../engine/few-routes.ts'
import { candidates } from '../engine/route-index.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { Rule } from '../language/rule.ts'

/** `GET HEAD /v1/invoices/{invoice}`, as a policy writes it. */
export const lineText = (line: RouteLine): string => {
  const verbs = line.methods.length === methods.length ? 'ANY' : line.methods.join(' ')
  return `${verbs} ${pathText(line)}`
}

export const pathText = ({ segments, rest }: RouteLine): string =>
  `/${[...segments.map(segment => ('literal' in segment ? segment.literal : `{${segment.variable}}`)), ...(rest ? ['**'] : [])].join('/')}`

/** A `to` line that covers a request, and its path variables, each with its segment decoded once. */
export interface Covering {
  readonly number: number
  readonly line: RouteLine
  readonly variables: ReadonlyMap<string, string>
}

/** Every line of a rule that covers a request. */
export const coveringLines = ({ to, effect }: Rule, { method, target }: Pick<Origin, 'method' | 'target'>): readonly Covering[] => {
  const segments = target.path.slice(1).split('/')
  const index = routeIndex(
    to.map(line => [line]),
    effect,
  )
  return candidates(index, method, target.path).flatMap(number => {
    const line = to[number]
    if (line === undefined) return []
    const variables = line.segments.flatMap((segment, i) =>
      'variable' in segment ? [[segment.variable, decodeSegment(segments[i] ?? '')] as const] : [],
    )
    return [{ number, line, variables: new Map(variables) }]
  })
}
