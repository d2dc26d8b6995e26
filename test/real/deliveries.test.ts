import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { localCluster } from '../../deploy/demo/backend.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { createUnsealer, fromEndpoint, fromFile, type Login, readHeaders } from '../../src/backend/index.ts'
import { sharedCassandra, type Tenants, tenants } from '../support/cassandra.ts'
import { startFrom, type TestPostern, tenantPolicy, writeInstallation } from '../support/postern.ts'
import { type QueryingBackend, startQuerying } from '../support/querying-backend.ts'

const node = await sharedCassandra()
const rotations = Number(process.env['ROTATIONS'] ?? 3)

const kinds = ['header', 'jwe', 'endpoint', 'file'] as const
type Kind = (typeof kinds)[number]

describe.skipIf(node === null)(`backends that do a query for each request, through ${rotations} rotations`, () => {
  const issuer = 'https://postern.example.com'
  const bearer = randomBytes(32).toString('hex')
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  const closers: (() => Promise<void> | void)[] = []
  let cluster: Tenants
  let provider: DemoProvider
  let postern: TestPostern
  let tenant: string
  let token: string

  /** How each kind of backend gets at its login. What Postern has to be asked for is asked when the first request comes. */
  const logins = (
    role: string,
    folder: string,
  ): Readonly<Record<Kind, (headers: NodeJS.Dict<string | string[]>) => Promise<Login | null>>> => {
    const once = <T>(make: () => T): (() => T) => {
      let made: T | undefined
      return () => (made ??= make())
    }
    const jwks = (): URL => new URL(`http://127.0.0.1:${postern.opsPort}/.well-known/jwks.json`)
    const unseal = once(() => createUnsealer({ key: privateKey.export({ format: 'jwk' }), issuer, audience: 'jwe', jwks: jwks() }))
    const endpoint = once(() => {
      const source = fromEndpoint({ address: { socketPath: join(folder, 'credentials.sock') }, token: bearer, role })
      closers.push(() => source.close())
      return source
    })
    const file = once(() => {
      const source = fromFile(join(folder, `${role}.json`))
      closers.push(() => source.close())
      return source
    })
    return {
      header: async headers => readHeaders(headers),
      jwe: headers => unseal()(headers),
      endpoint: () => endpoint().current(),
      file: () => file().current(),
    }
  }

  beforeAll(async () => {
    cluster = await tenants(node!, 'deliver')
    tenant = cluster.name('acme')
    provider = await startProvider({ port: 0, users: { ann: { claims: { tenant, groups: ['staff'] } } } })
    token = await provider.token('ann')
    const role = cluster.name('acme_finance_ro')
    const folder = await mkdtemp(join(tmpdir(), 'postern-handed-'))
    closers.push(() => rm(folder, { recursive: true, force: true }))
    const own = logins(role, folder)
    const cql = `SELECT id FROM ${tenant}.invoices WHERE year = 2026`
    const backends = {} as Record<Kind, QueryingBackend>
    for (const kind of kinds) {
      backends[kind] = await startQuerying({ cluster: localCluster(node!), cql, login: ({ headers }) => own[kind](headers) })
      closers.push(() => backends[kind].close())
    }
    const upstream = (kind: Kind): string =>
      `${kind}: { url: "http://127.0.0.1:${backends[kind].port}", delivery: ${kind}${kind === 'jwe' ? ', jwe-key-file: backend.jwk' : ''} }`
    const started = await startFrom(
      await writeInstallation({
        issuer: provider.issuer,
        upstreamPort: 1,
        policies: {
          [`${tenant}.policy.yaml`]: tenantPolicy(
            tenant,
            provider.issuer,
            `  - { allow: staff, why: Staff., who: staff, to: GET /v1/**, then: { cassandra-role: ${role} } }`,
          ),
        },
        sections: {
          upstreams: `upstreams: { ${kinds.map(upstream).join(', ')} }`,
          routes: `routes: [${kinds.map(kind => `{ name: ${kind}, host: ${tenant}.test, prefix: /v1/${kind}, upstream: ${kind} }`).join(', ')}]`,
          assertion: `assertion: { issuer: "${issuer}", key-files: [audit.pem] }`,
          cassandra: `cassandra: { contact-points: ["${node!.contactPoint}:${node!.port}"], local-data-center: ${node!.localDataCenter}, username-file: manager.username, password-file: manager.password, key-files: [vault.key] }`,
          credentials: `credentials:
  provider: cassandra
  rotate-every: 3s
  overlap: 2s
  endpoint: { listen: "unix:${folder}/credentials.sock", bearers: [{ token-file: bearer.secret, roles: [${role}] }] }
  files: { dir: "${folder}", roles: [${role}] }`,
        },
        files: {
          'manager.username': cluster.login.username,
          'manager.password': cluster.login.password.open(),
          'vault.key': randomBytes(32).toString('hex'),
          'bearer.secret': bearer,
          'backend.jwk': JSON.stringify(publicKey.export({ format: 'jwk' })),
        },
      }),
    )
    if (!('app' in started)) throw new Error(JSON.stringify(started))
    postern = started
    await vi.waitUntil(async () => (await read('header')).status === 200, { timeout: 30_000, interval: 100 })
  })
  afterAll(async () => {
    for (const close of closers.reverse()) await close()
    await postern?.stop()
    await provider?.stop()
  })

  const read = (kind: Kind) => postern.call(`/v1/${kind}`, { token, host: `${tenant}.test` })

  it(
    'never see a failure, however the login reaches them',
    async () => {
      const failed: string[] = []
      const seen = new Map(kinds.map(kind => [kind, { requests: 0, generations: new Set<number>() }]))
      let done = false
      const worker = async (kind: Kind): Promise<void> => {
        while (!done) {
          const { status, body } = await read(kind).catch(error => ({ status: 0, body: String(error) }))
          const counted = seen.get(kind)!
          counted.requests += 1
          if (status !== 200) failed.push(`${kind}: ${status} ${body}`)
          else counted.generations.add(Number(body))
          if (failed.length > 20) return
        }
      }
      const load = kinds.flatMap(kind => [worker(kind), worker(kind)])
      const isThrough = (): boolean => failed.length > 0 || [...seen.values()].every(({ generations }) => generations.size > rotations)
      await expect.poll(isThrough, { timeout: rotations * 5_000 + 20_000, interval: 100 }).toBe(true)
      done = true
      await Promise.all(load)
      for (const [kind, { requests, generations }] of seen)
        process.stderr.write(
          `deliveries: ${kind}, ${requests} requests, ${generations.size - 1} rotations seen, ${failed.length} failures\n`,
        )
      expect(failed).toEqual([])
    },
    rotations * 5_000 + 40_000,
  )
})
