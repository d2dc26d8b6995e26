import {
  choice,
  fail,
  integer,
  list,
  notBuilt,
  optional,
  parsed,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
  Wrong,
} from '../config/shape.ts'
import { duration, endpoint, hostName, path, size } from '../config/values.ts'
import type { Proof } from '../model/exchange.ts'
import { Ambiguous, canonicalPath, canonicalUrl } from '../model/target.ts'

const tls = notBuilt('TLS of the proxy listener.')

export const listenShape = record({
  proxy: required(endpoint, 'Where the gateway connects: an address and port, or unix:/path.', { restart: true }),
  ops: required(endpoint, 'Where probes and metrics are served (GET only).', { restart: true }),
  tls,
})

/** `none-accept-direct-traffic` stands alone: beside a real proof it would say that the proof does not matter. */
const proofs: Shape<readonly Proof[]> = {
  schema: { type: 'array', items: { enum: ['shared-secret', 'none-accept-direct-traffic'] }, minItems: 1 },
  read(node, at) {
    const words = list(choice(['shared-secret', 'none-accept-direct-traffic'], ['client-certificate', 'source-range', 'assertion']), {
      min: 1,
      max: 4,
    }).read(node, at)
    if (typeof words === 'symbol') return words
    if (words.includes('none-accept-direct-traffic') && words.length > 1)
      return fail(at, node, 204, 'none-accept-direct-traffic stands alone. Remove it, or the other proofs.')
    return words
  },
}

/** A canonical path prefix without a trailing slash; `/` gives the empty prefix. */
const pathPrefix = parsed(
  'a path prefix such as /v1',
  value => {
    const canonical = canonicalPath(value)
    if (canonical instanceof Ambiguous) return new Wrong(`"${value}" is not a path prefix (${canonical.why}); write /v1.`)
    return canonical.endsWith('/') ? canonical.slice(0, -1) : canonical
  },
  204,
  {},
  value => value || '/',
)

/** Canonical, without a trailing slash. */
const publicUrl = parsed(
  'the URL under which clients reach the route, such as https://api.example.com/prod',
  value => {
    const canonical = /[?#]/.test(value) ? null : canonicalUrl(value)
    if (canonical === null)
      return new Wrong(`"${value}" is not the base of a URL; write https://api.example.com or https://api.example.com/prod.`)
    return canonical.endsWith('/') ? canonical.slice(0, -1) : canonical
  },
  204,
  { format: 'uri' },
)

export const gatewayShape = record({
  proof: required(
    proofs,
    'How a request proves that it came through the gateway: [shared-secret]; every proof listed must pass. [none-accept-direct-traffic] serves without.',
  ),
  'secret-files': optional(
    list(path('a file path'), { max: 16 }),
    [],
    'Files with one accepted secret each (at least 32 bytes); several during a rotation.',
  ),
  'caller-certificate': optional(
    choice(['none', 'header']),
    'none',
    "header: the gateway maps its client's certificate, percent-encoded PEM, into x-postern-client-cert; certificate-bound tokens need it.",
  ),
  'source-ranges': notBuilt('Address ranges of the gateway.'),
  'client-certificate-pins': notBuilt('SPKI pins of the gateway client certificate.'),
  'strip-prefix': optional(
    pathPrefix,
    '',
    'Removed once from the path, before routing and policy: the stage name. A path without it has no route.',
  ),
})

export const routeShape = record({
  name: required(
    text(
      'a route name',
      value => (/^[a-z0-9][a-z0-9-]{0,62}$/.test(value) ? null : `"${value}" is not a name; write lower-case letters, digits and "-".`),
      206,
    ),
    'Name in audit, metrics and logs.',
  ),
  host: required(hostName(), 'The original host, as the gateway maps it (x-postern-host).'),
  prefix: optional(pathPrefix, '', 'Path prefix, on segment borders. The longest wins.'),
  upstream: required(text('an upstream name'), 'Name under upstreams.'),
  'public-url': optional<string | null>(
    publicUrl,
    null,
    'Base of the URLs that clients use, for DPoP proofs; the path after strip-prefix follows. Default: https:// and the host.',
  ),
  preflight: optional(choice(['refuse'], ['forward']), 'refuse', 'What happens to CORS preflights.'),
  'on-audit-full': optional(choice(['refuse'], ['serve-unrecorded']), 'refuse', 'What happens when the audit has no room.'),
})

export const limitsShape = record({
  'max-body': optional(size(0, 1024 ** 4), 10 * 1024 ** 2, 'Bytes of a request body; more is 413.'),
  'max-in-flight': optional(integer(1, 100_000), 1024, 'Requests served at once; more is 503.'),
  'max-connections': optional(integer(1, 1_000_000), 4096, 'Open connections; more are closed at once.', { restart: true }),
  'max-header-bytes': optional(size(1024, 256 * 1024), 16 * 1024, 'Bytes of a request head; more is 431.', { restart: true }),
  'drain-deadline': optional(duration('1s', '10m'), 25_000, 'How long a stopping process waits for requests under way.'),
})

export type ListenSettings = RecordOf<typeof listenShape.fields>
export type GatewaySettings = RecordOf<typeof gatewayShape.fields>
export type RouteSettings = RecordOf<typeof routeShape.fields>
export type LimitsSettings = RecordOf<typeof limitsShape.fields>
