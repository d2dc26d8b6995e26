import type { Server } from 'node:http'
import type { Endpoint } from '../config/values.ts'

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
