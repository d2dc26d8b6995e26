import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../cmd/main.ts'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { type Recorder, startPostern, startRecorder, type TestPostern } from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder

beforeAll(async () => {
  const staff = { claims: { tenant: 'acme', groups: ['staff'] } }
  provider = await startProvider({ port: 0, users: { ann: staff, bob: staff } })
  backend = await startRecorder()
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})

const deny = async (postern: TestPostern, ...argv: string[]): Promise<number> => {
  const io = { out: () => undefined, err: () => undefined }
  return main(['deny', ...argv, '--for', '1h', '--why', 'x', '--state', join(postern.dir, 'state')], io)
}
const metricsOf = async (postern: TestPostern): Promise<string> => (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()

describe('T30: what is known of a token is not what is allowed', () => {
  it('a denial between two requests on one connection refuses the second, though the token is in the cache', async () => {
    const postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
    const token = await provider.token('ann')
    for (let i = 0; i < 3; i++) expect((await postern.call('/v1/a', { token })).status).toBe(200)
    expect(await metricsOf(postern)).toContain('\npostern_token_cache_entries 1\n')
    const seen = backend.seen.length
    expect(await deny(postern, '--subject', 'ann')).toBe(0)
    const replies = await Promise.all(Array.from({ length: 20 }, () => postern.call('/v1/a', { token })))
    expect([replies.map(({ status }) => status), backend.seen.length]).toEqual([Array(20).fill(401), seen])
    const metrics = await metricsOf(postern)
    expect(metrics).toContain('\npostern_revocation_entries 1\n')
    expect(metrics).toContain('\npostern_refusals_total{code="PST3020",reason="token-revoked"} 20\n')
    await postern.stop()
  })

  it('who is denied learns nothing of why: the answer is that of any bad token', async () => {
    const postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
    const shape = ({ status, headers, body }: Awaited<ReturnType<TestPostern['call']>>) => [
      status,
      headers['www-authenticate'],
      body.replace(/"request_id":"\w+"/, ''),
    ]
    await deny(postern, '--subject', 'ann')
    const denied = await postern.call('/v1/a', { token: await provider.token('ann') })
    expect(shape(denied)).toEqual(shape(await postern.call('/v1/a', { token: 'abc.def.ghi' })))
    await postern.stop()
  })

  it('a denial is asked for by the control socket alone: neither listener knows the word', async () => {
    const postern = await startPostern({ issuer: provider.issuer, upstreamPort: backend.port })
    const post = (port: number): Promise<number> =>
      new Promise((resolve, reject) => {
        const req = request({ host: '127.0.0.1', port, path: '/deny', method: 'POST', agent: false }, res =>
          resolve(res.resume().statusCode ?? 0),
        )
        req.on('error', reject)
        req.end('{"act":"add","kind":"subject","value":"ann","for":"1h","why":"x"}')
      })
    expect([await post(postern.port), await post(postern.opsPort)]).toEqual([403, 405])
    expect((await postern.call('/v1/a', { token: await provider.token('ann') })).status).toBe(200)
    await postern.stop()
  })
})

describe('a shared deny list that was never read', () => {
  it('refuses every token with 503 and says so in the metrics; a request without a token is a 401 as ever', async () => {
    const postern = await startPostern({
      issuer: provider.issuer,
      upstreamPort: backend.port,
      files: { 'manager.username': 'postern_manager\n', 'manager.password': 'secret-of-the-manager\n' },
      sections: {
        cassandra:
          'cassandra: { contact-points: ["127.0.0.1:1"], local-data-center: dc1, username-file: manager.username, password-file: manager.password }',
        revocation: 'revocation: { share: cassandra }',
      },
    })
    const reply = await postern.call('/v1/a', { token: await provider.token('ann') })
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '5'])
    await expect
      .poll(() => postern.records().findLast(one => one['kind'] === 'exchange'))
      .toMatchObject({ code: 'PST3104', caller: { subject: 'ann' } })
    expect((await postern.call('/v1/a')).status).toBe(401)
    const denied = await deny(postern, '--subject', 'bob')
    expect([denied, await metricsOf(postern)]).toEqual([3, expect.stringContaining('\npostern_revocation_unshared 1\n')])
    expect((await fetch(`http://127.0.0.1:${postern.opsPort}/readyz`)).status).toBe(200)
    await postern.stop()
  })
})
