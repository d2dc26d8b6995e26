import type { Controller, Handler } from 'undici/lib/dispatcher/pool.js'
import type { Answer, Body, BodySink } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'

/** Thrown into an upload that grows beyond `limits.max-body`. */
export class BodyTooLarge extends Error {}

/** The connected socket is not one that a credential may travel over. */
export class UnsafeHop extends Error {}

/**
 * One request upstream, from dispatch to last byte: an undici handler on one side, a `Body` on the other. Everything that the handler API
 * of this undici version demands is in this file.
 */
export class Flow implements Body, Handler {
  readonly #settle: (result: Answer | Refusal) => void
  #controller: Controller | null = null
  #sink: BodySink | null = null
  #early: Buffer[] = []
  #answered = false
  #done = false
  #failed: Refusal | null = null
  #cancelled: Refusal | null = null

  constructor(settle: (result: Answer | Refusal) => void) {
    this.#settle = settle
  }

  /** Nothing more will come of it, for example because the client left before it was sent. */
  get over(): boolean {
    return this.#done
  }

  get whole(): Buffer | null {
    if (!this.#done || this.#failed || this.#early.length > 1) return null
    return this.#early[0] ?? Buffer.alloc(0)
  }

  open(sink: BodySink): void {
    for (const chunk of this.#early.splice(0)) if (!sink.write(chunk)) this.#controller?.pause()
    this.#sink = sink
    if (this.#failed) sink.fail(this.#failed)
    else if (this.#done) sink.end()
  }

  resume(): void {
    if (!this.#done) this.#controller?.resume()
  }

  /** The client is gone: nobody is to blame upstream. */
  cancel(): void {
    this.abort(new Refusal('PST1012'))
  }

  /** Gives up: before the head with `refusal` as the result, afterwards by breaking the body off. */
  abort(refusal: Refusal): void {
    if (this.#done || this.#cancelled) return
    this.#cancelled = refusal
    // Settled first: undici reports the abort back as an error of its own.
    this.#finish(refusal)
    this.#controller?.abort(new Error(refusal.row.reason))
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#cancelled) controller.abort(new Error(this.#cancelled.row.reason))
  }

  onResponseStart(_controller: Controller, status: number, fields: Readonly<Record<string, string | readonly string[]>>): void {
    // Interim responses (RFC 9110 section 15.2) are not relayed; 101 cannot come, as no upgrade is asked for here.
    if (status < 200 || this.#answered) return
    this.#answered = true
    const headers: string[] = []
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value === 'string') headers.push(name, value)
      else for (const one of value) headers.push(name, one)
    }
    this.#settle({ status, headers, body: this })
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#sink === null) this.#early.push(chunk)
    else if (!this.#sink.write(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.#done = true
    this.#sink?.end()
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    if (!this.#done) this.#finish(refusalFor(error))
  }

  #finish(refusal: Refusal): void {
    this.#done = true
    this.#failed = refusal
    if (this.#answered) this.#sink?.fail(refusal)
    else {
      this.#answered = true
      this.#settle(refusal)
    }
  }
}

/** The documented errors of undici and of sockets, as refusals (http reference 4.1 no. 15). The detail is the code, never an address. */
const refusalFor = (error: Error & { code?: string }): Refusal => {
  if (error instanceof BodyTooLarge) return new Refusal('PST1010')
  if (error instanceof UnsafeHop) return new Refusal('PST4003')
  const code = error.code ?? error.name
  switch (code) {
    case 'UND_ERR_CONNECT_TIMEOUT':
      return new Refusal('PST5005', code)
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return new Refusal('PST5003', code)
    case 'UND_ERR_SOCKET':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
    case 'UND_ERR_HEADERS_OVERFLOW':
      return new Refusal('PST5002', code)
    default:
      return code.startsWith('HPE_') ? new Refusal('PST5002', code) : new Refusal('PST5001', code)
  }
}
