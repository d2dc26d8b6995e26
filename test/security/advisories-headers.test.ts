import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/deps.ts'
import { createLog } from '../../src/record/log.ts'
import { type Door, openDoor } from '../support/door.ts'
import { gatewaySecret, startFrom, tenantPolicy, writeInstallation } from '../support/postern.ts'

/** Rows T11 to T19 of the published advisories: what a client writes into fields is believed by somebody. */
const policies = (issuer: string) => ({
  'acme.policy.yaml': tenantPolicy(
    'acme',
    issuer,
    `  - { deny: private, why: Private., who: anyone, to: [ANY /v1/admin/**, DELETE /v1/**] }
  - { deny: away, why: Not from there., who: anyone, to: ANY /v1/inside, when: { ip-not-in: 10.0.0.0/8 } }
  - { deny: marked, why: Marked., who: anyone, to: ANY /v1/marked, when: { header: { x-mark: bad } } }
  - { allow: vouched, why: Vouched., who: staff, to: ANY /v2/vouched, when: { header: { x-reason: ticket } } }
  - { allow: all, why: All., who: staff, to: ANY /v1/** }`,
  ),
})
const identity = '{ x-user-email: email, x-user-groups: groups, remote-user: sub }'
const sections = (port: number) => ({
  upstreams: `upstreams: { api: { url: "http://127.0.0.1:${port}", identity-headers: ${identity} } }`,
  routes:
    'routes: [{ name: one, host: acme.test, prefix: /v1, upstream: api }, { name: two, host: acme.test, prefix: /v2, upstream: api }]',
})

let door: Door
beforeAll(async () => {
  door = await openDoor({ policies, sections })
})
afterAll(() => door.stop())
beforeEach(() => {
  door.backend.seen.length = 0
})

const statusOf = (reply: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(reply)?.[1])
const ask = async (target: string, fields: readonly string[] = [], method = 'GET') => statusOf(await door.raw(target, fields, method))
/** The fields of the last request that came through, as CGI or WSGI show them: names folded, those of one name joined. */
const environment = (): Readonly<Record<string, string>> => {
  const { rawHeaders = [] } = door.backend.seen.at(-1) ?? {}
  const shown: Record<string, string> = {}
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')
    shown[name] = name in shown ? `${shown[name]},${rawHeaders[i + 1]}` : (rawHeaders[i + 1] ?? '')
  }
  return shown
}
const record = () => expect.poll(() => door.postern.records().at(-1), { timeout: 5_000 })

/** Ways to write one name, which some server reads alike. */
const spellings = (name: string): string[] => {
  const words = name.split('-')
  return [
    name,
    name.toUpperCase(),
    words.join('_'),
    words.join('.'),
    `${words.slice(0, -1).join('-')}_${words.at(-1)}`,
    words.join('_').toUpperCase(),
  ]
}

describe('a field that says who is calling', () => {
  it('T11: passes in no spelling: not folded, not joined with ours', async () => {
    const names = ['x-forwarded-user', 'x-forwarded-email', 'x-auth-request-user', 'x-postern-subject', 'x-postern-tenant', 'x-user-email']
    names.push('x-user-groups', 'remote-user', 'x-remote-user', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'x-original-url')
    const fields = names.flatMap(spellings).map(name => `${name}: root`)
    expect(await ask('/v1/x', [...fields, 'x_anything: root', 'any_other_name: root', '_: root'])).toBe(200)
    const shown = environment()
    expect(Object.entries(shown).filter(([, value]) => value.includes('root'))).toEqual([])
    expect(shown).toMatchObject({ X_POSTERN_SUBJECT: 'anna', X_POSTERN_TENANT: 'acme', REMOTE_USER: 'anna', X_USER_GROUPS: 'staff' })
  })

  it('T14: is deleted where the token says nothing of it, and never passes through', async () => {
    const fields = spellings('x-user-email').map(name => `${name}: root@acme.example`)
    expect(await ask('/v1/x', fields)).toBe(200)
    expect(environment()).not.toHaveProperty('X_USER_EMAIL')
    const reply = await door.postern.call('/v1/x', {
      token: door.token({ email: 'anna@acme.example' }),
      headers: { 'x-user-email': 'root' },
    })
    expect(reply.status).toBe(200)
    expect(environment()['X_USER_EMAIL']).toBe('anna@acme.example')
    // A claim that is there and empty, or null, is no reason to let the client say it either.
    for (const email of ['', null, []]) {
      await door.postern.call('/v1/x', { token: door.token({ email }), headers: { 'x-user-email': 'root' } })
      expect(environment()['X_USER_EMAIL'] ?? '').not.toContain('root')
    }
  })
})

describe('a decision', () => {
  it('T12: takes neither path, method, host, scheme nor address from what a client may write', async () => {
    const lies = (path: string): string[] =>
      [
        'x-forwarded-uri',
        'x-forwarded-prefix',
        'x-forwarded-path',
        'x-original-url',
        'x-original-uri',
        'x-rewrite-url',
        'x-envoy-original-path',
        'x-envoy-decorator-operation',
        'x-auth-request-redirect',
        ':path',
      ]
        .filter(name => !name.startsWith(':'))
        .map(name => `${name}: ${path}`)
    expect(await ask('/v1/admin/x', lies('/v1/public'))).toBe(403)
    await record().toMatchObject({ request: { path: '/v1/admin/x' }, decision: { rule: 'private' } })
    expect(await ask('/v1/x', lies('/v1/admin/x'))).toBe(200)
    const methods = ['x-http-method-override: GET', 'x-http-method: GET', 'x-method-override: GET', 'x-forwarded-method: GET']
    expect(await ask('/v1/x', methods, 'DELETE')).toBe(403)
    const hosts = [
      'x-forwarded-host: globex.test',
      'x-host: globex.test',
      'x-forwarded-server: globex.test',
      'forwarded: host=globex.test;proto=http',
    ]
    expect(await ask('/v1/x', [...hosts, 'x-forwarded-proto: http', 'x-forwarded-port: 80', 'x-forwarded-ssl: off'])).toBe(200)
    expect(environment()).toMatchObject({ X_FORWARDED_HOST: 'acme.test', X_FORWARDED_PROTO: 'https' })
    expect(environment()).not.toHaveProperty('X_FORWARDED_PORT')
    const inside = ['x-forwarded-for', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-client-ip', 'client-ip', 'x-cluster-client-ip']
    const addresses = [...inside.map(name => `${name}: 10.0.0.1`), 'forwarded: for=10.0.0.1']
    expect(await ask('/v1/inside', [...addresses, 'x-postern-client-ip: 203.0.113.9'])).toBe(403)
    // Where the gateway says nothing, the address is unknown, and that is not inside.
    expect(await ask('/v1/inside', addresses)).toBe(403)
    expect(await ask('/v1/inside', ['x-postern-client-ip: 10.0.0.1'])).toBe(200)
  })

  it.each<[string, string]>([
    ['is not said', 'gateway: {}'],
    ['is an empty list', 'gateway: { proof: [] }'],
    ['is everybody, beside a proof', 'gateway: { proof: [shared-secret, none-accept-direct-traffic], secret-files: [gateway.secret] }'],
    ['is a secret that nobody has', 'gateway: { proof: [shared-secret] }'],
    ['is a word that nobody knows', 'gateway: { proof: [all] }'],
  ])('T12: is made for nobody where it %s whom to trust', async (_, gateway) => {
    const started = await startFrom(await writeInstallation({ issuer: door.issuer, upstreamPort: 1, sections: { gateway } }))
    if ('app' in started) await started.stop()
    expect('app' in started).toBe(false)
  })

  it('T15: looks at every value of a repeated field, wherever it stands', async () => {
    const bad = [['x-mark: bad'], ['x-mark: good', 'x-mark: bad'], ['x-mark: bad', 'x-mark: good'], ['X-Mark:bad  ', 'x-mark: good, fine']]
    for (const fields of bad) expect(await ask('/v1/marked', fields), fields.join('; ')).toBe(403)
    expect(await ask('/v1/marked', ['x-mark: good'])).toBe(200)
    // What an allow asks for must be all there is: the backend may read the other value.
    expect(await ask('/v2/vouched', ['x-reason: ticket'])).toBe(200)
    for (const fields of [['x-reason: ticket', 'x-reason: none'], ['x-reason: none', 'x-reason: ticket'], ['x-reason: ticket, none']])
      expect(await ask('/v2/vouched', fields), fields.join('; ')).toBe(403)
  })

  it('T15: is not made where a field that guards is doubled', async () => {
    const doubles: readonly (readonly string[])[] = [
      [`authorization: Bearer ${door.token()}`, `authorization: Bearer ${door.token()}`],
      [`authorization: Bearer ${door.token()}`, `Authorization: Basic YTpi`],
      ['dpop: a', 'DPoP: b'],
      ['host: acme.test', 'Host: acme.test'],
      ['x-postern-host: acme.test', 'x-postern-host: acme.test'],
      ['x-postern-host: acme.test, globex.test'],
      ['x-postern-client-ip: 10.0.0.1', 'X-Postern-Client-Ip: 10.0.0.1'],
      ['x-postern-client-ip: 10.0.0.1,10.0.0.1'],
      [`x-postern-gateway-proof: ${gatewaySecret}`, `x-postern-gateway-proof: ${gatewaySecret}`],
      ['x-postern-gateway-request-id: a', 'x-postern-gateway-request-id: b'],
    ]
    for (const fields of doubles) expect(await ask('/v1/x', fields), fields.join('; ')).toBe(400)
    expect(door.backend.seen).toEqual([])
  })

  it('T16: reads addresses and hosts by their grammar, and puts none of them into a field as it came', async () => {
    const addresses = [
      'localhost',
      '10.0.0.1:80',
      '10.0.0',
      '10.0.0.256',
      '010.0.0.1',
      '0x0a000001',
      '167772161',
      '[::1]',
      '::1%eth0',
      '10.0.0.1 ;for=1.2.3.4',
    ]
    for (const value of [...addresses, '10.0.0.1;host=evil', '"10.0.0.1"', '::ffff:10.0.0.1.', '1.1.1.1/8'])
      expect(await ask('/v1/x', [`x-postern-client-ip: ${value}`]), value).toBe(400)
    const hosts = [
      'acme.test;proto=http',
      'acme.test, evil',
      '"acme.test"',
      'acme.test:443;for=1.1.1.1',
      'acme.test/..',
      'acme.test#',
      'acme.test?',
      'a b',
      '[::1]x',
    ]
    for (const value of hosts) {
      expect(await ask('/v1/x', [`x-postern-host: ${value}`]), value).toBe(400)
      expect(await ask('/v1/x', [`host: ${value}`]), value).toBe(400)
    }
    expect(door.backend.seen).toEqual([])
    expect(await ask('/v1/x', ['x-postern-client-ip: ::FFFF:10.0.0.1', 'x-postern-host: ACME.test.:443'])).toBe(200)
    expect(environment()).toMatchObject({ X_FORWARDED_FOR: '10.0.0.1', X_FORWARDED_HOST: 'acme.test' })
  })

  it('T17: is not skipped for a probe: by no user agent, no path and no method', async () => {
    const agents = [
      'ELB-HealthChecker/2.0',
      'kube-probe/1.33',
      'GoogleHC/1.0',
      'Amazon-Route53-Health-Check-Service',
      'Consul Health Check',
      'curl',
    ]
    for (const agent of agents)
      for (const target of ['/v1/x', '/livez', '/readyz', '/metrics', '/ping', '/healthz', '/.well-known/jwks.json'])
        expect(await ask(target, [`user-agent: ${agent}`, 'authorization:']), `${agent} ${target}`).toBe(401)
    expect(await ask('/livez', ['user-agent: kube-probe/1.33', 'x-postern-gateway-proof: none'])).toBe(403)
    expect(door.backend.seen).toEqual([])
  })
})

describe('a field that the proxy adds', () => {
  it('T13: is not taken away again by naming it in Connection, in any spelling or place', async () => {
    const ours = [
      'x-postern-subject',
      'X-Postern-Tenant',
      'x-postern-request-id',
      'X-Forwarded-For',
      'x-forwarded-host',
      'via',
      'authorization',
      'host',
    ]
    for (const name of [...ours, 'remote-user', 'x-postern-cassandra-password', 'content-length', 'dpop', 'cookie'])
      for (const field of [`Connection: ${name}`, `connection: close,\t${name} ,`, `connection: keep-alive\r\nCONNECTION: ${name}`])
        expect(await ask('/v1/x', [field, 'cookie: a=1']), field).toBe(400)
    expect(door.backend.seen).toEqual([])
    // Those of the configuration are added after the client's nominations were carried out.
    expect(await ask('/v1/x', ['connection: close, x-user-groups, x-user-email', 'x-hop: 1'])).toBe(200)
    expect(environment()).toMatchObject({ X_USER_GROUPS: 'staff', REMOTE_USER: 'anna' })
  })
})

describe('a line of the log', () => {
  it('T19: is one line, whatever stands in the request, the token or the names in them', async () => {
    const odd = '\u001b[2J\u001b]0;x\u0007 {"level":"info"} \\r\\n \u0085 \u2028 %0a \u00ff'
    const own = await openDoor({ policies, sections })
    onTestFinished(() => own.stop())
    // As a client writes it: a control that the parser would refuse is left to the fields that it does not read.
    const latin = [...Buffer.from(odd, 'utf8')].map(byte => (byte < 0x20 ? '?' : String.fromCharCode(byte))).join('')
    await own.raw(`/v1/x?${encodeURIComponent(odd)}`, [`user-agent: ${latin}`, `x-mark: ${latin}`])
    await own.raw('/v1/%0d%0aforged', [])
    await own.raw('/v1/x', [], 'GE\u001bT')
    await own.raw('/v1/x', [`x-postern-gateway-request-id: ${latin}`])
    await own.raw('/v1/x', [`host: ${latin}`])
    const at = (token: string) => own.postern.call('/v1/x', { token })
    await at(own.token({ sub: odd }))
    await at(own.token({ iss: odd }))
    await at(own.token({}, { kid: `${odd}\nforged` }))
    await at(own.token({}, { alg: `RS256\n${odd}` }))
    await at(own.token({ jti: odd, groups: [odd] }))
    await at(odd.replaceAll(/[^\x20-\x7e]/g, '?'))
    await expect.poll(() => own.postern.records().length, { timeout: 5_000 }).toBeGreaterThanOrEqual(10)
    const audit = await readdir(join(own.postern.dir, 'audit'), { recursive: true, withFileTypes: true })
    const texts = audit
      .filter(({ name }) => name.endsWith('.jsonl'))
      .map(({ parentPath, name }) => readFile(join(parentPath, name), 'utf8'))
    const lines = [own.postern.log(), ...(await Promise.all(texts))].flatMap(text => text.split('\n')).filter(line => line !== '')
    expect(lines.length).toBeGreaterThan(12)
    for (const line of lines) {
      expect(() => JSON.parse(line), line).not.toThrow()
      // What a terminal would obey, or another reader would take for the end of the line.
      expect([...line].filter(c => /\p{Cc}|[\u2028\u2029]/u.test(c))).toEqual([])
    }
    expect(lines.filter(line => /^\s*\{"level":"info"\}/.test(line))).toEqual([])
  })
  it('T19: nor does what a provider calls its keys steer a terminal', async () => {
    const out = new PassThrough()
    const log = createLog({ level: 'info', out, clock: systemClock })
    const key = '\u001b[2J\u009b2J\u0085\u202e\u2028"\\\n\ud800é'
    log.warn({ key }, key)
    await log.close()
    const text = String(out.read())
    expect(text).toMatch(/^[\x20-\x7e]+\n$/)
    expect(JSON.parse(text)).toMatchObject({ key, msg: key })
  })
})
