import type { Server } from 'node:http'
import { type Endpoint, formatEndpoint } from '../config/values.ts'

/** Opens a server on an endpoint and tells where it really listens (port 0 lets the system choose). */
export const bind = (server: Server, endpoint: Endpoint): Promise<Endpoint> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen('path' in endpoint ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }, () => {
      server.off('error', reject)
      const bound = server.address()
      resolve(typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : endpoint)
    })
  })

/** Why nothing listens there, and what to do about it. */
export const cannotListen = (at: Endpoint, fault: unknown): string => {
  const code = fault instanceof Error && 'code' in fault ? String(fault.code) : 'unknown fault'
  if (code === 'EADDRINUSE') return `${formatEndpoint(at)} is in use by another process. Stop it, or write another port.`
  return code === 'EACCES'
    ? `${formatEndpoint(at)}: no permission. Write a port above 1023.`
    : `cannot listen on ${formatEndpoint(at)} (${code}).`
}
