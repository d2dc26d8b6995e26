import { bad, named, parsed, type Shape, Wrong } from '../config/shape.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'

/** One claim that the backend is told in a header field of its own. */
export interface IdentityHeader {
  /** Lower case. */
  readonly name: string
  /** Keys from the payload's root to the value. */
  readonly claim: readonly string[]
}

/** Bytes of one value; a backend's own bound on a request head is rarely above 8 KiB. */
const longest = 4096

/** Fields that frame the message, that Postern itself writes, or by which a framework picks another method or client address. */
const owned =
  /^x-postern-|^x-forwarded-(for|proto|host|port|prefix|server|uri|method|scheme)$|^x-(real-ip|client-ip|http-method|http-method-override|method-override|original-url|rewrite-url)$/

const headerName = (name: string): string | null => {
  if (!/^(x|remote)-[a-z0-9-]{1,60}$/.test(name))
    return `"${name}" cannot carry identity; write a lower-case name that begins with x- or remote-: x-user-email.`
  return owned.test(name) ? `${name} has a meaning of its own to proxies and frameworks; write another name: x-user-email.` : null
}

const claimPath = parsed<readonly string[]>(
  'a claim name, or a JSON pointer such as /realm_access/roles',
  value => {
    if (value === '') return new Wrong('the claim has no name; write for example email.')
    if (!value.startsWith('/')) return [value]
    if (value === '/' || /~(?![01])/.test(value))
      return new Wrong(`"${value}" is not a JSON pointer; write for example /realm_access/roles.`)
    return value
      .slice(1)
      .split('/')
      .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  },
  204,
  {},
  keys => (keys.length === 1 ? keys[0] : `/${keys.map(key => key.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`),
)

const byName = named(claimPath, headerName, { max: 16, number: 204 })

/** `upstreams.*.identity-headers`: header name to claim. */
export const identityHeadersShape: Shape<readonly IdentityHeader[]> = {
  schema: byName.schema,
  format: headers => Object.fromEntries(headers.map(({ name, claim }) => [name, claimPath.format?.(claim)])),
  read(node, at) {
    const headers = byName.read(node, at)
    return headers === bad ? bad : [...headers].map(([name, claim]) => ({ name, claim }))
  },
}

const odd = /[^a-z0-9-]/

/**
 * What the client sent under these names never reaches the backend, whether the token has the claim or not (CVE-2026-44087, CVE-2026-30851).
 * Other punctuation counts as `-`: to a backend behind CGI `x.user.email` is `x-user-email`. Names with `_` ended at the edge.
 */
export const withoutIdentity = (fields: readonly string[], headers: readonly IdentityHeader[]): string[] => {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const read = odd.test(name) ? name.replaceAll(/[^a-z0-9]/g, '-') : name
    if (!headers.some(header => header.name === read)) kept.push(name, fields[i + 1] ?? '')
  }
  return kept
}

/**
 * The fields themselves; an absent claim gives none. A claim that is there but cannot be told in a field refuses the request (PST4101): left out,
 * the backend would take a caller of forty groups for one of none.
 */
export const identityFields = (identity: Identity, headers: readonly IdentityHeader[]): readonly string[] | Refusal => {
  const fields: string[] = []
  for (const { name, claim } of headers) {
    const value = valueAt(identity.claims, claim)
    if (value === undefined || value === null) continue
    const text = spelled(value)
    if (text === null || text.length > longest) return new Refusal('PST4101', name)
    fields.push(name, text)
  }
  return fields
}

const valueAt = (claims: Readonly<Record<string, unknown>>, path: readonly string[]): unknown => {
  let at: unknown = claims
  for (const key of path) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, key)) return undefined
    at = (at as Readonly<Record<string, unknown>>)[key]
  }
  return at
}

/** Null: not a text, number, truth value or list of them. */
const spelled = (value: unknown): string | null => {
  if (!Array.isArray(value)) return scalar(value)
  if (value.length > longest) return null
  const items = value.map(scalar)
  return items.some(item => item === null) ? null : items.join(',')
}

/**
 * Visible ASCII stays; `%`, the comma that separates a list, quotes and everything else becomes percent-encoded UTF-8, so that no claim can end a
 * line, become two items, or be read in two ways.
 */
const scalar = (value: unknown): string | null => {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value !== 'string' || value.length > longest) return null
  return value.toWellFormed().replaceAll(/[^\x21\x23\x24\x26\x28-\x2b\x2d-\x3b\x3d\x3f-\x5b\x5d-\x7e]/gu, encodeURIComponent)
}
