import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { gatewaySecret, type Recorder, startRecorder, tenantPolicy, writeInstallation } from '../support/postern.ts'

const command = join(import.meta.dirname, '..', '..', 'cmd', 'postern.mjs')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const collect = (child: ChildProcess): Promise<Ended> => {
  const text = { out: '', err: '' }
  child.stdout?.on('data', (chunk: Buffer) => {
    text.out += chunk.toString()
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    text.err += chunk.toString()
  })
  return once(child, 'close').then(([code]) => ({ code: code as number | null, ...text }))
}
const run = (...args: string[]): Promise<Ended> =>
  collect(spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }))

let provider: DemoProvider
let backend: Recorder
let token: string
let config: string
let dir: string
let child: ChildProcess
let ended: Promise<Ended>
let port: number

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  token = await provider.token('ann')
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})
beforeEach(async () => {
  config = await writeInstallation({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    sections: { limits: 'limits: { drain-deadline: 10s }' },
  })
  dir = dirname(config)
  child = spawn(process.execPath, [command, 'serve', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] })
  ended = collect(child)
  port = await new Promise((resolve, reject) => {
    let text = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = /"proxy":"127\.0\.0\.1:(\d+)"/.exec(text)
      if (found) resolve(Number(found[1]))
    })
    child.once('close', () => reject(new Error(text)))
  })
})
afterEach(async () => {
  if (child.exitCode === null) child.kill('SIGKILL')
  await ended
  await rm(dir, { recursive: true, force: true })
})

/** An exchange over a connection of its own, to its end. */
const call = (path = '/v1/x', method = 'GET'): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
    socket.write(
      `${method} ${path} HTTP/1.1\r\nhost: acme.test\r\nx-postern-host: acme.test\r\nx-postern-gateway-proof: ${gatewaySecret}\r\nauthorization: Bearer ${token}\r\nconnection: close\r\n\r\n`,
    )
  })
const statusOf = async (...args: Parameters<typeof call>): Promise<number> => Number(/^HTTP\/1\.1 (\d+)/.exec(await call(...args))?.[1])

describe('postern serve', () => {
  it('finishes what is under way on SIGTERM, ends with 0, and its record is sound', async () => {
    let answer = (): void => undefined
    const arrived = new Promise<void>(resolve => {
      backend.answer = (_req, res) => {
        answer = () => res.end('in time')
        resolve()
      }
    })
    const reply = call()
    await arrived
    child.kill('SIGTERM')
    await expect.poll(() => statusOf().catch(() => 'refused'), { timeout: 5000 }).toBe('refused')
    answer()
    expect(await reply).toContain('in time')
    expect(await ended).toMatchObject({ code: 0 })
    const verified = await run(
      'audit',
      'verify',
      '--dir',
      join(dir, 'audit'),
      '--second',
      join(dir, 'audit-second'),
      '--key',
      join(dir, 'audit.pub.pem'),
      '--json',
    )
    expect(verified.code).toBe(0)
    expect(JSON.parse(verified.out)).toMatchObject({ verdict: 'sound', unattested: 0 })
  })

  it('reads its files again on SIGHUP and by postern reload, which tells what was refused', async () => {
    backend.answer = (_req, res) => res.end('ok')
    expect(await statusOf('/v1/x', 'DELETE')).toBe(200)
    await writeFile(
      join(dir, 'policies/acme.policy.yaml'),
      tenantPolicy('acme', provider.issuer, '  - { allow: read, why: Read., who: staff, to: GET /v1/** }'),
    )
    child.kill('SIGHUP')
    await expect.poll(() => statusOf('/v1/x', 'DELETE'), { timeout: 5000 }).toBe(403)
    expect(await run('reload', '--config', config)).toMatchObject({ code: 0, out: expect.stringContaining('in force') })
    await writeFile(join(dir, 'policies/acme.policy.yaml'), 'rules: [')
    const refused = await run('reload', '--config', config)
    expect(refused).toMatchObject({ code: 1 })
    expect(refused.err).toMatch(/acme\.policy\.yaml:\d+:\d+ error P\d{3} /)
    await writeFile(config, 'broken')
    expect(await run('status', '--config', config, '--state', join(dir, 'state'))).toMatchObject({
      code: 0,
      out: expect.stringContaining('state: stale'),
    })
    expect(await statusOf()).toBe(200)
  })

  it('rolls a tenant back by postern rollback, once, and says that the file must be reverted too', async () => {
    const policy = (rule: string) => tenantPolicy('acme', provider.issuer, `  - { allow: ${rule}, why: Read., who: staff, to: GET /v1/** }`)
    backend.answer = (_req, res) => res.end('ok')
    expect(await run('rollback', 'acme', '--config', config)).toMatchObject({ code: 1, err: expect.stringContaining('no version of acme') })
    await writeFile(join(dir, 'policies/acme.policy.yaml'), policy('read'))
    expect(await run('reload', '--config', config)).toMatchObject({ code: 0 })
    expect(await statusOf('/v1/x', 'DELETE')).toBe(403)
    const back = await run('rollback', 'acme', '--why', 'SEC-2210', '--config', config)
    expect(back).toMatchObject({ code: 0, out: expect.stringMatching(/^acme: in force: [0-9a-f]{64}, instead of [0-9a-f]{64}\n$/) })
    expect(back.err).toMatch(/A restart reads the files again: revert the file too/)
    expect(await statusOf('/v1/x', 'DELETE')).toBe(200)
    expect(await run('rollback', 'acme', '--config', config)).toMatchObject({
      code: 1,
      err: expect.stringContaining('rolled back already'),
    })
    expect((await run('rollback')).code).toBe(64)
    expect((await run('status', '--config', config)).out).toContain('state: rolled-back')
  })

  it('under drain is unready and asks clients to go elsewhere, but serves', async () => {
    backend.answer = (_req, res) => res.end('ok')
    const drained = await run('drain', '--config', config)
    expect(drained).toMatchObject({ code: 0, out: 'drained\n' })
    expect(await call()).toMatch(/^HTTP\/1\.1 200[\s\S]*connection: close/i)
    expect(JSON.parse((await run('status', '--config', config, '--json')).out)).toMatchObject({ ready: false, draining: true })
    child.kill('SIGTERM')
    expect((await ended).code).toBe(0)
  })

  it('writes one JSON line for each record to stdout, and JSON lines to stderr', async () => {
    backend.answer = (_req, res) => res.end('ok')
    await statusOf()
    child.kill('SIGTERM')
    const { out, err } = await ended
    const kinds = out
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as { kind: string }).kind)
    expect(kinds).toEqual(['process-start', 'exchange', 'process-stop'])
    for (const line of err.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg')
  })

  it('answers nobody but its own user on the control socket', async () => {
    const { stat } = await import('node:fs/promises')
    expect((await stat(join(dir, 'state/control.sock'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(dir, 'state'))).mode & 0o077).toBe(0)
  })
})

describe('a start that cannot be', () => {
  it('because of a busy port names file, key and address, and ends with 64', async () => {
    const busy = createServer()
    await new Promise<void>(resolve => busy.listen(0, '127.0.0.1', resolve))
    const address = busy.address()
    const taken = typeof address === 'object' && address !== null ? address.port : 0
    const other = await writeInstallation({
      issuer: provider.issuer,
      upstreamPort: 1,
      sections: { listen: `listen: { proxy: "127.0.0.1:${taken}", ops: "127.0.0.1:0" }` },
    })
    const result = await run('serve', '--config', other)
    busy.close()
    expect(result.code).toBe(64)
    expect(result.err).toMatch(new RegExp(`proxy\\.config\\.yaml:\\d+:\\d+ error C301 127\\.0\\.0\\.1:${taken} is in use`))
    await rm(dirname(other), { recursive: true })
  })

  it('because another process uses the state folder says so', async () => {
    const result = await run('serve', '--config', config)
    expect(result).toMatchObject({ code: 64, err: expect.stringContaining('another Postern answers') })
  })

  it('because of a tenant is one only under --strict', async () => {
    const other = await writeInstallation({
      issuer: provider.issuer,
      upstreamPort: 1,
      policies: { 'acme.policy.yaml': 'postern: policy/v1\n' },
    })
    const result = await run('serve', '--config', other, '--strict')
    expect(result.code).toBe(64)
    expect(result.err).toMatch(/acme\.policy\.yaml:\d+:\d+ error P202 /)
    await rm(dirname(other), { recursive: true })
  })

  it('because the configuration has many faults names all of them at once', async () => {
    const text = await readFile(config, 'utf8')
    const faulty = text
      .replace('deadline: 2s', 'deadline: soon')
      .replace('upstream: api }', 'upstream: nowhere }')
      .replace('postern-demo]', 'postern-demo], algorithms: [HS256]')
    await writeFile(join(dir, 'faulty.yaml'), faulty)
    const result = await run('serve', '--config', join(dir, 'faulty.yaml'))
    expect(result.code).toBe(64)
    expect(result.err.trim().split('\n').length).toBeGreaterThanOrEqual(2)
    expect(result.err).toMatch(/faulty\.yaml:\d+:\d+ error C204 "soon" is not a duration/)
    expect(result.err).toMatch(/HS256/)
  })
})
