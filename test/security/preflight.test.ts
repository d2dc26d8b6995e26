import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { main } from '../../cmd/main.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { platformPolicy, type Recorder, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder
let ann: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  backend.answer = (req, res) =>
    res.writeHead(req.method === 'OPTIONS' ? 204 : 200, { 'access-control-allow-origin': 'https://app.example', 'x-postern-x': '1' }).end()
  ann = await provider.token('ann')
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const platform = (rules: string): string => platformPolicy.replace('rules: []', `rules:\n${rules}`)
const rule = (when: string): string => `  - { deny: some, why: Not these., who: anyone, to: ANY /v1/**, when: { ${when} } }`
const start = async (rules = '', policies: Readonly<Record<string, string>> = {}): Promise<TestPostern> => {
  const postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    sections: {
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", deadline: 2s, identity-headers: { x-user: sub } } }`,
      routes:
        'routes: [{ name: open, host: acme.test, prefix: /v1, upstream: api, preflight: forward }, { name: closed, host: acme.test, prefix: /v2, upstream: api }, { name: gone, host: nobody.test, prefix: /v1, upstream: api, preflight: forward }]',
    },
    policies: {
      'acme.policy.yaml': tenantPolicy('acme', provider.issuer),
      ...(rules === '' ? {} : { '_platform.policy.yaml': platform(rules) }),
      ...policies,
    },
  })
  onTestFinished(() => postern.stop())
  return postern
}
const asked = { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' }
const preflight = (postern: TestPostern, options: Parameters<TestPostern['call']>[1] = {}, path = '/v1/x') =>
  postern.call(path, { method: 'OPTIONS', ...options, headers: { ...asked, ...options.headers } })

describe('a CORS preflight where the route says forward', () => {
  it('reaches the backend with tenant and nothing else of ours, and the record says rule preflight and nobody', async () => {
    const postern = await start()
    const reply = await preflight(postern, {
      headers: { cookie: 'session=1', 'x-user': 'root', 'x-postern-subject': 'root', 'x-postern-tenant': 'globex' },
    })
    expect(reply.status).toBe(204)
    expect(reply.headers).toMatchObject({ 'access-control-allow-origin': 'https://app.example' })
    expect(reply.headers).not.toHaveProperty('x-postern-x')
    const { headers, method } = backend.seen[0] ?? expect.fail('not seen')
    expect(method).toBe('OPTIONS')
    expect(headers).toMatchObject({ ...asked, 'x-postern-tenant': 'acme', 'x-forwarded-host': 'acme.test' })
    for (const name of ['cookie', 'authorization', 'x-user', 'x-postern-subject', 'x-cassandra-username', 'x-postern-assertion'])
      expect(headers).not.toHaveProperty(name)
    await expect
      .poll(() => postern.records().at(-1))
      .toMatchObject({
        code: 'PST2001',
        tenant: 'acme',
        caller: { issuer: null, subject: null },
        decision: { effect: 'allow', rule: 'preflight' },
        credential: null,
        response: { status: 204 },
      })
  })

  it.each<[string, Parameters<typeof preflight>[1], string]>([
    ['without the proof of the gateway', { proof: null }, '/v1/x'],
    ['on a route that does not forward', {}, '/v2/x'],
    ['on no route', {}, '/v3/x'],
    ['on a host of no tenant', { host: 'nobody.test' }, '/v1/x'],
    ['by another method', { method: 'GET' }, '/v1/x'],
    ['with a body', { headers: { 'content-length': '1' }, body: 'x' }, '/v1/x'],
    ['with a token that is none', { headers: { authorization: 'Bearer x' } }, '/v1/x'],
    ['with a proof of possession', { headers: { dpop: 'x' } }, '/v1/x'],
    ['without a requested method', { headers: { 'access-control-request-method': [] as unknown as string } }, '/v1/x'],
  ])('is refused %s', async (_, options, path) => {
    const postern = await start()
    expect((await preflight(postern, options, path)).status).toBe(options?.proof === null ? 403 : 401)
    expect(backend.seen).toEqual([])
  })

  it.each<[string, string, number]>([
    ['of everybody', '  - { deny: nobody, why: Closed today., who: anyone, to: ANY /v1/** }', 401],
    ['of callers whom nobody knows yet', '  - { deny: some, why: Not these., who: those, to: ANY /v1/** }', 401],
    ['that makes an exception for callers', '  - { deny: most, why: Only those., who: anyone, except: those, to: ANY /v1/** }', 401],
    ['of another method', '  - { deny: nobody, why: Read only., who: anyone, to: POST /v1/** }', 204],
    ['of another path', '  - { deny: nobody, why: Closed., who: anyone, to: ANY /v1/y/** }', 204],
    ['with a check on a claim that nobody has shown yet', rule('check: has(claims.desk)'), 401],
    ['with a check on a subject that nobody has shown yet', rule("check: subject == 'mallory'"), 401],
    ['with a check on scopes that nobody has shown yet', rule('check: "\'admin\' in scopes"'), 401],
    ['with a check on the request that holds', rule("check: method == 'OPTIONS'"), 401],
    ['with a check on the request that does not hold', rule("check: method == 'POST'"), 204],
    ['in shadow mode', '  - { deny: nobody, why: Closed., who: anyone, to: ANY /v1/**, mode: shadow }', 204],
  ])('meets a deny of the platform %s', async (_, rule, status) => {
    const postern = await start(`${rule}\nwho: { those: { subject: [someone] } }\nclaims: { desk: string? }`)
    expect((await preflight(postern)).status).toBe(status)
    expect(backend.seen).toHaveLength(status === 204 ? 1 : 0)
    const refused = { code: 'PST3001', caller: { subject: null }, decision: { effect: 'deny' } }
    if (status === 401) await expect.poll(() => postern.records().at(-1)).toMatchObject(refused)
  })

  it('is refused where two tenants share the host, or one takes all hosts', async () => {
    const shared = tenantPolicy('globex', provider.issuer).replace('host: globex.test', 'host: acme.test')
    expect((await preflight(await start('', { 'globex.policy.yaml': shared }))).status).toBe(401)
    const all = tenantPolicy('globex', provider.issuer).replace('host: globex.test, ', '')
    expect((await preflight(await start('', { 'globex.policy.yaml': all }))).status).toBe(401)
    expect(backend.seen).toEqual([])
  })

  it('is refused for a tenant that is denied', async () => {
    const postern = await start()
    expect((await preflight(postern)).status).toBe(204)
    const denied = ['--tenant', 'acme', '--for', '1h', '--why', 'contract ended', '--state', join(postern.dir, 'state')]
    expect(await main(['deny', ...denied], { out: () => undefined, err: () => undefined })).toBe(0)
    expect((await preflight(postern)).status).toBe(403)
    expect(backend.seen).toHaveLength(1)
  })

  it('in a flood is 429, takes nothing from the limits of callers, and does not fill the audit', async () => {
    const postern = await start('', {
      'acme.policy.yaml': tenantPolicy('acme', provider.issuer).replace('who: {', 'always: { limit: [5/min per tenant] }\nwho: {'),
    })
    const replies = await Promise.all(Array.from({ length: 300 }, () => preflight(postern)))
    const statuses = new Set(replies.map(reply => reply.status))
    expect([...statuses].sort()).toEqual([204, 429])
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(200)
    await expect
      .poll(() => postern.records().some(record => (record['caller'] as { subject: unknown } | undefined)?.subject === 'ann'))
      .toBe(true)
    expect(postern.records().filter(record => record['kind'] === 'exchange').length).toBeLessThan(200)
  })
})
