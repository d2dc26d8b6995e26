import { Refusal } from '../model/problem.ts'
import type { AlgorithmName } from './algorithms.ts'
import { isObject } from './json.ts'
import { readKey, Skipped, type VerificationKey } from './jwk.ts'

/** The usable keys of one provider. */
export class KeySet {
  readonly keys: readonly VerificationKey[]
  readonly #byKid = new Map<string, VerificationKey>()

  constructor(keys: readonly VerificationKey[]) {
    this.keys = keys
    for (const key of keys) if (key.kid !== null) this.#byKid.set(key.kid, key)
  }

  /** The key that a token's header means; null when the provider may have published it since. Never "some other key" (CVE-2026-89313). */
  pick(kid: string | null, alg: AlgorithmName): VerificationKey | Refusal | null {
    if (kid !== null) {
      const key = this.#byKid.get(kid)
      if (!key) return null
      return key.algorithms.includes(alg) ? key : new Refusal('PST3004', `${alg} is not for this key`)
    }
    const fits = this.keys.filter(key => key.algorithms.includes(alg))
    return fits.length > 1 ? new Refusal('PST3005', 'no kid, and several keys fit') : (fits[0] ?? null)
  }
}

export interface Loaded {
  readonly keys: readonly VerificationKey[]
  /** A line for each key left out. */
  readonly skipped: readonly { readonly key: string; readonly why: string; readonly expected: boolean }[]
}

/** Reads a JWKS. Rejects with what is wrong when it is none, or holds no key that could verify anything. */
export const readJwks = async (body: Buffer, maxKeys: number): Promise<Loaded> => {
  const found = listOf(body)
  if (found.length > maxKeys) throw new Error(`the JWKS holds ${found.length} keys; at most ${maxKeys} are read`)
  const keys: VerificationKey[] = []
  const skipped: { key: string; why: string; expected: boolean }[] = []
  for (const [i, jwk] of found.entries()) {
    const key = isObject(jwk) ? await readKey(jwk) : new Skipped('not an object')
    if (key instanceof Skipped) skipped.push({ key: labelOf(jwk, i), why: key.why, expected: key.expected })
    else keys.push(key)
  }
  const unique = keys.filter((key, i) => {
    const twice = key.kid !== null && keys.some(other => other !== key && other.kid === key.kid)
    if (twice) skipped.push({ key: `${key.kid} (${i})`, why: 'its kid stands twice', expected: false })
    return !twice
  })
  if (unique.length === 0)
    throw new Error(
      `the JWKS has no usable key${
        skipped.length > 0
          ? `: ${skipped
              .map(s => `${s.key}: ${s.why}`)
              .slice(0, 5)
              .join('; ')}`
          : ''
      }`,
    )
  return { keys: unique, skipped }
}

const listOf = (body: Buffer): readonly unknown[] => {
  let document: unknown
  try {
    document = JSON.parse(body.toString('utf8'))
  } catch {
    throw new Error('the JWKS is not JSON')
  }
  const list = isObject(document) ? document['keys'] : undefined
  if (!Array.isArray(list)) throw new Error('the JWKS has no list "keys"')
  return list
}

const labelOf = (jwk: unknown, index: number): string => {
  const kid = isObject(jwk) ? jwk['kid'] : undefined
  return typeof kid === 'string' ? kid.slice(0, 80) : `key ${index}`
}
