import { addressSet } from './config/address.ts'
import type { ListenOptions } from './edge/listen.ts'
import { fingerprintsOf } from './edge/peer-certificate.ts'
import type { GatewayTrust } from './edge/trust.ts'
import type { LoadedConfig } from './load.ts'

/** Longer than any load balancer keeps an idle connection by default, so that the gateway closes first and never meets a closing socket. */
const keepAliveMs = 75_000
const stallMs = 30_000

/** How the proxy listens. */
export const listenOptions = ({ config: { listen, limits }, tls }: LoadedConfig): ListenOptions => ({
  endpoint: listen.proxy,
  tls,
  maxConnections: limits['max-connections'],
  maxHeaderBytes: limits['max-header-bytes'],
  stallMs,
  keepAliveMs,
})

/** How the gateway is known. */
export const gatewayTrust = ({ config: { gateway }, secrets, tls }: LoadedConfig): GatewayTrust => {
  const pins = gateway['client-certificate-pins']
  return {
    proof: gateway.proof,
    secrets,
    certificate: {
      pins: pins.length === 0 ? null : new Set(pins),
      anchors: tls === null || tls.clientCa === null ? null : new Set(fingerprintsOf(tls.clientCa)),
    },
    isSource: addressSet(gateway['source-ranges'].map(({ range }) => range)),
    clientIp: gateway['client-ip'],
    resourceMetadata: gateway['resource-metadata'],
    callerCertificate: gateway['caller-certificate'] === 'header',
  }
}
