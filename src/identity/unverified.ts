import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import { acceptClaims, tokenTypeOf } from './claims.ts'
import type { JsonObject } from './json.ts'
import { audienceClaims } from './presets.ts'
import { parseJws } from './token.ts'

/** What a token says, which nobody has vouched for. */
export interface Unverified {
  readonly identity: Identity
  /** Why Postern would refuse the token at this moment although it can be read: expired, or not yet valid. */
  readonly untimely: Refusal | null
}

/** One audience is as good as another here: which ones are accepted is the configuration's to say. */
const anyAudience = (aud: unknown): readonly string[] => [aud].flat().filter(one => typeof one === 'string')

/**
 * Reads a token as Postern would, but for what needs a key or the configuration: signature, algorithm, issuer, audience and lifetime. For
 * explanations only; whoever acted on it would believe anybody. `now` in milliseconds. A Refusal is one that no key and no time changes.
 */
export const readUnverified = (token: string, now: number): Unverified | Refusal => {
  const jws = parseJws(token)
  if (jws instanceof Refusal) return jws
  const type = tokenTypeOf(jws.typ)
  if (type === null) return new Refusal('PST3010', 'typ')
  const { payload } = jws
  const { iss } = payload
  if (typeof iss !== 'string') return new Refusal('PST3011', 'iss')
  const settings = {
    issuer: iss,
    audiences: anyAudience(payload['aud']),
    algorithms: [],
    typ: [type],
    clockTolerance: 0,
    maxLifetime: Number.POSITIVE_INFINITY,
    ca: null,
    proxy: null,
    allowPrivateAddresses: false,
    allowHttpLoopback: false,
    bound: null,
    jwksUri: null,
    kidRequired: false,
    audienceClaims,
    requiredClaims: [],
    oneOfClaims: [],
    oneOfScopes: [],
    idTokens: false,
    introspection: null,
    digest: '',
  }
  const accepted = acceptClaims(payload, type, settings, now)
  if (!(accepted instanceof Refusal)) return { identity: accepted.identity, untimely: null }
  if (accepted.code !== 'PST3007' && accepted.code !== 'PST3008') return accepted
  const timely = acceptClaims(payload, type, settings, lastMoment(payload))
  return timely instanceof Refusal ? timely : { identity: timely.identity, untimely: accepted }
}

/** The last millisecond of a token; `exp` was found to be a date. */
const lastMoment = (payload: JsonObject): number => Number(payload['exp']) * 1000 - 1
