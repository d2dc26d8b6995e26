import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto'
import type { Clock } from '../model/deps.ts'
import type { Identity } from '../model/identity.ts'
import type { Permit } from '../model/permit.ts'

/** What vouching needs; `keys` are Ed25519 private keys, the first of which signs. */
export interface AssertionKeys {
  readonly issuer: string
  /** Milliseconds. */
  readonly lifetime: number
  readonly keys: readonly KeyObject[]
}

export interface Assertions {
  /** Null: none is configured. */
  configure(keys: AssertionKeys | null): void
  /** A compact JWS for this backend, or null where none is configured. */
  assert(permit: Permit, identity: Identity, audience: string): string | null
  /** The JWKS (RFC 7517) with which backends check it, as JSON. */
  jwks(): string
}

/** Explicit typing (RFC 8725 section 3.11): no validator that expects an access token takes it for one, Postern's own included (CVE-2024-47616). */
export const assertionType = 'postern-assertion+jwt'

interface Made {
  readonly tenant: string
  readonly audience: string
  readonly jws: string
  /** Since the epoch; a new one is made from here on. */
  readonly until: number
}

interface Signer {
  readonly keys: AssertionKeys
  readonly header: string
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * One assertion serves a caller, a tenant and a backend for half its lifetime: a signature for each request would cost more than the rest of the
 * decision. It dies with the identity object and with a change of keys.
 */
export const createAssertions = (clock: Clock): Assertions => {
  let signer: Signer | null = null
  let made = new WeakMap<Identity, Made>()
  return {
    configure(keys) {
      signer = keys === null ? null : { keys, header: headerOf(keys.keys[0], assertionType) }
      made = new WeakMap()
    },
    assert(permit, identity, audience) {
      if (signer === null) return null
      const now = clock.now()
      const known = made.get(identity)
      if (known !== undefined && known.tenant === permit.tenant && known.audience === audience && now < known.until) return known.jws
      const { lifetime } = signer.keys
      const jws = signed(signer, payloadOf(signer.keys, permit, identity, audience, now))
      made.set(identity, { tenant: permit.tenant, audience, jws, until: Math.min(now + lifetime / 2, identity.expiresAt) })
      return jws
    },
    jwks: () =>
      JSON.stringify({
        keys: (signer?.keys.keys ?? []).map(key => ({ ...publicOf(key), kid: thumbprint(key), alg: 'EdDSA', use: 'sig' })),
      }),
  }
}

/** `sub` is unique within `token_iss` only; `act` is the chain of agents, outermost first (RFC 8693 section 4.1). */
const payloadOf = ({ issuer, lifetime }: AssertionKeys, { tenant }: Permit, identity: Identity, audience: string, now: number): unknown => {
  const seconds = Math.floor(now / 1000)
  const act = identity.agents.toReversed().reduce<unknown>((inner, sub) => (inner === undefined ? { sub } : { sub, act: inner }), undefined)
  return {
    iss: issuer,
    aud: audience,
    sub: identity.subject,
    token_iss: identity.issuer,
    tenant,
    ...(identity.scopes.length === 0 ? {} : { scope: identity.scopes.join(' ') }),
    ...(act === undefined ? {} : { act }),
    iat: seconds,
    // Never longer than the token that it speaks for.
    exp: Math.min(seconds + Math.floor(lifetime / 1000), Math.floor(identity.expiresAt / 1000)),
  }
}

const signed = ({ keys, header }: Signer, payload: unknown): string => {
  const [key] = keys.keys
  if (key === undefined) throw new Error('no key signs assertions')
  return signWith(key, header, payload)
}

const signWith = (key: KeyObject, header: string, payload: unknown): string => {
  const input = `${header}.${part(payload)}`
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`
}

const headerOf = (key: KeyObject | undefined, typ: string): string => part({ alg: 'EdDSA', typ, kid: thumbprint(key) })

/** A compact JWS of this type, by one of the keys that sign assertions: the type is all that tells it from one (RFC 8725 section 3.11). */
export const signAs = (key: KeyObject, typ: string, payload: unknown): string => signWith(key, headerOf(key, typ), payload)

const publicOf = (key: KeyObject): { readonly kty: string; readonly crv: string; readonly x: string } => {
  const { kty = '', crv = '', x = '' } = createPublicKey(key).export({ format: 'jwk' })
  return { kty, crv, x }
}

/** RFC 7638, with the members of RFC 8037 section 2 in lexicographic order. */
export const thumbprint = (key: KeyObject | undefined): string => {
  if (key === undefined) return ''
  const { crv, kty, x } = publicOf(key)
  return createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url')
}
