import type { AlgorithmName } from './algorithms.ts'

/** What a token's `typ` header may say. `absent` stands for a token without the header; the last is Okta's own word for an access token. */
export const tokenTypes = ['at+jwt', 'JWT', 'absent', 'okta-internal-at+jwt'] as const
/** Of the sessions that Postern itself signs for callers of AWS; no configuration can name it. */
export const sessionType = 'postern-session+jwt'
export type TokenType = (typeof tokenTypes)[number] | typeof sessionType

export const audienceClaims = ['aud', 'client_id', 'azp'] as const
export type AudienceClaim = (typeof audienceClaims)[number]

/** The keys of an issuer that say what its access tokens look like. */
export interface TokenShape {
  readonly algorithms: readonly AlgorithmName[]
  readonly typ: readonly TokenType[]
  readonly 'max-lifetime': number
  readonly kid: 'optional' | 'required'
  readonly 'audience-claims': readonly AudienceClaim[]
  readonly 'required-claims': ReadonlyMap<string, readonly string[]>
  readonly 'one-of-claims': readonly string[]
}

/**
 * What is known of providers whose access tokens are not those of RFC 9068. Where the type in the header does not tell an access token from
 * an ID token of the same issuer, a claim does that only the one of them carries.
 */
export const presets = {
  /** A header without `typ`, or with Okta's own; `cid` in the tokens, `client_id` in answers of introspection. */
  okta: { algorithms: ['RS256'], typ: ['okta-internal-at+jwt', 'at+jwt', 'absent'], 'one-of-claims': ['cid', 'client_id'] },
  /** No `typ`; no `aud` unless the client asked for a resource, so that the app client stands in its place. */
  cognito: {
    algorithms: ['RS256'],
    typ: ['absent'],
    'audience-claims': ['aud', 'client_id'],
    'required-claims': new Map([['token_use', ['access']]]),
  },
  /** `azp` in v2 and `appid` in v1 access tokens; an ID token for the same application has neither, and the same `aud` and `typ`. */
  entra: { algorithms: ['RS256'], typ: ['JWT'], 'one-of-claims': ['azp', 'appid'] },
  /** `azp` in its own profile, `client_id` in the one of RFC 9068. */
  auth0: { algorithms: ['RS256', 'PS256'], typ: ['at+jwt', 'JWT'], 'one-of-claims': ['azp', 'client_id'] },
  /** The claim `typ` tells Bearer from ID, Refresh, Offline and Logout. An audience must be mapped in Keycloak: `account` is nobody's. Its lightweight tokens have no `sub`. */
  keycloak: { typ: ['JWT', 'at+jwt'], 'required-claims': new Map([['typ', ['Bearer', 'DPoP']]]), 'one-of-claims': ['azp'] },
  /** sts:GetWebIdentityToken; `sub` is the ARN of the caller, and the rest of its identity is in one namespaced claim. */
  'aws-sts-web-identity': {
    algorithms: ['ES384', 'RS256'],
    typ: ['JWT'],
    'max-lifetime': 3_600_000,
    kid: 'required',
    'one-of-claims': ['https://sts.amazonaws.com/'],
  },
} as const satisfies Readonly<Record<string, Partial<TokenShape>>>

/** What somebody else accepts, so that a token which passed there is not refused here for its form. */
export const compatibilities = {
  /** HTTP APIs: RSA and a `kid`, `client_id` where there is no `aud`, and no look at what kind of token it is: ID tokens pass. */
  'api-gateway-jwt-authorizer': {
    algorithms: ['RS256', 'PS256'],
    typ: ['at+jwt', 'JWT', 'absent'],
    kid: 'required',
    'audience-claims': ['aud', 'client_id'],
  },
} as const satisfies Readonly<Record<string, Partial<TokenShape>>>

export type Preset = keyof typeof presets
export type Compatibility = keyof typeof compatibilities

/** Names of an object's keys, as a list that types know. */
const keysOf = <K extends string>(of: Readonly<Record<K, unknown>>): readonly K[] => Object.keys(of) as K[]

export const presetNames = keysOf(presets)
export const compatibilityNames = keysOf(compatibilities)

/** Entra: v2 tokens name the application by its id, v1 tokens by the URI made of it; both are the application's own. */
export const audiencesOf = (preset: Preset | null, audiences: readonly string[]): readonly string[] =>
  preset === 'entra'
    ? [
        ...new Set(
          audiences.flatMap(audience =>
            /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(audience) ? [audience, `api://${audience}`] : audience,
          ),
        ),
      ]
    : audiences
