import type { Origin } from '../model/exchange.ts'
import type { Identity } from '../model/identity.ts'
import type { Permit } from '../model/permit.ts'
import { Refusal } from '../model/problem.ts'
import type { Upload } from './hop.ts'
import { identityFields, withoutIdentity } from './identity-headers.ts'
import type { UpstreamSettings } from './settings.ts'

/**
 * The complete fields of the request upstream: what the edge left, then what only Postern may say (contract 4). Ours come last and after
 * hop-by-hop removal, so that no `Connection` nomination reaches them. `credential` is what the delivery adds, `assertion` the signed one for this backend.
 */
export const upstreamFields = (
  permit: Permit,
  origin: Origin,
  identity: Identity,
  settings: UpstreamSettings,
  upload: Pick<Upload, 'stream' | 'length'>,
  credential: readonly string[],
  assertion: string | null,
): string[] | Refusal => {
  const told = settings['identity-headers']
  const asked = permit.obligations.hide.length === 0 ? [...origin.headers] : wholeAndPlain(origin.headers)
  const fields = told.length === 0 ? asked : withoutIdentity(asked, told)
  const claims = identityFields(identity, told)
  if (claims instanceof Refusal) return claims
  pushOwn(fields, permit, origin, settings)
  fields.push('x-postern-subject', percentEncoded(identity.subject))
  if (settings['forward-authorization'] && origin.authorization !== null) fields.push('authorization', origin.authorization)
  if (upload.stream !== null && upload.length !== null) fields.push('content-length', String(upload.length))
  for (const field of claims) fields.push(field)
  if (assertion !== null) fields.push('x-postern-assertion', assertion)
  for (const field of credential) fields.push(field)
  return fields
}

/** A CORS preflight: nobody's, so neither a subject nor a credential, and no session that a cookie could bring (Fetch standard: browsers send none). */
export const preflightFields = (permit: Permit, origin: Origin, settings: UpstreamSettings): string[] => {
  const asked = withoutIdentity(origin.headers, settings['identity-headers'])
  const fields = asked.filter((_, i) => asked[i - (i % 2)] !== 'cookie')
  pushOwn(fields, permit, origin, settings)
  return fields
}

const pushOwn = (fields: string[], permit: Permit, origin: Origin, settings: UpstreamSettings): void => {
  if (settings.host === 'original') fields.push('host', origin.host)
  if (origin.clientIp !== null) fields.push('x-forwarded-for', origin.clientIp.includes(':') ? `[${origin.clientIp}]` : origin.clientIp)
  fields.push('x-forwarded-proto', origin.scheme, 'x-forwarded-host', origin.host, 'via', '1.1 postern')
  fields.push('x-postern-tenant', permit.tenant, 'x-postern-request-id', origin.id, 'x-postern-deadline-ms', String(settings.deadline))
}

/** Asks for something else than the whole text as it is: parts, codings, differences (RFC 3229). */
const otherThanWhole = new Set(['accept-encoding', 'range', 'if-range', 'a-im'])

/** Members can only be removed from a whole text. */
const wholeAndPlain = (headers: readonly string[]): string[] => [
  ...headers.filter((_, i) => !otherThanWhole.has(headers[i - (i % 2)] ?? '')),
  'accept-encoding',
  'identity',
]

/** A subject is any text the provider chose; in a field it is percent-encoded UTF-8, so it cannot end a line or change its meaning. */
const percentEncoded = (text: string): string => {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const plain = (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2e || c === 0x5f
    if (!plain) return encodeURIComponent(text.toWellFormed())
  }
  return text
}
