import { createHash } from 'node:crypto'
import type { AlgorithmName } from './algorithms.ts'
import { type ClientSecret, type IntrospectionSettings, introspectionSettings } from './introspection-settings.ts'
import { type Concrete, concreteIssuers, type IssuerEntry } from './issuer-entry.ts'
import type { AudienceClaim, TokenType } from './presets.ts'

/** The effective settings of one issuer. */
export interface IssuerSettings {
  /** Compared byte for byte with `iss` and with the provider's own metadata. */
  readonly issuer: string
  /** A claim that must have this value: what stands in `iss` by a template. */
  readonly bound: Concrete['bound']
  /** Null: as its metadata say. */
  readonly jwksUri: string | null
  readonly audiences: readonly string[]
  readonly algorithms: readonly AlgorithmName[]
  readonly typ: readonly TokenType[]
  readonly kidRequired: boolean
  /** In this order: the first that a token has. */
  readonly audienceClaims: readonly AudienceClaim[]
  readonly requiredClaims: readonly (readonly [claim: string, values: readonly string[]])[]
  /** Empty: none is asked for. */
  readonly oneOfClaims: readonly string[]
  readonly oneOfScopes: readonly string[]
  /** ID tokens pass, too. */
  readonly idTokens: boolean
  /** Milliseconds. */
  readonly clockTolerance: number
  /** Milliseconds from `iat` to `exp`. */
  readonly maxLifetime: number
  /** PEM certificates to trust for this provider instead of the public ones. */
  readonly ca: string | null
  /** `http://host:port` of a forward proxy, or null. */
  readonly proxy: string | null
  readonly allowPrivateAddresses: boolean
  readonly allowHttpLoopback: boolean
  /** How the provider is asked about tokens; null: it is not. */
  readonly introspection: IntrospectionSettings | null
  /** Of all of the above: two settings with one digest judge every token alike. */
  readonly digest: string
}

/** Effective settings of the issuers of an entry; `ca` and `client` are what its files hold, read by the caller. */
export const issuerSettings = (entry: IssuerEntry, ca: string | null, client: ClientSecret | null = null): readonly IssuerSettings[] =>
  concreteIssuers(entry).map(concrete => settingsOf(concrete, entry, ca, client))

const settingsOf = (concrete: Concrete, entry: IssuerEntry, ca: string | null, client: ClientSecret | null): IssuerSettings => {
  const settings = {
    ...concrete,
    jwksUri: entry['jwks-uri'],
    audiences: entry.audiences,
    algorithms: entry.algorithms,
    typ: entry.typ,
    kidRequired: entry.kid === 'required',
    audienceClaims: entry['audience-claims'],
    requiredClaims: [...entry['required-claims']],
    oneOfClaims: entry['one-of-claims'],
    oneOfScopes: entry['one-of-scopes'],
    idTokens: entry.compatibility !== null,
    clockTolerance: entry['clock-tolerance'],
    maxLifetime: entry['max-lifetime'],
    ca,
    proxy: entry.proxy,
    allowPrivateAddresses: entry['allow-private-addresses'],
    allowHttpLoopback: entry['allow-http-loopback'],
    introspection: entry.introspection === null || client === null ? null : introspectionSettings(entry.introspection, client),
  }
  return Object.freeze({ ...settings, digest: createHash('sha256').update(JSON.stringify(settings)).digest('hex') })
}
