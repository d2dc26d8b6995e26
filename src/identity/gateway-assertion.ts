import type { Asserted } from '../model/exchange.ts'
import { Refusal } from '../model/problem.ts'
import { type AlgorithmName, algorithms } from './algorithms.ts'
import type { JsonObject } from './json.ts'
import type { VerificationKey } from './jwk.ts'
import { KeySet } from './jwks.ts'
import { parseJws } from './token.ts'

/** Who in front signs, and for whom. */
export interface GatewaySigner {
  readonly issuer: string
  readonly audience: string
  /** Milliseconds. */
  readonly clockTolerance: number
  readonly keys: readonly VerificationKey[]
}

/** Explicit typing (RFC 8725 section 3.11): no token of a provider and no assertion of Postern's own is one, nor the other way round (T28). */
export const gatewayAssertionType = 'postern-gateway+jwt'

/** What serverless functions and proxies can sign with. */
export const gatewayAlgorithms: readonly AlgorithmName[] = ['EdDSA', 'ES256', 'RS256']

/** Characters. It is a field among others in the header block of a gateway. */
const longest = 4096
/** Seconds from `iat` to `exp`: it is made for one request. */
const longestLife = 60

/** Judges what a component in front signed; gives it, or why it proves nothing. Whether it was signed for this request is the edge's to say. */
export const gatewayAssertions = ({ keys, ...signer }: GatewaySigner): ((jws: string, now: number) => Asserted | string) => {
  const set = new KeySet(keys)
  return (text, now) => {
    const jws = text.length > longest ? `longer than ${longest} characters` : parseJws(text)
    if (typeof jws === 'string') return jws
    if (jws instanceof Refusal) return jws.detail
    if (jws.typ !== gatewayAssertionType) return 'typ'
    const alg = gatewayAlgorithms.find(one => one === jws.alg)
    if (alg === undefined) return 'alg'
    // Named even where one fits: the second key of a rotation must not be what makes the first one fail.
    const key = jws.kid === null ? null : set.pick(jws.kid, alg)
    if (key === null || key instanceof Refusal) return 'kid'
    const verified = algorithms[alg].verify(key.material, Buffer.from(jws.signed, 'latin1'), Buffer.from(jws.signature, 'base64url'))
    return verified ? claimsOf(jws.payload, key, signer, now) : 'signature'
  }
}

const claimsOf = (
  { iss, aud, iat, exp, nbf, jti, htm, host, htu }: JsonObject,
  { thumbprint }: VerificationKey,
  { issuer, audience, clockTolerance }: Omit<GatewaySigner, 'keys'>,
  now: number,
): Asserted | string => {
  if (iss !== issuer) return 'iss'
  // With a second audience, whoever that is could show it here.
  if (aud !== audience && !(Array.isArray(aud) && aud.length === 1 && aud[0] === audience)) return 'aud'
  if (!isDate(iat) || iat * 1000 > now + clockTolerance) return 'iat'
  if (!isDate(exp) || exp <= iat || exp - iat > longestLife) return 'exp'
  const until = exp * 1000 + clockTolerance
  if (now >= until) return 'expired'
  if (nbf !== undefined && !(isDate(nbf) && nbf * 1000 <= now + clockTolerance)) return 'nbf'
  if (!isText(jti, 256)) return 'jti'
  if (!isText(htm, 16)) return 'htm'
  if (!isText(host, 300)) return 'host'
  if (htu !== undefined && !isText(htu, longest)) return 'htu'
  return { signer: thumbprint, jti, until, method: htm, host, url: htu ?? null }
}

const isDate = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 253_402_300_799
const isText = (value: unknown, most: number): value is string => typeof value === 'string' && value !== '' && value.length <= most
