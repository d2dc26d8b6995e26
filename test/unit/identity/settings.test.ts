import { describe, expect, it } from 'vitest'
import { readDocument } from '../../../src/config/document.ts'
import { record, required } from '../../../src/config/shape.ts'
import { Source } from '../../../src/config/source.ts'
import { issuerNames, issuersShape } from '../../../src/identity/issuer-entry.ts'
import { issuerSettings } from '../../../src/identity/settings.ts'
import { settingsOf } from '../../support/issuer.ts'

const file = record({ issuers: required(issuersShape, 'Providers.') })
const read = (issuers: string) => {
  const source = new Source('proxy.config.yaml', Buffer.from(`issuers:\n${issuers}`), 'C')
  const { value } = readDocument(source, file)
  return { entries: value?.issuers ?? null, errors: source.findings.map(f => `${f.code}:${f.line}:${f.column} ${f.message}`) }
}
const one = (entry: string) => read(`  - { issuer: https://login.example.com/, audiences: [api]${entry} }\n`)

describe('an entry of issuers', () => {
  it('has defaults for all but issuer and audiences', () => {
    expect(one('').entries).toMatchObject([
      {
        issuer: 'https://login.example.com/',
        'issuer-template': null,
        values: [],
        'jwks-uri': null,
        preset: null,
        compatibility: null,
        audiences: ['api'],
        kid: 'optional',
        'audience-claims': ['aud'],
        'required-claims': new Map(),
        'one-of-claims': [],
        'one-of-scopes': [],
        algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
        typ: ['at+jwt'],
        'clock-tolerance': 30_000,
        'max-lifetime': 86_400_000,
        'ca-file': null,
        introspection: null,
        proxy: null,
        'allow-private-addresses': false,
        'allow-http-loopback': false,
      },
    ])
  })

  it('reads application/at+jwt as at+jwt', () => {
    expect(one(', typ: [application/at+jwt, absent]').entries?.[0]?.typ).toEqual(['at+jwt', 'absent'])
  })

  it.each([
    [', algorithms: [HS256]', 'algorithms is "HS256"'],
    [', algorithms: [none]', 'algorithms is "none"'],
    [', algorithms: []', 'empty list'],
    [', typ: [id+jwt]', '"id+jwt" is not a token type'],
    [', clock-tolerance: 301s', 'out of range'],
    [', max-lifetime: 25h', 'out of range'],
    [', audience: x', 'Did you mean audiences?'],
    [', proxy: "https://proxy.internal:3128"', 'is not a proxy'],
    [', proxy: "http://u:p@proxy.internal:3128"', 'is not a proxy'],
    [', proxy: "http://proxy.internal:3128/x"', 'is not a proxy'],
  ])('%s is refused', (entry, message) => {
    expect(one(entry).errors.join()).toContain(message)
  })

  it.each([
    ['{ issuer: https://a.example/ }', 'audiences is missing'],
    ['{ issuer: https://a.example/, audiences: [] }', 'empty list'],
    ['{ issuer: https://a.example/, audiences: [""] }', 'write an audience'],
    ['{ issuer: login.example.com, audiences: [a] }', 'is not a URL'],
    ['{ issuer: "ftp://a.example/", audiences: [a] }', 'is not a URL'],
    ['{ issuer: "https://u:p@a.example/", audiences: [a] }', 'user or password'],
    ['{ issuer: "https://a.example/?x=1", audiences: [a] }', 'query or fragment'],
    ['{ issuer: "https://a.example/.well-known/openid-configuration", audiences: [a] }', 'address of the metadata'],
    ['{ issuer: "http://a.example/", audiences: [a], allow-http-loopback: true }', 'in the clear'],
    ['{ issuer: "http://127.0.0.1.evil.example/", audiences: [a], allow-http-loopback: true }', 'in the clear'],
    ['{ issuer: "http://127.0.0.1:9400", audiences: [a] }', 'allow-http-loopback'],
  ])('%s is refused', (entry, message) => {
    const { entries, errors } = read(`  - ${entry}\n`)
    expect(entries).toBeNull()
    expect(errors.join()).toContain(message)
  })

  it.each(['http://127.0.0.1:9400', 'http://[::1]:9400', 'http://localhost:9400', 'http://login.localhost:9400'])(
    '%s loads with the switch beside it',
    issuer => {
      expect(read(`  - { issuer: "${issuer}", audiences: [a], allow-http-loopback: true }\n`).errors).toEqual([])
    },
  )

  it('stands once in the list, and the message has the place of the second', () => {
    const entry = '  - { issuer: https://a.example/, audiences: [a] }\n'
    expect(read(`${entry}${entry}`).errors).toEqual(['C204:3:5 https://a.example/ stands here a second time. Join the two entries.'])
  })
})

describe('an issuer template', () => {
  const of = (more: string, template = 'https://login.example.com/{tid}/v2.0') =>
    read(`  - { issuer-template: "${template}", audiences: [a], ${more} }\n`)

  it('makes one issuer of each value, bound to its claim', () => {
    const { entries, errors } = of('values: [t1, t2]')
    expect(errors).toEqual([])
    expect(issuerNames(entries ?? [])).toEqual(['https://login.example.com/t1/v2.0', 'https://login.example.com/t2/v2.0'])
    expect(entries?.flatMap(entry => issuerSettings(entry, null))).toMatchObject([
      { issuer: 'https://login.example.com/t1/v2.0', bound: { claim: 'tid', value: 't1' } },
      { issuer: 'https://login.example.com/t2/v2.0', bound: { claim: 'tid', value: 't2' } },
    ])
  })

  it.each([
    ['{ issuer-template: "https://a.example/{tid}", audiences: [a] }', 'needs values'],
    ['{ issuer-template: "https://a.example/{tid}", values: [], audiences: [a] }', 'empty list'],
    ['{ issuer: "https://a.example/", values: [x], audiences: [a] }', 'values go with issuer-template'],
    ['{ issuer: "https://a.example/", issuer-template: "https://a.example/{t}", values: [x], audiences: [a] }', 'one of them'],
    ['{ audiences: [a] }', 'one of them'],
  ])('%s is refused', (entry, message) => {
    expect(read(`  - ${entry}\n`).errors.join()).toContain(message)
  })

  it.each(['*', '', 'a/b', '..', '.', 'a?b', 'a#b', 'a@b', '%2f', '{tid}', 'a b', 'a:b', 'x'.repeat(129)])(
    'takes no value %j, which could change another part of the URL or mean any',
    value => {
      expect(of(`values: [ok, "${value}"]`).errors.join()).toContain('cannot be a value')
    },
  )

  it.each([
    'https://a.example/v2.0',
    'https://{a}.example/{b}',
    '{tid}://a.example/',
    'https://a.example/{}',
    'https://a.example/{t-d}',
    'https://a.example/{tid',
    'https://u:p@{a}.example/',
  ])('%s is none', template => {
    expect(of('values: [x]', template).entries).toBeNull()
  })

  it('in the clear loads on loopback only', () => {
    expect(of('values: [x]', 'http://a.example/{tid}').errors.join()).toContain('in the clear')
    expect(of('values: [x], allow-http-loopback: true', 'http://127.0.0.1:1/{tid}').errors).toEqual([])
    expect(of('values: [x], jwks-uri: "http://a.example/keys"').errors.join()).toContain('in the clear')
  })

  it('is bounded where each issuer fetches its own keys', () => {
    const values = Array.from({ length: 101 }, (_, i) => `t${i}`).join()
    expect(of(`values: [${values}]`).errors.join()).toContain('at most 100 do')
    expect(of(`values: [${values}], jwks-uri: "https://login.example.com/keys"`).errors).toEqual([])
  })

  it('makes no issuer that stands elsewhere, in the same entry or in another', () => {
    expect(of('values: [x, x]').errors.join()).toContain('a second time')
    const plain = '  - { issuer: "https://login.example.com/x/v2.0", audiences: [a] }\n'
    const both = `${plain}  - { issuer-template: "https://login.example.com/{tid}/v2.0", values: [y, x], audiences: [a] }\n`
    expect(read(both).errors).toEqual(['C204:3:5 https://login.example.com/x/v2.0 stands here a second time. Join the two entries.'])
  })

  it('is not introspected', () => {
    expect(of('values: [x], introspection: { client-id: p, client-secret-file: s }').errors.join()).toContain('needs one issuer')
  })
})

describe('introspection', () => {
  const asks = (more = '') => `introspection: { client-id: p, client-secret-file: s${more} }`
  const entry = (name: string, more: string) => `  - { issuer: "https://${name}.example/", audiences: [a], ${more} }\n`

  it('of the one issuer takes opaque tokens of every host', () => {
    expect(read(entry('a', asks())).entries?.[0]?.introspection).toEqual({
      'client-id': 'p',
      'client-secret-file': 's',
      'private-key-file': null,
      'key-id': null,
      endpoint: null,
      when: 'opaque',
      hosts: null,
      'cache-for': 60_000,
    })
  })

  it('beside another issuer says of which hosts', () => {
    const plain = '  - { issuer: "https://b.example/", audiences: [a] }\n'
    expect(read(entry('a', asks()) + plain).errors).toEqual([
      'C204:2:5 beside other issuers an opaque token could be theirs. Write introspection.hosts: the hosts whose opaque tokens are of https://a.example/.',
    ])
    expect(read(entry('a', asks(', hosts: [x.example]')) + plain).errors).toEqual([])
    expect(read(entry('a', asks(', when: always, hosts: []')) + plain).errors).toEqual([])
  })

  it('of two issuers for one host is refused, where the second stands', () => {
    const both = entry('a', asks(', hosts: [x.example]')) + entry('b', asks(', hosts: [y.example, x.example]'))
    expect(read(both).errors).toEqual([
      'C204:3:5 opaque tokens of x.example are those of https://a.example/ already. Leave the host with one of them.',
    ])
  })

  it.each([
    ['introspection: { client-id: p }', 'one of them'],
    ['introspection: { client-id: p, client-secret-file: s, private-key-file: k }', 'one of them'],
    [asks(', key-id: k'), 'key-id goes with private-key-file'],
    [asks(', hosts: []'), 'no opaque token would ever be asked about'],
    [asks(', endpoint: "http://a.example/introspect"'), 'in the clear'],
    [asks(', endpoint: "http://127.0.0.1/introspect"'), 'allow-http-loopback'],
    [asks(', endpoint: "https://u:p@a.example/introspect"'), 'user, password'],
    [asks(', cache-for: 6m'), 'out of range'],
    ['introspection: { client-secret-file: s }', 'client-id is missing'],
  ])('%s is refused', (more, message) => {
    expect(read(entry('a', more)).errors.join()).toContain(message)
  })
})

describe('the digest of settings', () => {
  it('differs with each value and with the bytes of the CA file, and with nothing else', () => {
    const base = { entry: one('').entries?.[0], ca: null as string | null }
    if (!base.entry) throw new Error('not read')
    const changed = [
      ', algorithms: [RS256]',
      ', typ: [JWT]',
      ', clock-tolerance: 31s',
      ', max-lifetime: 1h',
      ', allow-http-loopback: true',
    ].map(change => one(change).entries?.[0])
    const digests = changed.map(entry => (entry ? settingsOf(entry).digest : ''))
    digests.push(settingsOf(base.entry, 'PEM 1').digest, settingsOf(base.entry, 'PEM 2').digest)
    digests.push(settingsOf(base.entry).digest)
    expect(new Set(digests).size).toBe(changed.length + 3)
    expect(settingsOf({ ...base.entry }).digest).toBe(digests.at(-1))
  })
})
