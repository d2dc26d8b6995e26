import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../cmd/main.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { type LogoutProvider, logoutClient, startLogoutProvider } from '../support/logout-provider.ts'
import {
  type Recorder,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  tenantPolicy,
  writeInstallation,
} from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder
let postern: TestPostern
const stops: (() => Promise<void>)[] = []

beforeAll(async () => {
  const staff = (tenant: string) => ({ claims: { tenant, groups: ['staff'], sid: `${tenant}-session` } })
  provider = await startProvider({ port: 0, users: { ann: staff('acme'), bob: staff('acme'), gus: staff('globex') } })
  backend = await startRecorder()
  postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  const { entries } = JSON.parse((await postern$('list', '--json')).out) as { entries: readonly { id: string }[] }
  for (const { id } of entries) await postern$('remove', id, '--why', 'test')
})
afterAll(async () => {
  await postern.stop()
  await backend.close()
  await provider.stop()
})

const postern$ = async (...argv: string[]): Promise<{ readonly code: number; readonly out: string }> => {
  let out = ''
  const add = (said: string): void => {
    out += said
  }
  const io = { out: add, err: add }
  return { code: await main(['deny', ...argv, '--state', join(postern.dir, 'state')], io), out }
}

const claimsOf = (token: string): Record<string, string> => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
const last = (kind: string) => postern.records().findLast(record => record['kind'] === kind)
const acted = { code: 'PST7031' }

describe('postern deny', () => {
  it('refuses a person whose token is known, at once, with 401 invalid_token and the code on record; then no longer', async () => {
    const [ann, bob] = [await provider.token('ann'), await provider.token('bob')]
    expect((await postern.call('/v1/a', { token: ann })).status).toBe(200)
    const denied = await postern$('--subject', 'ann', '--for', '1h', '--why', 'laptop stolen')
    expect(denied).toMatchObject({ code: 0, out: expect.stringMatching(/^[0-9a-f]{12} {2}subject ann, until .*: laptop stolen\n$/) })
    await expect
      .poll(() => last('control'))
      .toMatchObject({
        ...acted,
        detail: { act: 'deny', what: 'subject', value: 'ann', why: 'laptop stolen', by: 'control' },
      })
    const seen = backend.seen.length
    const reply = await postern.call('/v1/a', { token: ann })
    expect([reply.status, reply.headers['www-authenticate']]).toEqual([401, 'Bearer error="invalid_token"'])
    expect(backend.seen.length).toBe(seen)
    await expect.poll(() => last('exchange')).toMatchObject({ code: 'PST3020', tenant: 'acme', caller: { subject: 'ann' } })
    expect((await postern.call('/v1/a', { token: bob })).status).toBe(200)
    const id = denied.out.slice(0, 12)
    expect(await postern$('remove', id, '--why', 'found again')).toEqual({ code: 0, out: `removed: ${id}\n` })
    await expect.poll(() => last('control')).toMatchObject({ ...acted, detail: { act: 'deny-remove', id, why: 'found again' } })
    expect((await postern.call('/v1/a', { token: ann })).status).toBe(200)
  })

  it('refuses one token by its jti, and one session by its sid', async () => {
    const [one, two, bob] = [await provider.token('ann'), await provider.token('ann'), await provider.token('bob')]
    await postern$('--jti', claimsOf(one)['jti'] ?? '', '--issuer', provider.issuer, '--for', '1h', '--why', 'leaked')
    expect((await postern.call('/v1/a', { token: one })).status).toBe(401)
    expect((await postern.call('/v1/a', { token: two })).status).toBe(200)
    await postern$('--sid', 'acme-session', '--for', '1h', '--why', 'ended')
    expect((await postern.call('/v1/a', { token: bob })).status).toBe(401)
    expect((await postern.call('/v1/a', { token: await provider.token('gus'), host: 'globex.test' })).status).toBe(200)
  })

  it('refuses a tenant with the 403 of every other refusal, whatever the path, and no other tenant', async () => {
    const token = await provider.token('ann')
    await postern$('--tenant', 'acme', '--for', '1h', '--why', 'contract ended')
    for (const path of ['/v1/a', '/nowhere']) expect((await postern.call(path, { token })).status, path).toBe(403)
    await expect.poll(() => last('exchange')).toMatchObject({ code: 'PST2108', tenant: 'acme' })
    expect((await postern.call('/v1/a', { token: await provider.token('gus'), host: 'globex.test' })).status).toBe(200)
    // Of somebody who is nobody there, the denial is not the reason.
    expect((await postern.call('/v1/a', { token: await provider.token('gus') })).status).toBe(403)
    await expect.poll(() => last('exchange')).toMatchObject({ code: 'PST2103' })
  })

  it('says what is missing, or about nobody, with 64, and does nothing', async () => {
    for (const [argv, said] of [
      [['--subject', 'ann', '--for', '1h'], '--why'],
      [['--subject', 'ann', '--why', 'x'], '--for'],
      [['--subject', 'ann', '--for', '0s', '--why', 'x'], '1s to 366d'],
      [['--subject', 'ann', '--sid', 's', '--for', '1h', '--why', 'x'], 'one of'],
      [['--tenant', 'acmee', '--for', '1h', '--why', 'x'], 'no tenant is called'],
      [['--subject', 'ann', '--issuer', 'https://no.example', '--for', '1h', '--why', 'x'], 'no configured issuer'],
      [['remove', 'nothing', '--why', 'x'], 'no denial has the id'],
      [['lst'], 'write'],
    ] as const) {
      const { code, out } = await postern$(...argv)
      expect([code, out], argv.join(' ')).toEqual([64, expect.stringContaining(said)])
    }
    expect((await postern$('list')).out).toBe('nobody is denied\n')
  })

  it('shows reasons that could steer a terminal without their controls', async () => {
    await postern$('--subject', 'a\u001b]0;x\u0007', '--for', '1h', '--why', 'b\u202ec')
    expect((await postern$('list')).out).not.toMatch(/\p{Cc}(?!$)|\p{Bidi_Control}/u)
    expect((await postern$('list', '--json')).out).not.toMatch(/\p{Cc}(?!$)|\p{Bidi_Control}/u)
  })

  it('outlives a restart; a deny list that is damaged keeps the process from starting', async () => {
    const file = await writeInstallation({ issuer: provider.issuer, upstreamPort: backend.port })
    const first = await startFrom(file)
    if (!('app' in first)) throw new Error('it did not start')
    const io = { out: () => undefined, err: () => undefined }
    await main(['deny', '--subject', 'ann', '--for', '1h', '--why', 'x', '--state', join(first.dir, 'state')], io)
    await first.app.stop('test')
    const second = await startFrom(file)
    if (!('app' in second)) throw new Error('it did not start again')
    expect((await second.call('/v1/a', { token: await provider.token('ann') })).status).toBe(401)
    await second.app.stop('test')
    await writeFile(join(first.dir, 'state/denials.json'), '{"v":"postern/denials/v1","entries":[')
    expect(await startFrom(file)).toMatchObject([{ code: 'C301', message: expect.stringContaining('denials.json is damaged') }])
    await first.stop()
  })
})

describe('back-channel logout', () => {
  const freePort = async (): Promise<number> => {
    const server = createServer()
    await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    await new Promise(done => server.close(done))
    return port
  }

  const start = async (sessionRequired: boolean): Promise<{ op: LogoutProvider; gate: TestPostern; url: string }> => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}/backchannel-logout`
    const op = await startLogoutProvider(url, sessionRequired)
    const logout = `revocation: { logout: { listen: "127.0.0.1:${port}", clients: [{ issuer: "${op.issuer}", client-id: ${logoutClient} }] } }`
    const policies = { 'acme.policy.yaml': tenantPolicy('acme', op.issuer) }
    const gate = await startPostern({ issuer: op.issuer, upstreamPort: backend.port, policies, sections: { revocation: logout } })
    stops.push(
      () => gate.stop(),
      () => op.stop(),
    )
    return { op, gate, url }
  }

  /** So that a token issued afterwards is of a later second. */
  const nextSecond = (): Promise<void> => new Promise(done => setTimeout(done, 1001 - (Date.now() % 1000)))

  it('of a real provider ends every token of the person, known ones too, and lets the next sign-in pass', async () => {
    const { op, gate } = await start(false)
    const token = await op.token()
    expect((await gate.call('/v1/a', { token })).status).toBe(200)
    await op.logout('s1')
    expect((await gate.call('/v1/a', { token })).status).toBe(401)
    await expect
      .poll(() => gate.records().findLast(one => one['kind'] === 'control'))
      .toMatchObject({
        ...acted,
        detail: { act: 'deny', what: 'subject', value: 'ann', issuer: op.issuer, by: 'logout' },
      })
    await nextSecond()
    expect((await gate.call('/v1/a', { token: await op.token() })).status).toBe(200)
  })

  it('of one session leaves the other sessions of the person alone', async () => {
    const { op, gate } = await start(true)
    const [one, two, none] = [await op.token('s1'), await op.token('s2'), await op.token()]
    await op.logout('s1')
    const statuses = await Promise.all([one, two, none].map(async token => (await gate.call('/v1/a', { token })).status))
    expect(statuses).toEqual([401, 200, 401])
  })

  it('answers what is no logout token with 400, and what is no post with 404 or 405; nobody is denied for it', async () => {
    const { op, gate, url } = await start(false)
    const token = await op.token()
    const post = (body: string, type = 'application/x-www-form-urlencoded') =>
      fetch(url, { method: 'POST', body, headers: { 'content-type': type } })
    for (const body of [
      `logout_token=${token}`,
      'logout_token=x',
      '',
      'logout_token=a&logout_token=b',
      `logout_token=${'x'.repeat(40_000)}`,
    ]) {
      const reply = await post(body)
      expect([reply.status, reply.headers.get('cache-control'), await reply.json()]).toEqual([
        400,
        'no-store',
        { error: 'invalid_request' },
      ])
    }
    expect((await post(`{"logout_token":"${token}"}`, 'application/json')).status).toBe(400)
    expect((await fetch(url)).status).toBe(405)
    expect((await fetch(url.replace('backchannel', 'x'), { method: 'POST' })).status).toBe(404)
    expect((await gate.call('/v1/a', { token })).status).toBe(200)
  })
})
