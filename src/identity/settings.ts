import { createHash } from 'node:crypto'
import {
  bad,
  choice,
  entryOf,
  fail,
  flag,
  list,
  optional,
  parsed,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
  Wrong,
} from '../config/shape.ts'
import { duration, isLoopback, path } from '../config/values.ts'
import { type AlgorithmName, algorithmNames } from './algorithms.ts'
import {
  type ClientSecret,
  type IntrospectionEntry,
  type IntrospectionSettings,
  introspectionSettings,
  introspectionShape,
} from './introspection-settings.ts'

/** What a token's `typ` header may say. `absent` stands for a token without the header. */
export type TokenType = 'at+jwt' | 'JWT' | 'absent'

/** The effective settings of one issuer. */
export interface IssuerSettings {
  /** Compared byte for byte with `iss` and with the provider's own metadata. */
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly algorithms: readonly AlgorithmName[]
  readonly typ: readonly TokenType[]
  /** Milliseconds. */
  readonly clockTolerance: number
  /** Milliseconds from `iat` to `exp`. */
  readonly maxLifetime: number
  /** PEM certificates to trust for this provider instead of the public ones. */
  readonly ca: string | null
  readonly allowHttpLoopback: boolean
  /** How the provider is asked about tokens; null: it is not. */
  readonly introspection: IntrospectionSettings | null
  /** Of all of the above: two settings with one digest judge every token alike. */
  readonly digest: string
}

/** True where plain HTTP may be spoken at all: a loopback literal, `localhost` or `*.localhost`. */
export const isLoopbackHost = (hostname: string): boolean =>
  hostname === 'localhost' || hostname.endsWith('.localhost') || isLoopback(hostname.replace(/^\[|\]$/g, ''))

const tokenType: Shape<TokenType> = parsed(
  'at+jwt, JWT or absent',
  value =>
    value === 'at+jwt' || value === 'application/at+jwt'
      ? 'at+jwt'
      : value === 'JWT' || value === 'absent'
        ? value
        : new Wrong(`"${value}" is not a token type; write at+jwt, JWT or absent.`),
  204,
  { enum: ['at+jwt', 'application/at+jwt', 'JWT', 'absent'] },
)

const issuerUrl = text('an https URL, exactly as the provider spells its issuer', value => {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return `"${value}" is not a URL; write the issuer exactly as the provider's metadata spells it: https://login.example.com/.`
  if (url.username || url.password) return 'the issuer carries a user or password; secrets stand in files only.'
  if (url.search || url.hash) return 'the issuer has a query or fragment; RFC 8414 section 2 allows neither. Remove it.'
  // openid-client reads such a URL as the metadata document itself and then skips its check of the issuer.
  return value.includes('/.well-known/') ? 'this is the address of the metadata; write the issuer, the part before /.well-known/.' : null
})

const named = (what: string) => text(what, value => (value === '' ? `write ${what}; it may not be empty.` : null))

const fields = {
  issuer: required(issuerUrl, 'The OpenID provider, exactly as `iss` in its tokens: compared byte for byte.'),
  audiences: required(list(named('an audience'), { min: 1 }), 'A token must carry one of these in `aud`; there is no "any".'),
  algorithms: optional(
    list(choice(algorithmNames), { min: 1 }),
    algorithmNames,
    'Signature algorithms accepted, each only with a key that fits it. HS* and none cannot be named.',
  ),
  typ: optional(
    list(tokenType, { min: 1 }),
    ['at+jwt'],
    'Token types accepted. Under JWT and absent a token that carries marks of an ID token is refused.',
  ),
  'clock-tolerance': optional(duration('0s', '300s'), 30_000, 'How far clocks may differ when exp, nbf and iat are checked.'),
  'max-lifetime': optional(duration('1m', '24h'), 86_400_000, 'Longest time from iat to exp.'),
  'ca-file': optional(path('a PEM file'), null, 'Certificates to trust for this provider instead of the public ones.'),
  introspection: optional<IntrospectionEntry | null>(
    introspectionShape,
    null,
    'Asks the provider about tokens (RFC 7662): opaque ones, or all.',
  ),
  'allow-http-loopback': optional(flag, false, 'Allows an http: issuer on a loopback address, for demos and tests only.'),
}

/** One entry of `issuers:` as written. */
export type IssuerEntry = RecordOf<typeof fields>

const plain = record(fields)

/** The shape of one entry of `issuers:` (contract 1). */
export const issuerShape: Shape<IssuerEntry> = {
  ...plain,
  read(node, at) {
    const entry = plain.read(node, at)
    if (entry === bad || node.kind !== 'map') return bad
    const asked = entry.introspection?.endpoint ?? null
    for (const [key, address] of [
      ['issuer', entry.issuer],
      ['introspection', asked],
    ] as const) {
      const wrong = address === null ? null : inTheClear(address, entry['allow-http-loopback'])
      if (wrong !== null) return fail(at, entryOf(node, key)?.value ?? node, 204, wrong)
    }
    return entry
  },
}

const inTheClear = (address: string, allowed: boolean): string | null => {
  const url = new URL(address)
  if (url.protocol === 'https:') return null
  if (!isLoopbackHost(url.hostname)) return `"${address}" sends keys or tokens in the clear; write an https: URL.`
  return allowed ? null : 'an http: address loads only with "allow-http-loopback: true" beside it; write https:, or add it for a demo.'
}

const entries = list(issuerShape, { min: 1, max: 100 })

/** The shape of `issuers:`. An issuer stands once: two entries would be two answers to who may be trusted. */
export const issuersShape: Shape<readonly IssuerEntry[]> = {
  ...entries,
  read(node, at) {
    const values = entries.read(node, at)
    if (values === bad || node.kind !== 'list') return bad
    const again = values.findIndex((entry, i) => values.findIndex(other => other.issuer === entry.issuer) < i)
    const twice = node.items[again]
    if (twice) return fail(at, twice, 204, `${values[again]?.issuer} stands here a second time. Join the two entries.`)
    const wrong = ambiguousOpaque(values)
    return wrong === null ? values : fail(at, node.items[wrong.index] ?? node, 204, wrong.message)
  },
}

/** An opaque token must have one possible issuer: asked of another, it would be shown to somebody whom it does not concern. */
const ambiguousOpaque = (values: readonly IssuerEntry[]): { readonly index: number; readonly message: string } | null => {
  const taken = new Map<string, string>()
  for (const [index, { issuer, introspection }] of values.entries()) {
    if (introspection === null) continue
    if (introspection.hosts === null && values.length > 1)
      return {
        index,
        message: `beside other issuers an opaque token could be theirs. Write introspection.hosts: the hosts whose opaque tokens are of ${issuer}.`,
      }
    for (const host of introspection.hosts ?? []) {
      const other = taken.get(host)
      if (other !== undefined)
        return { index, message: `opaque tokens of ${host} are those of ${other} already. Leave the host with one of them.` }
      taken.set(host, issuer)
    }
  }
  return null
}

/** Effective settings of an entry; `ca` and `client` are what its files hold, read by the caller. */
export const issuerSettings = (entry: IssuerEntry, ca: string | null, client: ClientSecret | null = null): IssuerSettings => {
  const settings = {
    issuer: entry.issuer,
    audiences: entry.audiences,
    algorithms: entry.algorithms,
    typ: entry.typ,
    clockTolerance: entry['clock-tolerance'],
    maxLifetime: entry['max-lifetime'],
    ca,
    allowHttpLoopback: entry['allow-http-loopback'],
    introspection: entry.introspection === null || client === null ? null : introspectionSettings(entry.introspection, client),
  }
  return Object.freeze({ ...settings, digest: createHash('sha256').update(JSON.stringify(settings)).digest('hex') })
}
