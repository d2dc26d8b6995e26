import { constants, type KeyObject, verify } from 'node:crypto'

export const defaultAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const
/** ES384 must be named: AWS STS signs with it, hardly anybody else does. */
export const algorithmNames = [...defaultAlgorithms, 'ES384'] as const
export type AlgorithmName = (typeof algorithmNames)[number]

/** All that the code knows about one `alg`. There is no row for `none` or HS*, so neither can be reached by any token. */
interface Algorithm {
  /** The key that it fits: JWK `kty`, and `crv` where the type has curves. The key decides, never the token's header. */
  readonly kty: 'RSA' | 'EC' | 'OKP'
  readonly crv: string | null
  /** Synchronous: about a quarter of the time of WebCrypto's promise for RS256, and no microtask on the way to a decision. */
  verify(key: KeyObject, signed: Buffer, signature: Buffer): boolean
}

/** Orders of the groups (FIPS 186-5). */
const p256Order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const p384Order = Buffer.from('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973', 'hex')

/**
 * RFC 7518 3.4: r and s side by side. A DER signature is another spelling and is refused; so are zero and oversized values before the
 * library sees them (CVE-2022-21449: r = s = 0 passed for every message).
 */
const ecdsa = (hash: string, order: Buffer): Algorithm['verify'] => {
  const size = order.length
  const inGroup = (scalar: Buffer): boolean => Buffer.compare(scalar, order) < 0 && scalar.some(byte => byte !== 0)
  return (key, signed, signature) =>
    signature.length === 2 * size &&
    inGroup(signature.subarray(0, size)) &&
    inGroup(signature.subarray(size)) &&
    verify(hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
}

export const algorithms: Readonly<Record<AlgorithmName, Algorithm>> = {
  RS256: { kty: 'RSA', crv: null, verify: (key, signed, signature) => verify('sha256', signed, key, signature) },
  PS256: {
    kty: 'RSA',
    crv: null,
    // RFC 7518 3.5: the salt is as long as the digest. OpenSSL's default on verification takes any length.
    verify: (key, signed, signature) =>
      verify('sha256', signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, signature),
  },
  ES256: { kty: 'EC', crv: 'P-256', verify: ecdsa('sha256', p256Order) },
  ES384: { kty: 'EC', crv: 'P-384', verify: ecdsa('sha384', p384Order) },
  EdDSA: {
    kty: 'OKP',
    crv: 'Ed25519',
    verify: (key, signed, signature) => signature.length === 64 && verify(null, signed, key, signature),
  },
}

export const isAlgorithm = (name: unknown): name is AlgorithmName => (algorithmNames as readonly unknown[]).includes(name)
