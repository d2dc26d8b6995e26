import { type LookupAddress, lookup } from 'node:dns'
import { Agent as HttpAgent, type IncomingMessage, request as plainRequest, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as tlsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { isWithinReach } from './config/reach.ts'
import type { Fetch, FetchInit, FetchReply } from './model/deps.ts'
import { tunnelAgent } from './tunnel.ts'

/** Every address of a name; none with an error. */
export type Resolve = (hostname: string, done: (error: Error | null, addresses: readonly LookupAddress[]) => void) => void

const systemResolve: Resolve = (hostname, done) =>
  lookup(hostname, { all: true }, (error, addresses) => done(error, error ? [] : addresses))

/**
 * `Fetch` over Node's own client. Each call has its own agent, which keeps no socket and no TLS session and knows no proxy; what the
 * environment says about certificates, proxies and verification (`NODE_EXTRA_CA_CERTS`, `NODE_TLS_REJECT_UNAUTHORIZED`,
 * `NODE_USE_ENV_PROXY`) is not asked.
 */
export const createFetch = (resolve: Resolve = systemResolve): Fetch => {
  let publicRoots: SecureContext | null = null
  const trust = (ca: string | undefined): SecureContext => {
    if (ca !== undefined) return createSecureContext({ ca, minVersion: 'TLSv1.2' })
    publicRoots ??= createSecureContext({ ca: [...rootCertificates], minVersion: 'TLSv1.2' })
    return publicRoots
  }
  return async (url, init) => {
    const target = targetOf(url, init)
    const options = optionsFor(target, init, resolve)
    if (target.protocol === 'http:') return exchange(done => plainRequest(target, { ...options, agent: new HttpAgent() }, done), init)
    const { proxy, timeout } = init
    const secureContext = trust(init.ca)
    const agent = proxy === undefined ? new HttpsAgent({ maxCachedSessions: 0 }) : tunnelAgent({ proxy, secureContext, timeout })
    const tls = { ...options, agent, secureContext, rejectUnauthorized: true }
    return exchange(done => tlsRequest(target, tls, done), init)
  }
}

const targetOf = (url: string, init: FetchInit): URL => {
  const target = new URL(url)
  if (target.protocol !== 'http:' && target.protocol !== 'https:') throw new Error(`${target.protocol} is not spoken`)
  if (target.username || target.password) throw new Error('the URL carries a user or password')
  const host = target.hostname.replace(/^\[|\]$/g, '')
  // No lookup happens for a literal, so it is judged here.
  if (isIP(host) !== 0 && !isWithinReach(host, init.reach)) throw new Error(`${host} is not a ${init.reach} address`)
  return target
}

const optionsFor = (target: URL, init: FetchInit, resolve: Resolve): RequestOptions => ({
  method: init.method ?? 'GET',
  headers: {
    ...init.headers,
    host: target.host,
    connection: 'close',
    // A compressed body could be a thousand times what the size cap saw.
    'accept-encoding': 'identity',
    ...(init.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(init.body)) }),
  },
  maxHeaderSize: 16 * 1024,
  insecureHTTPParser: false,
  lookup: boundLookup(resolve, init.reach),
})

/** Every address that a name resolves to must be within reach: the connection may go to any of them. */
const boundLookup =
  (resolve: Resolve, reach: FetchInit['reach']): LookupFunction =>
  (hostname, options, callback) => {
    resolve(hostname, (error, addresses) => {
      const other = addresses.find(({ address }) => !isWithinReach(address, reach))
      const first = addresses[0]
      if (error) callback(error, '', 0)
      else if (other || !first) callback(new Error(`${hostname} resolves to ${other?.address ?? 'nothing'}, not ${reach}`), '', 0)
      else if (options.all) callback(null, [...addresses])
      else callback(null, first.address, first.family)
    })
  }

type Start = (done: (reply: IncomingMessage) => void) => ReturnType<typeof plainRequest>

const exchange = (start: Start, init: FetchInit): Promise<FetchReply> =>
  new Promise<FetchReply>((fulfil, reject) => {
    const request = start(reply => {
      if (reply.statusCode !== undefined && reply.statusCode >= 300 && reply.statusCode < 400)
        return end(new Error(`answered ${reply.statusCode}; redirects are not followed`))
      collect(reply, init.maxBytes).then(
        body => end({ status: reply.statusCode ?? 0, headers: flatten(reply), body }),
        (error: Error) => end(error),
      )
    })
    const timer = setTimeout(() => end(new Error(`no complete answer within ${init.timeout} ms`)), init.timeout)
    const end = (outcome: FetchReply | Error): void => {
      clearTimeout(timer)
      if (outcome instanceof Error) reject(outcome)
      else fulfil(outcome)
      // Also after a whole answer: nothing of this call outlives it.
      request.destroy()
    }
    request.on('error', error => end(new Error(causeOf(error), { cause: error })))
    if (init.proxy === undefined)
      request.once('socket', socket =>
        socket.once('connect', () => {
          if (!isWithinReach(socket.remoteAddress ?? '', init.reach))
            end(new Error(`connected to ${socket.remoteAddress}, not ${init.reach}`))
        }),
      )
    request.end(init.body)
  })

const collect = (reply: IncomingMessage, maxBytes: number): Promise<Buffer> =>
  new Promise<Buffer>((fulfil, reject) => {
    const encoding = reply.headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') return reject(new Error(`answered in content-encoding ${encoding}`))
    const tooLarge = new Error(`the answer is larger than ${maxBytes} bytes`)
    if (Number(reply.headers['content-length'] ?? 0) > maxBytes) return reject(tooLarge)
    const chunks: Buffer[] = []
    let bytes = 0
    reply.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > maxBytes) reject(tooLarge)
      else chunks.push(chunk)
    })
    reply.on('end', () => fulfil(Buffer.concat(chunks)))
    reply.on('error', () => reject(new Error('the answer broke off')))
  })

const flatten = (reply: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(reply.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]))

/** Node wraps the failures of several addresses in an AggregateError without a message. */
const causeOf = (error: Error): string =>
  error instanceof AggregateError
    ? error.errors.map(each => (each instanceof Error ? each.message : String(each))).join('; ')
    : error.message
