import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/problem.ts'
import { type Binding, bindingOf } from './binding.ts'
import { isObject, type JsonObject } from './json.ts'
import { sessionType, type TokenType } from './presets.ts'
import type { IssuerSettings } from './settings.ts'

/** A caller, and the span of the wall clock in which the token may be used again; milliseconds, tolerance included. */
export interface Accepted {
  readonly identity: Identity
  /** What must be proved on every request that shows the token; null: nothing. */
  readonly binding: Binding | null
  readonly notBefore: number
  readonly notAfter: number
}

/** Agents in one `act` chain; longer ones are refused. */
const deepestAct = 8

/** The `typ` of a token, or null for one that no setting can allow. A media type, its case free, `application/` optional (RFC 7515 4.1.9). */
export const tokenTypeOf = (typ: unknown): TokenType | null => {
  if (typ === undefined) return 'absent'
  if (typeof typ !== 'string') return null
  const word = typ.toLowerCase().replace(/^application\//, '')
  return word === 'at+jwt' || word === 'okta-internal-at+jwt' || word === sessionType ? word : word === 'jwt' ? 'JWT' : null
}

/** Judges the payload of a token whose signature is verified (contract 6). */
export const acceptClaims = (payload: JsonObject, type: TokenType, settings: IssuerSettings, now: number): Accepted | Refusal =>
  notForAccess(payload, type, settings) ?? read(payload, settings, now)

/** A token about an event (RFC 8417), such as a logout, speaks of a person and for nobody. Under a type that says nothing, what only an ID token carries marks one (OpenID Connect Core 2; Cognito's `token_use`), or what it lacks. */
const notForAccess = (payload: JsonObject, type: TokenType, settings: IssuerSettings): Refusal | null => {
  if (Object.hasOwn(payload, 'events')) return new Refusal('PST3010', 'events')
  if ((type === 'JWT' || type === 'absent') && !settings.idTokens) {
    for (const mark of ['nonce', 'at_hash', 'c_hash']) if (Object.hasOwn(payload, mark)) return new Refusal('PST3010', mark)
    if (Object.hasOwn(payload, 'token_use') && payload['token_use'] !== 'access') return new Refusal('PST3010', 'token_use')
  }
  for (const [claim, values] of settings.requiredClaims) {
    const value = Object.hasOwn(payload, claim) ? payload[claim] : undefined
    if (typeof value !== 'string' || !values.includes(value)) return new Refusal('PST3010', claim)
  }
  const { oneOfClaims } = settings
  const lacking = oneOfClaims.length > 0 && !oneOfClaims.some(claim => Object.hasOwn(payload, claim))
  return lacking ? new Refusal('PST3010', `none of ${oneOfClaims.join(', ')}`) : null
}

const read = (payload: JsonObject, settings: IssuerSettings, now: number): Accepted | Refusal => {
  const { bound } = settings
  if (bound !== null && payload[bound.claim] !== bound.value) return new Refusal('PST3011', bound.claim)
  const subject = payload['sub']
  if (!isName(subject)) return new Refusal('PST3011', 'sub')
  const audienceClaim = settings.audienceClaims.find(claim => Object.hasOwn(payload, claim)) ?? 'aud'
  const audiences = names(payload[audienceClaim])
  if (!audiences || audiences.length === 0) return new Refusal('PST3011', audienceClaim)
  const time = timesOf(payload)
  if (time instanceof Refusal) return time
  const agents = agentsOf(payload['act'])
  if (!agents) return new Refusal('PST3011', 'act')
  const scopes = scopesOf(payload)
  if (scopes instanceof Refusal) return scopes
  const binding = bindingOf(payload)
  if (binding instanceof Refusal) return binding
  const odd = malformedSignIn(payload)
  if (odd !== null) return new Refusal('PST3011', odd)

  const tolerance = settings.clockTolerance
  const notAfter = time.exp + tolerance
  const notBefore = Math.max(time.nbf ?? 0, time.iat ?? 0) - tolerance
  if (now >= notAfter) return new Refusal('PST3007', 'exp')
  if (now < notBefore) return new Refusal('PST3008', (time.nbf ?? 0) >= (time.iat ?? 0) ? 'nbf' : 'iat')
  if (time.exp - (time.iat ?? time.nbf ?? now) > settings.maxLifetime) return new Refusal('PST3013', 'exp')
  if (!audiences.some(audience => settings.audiences.includes(audience))) return new Refusal('PST3009', audienceClaim)
  const { oneOfScopes } = settings
  if (oneOfScopes.length > 0 && !oneOfScopes.some(scope => scopes.includes(scope))) return new Refusal('PST3019', 'scope')

  const identity: Identity = { issuer: settings.issuer, subject, audiences, scopes, agents, claims: payload, expiresAt: time.exp }
  return { identity: Object.freeze(identity), binding, notBefore, notAfter }
}

/** Text that can be shown and sent on: no controls (log injection, CVE-2025-25294) and no lone surrogates, which have no UTF-8. */
const isName = (value: unknown): value is string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what it looks for
  typeof value === 'string' && value !== '' && !/[\u0000-\u001f\u007f-\u009f]/.test(value) && value.isWellFormed()

/** One name or a list of names; null for anything else. */
const names = (value: unknown): readonly string[] | null =>
  isName(value) ? Object.freeze([value]) : Array.isArray(value) && value.every(isName) ? value : null

interface Times {
  readonly exp: number
  readonly nbf: number | undefined
  readonly iat: number | undefined
}

const timesOf = (payload: JsonObject): Times | Refusal => {
  const [exp, nbf, iat] = [payload['exp'], payload['nbf'], payload['iat']]
  if (!isDate(exp)) return new Refusal('PST3011', 'exp')
  if (nbf !== undefined && !isDate(nbf)) return new Refusal('PST3011', 'nbf')
  if (iat !== undefined && !isDate(iat)) return new Refusal('PST3011', 'iat')
  return { exp: exp * 1000, nbf: nbf === undefined ? undefined : nbf * 1000, iat: iat === undefined ? undefined : iat * 1000 }
}

/** RFC 7519 NumericDate, up to the year 9999: beyond, it is not a date but an attempt to have none. */
const isDate = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 253_402_300_799

/** RFC 8693 4.1, outermost first; null when malformed. Each actor must say who it is. */
const agentsOf = (act: unknown): readonly string[] | null => {
  const agents: string[] = []
  for (let actor = act; actor !== undefined; actor = actor['act']) {
    if (!isObject(actor) || !isName(actor['sub']) || agents.length === deepestAct) return null
    agents.push(actor['sub'])
  }
  return Object.freeze(agents)
}

/** `scope` is one text (RFC 8693 4.2, RFC 9068 2.2.3); `scp`, its older cousin, a text or a list. `scope` counts where both stand. */
const scopesOf = (payload: JsonObject): readonly string[] | Refusal => {
  const { scope, scp } = payload
  if (scope !== undefined && !isScopes(scope)) return new Refusal('PST3011', 'scope')
  const list = Array.isArray(scp) && scp.every(isName) ? scp : null
  if (scp !== undefined && list === null && !isScopes(scp)) return new Refusal('PST3011', 'scp')
  const text = isScopes(scope) ? scope : isScopes(scp) ? scp : ''
  return scope === undefined && list !== null ? list : Object.freeze(text.split(' ').filter(word => word !== ''))
}

/** May be empty: some providers write `scope: ""` where none was granted. */
const isScopes = (value: unknown): value is string => value === '' || isName(value)

const malformedSignIn = (payload: JsonObject): string | null => {
  const { acr, amr, auth_time } = payload
  if (acr !== undefined && !isName(acr)) return 'acr'
  if (amr !== undefined && !(Array.isArray(amr) && amr.every(isName))) return 'amr'
  return auth_time === undefined || isDate(auth_time) ? null : 'auth_time'
}
