import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Deps } from '../model/deps.ts'
import type { Answer, Body, Origin } from '../model/exchange.ts'
import type { Permit } from '../model/permit.ts'
import { Refusal } from '../model/problem.ts'
import type { IsSafeHop, UpstreamPlan } from './hop.ts'

export interface TunnelRequest {
  readonly raw: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly fields: readonly string[]
  /** The backend has switched: from here on this is a stream, not a request under way. */
  established(): void
  /** Answers the client where the backend could not be reached; called at most once, before http-proxy ends the socket. */
  refused(refusal: Refusal): void
}

/** The stream is over. `status` null: it never began. */
export interface TunnelEnd {
  readonly status: number | null
}

export interface Tunnels {
  /**
   * Settles when the stream has ended; or with what the backend answered instead of switching, which is then a reply like any other. Whoever
   * destroys the request's socket ends the stream.
   */
  open(permit: Permit, origin: Origin, plan: UpstreamPlan, request: TunnelRequest): Promise<TunnelEnd | Answer | Refusal>
}

/** WebSocket streams through `http-proxy`, which gets only a request that passed the whole gate and the fields built for the backend. */
export const createTunnels = (deps: Pick<Deps, 'clock'>, isSafeHop: IsSafeHop): Tunnels => ({
  async open(_permit, origin, plan, request) {
    const { createProxyServer } = await import('http-proxy')
    const { socket } = request
    if (socket.destroyed) return { status: null }
    const { promise, resolve } = Promise.withResolvers<TunnelEnd | Answer | Refusal>()
    const state: { status: number | null } = { status: null }
    socket.once('close', () => resolve(state))
    // Half a stream is none: a peer that never closes its side would keep it for the life of the token.
    socket.once('end', () => deps.clock.after(halfClosedMs, () => socket.destroy()))
    const switched = (): boolean => {
      state.status = 101
      request.established()
      return !socket.destroyed
    }
    const proxy = createProxyServer({
      target: target(plan),
      xfwd: false,
      prependPath: false,
      secure: true,
      ...(plan.ca === null ? {} : { ca: plan.ca }),
    })
    // Without a listener http-proxy throws what a resetting client makes of its socket, and that would end the process.
    proxy.on('error', () => socket.destroy())
    proxy.on('proxyReqWs', outgoing => guard(outgoing, plan, deps, isSafeHop, { switched, answered: resolve }))
    proxy.ws(sanitised(request, origin) as IncomingMessage, socket as never, request.head, {}, () => {
      if (state.status === null) request.refused(new Refusal('PST5001'))
      else socket.destroy()
    })
    return promise
  },
})

const target = (plan: UpstreamPlan): URL | { host: string; port: number; socketPath: string } =>
  plan.settings.url.socketPath === null
    ? new URL(plan.settings.url.origin)
    : { host: 'localhost', port: 80, socketPath: plan.settings.url.socketPath }

/** http-proxy forwards `req.headers` as it finds them, so it is handed a view whose fields and path are the ones the gate approved. */
const sanitised = (request: TunnelRequest, origin: Origin): object => {
  const headers: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>
  headers['connection'] = 'Upgrade'
  headers['upgrade'] = 'websocket'
  for (let i = 0; i < request.fields.length; i += 2) {
    const name = request.fields[i] ?? ''
    const value = request.fields[i + 1] ?? ''
    const before = headers[name]
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  const url = origin.target.query === null ? origin.target.path : `${origin.target.path}?${origin.target.query}`
  return Object.create(request.raw, { headers: { value: headers }, url: { value: url, writable: true } })
}

interface Outcome {
  /** False: nobody is there for the stream any more. */
  switched(): boolean
  answered(answer: Answer | Refusal): void
}

/** What http-proxy does not check: time, the address really connected to, the protocol really switched to, and fields that only Postern may send. */
const guard = (
  outgoing: ClientRequest,
  plan: UpstreamPlan,
  { clock }: Pick<Deps, 'clock'>,
  isSafeHop: IsSafeHop,
  outcome: Outcome,
): void => {
  const late = clock.after(plan.settings.deadline, () => outgoing.destroy(new Error('deadline')))
  outgoing.once('close', () => late.cancel())
  outgoing.once('socket', socket => {
    // http-proxy would relay a plain answer unread by anybody: a client or backend that leaves in the middle would never be noticed.
    outgoing.removeAllListeners('response')
    outgoing.once('response', reply => gather(reply, outcome.answered))
    const relay = outgoing.listeners('upgrade')
    outgoing.removeAllListeners('upgrade')
    outgoing.once('upgrade', (reply, backend, head) => {
      late.cancel()
      // Relayed, a switch to anything else would open a connection past the gate; only what the gate asked for is agreed to.
      if (reply.headers.upgrade?.toLowerCase() !== 'websocket') {
        backend.destroy()
        return outcome.answered(otherProtocol())
      }
      for (const name of Object.keys(reply.headers)) if (name.startsWith('x-postern-')) delete reply.headers[name]
      if (!outcome.switched()) return void backend.destroy()
      for (const listener of relay) listener.call(outgoing, reply, backend, head)
    })
    if (plan.settings.delivery === 'none' || plan.settings.url.socketPath !== null) return
    socket.prependListener('connect', () => {
      if (!isSafeHop(plan, socket.remoteAddress ?? '', 'encrypted' in socket))
        socket.destroy(new Error('the connected address may not be shown a credential'))
    })
  })
}

/** How long a stream outlives the end of one of its sides. */
const halfClosedMs = 5_000

const otherProtocol = (): Refusal => new Refusal('PST5002', 'switched to another protocol')

/** A backend that will not switch says why in a few words. */
const mostOfAnAnswer = 64 * 1024

const gather = (reply: IncomingMessage, answered: (answer: Answer | Refusal) => void): void => {
  // A switch that names no protocol reaches us as an answer, and would tell the client to speak one.
  if (reply.statusCode === 101) {
    reply.destroy()
    answered(otherProtocol())
    return
  }
  const chunks: Buffer[] = []
  let size = 0
  reply.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > mostOfAnAnswer) reply.destroy()
    else chunks.push(chunk)
  })
  reply.once('error', () => undefined)
  reply.once('close', () => {
    if (!reply.complete || size > mostOfAnAnswer) return answered(new Refusal('PST5002', 'no switch, and no whole answer'))
    const headers = reply.rawHeaders.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text))
    return answered({ status: reply.statusCode ?? 502, headers, body: whole(Buffer.concat(chunks)) })
  })
}

const whole = (bytes: Buffer): Body => ({
  whole: bytes,
  open(sink) {
    sink.write(bytes)
    sink.end()
  },
  resume: () => undefined,
  cancel: () => undefined,
})
