import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { freePort } from '../bench/cases.ts'
import { debianProgram } from '../support/debian.ts'
import { type Recorder, sendRaw, startPostern, startRecorder, type TestPostern, tenantPolicy } from '../support/postern.ts'

interface Kind {
  /** Also of its Debian package. */
  readonly name: string
  /** Of the program in the package. */
  readonly path: string
  /** Its configuration, of the page's words. */
  conf(words: string): string
  readonly words: string
  readonly command: (conf: string, dir: string) => readonly string[]
  /** Its section of Postern's configuration, where it is not the one at the top of the page. */
  readonly decide: object
  /** Fields of a client that it does not overwrite, and that would tell the original request in another way. */
  readonly foreign: readonly string[]
  /** What it answers where Postern does not. */
  readonly gone: number
}

const nginx: Kind = {
  name: 'nginx',
  path: 'usr/sbin/nginx',
  words: 'nginx',
  conf: words => `daemon off; master_process off; pid nginx.pid; error_log error.log;
events { worker_connections 64; }
http { access_log off; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path temp/${name};`).join('\n')}
${words} }`,
  command: (conf, dir) => ['-p', dir, '-e', 'error.log', '-c', conf],
  decide: {},
  foreign: ['X-Forwarded-Uri: /v1/x', 'X-Forwarded-Method: GET'],
  gone: 503,
}
const caddy: Kind = {
  name: 'caddy',
  path: 'usr/bin/caddy',
  words: 'caddyfile',
  conf: words => `{\n  admin off\n  auto_https off\n}\n${words}`,
  command: conf => ['run', '--config', conf, '--adapter', 'caddyfile'],
  decide: { original: 'x-forwarded', 'client-ip': { from: 'x-forwarded-for' } },
  foreign: ['X-Original-URL: http://acme.test/v1/x', 'X-Original-Method: GET', 'x_postern_tenant: globex'],
  gone: 502,
}

/** Behind a load balancer whose word it takes. */
const trusting: Kind = {
  ...caddy,
  conf: words => caddy.conf(words.replace('uri /decide', 'uri /decide\n      trusted_proxies 127.0.0.0/8')),
}

/** The page's own words: configuration of Postern and of the other proxy, with other addresses. */
describe.each([
  ['nginx', nginx],
  ['caddy', caddy],
  ['caddy with trusted_proxies', trusting],
] as const)('%s as deploy/DECIDE.md sets it up', (_, kind) => {
  const found = debianProgram(kind.name, kind.path, kind.name)
  if ('missing' in found) process.stderr.write(`skipped: ${found.missing}\n`)
  describe.skipIf('missing' in found)('asks Postern and', () => asks(kind, 'program' in found ? found.program : ''))
})

const asks = (kind: Kind, program: string): void => {
  let provider: DemoProvider
  let backend: Recorder
  let postern: TestPostern
  let other: ChildProcess
  let dir: string
  let port: number
  let ann: string

  const block = (page: string, language: string): string =>
    new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(page)?.[1] ?? expect.fail(`no ${language} on the page`)

  beforeAll(async () => {
    const page = await readFile(resolve(import.meta.dirname, '../../deploy/DECIDE.md'), 'utf8')
    provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
    ann = await provider.token('ann')
    backend = await startRecorder()
    const { decide } = parse(block(page, 'yaml')) as { readonly decide: object }
    const rules = `  - { deny: modes, why: w, who: anyone, to: ANY /v1/**, when: { header: { x-mode: any } } }
  - { allow: limited, why: w, who: staff, to: GET /v1/limited, then: { limit: [1/min per caller] } }
  - { allow: here, why: w, who: staff, to: ANY /v1/local, when: { ip-in: 127.0.0.1 } }
  - { allow: far, why: w, who: staff, to: GET /v1/far, when: { ip-in: 10.0.0.1 } }
  - { allow: strong, why: w, who: staff, to: GET /v1/strong, needs-login: { acr: phrh } }
  - { allow: some, why: w, who: staff, to: GET POST /v1/orders/** }`
    postern = await startPostern({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      policies: { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rules) },
      sections: { decide: `decide: ${JSON.stringify({ ...decide, ...kind.decide, listen: '127.0.0.1:0' })}` },
    })
    const asked = postern.app.decide
    port = await freePort()
    const words = block(page, kind.words)
      .replace('127.0.0.1:9092', `127.0.0.1:${asked !== null && 'port' in asked ? asked.port : 0}`)
      .replace('127.0.0.1:3000', `127.0.0.1:${backend.port}`)
      .replace('listen 8080', `listen 127.0.0.1:${port}`)
      .replace('acme.api.example.com', kind.name === 'caddy' ? `http://acme.test:${port}` : 'acme.test')
    dir = await mkdtemp(join(tmpdir(), `postern-${kind.name}-`))
    await mkdir(join(dir, 'temp'))
    const conf = join(dir, 'conf')
    await writeFile(conf, kind.conf(words))
    const { PATH = '' } = process.env
    other = spawn(program, kind.command(conf, dir), { stdio: 'ignore', env: { PATH, HOME: dir } })
    await vi.waitUntil(() => call('GET', '/v1/orders/1').catch(() => ''), { timeout: 10_000, interval: 50 })
  })
  afterAll(async () => {
    other?.kill('SIGTERM')
    await postern?.stop()
    await backend?.close()
    await provider?.stop()
    if (dir) await rm(dir, { recursive: true, force: true })
  })
  beforeEach(() => {
    backend.seen.length = 0
  })

  const call = (method: string, uri: string, fields: readonly string[] = [], body = '', host = 'acme.test'): Promise<string> =>
    sendRaw(port, `${method} ${uri} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${fields.map(f => `${f}\r\n`).join('')}\r\n${body}`)
  const bearer = () => `Authorization: Bearer ${ann}`
  const statusOf = (reply: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(reply)?.[1])

  it('sends on what is allowed, as it came, with the caller that Postern names and without the token', async () => {
    const reply = await call('GET', '/v1/orders/%C3%A9?a=%2F&b=1', [bearer()])
    expect(statusOf(reply)).toBe(200)
    const { url, headers } = backend.seen[0] ?? expect.fail('not seen')
    expect(url).toBe('/v1/orders/%C3%A9?a=%2F&b=1')
    expect(headers).toMatchObject({ 'x-postern-tenant': 'acme', 'x-postern-subject': 'ann', host: 'acme.test' })
    expect(headers).not.toHaveProperty('authorization')
    await expect
      .poll(() => postern.records().at(-1))
      .toMatchObject({
        code: 'PST2003',
        request: { id: headers['x-postern-request-id'], path: '/v1/orders/%C3%A9', 'client-ip': '127.0.0.1' },
      })
  })

  it.each([
    ['with a length', 'Content-Length: 11', 'hello world'],
    ['in chunks', 'Transfer-Encoding: chunked', 'b\r\nhello world\r\n0\r\n\r\n'],
  ])('sends on bodies that Postern does not see, %s', async (_, field, body) => {
    expect(statusOf(await call('POST', '/v1/orders/1', [bearer(), field], body))).toBe(200)
    expect(backend.seen[0]).toMatchObject({ method: 'POST', body: 'hello world' })
    await expect.poll(() => postern.records().at(-1)).toMatchObject({ request: { method: 'POST' } })
  })

  it('gives clients the status that Postern gave: 401 with its challenge, 403, 404, 400, 429 with Retry-After', async () => {
    const none = await call('GET', '/v1/orders/1')
    expect([statusOf(none), /^WWW-Authenticate: (.*)$/im.exec(none)?.[1]?.trim()]).toEqual([401, 'Bearer'])
    expect(await call('GET', '/v1/strong', [bearer()])).toMatch(
      /^HTTP\/1\.1 401 [\s\S]*www-authenticate: Bearer error="insufficient_user_authentication"/i,
    )
    expect(statusOf(await call('DELETE', '/v1/orders/1', [bearer()]))).toBe(403)
    expect(statusOf(await call('GET', '/elsewhere', [bearer()]))).toBe(404)
    expect(statusOf(await call('GET', '/v1/limited', [bearer()]))).toBe(200)
    backend.seen.length = 0
    expect(await call('GET', '/v1/limited', [bearer()])).toMatch(/^HTTP\/1\.1 429 [\s\S]*Retry-After: \d+/)
    for (const uri of ['/v1/orders/../admin', '/v1//orders/1', '/v1/orders/a%2fb', '/v1/orders/%78', '/v1/orders/%c3%a9', '/v1/orders/x;y'])
      expect([uri, statusOf(await call('GET', uri, [bearer()]))]).toEqual([uri, 400])
    expect(backend.seen).toEqual([])
  })

  it('cannot be talked into another decision by what the client sends', async () => {
    for (const field of [
      'X-Original-URL: http://acme.test/v1/orders/1',
      'X-Original-Method: GET',
      'X-Forwarded-Uri: /v1/orders/1',
      'X-Forwarded-Method: GET',
      'X-Forwarded-Host: acme.test',
      'Host: globex.test',
    ])
      expect([field, statusOf(await call('DELETE', '/v1/orders/1', [bearer(), field])) >= 400]).toEqual([field, true])
    for (const field of ['X-Postern-Client-Ip: 10.0.0.1', 'X-Forwarded-For: 10.0.0.1', 'X-Real-Ip: 10.0.0.1', 'Forwarded: for=10.0.0.1'])
      expect([field, statusOf(await call('GET', '/v1/far', [bearer(), field])) >= 400]).toEqual([field, true])
    for (const field of [...kind.foreign, 'X-HTTP-Method-Override: DELETE', 'X-Postern-Tenant: globex'])
      expect([field, statusOf(await call('GET', '/v1/orders/1', [bearer(), field]))]).toEqual([field, 400])
    for (const uri of ['/_postern', '/decide']) expect(statusOf(await call('GET', uri, [bearer()]))).toBe(404)
    expect(backend.seen).toEqual([])
  })

  it('hands the backend what Postern said, though the client names these fields as hop-by-hop', async () => {
    for (const nominated of ['X-Postern-Tenant, x-postern-subject', 'close,X-Postern-Tenant', 'close\r\nConnection: X-Postern-Subject']) {
      backend.seen.length = 0
      const fields = `Connection: ${nominated}\r\n${bearer()}`
      expect(statusOf(await sendRaw(port, `GET /v1/orders/1 HTTP/1.1\r\nHost: acme.test\r\n${fields}\r\n\r\n`, /hello/))).toBe(200)
      expect(backend.seen[0]?.headers).toMatchObject({ 'x-postern-tenant': 'acme', 'x-postern-subject': 'ann' })
    }
  })

  it('hands the backend no field that policy denies, though the client names it as hop-by-hop or spells it otherwise', async () => {
    expect(statusOf(await call('GET', '/v1/orders/1', [bearer(), 'X-Mode: any']))).toBe(403)
    for (const fields of [
      'Connection: X-Mode\r\nX-Mode: any',
      'Connection: close, x-mode\r\nX-Mode: any',
      'X_Mode: any',
      'X-Mode: no\r\nx_mode: any',
    ]) {
      const own = fields.startsWith('Connection') ? '' : 'Connection: close\r\n'
      const whole = /\r\n\r\n/
      await sendRaw(port, `GET /v1/orders/1 HTTP/1.1\r\nHost: acme.test\r\n${own}${fields}\r\n${bearer()}\r\n\r\n`, whole)
      expect([fields, ...backend.seen.flatMap(({ rawHeaders }) => rawHeaders)]).not.toContain('any')
    }
  })

  it('tells the address of its client, and not what the client says of it', async () => {
    expect(statusOf(await call('GET', '/v1/local', [bearer(), 'X-Forwarded-For: 10.0.0.1']))).toBe(200)
    await expect.poll(() => postern.records().at(-1)).toMatchObject({ request: { 'client-ip': '127.0.0.1' } })
  })

  it('asks about the request that opens a WebSocket, too', async () => {
    const upgrade = ['Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    const open = (fields: readonly string[]) =>
      sendRaw(port, `GET /v1/orders/1 HTTP/1.1\r\nHost: acme.test\r\nConnection: upgrade\r\n${fields.join('\r\n')}\r\n\r\n`, /\r\n\r\n/)
    expect(statusOf(await open(upgrade))).toBe(401)
    expect(backend.seen).toEqual([])
    // The backend here speaks no WebSocket and answers as if nothing had been asked.
    expect(statusOf(await open([bearer(), ...upgrade]))).toBe(200)
    expect(backend.seen).toHaveLength(1)
  })

  it('decides for the host that it goes by itself, where request line and Host differ', async () => {
    const reply = await call('GET', 'http://acme.test/v1/orders/1', [bearer()], '', 'globex.test')
    expect(statusOf(reply)).toBe(200)
    expect(backend.seen[0]?.headers.host).toBe('acme.test')
    await expect.poll(() => postern.records().at(-1)).toMatchObject({ request: { host: 'acme.test' } })
    expect(statusOf(await call('GET', '/v1/orders/2', [bearer(), 'X-Forwarded-Host: globex.test']))).toBe(200)
    await expect.poll(() => postern.records().at(-1)).toMatchObject({ request: { host: 'acme.test', path: '/v1/orders/2' } })
  })

  it('lets nothing pass while Postern is gone', async () => {
    await postern.stop()
    expect(statusOf(await call('GET', '/v1/orders/1', [bearer()]))).toBe(kind.gone)
    expect(backend.seen).toEqual([])
  })
}
