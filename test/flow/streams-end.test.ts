import { readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { main } from '../../cmd/main.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, startPostern, type TestPostern, tenantPolicy } from '../support/postern.ts'

let provider: DemoProvider
let backend: Server
let postern: TestPostern
const switched: Duplex[] = []
/** What a backend that waits has been asked, and lets go. */
const late: (() => void)[] = []

/** Switches, or answers with an endless reply: `/v1/events` of events, `/v1/file` of bytes, `/v1/short` one that ends after its second piece. */
const startBackend = async (): Promise<Server> => {
  const whenAsked = (req: IncomingMessage, answer: () => void): void => {
    if (req.url?.endsWith('late')) late.push(answer)
    else answer()
  }
  const server = createServer((req: IncomingMessage, res: ServerResponse) => whenAsked(req, () => reply(req, res)))
  const reply = (req: IncomingMessage, res: ServerResponse): void => {
    const [, , kind = ''] = (req.url ?? '').replace('-late', '').split('/')
    res.writeHead(200, { 'content-type': kind === 'events' ? 'text/event-stream' : 'application/octet-stream' })
    res.write('data: 1\n\n')
    const more = setInterval(() => (kind === 'short' ? res.end('end') : res.write('data: more\n\n')), kind === 'short' ? 1500 : 200)
    res.once('close', () => clearInterval(more))
  }
  server.on('upgrade', (req, socket) => {
    switched.push(socket)
    socket.on('error', () => socket.destroy())
    whenAsked(req, () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n')
      socket.pipe(socket)
    })
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  return server
}

beforeAll(async () => {
  const staff = { claims: { tenant: 'acme', groups: ['staff'] } }
  provider = await startProvider({ port: 0, users: { ann: staff, bob: staff } })
  backend = await startBackend()
})
beforeEach(async () => {
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: (backend.address() as AddressInfo).port })
})
afterEach(() => postern.stop())
afterAll(async () => {
  for (const socket of switched) socket.destroy()
  backend.closeAllConnections()
  backend.close()
  await provider.stop()
})

interface Open {
  /** Resolves when it has ended: `cut` in the middle. */
  readonly ended: Promise<'whole' | 'cut'>
  readonly state: { over: boolean }
  close(): void
}

const headers = (token: string): Record<string, string> => ({
  'x-postern-gateway-proof': gatewaySecret,
  'x-postern-host': 'acme.test',
  'x-postern-client-ip': '10.1.2.3',
  authorization: `Bearer ${token}`,
})

const open = (kind: string, token: string): Promise<Open> =>
  new Promise((resolve, reject) => {
    const ws = kind.startsWith('ws')
      ? { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'a', 'sec-websocket-version': '13' }
      : {}
    const req = request({ host: '127.0.0.1', port: postern.port, path: `/v1/${kind}`, headers: { ...headers(token), ...ws }, agent: false })
    const opened = (stream: Duplex | IncomingMessage, whole: () => boolean): void => {
      const state = { over: false }
      const ended = new Promise<'whole' | 'cut'>(done =>
        stream.once('close', () => {
          state.over = true
          done(whole() ? 'whole' : 'cut')
        }),
      )
      stream.on('error', () => undefined)
      stream.resume()
      resolve({ ended, state, close: () => stream.destroy() })
    }
    req.on('upgrade', (_res, socket) => opened(socket, () => false))
    req.on('response', res => (res.statusCode === 200 ? opened(res, () => res.complete) : reject(new Error(String(res.statusCode)))))
    req.on('error', reject)
    req.end()
  })

const recordOf = (kind: string) =>
  postern.records().findLast(one => one['kind'] === 'exchange' && JSON.stringify(one['request']).includes(`/v1/${kind}"`))
const policy = (rules: string) => writeFile(join(postern.dir, 'policies/acme.policy.yaml'), tenantPolicy('acme', provider.issuer, rules))
const reload = () => postern.app.reload({ by: 'control', withoutTests: false, why: '' })
const deny = (...argv: string[]) => {
  const io = { out: () => undefined, err: () => undefined }
  return main(['deny', ...argv, '--for', '1h', '--why', 'x', '--state', join(postern.dir, 'state')], io)
}
const openCount = () => (postern.app.status() as { readonly streams: number }).streams

describe.each(['ws', 'events'])('a stream (%s)', kind => {
  it('ends at once when its caller is denied, with the code on record; another caller keeps theirs', async () => {
    const [ann, bob] = [await open(kind, await provider.token('ann')), await open(kind, await provider.token('bob'))]
    await expect.poll(openCount).toBe(2)
    await deny('--subject', 'ann')
    expect(await ann.ended).toBe('cut')
    await expect.poll(() => recordOf(kind)).toMatchObject({ code: 'PST3020', caller: { subject: 'ann' } })
    expect([openCount(), bob.state.over]).toEqual([1, false])
    bob.close()
  })

  it('that was denied while its backend took its time does not begin', async () => {
    const opening = open(`${kind}-late`, await provider.token('ann')).then(
      () => 'opened',
      () => 'reset',
    )
    await expect.poll(() => late.length).toBe(1)
    await deny('--subject', 'ann')
    late.pop()?.()
    expect(await opening).toBe('reset')
    await expect.poll(() => recordOf(`${kind}-late`)).toMatchObject({ code: 'PST3020' })
    expect(openCount()).toBe(0)
  })

  it('ends when its tenant is denied', async () => {
    const { ended } = await open(kind, await provider.token('ann'))
    await deny('--tenant', 'acme')
    await ended
    await expect
      .poll(() => recordOf(kind))
      .toMatchObject({ code: 'PST2108', decision: { reason: expect.stringContaining('tenant-denied') } })
  })

  it('ends when its tenant is removed', async () => {
    const { ended } = await open(kind, await provider.token('ann'))
    await rm(join(postern.dir, 'policies/acme.policy.yaml'))
    await reload()
    await ended
    await expect.poll(() => recordOf(kind)).toMatchObject({ code: 'PST2105', decision: { reason: 'policy-changed: tenant-mismatch' } })
  })

  it('ends with its token', async () => {
    const { ended } = await open(kind, await provider.token('ann', { ttl: 2 }))
    await ended
    await expect.poll(() => recordOf(kind)).toMatchObject({ code: 'PST3007' })
  })

  it('ends when a new policy would refuse it, by the rule that would, and not when the policy only changes', async () => {
    const stream = await open(kind, await provider.token('ann'))
    await policy('  - { allow: staff-read, why: Read only now., who: staff, to: GET /v1/** }')
    expect((await reload()).changed).toBe(true)
    expect(stream.state.over).toBe(false)
    await policy(
      '  - { allow: staff-read, why: Read only now., who: staff, to: GET /v1/** }\n  - { deny: nobody, why: Closed., who: staff, to: GET /v1/** }',
    )
    await reload()
    expect(await stream.ended).toBe('cut')
    await expect
      .poll(() => recordOf(kind))
      .toMatchObject({ code: 'PST2105', decision: { reason: 'policy-changed: nobody', rule: 'staff-do-all' } })
  })

  it('takes over the end of the rule that lets it go on', async () => {
    const stream = await open(kind, await provider.token('ann'))
    const until = new Date(Date.now() + 3000).toISOString()
    await policy(`  - { allow: staff-until, why: An audit window., who: staff, to: GET /v1/**, until: "${until}" }`)
    await reload()
    expect(stream.state.over).toBe(false)
    await stream.ended
    await expect.poll(() => recordOf(kind)).toMatchObject({ code: 'PST2102' })
  })

  it('ends when its route, its issuer or what is hidden is no longer what let it through', async () => {
    const file = join(postern.dir, 'proxy.config.yaml')
    const before = await readFile(file, 'utf8')
    for (const [change, reason] of [
      [before.replace('name: acme-v1, host: acme.test, prefix: /v1', 'name: acme-v1, host: acme.test, prefix: /v2'), 'route'],
      [before.replace('audiences: [postern-demo]', 'audiences: [postern-demo, more]'), 'issuer'],
    ] as const) {
      const { ended } = await open(kind, await provider.token('ann'))
      await writeFile(file, change)
      await reload()
      await ended
      await expect.poll(() => recordOf(kind)).toMatchObject({ code: 'PST2105', decision: { reason: `policy-changed: ${reason}` } })
      await writeFile(file, before)
      await reload()
    }
    const { ended } = await open(kind, await provider.token('ann'))
    await policy('  - { allow: staff-do-all, why: All., who: staff, to: ANY /v1/**, then: { hide: [$.salary] } }')
    await reload()
    await ended
    await expect.poll(() => recordOf(kind)).toMatchObject({ code: 'PST2105', decision: { reason: 'policy-changed: hide' } })
  })

  it('ends when the process stops, without holding it up', async () => {
    const { ended } = await open(kind, await provider.token('ann'))
    const began = performance.now()
    const stopped = postern.app.stop('test')
    await ended
    await stopped
    expect(performance.now() - began).toBeLessThan(5000)
    expect(recordOf(kind)).toMatchObject({ code: 'PST1302' })
  })
})

describe('an ordinary reply', () => {
  it('that ends soon is whole, although its caller is denied meanwhile', async () => {
    const { ended } = await open('short', await provider.token('ann'))
    await deny('--subject', 'ann')
    expect(await ended).toBe('whole')
    await expect.poll(() => recordOf('short')).toMatchObject({ code: 'PST2001' })
  })

  it('that stays open is a stream: it ends within 5 s of the refusal', async () => {
    const { ended, state } = await open('file', await provider.token('ann'))
    const began = performance.now()
    await deny('--subject', 'ann')
    expect(state.over).toBe(false)
    expect(await ended).toBe('cut')
    expect(performance.now() - began).toBeLessThan(6500)
    await expect.poll(() => recordOf('file')).toMatchObject({ code: 'PST3020', response: { status: 200, aborted: true } })
  })
})
