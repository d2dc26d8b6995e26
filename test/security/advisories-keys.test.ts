import { readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadConfig } from '../../src/load.ts'
import { SecretBytes } from '../../src/model/secret.ts'
import { factHash } from '../../src/record/facts.ts'
import { openDoor } from '../support/door.ts'
import { introspected, startIntrospectionProvider } from '../support/introspection.ts'
import { claimsAt, type Json, makeKey, openGate, serve, settingsFor, tokenOf } from '../support/issuer.ts'
import { tenantPolicy, writeInstallation } from '../support/postern.ts'

/** Rows T21 to T30 of the published advisories that are about keys and about what is remembered of tokens. */
/** An issuer that publishes what a test says, at a gate of its own. */
const issuerOf = async (keys: () => unknown, metadata: (url: string) => Json = url => ({ issuer: url, jwks_uri: `${url}/jwks` })) => {
  const server = await serve((request, response) => {
    const body = request.url === '/jwks' ? keys() : metadata(server.url)
    response.setHeader('content-type', 'application/json').end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  onTestFinished(() => server.stop())
  return server.url
}
const gateTo = (url: string, bounds = {}) => {
  const made = openGate([settingsFor(url)], bounds)
  onTestFinished(() => made.identifier.close())
  return made
}

describe('the keys of an issuer', () => {
  it('T21: that cannot be had let nobody in, least of all a key that everybody has', async () => {
    let answer: unknown = { keys: [] }
    const url = await issuerOf(() => answer)
    const { code } = gateTo(url, { retryMin: 1, retryMax: 1 })
    const key = makeKey('ES256', 'one')
    const token = tokenOf(key, claimsAt(Date.now(), url))
    for (const bad of [{ keys: [] }, {}, [], 'nothing', { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] }, { keys: null }]) {
      answer = bad
      expect(await code(token)).toBe('PST3101')
    }
    answer = { keys: [key.jwk] }
    await expect.poll(() => code(token), { timeout: 5_000 }).toBe('ok')
  })

  it('T21: stand nowhere in what is shipped', () => {
    const root = resolve(import.meta.dirname, '../..')
    const files = ['src', 'cmd', 'deploy', 'policies'].flatMap(folder =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile())
        .map(entry => join(entry.parentPath, entry.name)),
    )
    const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/]{20}|"(kty|d|k)"\s*:\s*"[A-Za-z0-9_-]{2,}"|\bkty: '(RSA|EC|OKP)', (n|x):/
    expect(files.length).toBeGreaterThan(200)
    expect(files.filter(file => key.test(readFileSync(file, 'utf8')))).toEqual([])
  })

  it('T22: are asked for where the issuer is, not where its answers point, and what is no key set is repeated nowhere', async () => {
    const inner = 'AKIAINTERNALSECRET0123'
    let asked = 0
    const secret = await serve((_, response) => {
      asked++
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ AccessKeyId: inner, keys: inner }))
    })
    onTestFinished(() => secret.stop())
    const moved = await serve((request, response) => {
      if (request.url === '/jwks') return void response.writeHead(302, { location: `${secret.url}/latest/meta-data/` }).end(inner)
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ issuer: moved.url, jwks_uri: `${moved.url}/jwks` }))
    })
    onTestFinished(() => moved.stop())
    const key = makeKey('ES256', 'one')
    const errors: string[] = []
    const pointing = (to: string) =>
      issuerOf(
        () => ({ keys: [] }),
        url => ({ issuer: url, jwks_uri: to }),
      )
    const [port] = secret.url.split(':').slice(-1)
    const away = [
      'http://169.254.169.254/latest/meta-data/',
      'http://10.0.0.1/',
      `http://evil.test:${port}/`,
      'file:///etc/passwd',
      'ftp://127.0.0.1/',
      `http://root@127.0.0.1:${port}/`,
      'gopher://x',
    ]
    for (const url of [moved.url, await pointing(`${secret.url}/`), ...(await Promise.all(away.map(pointing)))]) {
      const { code, identifier } = gateTo(url)
      expect(await code(tokenOf(key, claimsAt(Date.now(), url)))).toBe('PST3101')
      errors.push(JSON.stringify(identifier.status()))
    }
    // Loopback is allowed to this issuer by its settings; the address is asked, is no key set, and is not quoted.
    expect(asked).toBe(1)
    expect(errors.filter(text => text.includes(inner) || text.includes('AccessKeyId'))).toEqual([])
  })

  it('T27: are found by their name or not at all: never another one, never the last', async () => {
    const keys = ['one', 'two', 'three'].map(kid => makeKey('ES256', kid))
    const url = await issuerOf(() => ({ keys: keys.map(each => each.jwk) }))
    const { code } = gateTo(url, { bucketBurst: 100 })
    const claims = claimsAt(Date.now(), url)
    for (const key of keys) {
      expect(await code(tokenOf(key, claims))).toBe('ok')
      for (const kid of keys.map(each => each.kid)) if (kid !== key.kid) expect(await code(tokenOf(key, claims, { kid }))).toBe('PST3006')
      for (const kid of ['four', '', ' one', 'ONE', 'one\u0000', '__proto__', 'constructor', 'toString', '0', '2', '-1', 'length'])
        expect(await code(tokenOf(key, claims, { kid })), kid).toBe('PST3005')
      expect(await code(tokenOf(key, claims, { kid: undefined }))).toBe('PST3005')
      for (const kid of [null, 0, ['one'], { kid: 'one' }, true]) expect(await code(tokenOf(key, claims, { kid }))).toBe('PST3002')
    }
  })
})

describe('what is remembered', () => {
  it('T23: of a token is who it is, not what it may do: its scope counts on each request anew', async () => {
    const provider = await startIntrospectionProvider()
    onTestFinished(() => provider.stop())
    const scoped = (issuer: string) => ({
      'acme.policy.yaml': tenantPolicy(
        'acme',
        issuer,
        `  - { allow: read, why: Read., who: readers, to: GET /v1/** }
  - { allow: write, why: Write., who: writers, to: POST /v1/** }`,
      ).replace('who: {', 'who: { readers: { scopes: [read] }, writers: { scopes: [write] },'),
    })
    const own = await openDoor({
      policies: () => scoped(provider.issuer),
      sections: () => ({
        issuers: `issuers: [{ issuer: "${provider.issuer}", audiences: [postern-demo], allow-http-loopback: true, introspection: { client-id: postern, client-secret-file: client.secret } }]`,
      }),
      files: { 'client.secret': `${provider.secret}\n` },
    })
    onTestFinished(() => own.stop())
    const extra = { tenant: 'acme', groups: [] }
    const reader = (await provider.opaque({ audience: 'postern-demo', scope: 'read', extra })).token
    const writer = (await provider.opaque({ audience: 'postern-demo', scope: 'write', extra })).token
    const as = async (token: string, method: string) => (await own.postern.call('/v1/a', { token, method })).status
    const before = provider.calls()
    for (let i = 0; i < 2; i++) {
      expect([await as(reader, 'GET'), await as(reader, 'POST')]).toEqual([200, 403])
      expect([await as(writer, 'GET'), await as(writer, 'POST')]).toEqual([403, 200])
    }
    expect(provider.calls() - before).toBe(2)
  })

  it('T23: of one issuer is no answer at another, though both were shown the same token', async () => {
    const provider = async (answer: Json) => {
      const server = await serve((request, response) => {
        const metadata = { issuer: server.url, jwks_uri: `${server.url}/jwks`, introspection_endpoint: `${server.url}/introspect` }
        response.setHeader('content-type', 'application/json').end(JSON.stringify(request.url === '/introspect' ? answer : metadata))
      })
      onTestFinished(() => server.stop())
      return server.url
    }
    const yes = { active: true, sub: 'anna', aud: 'api', exp: Math.floor(Date.now() / 1000) + 600, token_type: 'Bearer' }
    const [one, two] = [await provider(yes), await provider({ active: false })]
    const made = openGate([introspected(one, 's', { hosts: ['one.test'] }), introspected(two, 's', { hosts: ['two.test'] })])
    onTestFinished(() => made.identifier.close())
    const at = (host: string) =>
      made.identifier.identify('Bearer opaque-1', {
        host,
        method: 'GET',
        target: { path: '/', query: null },
        publicUrl: null,
        dpop: null,
        clientCertificate: null,
        mappedCaller: null,
      })
    expect(await at('one.test')).toMatchObject({ subject: 'anna' })
    expect(await at('two.test')).toMatchObject({ code: 'PST3018' })
    expect(await at('one.test')).toMatchObject({ subject: 'anna' })
  })

  it('T30: of a person are the claims of this token, not those of the one before', async () => {
    const door = await openDoor()
    onTestFinished(() => door.stop())
    const status = async (changes: Json): Promise<number> => (await door.postern.call('/v1/x', { token: door.token(changes) })).status
    expect(await status({ groups: ['staff'], jti: 'a' })).toBe(200)
    expect(await status({ groups: [], jti: 'b' })).toBe(403)
    expect(await status({ groups: ['staff'], tenant: 'globex', jti: 'c' })).toBe(403)
    expect(await status({ groups: ['staff'], jti: 'a' })).toBe(200)
  })
})

describe('a digest over several parts', () => {
  it('T25: tells where one part ends: no two lists of facts, and no two sets of files, make one', async () => {
    const hash = factHash(new SecretBytes(Buffer.alloc(32, 1)))
    expect(hash.of('ab', 'c')).not.toBe(hash.of('a', 'bc'))
    expect(hash.of('a', '1 b')).not.toBe(hash.of('a1', ' b'))
    expect(hash.of('a', '1')).not.toBe(hash.of('a', 1))
    const gateway = 'gateway: { proof: [shared-secret], secret-files: [one.secret, two.secret] }'
    const digest = async (one: string, two: string) => {
      const file = await writeInstallation({
        issuer: 'https://issuer.example',
        upstreamPort: 1,
        sections: { gateway },
        files: { 'one.secret': one, 'two.secret': two },
      })
      const digests = new Set<string>()
      for (let i = 0; i < 10; i++) {
        const loaded = await loadConfig(file)
        if (!('digest' in loaded)) throw new Error('it did not load')
        digests.add(loaded.digest)
      }
      await rm(dirname(file), { recursive: true })
      return [...digests]
    }
    const all = [
      await digest('a'.repeat(40), 'a'.repeat(50)),
      await digest('a'.repeat(41), 'a'.repeat(49)),
      await digest('a'.repeat(50), 'a'.repeat(40)),
    ]
    // One each, however the files happen to be read, and each its own.
    expect(all.map(each => each.length)).toEqual([1, 1, 1])
    expect(new Set(all.flat()).size).toBe(3)
  })
})
