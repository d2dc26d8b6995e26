import { parseRange, type Range } from '../config/address.ts'
import {
  choice,
  fail,
  flag,
  integer,
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
import { duration, endpoint, hostName, path, size } from '../config/values.ts'
import type { Proof } from '../model/exchange.ts'
import { Ambiguous, canonicalPath, canonicalUrl } from '../model/target.ts'

const tlsShape = record({
  'cert-file': required(path('a file path'), 'PEM certificate of the listener, with what stands between it and its authority.'),
  'key-file': required(path('a file path'), 'PEM private key of cert-file, unencrypted.'),
  'client-ca-file': optional<string | null>(
    path('a file path'),
    null,
    'PEM authorities one of which must vouch for the gateway client certificate; a self-signed one vouches for itself. Default: pins alone.',
  ),
})

export const listenShape = record({
  proxy: required(endpoint, 'Where the gateway connects: an address and port, or unix:/path.', { restart: true }),
  ops: required(endpoint, 'Where probes and metrics are served (GET only).', { restart: true }),
  tls: optional<RecordOf<typeof tlsShape.fields> | null>(
    tlsShape,
    null,
    'TLS of the proxy listener. Changed files hold from the next connection on; whether there is TLS at all waits for a restart.',
  ),
})

/** `none-accept-direct-traffic` stands alone: beside a real proof it would say that the proof does not matter. */
const proofWords = ['shared-secret', 'client-certificate', 'source-range', 'none-accept-direct-traffic'] as const
const proofs: Shape<readonly Proof[]> = {
  schema: { type: 'array', items: { enum: proofWords }, minItems: 1, uniqueItems: true },
  read(node, at) {
    const words = list(choice(proofWords, ['assertion']), { min: 1, max: 4 }).read(node, at)
    if (typeof words === 'symbol') return words
    if (new Set(words).size < words.length) return fail(at, node, 205, 'a proof stands twice. Remove one.')
    if (words.includes('none-accept-direct-traffic') && words.length > 1)
      return fail(at, node, 204, 'none-accept-direct-traffic stands alone. Remove it, or the other proofs.')
    return words
  },
}

/** Two lines like 0.0.0.0/1 would be everybody as well: a gateway connects from fewer addresses than /8, or all of fc00::/7, holds. */
const widest = { v4: 8, v6: 7 } as const

const sourceRange: Shape<SourceRange> = parsed(
  'an address or a range, such as 10.0.1.0/24',
  value => {
    const range = parseRange(value)
    if (range instanceof Wrong) return range
    const isV4 = range.low.length === 2
    const bits = Number(value.split('/')[1] ?? 128) - (isV4 && value.includes(':') ? 96 : 0)
    const least = isV4 ? widest.v4 : widest.v6
    return bits < least
      ? new Wrong(`${value} holds addresses that no gateway connects from; write its subnets, such as 10.0.1.0/24 (at least /${least}).`)
      : { text: value, range }
  },
  204,
  {},
  ({ text }) => text,
)

/** A range as it was written, too. */
interface SourceRange {
  readonly text: string
  readonly range: Range
}

const pin = text('a base64 SHA-256 of a public key', value =>
  /^[A-Za-z0-9+/]{43}=$/.test(value)
    ? null
    : `"${value}" is not a pin; write what this prints: openssl x509 -in gateway.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`,
)

const clientIpShape = record({
  from: required(
    choice(['x-postern-client-ip', 'forwarded', 'x-forwarded-for']),
    'The field that tells it. Another than x-postern-client-ip: the gateway must append to it or overwrite it on every request.',
  ),
  hops: optional(integer(1, 16), 1, 'Trusted hops that wrote into forwarded or x-forwarded-for, the gateway included.'),
})

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
  'source-ranges': optional(
    list(sourceRange, { max: 64 }),
    [],
    'Where the gateway, or the load balancer behind it, connects from, for proof source-range.',
  ),
  'client-certificate-pins': optional(
    list(pin, { max: 8 }),
    [],
    'SHA-256 of the public key (SPKI) of the gateway client certificate, base64, for proof client-certificate; two during a rotation.',
  ),
  'client-ip': optional<RecordOf<typeof clientIpShape.fields>>(
    clientIpShape,
    { from: 'x-postern-client-ip', hops: 1 },
    "Where the client's address stands, once every proof has passed. Absent: unknown.",
  ),
  'resource-metadata': optional(
    flag,
    false,
    'Tells clients without a token which providers vouch for the tenants of a host: GET /.well-known/oauth-protected-resource (RFC 9728).',
  ),
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
  preflight: optional(
    choice(['refuse', 'forward']),
    'refuse',
    'forward: CORS preflights reach the backend without a token, where the host belongs to one tenant and no deny of the platform may apply.',
  ),
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
