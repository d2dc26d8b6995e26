import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type Endpoint, formatEndpoint, parseDuration } from '../config/values.ts'
import type { Credential, Unavailable } from '../model/credential.ts'
import type { Clock } from '../model/deps.ts'
import type { Observe } from './events.ts'
import { shownCredential } from './shown.ts'

/** One backend that may ask, and for what. */
export interface Bearer {
  /** For the audit: the name of its token file. */
  readonly name: string
  /** SHA-256 of the token. */
  readonly digest: Buffer
  readonly roles: readonly string[]
}

export interface EndpointOptions {
  readonly listen: Endpoint
  readonly clock: Clock
  readonly observe: Observe
  /** Read afresh for each request, so that a token can be changed. */
  bearers(): readonly Bearer[]
  current(role: string): Credential | Unavailable
  /** Calls back on every change of any credential, until the returned function is called. */
  onChange(listener: () => void): () => void
}

export interface CredentialEndpoint {
  readonly server: Server
  /** Host names by which it may be called; known once it listens. */
  bound(at: Endpoint): void
  close(): Promise<void>
}

/** Requests that wait for the next generation; one backend needs one. */
const mostWaiting = 16
const longestWait = 60_000
const prefix = '/v1/cassandra-credentials/'

/** `GET /v1/cassandra-credentials/{role}` for backends that fetch their credential (credentials design, deliveries). */
export const createCredentialEndpoint = (options: EndpointOptions): CredentialEndpoint => {
  const endpoint = new Handout(options)
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000, maxHeaderSize: 8192 }, (request, response) =>
    endpoint.answer(request).then(
      answer => send(response, answer),
      () => response.destroy(),
    ),
  )
  return {
    server,
    bound: at => endpoint.bound(at),
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

interface Answer {
  readonly status: number
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
}

const refused = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  body: { title: code.replaceAll('-', ' '), status, code },
  headers,
})

class Handout {
  readonly #options: EndpointOptions
  #hosts: readonly string[] = []
  #waiting = 0

  constructor(options: EndpointOptions) {
    this.#options = options
  }

  /** A page in a browser on this machine, or a server made to send a request, names another host. */
  bound(at: Endpoint): void {
    this.#hosts = 'path' in at ? [] : [formatEndpoint(at), `localhost:${at.port}`]
  }

  async answer(request: IncomingMessage): Promise<Answer> {
    const url = new URL(`http://localhost${request.url?.startsWith('/') ? request.url : '/'}`)
    const admitted = this.#admit(request, url)
    if ('status' in admitted) return admitted
    const { bearer, role } = admitted
    const after = Number(url.searchParams.get('after') ?? 0)
    const wait = parseDuration(url.searchParams.get('wait') ?? '0s')
    if (!Number.isSafeInteger(after) || wait === null) return refused(400, 'bad-request')
    if (!(await this.#later(role, after, Math.min(wait, longestWait), request)))
      return refused(503, 'too-many-waiting', { 'retry-after': '5' })
    return this.#hand(role, bearer, after, request.headers['if-none-match'])
  }

  /** Method, host and the required header first: a forged request of a browser or of a server that follows links fails before its token is looked at. */
  #admit(request: IncomingMessage, { pathname }: URL): Answer | { readonly bearer: Bearer; readonly role: string } {
    if (request.method !== 'GET') return refused(405, 'get-only')
    if (this.#hosts.length > 0 && !this.#hosts.includes(request.headers.host ?? '')) return refused(403, 'host-not-allowed')
    if (request.headers['x-postern-request'] !== 'true') return refused(403, 'x-postern-request-missing')
    const token = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1]
    const bearer = token === undefined ? null : this.#bearer(token)
    if (bearer === null) return refused(401, 'unauthenticated', { 'www-authenticate': 'Bearer' })
    if (!pathname.startsWith(prefix)) return refused(404, 'not-found')
    const role = pathname.slice(prefix.length)
    return bearer.roles.includes(role) ? { bearer, role } : refused(403, 'role-not-allowed')
  }

  /** Every token is compared, so that time tells neither which nor how much of it fitted. */
  #bearer(token: string): Bearer | null {
    const digest = createHash('sha256').update(token).digest()
    let found: Bearer | null = null
    for (const bearer of this.#options.bearers()) if (timingSafeEqual(bearer.digest, digest)) found = bearer
    return found
  }

  /** Settles now, or when a later generation than `after` is there, or when the time is up or the caller gone. False: too many wait already. */
  #later(role: string, after: number, wait: number, request: IncomingMessage): boolean | Promise<boolean> {
    const { clock, onChange, current } = this.#options
    const isLater = (): boolean => {
      const answer = current(role)
      return !('unavailable' in answer) && answer.generation > after
    }
    if (wait === 0 || isLater()) return true
    if (this.#waiting >= mostWaiting) return false
    this.#waiting++
    return new Promise(resolve => {
      const end = (): void => {
        timer.cancel()
        forget()
        request.socket.off('close', end)
        this.#waiting--
        resolve(true)
      }
      const timer = clock.after(wait, end)
      const forget = onChange(() => isLater() && end())
      request.socket.once('close', end)
    })
  }

  #hand(role: string, bearer: Bearer, after: number, known: string | undefined): Answer {
    const answer = this.#options.current(role)
    if ('unavailable' in answer) return refused(503, answer.unavailable, { 'retry-after': '5' })
    const etag = `"${role}.${answer.generation}.${answer.notAfter}"`
    if (known === etag || (after > 0 && answer.generation <= after)) return { status: 304, headers: { etag } }
    this.#options.observe({ kind: 'handover', role, generation: answer.generation, via: 'endpoint', to: bearer.name })
    return { status: 200, body: shownCredential(answer), headers: { etag } }
  }
}

const send = (response: ServerResponse, { status, body, headers }: Answer): void => {
  const text = body === undefined ? '' : `${JSON.stringify(body)}\n`
  const type = status === 200 ? 'application/json' : 'application/problem+json'
  response.writeHead(status, {
    'cache-control': 'no-store',
    ...(body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
    ...headers,
  })
  response.end(text)
}
