import { nearest } from '../../config/nearest.ts'
import { describe, fail, list, named, parsed, type Shape, text, Wrong } from '../../config/shape.ts'

export const claimTypes = ['string', 'number', 'bool', 'list<string>', 'list<number>'] as const
export type ClaimType = (typeof claimTypes)[number]
export type ScalarType = 'string' | 'number' | 'bool'

export interface Claim {
  readonly type: ClaimType
  readonly optional: boolean
  /** Keys from the payload's root to the value; null means the declared name itself. */
  readonly from: readonly string[] | null
}

/** Claims with a key of their own in `who`, and one name that no JavaScript object can carry safely. */
const taken = ['iss', 'aud', 'sub', 'act', 'scope', 'scp', 'acr', 'amr', 'auth_time', '__proto__']

const claimName = (name: string): string | null => {
  if (!/^[a-z_][A-Za-z0-9_]*$/.test(name))
    return `"${name}" is not a claim name; write letters, digits and "_", beginning with a lower-case letter, and say "from ${name}" behind the type.`
  return taken.includes(name) ? `"${name}" cannot be declared as a claim; who has its own keys for it (subject, scopes, issuer).` : null
}

/** `<type>[?] [from <token claim>]` */
export const parseClaim = (text: string): Claim | Wrong => {
  const found = /^(\S*?)(\?)?(?: from (\S+))?$/.exec(text)
  const type = claimTypes.find(known => known === found?.[1])
  if (!found || type === undefined) {
    const guess = nearest(found?.[1] ?? text, claimTypes)
    return new Wrong(
      `"${text}" is not a claim type${guess ? `; did you mean ${guess}?` : '.'} Write one of ${claimTypes.join(', ')}, then "?" if it may be absent, then "from <token claim>".`,
    )
  }
  const from = found[3] === undefined ? null : parseFrom(found[3])
  return from instanceof Wrong ? from : { type, optional: found[2] === '?', from }
}

const parseFrom = (text: string): readonly string[] | Wrong => {
  if (!text.startsWith('/')) return [text]
  if (text === '/' || /~(?![01])/.test(text))
    return new Wrong(`"${text}" is not a JSON pointer; write for example /realm_access/roles, with "~1" for "/" and "~0" for "~".`)
  return text
    .slice(1)
    .split('/')
    .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

export const claimsShape: Shape<ReadonlyMap<string, Claim>> = named(
  parsed('a claim type, such as list<string>?', parseClaim, 309),
  claimName,
  { max: 200 },
)

export const scalarType = (type: ClaimType): ScalarType => (type === 'list<string>' ? 'string' : type === 'list<number>' ? 'number' : type)
export const isList = (type: ClaimType): boolean => type.startsWith('list')

export type Scalar = string | number | boolean

/** A value of a claim's own type: text never stands for a number, nor a number for text. */
export const scalarShape = (type: ScalarType, claim: string): Shape<Scalar> => {
  if (type === 'string') return text(`text, for ${claim} is a string claim`)
  const kind = type === 'bool' ? 'boolean' : 'number'
  const example = type === 'bool' ? 'true or false' : 'a number'
  return {
    schema: { type: kind },
    read(node, at) {
      if (node.kind === 'scalar' && !node.quoted && typeof node.value === kind && (kind === 'boolean' || Number.isFinite(node.value)))
        return node.value as Scalar
      return fail(at, node, 108, `${claim} is a ${type} claim, but here stands ${describe(node)}; write ${example} without quotes.`)
    },
  }
}

/** A value of a declared claim as a token carries it, for test callers. */
export const claimValueShape = (name: string, type: ClaimType): Shape<Scalar | readonly Scalar[]> => {
  const one = scalarShape(scalarType(type), name)
  return isList(type) ? list(one) : one
}

type Payload = Readonly<Record<string, unknown>>

/** The claim is there but is not what was declared, or is not there but must be. */
export const faulty: unique symbol = Symbol('faulty')
export type ClaimReader = (payload: Payload) => Scalar | readonly unknown[] | undefined | typeof faulty

/** Items of a list claim that are looked at: a longer list is an error, so that no token can make a decision slow. */
const maxItems = 1000

/** Compiles one declaration. Undefined means absent where that is allowed. */
export const claimReader = (name: string, claim: Claim): ClaimReader => {
  const path = claim.from ?? [name]
  const top = path[0] ?? name
  const overflows = name === 'groups' || top === 'groups'
  const absent = claim.optional ? undefined : faulty
  const fits = fitsType(claim.type)
  return payload => {
    if (leftOut(payload, top, overflows)) return faulty
    const value = walk(payload, path)
    if (value === undefined || value === null) return absent
    return fits(value) ? (value as Scalar | readonly unknown[]) : faulty
  }
}

/**
 * A provider that cuts a long list of groups says so here and leaves the list out. Read as "in no group",
 * such a token would slip past every deny that names a group.
 */
const leftOut = (payload: Payload, top: string, overflows: boolean): boolean =>
  isElsewhere(payload, top) || (overflows && groupsOverflow(payload))

/** `_claim_names` says that this member is not in the token (OpenID Connect Core 5.6.2). */
export const isElsewhere = (payload: Payload, top: string): boolean => {
  const elsewhere = own(payload, '_claim_names')
  return elsewhere !== undefined && elsewhere !== null && (!isObject(elsewhere) || Object.hasOwn(elsewhere, top))
}

export const groupsOverflow = (payload: Payload): boolean => {
  const flag = own(payload, 'hasgroups')
  return flag !== undefined && flag !== null && flag !== false
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)
const own = (holder: object, key: string): unknown => (Object.hasOwn(holder, key) ? (holder as Payload)[key] : undefined)

/** What stands at the end of a path. */
export const walk = (payload: Payload, path: readonly string[]): unknown => {
  let at: unknown = payload
  for (const key of path) {
    if (at === undefined || at === null) return undefined
    // Something else than an object on the way is not absence: it is a token that the policy does not understand.
    if (typeof at !== 'object' || (Array.isArray(at) && !/^(0|[1-9]\d*)$/.test(key))) return faulty
    at = own(at, key)
  }
  return at
}

const fitsType = (type: ClaimType): ((value: unknown) => boolean) => {
  if (type === 'bool') return value => typeof value === 'boolean'
  if (!isList(type)) return value => typeof value === type
  const item = scalarType(type)
  return value => {
    if (!Array.isArray(value) || value.length > maxItems) return false
    for (const one of value) if (typeof one !== item) return false
    return true
  }
}
