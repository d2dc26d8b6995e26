import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { systemClock } from '../../src/deps.ts'
import { createFetch } from '../../src/fetch.ts'
import type { Bounds } from '../../src/identity/bounds.ts'
import { defaultBounds } from '../../src/identity/bounds.ts'
import { createIdentifier, type Identifier } from '../../src/identity/identify.ts'
import type { ClientSecret } from '../../src/identity/introspection-settings.ts'
import type { IssuerEntry } from '../../src/identity/issuer-entry.ts'
import { type IssuerSettings, issuerSettings } from '../../src/identity/settings.ts'
import type { Deps, Fetch, FetchReply, Log } from '../../src/model/deps.ts'
import type { Identity } from '../../src/model/identity.ts'
import { Refusal } from '../../src/model/problem.ts'
import { ManualClock } from './manual-clock.ts'

export type Json = Readonly<Record<string, unknown>>

/** A manual clock whose wall time can be set back, as by an operator or NTP; the monotonic one goes on. */
export class SteppingClock extends ManualClock {
  #back = 0

  override now(): number {
    return super.now() - this.#back
  }

  setBack(ms: number): void {
    this.#back += ms
  }
}

/** Long enough for a chain of promises that waits for no I/O, WebCrypto's key import included. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn()
}

/** Turns the event loop until something holds; work on other threads, such as a key's import, needs as many turns as it needs. */
export const until = async (holds: () => boolean): Promise<void> => {
  const began = performance.now()
  while (performance.now() - began < 10_000) {
    if (holds()) return
    await turn()
  }
  throw new Error('it never came to hold')
}

export interface TestKey {
  readonly kid: string
  readonly alg: 'RS256' | 'PS256' | 'ES256' | 'EdDSA'
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** As published. */
  readonly jwk: Json
}

export const makeKey = (alg: TestKey['alg'], kid: string, extra: Json = { use: 'sig' }): TestKey => {
  const pair =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : alg === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid, alg, ...pair, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, ...extra } }
}

const encode = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A compact JWS of any header and payload, a text taken as it is; `signer` makes the signature from the signing input. */
export const forge = (header: unknown, payload: unknown, signer: (input: Buffer) => Buffer | string): string => {
  const input = `${encode(header)}.${encode(payload)}`
  const signature = signer(Buffer.from(input))
  return `${input}.${typeof signature === 'string' ? signature : signature.toString('base64url')}`
}

export const signerOf = (key: TestKey): ((input: Buffer) => Buffer) =>
  key.alg === 'EdDSA'
    ? input => sign(null, input, key.privateKey)
    : key.alg === 'ES256'
      ? input => sign('sha256', input, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
      : key.alg === 'PS256'
        ? input => sign('sha256', input, { key: key.privateKey, padding: 6, saltLength: 32 })
        : input => sign('sha256', input, key.privateKey)

export const hmacSigner =
  (secret: string | Buffer) =>
  (input: Buffer): Buffer =>
    createHmac('sha256', secret).update(input).digest()

/** Claims of an ordinary access token. Every key can be replaced; `undefined` leaves it out. */
export const claimsAt = (now: number, issuer: string, changes: Json = {}): Json => {
  const iat = Math.floor(now / 1000)
  return { iss: issuer, sub: 'anna', aud: 'api', iat, exp: iat + 3600, client_id: 'web', jti: 'j1', ...changes }
}

export const tokenOf = (key: TestKey, claims: Json, header: Json = {}): string =>
  forge({ alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header }, claims, signerOf(key))

/** A provider without a network: what its documents say, and how it answers, can be changed at any time. */
export class FakeProvider {
  readonly issuer: string
  keys: readonly unknown[]
  mode: 'up' | 'down' | 'hang' = 'up'
  discoveries = 0
  keyFetches = 0
  /** Replaces the metadata. */
  metadata: Json | null = null
  /** Calls that hang, to be let go by a test. */
  readonly hanging: (() => void)[] = []

  constructor(issuer: string, keys: readonly TestKey[]) {
    this.issuer = issuer
    this.keys = keys.map(key => key.jwk)
  }

  readonly fetch: Fetch = async url => {
    if (url === `${this.issuer}/jwks`) this.keyFetches++
    else this.discoveries++
    // What the provider answers is decided when the call arrives, not when it is let go.
    const body = url.endsWith('/jwks')
      ? { keys: this.keys }
      : (this.metadata ?? { issuer: this.issuer, jwks_uri: `${this.issuer}/jwks`, authorization_endpoint: `${this.issuer}/auth` })
    if (this.mode === 'hang') await new Promise<void>(fulfil => this.hanging.push(fulfil))
    if (this.mode === 'down') throw new Error('connect ECONNREFUSED')
    return jsonReply(body)
  }
}

const jsonReply = (body: unknown): FetchReply => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(body)),
})

/** One `Fetch` for several fake providers, chosen by the URL. */
export const route = (...providers: readonly FakeProvider[]): Fetch => {
  return (url, init) => {
    const provider = providers.find(each => url.startsWith(`${each.issuer}/`))
    return provider ? provider.fetch(url, init) : Promise.reject(new Error(`no provider at ${url}`))
  }
}

export interface LogLine {
  readonly level: keyof Log
  readonly message: string
  readonly [field: string]: unknown
}

export const memoryLog = (): Log & { readonly lines: LogLine[] } => {
  const lines: LogLine[] = []
  const at = (level: keyof Log) => (fields: Json, message: string) => void lines.push({ ...fields, level, message })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** An entry of `issuers:` as the reader of the configuration makes it. */
export const entryFor = (issuer: string, changes: Partial<IssuerEntry> = {}): IssuerEntry => ({
  issuer,
  'issuer-template': null,
  values: [],
  'jwks-uri': null,
  preset: null,
  compatibility: null,
  audiences: ['api'],
  algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  typ: ['at+jwt'],
  kid: 'optional',
  'audience-claims': ['aud'],
  'required-claims': new Map(),
  'one-of-claims': [],
  'one-of-scopes': [],
  'clock-tolerance': 30_000,
  'max-lifetime': 86_400_000,
  'ca-file': null,
  introspection: null,
  proxy: null,
  'allow-private-addresses': false,
  'allow-http-loopback': issuer.startsWith('http:'),
  from: new Map(),
  ...changes,
})

const only = (settings: readonly IssuerSettings[]): IssuerSettings => {
  const [one] = settings
  if (one === undefined || settings.length > 1) throw new Error(`${settings.length} issuers`)
  return one
}

/** Settings of the one issuer of an entry. */
export const settingsOf = (entry: IssuerEntry, ca: string | null = null, client: ClientSecret | null = null): IssuerSettings =>
  only(issuerSettings(entry, ca, client))

export const settingsFor = (issuer: string, changes: Partial<Omit<IssuerSettings, 'digest'>> = {}): IssuerSettings => {
  const { ca = null, audiences, algorithms, typ, clockTolerance, maxLifetime, allowHttpLoopback } = changes
  return settingsOf(
    entryFor(issuer, {
      ...(audiences && { audiences }),
      ...(algorithms && { algorithms }),
      ...(typ && { typ }),
      ...(clockTolerance !== undefined && { 'clock-tolerance': clockTolerance }),
      ...(maxLifetime !== undefined && { 'max-lifetime': maxLifetime }),
      ...(allowHttpLoopback !== undefined && { 'allow-http-loopback': allowHttpLoopback }),
    }),
    ca,
  )
}

export interface Bench {
  readonly clock: SteppingClock
  readonly log: ReturnType<typeof memoryLog>
  readonly identifier: Identifier
  readonly validated: string[]
  /** What the identifier makes of a bare token: an identity, or the code of its refusal. */
  code(token: string): Promise<string>
  identity(token: string): Promise<Identity>
}

/** An identifier on a still clock and fake providers. */
export const bench = (fetch: Fetch, bounds: Partial<Bounds> = {}): Bench => {
  const clock = new SteppingClock()
  const log = memoryLog()
  const validated: string[] = []
  const deps: Deps = { clock, log, fetch, random: bytes => Buffer.alloc(bytes, 127) }
  const observe = { validated: (issuer: string, result: string) => void validated.push(`${issuer} ${result}`) }
  const identifier = createIdentifier(deps, observe, { ...defaultBounds, ...bounds })
  const ask = async (token: string) => identifier.identify(`Bearer ${token}`)
  return {
    clock,
    log,
    identifier,
    validated,
    async code(token) {
      const result = await ask(token)
      return result instanceof Refusal ? result.code : 'ok'
    },
    async identity(token) {
      const result = await ask(token)
      if (result instanceof Refusal) throw new Error(`${result.code} ${result.detail}`)
      return result
    },
  }
}

export interface Gate {
  readonly identifier: Identifier
  /** Addresses asked, in order. */
  readonly asked: string[]
  /** `ok` or the code of the refusal. */
  code(token: string): Promise<string>
}

/** An identifier on the real clock and real sockets. The caller closes it. */
export const openGate = (settings: readonly IssuerSettings[], bounds: Partial<Bounds> = {}): Gate => {
  const asked: string[] = []
  const real = createFetch()
  const fetch: Fetch = (url, init) => {
    asked.push(url)
    return real(url, init)
  }
  const deps = { clock: systemClock, fetch, log: memoryLog(), random: (bytes: number) => Buffer.alloc(bytes, 1) }
  const identifier = createIdentifier(deps, { validated: () => undefined }, { ...defaultBounds, ...bounds })
  identifier.configure(settings)
  return {
    identifier,
    asked,
    async code(token) {
      const result = await identifier.identify(`Bearer ${token}`)
      return result instanceof Refusal ? result.code : 'ok'
    },
  }
}

export interface TestServer {
  readonly url: string
  stop(): Promise<void>
}

/** A real server on loopback that answers as badly as the handler likes. */
export const serve = async (handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<TestServer> => {
  const server: Server = createServer(handler)
  await new Promise<void>(fulfil => server.listen(0, '127.0.0.1', fulfil))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise(fulfil => {
        server.close(() => fulfil())
        server.closeAllConnections()
      }),
  }
}
