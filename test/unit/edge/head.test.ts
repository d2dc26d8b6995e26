import { describe, expect, it } from 'vitest'
import { canonicalIp, readAuthority, readHead } from '../../../src/edge/head.ts'
import { Refusal } from '../../../src/model/problem.ts'

const head = (headers: readonly string[], extra: Partial<{ method: string; url: string; httpVersion: string }> = {}) =>
  readHead({ method: 'GET', url: '/v1/a', httpVersion: '1.1', rawHeaders: ['Host', 'acme.test', ...headers], ...extra })

const code = (result: ReturnType<typeof readHead>): string => (result instanceof Refusal ? result.code : 'accepted')
const kept = (headers: readonly string[]): readonly string[] => {
  const result = head(headers)
  if (result instanceof Refusal) throw new Error(result.code)
  return result.headers
}

describe('a request head with more than one meaning is refused', () => {
  it.each([
    ['two hosts', ['Host', 'other.test'], {}, 'PST1003'],
    ['two authorizations', ['Authorization', 'Bearer a', 'Authorization', 'Bearer b'], {}, 'PST1005'],
    ['a length and chunks', ['Content-Length', '3', 'Transfer-Encoding', 'chunked'], { method: 'POST' }, 'PST1004'],
    ['two lengths', ['Content-Length', '3', 'content-length', '3'], { method: 'POST' }, 'PST1004'],
    ['two codings', ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'], { method: 'POST' }, 'PST1004'],
    ['a coding list', ['Transfer-Encoding', 'gzip, chunked'], { method: 'POST' }, 'PST1004'],
    ['identity before chunked', ['Transfer-Encoding', 'identity, chunked'], { method: 'POST' }, 'PST1004'],
    ['an empty coding', ['Transfer-Encoding', ''], { method: 'POST' }, 'PST1004'],
    ['chunks in HTTP/1.0', ['Transfer-Encoding', 'chunked'], { method: 'POST', httpVersion: '1.0' }, 'PST1004'],
    ['a length above 2^53', ['Content-Length', '9007199254740997'], { method: 'POST' }, 'PST1004'],
    ['a signed length', ['Content-Length', '+3'], { method: 'POST' }, 'PST1004'],
    ['a length with a blank', ['Content-Length', '3 '], { method: 'POST' }, 'PST1004'],
    ['a body on GET', ['Content-Length', '3'], {}, 'PST1004'],
    ['userinfo in an absolute target', [], { url: 'http://user@acme.test/v1/a' }, 'PST1002'],
    ['another scheme', [], { url: 'ftp://acme.test/v1/a' }, 'PST1002'],
    ['asterisk-form', [], { method: 'OPTIONS', url: '*' }, 'PST1002'],
    ['dot segments', [], { url: '/v1/%2e%2e/a' }, 'PST1002'],
    ['an empty segment', [], { url: '/v1//a' }, 'PST1002'],
    ['a semicolon', [], { url: '/v1/a;b' }, 'PST1002'],
    ['a fragment', [], { url: '/v1/a#b' }, 'PST1002'],
    ['an unknown expectation', ['Expect', 'magic'], {}, 'PST1009'],
    ['TRACE', [], { method: 'TRACE' }, 'PST1007'],
    ['HTTP/2.0 on the request line', [], { httpVersion: '2.0' }, 'PST1001'],
    ['201 fields', Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 'a' : 'b')), {}, 'PST1006'],
    ['our own field nominated', ['Connection', 'close, x-postern-tenant'], {}, 'PST1005'],
    ['two words nominated', ['Connection', 'x a'], {}, 'PST1005'],
    ['a blank that is none in Connection', ['Connection', '\u00a0close'], {}, 'PST1005'],
    ['an Upgrade that is no protocol', ['Upgrade', 'web socket'], {}, 'PST1001'],
    ['Host nominated', ['Connection', 'host'], {}, 'PST1005'],
    ['Authorization nominated', ['Connection', 'Authorization'], {}, 'PST1005'],
  ] as const)('%s', (_, headers, extra, expected) => {
    expect(code(head(headers, extra))).toBe(expected)
  })

  it.each(['', 'a b', 'a/..@x', 'user@acme.test', 'a,b', 'acme.test:99999', '[::1', '[zz]', 'a..b', 'a..', '.'])('the host %j', host => {
    expect(readAuthority(host)).toBeNull()
  })
})

describe('a host has one spelling', () => {
  it.each([
    ['ACME.Test', 'acme.test'],
    ['acme.test.', 'acme.test'],
    ['acme.test:8080', 'acme.test'],
    ['[::1]:80', '[::1]'],
    ['127.0.0.1', '127.0.0.1'],
  ])('%s is %s', (value, expected) => expect(readAuthority(value)).toBe(expected))

  it('an absolute target names the host, not the Host field', () => {
    const result = head([], { url: 'http://Other.test/v1/a?q' })
    expect(result).toMatchObject({ host: 'other.test', target: { path: '/v1/a', query: 'q' } })
  })
})

describe('what only Postern or the gateway may say never passes', () => {
  it.each([
    'X-Postern-Tenant',
    'x-postern-cassandra-password',
    'X_Postern_Tenant',
    'x-postern_subject',
    'X.Postern.Tenant',
    'Forwarded',
    'X-Forwarded-For',
    'x-forwarded-user',
    'X_Forwarded_User',
    'X-Real-IP',
    'Remote-User',
    'X-Remote-User',
    'X-Auth-Request-Email',
    'X-Amzn-Oidc-Data',
    'X-Goog-Authenticated-User-Email',
    'X-HTTP-Method-Override',
    'X-Original-URL',
    'X-Rewrite-URL',
    'Proxy',
    'X-MS-Client-Principal-Id',
    'X-Amzn-Mtls-Clientcert-Leaf',
    'Client-IP',
    'X-Consumer-Username',
    'SSL-Client-Cert',
    'X-Envoy-Original-Path',
    'True-Client-IP',
    'DPoP',
    'Keep-Alive',
    'TE',
    'Trailer',
    'Proxy-Connection',
    'Proxy-Authorization',
    'any_name',
  ])('%s', name => expect(kept([name, 'evil'])).toEqual([]))

  it('a nominated field is dropped, others stay in order with their duplicates', () => {
    expect(kept(['Accept', 'a', 'X-Hop', 'x', 'Connection', 'X-Hop', 'Accept', 'b'])).toEqual(['accept', 'a', 'accept', 'b'])
  })
})

describe('client addresses have one spelling', () => {
  it.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['10.1.2.3, 10.0.0.1', null],
    ['fe80::1%eth0', null],
    ['10.1.2', null],
    ['', null],
  ])('%s is %s', (value, expected) => expect(canonicalIp(value)).toBe(expected))
})
