import { addressKey } from '../../config/address.ts'
import {
  bad,
  type Context,
  type Field,
  fail,
  named,
  oneOrMany,
  optional,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
} from '../../config/shape.ts'
import type { Node, Source } from '../../config/source.ts'
import { hostName, parseDuration } from '../../config/values.ts'
import type { Origin } from '../../model/exchange.ts'
import type { Identity } from '../../model/identity.ts'
import { circles } from '../language/circles.ts'
import { type Claim, claimValueShape } from '../language/claims.ts'
import { instant } from '../language/moment.ts'
import { nameProblem, nearestName } from '../language/names.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { Scope } from '../language/scope.ts'

/** Keys of a caller as written; null takes a key away, also one that `recognise` would give. */
export type CallerKeys = ReadonlyMap<string, unknown>

type Fields = Readonly<Record<string, Field<unknown>>>

/** A caller map may say less than its record, so what was not written is told apart from what was taken away. */
const unset: unique symbol = Symbol('unset')

const key = (shape: Shape<unknown>, doc: string, removable = true): Field<unknown> =>
  optional<unknown>(nullable(shape, removable), unset, doc)

const nullable = (shape: Shape<unknown>, removable: boolean): Shape<unknown> => ({
  schema: { anyOf: [shape.schema, { type: 'null' }] },
  read(node, at) {
    if (node.kind !== 'scalar' || node.value !== null) return shape.read(node, at)
    return removable ? null : fail(at, node, 204, 'a token or request without it never reaches a policy; write a value.')
  },
})

const actors: Shape<readonly string[]> = {
  schema: { type: 'object', required: ['sub'] },
  read(node, at) {
    const one = record({
      sub: required(text('the agent'), 'Write act: { sub: agent-x }.'),
      act: optional<Node | null>(raw, null, 'The actor before.'),
    })
    const chain: string[] = []
    for (let next: Node | null = node; next !== null; ) {
      const read: RecordOf<typeof one.fields> | typeof bad = one.read(next, at)
      if (read === bad) return bad
      chain.push(read.sub)
      next = read.act
    }
    return chain
  },
}

const raw: Shape<Node> = { schema: {}, read: node => node }

const address = text(
  'an IP address',
  value => (addressKey(value) === null ? `"${value}" is not an address; write for example 10.1.2.3 or 2001:db8::1.` : null),
  304,
)

type SignedIn = { readonly ago: number } | { readonly at: number }

const signedIn: Shape<SignedIn> = {
  schema: { type: 'string', description: 'Such as 5m ago, or a moment.' },
  read(node, at) {
    const found = node.kind === 'scalar' && typeof node.value === 'string' ? /^(\d{1,9}[smhd]) ago$/.exec(node.value) : null
    const ago = parseDuration(found?.[1] ?? '')
    if (ago !== null) return { ago }
    if (node.kind === 'scalar' && typeof node.value === 'string' && / ago$/.test(node.value))
      return fail(at, node, 306, `"${node.value}" is not how long ago; write a whole number and s, m, h or d: 5m ago.`)
    const moment = instant.read(node, at)
    return moment === bad ? bad : { at: moment }
  },
}

const fieldsOf = (scope: Scope): Fields => ({
  ...Object.fromEntries(scope.recognised.map(name => [name, key(oneOrMany(text('a value')), 'Claim of recognise.')])),
  ...Object.fromEntries([...scope.claims].map(([name, claim]) => [name, key(declared(name, claim), 'Declared claim.')])),
  sub: key(text('the subject'), 'The caller; default: the name.', false),
  scope: key(oneOrMany(text('scopes, separated by blanks')), 'Scopes.'),
  act: key(actors, 'The agent that acts for the caller.'),
  acr: key(text('an acr value'), 'How the person signed in.'),
  amr: key(oneOrMany(text('an amr value')), 'Means of signing in.'),
  'signed-in': key(signedIn, 'When the person signed in.'),
  ip: key(address, 'The client address; default: unknown.'),
  iss: key(text('an issuer'), 'The issuer; default: the first of recognise.', false),
  aud: key(oneOrMany(text('an audience')), 'The audiences; default: the first of recognise.'),
  host: key(hostName(), 'The host of the request; default: the first of recognise.', false),
})

/** A declaration that is itself wrong is reported where it stands; here anything passes. */
const declared = (name: string, claim: Claim | null): Shape<unknown> => (claim === null ? raw : claimValueShape(name, claim.type))

const keysShape = (fields: Fields): Shape<CallerKeys> => {
  const shape = record(fields)
  return {
    // Which claims there are, each policy says for itself.
    schema: { ...shape.schema, additionalProperties: { type: ['string', 'number', 'boolean', 'array', 'null'] } },
    read(node, at) {
      const value = shape.read(node, at)
      return value === bad ? bad : new Map(Object.entries(value).filter(([, set]) => set !== unset))
    },
  }
}

/** Reads `cases[].with`. */
export const overridesShape = (scope: Scope): Shape<CallerKeys> => keysShape(fieldsOf(scope))

/** Reads `callers`; `names` are the callers of the file. */
export const callerShape = (scope: Scope, names: ReadonlySet<string>): Shape<ReadonlyMap<string, CallerKeys>> =>
  named(
    keysShape({ like: key(reference('caller', names), 'Copies another caller.', false), ...fieldsOf(scope) }),
    nameProblem('test caller'),
  )

/** A name that the test file defines. */
const reference = (what: string, names: ReadonlySet<string>): Shape<string> => ({
  schema: { type: 'string' },
  read(node, at) {
    const name = text(`the name of a ${what}`).read(node, at)
    return name === bad || names.has(name) ? name : fail(at, node, 701, unknownTestName(at.source, what, name, names))
  },
})

export const unknownTestName = (source: Source, what: string, name: string, names: ReadonlySet<string>): string => {
  const guess = nearestName(source, name, names)
  return `there is no ${what} "${name}". ${guess ? `Write ${guess}, or define` : 'Define'} it under ${what}s.`
}

/** Reports callers that copy themselves, or more than eight deep. */
export const checkLikes = (callers: Node | undefined, at: Context): void => {
  if (callers?.kind !== 'map') return
  const likes = callers.entries.map(({ key: name, value }) => {
    const like = value.kind === 'map' ? value.entries.find(entry => entry.key === 'like')?.value : undefined
    return [name, like?.kind === 'scalar' && typeof like.value === 'string' ? [like.value] : []] as const
  })
  for (const [name, message] of circles(new Map(likes), 8)) {
    const entry = callers.entries.find(one => one.key === name)
    if (entry) fail(at, entry, 208, message)
  }
}

/** A caller with everything that it copies. */
export const resolveCaller = (name: string, callers: ReadonlyMap<string, CallerKeys>): CallerKeys => {
  const own = callers.get(name) ?? new Map()
  const like = own.get('like')
  const merged = new Map(typeof like === 'string' ? resolveCaller(like, callers) : [])
  for (const [k, value] of own) merged.set(k, value)
  merged.delete('like')
  return merged
}

type Caller = { readonly identity: Identity; readonly host: string; readonly clientIp: string | null }

/** What surrounds a caller; `now` is the clock of the expectation. */
interface Around {
  readonly recognise: Recognise
  readonly claims: ReadonlyMap<string, Claim>
  readonly now: number
}

/** The identity that a token of this caller would give. */
export const buildCaller = (name: string, keys: CallerKeys, { recognise, claims, now }: Around): Caller => {
  const given = <T>(k: string, initial: T): T => (keys.has(k) ? (keys.get(k) as T) : initial)
  const issuer = given('iss', recognise.issuer[0] ?? '')
  const subject = given('sub', name)
  const audiences = given<readonly string[] | null>('aud', recognise.audience.slice(0, 1)) ?? []
  const scopes = (given<readonly string[] | null>('scope', null) ?? []).flatMap(one => one.split(' ').filter(Boolean))
  const agents = given<readonly string[] | null>('act', null) ?? []
  const payload: Payload = Object.create(null)
  Object.assign(payload, { iss: issuer, sub: subject, aud: audiences })
  for (const [claim, values] of recognise.claims)
    put(payload, [claim], oneOrList(given<readonly string[] | null>(claim, values.slice(0, 1))))
  for (const [claim, { from }] of claims) if (keys.has(claim)) put(payload, from ?? [claim], keys.get(claim))
  for (const means of ['acr', 'amr']) if (keys.has(means)) put(payload, [means], keys.get(means))
  const signedIn = given<SignedIn | null>('signed-in', null)
  if (signedIn !== null) put(payload, ['auth_time'], ('ago' in signedIn ? now - signedIn.ago : signedIn.at) / 1000)
  if (scopes.length > 0) put(payload, ['scope'], scopes.join(' '))
  const identity = { issuer, subject, audiences, scopes, agents, claims: payload, expiresAt: Number.MAX_SAFE_INTEGER }
  return { identity, host: given('host', recognise.host?.[0] ?? 'test.invalid'), clientIp: given<string | null>('ip', null) }
}

type Payload = Record<string, unknown>

const oneOrList = (values: readonly string[] | null): unknown => (values?.length === 1 ? values[0] : values)

export const put = (payload: Payload, path: readonly string[], value: unknown): void => {
  const last = path.at(-1)
  if (last === undefined) return
  let at = payload
  for (const step of path.slice(0, -1)) {
    const inner = at[step]
    const next: Payload = typeof inner === 'object' && inner !== null ? (inner as Payload) : Object.create(null)
    at[step] = next
    at = next
  }
  if (value === null) delete at[last]
  else at[last] = value
}

export type TestRequest = Pick<Origin, 'method' | 'target' | 'headers'>
