import { createHash } from 'node:crypto'
import { Refusal } from '../model/problem.ts'
import { canonicalUrl } from '../model/target.ts'
import { algorithms, defaultAlgorithms } from './algorithms.ts'
import { isObject, type JsonObject } from './json.ts'
import { readClientKey, Skipped } from './jwk.ts'
import { type Jws, parseJws } from './token.ts'

/** What a proof must have been made for. */
export interface Occasion {
  readonly method: string
  /** Base of the public URL, and the path that follows it; null where nothing says what clients call. */
  readonly publicUrl: string | null
  readonly path: string
  readonly token: string
  /** Thumbprint of the key that the token is bound to. */
  readonly jkt: string
  /** Milliseconds. */
  readonly now: number
  readonly maxAge: number
  readonly tolerance: number
  /** Whether a nonce is one of ours and fresh; null where none is asked for. */
  readonly freshNonce: ((nonce: unknown) => boolean) | null
}

/** Characters. The largest that has a use, with an RSA key of 8192 bits, ends below this. */
const longest = 6 * 1024

const refused = (check: string): Refusal => new Refusal('PST3015', check)

/** The `jti` of a proof that passes every check of RFC 9449 section 4.3 but that of its replay. */
export const verifyProof = (proof: string | null, occasion: Occasion): string | Refusal => {
  if (proof === null) return refused('no DPoP field')
  const jws = proof.length > longest ? refused(`longer than ${longest} characters`) : parseJws(proof, ['jwk'])
  if (jws instanceof Refusal) return refused(jws.detail)
  if (jws.typ !== 'dpop+jwt') return refused('typ')
  return keyRefusal(jws, occasion.jkt) ?? claimsOf(jws.payload, occasion)
}

/** The key first by its thumbprint: no signature is checked for a key that is not the token's, at the wish of whoever sends it. */
const keyRefusal = ({ alg, jwk, signed, signature }: Jws, jkt: string): Refusal | null => {
  const algorithm = defaultAlgorithms.find(name => name === alg)
  if (algorithm === undefined) return refused('alg')
  if (!isObject(jwk)) return refused('jwk')
  const key = readClientKey(jwk, algorithm, jkt)
  if (key instanceof Skipped) return refused(`jwk: ${key.why}`)
  const verified = algorithms[algorithm].verify(key, Buffer.from(signed, 'latin1'), Buffer.from(signature, 'base64url'))
  return verified ? null : refused('signature')
}

const claimsOf = ({ jti, htm, htu, iat, ath, nonce }: JsonObject, occasion: Occasion): string | Refusal => {
  if (typeof jti !== 'string' || jti === '' || jti.length > 256) return refused('jti')
  if (htm !== occasion.method) return refused('htm')
  if (!isFor(htu, occasion)) return refused('htu')
  if (ath !== createHash('sha256').update(occasion.token).digest('base64url')) return refused('ath')
  if (occasion.freshNonce !== null && !occasion.freshNonce(nonce)) return new Refusal('PST3017', 'nonce')
  if (typeof iat !== 'number') return refused('iat')
  const age = occasion.now - iat * 1000
  return age <= occasion.maxAge + occasion.tolerance && age >= -occasion.tolerance ? jti : refused('iat')
}

/**
 * Both sides in one spelling, without query and fragment. What the request itself says of its host has no part in it: a proof caught at
 * another server would be as good here as there.
 */
const isFor = (htu: unknown, { publicUrl, path }: Occasion): boolean => {
  const meant = typeof htu === 'string' ? canonicalUrl(htu) : null
  return publicUrl !== null && meant !== null && (meant === publicUrl + path || (path === '/' && meant === publicUrl))
}
