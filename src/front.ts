import type { ListenOptions } from './edge/listen.ts'
import type { Snapshot } from './snapshot.ts'

/** Longer than any load balancer keeps an idle connection by default, so that the gateway closes first and never meets a closing socket. */
const keepAliveMs = 75_000
const stallMs = 30_000

/** How the proxy listens. */
export const listenOptions = ({ limits, loaded }: Snapshot): ListenOptions => ({
  endpoint: loaded.config.listen.proxy,
  maxConnections: limits['max-connections'],
  maxHeaderBytes: limits['max-header-bytes'],
  stallMs,
  keepAliveMs,
})
