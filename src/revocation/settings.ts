import { choice, list, optional, type RecordOf, record, required, text } from '../config/shape.ts'
import { duration, type Endpoint, endpoint } from '../config/values.ts'

const filled = (what: string) => text(what, value => (value === '' ? `write ${what}; it may not be empty.` : null))

const logoutShape = record({
  listen: required<Endpoint>(endpoint, 'Where providers post logout tokens: POST /backchannel-logout. An address and port, or unix:/path.'),
  clients: required(
    list(
      record({
        issuer: required(filled('an issuer'), 'One of issuers, spelled as there.'),
        'client-id': required(filled('a client id'), '`aud` of its logout tokens: the client that its users sign in to.'),
      }),
      { min: 1, max: 1000 },
    ),
    'Whose logout tokens are believed.',
  ),
})

/** `revocation:` of the configuration. */
export const revocationShape = record({
  share: optional(choice(['none', 'cassandra']), 'none', 'cassandra: the sidecars of a group share one list, table postern.denials.', {
    restart: true,
  }),
  'poll-every': optional(duration('1s', '1m'), 5_000, 'How often the shared list is read.', { restart: true }),
  'max-age': optional(
    duration('10s', '24h'),
    300_000,
    'How long the last copy holds while the shared list cannot be read; then requests with a token get 503.',
    { restart: true },
  ),
  logout: optional<LogoutSettings | null>(logoutShape, null, 'OpenID Connect Back-Channel Logout. Absent: none.', { restart: true }),
})

export type LogoutSettings = RecordOf<typeof logoutShape.fields>
export type RevocationSettings = RecordOf<typeof revocationShape.fields>
