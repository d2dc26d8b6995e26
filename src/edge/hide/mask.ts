import type { Transform } from 'node:stream'
import type { Clock } from '../../model/deps.ts'
import type { Answer, Body, BodySink, Method } from '../../model/exchange.ts'
import type { HidePath } from '../../model/obligation.ts'
import { Refusal } from '../../model/problem.ts'
import { oneWrite } from '../reply.ts'
import { type Content, contentOf, impossible } from './content.ts'
import { Cutter } from './cutter.ts'
import type { HideMemory, Share } from './memory.ts'

export interface MaskRoom {
  readonly clock: Clock
  readonly memory: HideMemory
  /** Bytes of one reply, decoded or not: `upstreams.*.hide-buffer`. */
  readonly maxBytes: number
  /** Milliseconds until the reply must be whole. */
  readonly deadline: number
}

export interface Masked {
  readonly body: Body
  readonly bytes: number
  /** Members removed. */
  readonly hidden: number
}

/** Fields that describe the body as the backend sent it: bytes, digests, and what to ask for parts of it. */
export const describesBody: ReadonlySet<string> = new Set([
  'accept-ranges',
  'content-digest',
  'content-encoding',
  'content-length',
  'content-md5',
  'digest',
  'etag',
  'repr-digest',
])

/**
 * The reply's body without the members at `paths`. It is held until all of it has been read: what was sent cannot be taken back, so a text
 * that turns out to be unmaskable at its last byte must not have begun.
 */
export const mask = (paths: readonly HidePath[], method: Method, answer: Answer, room: MaskRoom): Promise<Masked | Refusal> => {
  const content = contentOf(method, answer)
  if (content instanceof Refusal) {
    answer.body.cancel()
    return Promise.resolve(content)
  }
  const gathering = new Gathering(answer.body, content === 'none' ? null : new Cutter(paths), content, room)
  answer.body.open(gathering)
  return gathering.result
}

class Gathering implements BodySink {
  readonly #outcome = Promise.withResolvers<Masked | Refusal>()
  readonly #source: Body
  /** Null where nothing may come. */
  readonly #cutter: Cutter | null
  readonly #decoder: Transform | null
  readonly #decoderMemory: number
  readonly #share: Share
  readonly #maxBytes: number
  readonly #late: { cancel(): void }
  #coded = 0
  #decoded = 0
  #settled = false

  constructor(source: Body, cutter: Cutter | null, content: Content, { clock, memory, maxBytes, deadline }: MaskRoom) {
    const coding = content === 'none' || content.coding === 'identity' ? null : content.coding
    this.#source = source
    this.#cutter = cutter
    this.#decoder = coding && this.#listen(coding.open())
    this.#decoderMemory = coding?.memory ?? 0
    this.#share = memory.share()
    this.#maxBytes = maxBytes
    this.#late = clock.after(deadline, () => this.#settle(new Refusal('PST5003', 'masked reply')))
  }

  get result(): Promise<Masked | Refusal> {
    return this.#outcome.promise
  }

  write(chunk: Buffer): boolean {
    if (this.#settled) return true
    this.#coded += chunk.length
    // Empty blocks of a coding cost time and decode to nothing: what comes is bounded too.
    if (this.#coded > this.#maxBytes) this.#settle(impossible('too large'))
    else if (this.#decoder !== null) return this.#decoder.write(chunk)
    else this.#take(chunk)
    return true
  }

  end(): void {
    if (this.#settled) return
    if (this.#decoder === null) this.#finish()
    else this.#decoder.end()
  }

  fail(why: Refusal): void {
    this.#settle(why)
  }

  #listen(decoder: Transform): Transform {
    decoder.on('data', (chunk: Buffer) => this.#take(chunk))
    decoder.on('drain', () => this.#source.resume())
    decoder.on('end', () => this.#finish())
    decoder.on('error', () => this.#settle(impossible('content-encoding')))
    return decoder
  }

  #take(chunk: Buffer): void {
    if (this.#settled) return
    this.#decoded += chunk.length
    if (this.#decoded > this.#maxBytes) return void this.#settle(impossible('too large'))
    if (this.#cutter === null) return void (chunk.length > 0 && this.#settle(impossible('content-type')))
    try {
      this.#cutter.write(chunk)
      const fits = this.#share.hold(this.#cutter.memory + this.#decoderMemory)
      if (this.#cutter.fault !== null) this.#settle(impossible(this.#cutter.fault))
      else if (!fits) this.#settle(new Refusal('PST1301', 'hide-memory'))
    } catch (fault) {
      this.#break(fault)
    }
  }

  #finish(): void {
    if (this.#settled) return
    try {
      const left = this.#cutter === null ? Buffer.alloc(0) : this.#cutter.end()
      if (left === null) this.#settle(impossible(this.#cutter?.fault ?? ''))
      else this.#settle({ body: heldBody(left, this.#share), bytes: left.length, hidden: this.#cutter?.hidden ?? 0 })
    } catch (fault) {
      this.#break(fault)
    }
  }

  /** A fault of ours, in a callback of the decoder: thrown on from there it would end the process instead of the request. */
  #break(fault: unknown): void {
    this.#outcome.reject(fault)
    this.#settle(new Refusal('PST9001'))
  }

  #settle(result: Masked | Refusal): void {
    if (this.#settled) return
    this.#settled = true
    this.#late.cancel()
    this.#decoder?.destroy()
    if (result instanceof Refusal) {
      this.#share.release()
      this.#source.cancel()
    }
    this.#outcome.resolve(result)
  }
}

/** How much is handed on between two looks at whether the client reads. */
const piece = 64 * 1024

/** A small reply leaves in one write and is then the connection's; a large one gives its memory back when it has left, or cannot any more. */
const heldBody = (left: Buffer, share: Share): Body => {
  const isSmall = left.length <= oneWrite
  // A copy, so that the little that is left does not keep the large buffer that it was read into.
  const bytes = isSmall ? Buffer.from(left) : left
  if (isSmall) share.release()
  const state: { sink: BodySink | null; at: number } = { sink: null, at: 0 }
  const resume = (): void => {
    while (state.sink !== null && state.at < bytes.length) {
      const from = state.at
      state.at += piece
      if (!state.sink.write(bytes.subarray(from, state.at))) return
    }
    share.release()
    state.sink?.end()
    state.sink = null
  }
  return {
    whole: isSmall ? bytes : null,
    open(sink) {
      state.sink = sink
      resume()
    },
    resume,
    cancel: share.release,
  }
}
