import { createServer } from 'node:http'
import type { Endpoint } from '../config/values.ts'
import { bind } from './bind.ts'

export interface OpsViews {
  /** Whether traffic should come here, and the detail behind it. */
  ready(): { readonly ready: boolean; readonly detail: unknown }
  /** Keys with which backends check assertions (RFC 7517). */
  jwks(): string
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>
}

export interface OpsListener {
  readonly address: Endpoint
  close(): Promise<void>
}

/** Probes and metrics: GET only, no administration, on a listener of their own, so that no header of a client can pretend to be a probe (T17, T39). */
export const listenOps = async (endpoint: Endpoint, views: OpsViews): Promise<OpsListener> => {
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000, maxHeaderSize: 8192 }, (req, res) => {
    const send = (status: number, contentType: string, body: string): void => {
      res.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store', 'content-length': Buffer.byteLength(body) })
      res.end(req.method === 'HEAD' ? undefined : body)
    }
    const path = (req.url ?? '').split('?', 1)[0]
    if (req.method !== 'GET' && req.method !== 'HEAD') return send(405, 'text/plain', 'GET only\n')
    if (path === '/livez') return send(200, 'text/plain', 'ok\n')
    if (path === '/readyz') {
      const { ready, detail } = views.ready()
      return send(ready ? 200 : 503, 'application/json', `${JSON.stringify(detail)}\n`)
    }
    if (path === '/.well-known/jwks.json') return send(200, 'application/jwk-set+json', views.jwks())
    if (path !== '/metrics') return send(404, 'text/plain', '/livez /readyz /metrics /.well-known/jwks.json\n')
    views.metrics().then(
      ({ contentType, body }) => send(200, contentType, body),
      () => send(500, 'text/plain', 'metrics are unavailable\n'),
    )
  })
  const address = await bind(server, endpoint)
  return {
    address,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
