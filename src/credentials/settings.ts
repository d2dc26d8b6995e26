import {
  bad,
  type Context,
  choice,
  fail,
  integer,
  list,
  optional,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
} from '../config/shape.ts'
import type { Node } from '../config/source.ts'
import { duration, type Endpoint, endpoint, formatEndpoint, isLoopback, path } from '../config/values.ts'
import { wrongRole } from './names.ts'

/** The provider is opened once, so none of this changes in a running process. */
const restart = { restart: true }

const roles = required(
  list(text('a role name', wrongRole), { min: 1, max: 200 }),
  'Permission roles, in addition to those that policies name.',
)

/** A port that others can reach would hand out passwords in the clear. */
const localEndpoint: Shape<Endpoint> = {
  ...endpoint,
  read(node, at) {
    const value = endpoint.read(node, at)
    if (value === bad || 'path' in value || isLoopback(value.host)) return value
    return fail(at, node, 204, `${formatEndpoint(value)} is reached from other machines; write 127.0.0.1:9091, [::1]:9091 or unix:/path.`)
  },
}

const endpointShape = record({
  listen: required(localEndpoint, 'A UNIX socket, or an address of this machine only.', restart),
  bearers: required(
    list(
      record({
        'token-file': required(
          path('a file path'),
          'File with the secret that the backend sends as Authorization: Bearer; 32 bytes or more.',
        ),
        roles,
      }),
      { min: 1, max: 64 },
    ),
    'Who may ask, and for which roles.',
  ),
})

const filesShape = record({
  dir: required(path('a folder'), 'Folder in memory (tmpfs) for one JSON file a role.', restart),
  group: optional<number | null>(integer(0, 2 ** 31 - 1), null, 'Number of the group that may read; default: the own one.', restart),
  roles,
})

const fields = record({
  provider: required(
    choice(['cassandra', 'file'], ['openbao', 'keyspaces']),
    'Who makes the credentials that backends are shown: cassandra or file.',
    restart,
  ),
  'rotate-every': optional(duration('1s', '24h'), 15 * 60_000, 'How long a credential is handed out before the next one is made.', restart),
  overlap: optional(
    duration('100ms', '12h'),
    5 * 60_000,
    'How long the previous credential still logs in. Shorter than rotate-every.',
    restart,
  ),
  'hard-ttl': optional(duration('1s', '7d'), 24 * 3_600_000, 'Oldest credential that is handed out while no new one can be made.', restart),
  'after-hard-ttl': optional(choice(['refuse'], ['keep']), 'refuse', 'What happens then: refuse answers 503.', restart),
  endpoint: optional<RecordOf<typeof endpointShape.fields> | null>(
    endpointShape,
    null,
    'Where backends of delivery endpoint fetch their credentials.',
  ),
  files: optional<RecordOf<typeof filesShape.fields> | null>(filesShape, null, 'Where backends of delivery file find their credentials.'),
  'credentials-file': optional<string | null>(
    path('a file path'),
    null,
    'Provider file: JSON that something else rotates, watched for changes.',
    restart,
  ),
})

export type CredentialsSettings = RecordOf<typeof fields.fields>

/** `credentials:` of contract 1. Keys that contradict each other are refused here, where they have a position. */
export const credentialsShape: Shape<CredentialsSettings> & { readonly fields: typeof fields.fields } = {
  ...fields,
  read(node: Node, at: Context) {
    const settings = fields.read(node, at)
    if (typeof settings === 'symbol') return settings
    const wrong = contradiction(settings, node.kind === 'map' ? node.entries.map(entry => entry.key) : [])
    return wrong === null ? settings : fail(at, node, 204, wrong)
  },
}

const contradiction = (settings: CredentialsSettings, written: readonly string[]): string | null => {
  if (settings.provider === 'file') {
    const foreign = ['rotate-every', 'overlap', 'hard-ttl', 'after-hard-ttl'].find(key => written.includes(key))
    if (foreign) return `${foreign} has no meaning for provider file: whoever writes the file rotates. Remove it.`
    return settings['credentials-file'] === null ? 'provider file needs credentials-file.' : null
  }
  if (settings['credentials-file'] !== null) return 'credentials-file belongs to provider file. Remove it, or write provider: file.'
  if (settings.overlap >= settings['rotate-every'])
    return 'overlap must be shorter than rotate-every: there are two slots, and the older one is needed for the next credential.'
  if (settings['hard-ttl'] < settings['rotate-every'] + settings.overlap)
    return 'hard-ttl must be at least rotate-every and overlap together: a shorter one ends credentials that are in order.'
  return null
}
