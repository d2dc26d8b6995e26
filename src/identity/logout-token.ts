import { createHash } from 'node:crypto'
import type { Clock } from '../model/deps.ts'
import { Refusal } from '../model/problem.ts'
import { algorithms, isAlgorithm } from './algorithms.ts'
import type { Issuer } from './issuers.ts'
import { isObject, type JsonObject } from './json.ts'
import { Replays } from './replay.ts'
import { type Jws, parseJws } from './token.ts'
import { printable } from './verify.ts'

/** What a provider says has ended. */
export interface Logout {
  readonly issuer: string
  /** At least one of the two. With both, the session of the person; with `subject` alone, all of theirs. */
  readonly subject: string | null
  readonly session: string | null
  /** Milliseconds since the epoch. */
  readonly issuedAt: number
  /** Milliseconds from now until the last token of before has ended by itself. */
  readonly lasts: number
}

/** The member of `events` (OpenID Connect Back-Channel Logout 1.0 section 2.4). */
export const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/** Milliseconds that a logout token without `exp` is good for, as the standard recommends for one with it. */
const lifetime = 120_000
const mostSeen = 100_000

const malformed = (claim: string): Refusal => new Refusal('PST3011', claim)

/** Judges logout tokens (section 2.6). Remembers their `jti` while they are good. */
export class LogoutTokens {
  readonly #clock: Clock
  readonly #seen = new Replays(mostSeen)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `find` gives a configured issuer; `clients` are the audiences of its logout tokens. */
  async verify(
    token: string,
    find: (issuer: string) => Issuer | undefined,
    clients: (issuer: string) => readonly string[],
  ): Promise<Logout | Refusal> {
    const jws = parseJws(token)
    if (jws instanceof Refusal) return jws
    const { iss } = jws.payload
    const issuer = typeof iss === 'string' ? find(iss) : undefined
    if (typeof iss !== 'string' || issuer === undefined) return new Refusal('PST3003', printable(String(iss)))
    const wrong = (await badSignature(jws, issuer)) ?? wrongPurpose(jws, clients(iss))
    if (wrong !== null) return wrong
    return this.#accept(jws.payload, issuer)
  }

  #accept(payload: JsonObject, { settings }: Issuer): Logout | Refusal {
    const { iat, exp, jti, sub, sid } = payload
    const now = this.#clock.now()
    const { clockTolerance, issuer, maxLifetime } = settings
    if (!isDate(iat)) return malformed('iat')
    if (exp !== undefined && !isDate(exp)) return malformed('exp')
    const ends = Math.min(exp === undefined ? iat * 1000 + lifetime : exp * 1000, now + maxLifetime) + clockTolerance
    if (now >= ends) return new Refusal('PST3007', 'exp')
    if (iat * 1000 > now + clockTolerance) return new Refusal('PST3008', 'iat')
    if (!isName(jti)) return malformed('jti')
    if (sub !== undefined && !isName(sub)) return malformed('sub')
    if (sid !== undefined && !isName(sid)) return malformed('sid')
    if (sub === undefined && sid === undefined) return malformed('sub')
    const digest = createHash('sha256').update(issuer).digest('latin1')
    const seen = this.#seen.take(digest, jti, this.#clock.monotonic(), ends - now)
    if (seen !== 'new') return seen === 'seen' ? malformed('jti') : new Refusal('PST3101', 'too many logout tokens', 5)
    return { issuer, subject: sub ?? null, session: sid ?? null, issuedAt: iat * 1000, lasts: maxLifetime + clockTolerance }
  }
}

const badSignature = async ({ alg, kid, signed, signature }: Jws, issuer: Issuer): Promise<Refusal | null> => {
  if (!isAlgorithm(alg) || !issuer.settings.algorithms.includes(alg)) return new Refusal('PST3004', printable(alg))
  const key = await issuer.ring.find(kid, alg)
  if (key instanceof Refusal) return key
  if (!key.algorithms.includes(alg)) return new Refusal('PST3004', alg)
  const verified = algorithms[alg].verify(key.material, Buffer.from(signed, 'latin1'), Buffer.from(signature, 'base64url'))
  return verified ? null : new Refusal('PST3006')
}

/** An ID token of the same issuer and client has no such event, and a logout token no nonce: neither passes for the other. */
const wrongPurpose = ({ typ, payload }: Jws, clients: readonly string[]): Refusal | null => {
  const word = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  if (word !== undefined && word !== 'jwt' && word !== 'logout+jwt') return new Refusal('PST3010', 'typ')
  const { aud, events } = payload
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.some(one => typeof one === 'string' && clients.includes(one))) return new Refusal('PST3009', 'aud')
  if (!isObject(events) || !isObject(events[logoutEvent])) return new Refusal('PST3010', 'events')
  return Object.hasOwn(payload, 'nonce') ? new Refusal('PST3010', 'nonce') : null
}

const isDate = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 253_402_300_799
const isName = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 1024
