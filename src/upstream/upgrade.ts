import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Deps } from '../model/deps.ts'
import type { Origin } from '../model/exchange.ts'
import type { Permit } from '../model/permit.ts'
import { type ProblemCode, Refusal } from '../model/problem.ts'
import type { IsSafeHop, UpstreamPlan } from './hop.ts'

export interface TunnelRequest {
  readonly raw: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly fields: readonly string[]
  /** Milliseconds since the epoch at which the caller's token ends, and the stream with it. */
  readonly expiresAt: number
  /** Answers the client where the backend could not be reached; called at most once, before the socket closes. */
  refused(refusal: Refusal): void
}

/** How a stream ended: by one of the peers (null), or by Postern for a reason. */
export interface TunnelEnd {
  readonly status: number | null
  readonly code: ProblemCode | null
}

export interface Tunnels {
  open(permit: Permit, origin: Origin, plan: UpstreamPlan, request: TunnelRequest): Promise<TunnelEnd>
  /** Ends every open stream, within a second: what allowed it may no longer hold. */
  closeAll(code: ProblemCode): void
  readonly size: number
}

/** WebSocket streams through `http-proxy`, which gets only a request that passed the whole gate and the fields built for the backend. */
export const createTunnels = (deps: Pick<Deps, 'clock'>, isSafeHop: IsSafeHop): Tunnels => {
  const open = new Set<(code: ProblemCode) => void>()
  return {
    get size() {
      return open.size
    },
    closeAll(code) {
      for (const end of [...open]) end(code)
    },
    async open(_permit, origin, plan, request) {
      const { createProxyServer } = await import('http-proxy')
      return new Promise(resolve => {
        const state: { status: number | null; code: ProblemCode | null } = { status: null, code: null }
        const end = (code: ProblemCode): void => {
          state.code = code
          request.socket.destroy()
        }
        const expiry = deps.clock.after(Math.max(0, request.expiresAt - deps.clock.now()), () => end('PST3007'))
        request.socket.once('close', () => {
          expiry.cancel()
          open.delete(end)
          resolve(state)
        })
        open.add(end)
        if (request.socket.destroyed) return request.socket.emit('close')
        const proxy = createProxyServer({
          target: target(plan),
          xfwd: false,
          prependPath: false,
          secure: true,
          ...(plan.ca === null ? {} : { ca: plan.ca }),
        })
        proxy.on('proxyReqWs', outgoing => guard(outgoing, plan, isSafeHop, status => (state.status = status)))
        proxy.ws(sanitised(request, origin) as IncomingMessage, request.socket as never, request.head, {}, () =>
          request.refused(new Refusal('PST5001')),
        )
      })
    },
  }
}

const target = (plan: UpstreamPlan): URL | { host: string; port: number; socketPath: string } =>
  plan.settings.url.socketPath === null
    ? new URL(plan.settings.url.origin)
    : { host: 'localhost', port: 80, socketPath: plan.settings.url.socketPath }

/** http-proxy forwards `req.headers` as it finds them, so it is handed a view whose fields and path are the ones the gate approved. */
const sanitised = (request: TunnelRequest, origin: Origin): object => {
  const headers: Record<string, string | string[]> = { connection: 'Upgrade', upgrade: 'websocket' }
  for (let i = 0; i < request.fields.length; i += 2) {
    const name = request.fields[i] ?? ''
    const value = request.fields[i + 1] ?? ''
    const before = headers[name]
    headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  const url = origin.target.query === null ? origin.target.path : `${origin.target.path}?${origin.target.query}`
  return Object.create(request.raw, { headers: { value: headers }, url: { value: url, writable: true } })
}

/** What http-proxy does not check: the address really connected to, the protocol really switched to, and fields that only Postern may send. */
const guard = (outgoing: ClientRequest, plan: UpstreamPlan, isSafeHop: IsSafeHop, answered: (status: number) => void): void => {
  outgoing.setTimeout(plan.settings.deadline, () => outgoing.destroy(new Error('deadline')))
  outgoing.prependListener('socket', socket => {
    if (plan.settings.delivery !== 'header' || plan.settings.url.socketPath !== null) return
    socket.prependListener('connect', () => {
      if (!isSafeHop(socket.remoteAddress ?? '')) socket.destroy(new Error('the connected address is not loopback'))
    })
  })
  outgoing.prependListener('upgrade', (reply: IncomingMessage, socket: Duplex) => {
    outgoing.setTimeout(0)
    if (reply.headers.upgrade?.toLowerCase() !== 'websocket') socket.destroy(new Error('switched to another protocol'))
    withoutOwn(reply)
    answered(101)
  })
  outgoing.prependListener('response', (reply: IncomingMessage) => {
    withoutOwn(reply)
    answered(reply.statusCode ?? 502)
  })
}

const withoutOwn = (reply: IncomingMessage): void => {
  for (const name of Object.keys(reply.headers)) if (name.startsWith('x-postern-')) delete reply.headers[name]
}
