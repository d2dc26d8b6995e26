import { createPublicKey } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { createFetch } from '../../src/fetch.ts'
import type { Bounds } from '../../src/identity/bounds.ts'
import type { IssuerSettings } from '../../src/identity/settings.ts'
import { forge, type Gate, hmacSigner, type Json, makeKey, openGate, settingsFor, signerOf, until } from '../support/issuer.ts'

const realFetch = createFetch()
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const gate = (settings: readonly IssuerSettings[], bounds: Partial<Bounds> = {}): Gate => {
  const made = openGate(settings, bounds)
  stops.push(() => made.identifier.close())
  return made
}

const parts = (token: string): { header: Json; payload: Json; signature: string } => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const read = (text: string): Json => JSON.parse(Buffer.from(text, 'base64url').toString()) as Json
  return { header: read(header), payload: read(payload), signature }
}

describe('against a real provider', () => {
  let provider: DemoProvider
  beforeAll(async () => {
    provider = await startProvider({ port: 0 })
  })
  afterAll(() => provider.stop())

  const settings = (changes: Partial<Omit<IssuerSettings, 'digest'>> = {}) =>
    settingsFor(provider.issuer, { audiences: ['postern-demo'], ...changes })
  const open = (changes: Partial<Omit<IssuerSettings, 'digest'>> = {}, bounds: Partial<Bounds> = {}) => gate([settings(changes)], bounds)
  const jwks = async (): Promise<readonly Json[]> => {
    const reply = await realFetch(`${provider.issuer}/jwks`, { timeout: 2_000, reach: 'loopback', maxBytes: 100_000 })
    return (JSON.parse(reply.body.toString()) as { keys: Json[] }).keys
  }

  it('a real access token is somebody', async () => {
    const { identifier } = open()
    const identity = await identifier.identify(`Bearer ${await provider.token('lea')}`)
    expect(identity).toMatchObject({
      issuer: provider.issuer,
      subject: 'lea',
      audiences: ['postern-demo'],
      scopes: ['payments.write'],
      agents: [],
    })
    expect((identity as { claims: Json }).claims).toMatchObject({ tenant: 'acme', groups: ['acme-finance-leads'], region: 'eu' })
  })

  it('no token, another scheme, a random string', async () => {
    const { identifier, code } = open()
    expect(await identifier.identify(null)).toMatchObject({ code: 'PST3001' })
    expect(await identifier.identify('Basic YW5uYTphbm5h')).toMatchObject({ code: 'PST3014' })
    expect(await code('letmein')).toBe('PST3002')
    expect(await code('')).toBe('PST3002')
  })

  it('an expired token', async () => {
    const { code } = open({ clockTolerance: 0 })
    const token = await provider.token('anna', { ttl: 1 })
    await until(() => Date.now() >= Number(parts(token).payload['exp']) * 1000)
    expect(await code(token)).toBe('PST3007')
  })

  it('a token for another audience', async () => {
    expect(await open().code(await provider.token('anna', { audience: 'billing' }))).toBe('PST3009')
  })

  it('a token that lives too long', async () => {
    expect(await open().code(await provider.token('anna', { ttl: 90_000 }))).toBe('PST3013')
  })

  it('an unsigned token, in any spelling of none', async () => {
    const { code } = open()
    const { header, payload } = parts(await provider.token('anna'))
    for (const alg of ['none', 'None', 'NONE', 'nOnE']) expect(await code(forge({ ...header, alg }, payload, () => ''))).toBe('PST3004')
    expect(await code(forge(header, payload, () => ''))).toBe('PST3006')
  })

  it('HS256 with the public key as the secret, in every form that it is published in', async () => {
    const { code } = open()
    const { header, payload } = parts(await provider.token('anna'))
    const [jwk = {}] = await jwks()
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    const secrets = [
      key.export({ type: 'spki', format: 'pem' }),
      key.export({ type: 'spki', format: 'der' }),
      key.export({ type: 'pkcs1', format: 'pem' }),
      JSON.stringify(jwk),
      Buffer.from(String(jwk['n']), 'base64url'),
    ]
    for (const secret of secrets) expect(await code(forge({ ...header, alg: 'HS256' }, payload, hmacSigner(secret)))).toBe('PST3004')
  })

  it('HS256 named in the header of a token signed under RS256, and another algorithm for the same key', async () => {
    const { code } = open()
    const token = await provider.token('anna')
    const { header, payload, signature } = parts(token)
    expect(await code(forge({ ...header, alg: 'HS256' }, payload, () => signature))).toBe('PST3004')
    expect(await code(forge({ ...header, alg: 'PS256' }, payload, () => signature))).toBe('PST3004')
    expect(await code(forge({ ...header, alg: 'ES256' }, payload, () => signature))).toBe('PST3004')
    expect(await code(forge({ ...header, alg: 'RS512' }, payload, () => signature))).toBe('PST3004')
  })

  it('a changed payload, a changed header, a cut signature', async () => {
    const { code } = open()
    const { header, payload, signature } = parts(await provider.token('anna'))
    expect(await code(forge(header, { ...payload, tenant: 'globex' }, () => signature))).toBe('PST3006')
    expect(await code(forge({ ...header, x: 1 }, payload, () => signature))).toBe('PST3006')
    expect(await code(forge(header, payload, () => signature.slice(0, 340)))).toBe('PST3006')
  })

  it("an unknown kid, an attacker's key under a known kid, and no kid at all", async () => {
    const { code } = open()
    const mine = makeKey('RS256', 'mine')
    const { header, payload } = parts(await provider.token('anna'))
    expect(await code(forge({ ...header, kid: 'mine' }, payload, signerOf(mine)))).toBe('PST3005')
    expect(await code(forge(header, payload, signerOf(mine)))).toBe('PST3006')
    expect(await code(forge({ alg: 'RS256', typ: 'at+jwt' }, payload, signerOf(mine)))).toBe('PST3006')
  })

  it("another issuer's key", async () => {
    const other = await startProvider({ port: 0 })
    stops.push(() => other.stop())
    const { code } = gate([settings(), settingsFor(other.issuer, { audiences: ['postern-demo'] })])
    const theirs = parts(await other.token('gus'))
    const ours = parts(await provider.token('anna'))
    expect(await code(await other.token('gus'))).toBe('ok')
    // Its own token with our issuer's name on it, and our token under its key's name.
    expect(await code(forge(theirs.header, { ...theirs.payload, iss: provider.issuer }, () => theirs.signature))).toBe('PST3005')
    expect(await code(forge({ ...ours.header, kid: theirs.header['kid'] }, ours.payload, () => ours.signature))).toBe('PST3005')
  })

  it('an unknown issuer, asked for nothing', async () => {
    const { code, asked } = open()
    const { header, payload, signature } = parts(await provider.token('anna'))
    for (const iss of [`${provider.issuer}/`, 'http://127.0.0.1:1', 'https://evil.example'])
      expect(await code(forge(header, { ...payload, iss }, () => signature))).toBe('PST3003')
    for (const iss of [undefined, null, [provider.issuer], { iss: provider.issuer }])
      expect(await code(forge(header, { ...payload, iss }, () => signature))).toBe('PST3011')
    expect(asked.every(url => url.startsWith(provider.issuer))).toBe(true)
  })

  it('an ID token, by its type, and by its marks where the type says nothing', async () => {
    const token = await provider.idToken('anna')
    expect(parts(token).payload).toMatchObject({ aud: 'anna', nonce: expect.any(String) })
    expect(await open().code(token)).toBe('PST3010')
    expect(await open({ typ: ['at+jwt', 'JWT', 'absent'], audiences: ['anna', 'postern-demo'] }).code(token)).toBe('PST3010')
  })

  it('a token with a key of its own, or an extension', async () => {
    const { code, asked } = open()
    const mine = makeKey('RS256', 'mine')
    const { payload } = parts(await provider.token('anna'))
    const header = { alg: 'RS256', typ: 'at+jwt', kid: 'mine' }
    const members: Json = {
      jwk: mine.jwk,
      jku: 'http://127.0.0.1:1/jwks',
      x5u: 'http://127.0.0.1:1/',
      x5c: ['MIIB'],
      crit: ['b64'],
      b64: false,
    }
    for (const [name, value] of Object.entries(members))
      expect(await code(forge({ ...header, [name]: value }, payload, signerOf(mine)))).toBe('PST3002')
    expect(asked.every(url => url.startsWith(provider.issuer))).toBe(true)
  })

  it('a key rotated with notice refuses nobody', async () => {
    const { code, identifier } = open({}, { refreshEvery: 50 })
    const old = await provider.token('anna')
    expect(await code(old)).toBe('ok')
    await provider.announceKey()
    await until(() => identifier.status()[0]?.keys === 2)
    await provider.rotateKeys()
    const token = await provider.token('anna')
    expect(parts(token).header['kid']).not.toBe(parts(old).header['kid'])
    expect(identifier.identify(`Bearer ${token}`)).toMatchObject({ subject: 'anna' })
    expect(await code(old)).toBe('ok')
  })

  it('a key rotated without notice is found on its first token, and the old one is refused from then on, known or not', async () => {
    const { code } = open()
    const [old, unseen] = [await provider.token('anna'), await provider.token('lea')]
    expect(await code(old)).toBe('ok')
    await provider.rotateKeys()
    await provider.rotateKeys()
    expect(await code(await provider.token('anna'))).toBe('ok')
    expect(await code(old)).toBe('PST3005')
    expect(await code(unseen)).toBe('PST3005')
  })

  it('a flood of unknown kids asks the provider three times and keeps out nobody', async () => {
    const { code, asked } = open()
    const token = await provider.token('anna')
    expect(await code(token)).toBe('ok')
    const before = asked.length
    const mine = makeKey('ES256', 'x')
    const { payload } = parts(token)
    const codes = new Set<string>()
    for (let i = 0; i < 100; i++) codes.add(await code(forge({ alg: 'RS256', typ: 'at+jwt', kid: `k${i}` }, payload, signerOf(mine))))
    expect(asked.length - before).toBe(3)
    expect(codes).toEqual(new Set(['PST3005', 'PST3102']))
    expect(await code(token)).toBe('ok')
    expect(await code(await provider.token('carl'))).toBe('ok')
  })
})
