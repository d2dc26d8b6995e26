import { createHook } from 'node:async_hooks'
import crypto, { generateKeyPairSync, randomBytes } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Door, openDoor } from '../support/door.ts'
import { claimsAt, type Gate, makeKey, openGate, serve, settingsFor, type TestServer, tokenOf } from '../support/issuer.ts'
import { tenantPolicy } from '../support/postern.ts'

/** What a request costs whose token was seen before: everything on it that is expensive was done once. */
const costly = [
  'verify',
  'sign',
  'createHash',
  'createHmac',
  'createVerify',
  'createSign',
  'createCipheriv',
  'createDecipheriv',
  'hash',
  'createPublicKey',
  'createPrivateKey',
  'timingSafeEqual',
] as const
const counted: Partial<Record<(typeof costly)[number] | 'subtle', number>> = {}
const count = (name: keyof typeof counted): void => {
  counted[name] = (counted[name] ?? 0) + 1
}
const undo: (() => void)[] = []
beforeAll(() => {
  for (const name of costly) {
    const real = crypto[name] as (...args: unknown[]) => unknown
    const counting = (...args: unknown[]): unknown => {
      count(name)
      return real.apply(crypto, args)
    }
    Object.assign(crypto, { [name]: counting })
    undo.push(() => Object.assign(crypto, { [name]: real }))
  }
  const { subtle } = globalThis.crypto
  for (const name of ['verify', 'sign', 'digest', 'importKey', 'encrypt', 'decrypt'] as const) {
    const real = subtle[name] as (...args: unknown[]) => unknown
    const counting = (...args: unknown[]): unknown => {
      count('subtle')
      return real.apply(subtle, args)
    }
    Object.defineProperty(subtle, name, { configurable: true, value: counting })
    undo.push(() => Reflect.deleteProperty(subtle, name))
  }
  syncBuiltinESMExports()
})
afterAll(() => {
  for (const each of undo) each()
  syncBuiltinESMExports()
})
const reset = (): void => {
  for (const name of Object.keys(counted) as (keyof typeof counted)[]) delete counted[name]
}
beforeEach(reset)

describe('a known token', () => {
  let provider: TestServer
  let gate: Gate
  const key = makeKey('ES256', 'one')
  beforeAll(async () => {
    provider = await serve((request, response) => {
      const body = request.url === '/jwks' ? { keys: [key.jwk] } : { issuer: provider.url, jwks_uri: `${provider.url}/jwks` }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
    })
    gate = openGate([settingsFor(provider.url)])
  })
  afterAll(async () => {
    gate.identifier.close()
    await provider.stop()
  })

  it('costs no signature check, no digest and no promise: its caller is there at once', async () => {
    const values = Array.from({ length: 20 }, (_, i) => `Bearer ${tokenOf(key, claimsAt(Date.now(), provider.url, { sub: `u${i}` }))}`)
    for (const value of values) expect(await gate.identifier.identify(value)).toMatchObject({ issuer: provider.url })
    expect(counted.verify).toBe(20)
    reset()
    let promises = 0
    const hook = createHook({
      init: (_, type) => {
        if (type === 'PROMISE') promises++
      },
    }).enable()
    const found: unknown[] = []
    for (let i = 0; i < 50; i++) for (const value of values) found.push(gate.identifier.identify(value))
    hook.disable()
    expect(promises).toBe(0)
    expect(found.filter(each => each instanceof Promise)).toEqual([])
    expect(new Set(found).size).toBe(20)
    expect(counted).toEqual({})
  })
})

describe('a warm request through the whole proxy', () => {
  let door: Door
  const role = 'acme_ro'
  beforeAll(async () => {
    const rules = `  - { allow: all, why: All., who: staff, to: ANY /v1/**, when: { header: { x-a: present } }, then: { cassandra-role: ${role} } }`
    door = await openDoor({
      policies: issuer => ({ 'acme.policy.yaml': tenantPolicy('acme', issuer, rules) }),
      sections: port => ({
        upstreams: `upstreams: { api: { url: "http://127.0.0.1:${port}", delivery: header, assertion: api, identity-headers: { x-user: sub } } }`,
        assertion: 'assertion: { issuer: "https://postern.example.com", key-files: [assertion.pem] }',
        credentials: 'credentials: { provider: file, credentials-file: credentials.json }',
        // What is signed is signed for many records at once, by the clock, and not for a request.
        audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem, hash-key-files: [hash.key], checkpoint-every: 60s }',
      }),
      files: {
        'assertion.pem': String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })),
        'credentials.json': JSON.stringify({ [role]: { username: 'login', password: 'a-password-that-nobody-guesses' } }),
        'hash.key': randomBytes(32).toString('hex'),
      },
    })
  })
  afterAll(() => door.stop())

  it('costs no signature, no check of one and no digest: of secrets, one comparison', async () => {
    const token = door.token()
    const ask = async (): Promise<number> => (await door.postern.call('/v1/x?q=1', { token, headers: { 'x-a': 'on' } })).status
    for (let i = 0; i < 3; i++) expect(await ask()).toBe(200)
    reset()
    for (let i = 0; i < 50; i++) expect(await ask()).toBe(200)
    // The Merkle log hashes its records after the answers, a turn's together: a leaf each, and what joins them.
    const { hash: ofTheLog = 0, ...onTheWay } = counted
    expect(onTheWay).toEqual({ timingSafeEqual: 50 })
    expect(ofTheLog).toBeLessThan(2 * 55)
    await expect.poll(() => door.postern.records().filter(({ code }) => code === 'PST2001').length, { timeout: 5_000 }).toBe(53)
  })
})
