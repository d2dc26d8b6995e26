import { isCanonicalBase64url } from './json.ts'

/** The header that must be among the signed ones: it says for whom the request was signed. */
export const audienceHeader = 'x-postern-server-id'

/** A presigned GetCallerIdentity that may be sent to AWS. */
export interface SignedRequest {
  /** Written anew from the parts that were checked: no two readers can differ about it. */
  readonly url: string
  readonly signature: string
}

/** Bytes of the URL. */
const longest = 4096
/** Milliseconds that AWS takes a signed request for, whatever X-Amz-Expires says. */
const longestLife = 15 * 60_000
/** How far the caller's clock may be ahead. */
const tolerance = 30_000

const credential = /^[A-Z0-9]{16,128}\/(\d{8})\/([a-z0-9-]{1,32})\/sts\/aws4_request$/
const date = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/

/**
 * What each parameter may be; there are no others. The version is part of the action, so that the answer is the one that is read here
 * (CVE-2020-16250: answers to other actions held what the caller had written).
 */
const parameters: Readonly<Record<string, RegExp>> = {
  Action: /^GetCallerIdentity$/,
  Version: /^2011-06-15$/,
  'X-Amz-Algorithm': /^AWS4-HMAC-SHA256$/,
  'X-Amz-Credential': credential,
  'X-Amz-Date': date,
  'X-Amz-Expires': /^[1-9]\d{0,2}$/,
  'X-Amz-Security-Token': /^[A-Za-z0-9+/=_-]{1,3072}$/,
  'X-Amz-Signature': /^[0-9a-f]{64}$/,
  'X-Amz-SignedHeaders': new RegExp(`^host;${audienceHeader}$`),
}
const optionalParameter = 'X-Amz-Security-Token'

/** Reads what a caller shows: a presigned URL of one of these hosts, in base64url. Gives it, or which guard it does not pass. */
export const readSigned = (shown: string, hosts: readonly string[], now: number): SignedRequest | string => {
  if (shown.length > Math.ceil((longest * 4) / 3)) return `longer than ${longest} bytes`
  if (!/^[A-Za-z0-9_-]+$/.test(shown) || !isCanonicalBase64url(shown)) return 'not base64url'
  const text = Buffer.from(shown, 'base64url').toString('latin1')
  const [, host = '', query = ''] = /^https:\/\/([a-z0-9.-]+)\/\?([A-Za-z0-9=&%._~/;-]+)$/.exec(text) ?? []
  if (host === '') return 'not an https URL with the path / and a query'
  if (!hosts.includes(host)) return 'host'
  const values = readQuery(query)
  if (typeof values === 'string') return values
  const wrong = untimely(values, now) ?? misplaced(values, host)
  if (wrong !== null) return wrong
  const written = [...values].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')
  return { url: `https://${host}/?${written}`, signature: values.get('X-Amz-Signature') ?? '' }
}

/** Names in their one spelling: read without regard to case, a second `action` would be another one to AWS (CVE-2022-2385). */
const readQuery = (query: string): ReadonlyMap<string, string> | string => {
  const values = new Map<string, string>()
  for (const pair of query.split('&')) {
    const [name = '', raw, ...more] = pair.split('=')
    const rule = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (rule === undefined) return 'a parameter that is none of the nine'
    if (values.has(name)) return `${name} stands twice`
    const value = raw === undefined || more.length > 0 ? null : decoded(raw)
    if (value === null || !rule.test(value)) return name
    values.set(name, value)
  }
  const missing = Object.keys(parameters).find(name => name !== optionalParameter && !values.has(name))
  return missing === undefined ? values : `no ${missing}`
}

const decoded = (raw: string): string | null => {
  try {
    return decodeURIComponent(raw)
  } catch {
    return null
  }
}

const untimely = (values: ReadonlyMap<string, string>, now: number): string | null => {
  const [, ...parts] = date.exec(values.get('X-Amz-Date') ?? '') ?? []
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map(Number)
  const signedAt = Date.UTC(year, month - 1, day, hour, minute, second)
  const life = Math.min(Number(values.get('X-Amz-Expires')) * 1000, longestLife)
  if (signedAt > now + tolerance) return 'signed in the future'
  return now < signedAt + life ? null : 'expired'
}

/** The scope of the signature is the day and the region of this very call. */
const misplaced = (values: ReadonlyMap<string, string>, host: string): string | null => {
  const [, day, region] = credential.exec(values.get('X-Amz-Credential') ?? '') ?? []
  if (day !== values.get('X-Amz-Date')?.slice(0, 8)) return 'X-Amz-Credential: day'
  return host.startsWith(`sts.${region}.amazonaws.com`) ? null : 'X-Amz-Credential: region'
}

/** What AWS says of the caller. */
export interface CallerAnswer {
  readonly arn: string
  readonly account: string
}

const opening = '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
const closing =
  /^<\/GetCallerIdentityResult><ResponseMetadata><RequestId>[0-9A-Za-z-]{1,64}<\/RequestId><\/ResponseMetadata><\/GetCallerIdentityResponse>$/

/**
 * Reads the one answer that AWS documents, by its grammar and not as XML at large: no entities, comments, attributes or second elements, in
 * which a lenient parser finds what somebody else put there. Null for everything else.
 */
export const readAnswer = (body: Buffer): CallerAnswer | null => {
  const text = body
    .toString('latin1')
    .replace(/^<\?xml version="1\.0"(?: encoding="(?:UTF|utf)-8")?\?>/, '')
    .replace(/>[ \t\r\n]+</g, '><')
    .trim()
  if (!text.startsWith(opening)) return null
  const found = new Map<string, string>()
  const element = /<(Arn|UserId|Account)>([\x21-\x25\x27-\x3b\x3d\x3f-\x7e]{1,2048})<\/\1>/y
  element.lastIndex = opening.length
  for (let at = element.lastIndex; ; at = element.lastIndex) {
    const [whole, name = '', value = ''] = element.exec(text) ?? []
    if (whole === undefined)
      return found.size === 3 && closing.test(text.slice(at)) ? { arn: found.get('Arn') ?? '', account: found.get('Account') ?? '' } : null
    if (found.has(name)) return null
    found.set(name, value)
  }
}
