import type { Chance } from './chance.ts'
import type { StrictHead } from './strict.ts'

/** Requests and tokens of chance for fuzz tests: mostly well-formed, then spoilt in a place or two. */

const scraps = [
  ...' \t\r\n\0\x7f\x80\xa0\xff,;:=/?#%&@[]{}()<>|\\^`\'"*+-._~$!',
  '%2e',
  '%2F',
  '%25',
  '%5c',
  '%00',
  '%c0%af',
  '%zz',
  '%',
  '..',
  '//',
  '::',
  '\r\n',
  '\r\n ',
  ', ',
  'HTTP/1.1',
  'chunked',
  'Bearer ',
  'e30',
  'AA',
  '0',
  '9'.repeat(20),
  '\u0130',
  '\u2028',
  '\ud800',
]

const units = [' ', '\t', ',', ', ', ' ,', 'a,', 'a/', '/', '.', ':', '0:', '%41', '%', '=', 'a', '-', '"', '\\', '/.', '?', ' a']
/** The same again and again, and then something else: what a pattern with two ways to share it out never gets to the end of. */
export const endless: readonly string[] = ['', 'x', '/', 'close,'].flatMap(before =>
  units.flatMap(unit => ['', 'x y', 'x', '"', '%'].map(after => before + unit.repeat(Math.floor(15_000 / unit.length)) + after)),
)

/** A few insertions, deletions, repetitions and exchanges. */
export const spoilt = (text: string, c: Chance, most = 3): string => {
  let result = text
  for (let i = 1 + c.below(most); i > 0; i--) {
    const at = c.below(result.length + 1)
    const end = Math.min(result.length, at + 1 + c.below(4))
    const middle = [c.pick(scraps), '', result.slice(at, end).repeat(2), String.fromCharCode(c.below(256))][c.below(4)] ?? ''
    result = result.slice(0, at) + middle + result.slice(c.maybe(50) ? at : end)
  }
  return result
}

const perhapsSpoilt = (text: string, c: Chance, percent: number, most?: number): string => (c.maybe(percent) ? spoilt(text, c, most) : text)
const join = (c: Chance, parts: readonly string[], most: number, sign = ''): string => c.some(parts, most).join(sign)

const segments = [
  'v1',
  'a',
  'b~c',
  '%41',
  '%7e',
  '%c3%a9',
  '%20',
  'a:b',
  '@x',
  'a+b',
  "(x)'!$&*,=",
  '...',
  '.x',
  '-',
  '',
  '100%25',
  ';p=1',
  'x'.repeat(200),
]
const queries = ['?', '?a=b', '?a=%2F&b', '?/?:@', '?x[]=1', '?a=b#c', '?%zz', '?\u00e9']
const hosts = [
  'acme.test',
  'ACME.Test.',
  'a_b.test',
  'localhost:80',
  '127.0.0.1',
  '10.0.0.1:8080',
  '[::1]',
  '[2001:db8::1]:443',
  '[::ffff:1.2.3.4]',
  '[1:2:3:4:5:6:7:8]',
]
const odd = [
  'a@b',
  'a..b',
  '[::1',
  '[v1.x]',
  'a%41b',
  '',
  ':80',
  'a:99999',
  'a:',
  '-a',
  'a b',
  'xn--bcher-kva.test',
  '[1::2:3:4:5:6:7:8]',
  '[::%25lo]',
  '999.1.1.1',
]

export const oddTarget = (c: Chance): string => {
  const path = perhapsSpoilt(`/${join(c, segments, 5, '/')}`, c, 30) + (c.maybe(30) ? c.pick(queries) : '')
  const form = c.below(20)
  if (form === 0) return `${c.pick(['http', 'https', 'HTTP', 'ftp', ''])}://${c.pick([...hosts, ...odd])}${path}`
  return form === 1 ? c.pick(['*', 'acme.test:443', '', path.slice(1)]) : path
}

export const oddAuthority = (c: Chance): string => perhapsSpoilt(c.pick(c.maybe(70) ? hosts : odd), c, 40)

export const oddAddress = (c: Chance): string => {
  const group = (): string => c.pick(['0', '1', 'ffff', '2001', 'DB8', 'abcd', '10', '255', '256', '00', '12345', ''])
  const kind = c.below(4)
  if (kind === 0) return perhapsSpoilt(join(c, ['0', '1', '10', '127', '255', '256', '01', ''], 5, '.'), c, 20)
  const text = Array.from({ length: 1 + c.below(9) }, group).join(c.maybe(80) ? ':' : '::')
  return perhapsSpoilt(kind === 1 ? `::${text}` : kind === 2 ? `${text}:1.2.3.4` : text, c, 20)
}

const names = [
  'accept',
  'X-A',
  'cookie',
  'x_b',
  'Forwarded',
  'X-Forwarded-For',
  'user-agent',
  'Via',
  'te',
  'trailer',
  'x.c',
  "x'd",
  'Keep-Alive',
]
const values = ['a', 'a, b', '"q"', 'x y\tz', '\xff\x80', '', 'for=1.2.3.4', '1', 'W/"x"', 'a;q=0.5']
const framing: readonly (readonly [string, string])[] = [
  ['Content-Length', '0'],
  ['content-length', '3'],
  ['Content-Length', '+3'],
  ['Content-Length', '3, 3'],
  ['Content-Length', ''],
  ['Content-Length', '9'.repeat(17)],
  ['Transfer-Encoding', 'chunked'],
  ['transfer-encoding', 'Chunked'],
  ['Transfer-Encoding', 'gzip, chunked'],
  ['Transfer-Encoding', 'chunked, '],
  ['Transfer-Encoding', 'identity'],
  ['Transfer-Encoding', 'chunked;q=1'],
  ['Transfer-Encoding', '\x0bchunked'],
]
const control: readonly (readonly [string, string])[] = [
  ['Connection', 'close'],
  ['Connection', 'keep-alive, X-A'],
  ['connection', ', ,close,'],
  ['Connection', 'x a'],
  ['Connection', '\xa0close'],
  ['Connection', 'Upgrade'],
  ['Connection', '"close"'],
  ['Connection', 'close;q=1'],
  ['Upgrade', 'websocket'],
  ['Upgrade', 'h2c, websocket'],
  ['Upgrade', 'web socket'],
  ['Expect', '100-continue'],
  ['Expect', '100-CONTINUE, '],
  ['Expect', 'magic'],
  ['Authorization', 'Bearer x'],
  ['authorization', 'Basic YTpi'],
  ['DPoP', 'e30.e30.'],
]

/** A head as a parser hands it on: names are tokens and values have no line ends. */
export const oddHead = (c: Chance): StrictHead => {
  const fields: string[] = []
  const add = (name: string, value: string): void => void fields.push(name, value)
  for (let i = c.below(4); i > 0; i--) add(c.pick(names), c.pick(values))
  if (!c.maybe(3)) add(c.pick(['Host', 'host', 'HOST']), oddAuthority(c))
  if (c.maybe(3)) add('host', c.pick(hosts))
  const some = (from: readonly (readonly [string, string])[], most: number): void => {
    for (let i = c.below(most + 1); i > 0; i--) add(...c.pick(from))
  }
  if (c.maybe(40)) some(framing, 2)
  if (c.maybe(50)) some(control, 3)
  return {
    method: c.maybe(90)
      ? c.pick(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH'])
      : c.pick(['get', 'TRACE', 'CONNECT', 'PRI', '', 'G T']),
    target: c.maybe(50) ? '/v1/a' : oddTarget(c),
    version: c.maybe(90) ? '1.1' : c.pick(['1.0', '0.9', '2.0', '1.2', '']),
    fields,
  }
}

const jsonScraps = [
  'null',
  'true',
  '1e3',
  '-0',
  '01',
  '1.',
  '.5',
  '"\\u0000"',
  '"\\ud800"',
  '[]',
  '{}',
  '[1,]',
  '{"a":1,}',
  "'x'",
  'NaN',
  '//x',
  '"\\x"',
  '"a\tb"',
  '1e999',
  '{"a":{"a":1}}',
]
const members = [
  'alg',
  'typ',
  'kid',
  'crit',
  'jwk',
  'jku',
  'x5c',
  'b64',
  'iss',
  'sub',
  'aud',
  'exp',
  'nbf',
  'iat',
  'act',
  'cnf',
  'scope',
  'scp',
  'amr',
  'acr',
  '__proto__',
  'a',
]

/** JSON text near that of `object`: members changed, added, doubled or in another spelling, and sometimes no JSON at all. */
export const oddJson = (object: Readonly<Record<string, unknown>>, c: Chance): string => {
  const written = Object.entries(object).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  for (let i = c.below(3); i > 0; i--) {
    const name = c.pick(members)
    const value = c.maybe(50)
      ? c.pick(jsonScraps)
      : JSON.stringify(c.pick(['x', 'ES256', 7, ['a'], { sub: 'b' }, 4e9, -1, 'a@b@c', '\u0000', '\ud800']))
    const spelled = c.maybe(10) ? `"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}"` : JSON.stringify(name)
    written.splice(c.below(written.length + 1), c.maybe(60) ? 1 : 0, `${spelled}:${value}`)
  }
  const text = `{${written.join(c.maybe(95) ? ',' : ' , ')}}`
  return perhapsSpoilt(text, c, 10, 2)
}

export const encoded = (text: string): string => Buffer.from(text, 'utf8').toString('base64url')

/** An `Authorization` value; most hold a compact JWS of these two objects, near enough. */
export const oddAuthorization = (header: object, claims: object, c: Chance): string => {
  const scheme = c.maybe(85) ? 'Bearer ' : c.pick(['bearer ', 'DPoP ', 'BEARER  ', 'Bearer\t', 'Basic ', 'Bearer', '', 'Bearer \xa0'])
  if (c.maybe(15)) return scheme + perhapsSpoilt(c.pick(['opaque', 'a/b+c==', 'v2.local.x', 'x'.repeat(5_000), '==', 'a=b', '~._-']), c, 40)
  const bytes = c.maybe(3) ? Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url') : encoded(oddJson(header as Record<string, unknown>, c))
  const parts = [
    bytes,
    encoded(oddJson(claims as Record<string, unknown>, c)),
    c.pick(['', 'AAAA', 'AA', 'AB', 'AAA', 'AAB', 'A', 'x'.repeat(86)]),
  ]
  return scheme + perhapsSpoilt(parts.join('.'), c, 25, 2)
}
