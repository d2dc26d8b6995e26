import { named, oneOrMany, optional, record, required, type Shape, text } from '../../config/shape.ts'
import { hostName, isLoopback } from '../../config/values.ts'

/** Which requests belong to a tenant; every line given must agree. */
export interface Recognise {
  /** Null: not compared. */
  readonly host: readonly string[] | null
  readonly issuer: readonly string[]
  readonly audience: readonly string[]
  readonly claims: ReadonlyMap<string, readonly string[]>
}

/** An issuer is compared byte for byte, so it stays the text that was written. */
const issuerProblem = (value: string): string | null => {
  const url = URL.canParse(value) ? new URL(value) : null
  const wrong = `"${value}" is not an issuer; write the https URL that stands in the tokens' iss, byte for byte.`
  if (!url || url.search || url.hash || url.username || url.password || /\s/.test(value)) return wrong
  if (url.protocol === 'https:') return null
  if (url.protocol !== 'http:') return wrong
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return isLoopback(host) || host === 'localhost' || host.endsWith('.localhost')
    ? null
    : `"${value}" is not encrypted; write https. http is accepted only for a loopback address or localhost.`
}

const claimProblem = (name: string): string | null => {
  if (name.startsWith('/')) return `"${name}" is not the name of a token claim; tenants are told apart by top-level claims.`
  return name === '' || name === '__proto__' ? 'a claim has no usable name here; write a token claim, such as tid.' : null
}

const nonEmpty = (what: string) => text(what, value => (value === '' ? `an empty text stands here; write ${what}.` : null))

export const recogniseShape: Shape<Recognise> = record({
  host: optional<readonly string[] | null>(oneOrMany(hostName()), null, 'Host names; left out: not compared.'),
  issuer: required(
    oneOrMany(text('the https URL of an issuer', issuerProblem)),
    "Write the iss of the tenant's tokens: issuer: https://login.acme.example/",
  ),
  audience: required(oneOrMany(nonEmpty('an audience')), "Write the aud of the tenant's tokens: audience: api.acme.example"),
  claims: optional<ReadonlyMap<string, readonly string[]>>(
    named(oneOrMany(nonEmpty('the value of the claim')), claimProblem, { max: 4, number: 204 }),
    new Map(),
    'Token claims that equal (or, for a list, contain) one of the values.',
  ),
})
