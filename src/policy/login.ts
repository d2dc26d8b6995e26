import { fail, oneOrMany, optional, parsed, record, type Shape, text, Wrong } from '../config/shape.ts'
import { formatDuration, parseDuration } from '../config/values.ts'
import type { LoginChallenge } from '../model/problem.ts'
import type { Condition, Look } from './conditions.ts'
import { told, yes } from './tri.ts'

/** How the person must have signed in; null: not asked. */
export interface Login {
  readonly acr: readonly string[] | null
  readonly amr: readonly string[] | null
  /** Milliseconds. */
  readonly within: number | null
}

/** These go into a quoted string of a response header, separated by blanks: a quote or a blank would say something else there. */
const acr = text('an acr value', value =>
  /^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/.test(value)
    ? null
    : `"${value}" cannot be sent as an acr value; write ASCII without blanks, quotes and backslashes, or a list for "any of".`,
)

const longest = '30d'

const within = parsed<number | null>(
  'a duration up to 30d, such as 15m',
  value => {
    const ms = /^[1-9]\d*[smhd]$/.test(value) ? parseDuration(value) : null
    return ms !== null && ms <= (parseDuration(longest) ?? 0)
      ? ms
      : new Wrong(`"${value}" is not a duration up to ${longest}; write a whole number and s, m, h or d: 15m.`)
  },
  306,
  { pattern: '^[1-9][0-9]*[smhd]$' },
  ms => (ms === null ? null : formatDuration(ms)),
)

const fields = record({
  acr: optional<readonly string[] | null>(oneOrMany(acr), null, 'acr equals one; sent as acr_values in this order.'),
  amr: optional<readonly string[] | null>(oneOrMany(text('an amr value')), null, 'amr contains one.'),
  within: optional<number | null>(within, null, 'The sign-in is not older; sent as max_age.'),
})

export const loginShape: Shape<Login> = {
  schema: { ...fields.schema, minProperties: 1 },
  read(node, at) {
    if (node.kind === 'map' && node.entries.length === 0)
      return fail(at, node, 203, 'an empty map asks for no sign-in; write acr, amr or within, or remove needs-login.')
    return fields.read(node, at)
  },
}

/** `needs-login` of one allow, ready to be judged once the allow has decided. */
export interface CompiledLogin {
  readonly conditions: readonly Condition[]
  readonly challenge: LoginChallenge
}

export const compileLogin = ({ acr, amr, within }: Login): CompiledLogin => ({
  conditions: [
    ...(acr === null ? [] : [{ label: 'needs-login.acr', test: acrTest(acr) }]),
    ...(amr === null ? [] : [{ label: 'needs-login.amr', test: amrTest(amr) }]),
    ...(within === null ? [] : [{ label: 'needs-login.within', test: withinTest(within) }]),
  ],
  challenge: { acrValues: acr ?? [], maxAge: within === null ? null : within / 1000 },
})

/** What is missing is unmet, and so is what cannot be told. */
export const isMet = ({ conditions }: CompiledLogin, look: Look): boolean => conditions.every(({ test }) => test(look) === yes)

const acrTest = (wanted: readonly string[]): Condition['test'] => {
  const set = new Set<unknown>(wanted)
  return look => told(set.has(look.facts.identity.claims['acr']))
}

const amrTest = (wanted: readonly string[]): Condition['test'] => {
  const set = new Set<unknown>(wanted)
  return look => {
    const means = look.facts.identity.claims['amr']
    return told(Array.isArray(means) && means.some(one => set.has(one)))
  }
}

/** A provider's clock may be ahead by so much; a sign-in further in the future would stay fresh for as long as somebody likes. */
const aheadMs = 60_000

const withinTest =
  (most: number): Condition['test'] =>
  ({ facts: { identity, now } }) => {
    const signedIn = identity.claims['auth_time']
    if (typeof signedIn !== 'number') return told(false)
    const age = now - signedIn * 1000
    return told(age <= most && age >= -aheadMs)
  }
