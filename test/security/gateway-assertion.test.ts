import { randomUUID } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { trust } from '../../src/edge/trust.ts'
import { gatewayAssertions } from '../../src/identity/gateway-assertion.ts'
import { readKey, Skipped } from '../../src/identity/jwk.ts'
import { forge, hmacSigner, type Json, makeKey, signerOf, type TestKey } from '../support/issuer.ts'
import {
  gatewaySecret,
  type Recorder,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  writeInstallation,
} from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder
let ann: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  ann = await provider.token('ann')
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const key = makeKey('EdDSA', 'front-1')
const next = makeKey('ES256', 'front-2')
const rsa = makeKey('RS256', 'front-3')
const stranger = makeKey('EdDSA', 'front-1')
const jwks = (...keys: readonly TestKey[]): string => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })

const gateway = (more = '', proof = 'assertion'): string =>
  `gateway: { proof: [${proof}], assertion: { issuer: front, audience: postern.acme.test, jwks-file: front.jwks.json }${more} }`
const options = (sections: Readonly<Record<string, string>> = {}, keys: readonly TestKey[] = [key, next]) => ({
  issuer: provider.issuer,
  upstreamPort: backend.port,
  files: { 'front.jwks.json': jwks(...keys) },
  sections: { gateway: gateway(), ...sections },
})
const start = async (...given: Parameters<typeof options>): Promise<TestPostern> => {
  const postern = await startPostern(options(...given))
  onTestFinished(() => postern.stop())
  return postern
}

const seconds = (): number => Math.floor(Date.now() / 1000)
/** What the component in front says of a GET at acme.test. */
const claims = (changes: Json = {}): Json => ({
  iss: 'front',
  aud: 'postern.acme.test',
  iat: seconds(),
  exp: seconds() + 30,
  jti: randomUUID(),
  htm: 'GET',
  host: 'acme.test',
  ...changes,
})
const assertion = (changes: Json = {}, by: TestKey = key, header: Json = {}): string =>
  forge({ alg: by.alg, typ: 'postern-gateway+jwt', kid: by.kid, ...header }, claims(changes), signerOf(by))
const shown = (jws: string | readonly string[]) => ({ proof: null, token: ann, headers: { 'x-postern-gateway-assertion': jws as string } })

const outcome = async (postern: TestPostern, call: Parameters<TestPostern['call']>[1], path = '/v1/x'): Promise<string> => {
  const before = postern.records().length
  const { status } = await postern.call(path, call)
  await expect.poll(() => postern.records().length).toBeGreaterThan(before)
  const { code, decision } = postern.records().at(-1) as { code: string; decision: { reason: string } }
  return `${status} ${code} ${decision.reason}`.trim()
}
const metrics = async (postern: TestPostern): Promise<string> => (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()

describe('T31: a request that a component in front signed for', () => {
  it('passes, is scored on its record and counted, and the backend never sees the assertion', async () => {
    const postern = await start()
    expect(await outcome(postern, shown(assertion()))).toBe('200 PST2001')
    expect(postern.records().at(-1)).toMatchObject({ gateway: { proof: ['assertion'] } })
    expect(backend.seen[0]?.rawHeaders.filter(name => /^x-postern-gateway/i.test(name))).toEqual([])
    expect(await outcome(postern, { token: ann, proof: null })).toBe('403 PST1110 gateway-assertion-missing')
    expect(await outcome(postern, shown(assertion({}, stranger)))).toBe('403 PST1111 gateway-assertion-wrong: signature')
    const text = await metrics(postern)
    for (const result of ['passed', 'missing', 'wrong'])
      expect(text).toContain(`postern_gateway_proof_total{proof="assertion",result="${result}"} 1`)
    expect(text).toMatch(/^postern_gateway_assertions 1$/m)
  })

  it('passes once: caught on its way, it opens nothing', async () => {
    const postern = await start()
    const jws = assertion()
    expect(await outcome(postern, shown(jws))).toBe('200 PST2001')
    expect(await outcome(postern, shown(jws))).toBe('403 PST1111 gateway-assertion-wrong: jti')
    expect(backend.seen).toHaveLength(1)
  })

  it.each<[string, () => string | readonly string[], string]>([
    ['longer than a minute', () => assertion({ exp: seconds() + 61 }), 'exp'],
    ['that ends before it began', () => assertion({ exp: seconds() - 1 }), 'exp'],
    ['that has ended', () => assertion({ iat: seconds() - 60, exp: seconds() - 20 }), 'expired'],
    ['made in the future', () => assertion({ iat: seconds() + 20, exp: seconds() + 40 }), 'iat'],
    ['not to be used yet', () => assertion({ nbf: seconds() + 20 }), 'nbf'],
    ['without an end', () => assertion({ exp: undefined }), 'exp'],
    ['without a beginning', () => assertion({ iat: undefined }), 'iat'],
    ['with a beginning in text', () => assertion({ iat: `${seconds()}` }), 'iat'],
    ['without a name', () => assertion({ jti: undefined }), 'jti'],
    ['without a method', () => assertion({ htm: undefined }), 'htm'],
    ['for another method', () => assertion({ htm: 'POST' }), 'htm'],
    ['without a host', () => assertion({ host: undefined }), 'host'],
    ['for another host', () => assertion({ host: 'globex.test' }), 'host'],
    ['for another path', () => assertion({ htu: 'https://acme.test/v1/y' }), 'htu'],
    ['for somebody else', () => assertion({ aud: 'postern.globex.test' }), 'aud'],
    ['for somebody else, too', () => assertion({ aud: ['postern.acme.test', 'other'] }), 'aud'],
    ['by somebody else', () => assertion({ iss: 'back' }), 'iss'],
    ['of another type', () => assertion({}, key, { typ: 'JWT' }), 'typ'],
    ["of the type of Postern's own", () => assertion({}, key, { typ: 'postern-assertion+jwt' }), 'typ'],
    ['with an unknown key', () => assertion({}, key, { kid: 'other' }), 'kid'],
    ['with no key named', () => assertion({}, key, { kid: undefined }), 'kid'],
    ['with the algorithm of another key', () => assertion({}, key, { alg: 'ES256' }), 'kid'],
    ['with no algorithm', () => forge({ alg: 'none', typ: 'postern-gateway+jwt', kid: 'front-1' }, claims(), () => ''), 'alg'],
    [
      'signed with the public key as a secret',
      () => forge({ alg: 'HS256', typ: 'postern-gateway+jwt', kid: 'front-1' }, claims(), hmacSigner(JSON.stringify(key.jwk))),
      'alg',
    ],
    ['that brings its own key', () => assertion({}, stranger, { jwk: stranger.jwk }), 'header: jwk'],
    ['with an extension', () => assertion({}, key, { crit: ['x'], x: 1 }), 'header: crit'],
    ['of 5,000 characters', () => assertion({ pad: 'x'.repeat(5000) }), 'longer than 4096 characters'],
    ['that is none', () => 'x', 'not a compact JWS'],
  ])('does not pass with one %s', async (_, make, why) => {
    const postern = await start()
    expect(await outcome(postern, shown(make()))).toBe(`403 PST1111 gateway-assertion-wrong: ${why}`)
    expect(backend.seen).toEqual([])
  })

  it('does not pass with two of them', async () => {
    const postern = await start()
    expect(await outcome(postern, shown([assertion(), assertion()]))).toMatch(/^400 PST1103/)
  })

  it('may name its URL, its host in capitals and its audience in a list', async () => {
    const postern = await start()
    const jws = assertion({ htu: 'https://ACME.test/v1/x?y=1', host: 'ACME.test', aud: ['postern.acme.test'] }, next)
    expect(await outcome(postern, shown(jws), '/v1/x?y=2')).toBe('200 PST2001')
  })

  it('with a URL, passes nowhere where no route says what clients call', async () => {
    const postern = await start()
    const jws = assertion({ host: 'other.test', htu: 'https://other.test/v1/x' })
    expect(await outcome(postern, { ...shown(jws), host: 'other.test' })).toBe('403 PST1111 gateway-assertion-wrong: htu')
  })

  it('is no token, and a token of a provider is no assertion', async () => {
    const postern = await start()
    expect(await outcome(postern, { ...shown(assertion()), token: assertion() })).toMatch(/^401 PST3003/)
    expect(await outcome(postern, shown(ann))).toBe('403 PST1111 gateway-assertion-wrong: typ')
  })

  it('needs the secret too, where both are asked for, and no signature is checked without it', async () => {
    const postern = await start({ gateway: gateway(', secret-files: [gateway.secret]', 'assertion, shared-secret') })
    const jws = assertion()
    expect(await outcome(postern, shown(jws))).toMatch(/^403 PST1101/)
    expect(await outcome(postern, { ...shown(jws), proof: gatewaySecret })).toBe('200 PST2001')
    expect(await outcome(postern, { token: ann })).toMatch(/^403 PST1110/)
  })

  it('by either of two keys during a rotation, and no longer by the one that is gone; no restart', async () => {
    const postern = await start()
    expect(await outcome(postern, shown(assertion({}, key)))).toBe('200 PST2001')
    expect(await outcome(postern, shown(assertion({}, next)))).toBe('200 PST2001')
    const file = join(postern.dir, 'front.jwks.json')
    await writeFile(`${file}.new`, jwks(next, rsa))
    await rename(`${file}.new`, file)
    await postern.app.reload({ by: 'control', withoutTests: false, why: '' })
    expect(await outcome(postern, shown(assertion({}, key)))).toBe('403 PST1111 gateway-assertion-wrong: kid')
    expect(await outcome(postern, shown(assertion({}, rsa)))).toBe('200 PST2001')
  })

  it('is refused with 503 when nothing more can be remembered: to forget one would let it be shown again', async () => {
    const verification = await readKey(key.jwk)
    if (verification instanceof Skipped) throw new Error(verification.why)
    const judge = gatewayAssertions({ issuer: 'front', audience: 'postern.acme.test', clockTolerance: 0, keys: [verification] })
    const head = {
      gateway: Object.fromEntries(['proof', 'clientIp', 'host'].map(name => [name, []])),
      host: 'acme.test',
      method: 'GET',
      target: { path: '/', query: null },
    }
    const gate = {
      proof: ['assertion'],
      assertion: judge,
      clientIp: { from: 'x-postern-client-ip', hops: 1 },
      mappingSecrets: null,
      callerCertificate: false,
    }
    const routes = { find: () => ({ route: null, path: '/', publicUrl: null }) }
    const asked = (once: 'new' | 'seen' | 'full') =>
      trust(
        { ...head, gateway: { ...head.gateway, requestId: [], assertion: [assertion()] } } as never,
        { id: 'r', now: Date.now(), peer: undefined, certificate: null, once: () => once },
        gate as never,
        routes as never,
      )
    expect(asked('new')).toMatchObject({ proof: ['assertion'] })
    expect(asked('full')).toMatchObject({ code: 'PST1112', retryAfter: 5 })
  })
})

describe('a configuration of assertions', () => {
  it.each<[string, Readonly<Record<string, string>>, string, RegExp]>([
    ['without who signs them', { gateway: 'gateway: { proof: [assertion] }' }, '', /C202 assertion needs/],
    ['that nothing asks for', { gateway: gateway(', secret-files: [gateway.secret]', 'shared-secret') }, '', /C204 nothing asks for it/],
    [
      'with the name of a provider',
      {
        gateway: gateway().replace('issuer: front', 'issuer: "https://a.example"'),
        issuers: 'issuers: [{ issuer: "https://a.example", audiences: [a] }]',
      },
      '',
      /C204 .*is a provider/,
    ],
    ['with a file that is no JWKS', {}, '{}', /C204 .*no list "keys"/],
    ['with a key that cannot be used', {}, JSON.stringify({ keys: [key.jwk, { kty: 'oct', k: 'x' }] }), /C204 .*a symmetric key/],
    ['with a private key', {}, JSON.stringify({ keys: [{ ...key.jwk, d: 'x' }] }), /C204 .*private/],
    ['with a key of another algorithm', {}, JSON.stringify({ keys: [{ ...rsa.jwk, alg: 'PS256' }] }), /C204 .*none of EdDSA/],
    ['with a key without a name', {}, JSON.stringify({ keys: [{ ...key.jwk, kid: undefined }] }), /C204 .*no kid/],
    ['with five keys', {}, jwks(key, key, key, key, key), /C204 .*at most 4/],
  ])('%s does not load', async (_, sections, file, message) => {
    const all = options(sections)
    const started = await startFrom(await writeInstallation({ ...all, files: file === '' ? all.files : { 'front.jwks.json': file } }))
    if ('app' in started) await started.stop()
    expect('app' in started ? 'started' : started.map(({ code, message: said }) => `${code} ${said}`).join('\n')).toMatch(message)
  })
})
