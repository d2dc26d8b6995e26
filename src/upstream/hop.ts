import type { IncomingMessage } from 'node:http'
import buildConnector, { type Connector } from 'undici/lib/core/connect.js'
import Pool from 'undici/lib/dispatcher/pool.js'
import type { RecipientKey } from '../model/credential.ts'
import type { Deps } from '../model/deps.ts'
import type { Answer, Origin } from '../model/exchange.ts'
import type { Permit } from '../model/permit.ts'
import { Refusal } from '../model/problem.ts'
import { BodyTooLarge, Flow, UnsafeHop } from './flow.ts'
import type { UpstreamSettings } from './settings.ts'

/** What one upstream needs to be called. */
export interface UpstreamPlan {
  readonly name: string
  readonly settings: UpstreamSettings
  /** PEM of `tls.ca-file`. */
  readonly ca: string | null
  /** Of `jwe-key-file`: to whom credentials are sealed. */
  readonly recipient: RecipientKey | null
}

/** Whether a connected socket may carry what the plan's delivery puts into a request: its peer address, or `unix`, and whether TLS protects it. */
export type IsSafeHop = (plan: UpstreamPlan, peer: string, encrypted: boolean) => boolean

export interface Upload {
  /** Null where the request has no body. */
  readonly stream: IncomingMessage | null
  /** Stated length, or null for a chunked body. */
  readonly length: number | null
  readonly maxBytes: number
  /** Told how much of a chunked body has come so far. */
  received(bytes: number): void
}

export interface Hop {
  /**
   * Sends a permitted request and settles at the response head. `headers` are the complete fields to send; a credential is among them only if
   * the pool is bound to local sockets. `gone` registers what to do when the client leaves.
   */
  send(permit: Permit, origin: Origin, headers: string[], upload: Upload, gone: (listener: () => void) => void): Promise<Answer | Refusal>
  close(): Promise<void>
}

/** One pool for one backend: endpoint, TLS identity and delivery are fixed for its life, so sockets are never shared across trust. */
export const createHop = (plan: UpstreamPlan, deps: Pick<Deps, 'clock'>, isSafeHop: IsSafeHop): Hop => {
  const { settings } = plan
  const pool = new Pool(settings.url.origin, {
    connections: null,
    pipelining: 1,
    allowH2: false,
    connect: connector(plan, isSafeHop),
    headersTimeout: 0,
    bodyTimeout: settings.deadline,
    maxHeaderSize: 64 * 1024,
  })
  return {
    send(_permit, origin, headers, upload, gone) {
      return new Promise(resolve => {
        const flow = new Flow(result => {
          deadline.cancel()
          resolve(result)
        })
        const deadline = deps.clock.after(settings.deadline, () => flow.abort(new Refusal('PST5003', 'deadline')))
        gone(() => flow.cancel())
        if (flow.over) return
        const path = origin.target.query === null ? origin.target.path : `${origin.target.path}?${origin.target.query}`
        const body = upload.stream === null ? null : upload.length === null ? bounded(upload.stream, upload) : upload.stream
        try {
          pool.dispatch({ path, method: origin.method, headers, body }, flow)
        } catch (fault) {
          // undici refuses some arguments by throwing; an unsendable request is the backend's trouble no more than the client's.
          flow.abort(new Refusal('PST5001', fault instanceof Error ? fault.name : 'dispatch'))
        }
      })
    },
    close: () => pool.close(),
  }
}

/** Where credentials travel in plain fields, the address that was really connected to must be this machine, whatever the URL says. */
const connector = (plan: UpstreamPlan, isSafeHop: IsSafeHop): Connector => {
  const { settings } = plan
  const connect = buildConnector({
    timeout: settings['connect-timeout'],
    allowH2: false,
    keepAlive: true,
    ...(settings.url.socketPath === null ? {} : { socketPath: settings.url.socketPath }),
    ...(plan.ca === null ? {} : { ca: plan.ca }),
    rejectUnauthorized: true,
  })
  if (settings.delivery === 'none') return connect
  return (options, callback) =>
    connect(options, (error, socket) => {
      if (error !== null || socket === null) return callback(error ?? new Error('no socket'), null)
      const peer = settings.url.socketPath === null ? (socket.remoteAddress ?? '') : 'unix'
      if (isSafeHop(plan, peer, 'encrypted' in socket)) return callback(null, socket)
      socket.destroy()
      return callback(new UnsafeHop('the connected address may not be shown a credential'), null)
    })
}

/** A chunked upload, cut when it grows too large; the backend then sees an incomplete body, never a terminator. */
async function* bounded(stream: IncomingMessage, upload: Upload): AsyncGenerator<Buffer> {
  let seen = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    seen += chunk.length
    upload.received(seen)
    if (seen > upload.maxBytes) throw new BodyTooLarge()
    yield chunk
  }
}
