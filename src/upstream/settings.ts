import { choice, flag, notBuilt, optional, parsed, type RecordOf, record, required, text, Wrong } from '../config/shape.ts'
import { duration, isLoopback, path, size } from '../config/values.ts'
import { type IdentityHeader, identityHeadersShape } from './identity-headers.ts'

/** Where a backend is: an origin, and the UNIX socket behind it if there is one. */
export interface UpstreamAddress {
  readonly origin: string
  readonly socketPath: string | null
  /** A literal loopback address or a UNIX socket: what is sent there does not leave the machine. */
  readonly local: boolean
}

const address = parsed<UpstreamAddress>(
  'an origin such as http://127.0.0.1:3000, or unix:/path',
  value => {
    if (value.startsWith('unix:/')) return { origin: 'http://localhost', socketPath: value.slice(5), local: true }
    const url = URL.canParse(value) ? new URL(value) : null
    if (!url || !/^https?:$/.test(url.protocol))
      return new Wrong(`"${value}" is not an origin; write http://127.0.0.1:3000, https://host or unix:/path.`)
    if (url.username || url.password) return new Wrong('the URL carries a user or password; secrets stand in files only.')
    if (url.pathname !== '/' || url.search || url.hash)
      return new Wrong('the URL has a path, query or fragment. The canonical request path goes upstream as it is; write the origin only.')
    return { origin: url.origin, socketPath: null, local: isLoopback(url.hostname.replace(/^\[|\]$/g, '')) }
  },
  204,
  {},
  value => (value.socketPath === null ? value.origin : `unix:${value.socketPath}`),
)

export const upstreamShape = record({
  url: required(address, 'The backend: http://host:port, https://host:port or unix:/path.'),
  'connect-timeout': optional(duration('10ms', '1m'), 2_000, 'How long a connection may take to open.'),
  deadline: optional(
    duration('10ms', '15m'),
    27_000,
    'How long the backend may take to its response head, and between two pieces of its body. Below the gateway timeout, so that Postern answers.',
  ),
  delivery: optional(
    choice(['none', 'header', 'jwe', 'endpoint', 'file'], ['cql']),
    'none',
    'How the backend receives the Cassandra credential. header: plain, to this machine only. jwe: sealed to jwe-key-file. endpoint, file: it fetches them itself (credentials.endpoint, credentials.files).',
  ),
  'jwe-key-file': optional(path('a JWK file'), null, 'Public JWK of the backend, for delivery jwe; the first key of assertion signs.'),
  host: optional(choice(['own', 'original']), 'own', 'Which Host the backend sees: its own, or the one the client asked for.'),
  tls: optional(
    record({ 'ca-file': required(path('a PEM file'), 'Certificates to trust for this backend instead of the system ones.') }),
    null,
    'TLS to the backend; always verified.',
  ),
  'forward-authorization': optional(flag, false, "Whether the backend receives the caller's Authorization field."),
  'identity-headers': optional<readonly IdentityHeader[]>(
    identityHeadersShape,
    [],
    "Header fields made from the token's claims: name to claim or JSON pointer. What the client sent under the name is always removed.",
  ),
  assertion: optional<string | null>(
    text('an audience'),
    null,
    'Audience of the signed assertion (x-postern-assertion) that the backend receives; needs the section assertion.',
  ),
  'unsafe-plain-header': notBuilt('Credentials in plain header fields to a backend elsewhere.'),
  semicolon: optional(choice(['refuse'], ['text']), 'refuse', 'What a ";" in the path means.'),
  paths: optional(choice(['case-sensitive'], ['case-insensitive']), 'case-sensitive', 'How the backend compares paths.'),
  'hide-buffer': optional(
    size(1024, 32 * 1024 ** 2),
    4 * 1024 ** 2,
    'Largest reply that members are removed from: it is held until all of it has been read, for deadline at most. A larger one is not delivered.',
  ),
})

export type UpstreamSettings = RecordOf<typeof upstreamShape.fields>
