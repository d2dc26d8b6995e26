import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { importJWK } from 'jose'
import { type AlgorithmName, algorithmNames, algorithms, isAlgorithm } from './algorithms.ts'
import type { JsonObject } from './json.ts'

/** A provider's public key, checked. One object for as long as the provider publishes it: caches hold on to it and watch `live`. */
export interface VerificationKey {
  readonly kid: string | null
  /** RFC 7638. */
  readonly thumbprint: string
  /** The only algorithms it may verify. */
  readonly algorithms: readonly AlgorithmName[]
  readonly material: KeyObject
  /** False from the moment the provider no longer publishes it, or its issuer is no longer configured. */
  live: boolean
}

/** A key that is left out. `expected`: not meant for verifying at all, so nothing is wrong with it. */
export class Skipped {
  readonly why: string
  readonly expected: boolean
  constructor(why: string, expected = false) {
    this.why = why
    this.expected = expected
  }
}

const members = { RSA: ['n', 'e'], EC: ['crv', 'x', 'y'], OKP: ['crv', 'x'] } as const

/**
 * Reads one member of a JWKS (RFC 7517). The libraries alone are not enough: they take an RSA key of exponent 1, with which the padded
 * digest is its own signature.
 */
export const readKey = async (jwk: JsonObject): Promise<VerificationKey | Skipped> => {
  const purpose = purposeOf(jwk)
  if (purpose) return purpose
  const fits = algorithmsOf(jwk)
  const [algorithm] = fits
  if (algorithm === undefined)
    return new Skipped(`kty ${String(jwk['kty'])}, crv ${String(jwk['crv'])}, alg ${String(jwk['alg'])} do not fit`)
  if (jwk['kid'] !== undefined && typeof jwk['kid'] !== 'string') return new Skipped('kid is not text')
  if (Object.hasOwn(jwk, 'd')) return new Skipped('a private key was published')
  const bare = bareOf(jwk, algorithm)
  if (bare instanceof Skipped) return bare
  try {
    const material = importChecked(bare)
    if (material instanceof Skipped) return material
    // A second library must read the same key.
    await importJWK(bare, algorithm)
    const canonical = bareOf(material.export({ format: 'jwk' }) as JsonObject, algorithm)
    if (canonical instanceof Skipped) return canonical
    const thumbprint = thumbprintOf(canonical)
    return { kid: jwk['kid'] ?? null, thumbprint, algorithms: fits, material, live: true }
  } catch (error) {
    return new Skipped(error instanceof Error ? error.message : String(error))
  }
}

/** Members of private and of symmetric keys (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1). */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const

/** The key that a client sends along with what it signed, if it is the one meant; held to what a provider's keys are held to. */
export const readClientKey = (jwk: JsonObject, algorithm: AlgorithmName, jkt: string): KeyObject | Skipped => {
  for (const member of secretMembers) if (Object.hasOwn(jwk, member)) return new Skipped(`a private key (${member})`)
  if (!algorithmsOf(jwk).includes(algorithm)) return new Skipped('does not fit alg')
  const bare = bareOf(jwk, algorithm)
  if (bare instanceof Skipped) return bare
  if (thumbprintOf(bare) !== jkt) return new Skipped('not the key of the token')
  try {
    return importChecked(bare)
  } catch {
    return new Skipped('no key')
  }
}

/** The required members alone, in the order of RFC 7638 section 3.2. */
const bareOf = (jwk: JsonObject, algorithm: AlgorithmName): Readonly<Record<string, string>> | Skipped => {
  const { kty } = algorithms[algorithm]
  const bare: Record<string, string> = {}
  for (const member of [...members[kty], 'kty'].sort()) {
    const value = jwk[member]
    if (typeof value !== 'string' || !/^[A-Za-z0-9_-]+$/.test(value)) return new Skipped(`${member} is not base64url`)
    bare[member] = value
  }
  return bare
}

/** RFC 7638. The values are base64url: JSON has one spelling for them. */
const thumbprintOf = (bare: Readonly<Record<string, string>>): string =>
  createHash('sha256').update(JSON.stringify(bare)).digest('base64url')

const importChecked = (bare: Readonly<Record<string, string>>): KeyObject | Skipped => {
  const material = createPublicKey({ key: bare, format: 'jwk' })
  const weak = weaknessOf(material)
  return weak === null ? material : new Skipped(weak)
}

const purposeOf = (jwk: JsonObject): Skipped | null => {
  if (jwk['kty'] === 'oct') return new Skipped('a symmetric key', true)
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return new Skipped(`use ${String(jwk['use'])}`, true)
  const operations = jwk['key_ops']
  if (operations === undefined) return null
  if (!Array.isArray(operations)) return new Skipped('key_ops is not a list')
  return operations.includes('verify') ? null : new Skipped('key_ops without verify', true)
}

/** RFC 8725 3.1: the key's own `alg` names the only algorithm; without one, its type and curve do. */
const algorithmsOf = (jwk: JsonObject): readonly AlgorithmName[] => {
  const fits = (name: AlgorithmName): boolean =>
    algorithms[name].kty === jwk['kty'] && (algorithms[name].crv === null || algorithms[name].crv === jwk['crv'])
  const { alg } = jwk
  return alg === undefined ? algorithmNames.filter(fits) : isAlgorithm(alg) && fits(alg) ? [alg] : []
}

/** Judged on what the library made of the key, not on its spelling: leading zeros do not lengthen a modulus. */
const weaknessOf = (material: KeyObject): string | null => {
  const { modulusLength = 0, publicExponent = 0n } = material.asymmetricKeyDetails ?? {}
  if (material.asymmetricKeyType === 'rsa') {
    if (modulusLength < 2048 || modulusLength > 8192) return `a modulus of ${modulusLength} bits; 2048 to 8192 are accepted`
    if (isRoca(material)) return 'a modulus that gives its factors away (CVE-2017-15361)'
    // The upper bound keeps verification cheap: its time grows with the exponent, which the provider chooses.
    return publicExponent % 2n === 1n && publicExponent >= 65_537n && publicExponent < 1n << 64n ? null : `an exponent of ${publicExponent}`
  }
  if (material.asymmetricKeyType === 'ed25519') return isSmallOrder(material) ? 'a point of small order' : null
  return null
}

const rocaPrimes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map(BigInt)
/** With what 65537 generates modulo each. A modulus of another make is in all of these groups once in two hundred million. */
const rocaGroups: readonly (readonly [bigint, ReadonlySet<bigint>])[] = rocaPrimes.map(prime => {
  const group = new Set<bigint>()
  for (let power = 1n; !group.has(power); power = (power * 65_537n) % prime) group.add(power)
  return [prime, group]
})

/** Keys of a smart card library that made primes of powers of 65537: who has the public one can compute the private one. */
const isRoca = (material: KeyObject): boolean => {
  const n = BigInt(`0x${Buffer.from(material.export({ format: 'jwk' }).n ?? '', 'base64url').toString('hex') || '0'}`)
  return rocaGroups.every(([prime, group]) => group.has(n % prime))
}

const p25519 = 2n ** 255n - 19n
/**
 * y coordinates of the points whose order divides 8: with one of them as the key, a signature can be made without a secret for every
 * message or every few. OpenSSL 3.0 verifies it; 3.5 no longer does, and is not relied on.
 */
const smallOrder: readonly bigint[] = [
  0n,
  1n,
  p25519 - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  p25519 - 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
]

const isSmallOrder = (material: KeyObject): boolean => {
  const x = Buffer.from(material.export({ format: 'jwk' }).x ?? '', 'base64url')
  // RFC 8032 5.1.2: little-endian y, the sign of x in the topmost bit.
  const y = BigInt(`0x${Buffer.from(x).reverse().toString('hex') || '0'}`) & (2n ** 255n - 1n)
  return smallOrder.includes(y % p25519)
}
