import { readFile, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { writeKeyPair } from '../../src/record/keys.ts'
import {
  type Recorder,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  tenantPolicy,
  writeInstallation,
} from '../support/postern.ts'

const staff = { tenant: 'acme', groups: ['staff'] }
const users = {
  ann: {
    claims: { ...staff, email: 'ann@acme.example', 'https://acme.example/teams': ['a,b', 'café "1%"'], access: { roles: [1, true, 'x'] } },
  },
  bob: { claims: staff },
  odd: { claims: { ...staff, email: { value: 'odd' } } },
  big: { claims: { ...staff, email: `${'b'.repeat(5000)}@acme.example` } },
  bot: { claims: { ...staff, act: { sub: 'agent-1', act: { sub: 'agent-2' } } } },
}

const upstreams = (port: number): string => `upstreams:
  api:
    url: http://127.0.0.1:${port}
    assertion: orders.internal
    identity-headers: { x-user-email: email, x-user-teams: "https://acme.example/teams", remote-roles: /access/roles }
`
const assertion = 'assertion: { issuer: "https://postern.example.com", key-files: [assertion-1.pem, assertion-2.pem], lifetime: 30s }'

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
const keys: Record<string, string> = {}

beforeAll(async () => {
  provider = await startProvider({ port: 0, users })
  backend = await startRecorder()
  for (const name of ['assertion-1.pem', 'assertion-2.pem']) {
    const pair = await writeKeyPair(join(tmpdir(), `postern-${process.pid}-${name}`))
    keys[name] = await readFile(pair.privateFile, 'utf8')
    await Promise.all([rm(pair.privateFile), rm(pair.publicFile)])
  }
  const agents = `  - { allow: staff-do-all, why: Staff., who: [staff, agents], to: ANY /v1/** }`
  const policy = tenantPolicy('acme', provider.issuer, agents).replace('who: { staff', 'who: { agents: { agent: any, max-hops: 3 }, staff')
  postern = await startPostern({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': policy },
    sections: { upstreams: upstreams(backend.port), assertion },
    files: keys,
  })
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const call = async (user: string, headers: Readonly<Record<string, string>> = {}) => {
  const { status } = await postern.call('/v1/things', { token: await provider.token(user), headers })
  return { status, told: backend.seen[0]?.headers ?? {} }
}

const jwks = (): Promise<Parameters<typeof createLocalJWKSet>[0]> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: postern.opsPort, path: '/.well-known/jwks.json' }, res => {
      let body = ''
      res.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      res.on('end', () => resolve(JSON.parse(body)))
    }).on('error', reject)
  })

describe('identity headers', () => {
  it('carry claims, lists item by item, with everything that could be read twice percent-encoded', async () => {
    expect((await call('ann')).told).toMatchObject({
      'x-user-email': 'ann@acme.example',
      'x-user-teams': 'a%2Cb,caf%C3%A9%20%221%25%22',
      'remote-roles': '1,true,x',
    })
  })

  it('T14: what the client sent under such a name never passes, least of all where the claim is absent', async () => {
    const forged = { 'X-User-Email': 'root@acme.example', 'Remote-Roles': 'admin', x_user_email: 'root' }
    const { status, told } = await call('bob', forged)
    expect(status).toBe(200)
    expect(Object.keys(told).filter(name => /user.email|roles|teams/.test(name))).toEqual([])
    backend.seen.length = 0
    expect((await call('ann', forged)).told).toMatchObject({ 'x-user-email': 'ann@acme.example', 'remote-roles': '1,true,x' })
  })

  it('a claim that no field can carry refuses the request: the backend would take the caller for somebody with less', async () => {
    for (const user of ['odd', 'big']) expect((await call(user)).status).toBe(503)
    expect(backend.seen).toHaveLength(0)
    await expect.poll(() => postern.records().filter(record => record['code'] === 'PST4101')).toHaveLength(2)
  })
})

describe('the assertion', () => {
  it('verifies against the keys of the ops listener, and says who, for which tenant, through whom, and for how long', async () => {
    const { told } = await call('bot', { 'x-postern-assertion': 'forged' })
    const { payload, protectedHeader } = await jwtVerify(String(told['x-postern-assertion']), createLocalJWKSet(await jwks()), {
      issuer: 'https://postern.example.com',
      audience: 'orders.internal',
      typ: 'postern-assertion+jwt',
    })
    expect(protectedHeader.alg).toBe('EdDSA')
    expect(payload).toMatchObject({
      sub: 'bot',
      token_iss: provider.issuer,
      tenant: 'acme',
      act: { sub: 'agent-1', act: { sub: 'agent-2' } },
    })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(30)
  })

  it('is one for a caller, for as long as it is fresh', async () => {
    const token = await provider.token('ann')
    for (let i = 0; i < 3; i++) await postern.call('/v1/things', { token })
    expect(new Set(backend.seen.map(seen => seen.headers['x-postern-assertion'])).size).toBe(1)
  })

  it('T28: is no token for Postern itself', async () => {
    const { told } = await call('ann')
    const reply = await postern.call('/v1/things', { token: String(told['x-postern-assertion']) })
    expect(reply.status).toBe(401)
    await expect.poll(() => postern.records().some(record => record['code'] === 'PST3003')).toBe(true)
  })

  it('changes its key in two steps without a moment in which a backend lacks it', async () => {
    const before = await jwks()
    const kid = async () => decodeProtectedHeader(String((await call('ann')).told['x-postern-assertion'])).kid
    const first = await kid()
    expect(before.keys.map(key => key.kid)).toContain(first)
    const file = join(postern.dir, 'proxy.config.yaml')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('[assertion-1.pem, assertion-2.pem]', '[assertion-2.pem]'))
    await postern.app.reload({ by: 'control', withoutTests: false, why: '' })
    backend.seen.length = 0
    const second = await kid()
    expect(second).not.toBe(first)
    expect(before.keys.map(key => key.kid)).toContain(second)
    expect((await jwks()).keys.map(key => key.kid)).toEqual([second])
  })
})

describe('a configuration that would vouch wrongly does not load', () => {
  const refused = async (sections: Readonly<Record<string, string>>, files: Readonly<Record<string, string>> = keys) => {
    const started = await startFrom(await writeInstallation({ issuer: provider.issuer, upstreamPort: backend.port, sections, files }))
    return 'app' in started ? [] : started.map(({ code, message }) => `${code} ${message}`)
  }

  it('an assertion without the section, one in the name of a provider, a key that is none', async () => {
    expect(await refused({ upstreams: upstreams(backend.port) })).toEqual([expect.stringMatching(/^C202 .*needs the section assertion/)])
    expect(await refused({ assertion: `assertion: { issuer: "https://p.example", key-files: [audit.pub.pem] }` })).toEqual([
      expect.stringMatching(/^C204 audit.pub.pem is not an Ed25519 private key/),
    ])
    const provided = 'issuers: [{ issuer: "https://p.example", audiences: [postern-demo] }]'
    expect(
      await refused({ issuers: provided, assertion: `assertion: { issuer: "https://p.example", key-files: [assertion-1.pem] }` }),
    ).toEqual([expect.stringMatching(/^C204 .*is a provider/)])
  })

  it('a header of somebody else', async () => {
    for (const name of ['authorization', 'x-forwarded-for', 'x-postern-tenant', 'X-User', 'x_user', 'x-http-method-override'])
      expect(
        await refused({ upstreams: `upstreams: { api: { url: "http://127.0.0.1:1", identity-headers: { ${name}: email } } }` }),
        name,
      ).toEqual([expect.stringMatching(/^C204 /)])
  })
})
