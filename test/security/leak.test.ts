import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { type Recorder, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

const password = randomBytes(32).toString('base64url')
const role = 'acme_orders_ro'

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let token: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  const rule = `  - { allow: orders, why: Staff., who: staff, to: ANY /v1/**, then: { cassandra-role: ${role} } }`
  postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rule) },
    sections: {
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", delivery: header } }`,
      credentials: 'credentials: { provider: file, credentials-file: credentials.json }',
    },
    files: { 'credentials.json': JSON.stringify({ [role]: { username: 'login', password } }) },
  })
  token = await provider.token('ann')
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const call = () => postern.call('/v1/orders', { token }).catch(() => ({ status: 0, body: '', headers: {} }))
const base64 = (text: string) => Buffer.from(text).toString('base64')

/** What a debug page, a stack trace or an echo shows. */
const shown = {
  'as it is': password,
  'in a dump of the request': JSON.stringify({ headers: { 'x-postern-cassandra-password': password } }),
  'in base64': base64(password),
  'in base64 behind one byte': base64(`:${password}`),
  'in base64 behind two': base64(`u:${password}`),
  'as Basic credentials': base64(`postern_acme_orders_ro_a:${password}`),
  'in base64 with something behind': base64(`${password} and more`),
  'in base64url': Buffer.from(`xy${password}?>`).toString('base64url'),
}

describe('a backend that answers with the password it was given is cut off', () => {
  it.each(Object.entries(shown))('%s, in the body', async (_, text) => {
    backend.answer = (_req, res) => res.end(`<pre>${text}</pre>`)
    const reply = await call()
    expect(reply.status).toBe(502)
    expect(JSON.stringify(reply)).not.toContain(text.slice(4, -4))
  })

  it.each(Object.entries(shown))('%s, in a field', async (_, text) => {
    backend.answer = (_req, res) => res.writeHead(200, { 'x-debug': text }).end('ok')
    expect((await call()).status).toBe(502)
  })

  it('across two pieces of a stream, and nothing of the second piece leaves', async () => {
    backend.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(`data: ${password.slice(0, 20)}`)
      setTimeout(() => res.write(`${password.slice(20)}\n\n`), 50)
    }
    const reply = await call()
    expect(reply.status).not.toBe(200)
    await expect.poll(() => postern.records().filter(record => record['code'] === 'PST5007').length).toBe(17)
  })

  it('and an alarm is raised that does not repeat it', async () => {
    await expect.poll(() => postern.log()).toMatch(/A BACKEND ANSWERED WITH THE PASSWORD/)
    expect(postern.log() + JSON.stringify(postern.records())).not.toContain(password)
  })

  it('but not one that answers with anything else, of any length, or that streams', async () => {
    backend.answer = (_req, res) => res.end(randomBytes(50_000).toString('base64'))
    expect((await call()).status).toBe(200)
    backend.answer = (_req, res) => {
      res.writeHead(200)
      for (let i = 0; i < 50; i++) res.write(randomBytes(100).toString('base64'))
      res.end()
    }
    expect(await call()).toMatchObject({ status: 200, body: expect.stringMatching(/^.{6800}$/) })
  })
})
