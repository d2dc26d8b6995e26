import {
  bad,
  choice,
  entryOf,
  type Fields,
  fail,
  flag,
  list,
  named,
  oneOrMany,
  optional,
  parsed,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
  Wrong,
} from '../config/shape.ts'
import type { MapNode } from '../config/source.ts'
import { duration, path } from '../config/values.ts'
import { algorithmNames, defaultAlgorithms } from './algorithms.ts'
import { type IntrospectionEntry, introspectionShape } from './introspection-settings.ts'
import { inTheClear, issuerUrl, jwksUri, proxyUrl, template, templateValue } from './issuer-urls.ts'
import {
  audienceClaims,
  audiencesOf,
  type Compatibility,
  compatibilities,
  compatibilityNames,
  type Preset,
  presetNames,
  presets,
  type TokenShape,
  type TokenType,
  tokenTypes,
} from './presets.ts'

const tokenType: Shape<TokenType> = parsed(
  'at+jwt, JWT or absent',
  value =>
    tokenTypes.find(type => type === value.replace(/^application\//, '')) ??
    new Wrong(`"${value}" is not a token type; write at+jwt, JWT or absent.`),
  204,
  { enum: [...tokenTypes, 'application/at+jwt', 'application/okta-internal-at+jwt'] },
)

const filled = (what: string) => text(what, value => (value === '' ? `write ${what}; it may not be empty.` : null))

const checkClaimName = (name: string): string | null => (name === '' ? 'write the name of a claim; it may not be empty.' : null)

const fields = {
  issuer: optional<string | null>(issuerUrl, null, 'The OpenID provider, exactly as `iss` in its tokens: compared byte for byte.'),
  'issuer-template': optional<string | null>(
    template,
    null,
    'Several issuers of one provider instead: a URL with one claim in braces. The claim must say in the token what stands in its `iss`.',
  ),
  values: optional<readonly string[]>(
    list(templateValue, { min: 1 }),
    [],
    'What the claim of issuer-template may be, one by one; there is no "any". Policies name the issuers that come of it.',
  ),
  'jwks-uri': optional<string | null>(
    jwksUri,
    null,
    'Where the keys are. Default: as the metadata of the issuer say. With issuer-template: one set of keys for all.',
  ),
  preset: optional<Preset | null>(
    choice(presetNames),
    null,
    'What the access tokens of a known provider look like: defaults of the keys below, each of which may be written beside it.',
  ),
  compatibility: optional<Compatibility | null>(
    choice(compatibilityNames),
    null,
    'Accepts the forms that somebody in front accepts. api-gateway-jwt-authorizer: also ID tokens, which one-of-scopes keeps out.',
  ),
  audiences: required(list(filled('an audience'), { min: 1 }), 'A token must carry one of these in `aud`; there is no "any".'),
  algorithms: optional(
    list(choice(algorithmNames), { min: 1 }),
    defaultAlgorithms,
    'Signature algorithms accepted, each only with a key that fits it. HS* and none cannot be named.',
  ),
  typ: optional(
    list(tokenType, { min: 1 }),
    ['at+jwt'],
    'Token types accepted. Under JWT and absent a token that carries marks of an ID token is refused.',
  ),
  kid: optional(choice(['optional', 'required']), 'optional', 'Whether a token must name its key.'),
  'audience-claims': optional(
    list(choice(audienceClaims), { min: 1 }),
    ['aud'],
    'Where the audience of a token stands: the first of these claims that it has, and no other.',
  ),
  'required-claims': optional<ReadonlyMap<string, readonly string[]>>(
    named(oneOrMany(text('a value')), checkClaimName, { max: 20 }),
    new Map(),
    'Claims that must have one of these values.',
  ),
  'one-of-claims': optional<readonly string[]>(
    list(filled('a claim')),
    [],
    'A token must have one of these claims, whatever its value: what an ID token of the issuer lacks.',
  ),
  'one-of-scopes': optional<readonly string[]>(list(filled('a scope')), [], 'A token must have one of these scopes; without, it is 403.'),
  'clock-tolerance': optional(duration('0s', '300s'), 30_000, 'How far clocks may differ when exp, nbf and iat are checked.'),
  'max-lifetime': optional(duration('1m', '24h'), 86_400_000, 'Longest time from iat to exp.'),
  'ca-file': optional(path('a PEM file'), null, 'Certificates to trust for this provider instead of the public ones.'),
  introspection: optional<IntrospectionEntry | null>(
    introspectionShape,
    null,
    'Asks the provider about tokens (RFC 7662): opaque ones, or all.',
  ),
  proxy: optional<string | null>(proxyUrl, null, 'Forward proxy for all calls to this provider; TLS goes through it untouched.'),
  'allow-private-addresses': optional(
    flag,
    false,
    'The provider may have an address of a private network or of this machine. Link-local ones are never connected to.',
  ),
  'allow-http-loopback': optional(flag, false, 'Allows an http: issuer on a loopback address, for demos and tests only.'),
}

/** Where the value of a key came from: an offset in the file, the words for a set of defaults, or null for a default. */
export type From = number | string | null

/** One entry of `issuers:`, as written and with its defaults. */
export type IssuerEntry = RecordOf<typeof fields> & { readonly from: ReadonlyMap<string, From> }

export const issuerFields: Fields = fields

const plain = record(fields)

/** The shape of one entry of `issuers:` (contract 1). */
export const issuerShape: Shape<IssuerEntry> = {
  schema: plain.schema,
  read(node, at) {
    const read = plain.read(node, at)
    if (read === bad || node.kind !== 'map') return bad
    const entry = withDefaults(read, node)
    const wrong = misnamed(entry)
    if (wrong !== null) return fail(at, entryOf(node, wrong.key) ?? node, wrong.number, wrong.message)
    for (const [key, address] of [
      ['issuer', entry.issuer],
      ['issuer-template', entry['issuer-template']],
      ['jwks-uri', entry['jwks-uri']],
      ['introspection', entry.introspection?.endpoint ?? null],
    ] as const) {
      const clear = address === null ? null : inTheClear(address.replace(/\{\w+\}/, 'x'), entry['allow-http-loopback'])
      if (clear !== null) return fail(at, entryOf(node, key)?.value ?? node, 204, clear)
      if (address?.startsWith('http:') && entry.proxy !== null)
        return fail(at, entryOf(node, 'proxy') ?? node, 204, `"${address}" is on this machine; no proxy leads there. Remove proxy.`)
    }
    return entry
  },
}

/** A key that is written stands; one that is not takes the preset's value before its own default. */
const withDefaults = (read: RecordOf<typeof fields>, node: MapNode): IssuerEntry => {
  const { preset, compatibility } = read
  const known: Partial<TokenShape> = preset !== null ? presets[preset] : compatibility !== null ? compatibilities[compatibility] : {}
  const words = preset !== null ? `preset ${preset}` : `compatibility ${compatibility}`
  const applied = Object.entries(known).filter(([key]) => entryOf(node, key) === undefined)
  const from = new Map<string, From>()
  for (const key of Object.keys(fields)) from.set(key, entryOf(node, key)?.value.offset ?? null)
  for (const [key] of applied) from.set(key, words)
  return { ...read, ...Object.fromEntries(applied), audiences: audiencesOf(preset, read.audiences), from }
}

interface Misnamed {
  readonly key: string
  readonly number: number
  readonly message: string
}

/** More issuers than these would each fetch their own keys. */
const mostWithOwnKeys = 100

const misnamed = (entry: IssuerEntry): Misnamed | null => {
  const { issuer, 'issuer-template': of, values } = entry
  if (entry.preset !== null && entry.compatibility !== null)
    return { key: 'compatibility', number: 204, message: 'compatibility and preset are two answers to one question. Remove one.' }
  if ((issuer === null) === (of === null))
    return { key: 'issuer', number: 202, message: 'write issuer, or issuer-template with values; one of them.' }
  if (of === null)
    return values.length === 0 ? null : { key: 'values', number: 204, message: 'values go with issuer-template. Remove them.' }
  if (values.length === 0)
    return { key: 'issuer-template', number: 202, message: 'issuer-template needs values: which issuers are trusted.' }
  if (entry.introspection !== null)
    return {
      key: 'introspection',
      number: 204,
      message: 'introspection needs one issuer. Write an entry of its own for the one that is asked.',
    }
  return entry['jwks-uri'] === null && values.length > mostWithOwnKeys
    ? {
        key: 'values',
        number: 110,
        message: `${values.length} issuers would each fetch their keys; at most ${mostWithOwnKeys} do. Write jwks-uri.`,
      }
    : null
}

/** One issuer of an entry; `bound` is the claim that must say the same as its part of `iss`. */
export interface Concrete {
  readonly issuer: string
  readonly bound: { readonly claim: string; readonly value: string } | null
}

export const concreteIssuers = (entry: Pick<IssuerEntry, 'issuer' | 'issuer-template' | 'values'>): readonly Concrete[] => {
  const { issuer, 'issuer-template': of, values } = entry
  const [before = '', claim = '', after = ''] = of?.split(/[{}]/) ?? []
  if (issuer !== null) return [{ issuer, bound: null }]
  return values.map(value => ({ issuer: `${before}${value}${after}`, bound: { claim, value } }))
}

/** Every issuer that policies may name. */
export const issuerNames = (list: readonly IssuerEntry[]): readonly string[] => list.flatMap(concreteIssuers).map(({ issuer }) => issuer)

const entries = list(issuerShape, { min: 1, max: 100 })

/** The shape of `issuers:`. An issuer stands once: two entries would be two answers to who may be trusted. */
export const issuersShape: Shape<readonly IssuerEntry[]> = {
  ...entries,
  read(node, at) {
    const values = entries.read(node, at)
    if (values === bad || node.kind !== 'list') return bad
    const seen = new Set<string>()
    for (const [index, entry] of values.entries())
      for (const { issuer } of concreteIssuers(entry)) {
        if (seen.has(issuer)) return fail(at, node.items[index] ?? node, 204, `${issuer} stands here a second time. Join the two entries.`)
        seen.add(issuer)
      }
    const wrong = ambiguousOpaque(values)
    return wrong === null ? values : fail(at, node.items[wrong.index] ?? node, 204, wrong.message)
  },
}

/** An opaque token must have one possible issuer: asked of another, it would be shown to somebody whom it does not concern. */
const ambiguousOpaque = (values: readonly IssuerEntry[]): { readonly index: number; readonly message: string } | null => {
  const taken = new Map<string, string>()
  for (const [index, { issuer, introspection }] of values.entries()) {
    if (introspection === null || issuer === null) continue
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
