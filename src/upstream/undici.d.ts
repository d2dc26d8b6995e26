// undici is imported by the two files that a proxy needs: its index would bring fetch, WebSocket and 20 MB with it.
// These paths are private to the pinned version; test/unit/upstream proves what is declared here.
declare module 'undici/lib/dispatcher/pool.js' {
  import type { Connector } from 'undici/lib/core/connect.js'

  export interface Controller {
    abort(reason: Error): void
    pause(): void
    resume(): void
  }

  export interface Handler {
    onRequestStart(controller: Controller): void
    /** Names in lower case; a repeated field is a list. */
    onResponseStart(controller: Controller, status: number, headers: Readonly<Record<string, string | readonly string[]>>): void
    onResponseData(controller: Controller, chunk: Buffer): void
    onResponseEnd(controller: Controller): void
    onResponseError(controller: Controller | null, error: Error): void
  }

  export interface DispatchOptions {
    readonly path: string
    readonly method: string
    readonly headers: readonly string[]
    readonly body: import('node:stream').Readable | AsyncIterable<Buffer> | null
  }

  export default class Pool {
    constructor(
      origin: string,
      options: {
        readonly connections: number | null
        readonly pipelining: number
        readonly allowH2: boolean
        readonly connect: Connector
        readonly headersTimeout: number
        readonly bodyTimeout: number
        readonly maxHeaderSize: number
      },
    )
    dispatch(options: DispatchOptions, handler: Handler): boolean
    close(): Promise<void>
    destroy(error: Error | null): Promise<void>
  }
}

declare module 'undici/lib/core/connect.js' {
  import type { Socket } from 'node:net'

  export type ConnectCallback = (error: Error | null, socket: Socket | null) => void
  export type Connector = (options: object, callback: ConnectCallback) => void

  export default function buildConnector(options: {
    readonly timeout: number
    readonly allowH2: boolean
    readonly keepAlive: boolean
    readonly rejectUnauthorized: boolean
    readonly socketPath?: string
    readonly ca?: string
  }): Connector
}
