import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../cmd/main.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { systemClock } from '../../src/deps.ts'
import { loadConfig } from '../../src/load.ts'
import { loadPolicies } from '../../src/reload.ts'
import { createSnapshot } from '../../src/snapshot.ts'
import { printed, spellings } from '../support/leaks.ts'
import { type Recorder, startFrom, startRecorder, type TestPostern, tenantPolicy, writeInstallation } from '../support/postern.ts'

const role = 'acme_orders_ro'
const password = randomBytes(32).toString('base64url')
const gateway = randomBytes(32).toString('hex')
const bearer = randomBytes(32).toString('hex')
const vault = randomBytes(32).toString('hex')
const manager = randomBytes(24).toString('base64url')
const { privateKey } = generateKeyPairSync('ed25519')

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
let token: string
const bodies: string[] = []

const secrets = (): Record<string, string[]> => ({
  password: spellings(Buffer.from(password)),
  'secret of the gateway': spellings(Buffer.from(gateway)),
  'bearer of the endpoint': spellings(Buffer.from(bearer)),
  'key of the vault': [...spellings(Buffer.from(vault)), ...spellings(Buffer.from(vault, 'hex'))],
  'password of the manager': spellings(Buffer.from(manager)),
  'private key of assertions': spellings(Buffer.from(String(privateKey.export({ format: 'jwk' }).d), 'base64url')),
  'token of the caller': [token, token.split('.')[2] ?? ''],
})

const shows = (text: string): string[] =>
  Object.entries(secrets()).flatMap(([name, ways]) => (ways.some(way => text.includes(way)) ? name : []))

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  const rule = `  - { allow: orders, why: Staff., who: staff, to: ANY /v1/**, then: { cassandra-role: ${role} } }`
  const started = await startFrom(
    await writeInstallation({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      policies: { 'acme.policy.yaml': tenantPolicy('acme', provider.issuer, rule) },
      sections: {
        upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", delivery: header, assertion: api } }`,
        assertion: 'assertion: { issuer: "https://postern.example.com", key-files: [assertion.pem] }',
        cassandra:
          'cassandra: { contact-points: ["127.0.0.1:1"], local-data-center: dc1, username-file: manager.username, password-file: manager.password, key-files: [vault.key] }',
        credentials: `credentials: { provider: file, credentials-file: credentials.json, endpoint: { listen: "127.0.0.1:0", bearers: [{ token-file: bearer.secret, roles: [${role}] }] } }`,
      },
      files: {
        'gateway.secret': gateway,
        'bearer.secret': bearer,
        'vault.key': vault,
        'manager.username': 'manager',
        'manager.password': manager,
        'assertion.pem': String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
        'credentials.json': JSON.stringify({ [role]: { username: 'login', password } }),
      },
    }),
  )
  if (!('app' in started)) throw new Error(started.map(finding => finding.message).join('\n'))
  postern = started
  token = await provider.token('ann')
  // Something of everything that can happen: served, refused at every gate, broken, and answered with what was asked.
  for (const call of [
    { token },
    { token, proof: `${gateway.slice(0, -1)}x` },
    { token, proof: null },
    { token: `${token.slice(0, -4)}AAAA` },
    { token, host: 'globex.test' },
    { token, headers: { 'x-postern-cassandra-password': password } },
    { token, method: 'TRACE' },
  ]) {
    const { body, headers } = await postern.call('/v1/orders?a=1', { proof: gateway, ...call })
    bodies.push(body, JSON.stringify(headers))
  }
  backend.answer = (_req, res) => res.destroy()
  bodies.push((await postern.call('/v1/orders', { token, proof: gateway })).body)
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})

describe('no live secret stands in', () => {
  it('what is sent to clients', () => expect(shows(bodies.join('\n'))).toEqual([]))

  it('the log', () => {
    expect(postern.log().length).toBeGreaterThan(500)
    expect(shows(postern.log())).toEqual([])
  })

  it('the audit, on disk and on stdout', async () => {
    await expect.poll(() => postern.records().length).toBeGreaterThan(7)
    const files = await readdir(join(postern.dir, 'audit'), { recursive: true, withFileTypes: true })
    const texts = await Promise.all(files.filter(file => file.isFile()).map(file => readFile(join(file.parentPath, file.name), 'latin1')))
    expect(shows(texts.join('\n') + JSON.stringify(postern.records()))).toEqual([])
  })

  it('metrics, readiness, status and published keys', async () => {
    const pages = await Promise.all(
      ['/metrics', '/readyz', '/.well-known/jwks.json'].map(async path =>
        (await fetch(`http://127.0.0.1:${postern.opsPort}${path}`)).text(),
      ),
    )
    expect(shows(pages.join('\n') + JSON.stringify(postern.app.status()))).toEqual([])
  })

  it('postern config show', async () => {
    const out: string[] = []
    const io = { out: (text: string) => out.push(text), err: (text: string) => out.push(text) }
    await main(['config', 'show', '--config', join(postern.dir, 'proxy.config.yaml')], io)
    await main(['config', 'show', '--json', '--config', join(postern.dir, 'proxy.config.yaml')], io)
    expect(out.join('').length).toBeGreaterThan(500)
    expect(shows(out.join(''))).toEqual([])
  })

  it('the running process, printed to any depth, with what it was started from', async () => {
    const loaded = await loadConfig(join(postern.dir, 'proxy.config.yaml'))
    if (!('config' in loaded)) throw new Error('it did not load')
    const policies = await loadPolicies(loaded, null, { withoutTests: false, clock: systemClock })
    if (policies.composition === null) throw new Error('no policies')
    const snapshot = createSnapshot(loaded, policies.composition.engine, null)
    for (const held of [postern.app, loaded, snapshot, policies]) {
      const text = printed(held)
      expect(text.length).toBeGreaterThan(5)
      expect(shows(text)).toEqual([])
    }
  })
})
