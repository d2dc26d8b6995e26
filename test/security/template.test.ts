import { afterEach, describe, expect, it } from 'vitest'
import { issuerSettings } from '../../src/identity/settings.ts'
import { claimsAt, entryFor, type Gate, type Json, makeKey, openGate, serve, tokenOf } from '../support/issuer.ts'
import { startPostern, startRecorder } from '../support/postern.ts'

/** Several tenants of one provider, each an issuer of its own: what one of them may sign must not pass for another. */
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const [one, two] = [makeKey('ES256', 'one'), makeKey('ES256', 'two')]

interface Tenants {
  readonly url: string
  readonly asked: string[]
  token(tenant: string, changes?: Json, key?: typeof one): string
}

/** A provider with keys of their own for tenants a and b, and the keys of both in one place. */
const provider = async (): Promise<Tenants> => {
  const asked: string[] = []
  const keys: Readonly<Record<string, readonly Json[]>> = { '/a/jwks': [one.jwk], '/b/jwks': [two.jwk], '/keys': [one.jwk, two.jwk] }
  const server = await serve((request, response) => {
    const path = request.url ?? ''
    asked.push(path)
    const tenant = path.split('/')[1]
    const body = keys[path] ? { keys: keys[path] } : { issuer: `${server.url}/${tenant}`, jwks_uri: `${server.url}/${tenant}/jwks` }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  })
  stops.push(() => server.stop())
  return {
    url: server.url,
    asked,
    token: (tenant, changes = {}, key = tenant === 'a' ? one : two) =>
      tokenOf(key, claimsAt(Date.now(), `${server.url}/${tenant}`, { tid: tenant, ...changes })),
  }
}

const gate = (from: Tenants, shared: boolean): Gate => {
  const entry = entryFor('http:', {
    issuer: null,
    'issuer-template': `${from.url}/{tid}`,
    values: ['a', 'b'],
    'jwks-uri': shared ? `${from.url}/keys` : null,
  })
  const made = openGate(issuerSettings(entry, null))
  stops.push(() => made.identifier.close())
  return made
}

describe.each([false, true])('tenants of one provider, their keys shared: %s', shared => {
  it('are each an issuer of their own', async () => {
    const from = await provider()
    const { identifier } = gate(from, shared)
    for (const tenant of ['a', 'b'])
      expect(await identifier.identify(`Bearer ${from.token(tenant)}`)).toMatchObject({ issuer: `${from.url}/${tenant}`, subject: 'anna' })
    expect(from.asked.filter(path => path === '/keys')).toHaveLength(shared ? 1 : 0)
    expect(identifier.status()).toHaveLength(2)
  })

  it('that are not listed are nobody, and no key is asked for', async () => {
    const from = await provider()
    const { code } = gate(from, shared)
    for (const tenant of ['c', 'A', 'a/', 'a%2f', '{tid}', '']) expect(await code(from.token(tenant))).toBe('PST3003')
    expect(from.asked.filter(path => !/^\/(a|b|keys)\b/.test(path))).toEqual([])
  })

  it('must say in their claim what stands in iss', async () => {
    const from = await provider()
    const { code } = gate(from, shared)
    for (const tid of ['b', 'A', undefined, ['a'], 7, null]) expect(await code(from.token('a', { tid }))).toBe('PST3011')
  })

  it(shared ? 'of one set of keys are told apart by the claim alone' : 'cannot sign for one another', async () => {
    const from = await provider()
    const { code } = gate(from, shared)
    expect(await code(from.token('a', {}, two))).toBe(shared ? 'ok' : 'PST3005')
    expect(await code(from.token('a', { tid: 'b' }, two))).toBe(shared ? 'PST3011' : 'PST3005')
  })
})

describe('a policy', () => {
  it('names the issuer that a template makes, and no other tenant of the provider gets in', async () => {
    const from = await provider()
    const backend = await startRecorder()
    const policy = (tenant: string, id: string) => `postern: policy/v1
tenant: ${tenant}
owners: [${tenant}@example.com]
recognise: { host: ${tenant}.test, issuer: "${from.url}/${id}", audience: api }
rules:
  - { allow: all, why: All., who: anyone, to: ANY /v1/** }
`
    const sections = {
      issuers: `issuers: [{ issuer-template: "${from.url}/{tid}", values: [a, b], audiences: [api], allow-http-loopback: true }]`,
    }
    const policies = { 'acme.policy.yaml': policy('acme', 'a'), 'globex.policy.yaml': policy('globex', 'c') }
    const postern = await startPostern({ issuer: from.url, upstreamPort: backend.port, sections, policies })
    stops.push(
      () => postern.stop(),
      () => backend.close(),
    )
    expect((await postern.call('/v1/x', { token: from.token('a') })).status).toBe(200)
    expect((await postern.call('/v1/x', { token: from.token('b') })).status).toBe(403)
    expect(postern.log()).toContain('P602')
    expect((await postern.call('/v1/x', { token: from.token('c'), host: 'globex.test' })).status).toBe(401)
    expect(backend.seen).toHaveLength(1)
  })
})
