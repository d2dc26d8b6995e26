import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { forge, type Json, makeKey, signerOf, type TestKey } from './issuer.ts'

/** A client's key pair and what it publishes of it. */
export interface ClientKey extends TestKey {
  /** RFC 7638, as the `jose` package computes it. */
  readonly jkt: string
}

export const clientKey = async (alg: TestKey['alg'] = 'ES256'): Promise<ClientKey> => {
  const made = makeKey(alg, 'client')
  const jwk = made.publicKey.export({ format: 'jwk' }) as Json
  return { ...made, jwk, jkt: await calculateJwkThumbprint(jwk) }
}

export interface ProofChanges {
  readonly header?: Json
  readonly claims?: Json
  /** Signs instead of the key. */
  readonly signer?: (input: Buffer) => Buffer | string
}

/** A proof as RFC 9449 section 4.2 has it; `undefined` among the changes leaves a member out. */
export const proofOf = (key: ClientKey, token: string, url: string, now: number, changes: ProofChanges = {}): string => {
  const header = { typ: 'dpop+jwt', alg: key.alg, jwk: key.jwk, ...changes.header }
  const ath = createHash('sha256').update(token).digest('base64url')
  const claims = { jti: randomUUID(), htm: 'GET', htu: url, iat: Math.floor(now / 1000), ath, ...changes.claims }
  return forge(header, claims, changes.signer ?? signerOf(key))
}
