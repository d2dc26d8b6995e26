import { askedResource, describeResource, metadataUrl } from './edge/resource-metadata.ts'
import type { Origin, Outgoing } from './model/exchange.ts'
import type { Snapshot } from './snapshot.ts'
import type { Trail } from './trail.ts'

/** The answer to a request for the metadata of a resource, where they are told; null for every other request. */
export const tell = ({ gateway, routes, policy }: Snapshot, origin: Origin, trail: Trail): Outgoing | null => {
  const resource = gateway.resourceMetadata ? askedResource(origin, routes.resources(origin.host)) : null
  const issuers = resource === null ? [] : policy.issuersOf(origin.host)
  if (resource === null || issuers.length === 0) return null
  trail.tenantOfHost = policy.tenantOfHost(origin.host)
  trail.told = 'resource-metadata'
  return describeResource(origin, resource, issuers, gateway.callerCertificate)
}

/** What a 401 says about where they are. */
export const metadataOf = ({ gateway }: Snapshot, { origin }: Trail): string | null =>
  gateway.resourceMetadata && origin !== null && origin.publicUrl !== null ? metadataUrl(origin.publicUrl) : null
