import { createHash } from 'node:crypto'
import { createRouteTable, type RouteTable } from './edge/routes.ts'
import type { LimitsSettings, RouteSettings } from './edge/settings.ts'
import type { GatewayTrust } from './edge/trust.ts'
import { gatewayTrust } from './front.ts'
import type { LoadedConfig } from './load.ts'
import type { PolicyEngine } from './model/decision.ts'
import type { Route } from './model/exchange.ts'
import type { UpstreamPlan } from './upstream/hop.ts'

/** Configuration and policies, composed: everything a request is judged by. Frozen; replaced whole, never changed. */
export interface Snapshot {
  /** Of the configuration and every policy in force. */
  readonly digest: string
  readonly loaded: LoadedConfig
  readonly gateway: GatewayTrust
  readonly routes: RouteTable
  readonly upstreams: ReadonlyMap<string, UpstreamPlan>
  readonly limits: LimitsSettings
  readonly policy: PolicyEngine
}

/** Composes a snapshot. No I/O. An upstream that did not change keeps its plan object, and with it its pool. */
export const createSnapshot = (loaded: LoadedConfig, policy: PolicyEngine, before: Snapshot | null): Snapshot => {
  const { config } = loaded
  const upstreams = new Map<string, UpstreamPlan>()
  for (const [name, settings] of config.upstreams) {
    const plan: UpstreamPlan = { name, settings, ca: loaded.upstreamCa.get(name) ?? null, recipient: loaded.recipients.get(name) ?? null }
    const old = before?.upstreams.get(name)
    upstreams.set(name, old && JSON.stringify(old) === JSON.stringify(plan) ? old : Object.freeze(plan))
  }
  return Object.freeze({
    digest: createHash('sha256').update(`${loaded.digest}:${policy.digest}`).digest('hex'),
    loaded,
    gateway: gatewayTrust(loaded),
    routes: createRouteTable(config.routes.map(withPublicUrl), config.gateway['strip-prefix']),
    upstreams,
    limits: config.limits,
    policy,
  })
}

/** API Gateway speaks nothing but TLS to its clients. */
const withPublicUrl = (route: RouteSettings): Route => ({ ...route, publicUrl: route['public-url'] ?? `https://${route.host}` })
