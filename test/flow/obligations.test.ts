import { writeFile } from 'node:fs/promises'
import { get, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, type DemoUser, startProvider } from '../../deploy/demo/provider.ts'
import { codingOf } from '../../src/edge/hide/coding.ts'
import {
  gatewaySecret,
  type Recorder,
  type Reply,
  startPostern,
  startRecorder,
  type TestPostern,
  tenantPolicy,
} from '../support/postern.ts'

const staff = (more: object = {}): DemoUser => ({ claims: { tenant: 'acme', groups: ['staff'], ...more } })
const users: Readonly<Record<string, DemoUser>> = {
  ann: staff(),
  ben: staff(),
  cem: staff(),
  dan: staff(),
  eva: staff(),
  bot: staff({ act: { sub: 'agent-1' } }),
  bot2: staff({ act: { sub: 'agent-1', act: { sub: 'older' } } }),
}

const rules = `  - { allow: masked, why: Without what is hidden., who: staff, to: ANY /v1/masked/**, then: { hide: [$.gone, "$..deep", "$.list[*].x"] } }
  - { allow: slow, why: Few., who: staff, to: ANY /v1/few/**, then: { limit: [2/h per caller] } }
  - { allow: agents, why: Agents too., who: [staff, bots], to: ANY /v1/agents/**, then: { limit: [1/h per agent] } }
  - { allow: both, why: Both., who: staff, to: ANY /v1/both/**, then: { limit: [1/h per caller], cassandra-role: acme_ro } }
  - { allow: open, why: All else., who: staff, to: ANY /v1/open/** }`

const policy = (issuer: string): string =>
  tenantPolicy('acme', issuer, rules).replace('who: { ', 'always: { limit: [1000/min per tenant] }\nwho: { bots: { agent: any }, ')

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern

beforeAll(async () => {
  provider = await startProvider({ port: 0, users })
  backend = await startRecorder()
  postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': policy(provider.issuer) },
    sections: { upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", deadline: 2s, hide-buffer: 100KiB } }` },
  })
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

const call = async (user: string, path: string, options: object = {}): Promise<Reply> =>
  postern.call(path, { token: await provider.token(user), ...options })

const recordOf = (reply: Reply) =>
  expect.poll(
    () => postern.records().find(record => JSON.stringify(record['request'] ?? {}).includes(String(reply.headers['x-postern-request-id']))),
    { timeout: 5000 },
  )

const metrics = (): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: postern.opsPort, path: '/metrics' }, res => {
      let text = ''
      res.on('data', chunk => {
        text += String(chunk)
      })
      res.on('end', () => resolve(text))
    }).on('error', reject)
  })

const answerJson = (text: string | Buffer, headers: object = {}, status = 200): void => {
  backend.answer = (_req, res) => res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
}

describe('hide', () => {
  const secret = '{"gone": "s3cret", "n": 1.50, "a": {"deep": "s3cret"}, "list": [{"x": "s3cret", "y": 2}]}'
  const left = '{"n": 1.50, "a": {}, "list": [{"y": 2}]}'

  it('removes the members, leaves every other byte, and says so in the record', async () => {
    answerJson(secret, { etag: '"1"', digest: 'x', 'content-md5': 'x', 'repr-digest': 'x', 'accept-ranges': 'bytes', 'x-kept': 'yes' })
    const reply = await call('ann', '/v1/masked/a')
    expect(reply).toMatchObject({ status: 200, body: left })
    expect(reply.headers).toMatchObject({ 'content-length': String(left.length), 'x-kept': 'yes', 'content-type': 'application/json' })
    for (const name of ['etag', 'digest', 'content-md5', 'repr-digest', 'accept-ranges', 'content-encoding', 'trailer'])
      expect(reply.headers).not.toHaveProperty(name)
    await recordOf(reply).toMatchObject({ code: 'PST2001', response: { status: 200, bytes: left.length, hidden: 3 } })
  })

  it('asks the backend for the whole text as it is, and leaves other rules alone', async () => {
    answerJson('{}')
    const headers = { 'accept-encoding': 'gzip, br', range: 'bytes=0-9', 'if-range': '"1"', 'A-IM': 'diffe', accept: 'application/json' }
    await call('ann', '/v1/masked/a', { headers })
    await call('ann', '/v1/open/a', { headers })
    const [masked, open] = backend.seen.map(seen => seen.headers)
    expect(masked).toMatchObject({ 'accept-encoding': 'identity', accept: 'application/json' })
    for (const name of ['range', 'if-range', 'a-im']) expect(masked).not.toHaveProperty(name)
    expect(open).toMatchObject({ 'accept-encoding': 'gzip, br', range: 'bytes=0-9', 'if-range': '"1"', 'a-im': 'diffe' })
  })

  it('undoes codings that come all the same', async () => {
    for (const [coding, bytes] of [
      ['gzip', gzipSync(secret)],
      ['deflate', deflateSync(secret)],
      ['br', brotliCompressSync(secret)],
    ] as const) {
      answerJson(bytes, { 'content-encoding': coding })
      const reply = await call('ann', '/v1/masked/a')
      const safe = codingOf([coding]) !== null
      expect([coding, reply.status, safe ? reply.body : left]).toEqual([coding, safe ? 200 : 502, left])
      expect(reply.headers).not.toHaveProperty('content-encoding')
    }
  })

  it('is kept in error replies too, and in replies that come in pieces', async () => {
    answerJson(secret, {}, 500)
    expect(await call('ann', '/v1/masked/a')).toMatchObject({ status: 500, body: left })
    backend.answer = (_req, res) => {
      res.writeHead(404, { 'content-type': 'application/problem+json', trailer: 'x-late' })
      for (const byte of secret) res.write(byte)
      res.addTrailers({ 'x-late': 's3cret' })
      res.end()
    }
    const reply = await call('ann', '/v1/masked/a')
    expect(reply).toMatchObject({ status: 404, body: left })
  })

  it('passes a large reply under the buffer, with its length', async () => {
    const items = Array.from({ length: 900 }, (_, i) => ({ x: 's3cret', y: `${i}`.repeat(10) }))
    const text = JSON.stringify({ gone: 1, list: items })
    expect(text.length).toBeGreaterThan(40_000)
    answerJson(text)
    const reply = await call('ann', '/v1/masked/a')
    expect(JSON.parse(reply.body)).toEqual({ list: items.map(({ y }) => ({ y })) })
    expect(reply.headers['content-length']).toBe(String(reply.body.length))
    await recordOf(reply).toMatchObject({ response: { hidden: 901 } })
    expect(await metrics()).toContain('\npostern_limits_hide_bytes 0\n')
  })

  it.each([
    ['another type', (): void => answerJson('gone,1\n', { 'content-type': 'text/csv' }), 'content-type'],
    ['no type', (): void => answerJson('{}', { 'content-type': [] }), 'content-type'],
    ['a stream of events', (): void => answerJson('data: {}\n\n', { 'content-type': 'text/event-stream' }), 'content-type'],
    ['half a text', (): void => answerJson('{"a":1'), 'syntax'],
    ['nothing', (): void => answerJson(''), 'syntax'],
    ['a part', (): void => answerJson('{}', { 'content-range': 'bytes 0-1/9' }, 206), 'partial reply'],
    ['a text over the buffer', (): void => answerJson(JSON.stringify('x'.repeat(101 * 1024))), 'too large'],
    [
      'a text over the buffer, coded',
      (): void => answerJson(gzipSync(JSON.stringify('x'.repeat(101 * 1024))), { 'content-encoding': 'gzip' }),
      'too large',
    ],
    ['an unknown coding', (): void => answerJson('{}', { 'content-encoding': 'compress' }), 'content-encoding'],
  ])('is impossible for %s: 502, and nothing of it is delivered', async (_what, answer, detail) => {
    answer()
    const reply = await call('ann', '/v1/masked/a')
    expect([reply.status, JSON.parse(reply.body)]).toMatchObject([502, { code: 'bad-upstream', title: 'Bad Gateway' }])
    await recordOf(reply).toMatchObject({
      code: 'PST5006',
      decision: { effect: 'allow', rule: 'masked', reason: `hide-impossible: ${detail}` },
      response: { status: 502, hidden: 0 },
    })
  })

  it('lets replies without a body through, their tags gone', async () => {
    backend.answer = (req, res) => {
      if (req.url?.endsWith('304')) res.writeHead(304, { etag: '"1"' }).end()
      else if (req.url?.endsWith('204')) res.writeHead(204, { etag: '"1"' }).end()
      else res.writeHead(201, { location: '/v1/masked/7', 'content-length': '0' }).end()
    }
    for (const status of [304, 204, 201]) {
      const reply = await call('ann', `/v1/masked/${status}`, { method: status === 201 ? 'POST' : 'GET' })
      expect([reply.status, reply.body, reply.headers['etag']]).toEqual([status, '', undefined])
    }
  })

  it('tells nobody by HEAD how long the whole text is', async () => {
    backend.answer = (_req, res) => res.writeHead(200, { 'content-type': 'application/json', 'content-length': '1234', etag: '"1"' }).end()
    const reply = await call('ann', '/v1/masked/a', { method: 'HEAD' })
    expect(reply.status).toBe(200)
    for (const name of ['content-length', 'etag']) expect(reply.headers).not.toHaveProperty(name)
  })

  it('has a reply of 504 where the text does not end in time, and of 502 where it breaks off', async () => {
    backend.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' }).write('{')
      const drip = setInterval(() => res.write(' '), 200)
      res.on('close', () => clearInterval(drip))
    }
    expect((await call('ann', '/v1/masked/a')).status).toBe(504)
    backend.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"a":1')
      setImmediate(() => res.destroy())
    }
    const broken = await call('ann', '/v1/masked/a')
    expect(broken.status).toBe(502)
    await recordOf(broken).toMatchObject({ code: 'PST5002' })
  })

  it('lets the backend go when the client leaves while the text is read', async () => {
    let left = false
    backend.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' }).write('{"a":1')
      res.on('close', () => {
        left = true
      })
    }
    const headers = {
      authorization: `Bearer ${await provider.token('ann')}`,
      'x-postern-gateway-proof': gatewaySecret,
      'x-postern-host': 'acme.test',
    }
    const req = request({ host: '127.0.0.1', port: postern.port, path: '/v1/masked/left', headers, agent: false })
    req.on('error', () => undefined)
    req.end()
    await expect.poll(() => backend.seen.length, { timeout: 5000 }).toBe(1)
    req.destroy()
    await expect.poll(() => left, { timeout: 5000 }).toBe(true)
    await expect
      .poll(() => postern.records().find(record => JSON.stringify(record).includes('/v1/masked/left')), { timeout: 5000 })
      .toMatchObject({ code: 'PST1012' })
    expect(await metrics()).toContain('\npostern_limits_hide_bytes 0\n')
  })
})

describe('a limit', () => {
  const fields = ({ headers }: Reply) => [headers['ratelimit'], headers['ratelimit-policy'], headers['retry-after']]

  it('is told with each reply, and refuses with 429 and how long to wait', async () => {
    const [one, two, three] = [await call('ann', '/v1/few/a'), await call('ann', '/v1/few/b'), await call('ann', '/v1/few/c')]
    expect([one.status, ...fields(one)]).toEqual([200, '"caller";r=1;t=1800', '"caller";q=2;w=3600', undefined])
    expect([two.status, fields(two)[0]]).toEqual([200, expect.stringMatching(/^"caller";r=0;t=1(800|79\d)$/)])
    expect([three.status, JSON.parse(three.body)]).toMatchObject([429, { title: 'Too Many Requests', code: 'rate-limited' }])
    const wait = Number(three.headers['retry-after'])
    expect(wait).toBeGreaterThan(1700)
    expect(fields(three).slice(0, 2)).toEqual([`"caller";r=0;t=${wait}`, '"caller";q=2;w=3600'])
    expect(backend.seen).toHaveLength(2)
    await recordOf(three).toMatchObject({
      code: 'PST2107',
      decision: { effect: 'allow', rule: 'slow', reason: 'rate-limited: limit 2/h per caller' },
      response: { status: 429 },
    })
    const text = await metrics()
    expect(text).toContain('postern_limits_refused_total{tenant="acme",per="caller"} 1')
    expect(text).toContain('postern_refusals_total{code="PST2107",reason="rate-limited"} 1')
    expect(text).toMatch(/\npostern_limits_buckets [1-9]/)
    expect((await call('ben', '/v1/few/a')).status).toBe(200)
  })

  it('of a tenant is told where no tighter one is, without the name of a rule', async () => {
    expect(fields(await call('ann', '/v1/open/a'))[1]).toBe('"tenant";q=1000;w=60')
  })

  it('of an agent counts it for all whom it works for', async () => {
    expect((await call('bot', '/v1/agents/a')).status).toBe(200)
    expect((await call('bot2', '/v1/agents/a')).status).toBe(429)
    for (let i = 0; i < 3; i++) expect((await call('ann', '/v1/agents/a')).status).toBe(200)
  })

  it('is not used up by a request that is refused for another reason first', async () => {
    const body = 'x'.repeat(11 * 1024 * 1024)
    expect((await call('cem', '/v1/few/a', { method: 'POST', body })).status).toBe(413)
    expect([(await call('cem', '/v1/few/a')).status, (await call('cem', '/v1/few/a')).status]).toEqual([200, 200])
  })

  it('comes before the credential: nobody asks for one without end', async () => {
    expect((await call('ann', '/v1/both/a')).status).toBe(503)
    expect((await call('ann', '/v1/both/a')).status).toBe(429)
  })

  it('keeps its count over a reload', async () => {
    expect([(await call('dan', '/v1/few/a')).status, (await call('dan', '/v1/few/a')).status]).toEqual([200, 200])
    await writeFile(join(postern.dir, 'policies/acme.policy.yaml'), `${policy(provider.issuer)}# read again\n`)
    expect((await postern.app.reload({ by: 'control', withoutTests: false, why: 'test' })).refused).toBe(false)
    expect((await call('dan', '/v1/few/a')).status).toBe(429)
  })
})

describe('a WebSocket', () => {
  const open = async (user: string, path: string): Promise<{ status: number; headers: IncomingMessage['headers'] }> => {
    const headers = {
      authorization: `Bearer ${await provider.token(user)}`,
      'x-postern-gateway-proof': gatewaySecret,
      'x-postern-host': 'acme.test',
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    }
    return new Promise((resolve, reject) => {
      const req = request({ host: '127.0.0.1', port: postern.port, path, headers, agent: false })
      req.on('response', res => {
        res.resume()
        resolve({ status: res.statusCode ?? 0, headers: res.headers })
      })
      req.on('error', reject)
      req.end()
    })
  }

  it('has the same limits, and counts once', async () => {
    const [one, two, three] = [await open('eva', '/v1/few/ws'), await open('eva', '/v1/few/ws'), await open('eva', '/v1/few/ws')]
    expect([one.status, one.headers['ratelimit']]).toEqual([200, '"caller";r=1;t=1800'])
    expect([two.status, three.status]).toEqual([200, 429])
    expect(three.headers['retry-after']).toMatch(/^1[78]\d\d$/)
    expect(backend.seen).toHaveLength(2)
  })

  it('of a rule that hides members is refused before any backend is asked', async () => {
    expect((await open('eva', '/v1/masked/ws')).status).toBe(502)
    expect(backend.seen).toEqual([])
    expect(postern.log()).not.toMatch(/this backend fails.*hide-impossible|hide-impossible.*this backend fails/)
  })
})
