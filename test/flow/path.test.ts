import { get } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, type DemoUser, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, type Recorder, sendRaw, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

const staff = (tenant: string) => ({ claims: { tenant, groups: ['staff'] } })
const users: Readonly<Record<string, DemoUser>> = {
  ann: staff('acme'),
  gus: staff('globex'),
  eve: { claims: { tenant: 'acme', groups: ['nobody'] } },
  'kpmg|4471': staff('acme'),
}

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let ann: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users })
  backend = await startRecorder()
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
  ann = await provider.token('ann')
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
  backend.answer = (_req, res) => res.writeHead(200, { 'content-type': 'text/plain' }).end('hello')
})

/** Records are written at the end of a turn. */
const recordOf = (reply: { readonly headers: Readonly<Record<string, unknown>> }) =>
  expect.poll(
    () => postern.records().find(record => JSON.stringify(record['request'] ?? {}).includes(String(reply.headers['x-postern-request-id']))),
    { timeout: 5000 },
  )

const ask = (path: string, method = 'GET', port = postern.opsPort): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, method }, res => {
      let body = ''
      res.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body }))
    }).on('error', reject)
  })

describe('a request that may pass', () => {
  it('reaches the backend once, with what only Postern may say, and is answered', async () => {
    const reply = await postern.call('/v1/things?a=1', { token: ann, headers: { accept: 'text/plain', 'X-Custom': 'kept' } })
    expect(reply).toMatchObject({ status: 200, body: 'hello' })
    expect(backend.seen).toHaveLength(1)
    expect(backend.seen[0]).toMatchObject({
      url: '/v1/things?a=1',
      headers: {
        accept: 'text/plain',
        'x-custom': 'kept',
        host: `127.0.0.1:${backend.port}`,
        via: '1.1 postern',
        'x-forwarded-for': '10.1.2.3',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'acme.test',
        'x-postern-tenant': 'acme',
        'x-postern-subject': 'ann',
        'x-postern-request-id': reply.headers['x-postern-request-id'],
        'x-postern-deadline-ms': '2000',
      },
    })
    expect(backend.seen[0]?.headers).not.toHaveProperty('authorization')
    expect(backend.seen[0]?.headers).not.toHaveProperty('x-postern-gateway-proof')
  })

  it('leaves one record that says who, what, which rule and how it ended', async () => {
    const reply = await postern.call('/v1/things', { token: ann, headers: { 'x-postern-gateway-request-id': 'gw-7' } })
    expect(reply.headers['x-postern-gateway-request-id']).toBe('gw-7')
    await recordOf(reply).toMatchObject({
      code: 'PST2001',
      tenant: 'acme',
      caller: { issuer: provider.issuer, subject: 'ann' },
      request: { id: reply.headers['x-postern-request-id'], method: 'GET', host: 'acme.test', route: 'acme-v1', path: '/v1/things' },
      decision: { effect: 'allow', rule: 'staff-do-all' },
      response: { status: 200, bytes: 5 },
    })
  })

  it('streams a body up and down unchanged, with a length and with chunks', async () => {
    const body = 'x'.repeat(300_000)
    backend.answer = (_req, res, got) => res.writeHead(200).end(got)
    expect((await postern.call('/v1/echo', { method: 'POST', token: ann, body })).body).toBe(body)
    const chunked = await postern.call('/v1/echo', { method: 'POST', token: ann, body, headers: { 'transfer-encoding': 'chunked' } })
    expect(chunked.body).toBe(body)
    expect(backend.seen[1]?.headers['transfer-encoding']).toBe('chunked')
  })

  it('keeps the order and the doubles of answer fields, and drops what is hop-by-hop or ours', async () => {
    backend.answer = (_req, res) => {
      res.writeHead(200, [
        'Set-Cookie',
        'a=1',
        'Set-Cookie',
        'b=2',
        'Connection',
        'x-hop',
        'X-Hop',
        '1',
        'X-Postern-Tenant',
        'evil',
        'Keep-Alive',
        'timeout=9',
      ])
      res.end('ok')
    }
    const { headers } = await postern.call('/v1/things', { token: ann })
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(headers).not.toHaveProperty('x-hop')
    expect(headers).not.toHaveProperty('x-postern-tenant')
  })

  it('keeps bytes above ASCII in answer fields as they are', async () => {
    backend.answer = (_req, res) =>
      res.writeHead(200, { 'x-name': 'Zo\u00eb', 'content-disposition': 'attachment; filename="\u00e9.pdf"' }).end()
    const { headers } = await postern.call('/v1/things', { token: ann })
    expect(headers).toMatchObject({ 'x-name': 'Zo\u00eb', 'content-disposition': 'attachment; filename="\u00e9.pdf"' })
  })

  it('answers HEAD, 204 and 304 without a body, and the connection goes on', async () => {
    backend.answer = (req, res) => {
      if (req.url === '/v1/204') res.writeHead(204).end()
      else if (req.url === '/v1/304') res.writeHead(304, { etag: '"e"' }).end()
      else res.writeHead(200, { 'content-length': '5' }).end(req.method === 'HEAD' ? undefined : 'hello')
    }
    const lines = (path: string, method: string, last = false): string =>
      `${method} ${path} HTTP/1.1\r\nhost: a\r\nx-postern-host: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${ann}\r\n${last ? 'connection: close\r\n' : ''}\r\n`
    const text = await sendRaw(
      postern.port,
      lines('/v1/x', 'HEAD') + lines('/v1/204', 'GET') + lines('/v1/304', 'GET') + lines('/v1/x', 'GET', true),
    )
    expect(text.match(/HTTP\/1\.1 (\d+)/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204', 'HTTP/1.1 304', 'HTTP/1.1 200'])
    expect(text.match(/hello/g)).toHaveLength(1)
  })

  it('writes a subject percent-encoded', async () => {
    const reply = await postern.call('/v1/things', { token: await provider.token('kpmg|4471') })
    expect(reply.status).toBe(200)
    expect(backend.seen[0]?.headers['x-postern-subject']).toBe(encodeURIComponent('kpmg|4471'))
  })
})

describe('a refusal', () => {
  const outcome = (reply: { status: number; body: string }): unknown => ({ status: reply.status, ...(JSON.parse(reply.body) as object) })

  it('comes in the order of the request path: proof, token, tenant, route, rule', async () => {
    expect(outcome(await postern.call('/nowhere', { proof: null }))).toMatchObject({ status: 403, code: 'forbidden' })
    expect(outcome(await postern.call('/nowhere', {}))).toMatchObject({ status: 401, code: 'unauthenticated' })
    expect(outcome(await postern.call('/nowhere', { token: ann, host: 'globex.test' }))).toMatchObject({ status: 403 })
    expect(outcome(await postern.call('/nowhere', { token: ann }))).toMatchObject({ status: 404, code: 'not-found' })
    expect(outcome(await postern.call('/v1/x', { token: await provider.token('eve') }))).toMatchObject({ status: 403 })
    expect(backend.seen).toEqual([])
  })

  it('of every kind of 403 is the same to the client but for the id', async () => {
    const replies = await Promise.all([
      postern.call('/v1/x', { proof: null, token: ann }),
      postern.call('/v1/x', { proof: 'x'.repeat(54), token: ann }),
      postern.call('/v1/x', { token: ann, host: 'globex.test' }),
      postern.call('/v1/x', { token: await provider.token('eve') }),
    ])
    const plain = replies.map(({ status, headers, body }) => {
      const { date: _date, 'x-postern-request-id': id, ...rest } = headers
      return JSON.stringify({ status, rest, body: body.replaceAll(String(id), 'ID') })
    })
    expect(new Set(plain).size).toBe(1)
    expect(replies[0]?.headers['content-type']).toBe('application/problem+json')
    expect(replies[0]?.headers['cache-control']).toBe('no-store')
  })

  it('401 carries a bare challenge where no token came, and invalid_token where one did', async () => {
    expect((await postern.call('/v1/x', {})).headers['www-authenticate']).toBe('Bearer')
    expect((await postern.call('/v1/x', { token: 'rubbish' })).headers['www-authenticate']).toBe('Bearer error="invalid_token"')
  })
})

describe('a rule that wants a better sign-in', () => {
  it('gets 401 with the sign-in that would be enough, and no backend sees the request', async () => {
    const rule = '{ allow: pay, why: w, who: staff, to: GET /v1/**, needs-login: { acr: [phrh, phr], within: 15m } }'
    const policies = { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, `  - ${rule}`) }
    const strict = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, policies })
    const reply = await strict.call('/v1/x', { token: ann })
    expect(reply.status).toBe(401)
    expect(reply.headers['www-authenticate']).toBe('Bearer error="insufficient_user_authentication", acr_values="phrh phr", max_age="900"')
    expect(JSON.parse(reply.body)).toMatchObject({ code: 'step-up' })
    expect(backend.seen).toEqual([])
    await expect.poll(() => JSON.stringify(strict.records()), { timeout: 5000 }).toContain('"rule":"pay","reason":"step-up: pay"')
    await strict.stop()
  })
})

describe('a shadow rule', () => {
  it('changes nothing but the record and a metric', async () => {
    const rules = `  - { deny: try, why: w, who: anyone, to: ANY /v1/x, mode: shadow }
  - { allow: read, why: w, who: staff, to: GET /v1/** }`
    const policies = { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rules) }
    const trying = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, policies })
    expect((await trying.call('/v1/x', { token: ann })).status).toBe(200)
    await expect.poll(() => JSON.stringify(trying.records()), { timeout: 5000 }).toContain('"shadow":{"effect":"deny","rule":"try"}')
    const metrics = (await ask('/metrics', 'GET', trying.opsPort)).body
    expect(metrics).toContain('postern_decisions_total{tenant="acme",effect="allow",rule="read",mode="enforce"} 1')
    expect(metrics).toContain('postern_decisions_total{tenant="acme",effect="deny",rule="try",mode="shadow"} 1')
    await trying.stop()
  })
})

describe('a body that is too large', () => {
  it('is refused by its stated length before it is read', async () => {
    const head = `POST /v1/x HTTP/1.1\r\nhost: acme.test\r\nx-postern-host: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${ann}\r\ncontent-length: 99999999\r\n\r\n`
    expect(await sendRaw(postern.port, head)).toMatch(/^HTTP\/1\.1 413 /)
    expect(backend.seen).toEqual([])
  })
})

describe('a backend that fails', () => {
  it('gives 502 when it breaks off before its head, and a reset when it breaks off after', async () => {
    backend.answer = req => req.socket.destroy()
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(502)
    backend.answer = (req, res) => {
      res.writeHead(200, { 'content-length': '100' })
      res.write('half')
      setImmediate(() => req.socket.destroy())
    }
    await expect(postern.call('/v1/x', { token: ann })).rejects.toThrow(/aborted|hang up|ECONNRESET/)
  })

  it('gives 504 when it is silent past the deadline', async () => {
    backend.answer = () => undefined
    expect((await postern.call('/v1/x', { token: ann })).status).toBe(504)
  })
})

describe('the ops listener', () => {
  it('tells alive, ready with its detail, and the metrics; nothing else, and GET only', async () => {
    expect(await ask('/livez')).toEqual({ status: 200, body: 'ok\n' })
    const ready = await ask('/readyz')
    expect(ready.status).toBe(200)
    expect(JSON.parse(ready.body)).toMatchObject({ ready: true, draining: false, issuers: [{ issuer: provider.issuer }] })
    await postern.call('/v1/x', { token: ann })
    expect((await ask('/metrics')).body).toMatch(
      /postern_decisions_total\{tenant="acme",effect="allow",rule="staff-do-all",mode="enforce"\} \d/,
    )
    const metrics = (await ask('/metrics')).body
    expect(metrics).toContain('postern_audit_ready 1')
    expect(metrics).toMatch(/postern_policy_info\{tenant="acme",state="enforced",digest="[0-9a-f]{64}"\} 1/)
    expect(metrics).toMatch(/postern_token_cache_entries [1-9]/)
    expect((await ask('/v1/x')).status).toBe(404)
    expect((await ask('/metrics', 'POST')).status).toBe(405)
  })
})

describe('a deny that cannot be evaluated', () => {
  it('refuses, and both the record and a metric say that it was in doubt', async () => {
    const rules = `  - { deny: contractors, why: Not for contractors., who: contractors, to: ANY /v1/** }
  - { allow: staff-do-all, why: Staff may do all., who: staff, to: ANY /v1/** }`
    const policy = tenantPolicy('acme', provider.issuer, rules)
      .replace('groups: list<string> }', 'groups: list<string>, kind: string }')
      .replace('who: { staff', 'who: { contractors: { claims: { kind: contractor } }, staff')
    const doubting = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, policies: { 'acme.policy.yaml': policy } })
    expect((await doubting.call('/v1/x', { token: ann })).status).toBe(403)
    await expect
      .poll(() => JSON.stringify(doubting.records()), { timeout: 5000 })
      .toContain('"rule":"contractors","reason":"denied-by-rule: contractors"')
    expect(JSON.stringify(doubting.records())).toContain('"in-doubt":true')
    expect((await ask('/metrics', 'GET', doubting.opsPort)).body).toContain(
      'postern_policy_errors_total{tenant="acme",rule="contractors"} 1',
    )
    await doubting.stop()
  })

  it('and an unauthenticated request names the tenant whose host it asked', async () => {
    const reply = await postern.call('/v1/x', {})
    await recordOf(reply).toMatchObject({ code: 'PST3001', tenant: 'acme' })
  })
})
