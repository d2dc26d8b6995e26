import {
  bad,
  choice,
  entryOf,
  fail,
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
import { duration, hostName, path } from '../config/values.ts'
import type { Secret } from '../model/secret.ts'

const endpoint = parsed('the https URL of the introspection endpoint', value => {
  const url = URL.canParse(value) ? new URL(value) : null
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) return new Wrong(`"${value}" is not a URL; write https://...`)
  return url.username || url.password || url.hash ? new Wrong('the URL carries a user, password or fragment. Remove it.') : url.href
})

const named = (what: string) => text(what, value => (value === '' ? `write ${what}; it may not be empty.` : null))

const fields = {
  'client-id': required(named('a client id'), 'Who asks: a client of the provider that may introspect.'),
  'client-secret-file': optional<string | null>(path('a file path'), null, 'File with its secret (client_secret_basic).'),
  'private-key-file': optional<string | null>(
    path('a PEM file'),
    null,
    'Its private key instead (private_key_jwt): RSA, P-256 or Ed25519.',
  ),
  'key-id': optional<string | null>(named('a key id'), null, 'kid of that key, where the provider knows several.'),
  endpoint: optional<string | null>(endpoint, null, 'Where to ask. Default: introspection_endpoint of the metadata.'),
  when: optional(choice(['opaque', 'always']), 'opaque', 'always: JWTs too, once verified, so that a revoked one ends within cache-for.'),
  hosts: optional<readonly string[] | null>(
    list(hostName(), { max: 1000 }),
    null,
    'Hosts whose opaque tokens are this issuer’s. An opaque token does not say whose it is, so this is needed beside other issuers.',
  ),
  'cache-for': optional(duration('1s', '5m'), 60_000, 'How long an answer is used again, at most until exp.'),
}

export type IntrospectionEntry = RecordOf<typeof fields>

const plain = record(fields)

/** The shape of `introspection:` of an issuer. */
export const introspectionShape: Shape<IntrospectionEntry> = {
  ...plain,
  read(node, at) {
    const entry = plain.read(node, at)
    if (entry === bad || node.kind !== 'map') return bad
    const [secret, key] = [entry['client-secret-file'], entry['private-key-file']]
    if ((secret === null) === (key === null))
      return fail(at, node, 202, 'introspection needs client-secret-file or private-key-file, one of them.')
    if (entry['key-id'] !== null && key === null)
      return fail(at, entryOf(node, 'key-id') ?? node, 204, 'key-id goes with private-key-file. Remove it.')
    if (entry.when === 'opaque' && entry.hosts?.length === 0)
      return fail(at, entryOf(node, 'hosts') ?? node, 204, 'no opaque token would ever be asked about. Name hosts, or write when: always.')
    return entry
  },
}

/** What the client shows, as its file holds it. */
export interface ClientSecret {
  readonly secret: Secret
  /** SHA-256 of it, so that another one makes other settings. */
  readonly digest: string
}

export interface IntrospectionSettings {
  readonly clientId: string
  readonly kind: 'client-secret' | 'private-key'
  readonly keyId: string | null
  readonly client: ClientSecret
  /** Null: as the metadata say. */
  readonly endpoint: string | null
  readonly always: boolean
  /** Null: all. */
  readonly hosts: readonly string[] | null
  /** Milliseconds. */
  readonly cacheFor: number
}

export const introspectionSettings = (entry: IntrospectionEntry, client: ClientSecret): IntrospectionSettings => ({
  clientId: entry['client-id'],
  kind: entry['private-key-file'] === null ? 'client-secret' : 'private-key',
  keyId: entry['key-id'],
  client,
  endpoint: entry.endpoint,
  always: entry.when === 'always',
  hosts: entry.hosts,
  cacheFor: entry['cache-for'],
})
