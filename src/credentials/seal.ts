import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { CompactEncrypt, importJWK, type JWK } from 'jose'
import type { Credential, RecipientKey } from '../model/credential.ts'

/** Who seals: the installation's name and its Ed25519 key. */
export interface Sealer {
  readonly issuer: string
  readonly key: KeyObject
}

/** Explicit typing (RFC 8725 section 3.11): a credential is never taken for an assertion or an access token, nor the other way round. */
export const credentialType = 'postern-cassandra+jwt'

/** Of a credential without an end, as files may hold: sealed anew well before. */
export const unlimitedMs = 3_600_000

/** Public members of an EC or OKP key that ECDH-ES can use (RFC 7518 section 4.6), or what is wrong with it. Never repeats what stands there. */
export const readRecipientKey = (text: string): RecipientKey | string => {
  let jwk: unknown
  try {
    jwk = JSON.parse(text)
  } catch {
    return 'is not JSON; write the public JWK of the backend.'
  }
  if (typeof jwk !== 'object' || jwk === null) return 'is not a JWK; write the public JWK of the backend.'
  const { kty, crv, x, y, kid, d } = jwk as JWK
  if (d !== undefined) return 'holds a private key, which belongs to the backend alone; write the public JWK, without "d".'
  const isEc = kty === 'EC' && (crv === 'P-256' || crv === 'P-384' || crv === 'P-521') && typeof y === 'string'
  const isX = kty === 'OKP' && crv === 'X25519'
  if (typeof x !== 'string' || !(isEc || isX))
    return 'is no key for ECDH-ES; write a JWK with kty EC (P-256, P-384, P-521) or OKP (X25519).'
  const own: Record<string, string> = { kty, crv, x, ...(typeof y === 'string' ? { y } : {}), ...(typeof kid === 'string' ? { kid } : {}) }
  try {
    createPublicKey({ key: own, format: 'jwk' })
  } catch {
    return 'holds no point of its curve; write the public JWK of the backend.'
  }
  return { jwk: own }
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const seconds = (ms: number): number => Math.floor(ms / 1000)
/** Never before what is promised: with a short overlap, a part of a second is most of the time that is left for handing out the next one. */
const end = (ms: number): number => Math.ceil(ms / 1000)

/**
 * A compact JWE (ECDH-ES, A256GCM) around a JWS by Postern's key. Anybody can encrypt to a public key, so it is the signature inside that the
 * backend trusts. Contact points are not in it: which cluster to believe is the backend's own configuration.
 */
export const seal = async (credential: Credential, by: Sealer, to: RecipientKey, audience: string, now: number): Promise<string> => {
  const { role, username, password, generation, notAfter, nextAt } = credential
  const ends = Number.isFinite(notAfter) ? notAfter : now + unlimitedMs
  const header = { alg: 'EdDSA', typ: credentialType, kid: thumbprint(by.key) }
  const payload = {
    iss: by.issuer,
    aud: audience,
    iat: seconds(now),
    exp: end(ends),
    username,
    password: password.open(),
    role,
    generation,
    not_after: Number.isFinite(notAfter) ? end(notAfter) : null,
    next_at: Number.isFinite(nextAt) ? seconds(nextAt) : null,
  }
  const input = `${part(header)}.${part(payload)}`
  const jws = `${input}.${sign(null, Buffer.from(input), by.key).toString('base64url')}`
  const { kid } = to.jwk
  return new CompactEncrypt(Buffer.from(jws))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', typ: credentialType, cty: 'JWT', ...(kid === undefined ? {} : { kid }) })
    .encrypt(await importJWK(to.jwk, 'ECDH-ES'))
}

const thumbprint = (key: KeyObject): string => {
  const { crv, kty, x } = createPublicKey(key).export({ format: 'jwk' })
  return createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url')
}
