import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { type Recorder, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

/** Ways in which a hidden member might reach a client that reads more generously than Postern does. */
let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let token: string

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  const rule = '  - { allow: all, why: All., who: staff, to: ANY /v1/**, then: { hide: [$.iban, "$..secret", $.straße] } }'
  const policies = { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rule) }
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, policies })
  token = await provider.token('ann')
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})

const json = { 'content-type': 'application/json' }
const utf16 = (text: string): Buffer => Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')])
const plain = '{"iban":"s3cret","b":1}'

interface Attempt {
  readonly body: string | Buffer
  readonly headers?: object
  readonly status?: number
}

const attempts: Readonly<Record<string, Attempt>> = {
  'names in escapes': { body: '{"\\u0069\\u0062\\u0061\\u006e":"s3cret","a":[{"secre\\u0074":"s3cret"}]}' },
  'a name in wide characters, escaped': { body: '{"stra\\u00dfe":"s3cret"}' },
  'the name twice': { body: '{"iban":1,"iban":"s3cret"}' },
  'the name twice, once escaped': { body: '{"iban":1,"\\u0069ban":"s3cret"}' },
  'another name twice': { body: '{"a":{"x":1},"a":{"secret":"s3cret"}}' },
  'a byte order mark': { body: `\ufeff${plain}` },
  'UTF-16 that says nothing': { body: utf16(plain) },
  'UTF-16 that says so': { body: utf16(plain), headers: { 'content-type': 'application/json; charset=utf-16' } },
  'UTF-16 without a mark': { body: Buffer.from(plain, 'utf16le') },
  'UTF-7': { body: '+AHsAIg-iban+ACI:+ACI-s3cret+ACIAfQ-', headers: { 'content-type': 'application/json; charset=utf-7' } },
  'an overlong name': { body: Buffer.concat([Buffer.from('{"iban'), Buffer.from([0xc1, 0xa1]), Buffer.from('":"s3cret"}')]) },
  'deep nesting': { body: `${'['.repeat(100_000)}{"secret":"s3cret"}${']'.repeat(100_000)}` },
  'a gzip bomb': { body: gzipSync(`{"iban":"s3cret","x":"${' '.repeat(50_000_000)}"}`), headers: { 'content-encoding': 'gzip' } },
  'gzip in gzip': { body: gzipSync(gzipSync(plain)), headers: { 'content-encoding': 'gzip, gzip' } },
  'gzip that says nothing': { body: gzipSync(plain) },
  'gzip by two fields': { body: gzipSync(plain), headers: { 'content-encoding': ['gzip', 'identity'] } },
  'gzip with more behind it': { body: Buffer.concat([gzipSync('{"b":1}'), Buffer.from(plain)]), headers: { 'content-encoding': 'gzip' } },
  multipart: { body: `--x\r\n\r\n${plain}\r\n--x--`, headers: { 'content-type': 'multipart/mixed; boundary=x' } },
  'multipart that calls itself JSON': {
    body: `--x\r\n\r\n${plain}\r\n--x--`,
    headers: { 'content-type': 'multipart/form+json; boundary=x' },
  },
  'a second document': { body: `{"b":1}${plain}` },
  'a line for each document': { body: `{"b":1}\n${plain}\n`, headers: { 'content-type': 'application/x-ndjson' } },
  'lines that call themselves JSON': { body: `{"b":1}\n${plain}\n` },
  'record separators': { body: `\x1e${plain}\n`, headers: { 'content-type': 'application/json-seq' } },
  'a guard before it': { body: `)]}',\n${plain}` },
  'a script': { body: `callback(${plain})`, headers: { 'content-type': 'application/javascript' } },
  comments: { body: '{/*"a":"*/"iban":"s3cret"//"}\n}' },
  'single quotes': { body: "{'iban':'s3cret'}" },
  'a bare name': { body: '{iban:"s3cret"}' },
  'a line end in a string': { body: '{"a":"\n","iban":"s3cret"}' },
  'a NUL': { body: '{"a":1\0,"iban":"s3cret"}' },
  'a trailing comma': { body: '{"iban":"s3cret",}' },
  'no end': { body: '{"iban":"s3cret"' },
  'two types': { body: plain, headers: { 'content-type': ['application/json', 'text/plain'] } },
  'no type': { body: plain, headers: { 'content-type': [] } },
  'another type': { body: plain, headers: { 'content-type': 'text/plain' } },
  HTML: { body: `<pre>${plain}</pre>`, headers: { 'content-type': 'text/html' } },
  'a part': { body: '"iban":"s3cret"', headers: { 'content-range': 'bytes 1-15/23' }, status: 206 },
  'an error': { body: `{"error":{"secret":"s3cret"},"iban":"s3cret"}`, status: 500 },
  'a reset': { body: plain, status: 205 },
  'a redirect': { body: plain, headers: { location: '/v1/b' }, status: 302 },
}

describe('a hidden member', () => {
  it.each(Object.entries(attempts))('does not get out by %s', async (_name, { body, headers = {}, status = 200 }) => {
    backend.answer = (_req, res) => res.writeHead(status, { ...json, ...headers }).end(body)
    const reply = await postern.call('/v1/x', { token, headers: { range: 'bytes=1-15', 'accept-encoding': 'gzip' } })
    expect(`${JSON.stringify(reply.headers)}${reply.body}`).not.toContain('s3cret')
    expect([200, 205, 302, 500, 502]).toContain(reply.status)
    if (reply.status === 502) expect(JSON.parse(reply.body)).toMatchObject({ code: 'bad-upstream' })
    // What passes is JSON that every parser reads alike.
    else JSON.parse(reply.body)
  })

  it('does not get out in trailers, and the process is as well as before', async () => {
    backend.answer = (_req, res) => {
      res.writeHead(200, { ...json, trailer: 'x-iban' })
      res.write('{"b":1}')
      res.addTrailers({ 'x-iban': 's3cret' })
      res.end()
    }
    const reply = await postern.call('/v1/x', { token })
    expect([reply.status, reply.body, JSON.stringify(reply.headers)]).toEqual([200, '{"b":1}', expect.not.stringContaining('s3cret')])
    expect(postern.app.status()).toMatchObject({ in_flight: 0 })
    expect(postern.log()).not.toContain('fault in the pipeline')
  })
})
