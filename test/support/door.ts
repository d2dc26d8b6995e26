import { claimsAt, type Json, makeKey, serve, type TestKey, tokenOf } from './issuer.ts'
import { gatewaySecret, type PosternOptions, type Recorder, sendRaw, startPostern, startRecorder, type TestPostern } from './postern.ts'

/** The whole proxy, between a backend that keeps what reaches it and an issuer whose key signs whatever a test likes. */
export interface Door {
  readonly issuer: string
  readonly key: TestKey
  readonly backend: Recorder
  readonly postern: TestPostern
  /** A token of acme's staff; a change of `undefined` leaves a claim out. */
  token(changes?: Json, header?: Json): string
  /** A request as the gateway writes it, its target and further fields byte for byte; the connection ends after it. */
  raw(target: string, fields?: readonly string[], method?: string): Promise<string>
  stop(): Promise<void>
}

export interface DoorOptions {
  readonly policies?: (issuer: string) => Readonly<Record<string, string>>
  readonly sections?: (upstreamPort: number, issuer: string) => Readonly<Record<string, string>>
  readonly files?: PosternOptions['files']
}

export const openDoor = async ({ policies, sections, files = {} }: DoorOptions = {}): Promise<Door> => {
  const key = makeKey('ES256', 'door')
  const provider = await serve((request, response) => {
    const body = request.url === '/jwks' ? { keys: [key.jwk] } : { issuer: provider.url, jwks_uri: `${provider.url}/jwks` }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  const backend = await startRecorder()
  const issuer = provider.url
  const postern = await startPostern({
    issuer,
    upstreamPort: backend.port,
    files,
    ...(sections === undefined ? {} : { sections: sections(backend.port, issuer) }),
    ...(policies === undefined ? {} : { policies: policies(issuer) }),
  })
  // Otherwise every test that expects a refusal would pass.
  if (postern.log().includes('NOT served')) throw new Error(postern.log())
  const token: Door['token'] = (changes = {}, header = {}) =>
    tokenOf(key, claimsAt(Date.now(), issuer, { aud: 'postern-demo', tenant: 'acme', groups: ['staff'], ...changes }), header)
  const usual = token()
  return {
    issuer,
    key,
    backend,
    postern,
    token,
    raw: (target, fields = [], method = 'GET') => sendRaw(postern.port, headOf(method, target, usual, fields)),
    async stop() {
      await postern.stop()
      await backend.close()
      await provider.stop()
    },
  }
}

/** What `fields` name replaces the usual field of that name. */
const headOf = (method: string, target: string, token: string, fields: readonly string[]): string => {
  const usual = [
    'host: acme.test',
    'x-postern-host: acme.test',
    `x-postern-gateway-proof: ${gatewaySecret}`,
    `authorization: Bearer ${token}`,
    'connection: close',
  ]
  const nameOf = (field: string): string => field.slice(0, field.indexOf(':')).toLowerCase()
  const named = new Set(fields.map(nameOf))
  return `${[`${method} ${target} HTTP/1.1`, ...usual.filter(field => !named.has(nameOf(field))), ...fields].join('\r\n')}\r\n\r\n`
}
