import type { Origin } from '../../model/exchange.ts'
import { methods } from '../../model/exchange.ts'
import { decodeSegment } from '../../model/target.ts'
import { candidates, routeIndex } from '../engine/route-index.ts'
import type { RouteLine } from '../language/pattern.ts'
import type { Rule } from '../language/rule.ts'

/** `GET HEAD /v1/invoices/{invoice}`, as a policy writes it. */
export const lineText = (line: RouteLine): string => {
  const verbs = line.methods.length === methods.length ? 'ANY' : line.methods.join(' ')
  return `${verbs} ${pathText(line)}`
}

export const pathText = ({ segments, rest }: RouteLine): string =>
  `/${[...segments.map(segment => ('literal' in segment ? segment.literal : `{${segment.variable}}`)), ...(rest ? ['**'] : [])].join('/')}`

/** Numbers of the `to` lines of a rule that cover a request. */
export const linesFor = (rule: Rule, { method, target }: Pick<Origin, 'method' | 'target'>): readonly number[] =>
  candidates(
    routeIndex(
      rule.to.map(line => [line]),
      rule.effect === 'deny',
    ),
    method,
    target.path,
  )

/** Path variables of the first line that covers the request, each with its segment decoded once. */
export const variablesOf = (rule: Rule, origin: Pick<Origin, 'method' | 'target'>): readonly (readonly [string, string])[] => {
  const [first] = linesFor(rule, origin)
  const line = first === undefined ? undefined : rule.to[first]
  const values = origin.target.path.slice(1).split('/')
  return (line?.segments ?? []).flatMap((segment, i) =>
    'variable' in segment ? [[segment.variable, decodeSegment(values[i] ?? '')] as const] : [],
  )
}
