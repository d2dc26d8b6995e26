import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { Agent, type RequestOptions, request } from 'node:https'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { pinOf } from '../../src/edge/peer-certificate.ts'
import { expiredGateway, gateway, gatewayCa, nextGateway, type TestGateway, vouchedGateway } from '../support/gateway-tls.ts'
import {
  gatewaySecret,
  type Recorder,
  sendRaw,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  writeInstallation,
} from '../support/postern.ts'
import { testCa, testCertificate, testCertificateKey } from '../support/tls.ts'

let provider: DemoProvider
let backend: Recorder
let ann: string

beforeAll(async () => {
  const claims = { tenant: 'acme', groups: ['staff'] }
  const digest = createHash('sha256').update(new X509Certificate(gateway.cert).raw).digest('base64url')
  provider = await startProvider({ port: 0, users: { ann: { claims }, bound: { claims: { ...claims, cnf: { 'x5t#S256': digest } } } } })
  backend = await startRecorder()
  ann = await provider.token('ann')
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const pin = ({ cert }: TestGateway): string => pinOf(new X509Certificate(cert))
const files = {
  'tls/server.pem': testCertificate,
  'tls/server.key': testCertificateKey,
  'tls/clients.pem': gatewayCa,
}
const tls = (more = ''): string =>
  `listen: { proxy: "127.0.0.1:0", ops: "127.0.0.1:0", tls: { cert-file: tls/server.pem, key-file: tls/server.key${more} } }`
const pinned = (...pins: readonly string[]): Record<string, string> => ({
  listen: tls(),
  gateway: `gateway: { proof: [client-certificate], client-certificate-pins: ["${pins.join('", "')}"] }`,
})
const vouched = {
  listen: tls(', client-ca-file: tls/clients.pem'),
  gateway: 'gateway: { proof: [client-certificate] }',
}
const start = async (sections: Readonly<Record<string, string>>): Promise<TestPostern> => {
  const postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port, sections, files })
  onTestFinished(() => postern.stop())
  return postern
}
const findings = async (sections: Readonly<Record<string, string>>, more: Readonly<Record<string, string>> = {}): Promise<string> => {
  const options = { issuer: provider.issuer, upstreamPort: backend.port, sections, files: { ...files, ...more } }
  const started = await startFrom(await writeInstallation(options))
  if ('app' in started) {
    await started.stop()
    return 'started'
  }
  return started.map(({ code, message }) => `${code} ${message}`).join('\n')
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly headers: Readonly<Record<string, unknown>>
}

/** As the gateway calls over TLS, with a certificate or without. */
const call = (postern: TestPostern, shown: TestGateway | null, options: RequestOptions = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${ann}`, 'x-postern-host': 'acme.test', ...options.headers }
    const certificate = shown === null ? {} : { cert: shown.cert, key: shown.key }
    const target = { host: 'localhost', port: postern.port, path: '/v1/x', ca: testCa, agent: false as const, ...certificate }
    const req = request({ ...target, ...options, headers }, res => {
      let body = ''
      res.setEncoding('utf8')
      res.on('data', (chunk: string) => {
        body += chunk
      })
      res.on('end', () => resolve({ status: res.statusCode ?? 0, body, headers: res.headers }))
    })
    req.on('error', reject)
    req.end()
  })
const lastCode = (postern: TestPostern): unknown => postern.records().at(-1)?.['code']
const metrics = async (postern: TestPostern): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)
  return response.text()
}

describe('T31: only who holds the certificate of the gateway is let in', () => {
  it('by pin: the one, and no other with the same name, nor none; each is a code, a metric and a record', async () => {
    const postern = await start(pinned(pin(gateway)))
    expect((await call(postern, gateway)).status).toBe(200)
    await expect.poll(() => postern.records().at(-1)).toMatchObject({ gateway: { proof: ['client-certificate'] }, code: 'PST2001' })
    expect((await call(postern, nextGateway)).status).toBe(403)
    await expect.poll(() => lastCode(postern)).toBe('PST1105')
    expect(postern.records().at(-1)).toMatchObject({ gateway: { proof: [] }, caller: { subject: null } })
    expect((await call(postern, null)).status).toBe(403)
    await expect.poll(() => lastCode(postern)).toBe('PST1104')
    expect(backend.seen).toHaveLength(1)
    const text = await metrics(postern)
    for (const result of ['passed', 'wrong', 'missing'])
      expect(text).toContain(`postern_gateway_proof_total{proof="client-certificate",result="${result}"} 1`)
    const ends = new X509Certificate(gateway.cert).validToDate.getTime() / 1000
    expect(text).toContain(`postern_gateway_certificate_expiry_timestamp_seconds{pin="${pin(gateway)}"} ${ends}`)
    expect(text).not.toContain(pin(nextGateway))
  })

  it('not with one whose time is over, though its key is the pinned one', async () => {
    const postern = await start(pinned(pin(gateway)))
    expect((await call(postern, expiredGateway)).status).toBe(403)
    await expect
      .poll(() => postern.records().at(-1))
      .toMatchObject({ code: 'PST1105', decision: { reason: expect.stringContaining('expired') } })
  })

  it('by authority: with the intermediate that the gateway sends, and not self-signed', async () => {
    const postern = await start(vouched)
    expect((await call(postern, vouchedGateway)).status).toBe(200)
    expect((await call(postern, gateway)).status).toBe(403)
  })

  it('by both, where both are written', async () => {
    const both = { ...vouched, gateway: `gateway: { proof: [client-certificate], client-certificate-pins: ["${pin(gateway)}"] }` }
    const postern = await start(both)
    expect((await call(postern, vouchedGateway)).status).toBe(403)
    expect((await call(postern, gateway)).status).toBe(403)
    expect(backend.seen).toEqual([])
  })

  it('and every proof listed must pass: certificate, address and secret', async () => {
    const all = (ranges: string) => ({
      listen: tls(),
      gateway: `gateway: { proof: [shared-secret, source-range, client-certificate], secret-files: [gateway.secret],
        client-certificate-pins: ["${pin(gateway)}"], source-ranges: [${ranges}] }`,
    })
    const postern = await start(all('127.0.0.0/8, "::1"'))
    const secret = { 'x-postern-gateway-proof': gatewaySecret }
    expect((await call(postern, gateway, { headers: secret })).status).toBe(200)
    await expect
      .poll(() => postern.records().at(-1))
      .toMatchObject({ gateway: { proof: ['shared-secret', 'source-range', 'client-certificate'] } })
    expect((await call(postern, gateway)).status).toBe(403)
    await expect.poll(() => lastCode(postern)).toBe('PST1101')
    expect((await call(postern, null, { headers: secret })).status).toBe(403)
    const elsewhere = await start(all('10.0.0.0/24'))
    expect((await call(elsewhere, gateway, { headers: secret })).status).toBe(403)
    await expect.poll(() => lastCode(elsewhere)).toBe('PST1106')
    expect(backend.seen).toHaveLength(1)
  })

  it('and a WebSocket is proved like everything else', async () => {
    const postern = await start(pinned(pin(gateway)))
    const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': 'a'.repeat(22), 'sec-websocket-version': '13' }
    expect((await call(postern, nextGateway, { headers: upgrade })).status).toBe(403)
    expect(backend.seen).toEqual([])
  })
})

describe('the certificate of the gateway is not its client', () => {
  it('a token that is bound to the certificate of the gateway finds no proof in the connection, and one that is mapped counts', async () => {
    const both = `gateway: { proof: [client-certificate], client-certificate-pins: ["${pin(gateway)}"], caller-certificate: header }`
    const postern = await start({ listen: tls(), gateway: both })
    const authorization = `Bearer ${await provider.token('bound')}`
    expect((await call(postern, gateway, { headers: { authorization } })).status).toBe(401)
    await expect.poll(() => lastCode(postern)).toBe('PST3012')
    const mapped = { authorization, 'x-postern-client-cert': encodeURIComponent(gateway.cert) }
    expect((await call(postern, gateway, { headers: mapped })).status).toBe(200)
    expect(backend.seen[0]?.rawHeaders.join().toLowerCase()).not.toContain('cert')
  })
})

describe('TLS of the listener', () => {
  const handshake = (postern: TestPostern, options: object): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: 'localhost', port: postern.port, ca: testCa, ...options }, () => resolve(socket))
      socket.on('error', reject)
      onTestFinished(() => void socket.destroy())
    })

  it('speaks HTTP/1.1 and nothing else, TLS 1.2 and newer, and resumes no session', async () => {
    const postern = await start(pinned(pin(gateway)))
    expect((await handshake(postern, { ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol).toBe('http/1.1')
    await expect(handshake(postern, { ALPNProtocols: ['h2'] })).rejects.toThrow(/alert no application protocol/i)
    await expect.poll(() => lastCode(postern)).toBe('PST1107')
    await expect(handshake(postern, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' })).rejects.toThrow()
    const reused: boolean[] = []
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const first = await handshake(postern, { minVersion: version, maxVersion: version, cert: gateway.cert, key: gateway.key })
      // TLS 1.3 gives a session only behind the handshake: before an answer there is none that could be resumed.
      first.write('GET /v1/x HTTP/1.1\r\nhost: acme.test\r\n\r\n')
      await once(first, 'data')
      const session = first.getSession()
      const second = await handshake(postern, { minVersion: version, maxVersion: version, session })
      reused.push(second.isSessionReused())
    }
    expect(reused).toEqual([false, false])
  })

  it('plain HTTP on it is refused and recorded; a look whether the port is open is not', async () => {
    const postern = await start(pinned(pin(gateway)))
    await sendRaw(postern.port, 'GET /v1/x HTTP/1.1\r\nhost: a\r\n\r\n')
    await expect.poll(() => postern.records().filter(record => record['code'] === 'PST1107')).toHaveLength(1)
  })

  it('shows a renewed certificate from the next connection on, without a restart or a refused request', async () => {
    const postern = await start(pinned(pin(gateway)))
    const shown = async (): Promise<string> => {
      const socket = await handshake(postern, { rejectUnauthorized: false })
      return socket.getPeerX509Certificate()?.subject ?? ''
    }
    expect(await shown()).toBe('CN=localhost')
    await writeFile(join(postern.dir, 'tls/next.key'), nextGateway.key)
    await writeFile(join(postern.dir, 'tls/next.pem'), nextGateway.cert)
    await rename(join(postern.dir, 'tls/next.key'), join(postern.dir, 'tls/server.key'))
    const broken = await postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    expect(broken).toMatchObject({ refused: true })
    expect(await shown()).toBe('CN=localhost')
    await rename(join(postern.dir, 'tls/next.pem'), join(postern.dir, 'tls/server.pem'))
    await expect.poll(shown, { timeout: 5000 }).toBe('CN=ApiGateway')
  })

  it('a pin that is taken away ends what it let in on the same connection, and two hold during a rotation', async () => {
    const postern = await start(pinned(pin(gateway), pin(nextGateway)))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    expect((await call(postern, gateway, { agent })).status).toBe(200)
    expect((await call(postern, nextGateway)).status).toBe(200)
    const file = join(postern.dir, 'proxy.config.yaml')
    const config = await readFile(file, 'utf8')
    await writeFile(file, config.replace(`"${pin(gateway)}", `, ''))
    const result = await postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    expect(result).toMatchObject({ changed: true, restart: [] })
    expect((await call(postern, gateway, { agent })).status).toBe(403)
    expect((await call(postern, nextGateway)).status).toBe(200)
  })

  it('another authority holds for what was verified under the old one, too', async () => {
    const postern = await start(vouched)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    expect((await call(postern, vouchedGateway, { agent })).status).toBe(200)
    await writeFile(join(postern.dir, 'tls/clients.pem'), testCa)
    await postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    // Over the connection that is open since; then the gateway is told to open another.
    expect(await call(postern, vouchedGateway, { agent })).toMatchObject({ status: 403, headers: { connection: 'close' } })
    expect((await call(postern, vouchedGateway)).status).toBe(403)
    await writeFile(join(postern.dir, 'tls/clients.pem'), gatewayCa + testCa)
    await postern.app.reload({ by: 'test', withoutTests: false, why: '' })
    expect((await call(postern, vouchedGateway)).status).toBe(200)
  })
})

describe('T12 and T34: a configuration that would trust everybody, or whom it does not check, does not start', () => {
  const ranges = (list: string) => ({ gateway: `gateway: { proof: [source-range], source-ranges: [${list}] }` })
  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['everybody', ranges('0.0.0.0/0'), /C204 0\.0\.0\.0\/0 holds addresses that no gateway connects from/],
    ['everybody over IPv6', ranges('"::/0"'), /C204 ::\/0 holds/],
    ['everybody in mapped spelling', ranges('"::ffff:0:0/96"'), /C204 ::ffff:0:0\/96 holds/],
    ['everybody in two halves', ranges('0.0.0.0/1, 128.0.0.0/1'), /C204 0\.0\.0\.0\/1 holds/],
    ['no range', { gateway: 'gateway: { proof: [source-range] }' }, /C202 source-range needs source-ranges/],
    [
      'ranges without the proof',
      { gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret], source-ranges: [10.0.0.0/8] }' },
      /C204 the ranges are not looked at/,
    ],
    [
      'ranges on a UNIX socket',
      { ...ranges('10.0.0.0/8'), listen: 'listen: { proxy: "unix:/tmp/none.sock", ops: "127.0.0.1:0" }' },
      /C204 a UNIX socket has no source address/,
    ],
    [
      'a certificate without TLS',
      { gateway: `gateway: { proof: [client-certificate], client-certificate-pins: ["${'A'.repeat(43)}="] }` },
      /C202 client-certificate needs listen\.tls/,
    ],
    [
      'a certificate of anybody',
      { listen: tls(), gateway: 'gateway: { proof: [client-certificate] }' },
      /C202 client-certificate needs client-certificate-pins/,
    ],
    [
      'pins without the proof',
      {
        listen: tls(),
        gateway: `gateway: { proof: [shared-secret], secret-files: [gateway.secret], client-certificate-pins: ["${'A'.repeat(43)}="] }`,
      },
      /C204 pins are not looked at/,
    ],
    ['no pin at all', pinned('sha256/abc'), /C204 "sha256\/abc" is not a pin/],
    [
      'secrets without the proof',
      { gateway: 'gateway: { proof: [source-range], source-ranges: [10.0.0.0/8], secret-files: [gateway.secret] }' },
      /C204 the secrets are not looked at/,
    ],
    [
      'a proof twice',
      { gateway: 'gateway: { proof: [shared-secret, shared-secret], secret-files: [gateway.secret] }' },
      /C205 a proof stands twice/,
    ],
    ['no proof', { gateway: 'gateway: { proof: [] }' }, /proof/],
  ])('%s', async (_, sections, message) => {
    expect(await findings(sections)).toMatch(message)
  })

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['a missing certificate', { 'tls/server.pem': '' }, /C204 .*server\.pem is empty/],
    [
      'no certificate',
      { 'tls/server.pem': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
      /C204 the PEM certificate cannot be read/,
    ],
    ['no key', { 'tls/server.key': 'secret words' }, /^C204 holds no private key/m],
    ["another's key", { 'tls/server.key': gateway.key }, /C204 this is not the key/],
    [
      'no authority',
      { 'tls/clients.pem': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
      /C204 a certificate in it cannot be read/,
    ],
  ])('%s', async (_, more, message) => {
    const said = await findings(vouched, more)
    expect(said).toMatch(message)
    expect(said).not.toContain('secret words')
  })
})

describe('T16: the address of the client is read strictly, and only behind the proof', () => {
  const from = (field: string, hops: number) => ({
    gateway: `gateway: { proof: [shared-secret], secret-files: [gateway.secret], client-ip: { from: ${field}, hops: ${hops} } }`,
  })
  const seen = async (postern: TestPostern, headers: Readonly<Record<string, string>>): Promise<unknown> => {
    const { status } = await postern.call('/v1/x', { token: ann, headers })
    await expect.poll(() => postern.records().length).toBeGreaterThan(0)
    return status === 200 ? backend.seen.at(-1)?.headers['x-forwarded-for'] : status
  }
  it('X-Forwarded-For by hops from the right: what the client wrote is never taken', async () => {
    const postern = await start(from('x-forwarded-for', 2))
    expect(await seen(postern, { 'x-forwarded-for': '6.6.6.6, 192.0.2.7, 10.0.0.9' })).toBe('192.0.2.7')
    expect(await seen(postern, { 'x-forwarded-for': 'garbage", 192.0.2.7,10.0.0.9' })).toBe('192.0.2.7')
    expect(await seen(postern, { 'x-forwarded-for': '10.0.0.9' })).toBe(400)
    expect(await seen(postern, { 'x-forwarded-for': '192.0.2.7:80, 10.0.0.9' })).toBe(400)
    expect(await seen(postern, {})).toBeUndefined()
  })
  it('Forwarded by RFC 7239, and what claims to be the mapped address is ignored', async () => {
    const postern = await start(from('forwarded', 1))
    expect(await seen(postern, { forwarded: 'for=6.6.6.6, by=10.0.0.1;for="[2001:DB8::7]:443";host=a;proto=https' })).toBe('[2001:db8::7]')
    expect(await seen(postern, { forwarded: 'for="a, for=192.0.2.7' })).toBe(400)
    expect(await seen(postern, { forwarded: 'for=unknown', 'x-postern-client-ip': '10.1.2.3' })).toBeUndefined()
  })
  it('T12: nothing of it counts without the proof', async () => {
    const postern = await start(from('x-forwarded-for', 1))
    const reply = await postern.call('/v1/x', { token: ann, proof: null, headers: { 'x-forwarded-for': '192.0.2.7' } })
    expect(reply.status).toBe(403)
    await expect.poll(() => postern.records().at(-1)).toMatchObject({ request: { 'client-ip': null } })
  })
})
