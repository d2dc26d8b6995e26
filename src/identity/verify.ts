import { Refusal } from '../model/problem.ts'
import { type AlgorithmName, algorithms, isAlgorithm } from './algorithms.ts'
import { type Accepted, acceptClaims, tokenTypeOf } from './claims.ts'
import type { VerificationKey } from './jwk.ts'
import type { TokenType } from './presets.ts'
import type { IssuerSettings } from './settings.ts'
import type { Jws } from './token.ts'

/** What an acceptable header says. */
export interface Header {
  readonly alg: AlgorithmName
  readonly type: TokenType
}

/** Judges what needs no key, so that no fetch is spent on a token that fails here. */
export const acceptHeader = (jws: Jws, settings: IssuerSettings): Header | Refusal => {
  const { alg } = jws
  if (!isAlgorithm(alg) || !settings.algorithms.includes(alg)) return new Refusal('PST3004', printable(alg))
  if (settings.kidRequired && jws.kid === null) return new Refusal('PST3005', 'no kid')
  const type = tokenTypeOf(jws.typ)
  return type !== null && settings.typ.includes(type) ? { alg, type } : new Refusal('PST3010', 'typ')
}

/** The signature first: nothing that a claim says is worth a more exact answer until somebody vouched for it. */
export const verifyToken = (jws: Jws, header: Header, settings: IssuerSettings, key: VerificationKey, now: number): Accepted | Refusal => {
  // The ring picked the key for this algorithm; a second look costs nothing and does not depend on the ring being right.
  if (!key.algorithms.includes(header.alg)) return new Refusal('PST3004', header.alg)
  const signature = Buffer.from(jws.signature, 'base64url')
  if (!algorithms[header.alg].verify(key.material, Buffer.from(jws.signed, 'latin1'), signature)) return new Refusal('PST3006')
  return acceptClaims(jws.payload, header.type, settings, now)
}

/** Unverified text for the audit record: short, and without what could spoil a line. */
export const printable = (text: string): string => text.slice(0, 120).replace(/[^\x20-\x7e]/g, '?')
