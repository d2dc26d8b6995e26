import { createPrivateKey } from 'node:crypto'
import { importPKCS8 } from 'jose'
import { allowInsecureRequests, ClientSecretBasic, Configuration, customFetch, PrivateKeyJwt, tokenIntrospection } from 'openid-client'
import type { Fetch } from '../model/deps.ts'
import { Refusal } from '../model/problem.ts'
import { type Accepted, acceptClaims } from './claims.ts'
import { type CallBounds, initFor, messageOf } from './discovery.ts'
import type { IntrospectionSettings } from './introspection-settings.ts'
import { type JsonObject, readObject } from './json.ts'
import type { IssuerSettings } from './settings.ts'

export type IntrospectedIssuer = IssuerSettings & { readonly introspection: IntrospectionSettings }

export interface Answer {
  readonly members: JsonObject
  readonly bytes: number
}

/** Asks the provider about a token (RFC 7662 section 2). Rejects with an Error that names the cause and never the token. */
export const introspect = async (
  issuer: IntrospectedIssuer,
  endpoint: string,
  token: string,
  fetch: Fetch,
  bounds: CallBounds,
): Promise<Answer> => {
  const { introspection } = issuer
  const server = { issuer: issuer.issuer, introspection_endpoint: endpoint }
  const config = new Configuration(server, introspection.clientId, {}, await authentication(introspection))
  const got: { body: Buffer | null; fault: unknown } = { body: null, fault: null }
  config[customFetch] = async (url, init) => {
    try {
      const call = { ...initFor(issuer, new URL(url), bounds), method: 'POST', headers: init.headers, body: String(init.body) } as const
      const reply = await fetch(url, call)
      if (reply.status !== 200) throw new Error(`the endpoint answered ${reply.status}`)
      // RFC 9701's signed answers are not read: the library would not check their signature here.
      if (!/^application\/json\s*(;|$)/i.test(reply.headers['content-type'] ?? '')) throw new Error('the endpoint did not answer in JSON')
      got.body = reply.body
      return new Response(Uint8Array.from(reply.body), { status: 200, headers: reply.headers })
    } catch (fault) {
      got.fault = fault
      throw fault
    }
  }
  config.timeout = Math.ceil(bounds.timeout / 1000)
  if (new URL(endpoint).protocol === 'http:') allowInsecureRequests(config)
  await tokenIntrospection(config, token, { token_type_hint: 'access_token' }).catch((error: unknown) => {
    throw new Error(messageOf(got.fault ?? error), { cause: error })
  })
  // Read again, as strictly as a token: what the library reads may hold a member twice.
  const members = got.body === null ? 'nothing' : readObject(got.body)
  if (typeof members === 'string') throw new Error(`the answer is ${members}`)
  return { members, bytes: got.body?.length ?? 0 }
}

const authentication = async ({ kind, client, keyId }: IntrospectionSettings) => {
  if (kind === 'client-secret') return ClientSecretBasic(client.secret.open())
  const pem = client.secret.open()
  const key = await importPKCS8(pem, algorithmOf[createPrivateKey(pem).asymmetricKeyType ?? ''] ?? 'RS256')
  return PrivateKeyJwt(keyId === null ? key : { key, kid: keyId })
}

/** By type of the key; the configuration is refused with any other. */
const algorithmOf: Readonly<Record<string, string>> = { rsa: 'RS256', ec: 'ES256', ed25519: 'EdDSA' }

/**
 * Judges an answer as strictly as the payload of a token. `verified` is the payload of a JWT whose signature holds: the answer may be newer
 * than it, and may contradict it in nothing that says who is calling.
 */
export const acceptAnswer = (
  members: JsonObject,
  settings: IssuerSettings,
  now: number,
  verified: JsonObject | null,
): Accepted | Refusal => {
  if (members['active'] !== true) return new Refusal('PST3018', 'active')
  if (Object.hasOwn(members, 'iss') && members['iss'] !== settings.issuer) return new Refusal('PST3011', 'iss')
  const kind = kindOf(members)
  // A refresh token is active, too, and a provider that does not say which it is cannot be told from one that means it.
  if (kind === 'other' || (kind === null && verified === null)) return new Refusal('PST3010', 'token_type')
  const contradiction = verified === null ? null : contradictionOf(members, verified)
  if (contradiction !== null) return new Refusal('PST3011', contradiction)
  const payload = Object.freeze({ ...verified, ...members, iss: settings.issuer })
  const accepted = acceptClaims(payload, verified === null ? 'absent' : 'at+jwt', settings, now)
  if (accepted instanceof Refusal) return accepted
  return kind === 'dpop' && (accepted.binding?.jkt ?? null) === null ? new Refusal('PST3012', 'token_type') : accepted
}

/** What an answer calls `client_id` stands in tokens of Keycloak as `azp` and in those of Okta as `cid`. */
const clientClaims = ['client_id', 'azp', 'cid'] as const

/** The member in which an answer says something else of who is calling than the token itself. */
const contradictionOf = (members: JsonObject, verified: JsonObject): string | null => {
  const client = clientClaims.find(claim => Object.hasOwn(verified, claim)) ?? 'client_id'
  const pairs: readonly (readonly [string, string])[] = [
    ['sub', 'sub'],
    ['client_id', client],
    ['cnf', 'cnf'],
    ['act', 'act'],
  ]
  const differs = ([member, claim]: readonly [string, string]): boolean =>
    Object.hasOwn(members, member) && JSON.stringify(members[member]) !== JSON.stringify(verified[claim])
  return pairs.find(differs)?.[0] ?? null
}

/** RFC 7662 `token_type`, and the `typ` that Keycloak adds to it. */
const kindOf = ({ token_type, typ }: JsonObject): 'bearer' | 'dpop' | 'other' | null => {
  const words = [token_type, typ].filter(word => word !== undefined).map(word => String(word).toLowerCase())
  if (!words.every(word => word === 'bearer' || word === 'dpop')) return 'other'
  return words.includes('dpop') ? 'dpop' : words.length === 0 ? null : 'bearer'
}
