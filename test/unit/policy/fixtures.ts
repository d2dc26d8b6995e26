import type { Decision, Facts, PolicyEngine } from '../../../src/model/decision.ts'
import type { Method } from '../../../src/model/exchange.ts'
import type { Finding } from '../../../src/model/finding.ts'
import { Ambiguous, canonicalTarget } from '../../../src/model/target.ts'
import { type Composed, type ComposeOptions, type Composition, compose, type PolicyFile } from '../../../src/policy/compose.ts'
import { zoneClocks } from '../../../src/policy/language/zone-clock.ts'

export const platformFile = (extra: object = {}): PolicyFile =>
  file('_platform.policy.yaml', { postern: 'policy/v1', tenant: '_platform', owners: ['p@example.com'], rules: [], ...extra })

/** JSON is YAML: objects make files that need no indentation. */
export const file = (name: string, content: object | string): PolicyFile => ({
  name,
  bytes: Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)),
})

export const tenantFile = (tenant: string, extra: object = {}): PolicyFile =>
  file(`${tenant}.policy.yaml`, {
    postern: 'policy/v1',
    tenant,
    owners: ['o@example.com'],
    recognise: { issuer: 'https://idp.example', audience: 'api', claims: { tid: tenant } },
    rules: [],
    ...extra,
  })

export const options = (extra: Partial<ComposeOptions> = {}): ComposeOptions => ({
  issuers: null,
  testsGateReload: false,
  now: 0,
  ...extra,
})

export const load = (files: readonly PolicyFile[], previous: Composition | null = null, extra: Partial<ComposeOptions> = {}): Composed =>
  compose(files, previous, options(extra))

export const composed = (
  files: readonly PolicyFile[],
  previous: Composition | null = null,
  extra: Partial<ComposeOptions> = {},
): Composition => {
  const { composition, findings } = load(files, previous, extra)
  if (composition === null) throw new Error(`refused: ${findings.map(f => `${f.file}:${f.line} ${f.code} ${f.message}`).join('; ')}`)
  return composition
}

/** One tenant `acme` under an empty platform file; throws with the findings if anything is wrong. */
export const engineFor = (policy: object, platform: object = {}): PolicyEngine => {
  const { composition, findings } = load([platformFile(platform), tenantFile('acme', policy)])
  const errors = findings.filter(finding => finding.severity === 'error')
  if (composition === null || errors.length > 0) throw new Error(errors.map(f => `${f.code} ${f.message}`).join('; '))
  return composition.engine
}

export interface Asked {
  readonly call?: string
  readonly host?: string
  readonly ip?: string | null
  readonly headers?: readonly string[]
  readonly issuer?: string
  readonly subject?: string
  readonly audiences?: readonly string[]
  readonly scopes?: readonly string[]
  readonly agents?: readonly string[]
  readonly claims?: Readonly<Record<string, unknown>>
  readonly now?: number
}

const zones = zoneClocks()

export const facts = (asked: Asked = {}): Facts => {
  const [method = 'GET', path = '/v1/a'] = (asked.call ?? 'GET /v1/a').split(' ')
  const target = canonicalTarget(path)
  if (target instanceof Ambiguous) throw new Error(`${path}: ${target.why}`)
  const { issuer = 'https://idp.example', subject = 'anna', audiences = ['api'], scopes = [], agents = [] } = asked
  return {
    origin: {
      id: 'r',
      method: method as Method,
      target,
      host: asked.host ?? 'api.example',
      scheme: 'https',
      proof: ['shared-secret'],
      clientIp: asked.ip === undefined ? '10.1.2.3' : asked.ip,
      gatewayRequestId: null,
      route: null,
      publicUrl: null,
      authorization: null,
      dpop: null,
      clientCertificate: null,
      headers: asked.headers ?? [],
      userAgent: '',
    },
    identity: { issuer, subject, audiences, scopes, agents, claims: { tid: 'acme', ...asked.claims }, expiresAt: 1e15 },
    now: asked.now ?? 0,
    zones,
  }
}

/** `allow read`, `step-up pay`, `deny default`, `deny frozen?` where the deny matched in doubt. */
export const said = (decision: Decision): string =>
  decision.effect === 'allow'
    ? `allow ${decision.permit.rule}`
    : `${decision.code === 'PST2106' ? 'step-up' : 'deny'} ${decision.reason}${decision.inDoubt ? '?' : ''}`

export const decide = (engine: PolicyEngine, asked: Asked = {}): string => said(engine.decide(facts(asked)))

export const brief = (findings: readonly Finding[]): string[] => findings.map(f => `${f.file}:${f.line}:${f.column} ${f.code}`)

export const allow = (name: string, extra: object = {}): object => ({ allow: name, why: 'w', who: 'anyone', to: 'GET /v1/a', ...extra })
export const deny = (name: string, extra: object = {}): object => ({ deny: name, why: 'w', who: 'anyone', to: 'GET /v1/a', ...extra })

/** `then` of an allow that names a role. */
// biome-ignore lint/suspicious/noThenProperty: the key of the format; no rule is ever awaited
export const handing = (role: string): object => ({ then: { 'cassandra-role': role } })
