import { Refusal } from '../model/problem.ts'
import { isCanonicalBase64url, isObject, type JsonObject } from './json.ts'

/** The keys that whoever shows a token must prove to hold, all of them (RFC 7800). */
export interface Binding {
  /** RFC 7638 thumbprint of the key of the DPoP proofs (RFC 9449 section 6.1), or null. */
  readonly jkt: string | null
  /** SHA-256 of the client's certificate (RFC 8705 section 3.1), or null. */
  readonly certificate: Buffer | null
}

/** Reads `cnf`; null where the token is for its bearer. A method that is not checked here must not be taken for none. */
export const bindingOf = (payload: JsonObject): Binding | null | Refusal => {
  if (!Object.hasOwn(payload, 'cnf')) return null
  const { cnf } = payload
  if (!isObject(cnf) || Object.keys(cnf).length === 0) return new Refusal('PST3012', 'cnf')
  for (const [member, value] of Object.entries(cnf))
    if ((member !== 'jkt' && member !== 'x5t#S256') || !isDigest(value)) return new Refusal('PST3012', 'cnf')
  const { jkt, 'x5t#S256': certificate } = cnf
  return Object.freeze({
    jkt: typeof jkt === 'string' ? jkt : null,
    certificate: typeof certificate === 'string' ? Buffer.from(certificate, 'base64url') : null,
  })
}

const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^[A-Za-z0-9_-]{43}$/.test(value) && isCanonicalBase64url(value)
