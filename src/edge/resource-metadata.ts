import { type Origin, Outgoing } from '../model/exchange.ts'

const wellKnown = '/.well-known/oauth-protected-resource'

/** Where the metadata of a resource is: the well-known part goes between its host and its path (RFC 9728 section 3.1). */
export const metadataUrl = (resource: string): string => {
  const { origin, pathname } = new URL(resource)
  return `${origin}${wellKnown}${pathname === '/' ? '' : pathname}`
}

/** The resource whose metadata a request asks for, one of those of its host; null where it asks for something else. */
export const askedResource = ({ method, target, authorization }: Origin, resources: readonly string[]): string | null => {
  if (method !== 'GET' || authorization !== null || !target.path.startsWith(wellKnown)) return null
  return resources.find(resource => new URL(metadataUrl(resource)).pathname === target.path) ?? null
}

/** RFC 9728 section 3.2. It comes from the configuration alone and is the same for everybody who asks. */
export const describeResource = (origin: Origin, resource: string, issuers: readonly string[], certificates: boolean): Outgoing => {
  const body = {
    resource,
    authorization_servers: issuers,
    bearer_methods_supported: ['header'],
    ...(certificates ? { tls_client_certificate_bound_access_tokens: true } : {}),
  }
  const headers = ['content-type', 'application/json', 'cache-control', 'no-store', 'x-postern-request-id', origin.id]
  if (origin.gatewayRequestId !== null) headers.push('x-postern-gateway-request-id', origin.gatewayRequestId)
  return new Outgoing(200, headers, JSON.stringify(body), false)
}
