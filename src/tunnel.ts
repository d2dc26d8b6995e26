import { Agent as HttpAgent, request } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { isIP } from 'node:net'
import { connect, type SecureContext } from 'node:tls'

export interface Tunnel {
  /** `http://host:port` of the forward proxy. */
  readonly proxy: string
  readonly secureContext: SecureContext
  /** Milliseconds until the proxy must have connected. */
  readonly timeout: number
}

/**
 * An agent for one call through a forward proxy (CONNECT, RFC 9110 section 9.3.6). TLS runs inside and is verified against the host that was asked
 * for, so the proxy sees a name and a port, and nothing of what is said.
 */
export const tunnelAgent = ({ proxy, secureContext, timeout }: Tunnel): HttpsAgent => {
  const agent = new HttpsAgent({ maxCachedSessions: 0 })
  agent.createConnection = ({ host, port }, done) => {
    const name = String(host).replace(/^\[|\]$/g, '')
    const authority = `${name.includes(':') ? `[${name}]` : name}:${port ?? 443}`
    const fail = (why: string): void => done?.(new Error(`proxy ${proxy}: ${why}`), null as never)
    const { hostname, port: at } = new URL(proxy)
    const opening = request({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: at || 80,
      method: 'CONNECT',
      path: authority,
      headers: { host: authority },
      agent: new HttpAgent(),
      maxHeaderSize: 16 * 1024,
      signal: AbortSignal.timeout(timeout),
    })
    opening.once('connect', (reply, socket, head) => {
      const { statusCode = 0 } = reply
      // Bytes before ours would be the proxy's words in the place of the provider's.
      if (statusCode >= 200 && statusCode < 300 && head.length === 0)
        return done?.(
          null,
          connect({ socket, host: name, servername: isIP(name) === 0 ? name : '', secureContext, rejectUnauthorized: true }),
        )
      socket.destroy()
      fail(`answered ${statusCode}`)
    })
    opening.once('response', reply => {
      reply.destroy()
      fail(`answered ${reply.statusCode}`)
    })
    opening.on('error', error => fail(error.message))
    opening.end()
    return undefined
  }
  return agent
}
