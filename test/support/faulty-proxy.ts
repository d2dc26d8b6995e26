import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What an OpenID provider, or whatever stands before it, may do to those who ask for its documents. */
export const faults = ['refuse', 'reset', 'hang', 'half-open', 'slow', 'huge', 'truncated', 'html', 'error', 'empty', 'redirect'] as const
export type Fault = (typeof faults)[number]

export interface FaultyProxy {
  readonly url: string
  /** For metadata and keys; tokens are given out all the same. */
  fault: Fault | null
  /** Documents asked for. */
  readonly asked: number
  /** Where the provider is to be. */
  readonly to: number
  stop(): Promise<void>
}

/** Milliseconds to the first byte of a slow answer. */
const slowly = 60

/** A proxy in front of a provider on loopback, whose documents come as well as a test lets them. */
export const startFaultyProxy = async (): Promise<FaultyProxy> => {
  const server = createServer((req, res) => {
    const document = req.url?.startsWith('/.well-known/') || req.url?.startsWith('/jwks')
    if (document) asked++
    if (!document || proxy.fault === null) return pass(proxy.to, req, res)
    answers[proxy.fault](req, res, () => pass(proxy.to, req, res))
  })
  let asked = 0
  // Both at once, so that they differ.
  const behind = createServer()
  const [port, to] = [await listening(server), await listening(behind)]
  await new Promise<unknown>(done => behind.close(done))
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${port}`,
    fault: null,
    get asked() {
      return asked
    },
    to,
    stop: () =>
      new Promise(done => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
  return proxy
}

const listening = (server: Server): Promise<number> =>
  new Promise(done => server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port)))

const pass = (port: number, req: IncomingMessage, res: ServerResponse): void => {
  const { url: path, method, headers } = req
  const onward = request({ host: '127.0.0.1', port, path, method, headers }, reply => {
    res.writeHead(reply.statusCode ?? 502, reply.headers)
    reply.pipe(res)
  })
  onward.on('error', () => res.destroy())
  req.pipe(onward)
}

const json = { 'content-type': 'application/json' }
/** Keys that would let somebody in if they were read: they must not be. */
const half = '{"keys":[{"kty":"RSA","kid":"half","n":"'

const answers: Readonly<Record<Fault, (req: IncomingMessage, res: ServerResponse, onward: () => void) => void>> = {
  refuse: req => void req.socket.destroy(),
  reset: req => void req.socket.resetAndDestroy(),
  hang: () => undefined,
  'half-open': (_, res) => void res.writeHead(200, { ...json, 'content-length': 4_000 }).write(half),
  slow: (_, __, onward) => void setTimeout(onward, slowly),
  huge: (_, res) => void res.writeHead(200, json).end(`{"keys":[],"x":"${'x'.repeat(400_000)}"}`),
  truncated: (_, res) => {
    res.writeHead(200, { ...json, 'content-length': 4_000 }).write(half)
    setImmediate(() => res.destroy())
  },
  html: (_, res) => void res.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Sign in</body></html>'),
  error: (_, res) => void res.writeHead(500, json).end('{"error":"server_error"}'),
  empty: (_, res) => void res.writeHead(200, json).end(),
  redirect: (_, res) => void res.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
}
