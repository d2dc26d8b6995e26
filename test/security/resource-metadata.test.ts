import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { type Recorder, startPostern, startRecorder, type TestPostern } from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})

const wellKnown = '/.well-known/oauth-protected-resource'
const start = async (on = true): Promise<TestPostern> => {
  const postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    sections: {
      gateway: `gateway: { proof: [shared-secret], secret-files: [gateway.secret], resource-metadata: ${on} }`,
      routes:
        'routes: [{ name: a, host: acme.test, prefix: /v1, upstream: api }, { name: g, host: globex.test, prefix: /v1, upstream: api, public-url: "https://api.example/prod" }, { name: n, host: nobody.test, upstream: api }]',
    },
  })
  onTestFinished(() => postern.stop())
  return postern
}

describe('protected resource metadata (RFC 9728)', () => {
  it('name the resource and the issuers of the host, and what a 401 points to leads there', async () => {
    const postern = await start()
    const refused = await postern.call('/v1/x')
    expect(refused.status).toBe(401)
    expect(refused.headers['www-authenticate']).toBe(`Bearer resource_metadata="https://acme.test${wellKnown}"`)
    const told = await postern.call(wellKnown)
    expect(told).toMatchObject({ status: 200, headers: { 'content-type': 'application/json', 'cache-control': 'no-store' } })
    expect(JSON.parse(told.body)).toEqual({
      resource: 'https://acme.test',
      authorization_servers: [provider.issuer],
      bearer_methods_supported: ['header'],
    })
    const record = { code: 'PST2002', caller: { subject: null }, tenant: 'acme', decision: { reason: 'resource-metadata' } }
    await expect.poll(() => postern.records().at(-1)).toMatchObject(record)
    expect(backend.seen).toEqual([])
  })

  it('of a resource with a path stand behind that path, with its public URL and not the Host', async () => {
    const postern = await start()
    const refused = await postern.call('/v1/x', { host: 'globex.test', token: 'x.y.z' })
    expect(refused.headers['www-authenticate']).toBe(
      `Bearer error="invalid_token", resource_metadata="https://api.example${wellKnown}/prod"`,
    )
    const told = await postern.call(`${wellKnown}/prod`, { host: 'globex.test' })
    expect(JSON.parse(told.body)).toMatchObject({ resource: 'https://api.example/prod' })
    expect((await postern.call(wellKnown, { host: 'globex.test' })).status).toBe(401)
  })

  it.each<[string, string, Parameters<TestPostern['call']>[1], number]>([
    ['without the proof of the gateway', wellKnown, { proof: null }, 403],
    ['for a host of no tenant', wellKnown, { host: 'nobody.test' }, 401],
    ['for a host of no route', wellKnown, { host: 'other.test' }, 401],
    ['for a path of no resource', `${wellKnown}/v1`, {}, 401],
    ['by another method', wellKnown, { method: 'POST' }, 401],
    ['below it', `${wellKnown}x`, {}, 401],
  ])('are not told %s', async (_, path, options, status) => {
    expect((await (await start()).call(path, options)).status).toBe(status)
  })

  it('are not told, and not pointed to, where the configuration does not say so', async () => {
    const postern = await start(false)
    expect((await postern.call(wellKnown)).status).toBe(401)
    expect((await postern.call('/v1/x')).headers['www-authenticate']).toBe('Bearer')
  })
})
