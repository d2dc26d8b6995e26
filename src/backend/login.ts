import { compactDecrypt, createLocalJWKSet, createRemoteJWKSet, importJWK, type JSONWebKeySet, type JWK, jwtVerify } from 'jose'

/** A login that Postern gave: minutes old, proved to work, and for one permission role. */
export interface Login {
  /** Permission role that the policy named. */
  readonly role: string
  readonly username: string
  readonly password: string
  /** Counts up with each rotation of the role. */
  readonly generation: number
  /** After this it may no longer log in; null: not said. */
  readonly notAfter: Date | null
}

/** Field values by lower-case name, as Node's `IncomingMessage.headers` has them. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** Of delivery `header`. Null where the request carries none: its policy rule names no role. */
export const readHeaders = (headers: Headers): Login | null => {
  const field = (name: string): string => String(headers[`x-postern-cassandra-${name}`] ?? '')
  const [username, password, expires] = [field('username'), field('password'), field('expires')]
  if (username === '' || password === '') return null
  const notAfter = expires === '' ? null : new Date(expires)
  return { role: field('role'), username, password, generation: Number(field('generation')), notAfter }
}

/** A login as Postern writes it into a file, an answer of its endpoint, or a sealed credential. Throws where it is none. */
export const readLogin = (value: unknown): Login => {
  const { role, username, password, generation, not_after: end } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof role !== 'string' || typeof username !== 'string' || typeof password !== 'string' || typeof generation !== 'number')
    throw new Error('this is no credential of Postern')
  const notAfter = typeof end === 'string' ? new Date(end) : typeof end === 'number' ? new Date(end * 1000) : null
  return { role, username, password, generation, notAfter }
}

export interface UnsealOptions {
  /** Private JWK whose public half stands in the upstream's `jwe-key-file`. */
  readonly key: JWK
  /** `assertion.issuer` of Postern. */
  readonly issuer: string
  /** Name of the upstream in Postern's configuration. */
  readonly audience: string
  /** Where Postern publishes its keys (`http://<listen.ops>/.well-known/jwks.json`), or the keys themselves. */
  readonly jwks: URL | JSONWebKeySet
}

/** Sealed credentials that were opened already: all requests of a generation carry the same bytes. */
const mostOpened = 256

/** Of delivery `jwe`: decrypts, and believes what is inside only if Postern signed it for this backend and it has not ended. Rejects otherwise. */
export const createUnsealer = ({ key, issuer, audience, jwks }: UnsealOptions): ((headers: Headers) => Promise<Login | null>) => {
  const keys = jwks instanceof URL ? createRemoteJWKSet(jwks) : createLocalJWKSet(jwks)
  const opened = new Map<string, { readonly login: Login; readonly until: number }>()
  const open = async (sealed: string): Promise<Login> => {
    const { plaintext } = await compactDecrypt(sealed, await importJWK(key, 'ECDH-ES'), {
      keyManagementAlgorithms: ['ECDH-ES'],
      contentEncryptionAlgorithms: ['A256GCM'],
    })
    const { payload } = await jwtVerify(plaintext, keys, { issuer, audience, typ: 'postern-cassandra+jwt', algorithms: ['EdDSA'] })
    const login = readLogin(payload)
    opened.set(sealed, { login, until: (payload.exp ?? 0) * 1000 })
    const [oldest] = opened.keys()
    if (opened.size > mostOpened && oldest !== undefined) opened.delete(oldest)
    return login
  }
  return async headers => {
    const sealed = headers['x-postern-cassandra-credential']
    if (typeof sealed !== 'string' || sealed === '') return null
    const known = opened.get(sealed)
    return known !== undefined && Date.now() < known.until ? known.login : open(sealed)
  }
}
