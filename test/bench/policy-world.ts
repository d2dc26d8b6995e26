import type { Facts } from '../../src/model/decision.ts'
import type { Identity } from '../../src/model/identity.ts'
import { Ambiguous, canonicalTarget } from '../../src/model/target.ts'
import type { PolicyFile } from '../../src/policy/compose.ts'
import { zoneClocks } from '../../src/policy/language/zone-clock.ts'

/** Rules that are candidates on one route: two denies, and allows for six of the teams. */
const perRoute = 8
const teams = 8
const now = Date.parse('2026-11-23T10:00:00Z')

/** Tenants of equal size behind one issuer. */
export interface World {
  readonly name: string
  readonly tenants: number
  readonly rules: number
}

const team = (tenant: string, number: number): string => `${tenant}-team-${number % teams}`
const routes = (rules: number): number => Math.ceil(rules / perRoute)

const head = (tenant: string): string[] => [
  'postern: policy/v1',
  `tenant: ${tenant}`,
  `owners: [${tenant}-security@example.com]`,
  'recognise:',
  '  issuer: https://login.example/',
  '  audience: api.example',
  `  claims: { tid: ${tenant} }`,
  'claims:',
  '  groups: list<string>',
  '  region: string',
  '  employee_type: string?',
  'who:',
  ...Array.from({ length: teams }, (_, i) => `  team-${i}: { groups: [${team(tenant, i)}, ${team(tenant, i)}-leads] }`),
  '  contractors: { claims: { employee_type: contractor } }',
  '  any-agent: { agent: any }',
  'rules:',
]

const rule = (number: number, check: boolean): string[] => {
  const route = Math.floor(number / perRoute)
  const place = number % perRoute
  const below = `/v1/accounts/{account}/resource-${route}`
  if (place === 0)
    return [
      `  - deny: no-agent-${route}`,
      '    why: An agent never works on this resource.',
      '    who: any-agent',
      `    to: ANY ${below}/**`,
    ]
  if (place === 1)
    return [
      `  - deny: office-only-${route}`,
      '    why: Contractors work from the office or the VPN only.',
      '    who: contractors',
      `    to: ANY ${below}/**`,
      '    when: { ip-not-in: [10.0.0.0/8, 198.51.100.0/24] }',
    ]
  return [
    `  - allow: read-${route}-${place}`,
    `    why: A team reads resource ${route} of the accounts that it looks after.`,
    `    who: team-${(route + place) % teams}`,
    `    to: ["GET HEAD ${below}", "GET HEAD ${below}/{item}"]`,
    `    when: { query: { limit: 1..500 }${check && place === perRoute - 1 ? `, check: path.account.startsWith(claims.region + '-')` : ''} }`,
  ]
}

export const policyText = (tenant: string, rules: number, check: boolean): string =>
  `${[...head(tenant), ...Array.from({ length: rules }, (_, i) => rule(i, check)).flat()].join('\n')}\n`

export const platform: PolicyFile = {
  name: '_platform.policy.yaml',
  bytes: Buffer.from(
    'postern: policy/v1\ntenant: _platform\nowners: [platform@example.com]\nrules:\n  - { deny: internals, why: Nobody reads them., who: anyone, to: ANY /internal/** }\n',
  ),
}

export const tenantName = (number: number): string => `t${number}`

export const filesOf = ({ tenants, rules }: World, check: boolean): PolicyFile[] => [
  platform,
  ...Array.from({ length: tenants }, (_, i) => ({
    name: `${tenantName(i)}.policy.yaml`,
    bytes: Buffer.from(policyText(tenantName(i), rules, check)),
  })),
]

/** One request, as Postern and as Cedar are asked. */
export interface Question {
  readonly tenant: string
  readonly identity: Identity
  readonly target: string
  readonly clientIp: string
  readonly call: object
}

const zones = zoneClocks()
const regions = ['eu', 'us', 'ap']

interface Caller {
  readonly identity: Identity
  readonly entity: object
}

const callerOf = (tenant: string, number: number): Caller => {
  const contractor = number % 16 === 15
  const region = regions[number % 3] ?? 'eu'
  const groups = [`${tenant}-everybody`, team(tenant, number)]
  const type = contractor ? { employee_type: 'contractor' } : {}
  const subject = `user-${number}`
  return {
    identity: Object.freeze({
      issuer: 'https://login.example/',
      subject,
      audiences: ['api.example'],
      scopes: ['read'],
      agents: number % 32 === 7 ? ['agent-1'] : [],
      claims: { tid: tenant, groups, region, ...type },
      expiresAt: now + 3_600_000,
    }),
    entity: { uid: { type: 'User', id: subject }, attrs: { groups, region, employee_type: 'employee', ...type }, parents: [] },
  }
}

/** Which of several tenants asks: each as often as any other, or few often and most seldom, as in practice (Zipf's law). */
export type Mix = 'even' | 'zipf'

const choose = (tenants: number, mix: Mix): ((i: number) => number) => {
  const weights = Array.from({ length: tenants }, (_, rank) => (mix === 'even' ? 1 : 1 / (rank + 1)))
  const all = weights.reduce((sum, weight) => sum + weight, 0)
  return i => {
    // The golden ratio spreads the draws evenly.
    let left = ((i * 0.6180339887498949) % 1) * all
    for (const [rank, weight] of weights.entries()) {
      left -= weight
      if (left < 0) return rank
    }
    return 0
  }
}

/** Requests of many callers on many routes: what a cache of one answer would not know. */
export const questionsOf = ({ tenants, rules }: World, count: number, mix: Mix, asked = tenants): Question[] => {
  const callers = new Map<string, Caller>()
  const tenantOf = choose(asked, mix)
  return Array.from({ length: count }, (_, i): Question => {
    const tenant = tenantName(tenantOf(i))
    const key = `${tenant} ${i % 64}`
    const caller = callers.get(key) ?? callerOf(tenant, i % 64)
    callers.set(key, caller)
    const account = `${regions[(i >> 2) % 3]}-${i % 5}`
    const path = `/v1/accounts/${account}/resource-${(i * 31) % routes(rules)}/item-${i}`
    const clientIp = i % 3 === 0 ? '10.1.2.3' : '203.0.113.9'
    const call = callOf(caller, account, path, clientIp, tenant)
    return { tenant, identity: caller.identity, target: `${path}?limit=50&page=2`, clientIp, call }
  })
}

/** A request as the edge has just made it, of a token that is known. */
export const factsOf = ({ identity, target, clientIp }: Question): Facts => {
  const canonical = canonicalTarget(target)
  if (canonical instanceof Ambiguous) throw new Error(canonical.why)
  return {
    origin: {
      id: 'bench',
      method: 'GET',
      target: canonical,
      host: 'api.example',
      scheme: 'https',
      proof: ['shared-secret'],
      clientIp,
      gatewayRequestId: null,
      route: null,
      publicUrl: null,
      authorization: null,
      dpop: null,
      clientCertificate: null,
      headers: ['accept', 'application/json', 'x-purpose', 'bench'],
      userAgent: 'bench',
    },
    identity,
    now,
    zones,
  }
}

const callOf = ({ identity, entity }: Caller, account: string, path: string, clientIp: string, tenant: string): object => ({
  principal: { type: 'User', id: identity.subject },
  action: { type: 'Action', id: 'GET' },
  resource: { type: 'Route', id: 'any' },
  context: { path, account, agent: identity.agents.length > 0, limit: 50, ip: { __extn: { fn: 'ip', arg: clientIp } } },
  preparsedPolicySetId: tenant,
  entities: [entity],
})

/** The same rules in Cedar's words. */
export const cedarText = (tenant: string, rules: number, check: boolean): string =>
  Array.from({ length: rules }, (_, number) => {
    const route = Math.floor(number / perRoute)
    const place = number % perRoute
    const covers = `context.path like "/v1/accounts/*/resource-${route}/*"`
    if (place === 0) return `forbid(principal, action, resource) when { ${covers} && context.agent };`
    if (place === 1)
      return `forbid(principal, action, resource) when { ${covers} && principal.employee_type == "contractor" && !(context.ip.isInRange(ip("10.0.0.0/8")) || context.ip.isInRange(ip("198.51.100.0/24"))) };`
    const own = team(tenant, route + place)
    const more =
      check && place === perRoute - 1
        ? ` && ${regions.map(region => `(principal.region == "${region}" && context.account like "${region}-*")`).join(' || ')}`
        : ''
    const body = `${covers} && !context.agent && principal.groups.containsAny(["${own}", "${own}-leads"]) && context.limit >= 1 && context.limit <= 500`
    return `permit(principal, action in [Action::"GET", Action::"HEAD"], resource) when { ${more === '' ? body : `${body} && (${more.slice(4)})`} };`
  }).join('\n')
