import { spelledObligations } from '../../model/obligation.ts'
import type { PolicyDocument } from '../language/read.ts'
import type { WorldSource } from './classes/world.ts'

/** What changed beside the rules of a tenant. */
export interface Note {
  readonly kind: 'TENANTS' | 'OBSERVE' | 'RECOGNISE' | 'PLATFORM' | 'ORDER'
  readonly text: string
  /** Requests may be allowed that were not, or no longer are: of recognition and observe mode. */
  readonly widens: boolean
  readonly narrows: boolean
}

const note = (kind: Note['kind'], text: string): Note => ({ kind, text, widens: false, narrows: false })

/** What changed in the platform file itself; what that does to tenants is said of each. */
export const documentNotes = (old: PolicyDocument, now: PolicyDocument): Note[] => {
  const content = (document: PolicyDocument): ReadonlyMap<string, string> =>
    new Map(document.rules.map(({ spot: _, ...rule }) => [rule.name, JSON.stringify(rule, plain)]))
  const [was, is] = [content(old), content(now)]
  const [owedBefore, owedNow] = [spelledObligations(old.always), spelledObligations(now.always)]
  const who = (document: PolicyDocument): string => JSON.stringify([document.who, document.claims], plain)
  return [
    ...[...is].flatMap(([name, rule]) => {
      const before = was.get(name)
      return before === undefined
        ? [note('PLATFORM', `deny ${name} is new`)]
        : before === rule
          ? []
          : [note('PLATFORM', `deny ${name} is changed`)]
    }),
    ...[...was.keys()].flatMap(name => (is.has(name) ? [] : [note('PLATFORM', `deny ${name} is gone`)])),
    ...(who(old) === who(now) ? [] : [note('PLATFORM', 'who or claims are changed')]),
    ...listNotes('shared role', old.sharedRoles, now.sharedRoles),
    ...listNotes('always hide', owedBefore.hide, owedNow.hide),
    ...listNotes('always limit', owedBefore.limits, owedNow.limits),
  ]
}

const plain = (_: string, value: unknown): unknown => (value instanceof Map ? [...value] : value instanceof Set ? [...value].sort() : value)

const listNotes = (what: string, old: readonly string[], now: readonly string[]): Note[] => [
  ...now.filter(one => !old.includes(one)).map(one => note('PLATFORM', `${what} ${one} is new`)),
  ...old.filter(one => !now.includes(one)).map(one => note('PLATFORM', `${what} ${one} is gone`)),
]

/** Observe mode lets pass whatever the tenant's rules refuse. The clock is left aside: an instant already past reads like any other. */
export const observeNotes = (a: WorldSource, b: WorldSource): Note[] => {
  const [was, is] = [a.policy?.document.observeUntil ?? null, b.policy?.document.observeUntil ?? null]
  if (was === is) return []
  const until = (moment: number): string => new Date(moment).toISOString()
  const before = was === null ? '' : `, not ${until(was)}`
  const text =
    is === null
      ? `no longer observed${before}: its rules are enforced`
      : `until ${until(is)}${before}, what the tenant's rules refuse is let pass without a credential`
  return [{ kind: 'OBSERVE', text, widens: is !== null && (was === null || is > was), narrows: was !== null && (is === null || is < was) }]
}

/** Which requests became the tenant's own, and which no longer are. Those are not split into classes: what the policy allows, they gain. */
export const recogniseNotes = (a: WorldSource, b: WorldSource): Note[] => {
  const allows = ({ policy }: WorldSource): boolean =>
    policy?.document.rules.some(rule => rule.effect === 'allow' && rule.mode === 'enforce') ?? false
  const [old, now] = [linesOf(a), linesOf(b)]
  const [gain, loss] = [allows(b), allows(a)]
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((key): Note[] => {
    const [was, is] = [old.get(key) ?? null, now.get(key) ?? null]
    // A line that is not there is agreed with by everything.
    if (was === null || is === null) {
      const [text, widens] = was === null ? [`${key} must now be ${is?.join(' or ')}`, false] : [`${key} is no longer compared`, true]
      return [{ kind: 'RECOGNISE', text, widens: widens && gain, narrows: !widens && loss }]
    }
    return [
      ...is
        .filter(one => !was.includes(one))
        .map(
          (one): Note => ({
            kind: 'RECOGNISE',
            text: `${key} ${one} is new: requests with it are now this tenant's`,
            widens: gain,
            narrows: false,
          }),
        ),
      ...was
        .filter(one => !is.includes(one))
        .map(
          (one): Note => ({
            kind: 'RECOGNISE',
            text: `${key} ${one} is gone: requests with it are no longer this tenant's`,
            widens: false,
            narrows: loss,
          }),
        ),
    ]
  })
}

const linesOf = ({ recognise: { host, issuer, audience, claims } }: WorldSource): ReadonlyMap<string, readonly string[]> =>
  new Map([
    ...(host === null ? [] : [['host', host] as const]),
    ['issuer', issuer],
    ['audience', audience],
    ...[...claims].map(([name, values]) => [`claim ${name}`, values] as const),
  ])
