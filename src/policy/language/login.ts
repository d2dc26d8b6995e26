import { fail, oneOrMany, optional, parsed, record, type Shape, text, Wrong } from '../../config/shape.ts'
import { formatDuration, parseDuration } from '../../config/values.ts'

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
