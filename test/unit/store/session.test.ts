import driver from 'cassandra-driver'
import { describe, expect, it, vi } from 'vitest'
import { readDocument } from '../../../src/config/document.ts'
import { Source } from '../../../src/config/source.ts'
import { CqlFault } from '../../../src/model/cassandra.ts'
import { Secret } from '../../../src/model/secret.ts'
import { clientOptions, openSession, toFault, verdict } from '../../../src/store/session.ts'
import { cassandraShape } from '../../../src/store/settings.ts'
import { printed } from '../../support/leaks.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const settings = { contactPoints: ['10.0.0.1'], port: 9142, localDataCenter: 'dc1', tls: null }
const login = { username: 'm', password: new Secret('p') }
const bounds = { connect: 1000, statement: 500 }

describe('a session', () => {
  it('does not take over the defaults of the driver that hurt', () => {
    const options = clientOptions(driver, settings, login, bounds)
    expect(options).toMatchObject({
      protocolOptions: { port: 9142, maxVersion: 4 },
      queryOptions: { fetchSize: 500 },
    })
    expect(options.sslOptions).toBeUndefined()
    const delays = options.policies?.reconnection?.newSchedule()
    const first = Number(delays?.next().value)
    expect(first).toBeLessThan(300)
    for (let i = 0; i < 20; i++) expect(Number(delays?.next().value)).toBeLessThanOrEqual(6_000)
  })

  it('lets no client or connection of the driver hold the password', async () => {
    const password = 'a-password-that-would-be-seen'
    const options = clientOptions(driver, settings, { username: 'm', password: new Secret(password) }, bounds)
    expect(printed(new driver.Client(options))).not.toContain(password)
    const answer = vi.fn()
    options.authProvider?.newAuthenticator('', '').initialResponse(answer)
    expect(answer).toHaveBeenCalledWith(null, Buffer.from(`\0m\0${password}`))
  })

  it('verifies the cluster wherever TLS is on', () => {
    const tls = { ca: 'PEM', serverName: 'cassandra.example' }
    expect(clientOptions(driver, { ...settings, tls }, login, bounds).sslOptions).toMatchObject({
      ca: 'PEM',
      rejectUnauthorized: true,
      servername: 'cassandra.example',
    })
  })

  it('gives up at its deadline on a node that accepts and says nothing', async () => {
    const { createServer } = await import('node:net')
    const sockets = new Set<{ destroy(): void }>()
    const server = createServer(socket => void sockets.add(socket)).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const clock = new ManualClock()
    const opening = openSession({ ...settings, contactPoints: ['127.0.0.1'], port, connectDeadline: 1000 }, login, { clock })
    const refused = expect(opening).rejects.toMatchObject({ name: 'CqlFault', code: null, message: 'no answer within 1000 ms' })
    await new Promise(resolve => server.once('connection', resolve))
    await clock.advance(1000)
    await refused
    for (const socket of sockets) socket.destroy()
    server.close()
  })
})

describe('what a failed login proves', () => {
  const answer = (code: number | null, message: string) => verdict(new CqlFault(code, message))
  it.each([
    [0x0100, 'Provided username x and/or password are incorrect', 'refused'],
    [0x0100, 'x is not permitted to log in', 'refused'],
    [0x0100, 'Unable to perform authentication: Cannot achieve consistency level QUORUM', 'unknown'],
    [0x2100, 'You do not have access to this datacenter (datacenter1)', 'refused'],
    [0x2100, 'Unable to perform authorization of permissions: ...', 'unknown'],
    [0x1000, 'Not enough replicas', 'unknown'],
    [null, 'no answer within 500 ms', 'unknown'],
  ])('%s %s: %s', (code, message, proof) => expect(answer(code, message)).toBe(proof))

  it('is found inside what the driver wraps around it', () => {
    const inner = Object.assign(new Error('Provided username x and/or password are incorrect'), { additionalInfo: { code: 0x0100 } })
    const fault = toFault(new driver.errors.NoHostAvailableError({ '10.0.0.1:9042': inner }))
    expect(fault).toMatchObject({ code: 0x0100, message: inner.message })
    expect(verdict(fault)).toBe('refused')
    expect(toFault(new driver.errors.NoHostAvailableError({}))).toMatchObject({ code: null })
    expect(toFault(new driver.errors.ResponseError(0x1100, 'timed out'))).toMatchObject({ code: 0x1100 })
  })
})

describe('cassandra:', () => {
  const read = (text: string) => {
    const source = new Source('proxy.config.yaml', Buffer.from(text), 'C')
    return { value: readDocument(source, cassandraShape).value, findings: source.findings.map(finding => finding.message).join('\n') }
  }
  const files = 'local-data-center: dc1\nusername-file: u\npassword-file: p\n'

  it('reads contact points on one port', () => {
    expect(read(`contact-points: [10.0.0.5, "10.0.0.6:9042", "[::1]:9042"]\n${files}`).value).toMatchObject({
      'contact-points': { hosts: ['10.0.0.5', '10.0.0.6', '::1'], port: 9042 },
      tls: null,
      group: 'default',
    })
  })

  it.each([
    [`contact-points: ["10.0.0.5:1", "10.0.0.6:2"]\n${files}`, /different ports/],
    [`contact-points: []\n${files}`, /empty list/],
    [`contact-points: ["a b"]\n${files}`, /not a contact point/],
    [`contact-points: [a]\n${files}key-files: [k, l, m]\n`, /at most 2|2 entries/],
    [`contact-points: [a]\n${files}tls: { ca-file: c, verify: false }\n`, /not a key here/],
    [`contact-points: [a]\n${files}tls: {}\n`, /ca-file is missing/],
  ])('refuses %j', (text, message) => expect(read(text).findings).toMatch(message))
})
