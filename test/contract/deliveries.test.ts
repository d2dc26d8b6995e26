import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { createUnsealer, fromEndpoint, fromFile, type Login, readHeaders } from '../../src/backend/index.ts'
import { deliveryKinds } from '../../src/credentials/delivery.ts'
import {
  type Recorder,
  type Seen,
  startFrom,
  startRecorder,
  type TestPostern,
  tenantPolicy,
  writeInstallation,
} from '../support/postern.ts'

const role = 'acme_orders_ro'
const token = randomBytes(32).toString('hex')
const stranger = randomBytes(32).toString('hex')
const { publicKey, privateKey } = generateKeyPairSync('x25519')
const passwords: string[] = []

let provider: DemoProvider
let backend: Recorder
let dir: string

/** A credentials file of one generation, as whoever rotates it would write it. */
const content = (generation: number): string => {
  const password = randomBytes(24).toString('base64url')
  passwords.push(password)
  const end = new Date(Date.now() + 3_600_000).toISOString()
  return JSON.stringify({ [role]: { username: `login_${generation}`, password, generation, 'not-after': end } })
}

interface Running {
  readonly postern: TestPostern
  /** Makes the next generation. */
  rotate(generation: number): Promise<void>
  stop(): Promise<void>
}

/** Postern with the file provider, one upstream of the given delivery, and both ways of fetching. */
const start = async (delivery: string): Promise<Running> => {
  const sections = {
    upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", delivery: ${delivery}${delivery === 'jwe' ? ', jwe-key-file: backend.jwk' : ''} } }`,
    assertion: 'assertion: { issuer: "https://postern.example.com", key-files: [audit.pem] }',
    credentials: `credentials:
  provider: file
  credentials-file: credentials.json
  endpoint: { listen: "unix:${dir}/credentials.sock", bearers: [{ token-file: token.secret, roles: [${role}] }, { token-file: other.secret, roles: [acme_other] }] }
  files: { dir: handed, roles: [${role}] }`,
  }
  const rule = `  - { allow: staff-do-all, why: Staff., who: staff, to: ANY /v1/**, then: { cassandra-role: ${role} } }`
  const configFile = await writeInstallation({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rule) },
    sections,
    files: {
      'credentials.json': content(1),
      'token.secret': token,
      'other.secret': stranger,
      'backend.jwk': JSON.stringify(publicKey.export({ format: 'jwk' })),
      'handed/.keep': '',
    },
  })
  const postern = await startFrom(configFile)
  if (!('app' in postern)) throw new Error(postern.map(finding => finding.message).join('\n'))
  return {
    postern,
    rotate: generation => writeFile(join(postern.dir, 'credentials.json'), content(generation)),
    stop: () => postern.stop(),
  }
}

/** What a backend does to get its login: a new delivery does not compile without a row here. */
type Get = (seen: Seen | undefined, postern: TestPostern) => Promise<Login | null>
const ways: Readonly<Record<(typeof deliveryKinds)[number], Get>> = {
  header: async seen => readHeaders(seen?.headers ?? {}),
  jwe: async (seen, postern) => {
    const jwks = new URL(`http://127.0.0.1:${postern.opsPort}/.well-known/jwks.json`)
    const unseal = createUnsealer({
      key: privateKey.export({ format: 'jwk' }),
      issuer: 'https://postern.example.com',
      audience: 'api',
      jwks,
    })
    return unseal(seen?.headers ?? {})
  },
  endpoint: async () => {
    const source = fromEndpoint({ address: { socketPath: `${dir}/credentials.sock` }, token, role })
    const login = await source.current()
    source.close()
    return login
  },
  file: async (_seen, postern) => {
    const source = fromFile(join(postern.dir, 'handed', `${role}.json`))
    const login = await source.current()
    source.close()
    return login
  },
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-deliveries-'))
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
  await rm(dir, { recursive: true })
})

describe.each(deliveryKinds)('delivery %s', kind => {
  let running: Running
  const ask = async (): Promise<{ readonly login: Login | null; readonly seen: Seen | undefined }> => {
    backend.seen.length = 0
    const { status } = await running.postern.call('/v1/orders', { token: await provider.token('ann') })
    expect(status).toBe(200)
    return { login: await ways[kind](backend.seen[0], running.postern), seen: backend.seen[0] }
  }
  beforeAll(async () => {
    running = await start(kind)
  })
  afterAll(() => running.stop())

  it('gives the backend the login of the role, and the next one when it has changed', async () => {
    await expect
      .poll(async () => (await ask()).login)
      .toMatchObject({ role, username: 'login_1', generation: 1, password: passwords.at(-1) })
    await running.rotate(2)
    await expect
      .poll(async () => (await ask()).login, { timeout: 10_000 })
      .toMatchObject({ username: 'login_2', generation: 2, password: passwords.at(-1) })
  })

  it('puts into a request what its kind says and nothing else, and the same bytes for one generation', async () => {
    const names = (seen: Seen | undefined) => Object.keys(seen?.headers ?? {}).filter(name => name.includes('cassandra'))
    const [one, two] = [(await ask()).seen, (await ask()).seen]
    expect(names(one)).toHaveLength({ header: 5, jwe: 1, endpoint: 0, file: 0 }[kind])
    for (const name of names(one)) expect(two?.headers[name]).toBe(one?.headers[name])
    if (kind !== 'header') for (const password of passwords) expect(JSON.stringify(one)).not.toContain(password)
  })

  it('leaves no password in log, audit or metrics', async () => {
    const metrics = await (await fetch(`http://127.0.0.1:${running.postern.opsPort}/metrics`)).text()
    const written = `${running.postern.log()}${JSON.stringify(running.postern.records())}${metrics}`
    for (const password of passwords) expect(written).not.toContain(password)
  })
})

describe('delivery jwe', () => {
  it('is believed by the backend it was sealed for, and only if Postern signed it for that backend', async () => {
    const running = await start('jwe')
    await running.postern.call('/v1/orders', { token: await provider.token('ann') })
    const { headers } = backend.seen.at(-1) as Seen
    const jwks = new URL(`http://127.0.0.1:${running.postern.opsPort}/.well-known/jwks.json`)
    const own = { key: privateKey.export({ format: 'jwk' }), issuer: 'https://postern.example.com', audience: 'api', jwks }
    expect(await createUnsealer(own)(headers)).toMatchObject({ role })
    await expect(createUnsealer({ ...own, audience: 'another' })(headers)).rejects.toThrow(/aud/)
    await expect(createUnsealer({ ...own, issuer: 'https://evil.example' })(headers)).rejects.toThrow(/iss/)
    await expect(createUnsealer({ ...own, jwks: { keys: [] } })(headers)).rejects.toThrow()
    const other = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
    await expect(createUnsealer({ ...own, key: other })(headers)).rejects.toThrow()
    await running.stop()
  })
})

describe('the endpoint', () => {
  let running: Running
  beforeAll(async () => {
    running = await start('endpoint')
  })
  afterAll(() => running.stop())

  const ask = (path = `/v1/cassandra-credentials/${role}`, over: Readonly<Record<string, string | null>> = {}, method = 'GET') =>
    new Promise<{ status: number; body: string; etag: string | undefined }>((resolve, reject) => {
      const wanted = { authorization: `Bearer ${token}`, 'x-postern-request': 'true', ...over }
      const headers = Object.fromEntries(Object.entries(wanted).filter((entry): entry is [string, string] => entry[1] !== null))
      const req = request({ socketPath: `${dir}/credentials.sock`, path, headers, method }, res => {
        let body = ''
        res.on('data', (chunk: Buffer) => {
          body += chunk.toString()
        })
        res.on('end', () => resolve({ status: res.statusCode ?? 0, body, etag: res.headers.etag }))
      })
      req.on('error', reject)
      req.end()
    })

  it('gives nothing without the header that no forged request carries, without a token, for another role, by another method', async () => {
    const refusals = [
      [undefined, { 'x-postern-request': null }, 403],
      [undefined, { 'x-postern-request': '1' }, 403],
      [undefined, { authorization: null }, 401],
      [undefined, { authorization: `Bearer ${'x'.repeat(64)}` }, 401],
      [undefined, { authorization: `Bearer ${stranger}` }, 403],
      ['/v1/cassandra-credentials/acme_other', {}, 403],
      ['/v1/cassandra-credentials/../acme_orders_ro', {}, 404],
      ['/v1/cassandra-credentials/__proto__', {}, 403],
      ['/', {}, 404],
    ] as const
    for (const [path, over, status] of refusals) {
      const reply = await ask(path, over)
      expect(reply.status, JSON.stringify([path, over])).toBe(status)
      for (const password of passwords) expect(reply.body).not.toContain(password)
    }
    expect((await ask(undefined, {}, 'POST')).status).toBe(405)
  })

  it('knows what the caller has by its ETag, and writes every hand-over down', async () => {
    const { status, etag } = await ask()
    expect(status).toBe(200)
    expect(await ask(undefined, { 'if-none-match': String(etag) })).toMatchObject({ status: 304, body: '' })
    await expect
      .poll(() =>
        running.postern
          .records()
          .filter(record => record['code'] === 'PST7043')
          .map(record => record['detail']),
      )
      .toContainEqual({ role, generation: 1, via: 'endpoint', to: 'token.secret' })
  })

  it('holds a waiting request until there is a later generation, and no more than sixteen of them', async () => {
    const waiting = Array.from({ length: 16 }, () => ask(`/v1/cassandra-credentials/${role}?wait=30s&after=1`))
    // The seventeenth is refused only once sixteen have arrived.
    await expect.poll(async () => (await ask(`/v1/cassandra-credentials/${role}?wait=1s&after=1`)).status, { timeout: 10_000 }).toBe(503)
    await running.rotate(2)
    for (const reply of await Promise.all(waiting)) expect(JSON.parse(reply.body)).toMatchObject({ generation: 2, username: 'login_2' })
  })

  it('on a port answers only to its own names, so that no web page can ask', async () => {
    const configFile = await writeInstallation({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      sections: {
        credentials: `credentials: { provider: file, credentials-file: credentials.json, endpoint: { listen: "127.0.0.1:39173", bearers: [{ token-file: token.secret, roles: [${role}] }] } }`,
      },
      files: { 'credentials.json': content(1), 'token.secret': token },
    })
    const postern = await startFrom(configFile)
    if (!('app' in postern)) throw new Error('it did not start')
    const at = (host: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const headers = { host, authorization: `Bearer ${token}`, 'x-postern-request': 'true' }
        request({ port: 39173, path: `/v1/cassandra-credentials/${role}`, headers }, res => {
          res.resume()
          resolve(res.statusCode ?? 0)
        })
          .on('error', reject)
          .end()
      })
    expect(await at('127.0.0.1:39173')).toBe(200)
    expect(await at('localhost:39173')).toBe(200)
    for (const host of ['evil.example:39173', '127.0.0.1', '127.0.0.1:80']) expect(await at(host)).toBe(403)
    await postern.stop()
  })

  it('takes over the name that a killed process left behind, and not one that is in use', async () => {
    const config = (path: string) =>
      writeInstallation({
        issuer: provider.issuer,
        upstreamPort: backend.port,
        sections: {
          credentials: `credentials: { provider: file, credentials-file: c.json, endpoint: { listen: "unix:${path}", bearers: [{ token-file: t.secret, roles: [${role}] }] } }`,
        },
        files: { 'c.json': content(1), 't.secret': token },
      })
    const left = join(dir, 'left.sock')
    const script = "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))"
    spawnSync(process.execPath, ['-e', script, left])
    expect((await stat(left)).isSocket()).toBe(true)
    const postern = await startFrom(await config(left))
    if (!('app' in postern)) throw new Error(postern.map(finding => finding.message).join('\n'))
    await postern.stop()
    const again = await startFrom(await config(`${dir}/credentials.sock`))
    expect(again).toMatchObject([{ code: 'C301', message: expect.stringMatching(/in use by another process/) }])
  })
})

describe('files', () => {
  it('are readable by the group and nobody else, replaced whole, and each writing is recorded', async () => {
    const running = await start('file')
    const file = join(running.postern.dir, 'handed', `${role}.json`)
    await expect.poll(async () => JSON.parse(await readFile(file, 'utf8').catch(() => '{}'))).toMatchObject({ generation: 1 })
    expect((await stat(file)).mode & 0o777).toBe(0o640)
    await running.rotate(2)
    await expect.poll(async () => JSON.parse(await readFile(file, 'utf8')), { timeout: 10_000 }).toMatchObject({ generation: 2 })
    expect((await readdir(join(running.postern.dir, 'handed'))).sort()).toEqual(['.keep', `${role}.json`])
    await expect.poll(() => running.postern.records().filter(record => record['code'] === 'PST7043')).toHaveLength(2)
    await running.stop()
  })

  it('a folder that is not there, and one that cannot be written to, are told', async () => {
    const config = (name: string) =>
      writeInstallation({
        issuer: provider.issuer,
        upstreamPort: backend.port,
        sections: { credentials: `credentials: { provider: file, credentials-file: c.json, files: { dir: ${name}, roles: [${role}] } }` },
        files: { 'c.json': content(1) },
      })
    expect(await startFrom(await config('nowhere'))).toMatchObject([
      { code: 'C301', message: expect.stringMatching(/nowhere cannot be used \(ENOENT\)/) },
    ])
    const file = await config('sealed')
    await mkdir(join(file, '..', 'sealed'))
    await chmod(join(file, '..', 'sealed'), 0o500)
    if (process.getuid?.() === 0)
      await rm(join(file, '..', 'sealed'), { recursive: true }).then(() => writeFile(join(file, '..', 'sealed'), ''))
    const postern = await startFrom(file)
    if (!('app' in postern)) throw new Error('it did not start')
    await expect.poll(() => postern.log()).toMatch(/could not be handed over/)
    await turn()
    await postern.stop()
  })
})
