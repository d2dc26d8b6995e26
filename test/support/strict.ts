/**
 * What the RFCs' grammars allow, rule by rule as their ABNF has it, for fuzz tests to compare the product's readers with. It shares no line
 * with the product, and knows nothing of what the product refuses besides. Every judgement is null, or what is wrong.
 */
type Problem = string | null

const alt = (...rules: readonly string[]): string => `(?:${rules.join('|')})`
const many = (rule: string, from = 0, to = ''): string => `(?:${rule}){${from},${to}}`
const maybe = (rule: string): string => `(?:${rule})?`
const whole = (rule: string): RegExp => new RegExp(`^${rule}$`)

// RFC 5234 appendix B.1, RFC 9110 section 5.6
const [ALPHA, DIGIT, HEXDIG, SP] = ['[A-Za-z]', '[0-9]', '[0-9A-Fa-f]', ' ']
const OWS = '[ \\t]*'
const tchar = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]"
const token = many(tchar, 1)
/** `#element` as a recipient must take it (RFC 9110 section 5.6.1.2): one pattern for all of it would try every way to share the blanks out. */
const list = (element: string) => {
  const member = whole(`${OWS}${maybe(element)}${OWS}`)
  return (text: string): boolean => text.split(',').every(each => member.test(each))
}

// RFC 9110 section 5.5; one character of these strings is one byte
const fieldVchar = '[\\x21-\\x7e\\x80-\\xff]'
const fieldContent = `${fieldVchar}${maybe(`[ \\t\\x21-\\x7e\\x80-\\xff]*${fieldVchar}`)}`

// RFC 3986 appendix A
const unreserved = alt(ALPHA, DIGIT, '[\\-._~]')
const pctEncoded = `%${HEXDIG}${HEXDIG}`
const subDelims = "[!$&'()*+,;=]"
const pchar = alt(unreserved, pctEncoded, subDelims, '[:@]')
const segment = many(pchar)
const query = many(alt(pchar, '[/?]'))
const decOctet = alt('25[0-5]', '2[0-4][0-9]', '1[0-9]{2}', '[1-9][0-9]', '[0-9]')
const IPv4address = `${decOctet}${many(`\\.${decOctet}`, 3, '3')}`
const h16 = many(HEXDIG, 1, '4')
const ls32 = alt(`${h16}:${h16}`, IPv4address)
const groups = (n: number): string => many(`${h16}:`, n, String(n))
/** `[ *n( h16 ":" ) h16 ] "::"` */
const upTo = (n: number): string => `${maybe(`${many(`${h16}:`, 0, String(n))}${h16}`)}::`
const IPv6address = alt(
  `${groups(6)}${ls32}`,
  `::${groups(5)}${ls32}`,
  `${maybe(h16)}::${groups(4)}${ls32}`,
  `${upTo(1)}${groups(3)}${ls32}`,
  `${upTo(2)}${groups(2)}${ls32}`,
  `${upTo(3)}${groups(1)}${ls32}`,
  `${upTo(4)}${ls32}`,
  `${upTo(5)}${h16}`,
  upTo(6),
)
const IPvFuture = `[vV]${many(HEXDIG, 1)}\\.${many(alt(unreserved, subDelims, ':'), 1)}`
const regName = many(alt(unreserved, pctEncoded, subDelims))
const host = alt(`\\[${alt(IPv6address, IPvFuture)}\\]`, IPv4address, regName)
const port = `${DIGIT}*`

// RFC 9110 sections 4 and 7, RFC 9112 section 3: no userinfo, and a host that is not empty
const absolutePath = many(`/${segment}`, 1)
const originForm = `${absolutePath}${maybe(`\\?${query}`)}`
const authority = `(?=[^:/?#])${host}${maybe(`:${port}`)}`
const absoluteForm = `[Hh][Tt][Tt][Pp][Ss]?://${authority}${many(`/${segment}`)}${maybe(`\\?${query}`)}`

// RFC 9110 section 11, RFC 6750 section 2.1, RFC 9449 section 7.1
const token68 = `[A-Za-z0-9\\-._~+/]+=*`
const credentials = `${alt('[Bb][Ee][Aa][Rr][Ee][Rr]', '[Dd][Pp][Oo][Pp]')}${SP}+(${token68})`

const rule = (name: string, pattern: string) => {
  const expression = whole(pattern)
  return (text: string): Problem => (expression.test(text) ? null : `no ${name}`)
}
export const isToken = rule('token', token)
export const isFieldValue = rule('field-value', maybe(fieldContent))
export const isOriginForm = rule('origin-form', originForm)
export const isAbsolutePath = rule('absolute-path', absolutePath)
export const isAuthority = rule('authority', authority)
export const isAddress = rule('IP address', alt(IPv4address, IPv6address))
export const isCredentials = rule('credentials', credentials)
export const isToken68 = rule('token68', token68)
/** An http or https URI without a fragment, as `htu` must be (RFC 9449 section 4.2), query apart. */
export const isAbsoluteForm = rule('absolute-form', absoluteForm)

export interface StrictHead {
  readonly method: string
  readonly target: string
  /** `1.1` */
  readonly version: string
  /** Name and value alternating. */
  readonly fields: readonly string[]
}

const valuesOf = ({ fields }: StrictHead, name: string): string[] =>
  fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === name)

const lists: readonly (readonly [string, (text: string) => boolean])[] = [
  ['connection', list(token)],
  ['upgrade', list(`${token}${maybe(`/${token}`)}`)],
  ['expect', list('100-[Cc][Oo][Nn][Tt][Ii][Nn][Uu][Ee]')],
]

/** One request head, by RFC 9112 sections 3, 5 and 6 and what the RFCs say of fields that must not stand twice. */
export const headProblem = (head: StrictHead): Problem => {
  const { method, target, version, fields } = head
  if (isToken(method)) return 'method'
  if (version !== '1.1' && version !== '1.0') return 'HTTP-version'
  if (!whole(alt(originForm, absoluteForm)).test(target)) return 'request-target'
  for (let i = 0; i < fields.length; i += 2) {
    if (isToken(fields[i] ?? '')) return `field-name ${fields[i]}`
    if (isFieldValue(fields[i + 1] ?? '')) return `field-value of ${fields[i]}`
  }
  const hosts = valuesOf(head, 'host')
  if (hosts.length > 1 || (version === '1.1' && hosts.length === 0)) return 'Host'
  if (hosts[0] !== undefined && isAuthority(hosts[0])) return 'Host'
  for (const name of ['authorization', 'dpop', 'content-length', 'transfer-encoding'])
    if (valuesOf(head, name).length > 1) return `two ${name}`
  for (const [name, grammar] of lists) for (const value of valuesOf(head, name)) if (!grammar(value)) return name
  return framingProblem(valuesOf(head, 'content-length')[0], valuesOf(head, 'transfer-encoding')[0], version)
}

/** RFC 9112 section 6.3: what gives a request another end to one server than to the next. */
const framingProblem = (length: string | undefined, coding: string | undefined, version: string): Problem => {
  if (length !== undefined && !/^[0-9]+$/.test(length)) return 'content-length'
  if (coding === undefined) return null
  if (length !== undefined || version !== '1.1') return 'transfer-encoding'
  return coding.toLowerCase() === 'chunked' ? null : 'transfer-encoding'
}

/** The head at the beginning of these bytes (RFC 9112 section 2.1: CRLF and nothing else ends a line), or what is wrong with it. */
export const readHeadBytes = (bytes: string): StrictHead | string => {
  const start = /^(?:\r\n)*/.exec(bytes)?.[0].length ?? 0
  const end = bytes.indexOf('\r\n\r\n', start)
  if (end < 0) return 'no end of the head'
  const [line = '', ...rows] = bytes.slice(start, end).split('\r\n')
  // Blanks between the three may be several (RFC 9112 section 3, as a recipient may take them): the parser does, and sends on one.
  const parts = /^([^ ]+) +([^ ]+) +HTTP\/([0-9]\.[0-9])$/.exec(line)
  if (parts === null) return 'request-line'
  const fields: string[] = []
  for (const row of rows) {
    const colon = row.indexOf(':')
    if (colon < 0) return 'field-line'
    let [from, to] = [colon + 1, row.length]
    while (from < to && ' \t'.includes(row.charAt(from))) from++
    while (to > from && ' \t'.includes(row.charAt(to - 1))) to--
    fields.push(row.slice(0, colon), row.slice(from, to))
  }
  const head = { method: parts[1] ?? '', target: parts[2] ?? '', version: parts[3] ?? '', fields }
  return headProblem(head) ?? head
}

// RFC 4648 sections 3.5 and 5: without padding, and no bit beyond the last byte
const base64url = whole(`${many('[A-Za-z0-9_-]{4}')}${maybe(alt('[A-Za-z0-9_-][AQgw]', '[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]'))}`)

/** A compact JWS that may be a token (RFC 7515 section 7.1, RFC 7519 section 7.2, RFC 8725 section 3.10). `ownKey`: a proof brings its key (RFC 9449 section 4.2). */
export const jwsProblem = (text: string, ownKey = false): Problem => {
  const parts = text.split('.')
  if (parts.length !== 3 || parts[0] === '' || parts[1] === '') return 'three parts'
  if (!parts.every(part => base64url.test(part))) return 'base64url'
  const [header, payload] = parts.slice(0, 2).map(part => readJson(Buffer.from(part, 'base64url')))
  if (!isObject(header) || !isObject(payload)) return 'a JSON object'
  if (typeof header['alg'] !== 'string') return 'alg'
  for (const member of ['kid', 'typ', 'cty']) if (header[member] !== undefined && typeof header[member] !== 'string') return member
  const foreign = ['crit', 'jku', 'x5u', 'x5c', ...(ownKey ? [] : ['jwk'])].find(member => member in header)
  return foreign ?? null
}

/** RFC 7519 section 4.1, RFC 8693 section 4.1, RFC 9068 section 2.2; the year 9999 is the last that dates have (RFC 3339). */
export const claimsProblem = (claims: Readonly<Record<string, unknown>>): Problem => {
  const isText = (value: unknown): boolean => typeof value === 'string'
  const isDate = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value <= 253_402_300_799
  if (!isText(claims['iss']) || !isText(claims['sub']) || claims['sub'] === '') return 'iss or sub'
  const aud = claims['aud']
  if (!isText(aud) && !(Array.isArray(aud) && aud.length > 0 && aud.every(isText))) return 'aud'
  if (!isDate(claims['exp'])) return 'exp'
  for (const name of ['nbf', 'iat', 'auth_time']) if (name in claims && !isDate(claims[name])) return name
  for (const name of ['scope', 'acr']) if (name in claims && !isText(claims[name])) return name
  if ('amr' in claims && !(Array.isArray(claims['amr']) && claims['amr'].every(isText))) return 'amr'
  for (let act = claims['act']; act !== undefined; act = (act as Record<string, unknown>)['act'])
    if (!isObject(act) || !isText(act['sub'])) return 'act'
  return null
}

/** RFC 9449 section 4.2. */
export const proofProblem = (claims: Readonly<Record<string, unknown>>): Problem => {
  for (const name of ['jti', 'htm', 'htu', 'ath']) if (typeof claims[name] !== 'string') return name
  if (isToken(String(claims['htm']))) return 'htm'
  if (isAbsoluteForm(String(claims['htu']).split('#', 1)[0] ?? '')) return 'htu'
  return typeof claims['iat'] === 'number' ? null : 'iat'
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** RFC 8259, in UTF-8 without a byte order mark, each member once (RFC 7515 section 4); undefined for anything else. */
export const readJson = (bytes: Buffer): unknown => {
  const text = bytes.toString('utf8')
  if (!Buffer.from(text, 'utf8').equals(bytes)) return undefined
  const found = new JsonText(text).read()
  return found === fault ? undefined : found
}

const fault = Symbol('no JSON')
const ws = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: the ABNF of `unescaped`
const string = /"((?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*)"/y
const words = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
])

class JsonText {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  read(): unknown {
    const value = this.#value()
    return value === fault || this.#at < this.#text.length ? fault : value
  }

  #take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return null
    this.#at = pattern.lastIndex
    return found[0]
  }

  #sign(sign: string): boolean {
    this.#take(ws)
    if (this.#text[this.#at] !== sign) return false
    this.#at++
    this.#take(ws)
    return true
  }

  #value(): unknown {
    this.#take(ws)
    const value = this.#bare()
    this.#take(ws)
    return value
  }

  #bare(): unknown {
    if (this.#sign('{')) return this.#object()
    if (this.#sign('[')) return this.#array()
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#at)) continue
      this.#at += word.length
      return value
    }
    return this.#string() ?? this.#number()
  }

  #string(): string | null {
    const found = this.#take(string)
    return found === null ? null : (JSON.parse(found) as string)
  }

  #number(): unknown {
    const found = this.#take(number)
    return found === null ? fault : Number(found)
  }

  #object(): unknown {
    const object: Record<string, unknown> = Object.create(null)
    if (this.#sign('}')) return object
    do {
      const name = this.#string()
      if (name === null || name in object || !this.#sign(':')) return fault
      const value = this.#value()
      if (value === fault) return fault
      object[name] = value
    } while (this.#sign(','))
    return this.#sign('}') ? object : fault
  }

  #array(): unknown {
    const items: unknown[] = []
    if (this.#sign(']')) return items
    do {
      const value = this.#value()
      if (value === fault) return fault
      items.push(value)
    } while (this.#sign(','))
    return this.#sign(']') ? items : fault
  }
}
