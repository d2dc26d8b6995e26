import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { readDocument } from '../../../src/config/document.ts'
import { record, required } from '../../../src/config/shape.ts'
import { Source } from '../../../src/config/source.ts'
import { algorithms } from '../../../src/identity/algorithms.ts'
import { issuersShape } from '../../../src/identity/issuer-entry.ts'
import { readKey, Skipped } from '../../../src/identity/jwk.ts'
import type { IssuerSettings } from '../../../src/identity/settings.ts'
import { parseJws } from '../../../src/identity/token.ts'
import { acceptHeader, verifyToken } from '../../../src/identity/verify.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { readConfig, showConfig } from '../../../src/settings.ts'
import { forge, type Json, makeKey, settingsOf, signerOf } from '../../support/issuer.ts'

const file = record({ issuers: required(issuersShape, 'Providers.') })
const settings = (entry: string): IssuerSettings => {
  const source = new Source('proxy.config.yaml', Buffer.from(`issuers:\n  - { ${entry} }\n`), 'C')
  const [read] = readDocument(source, file).value?.issuers ?? []
  if (read === undefined) throw new Error(source.findings.map(finding => finding.message).join())
  return settingsOf(read)
}

const now = Date.parse('2026-11-23T10:00:00Z')
const s = now / 1000
const signing = makeKey('RS256', 'k')
const key = await readKey(signing.jwk)
if (key instanceof Skipped) throw new Error(key.why)

/** `ok`, or code and detail: a token of this header and payload, signed by the issuer. */
const judge = (of: IssuerSettings, header: Json, payload: Json) => {
  const token = forge({ alg: 'RS256', kid: 'k', ...header }, { iss: of.issuer, iat: s, exp: s + 300, ...payload }, signerOf(signing))
  const jws = parseJws(token)
  if (jws instanceof Refusal) throw new Error(jws.detail)
  const accepted = acceptHeader(jws, of)
  return accepted instanceof Refusal ? accepted : verifyToken(jws, accepted, of, key, now)
}
const code = (of: IssuerSettings, header: Json, payload: Json): string => {
  const result = judge(of, header, payload)
  return result instanceof Refusal ? `${result.code} ${result.detail}`.trim() : 'ok'
}

const client = '11111111-2222-3333-4444-555555555555'

/** Tokens as the providers' documentation shows them: which pass, and which of the same issuer must not. */
const provider: Readonly<
  Record<string, { readonly entry: string; readonly good: readonly [Json, Json][]; readonly bad: readonly [string, Json, Json][] }>
> = {
  okta: {
    entry: 'issuer: https://acme.okta.com/oauth2/default, audiences: [api://default], preset: okta',
    good: [
      [{}, { ver: 1, jti: 'AT.1', aud: 'api://default', sub: 'anna@acme.example', cid: '0oa1', uid: '00u1', scp: ['read'] }],
      [{ typ: 'application/okta-internal-at+jwt' }, { aud: 'api://default', sub: '0oa1', cid: '0oa1', scp: ['read'] }],
    ],
    bad: [
      ['PST3010 at_hash', {}, { ver: 1, jti: 'ID.1', aud: 'api://default', sub: '00u1', at_hash: 'x', idp: '00o1' }],
      ['PST3010 none of cid, client_id', {}, { ver: 1, jti: 'ID.1', aud: 'api://default', sub: '00u1', idp: '00o1' }],
      ['PST3010 typ', { typ: 'JWT' }, { aud: 'api://default', sub: 'a', cid: '0oa1' }],
    ],
  },
  cognito: {
    entry:
      'issuer: "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A", audiences: [appclient, "https://api.example.com"], preset: cognito',
    good: [
      [
        {},
        {
          sub: 'aaaa',
          token_use: 'access',
          client_id: 'appclient',
          scope: 'openid',
          username: 'anna',
          'cognito:groups': ['g'],
          version: 2,
        },
      ],
      [{}, { sub: 'aaaa', token_use: 'access', client_id: 'other', aud: 'https://api.example.com' }],
    ],
    bad: [
      ['PST3010 token_use', {}, { sub: 'aaaa', token_use: 'id', aud: 'appclient', 'cognito:username': 'anna' }],
      ['PST3010 token_use', {}, { sub: 'aaaa', aud: 'appclient' }],
      ['PST3009 client_id', {}, { sub: 'aaaa', token_use: 'access', client_id: 'other' }],
      ['PST3009 aud', {}, { sub: 'aaaa', token_use: 'access', client_id: 'appclient', aud: 'elsewhere' }],
      ['PST3011 aud', {}, { sub: 'aaaa', token_use: 'access', client_id: 'appclient', aud: [] }],
      ['PST3011 aud', {}, { sub: 'aaaa', token_use: 'access' }],
    ],
  },
  entra: {
    entry: `issuer-template: "https://login.microsoftonline.com/{tid}/v2.0", values: [t1], audiences: ["${client}"], preset: entra`,
    good: [
      [{ typ: 'JWT' }, { aud: client, sub: 'x', tid: 't1', oid: 'o', azp: 'app', azpacr: '1', scp: 'Orders.Read', ver: '2.0', uti: 'u' }],
      [{ typ: 'JWT' }, { aud: `api://${client}`, sub: 'x', tid: 't1', appid: 'app', roles: ['r'], ver: '1.0' }],
    ],
    bad: [
      ['PST3010 none of azp, appid', { typ: 'JWT' }, { aud: client, sub: 'x', tid: 't1', oid: 'o', name: 'Anna', ver: '2.0' }],
      ['PST3010 nonce', { typ: 'JWT' }, { aud: client, sub: 'x', tid: 't1', nonce: 'n', azp: 'app' }],
      ['PST3011 tid', { typ: 'JWT' }, { aud: client, sub: 'x', tid: 't2', azp: 'app' }],
      ['PST3009 aud', { typ: 'JWT' }, { aud: '00000003-0000-0000-c000-000000000000', sub: 'x', tid: 't1', azp: 'app' }],
      ['PST3009 aud', { typ: 'JWT' }, { aud: 'api://other', sub: 'x', tid: 't1', azp: 'app' }],
    ],
  },
  auth0: {
    entry: 'issuer: https://acme.eu.auth0.com/, audiences: ["https://api.acme.example"], preset: auth0',
    good: [
      [
        { typ: 'JWT' },
        {
          aud: ['https://api.acme.example', 'https://acme.eu.auth0.com/userinfo'],
          sub: 'auth0|1',
          azp: 'app',
          scope: 'openid',
          permissions: ['r'],
          'https://acme.example/roles': ['staff'],
        },
      ],
      [{ typ: 'at+jwt' }, { aud: 'https://api.acme.example', sub: 'app@clients', client_id: 'app', jti: 'j', scope: 'r' }],
    ],
    bad: [
      ['PST3010 none of azp, client_id', { typ: 'JWT' }, { aud: 'https://api.acme.example', sub: 'auth0|1', sid: 's' }],
      ['PST3010 typ', {}, { aud: 'https://api.acme.example', sub: 'auth0|1', azp: 'app' }],
    ],
  },
  keycloak: {
    entry: 'issuer: https://id.example.com/realms/acme, audiences: [orders], preset: keycloak',
    good: [
      [
        { typ: 'JWT' },
        {
          aud: ['orders', 'account'],
          sub: 'u',
          typ: 'Bearer',
          azp: 'web',
          acr: '1',
          sid: 's',
          realm_access: { roles: ['r'] },
          scope: 'openid',
        },
      ],
      [{ typ: 'at+jwt' }, { aud: 'orders', sub: 'u', typ: 'Bearer', azp: 'web' }],
      [{ typ: 'at+jwt' }, { aud: ['orders', 'account'], sub: 'u', typ: 'DPoP', azp: 'web', cnf: { jkt: 'A'.repeat(43) } }],
    ],
    bad: [
      ['PST3010 typ', { typ: 'JWT' }, { aud: 'orders', sub: 'u', typ: 'ID', azp: 'orders' }],
      ['PST3010 typ', { typ: 'JWT' }, { aud: 'orders', sub: 'u', typ: 'Refresh', azp: 'orders' }],
      ['PST3010 typ', { typ: 'JWT' }, { aud: 'orders', sub: 'u', typ: ['Bearer'], azp: 'orders' }],
      ['PST3010 typ', { typ: 'JWT' }, { aud: 'orders', sub: 'u', azp: 'web' }],
      ['PST3009 aud', { typ: 'JWT' }, { aud: 'account', sub: 'u', typ: 'Bearer', azp: 'web' }],
      // As Keycloak 26.4 writes its lightweight tokens, and its ID tokens.
      ['PST3011 sub', { typ: 'JWT' }, { typ: 'Bearer', azp: 'orders-app', sid: 's', scope: 'openid' }],
      ['PST3010 at_hash', { typ: 'JWT' }, { aud: 'orders-app', sub: 'u', typ: 'ID', azp: 'orders-app', at_hash: 'a', acr: '1' }],
    ],
  },
  'aws-sts-web-identity': {
    entry: 'issuer: https://abc.tokens.sts.global.api.aws, audiences: [orders], preset: aws-sts-web-identity',
    good: [
      [
        { typ: 'JWT' },
        {
          aud: 'orders',
          sub: 'arn:aws:iam::123456789012:role/App',
          jti: 'j',
          'https://sts.amazonaws.com/': { aws_account: '123456789012' },
        },
      ],
    ],
    bad: [
      ['PST3010 none of https://sts.amazonaws.com/', { typ: 'JWT' }, { aud: 'orders', sub: 'arn:aws:iam::1:role/App' }],
      ['PST3013 exp', { typ: 'JWT' }, { aud: 'orders', sub: 'arn', 'https://sts.amazonaws.com/': {}, exp: s + 3601 }],
      ['PST3005 no kid', { typ: 'JWT', kid: undefined }, { aud: 'orders', sub: 'arn', 'https://sts.amazonaws.com/': {} }],
    ],
  },
}

describe.each(Object.entries(provider))('preset %s', (_, { entry, good, bad }) => {
  it('takes the access tokens of its provider', () => {
    for (const [header, payload] of good) expect(code(settings(entry), header, payload), JSON.stringify(payload)).toBe('ok')
  })

  it('refuses what else the provider signs', () => {
    for (const [refusal, header, payload] of bad) expect(code(settings(entry), header, payload), JSON.stringify(payload)).toBe(refusal)
  })
})

describe('a preset', () => {
  it('gives way to a key that is written beside it', () => {
    const written = 'typ: [at+jwt], algorithms: [PS256], required-claims: { typ: Offline }, one-of-claims: []'
    expect(settings(`issuer: https://id.example.com/, audiences: [a], preset: keycloak, ${written}`)).toMatchObject({
      typ: ['at+jwt'],
      algorithms: ['PS256'],
      requiredClaims: [['typ', ['Offline']]],
      oneOfClaims: [],
    })
  })

  it('is seen in config show, key by key, with where each value came from', () => {
    const text = `postern: config/v1
listen: { proxy: "127.0.0.1:0", ops: "127.0.0.1:0" }
gateway: { proof: [shared-secret], secret-files: [s] }
issuers:
  - issuer: https://id.example.com/
    audiences: [a]
    preset: cognito
    algorithms: [RS256, PS256]
  - { issuer: https://b.example.com/, audiences: [b], compatibility: api-gateway-jwt-authorizer }
upstreams: { api: { url: "http://127.0.0.1:1" } }
routes: [{ name: a, host: a.example.com, upstream: api }]
audit: { key-file: k }
`
    const rows = new Map(showConfig(readConfig('c.yaml', Buffer.from(text))).map(({ key: name, value, from }) => [name, [value, from]]))
    expect(rows.get('issuers[0].preset')).toEqual(['cognito', 'c.yaml:7:13'])
    expect(rows.get('issuers[0].algorithms')).toEqual([['RS256', 'PS256'], 'c.yaml:8:17'])
    expect(rows.get('issuers[0].typ')).toEqual([['absent'], 'preset cognito'])
    expect(rows.get('issuers[0].audience-claims')).toEqual([['aud', 'client_id'], 'preset cognito'])
    expect(rows.get('issuers[0].required-claims')).toEqual([{ token_use: ['access'] }, 'preset cognito'])
    expect(rows.get('issuers[0].max-lifetime')).toEqual(['1d', 'default'])
    expect(rows.get('issuers[1].kid')).toEqual(['required', 'compatibility api-gateway-jwt-authorizer'])
  })

  it.each([
    ['preset: gitlab', 'preset is "gitlab"; write okta or cognito'],
    ['compatibility: apigw', 'compatibility is "apigw"; write api-gateway-jwt-authorizer'],
    ['preset: okta, compatibility: api-gateway-jwt-authorizer', 'two answers to one question'],
    ['required-claims: { "": x }', 'name of a claim'],
    ['required-claims: { a: [] }', 'empty list'],
    ['audience-claims: [sub]', 'audience-claims is "sub"'],
  ])('%s is refused', (more, message) => {
    expect(() => settings(`issuer: https://id.example.com/, audiences: [a], ${more}`)).toThrow(message)
  })

  it('changes the digest, as each of its keys does', () => {
    const base = 'issuer: https://id.example.com/, audiences: [a]'
    const changes = [
      '',
      ', preset: keycloak',
      ', kid: required',
      ', audience-claims: [azp]',
      ', required-claims: { a: b }',
      ', required-claims: { a: c }',
      ', one-of-claims: [a]',
      ', one-of-scopes: [a]',
      ', compatibility: api-gateway-jwt-authorizer',
      ', jwks-uri: "https://id.example.com/keys"',
    ]
    expect(new Set(changes.map(change => settings(base + change).digest)).size).toBe(changes.length)
  })
})

describe("compatibility with API Gateway's JWT authorizer", () => {
  const of = (more = '') => settings(`issuer: https://id.example.com/, audiences: [a], compatibility: api-gateway-jwt-authorizer${more}`)
  const base = { sub: 'anna', aud: 'a' }

  it.each<[string, Json, Json, string]>([
    ['an access token of RFC 9068', { typ: 'at+jwt' }, base, 'ok'],
    ['a token of any other type', { typ: 'JWT' }, base, 'ok'],
    ['an ID token, which it cannot tell', {}, { ...base, nonce: 'n', at_hash: 'h', token_use: 'id' }, 'ok'],
    ['client_id in the place of aud', {}, { sub: 'anna', client_id: 'a' }, 'ok'],
    ['client_id beside another aud', {}, { sub: 'anna', client_id: 'a', aud: 'b' }, 'PST3009 aud'],
    ['aud beside another client_id', {}, { sub: 'anna', client_id: 'b', aud: 'a' }, 'ok'],
    ['no kid', { kid: undefined }, base, 'PST3005 no kid'],
    ['another key type', { alg: 'ES256' }, base, 'PST3004 ES256'],
    ['iat to come', {}, { ...base, iat: s + 31 }, 'PST3008 iat'],
    ['nbf to come', {}, { ...base, nbf: s + 31 }, 'PST3008 nbf'],
    ['exp in the past', {}, { ...base, exp: s - 31 }, 'PST3007 exp'],
  ])('%s', (_, header, payload, expected) => {
    expect(code(of(), header, payload)).toBe(expected)
  })

  it('asks for any one scope of those listed, in scope or scp: without it is 403', () => {
    const scoped = of(', one-of-scopes: [read, write]')
    expect(code(scoped, {}, { ...base, scope: 'openid write' })).toBe('ok')
    expect(code(scoped, {}, { ...base, scp: ['read'] })).toBe('ok')
    for (const scope of ['openid', 'reads', undefined]) expect(code(scoped, {}, { ...base, scope })).toBe('PST3019 scope')
    expect(new Refusal('PST3019').row.status).toBe(403)
  })
})

describe('ES384', () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const signed = Buffer.from('text')
  const signature = sign('sha384', signed, { key: pair.privateKey, dsaEncoding: 'ieee-p1363' })
  const order = Buffer.from('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973', 'hex')

  it('verifies its signature and no other', () => {
    const check = (bytes: Buffer) => algorithms.ES384.verify(pair.publicKey, signed, bytes)
    expect(check(signature)).toBe(true)
    expect(algorithms.ES384.verify(pair.publicKey, Buffer.from('other'), signature)).toBe(false)
    for (const bytes of [
      Buffer.alloc(96),
      Buffer.alloc(96, 255),
      signature.subarray(1),
      Buffer.concat([signature, Buffer.alloc(1)]),
      Buffer.concat([signature.subarray(0, 48), order]),
      Buffer.concat([order, signature.subarray(48)]),
      sign('sha384', signed, pair.privateKey),
      Buffer.alloc(0),
    ])
      expect(check(bytes)).toBe(false)
  })

  it('is for keys of P-384 alone, and only where it is named', async () => {
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k' }
    expect(await readKey(jwk)).toMatchObject({ algorithms: ['ES384'] })
    expect(await readKey({ ...jwk, alg: 'ES256' })).toBeInstanceOf(Skipped)
    expect(settings('issuer: https://id.example.com/, audiences: [a]').algorithms).not.toContain('ES384')
    expect(settings('issuer: https://id.example.com/, audiences: [a], algorithms: [ES384]').algorithms).toEqual(['ES384'])
  })
})
