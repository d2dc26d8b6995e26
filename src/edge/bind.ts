import { unlink } from 'node:fs/promises'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { type Endpoint, formatEndpoint } from '../config/values.ts'

/** Opens a server on an endpoint and tells where it really listens (port 0 lets the system choose). Rejects with the system's error. */
export const bind = async (server: Server, endpoint: Endpoint): Promise<Endpoint> => {
  try {
    return await open(server, endpoint)
  } catch (fault) {
    const inUse = fault instanceof Error && 'code' in fault && fault.code === 'EADDRINUSE'
    // A killed process leaves its socket's name behind; only one that answers is in use.
    if (!inUse || !('path' in endpoint) || (await answers(endpoint.path))) throw fault
    await unlink(endpoint.path)
    return open(server, endpoint)
  }
}

const open = (server: Server, endpoint: Endpoint): Promise<Endpoint> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen('path' in endpoint ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }, () => {
      server.off('error', reject)
      const bound = server.address()
      resolve(typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : endpoint)
    })
  })

/** In doubt, yes. */
const answers = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', fault => resolve(!('code' in fault && fault.code === 'ECONNREFUSED')))
  })

/** Why nothing listens there, and what to do about it. */
export const cannotListen = (at: Endpoint, fault: unknown): string => {
  const code = fault instanceof Error && 'code' in fault ? String(fault.code) : 'unknown fault'
  if (code === 'EADDRINUSE') return `${formatEndpoint(at)} is in use by another process. Stop it, or write another port.`
  return code === 'EACCES'
    ? `${formatEndpoint(at)}: no permission. Write a port above 1023.`
    : `cannot listen on ${formatEndpoint(at)} (${code}).`
}
