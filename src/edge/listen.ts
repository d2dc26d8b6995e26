import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Endpoint } from '../config/values.ts'
import type { Deps } from '../model/deps.ts'
import type { Outgoing, Settled } from '../model/exchange.ts'
import { type ProblemCode, Refusal } from '../model/problem.ts'
import { bind } from './bind.ts'
import { type Head, readHead } from './head.ts'
import type { Connection } from './proof.ts'
import { refuse } from './refuse.ts'
import { sendReply, whenClosed } from './reply.ts'
import { certificateReader, createFrontServer, renewContext, type TlsMaterial } from './tls.ts'

/** One request as it came off the socket, and the way back. */
export interface Incoming extends Connection {
  readonly id: string
  readonly head: Head | Refusal
  /** As received, for the record of a request whose head has no meaning. */
  readonly raw: IncomingMessage
  /** Sends `100 Continue` where the client waits for it; to be called only once the request is allowed. */
  proceed(): void
  reply(outgoing: Outgoing): Promise<Settled>
  /** Registers what to do when the client is gone, or the reply complete. */
  gone(listener: () => void): void
  /** The connection itself, where the client asks for a WebSocket. */
  readonly tunnel: { readonly socket: Duplex; readonly head: Buffer } | null
}

export interface ListenOptions {
  readonly endpoint: Endpoint
  /** Null: plain HTTP. */
  readonly tls: TlsMaterial | null
  readonly maxConnections: number
  readonly maxHeaderBytes: number
  /** Milliseconds a client may leave a reply unread. */
  readonly stallMs: number
  /** Milliseconds an idle connection is kept; above the gateway's own so that the gateway closes first. */
  readonly keepAliveMs: number
}

export interface Handlers {
  exchange(incoming: Incoming): void
  /** A request that the parser itself refused; the answer has been sent. */
  malformed(refusal: Refusal, id: string, peer: string | undefined): void
}

export interface Listener {
  readonly address: Endpoint
  /** Asks clients to reconnect elsewhere: replies carry `Connection: close`. */
  lame(): void
  /** Shows and trusts this from now on; nothing on a listener without TLS. */
  renew(tls: TlsMaterial): void
  /** Stops accepting, waits for what is under way, then cuts. */
  close(deadlineMs: number): Promise<void>
}

/** Opens the proxy listener. Every way in (request, `Expect`, `Upgrade`, `CONNECT`, parser error) ends in `handlers`. */
export const listen = async (options: ListenOptions, handlers: Handlers, deps: Deps): Promise<Listener> => {
  const state = { lame: false }
  const newId = (): string => deps.random(16).toString('hex')
  const pending = new PendingReplies()
  const server = createFrontServer(serverOptions(options), options.tls, peer => handlers.malformed(new Refusal('PST1107'), newId(), peer))
  const certificateOf = certificateReader()
  server.maxHeadersCount = 0
  server.maxConnections = options.maxConnections
  const accept = (req: IncomingMessage, res: ServerResponse, expecting: boolean): void => {
    // A request pipelined behind a closing one has nobody to answer to.
    const { socket } = req
    if (socket.destroyed || !socket.writable) return
    // Nobody pipelines that many but to fill memory with replies that are never read.
    if (pending.count(socket) >= mostPipelined) return void socket.destroy()
    pending.begin(res, socket)
    const head = readHead(req)
    const reply = (outgoing: Outgoing): Promise<Settled> => {
      if (res.headersSent) return cut(res)
      const close = outgoing.close || state.lame || leavesBody(req, head, outgoing)
      return sendReply(res, outgoing, { socket, close, bodyless: req.method === 'HEAD', stallMs: options.stallMs })
    }
    const proceed = (): void => void (expecting && !res.headersSent && res.writeContinue())
    const gone = (listener: () => void): void => (socket.destroyed ? listener() : whenClosed(res, socket, listener))
    const { remoteAddress: peer } = socket
    handlers.exchange({ id: newId(), head, peer, certificate: certificateOf(socket), raw: req, proceed, reply, gone, tunnel: null })
  }
  server.on('request', (req, res) => accept(req, res, false))
  server.on('checkContinue', (req, res) => accept(req, res, true))
  server.on('checkExpectation', (req, res) => accept(req, res, false))
  server.on('upgrade', (req, socket, rest) => {
    const read = readHead(req)
    // h2c and everything else that is not a WebSocket would tunnel past the gate (http reference 4.1 no. 12).
    const head = read instanceof Refusal || read.upgrade === 'websocket' ? read : new Refusal('PST1011')
    const reply = (outgoing: Outgoing): Promise<Settled> => replyRaw(socket, outgoing)
    socket.on('error', () => socket.destroy())
    // Behind a request that is still served, the switch would overtake its answer.
    if (pending.count(socket) > 0)
      return pending.after(socket, () =>
        rejectRaw(socket, new Refusal('PST1011', 'behind another request'), newId(), req.socket.remoteAddress, handlers),
      )
    const peer = req.socket.remoteAddress
    const certificate = certificateOf(socket)
    const tunnel = { socket, head: rest }
    handlers.exchange({ id: newId(), head, peer, certificate, raw: req, proceed: nothing, reply, gone: nothing, tunnel })
  })
  server.on('connect', (req, socket) =>
    pending.after(socket, () => rejectRaw(socket, new Refusal('PST1007', 'CONNECT'), newId(), req.socket.remoteAddress, handlers)),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const answer = (): void =>
      rejectRaw(socket, new Refusal(parserProblem(error.code)), newId(), (socket as Socket).remoteAddress, handlers)
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else pending.after(socket, answer)
  })
  const address = await bind(server, options.endpoint)
  const lame = (): void => {
    state.lame = true
  }
  return { address, lame, renew: tls => renewContext(server, tls), close: deadlineMs => closeServer(server, deadlineMs) }
}

/** A fault after the head was sent: a second response must never follow the first. */
const cut = (res: ServerResponse): Promise<Settled> => {
  res.destroy()
  return Promise.resolve({ bytes: 0, aborted: true })
}

const nothing = (): void => undefined

const serverOptions = (options: ListenOptions) => ({
  maxHeaderSize: options.maxHeaderBytes,
  headersTimeout: 10_000,
  requestTimeout: 120_000,
  connectionsCheckingInterval: 2_000,
  keepAlive: true,
  keepAliveTimeout: options.keepAliveMs,
  // Checked by `readHead`, which answers and records like every other refusal.
  requireHostHeader: false,
  insecureHTTPParser: false,
  rejectNonStandardBodyWrites: true,
  joinDuplicateHeaders: false,
  // No stream for a request without a body; Node before 25.1 ignores it.
  optimizeEmptyRequests: true,
})

/** How long a refusal outside a response object may be left unread. */
const rawStallMs = 10_000

/** Requests of one connection that are open at once. */
const mostPipelined = 64

/** Draining more than this of a refused upload costs more than a new connection. */
const drainable = 64 * 1024

/** A body that is not read to its end stands before the next request: the connection ends, but for a refused upload that is quickly drained. */
const leavesBody = (req: IncomingMessage, head: Head | Refusal, outgoing: Outgoing): boolean => {
  if (head instanceof Refusal || head.framing.kind === 'none' || req.complete) return false
  return typeof outgoing.body !== 'string' || head.framing.length === null || head.framing.length > drainable
}

const parserProblem = (code: string | undefined): ProblemCode =>
  code === 'HPE_HEADER_OVERFLOW' ? 'PST1006' : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'PST1008' : 'PST1001'

/**
 * Node reports a parse error at once, while an earlier pipelined request may still be served; answered then, the client would take the 400
 * for the earlier reply. The error waits for its turn.
 */
class PendingReplies {
  readonly #open = new WeakMap<Duplex, number>()
  readonly #waiting = new WeakMap<Duplex, () => void>()

  begin(res: ServerResponse, socket: Socket): void {
    this.#open.set(socket, (this.#open.get(socket) ?? 0) + 1)
    whenClosed(res, socket, () => {
      const left = (this.#open.get(socket) ?? 1) - 1
      this.#open.set(socket, left)
      if (left === 0) this.#waiting.get(socket)?.()
    })
  }

  count(socket: Duplex): number {
    return this.#open.get(socket) ?? 0
  }

  after(socket: Duplex, task: () => void): void {
    if (this.count(socket) === 0) task()
    else if (!this.#waiting.has(socket)) this.#waiting.set(socket, task)
  }
}

const rejectRaw = (socket: Duplex, refusal: Refusal, id: string, peer: string | undefined, handlers: Handlers): void => {
  socket.on('error', () => socket.destroy())
  void replyRaw(socket, refuse(refusal, id, null))
  handlers.malformed(refusal, id, peer)
}

/** A reply where Node has no response object: on an upgrade, or after a parse error. Always closes. */
const replyRaw = (socket: Duplex, outgoing: Outgoing): Promise<Settled> =>
  new Promise(resolve => {
    const body = typeof outgoing.body === 'string' ? Buffer.from(outgoing.body) : (outgoing.body.whole ?? Buffer.alloc(0))
    let head = `HTTP/1.1 ${outgoing.status} \r\n`
    for (let i = 0; i < outgoing.headers.length; i += 2)
      if (outgoing.headers[i] !== 'content-length') head += `${outgoing.headers[i]}: ${outgoing.headers[i + 1]}\r\n`
    head += `content-length: ${body.length}\r\nconnection: close\r\n\r\n`
    // A socket that has closed already says so no second time; waiting for it would hold its place for ever.
    if (socket.destroyed || !socket.writable) {
      socket.destroy()
      return resolve({ bytes: 0, aborted: true })
    }
    const stalled = setTimeout(() => socket.destroy(), rawStallMs)
    socket.once('close', () => {
      clearTimeout(stalled)
      resolve({ bytes: body.length, aborted: !socket.writableFinished })
    })
    socket.end(Buffer.concat([Buffer.from(head, 'latin1'), body]), () => socket.destroy())
  })

const closeServer = (server: Server, deadlineMs: number): Promise<void> =>
  new Promise(resolve => {
    const cut = setTimeout(() => server.closeAllConnections(), deadlineMs)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
