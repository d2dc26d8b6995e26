import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Body, Outgoing, Settled } from '../model/exchange.ts'

export interface Way {
  readonly socket: Socket
  /** The connection ends with this reply. */
  readonly close: boolean
  /** The request was a HEAD. */
  readonly bodyless: boolean
  /** Milliseconds a client may leave what was sent unread. */
  readonly stallMs: number
}

/** Up to this many bytes head and body leave as one string and one write, which costs half of two. */
export const oneWrite = 16 * 1024

/**
 * Calls back once when a reply has left or can no longer leave. A pipelined reply has no socket before its turn, and Node says nothing about
 * it when the connection ends first: then the connection is asked. (`res.req.socket` would not do: undici clears it once it has read an upload.)
 */
export const whenClosed = (res: ServerResponse, socket: Socket, listener: () => void): void => {
  if (res.socket !== null) {
    res.once('close', listener)
    return
  }
  const once = (): void => {
    res.off('close', once)
    socket.off('close', once)
    listener()
  }
  res.on('close', once)
  socket.on('close', once)
}

/**
 * Sends a reply and settles at its last byte, or when the client is gone. A body that breaks off ends in a reset: a tidy end would bless a
 * truncated reply as complete.
 */
export const sendReply = (res: ServerResponse, outgoing: Outgoing, way: Way): Promise<Settled> =>
  new Promise(resolve => {
    let bytes = 0
    whenClosed(res, way.socket, () => {
      if (!res.writableFinished && typeof outgoing.body !== 'string') outgoing.body.cancel()
      resolve({ bytes, aborted: !res.writableFinished })
    })
    if (res.destroyed || way.socket.destroyed) {
      if (typeof outgoing.body !== 'string') outgoing.body.cancel()
      return resolve({ bytes: 0, aborted: true })
    }
    const count = (size: number): void => {
      bytes += size
    }
    if (typeof outgoing.body === 'string') sendWhole(res, outgoing, Buffer.from(outgoing.body), way, count)
    else if (outgoing.body.whole !== null && outgoing.body.whole.length <= oneWrite)
      sendWhole(res, outgoing, outgoing.body.whole, way, count)
    else stream(res, outgoing, outgoing.body, way, count)
  })

type Count = (bytes: number) => void

const sendWhole = (res: ServerResponse, outgoing: Outgoing, body: Buffer, way: Way, count: Count): void => {
  const headers = outgoing.headers as string[]
  // A length that the backend stated stays (HEAD, 304 describe a body they do not carry); otherwise ours is the truth.
  const stated = hasLength(headers)
  const none = way.bodyless || outgoing.status === 204 || outgoing.status === 304
  const framed = stated || none ? headers : [...headers, 'content-length', String(body.length)]
  res.writeHead(outgoing.status, withClose(framed, way.close))
  if (!none) count(body.length)
  res.end(none ? undefined : body.toString('latin1'), 'latin1')
  // What the kernel did not take at once, or what waits behind other replies, is left unread for so long and no longer.
  if (res.socket === null || res.socket.writableLength > 0) {
    const stalled = setTimeout(() => way.socket.destroy(), way.stallMs)
    whenClosed(res, way.socket, () => clearTimeout(stalled))
  }
}

const stream = (res: ServerResponse, outgoing: Outgoing, body: Body, way: Way, count: Count): void => {
  res.writeHead(outgoing.status, withClose(outgoing.headers as string[], way.close))
  let stalled: NodeJS.Timeout | null = null
  let wrote = false
  res.on('drain', () => {
    if (stalled) clearTimeout(stalled)
    stalled = null
    body.resume()
  })
  res.once('close', () => stalled && clearTimeout(stalled))
  body.open({
    write(chunk) {
      wrote = true
      count(chunk.length)
      if (res.write(chunk)) return true
      stalled ??= setTimeout(() => res.destroy(), way.stallMs)
      return false
    },
    end: () => res.end(),
    fail: () => res.destroy(),
  })
  // A backend that sends its head long before its body (server-sent events) must not have the head held back.
  if (!wrote && !res.writableEnded && !res.destroyed) res.flushHeaders()
}

const withClose = (headers: readonly string[], close: boolean): string[] =>
  close ? [...headers, 'connection', 'close'] : (headers as string[])

const hasLength = (headers: readonly string[]): boolean => {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'content-length') return true
  return false
}
