import { allDefaults, readDocument } from './config/document.ts'
import {
  choice,
  type Field,
  flag,
  integer,
  list,
  named,
  notBuilt,
  optional,
  type Provenance,
  type RecordOf,
  record,
  required,
  type Shape,
  spell,
} from './config/shape.ts'
import { Source } from './config/source.ts'
import { path } from './config/values.ts'
import { credentialsShape } from './credentials/settings.ts'
import { type DecideSettings, decideProblems, decideShape } from './edge/decide-settings.ts'
import { gatewayProblems } from './edge/gateway-check.ts'
import { listenProblems } from './edge/listen-check.ts'
import { gatewayShape, limitsShape, listenShape, routeShape } from './edge/settings.ts'
import { type AssertionSettings, assertionShape } from './identity/assertion-settings.ts'
import { type AwsIamSettings, awsIamShape } from './identity/aws-iam-settings.ts'
import { dpopShape } from './identity/dpop-settings.ts'
import { type IssuerEntry, issuerFields, issuerNames, issuersShape } from './identity/issuer-entry.ts'
import type { Finding } from './model/finding.ts'
import { auditSettings } from './record/settings.ts'
import { revocationShape } from './revocation/settings.ts'
import { type CassandraSettings, cassandraShape } from './store/settings.ts'
import { type UpstreamSettings, upstreamShape } from './upstream/settings.ts'

const policiesShape = record({
  dir: optional(path('a folder'), 'policies', 'Folder of the policy files and their tests.'),
  'tests-gate-reload': optional(flag, true, 'A policy whose tests fail does not come into force.'),
  'signed-by-key-file': notBuilt('Signature over the policy folder.'),
})

const upstreamName = (name: string): string | null =>
  /^[a-z0-9][a-z0-9-]{0,62}$/.test(name) ? null : `"${name}" is not a name; write lower-case letters, digits and "-".`

/** The whole of `proxy.config.yaml`, put together from what each stage declares (contract 1). */
export const configShape = record({
  postern: required(choice(['config/v1']), 'Format and version of this file; the first key.'),
  listen: required(listenShape, 'Where Postern listens.'),
  gateway: required(gatewayShape, 'How the gateway is known.'),
  decide: optional<DecideSettings | null>(
    decideShape,
    null,
    'Decisions for other proxies, which send requests on themselves. Absent: none.',
  ),
  issuers: required(issuersShape, 'OpenID providers whose tokens are accepted.'),
  'aws-iam': optional<AwsIamSettings | null>(awsIamShape, null, 'Callers who sign with AWS credentials instead of showing a token.'),
  dpop: optional(dpopShape, allDefaults(dpopShape), 'Proofs of possession (RFC 9449): always checked for a token that is bound to a key.'),
  upstreams: required(named(upstreamShape, upstreamName, { max: 256 }), 'Backends by name.'),
  routes: required(list(routeShape, { min: 1, max: 1000 }), 'Which backend answers for which host and path.'),
  policies: optional(policiesShape, allDefaults(policiesShape), 'Where the policies are.'),
  cassandra: optional<CassandraSettings | null>(
    cassandraShape,
    null,
    'The cluster and the manager role. Needed by credentials.provider cassandra.',
  ),
  credentials: optional(credentialsShape, null, 'Where Cassandra credentials come from. Without it no policy may name a role.', {
    restart: true,
  }),
  assertion: optional<AssertionSettings | null>(
    assertionShape,
    null,
    'How Postern vouches for the caller towards backends. Keys: GET /.well-known/jwks.json on listen.ops.',
  ),
  revocation: optional(revocationShape, allDefaults(revocationShape), 'Who is denied although the token is good: postern deny, logout.'),
  audit: required(auditSettings, 'The tamper-evident record.'),
  limits: optional(limitsShape, allDefaults(limitsShape), 'Bounds.'),
  workers: optional(integer(1, 1), 1, 'Processes on one port. More than one is not built yet.', { restart: true }),
  state: optional<string | null>(path('a folder'), null, 'Control socket and deny list. Default: $XDG_STATE_HOME/postern.', {
    restart: true,
  }),
})

export type Config = RecordOf<typeof configShape.fields>

export interface ReadConfig {
  readonly bytes: Buffer
  readonly config: Config | null
  readonly source: Source
  readonly provenance: Provenance
}

/** Reads the text of the configuration and checks what concerns more than one key. Files that it names are not opened here. */
export const readConfig = (file: string, bytes: Buffer): ReadConfig => {
  const source = new Source(file, bytes, 'C')
  const { value, provenance } = readDocument(source, configShape)
  const first = source.root?.kind === 'map' ? source.root.entries[0] : undefined
  if (first && first.key !== 'postern') source.error(first.keyOffset, 202, 'the first key must be "postern: config/v1".')
  if (value !== null) crossCheck(value, source, provenance)
  return { bytes, config: source.ok ? value : null, source, provenance }
}

const crossCheck = (config: Config, source: Source, provenance: Provenance): void => {
  const at = (key: string): number => provenance.get(key) ?? 0
  const listeners = listenProblems([
    ['listen.proxy', config.listen.proxy],
    ['listen.ops', config.listen.ops],
    ['decide.listen', config.decide?.listen],
    ['credentials.endpoint.listen', config.credentials?.endpoint?.listen],
    ['revocation.logout.listen', config.revocation.logout?.listen],
  ])
  for (const { key, number, message } of [
    ...gatewayProblems(config.gateway, config.listen),
    ...decideProblems(config.decide),
    ...listeners,
  ])
    source.error(at(key), number, message)
  if (config.dpop['nonce-key-file'] !== null && !config.dpop.nonce)
    source.error(at('dpop.nonce-key-file'), 204, 'a key without nonces does nothing. Write nonce: true beside it, or remove it.')
  for (const [name, upstream] of config.upstreams)
    if (upstream.delivery === 'header' && !upstream.url.local)
      source.error(
        at(`upstreams.${name}.delivery`),
        204,
        'delivery header sends a password in plain fields: only to a literal 127.0.0.0/8 or ::1 address, or unix:/path. Change url, or write delivery: none.',
      )
  for (const [name, upstream] of config.upstreams)
    if (upstream.assertion !== null && config.assertion === null)
      source.error(at(`upstreams.${name}.assertion`), 202, 'an assertion needs the section assertion: with an issuer and key-files.')
  nameCheck(config, source, at)
  awsIamCheck(config, source, at)
  for (const [name, upstream] of config.upstreams) {
    const wrong = deliveryProblem(config, upstream)
    if (wrong !== null) source.error(at(`upstreams.${name}.delivery`), 202, wrong)
  }
  revocationCheck(config, source, at)
  const seen = new Set<string>()
  const names = new Set<string>()
  for (const route of config.routes) {
    if (!config.upstreams.has(route.upstream))
      source.error(
        at('routes'),
        207,
        `route ${route.name} names the upstream "${route.upstream}", which is not defined. Known: ${[...config.upstreams.keys()].join(', ')}.`,
      )
    const place = `${route.host}${route.prefix}`
    if (seen.has(place) || names.has(route.name))
      source.error(at('routes'), 205, `route ${route.name} stands twice (by name, or by host and prefix). Remove one.`)
    seen.add(place)
    names.add(route.name)
  }
  if (config.credentials?.provider === 'cassandra' && config.cassandra === null)
    source.error(at('credentials'), 202, 'provider cassandra needs the section cassandra: with contact-points and the manager role.')
}

type At = (key: string) => number

/** Whoever vouches has a name of its own: with a shared one, what was said to one side would pass as said to the other (CVE-2024-47616). */
const nameCheck = ({ issuers, gateway, assertion, 'aws-iam': aws }: Config, source: Source, at: At): void => {
  const taken = new Map(issuerNames(issuers).map(name => [name, 'a provider whose tokens are accepted']))
  for (const [key, name] of [
    ['aws-iam.issuer', aws?.issuer],
    ['assertion.issuer', assertion?.issuer],
    ['gateway.assertion.issuer', gateway.assertion?.issuer],
  ] as const) {
    if (name === undefined) continue
    const owner = taken.get(name)
    if (owner !== undefined) source.error(at(key), 204, `${name} is ${owner}; nobody else may vouch by that name. Write another one.`)
    taken.set(name, `what stands at ${key}`)
  }
}

const awsIamCheck = ({ assertion, gateway, 'aws-iam': aws }: Config, source: Source, at: At): void => {
  if (aws === null) return
  if (aws.mapped === null && aws.sessions === null)
    source.error(at('aws-iam'), 202, 'nothing says how these callers show who they are. Write mapped: or sessions:.')
  if (aws.sessions !== null && assertion === null)
    source.error(at('aws-iam.sessions'), 202, 'sessions need the section assertion: its first key signs them.')
  if (aws.mapped !== null && gateway.proof.includes('none-accept-direct-traffic'))
    source.error(
      at('aws-iam.mapped'),
      204,
      'without proof of the gateway anyone could write who calls. Remove mapped, or write gateway.proof: [shared-secret].',
    )
}

const revocationCheck = ({ cassandra, issuers, revocation }: Config, source: Source, at: At): void => {
  if (revocation.share === 'cassandra' && cassandra === null)
    source.error(at('revocation.share'), 202, 'share cassandra needs the section cassandra: with contact-points and the manager role.')
  if (revocation['max-age'] < 2 * revocation['poll-every'])
    source.error(at('revocation.max-age'), 204, 'one look that fails would refuse everybody. Write at least twice poll-every.')
  const known = issuerNames(issuers)
  for (const { issuer } of revocation.logout?.clients ?? [])
    if (!known.includes(issuer)) source.error(at('revocation.logout'), 207, `"${issuer}" is none of issuers. Known: ${known.join(', ')}.`)
}

/** What a delivery needs beside it. */
const deliveryProblem = ({ assertion, credentials }: Config, { delivery, url, ...upstream }: UpstreamSettings): string | null => {
  if (delivery === 'jwe') {
    if (upstream['jwe-key-file'] === null) return 'delivery jwe needs jwe-key-file, the public JWK of the backend.'
    if (assertion === null) return 'delivery jwe needs the section assertion: its first key signs what is sealed.'
    return url.local || url.origin.startsWith('https:')
      ? null
      : 'delivery jwe goes over TLS, or to this machine: whoever reads one can send it again. Write an https: url.'
  }
  if (upstream['jwe-key-file'] !== null) return 'jwe-key-file belongs to delivery jwe. Remove it, or write delivery: jwe.'
  if (delivery === 'endpoint' && !credentials?.endpoint) return 'delivery endpoint needs credentials.endpoint.'
  return delivery === 'file' && !credentials?.files ? 'delivery file needs credentials.files.' : null
}

/** Every issuer that policies may name. */
export const trustedIssuers = ({ issuers, 'aws-iam': aws }: Config): readonly string[] => [
  ...issuerNames(issuers),
  ...(aws === null ? [] : [aws.issuer]),
]

export interface Shown {
  readonly key: string
  readonly value: unknown
  /** `file:line:col`, or `default`. */
  readonly from: string
  readonly restart: boolean
}

/** Effective values, each with where it came from and whether changing it needs a restart. The file holds paths only, so nothing needs hiding. */
export const showConfig = (read: ReadConfig): Shown[] => {
  if (read.config === null) return []
  const rows: Shown[] = []
  const place = (offset: number | string | null | undefined): string => {
    if (typeof offset !== 'number') return offset ?? 'default'
    const { line, column } = read.source.position(offset)
    return `${read.source.file}:${line}:${column}`
  }
  const from = (key: string): string => place(read.provenance.get(key))
  /** One by one: what a preset set must be seen to come from there. */
  const issuers = (entries: readonly IssuerEntry[]): Shown[] =>
    entries.flatMap((entry, i) =>
      Object.entries(issuerFields).map(([key, { shape, restart }]) => {
        const value = spell(shape, entry[key as keyof IssuerEntry])
        return { key: `issuers[${i}].${key}`, value, from: place(entry.from.get(key)), restart }
      }),
    )
  const visit = (fields: Fields, values: Record<string, unknown>, prefix: string, restart: boolean): void => {
    for (const [key, field] of Object.entries(fields)) {
      if (isNotBuilt(field)) continue
      const name = prefix + key
      const inner = (field.shape as { readonly fields?: Fields }).fields
      const value = values[key]
      if (name === 'issuers') rows.push(...issuers(value as readonly IssuerEntry[]))
      else if (inner && typeof value === 'object' && value !== null)
        visit(inner, value as Record<string, unknown>, `${name}.`, restart || field.restart)
      else rows.push({ key: name, value: spell(field.shape, value), from: from(name), restart: restart || field.restart })
    }
  }
  visit(configShape.fields, read.config as Record<string, unknown>, '', false)
  return rows
}

type Fields = Readonly<Record<string, Field<unknown>>>
const isNotBuilt = (field: Field<unknown>): boolean => 'not' in (field.shape as Shape<unknown>).schema

/** Keys whose new value waits for a restart. */
export const needingRestart = (before: ReadConfig, after: ReadConfig): string[] => {
  const old = new Map(showConfig(before).map(row => [row.key, JSON.stringify(row.value)]))
  return showConfig(after)
    .filter(row => row.restart && old.get(row.key) !== JSON.stringify(row.value))
    .map(row => row.key)
    .concat((before.config?.listen.tls === null) === (after.config?.listen.tls === null) ? [] : ['listen.tls'])
    .concat(before.config?.decide !== null && after.config?.decide === null ? ['decide'] : [])
}

export const configFinding = (file: string, code: string, message: string): Finding => ({
  file,
  line: 0,
  column: 0,
  severity: 'error',
  code,
  message,
})
