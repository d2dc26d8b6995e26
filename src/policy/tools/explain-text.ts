import type { Change } from './change.ts'
import type { DecisionReport, Explanation, RuleReport } from './explain.ts'
import type { Matcher } from './matchers.ts'
import type { Place } from './places.ts'
import { quoted } from './words.ts'

/** An explanation as lines for people. Whatever came with a token or a request stands between quotes. */
export const explanationLines = (one: Explanation): readonly string[] => [
  `${one.request} at ${one.at}, ${one.caller}`,
  `${one.tenant}: ${decisionText(one.decision)}`,
  ...obligationLines(one.decision),
  ...(one.observedUntil === null
    ? []
    : [`  observe mode lets it pass all the same, without a credential, until just before ${one.observedUntil}`]),
  ...(one.shadow === null ? [] : [`  with shadow rules enforced: ${one.shadow.effect} by ${one.shadow.rule}`]),
  '',
  one.recognition.every(line => line.agrees)
    ? `recognised as ${one.tenant}: every line agrees`
    : `not recognised as ${one.tenant}: not every line agrees, so no rule is asked`,
  ...columns(
    one.recognition.map(({ key, agrees, seen, wanted, place }) => [
      agrees ? '  agrees' : '  DIFFERS',
      key,
      agrees ? seen : `${seen}; wanted ${wanted}`,
      spot(place),
    ]),
  ),
  ...one.rules.flatMap(rule => ['', ...ruleLines(rule)]),
  ...(one.rules.length === 0 && one.recognition.every(line => line.agrees) ? ['', 'no rule covers this method and path'] : []),
  ...(one.decision.effect === 'allow' ? [] : ['', ...changeLines(one.change)]),
  '',
  `${one.policy.file} sha256 ${one.policy.digest}`,
  `${one.platform.file} sha256 ${one.platform.digest}`,
]

const spot = ({ file, line, column }: Place): string => (line === 0 ? file : `${file}:${line}:${column}`)

const decisionText = ({ effect, by, code, inDoubt, challenge }: DecisionReport): string => {
  const doubt = inDoubt ? ', in doubt: a condition cannot be told, so the deny matches' : ''
  const login = challenge === null ? '' : `; the client is asked to sign in again${challengeText(challenge)}`
  return `${effect} by ${by}${code === null ? '' : ` (${code})`}${doubt}${login}`
}

const challengeText = ({ acrValues, maxAge }: NonNullable<DecisionReport['challenge']>): string =>
  [
    ...(acrValues.length === 0 ? [] : [` with acr_values ${quoted(acrValues.join(' '))}`]),
    ...(maxAge === null ? [] : [` with max_age ${maxAge} s`]),
  ].join(' and')

const obligationLines = ({ effect, role, until, hide, limits }: DecisionReport): readonly string[] =>
  effect !== 'allow'
    ? []
    : [
        `  role ${role ?? 'none: the backend gets no credential'}`,
        ...(until === null ? [] : [`  until ${until}; a stream ends then`]),
        ...(hide.length === 0 ? [] : [`  hides ${hide.join(', ')}`]),
        ...limits.map(limit => `  limit ${limit}, per instance`),
      ]

const verdict = ({ effect, held, decided, mode }: RuleReport): string => {
  const matched = held === 'true' ? 'matches' : held === 'false' ? 'does not match' : doubt[effect]
  return `${matched}${decided ? ', and decided' : ''}${mode === 'shadow' ? ' (shadow: never enforced)' : ''}`
}

const doubt = { deny: 'cannot be told, so it matches', allow: 'cannot be told, so it does not match' } as const

const ruleLines = (rule: RuleReport): readonly string[] => {
  const routes = rule.to.map(({ line, place, variables }) => {
    const values = Object.entries(variables).map(([name, value]) => `${name} is ${quoted(value)}`)
    return ['  true', 'to', [line, ...values].join(', '), spot(place)]
  })
  return [
    `${rule.of === 'platform' ? 'platform ' : ''}${rule.effect} ${rule.name} ${verdict(rule)}  ${spot(rule.place)}`,
    `  why: ${rule.why}`,
    ...columns([...routes, ...[...rule.matchers, ...rule.login].flatMap(matcherRows)]),
  ]
}

const mostParts = 20

const matcherRows = (matcher: Matcher): readonly (readonly string[])[] => {
  const row = (one: Matcher, indent: string) => [`${indent}${one.held}`, one.key, `${one.seen}; wants ${one.wanted}`, spot(one.place)]
  const more = matcher.parts.length - mostParts
  return [
    row(matcher, '  '),
    ...matcher.parts.slice(0, mostParts).map(part => row(part, '    ')),
    ...(more > 0 ? [['    ...', `and ${more} more; --json has all`, '', '']] : []),
  ]
}

const changeLines = (change: Change | null): readonly string[] => {
  if (change === null)
    return ['nothing about this caller or request would have had it allowed: no allow in force covers this method and path']
  const head = change.proved
    ? 'smallest change that would have allowed it (tried: the engine allows it then):'
    : 'what stands in the way (not tried as a whole: a part of it has no single value, or parts undo each other):'
  const ways = change.ways.map(steps =>
    steps.map(({ rule, place, unmet, needs }) => `  ${rule}  ${spot(place)}: ${stepText(rule, unmet, needs)}`),
  )
  return [head, ...ways.flatMap((lines, i) => (i === 0 ? lines : ['  or', ...lines]))]
}

const stepText = (rule: string, unmet: readonly string[], needs: readonly string[]): string => {
  const wanted = needs.join('; ')
  if (rule.startsWith('allow ')) return `all true except ${unmet.join(', ')}: ${wanted}`
  return rule.startsWith('deny ') ? `would have to stop matching: ${wanted}` : wanted
}

/** Pads all columns but the last, each line without blanks at its end. */
const columns = (rows: readonly (readonly string[])[]): readonly string[] => {
  const widths = [0, 1].map(column => Math.max(0, ...rows.map(row => row[column]?.length ?? 0)))
  return rows.map(([first = '', second = '', ...rest]) =>
    [first.padEnd(widths[0] ?? 0), second.padEnd(widths[1] ?? 0), ...rest].join('  ').trimEnd(),
  )
}
