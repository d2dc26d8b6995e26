import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Writable } from 'node:stream'
import { startApp } from '../../src/app.ts'
import { createDeps, systemClock } from '../../src/deps.ts'
import type { Fetch } from '../../src/model/deps.ts'
import type { Finding } from '../../src/model/finding.ts'
import { writeKeyPair } from '../../src/record/keys.ts'
import { createLog } from '../../src/record/log.ts'
import type { Runtime } from '../../src/runtime.ts'
import { platformPolicy } from './platform-policy.ts'

export { platformPolicy } from './platform-policy.ts'

export const gatewaySecret = 'proof-of-the-gateway-0123456789abcdef-0123456789abcdef'

/** A tenant whose staff may do anything below /v1; groups name who they are. */
export const tenantPolicy = (tenant: string, issuer: string, rules = ''): string => `postern: policy/v1
tenant: ${tenant}
owners: [${tenant}@example.com]
recognise: { host: ${tenant}.test, issuer: "${issuer}", audience: postern-demo, claims: { tenant: ${tenant} } }
claims: { groups: list<string> }
who: { staff: { groups: [staff] } }
rules:
${rules || '  - { allow: staff-do-all, why: Staff may do all., who: staff, to: ANY /v1/** }'}
`

export interface Seen {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A backend that keeps what reached it. `answer` may be replaced by a test. */
export interface Recorder {
  readonly port: number
  readonly seen: Seen[]
  answer: (req: IncomingMessage, res: ServerResponse, body: string) => void
  close(): Promise<void>
}

export const startRecorder = async (): Promise<Recorder> => {
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1')
      recorder.seen.push({ method: req.method ?? '', url: req.url ?? '', rawHeaders: req.rawHeaders, headers: req.headers, body })
      recorder.answer(req, res, body)
    })
    req.on('error', () => undefined)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const recorder: Recorder = {
    port: (server.address() as AddressInfo).port,
    seen: [],
    answer: (_req, res) => res.writeHead(200, { 'content-type': 'text/plain' }).end('hello'),
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return recorder
}

export interface PosternOptions {
  readonly issuer: string
  readonly upstreamPort: number
  /** Policy files by name; the platform file is added. */
  readonly policies?: Readonly<Record<string, string>>
  /** Lines put into the configuration in place of the default sections of these names. */
  readonly sections?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
}

export interface TestPostern {
  readonly app: Runtime
  readonly dir: string
  readonly port: number
  readonly opsPort: number
  /** Lines on stdout: the audit. */
  records(): Record<string, unknown>[]
  log(): string
  /** A request as the gateway sends it. */
  call(path: string, options?: CallOptions): Promise<Reply>
  stop(): Promise<void>
}

export interface CallOptions {
  readonly method?: string
  readonly token?: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly proof?: string | null
  readonly clientIp?: string
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

const sections = (options: PosternOptions): Record<string, string> => ({
  listen: 'listen: { proxy: "127.0.0.1:0", ops: "127.0.0.1:0" }',
  gateway: 'gateway: { proof: [shared-secret], secret-files: [gateway.secret] }',
  issuers: `issuers: [{ issuer: "${options.issuer}", audiences: [postern-demo], allow-http-loopback: true }]`,
  upstreams: `upstreams: { api: { url: "http://127.0.0.1:${options.upstreamPort}", deadline: 2s } }`,
  routes:
    'routes: [{ name: acme-v1, host: acme.test, prefix: /v1, upstream: api }, { name: globex-v1, host: globex.test, prefix: /v1, upstream: api }]',
  audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem }',
  state: 'state: state',
  ...options.sections,
})

/** Writes a whole installation into a folder of its own and gives its configuration file. */
export const writeInstallation = async (options: PosternOptions): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'postern-'))
  const policies = options.policies ?? {
    'acme.policy.yaml': tenantPolicy('acme', options.issuer),
    'globex.policy.yaml': tenantPolicy('globex', options.issuer),
  }
  const files: Record<string, string> = {
    'gateway.secret': `${gatewaySecret}\n`,
    'policies/_platform.policy.yaml': platformPolicy,
    ...options.files,
  }
  for (const [name, text] of Object.entries(policies)) files[`policies/${name}`] = text
  files['proxy.config.yaml'] = `postern: config/v1\n${Object.values(sections(options)).join('\n')}\n`
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true })
    await writeFile(join(dir, name), text)
  }
  await writeKeyPair(join(dir, 'audit.pem'))
  return join(dir, 'proxy.config.yaml')
}

const collector = (): { readonly stream: Writable; text(): string } => {
  const chunks: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString('utf8'))
      done()
    },
  })
  return { stream, text: () => chunks.join('') }
}

/** The whole proxy in process, on ports of its own. */
export const startPostern = async (options: PosternOptions): Promise<TestPostern> => {
  const configFile = await writeInstallation(options)
  const started = await startFrom(configFile)
  if (!('app' in started))
    throw new Error(started.map(finding => `${finding.file}:${finding.line} ${finding.code} ${finding.message}`).join('\n'))
  return started
}

/** `fetch` in place of the real one: for what cannot be called from here. */
export const startFrom = async (configFile: string, fetch?: Fetch): Promise<TestPostern | readonly Finding[]> => {
  const dir = dirname(configFile)
  const stdout = collector()
  const stderr = collector()
  const log = createLog({ level: 'debug', out: stderr.stream, clock: systemClock })
  const deps = createDeps(log)
  const app = await startApp(
    { configFile, defaultState: join(dir, 'state'), strict: false, stdout: stdout.stream },
    log,
    fetch === undefined ? deps : { ...deps, fetch },
  )
  if (!('proxy' in app)) return app
  const portOf = (at: object): number => ('port' in at ? Number(at.port) : 0)
  const port = portOf(app.proxy)
  return {
    app,
    dir,
    port,
    opsPort: portOf(app.ops),
    records: () =>
      stdout
        .text()
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Record<string, unknown>),
    log: stderr.text,
    call: (path, call = {}) => send(port, path, call),
    async stop() {
      await app.stop('test')
      await rm(dir, { recursive: true, force: true })
    },
  }
}

const send = (port: number, path: string, call: CallOptions): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const proof = call.proof === undefined ? gatewaySecret : call.proof
    const headers = {
      ...(proof === null ? {} : { 'x-postern-gateway-proof': proof }),
      'x-postern-host': call.host ?? 'acme.test',
      'x-postern-client-ip': call.clientIp ?? '10.1.2.3',
      ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
      ...call.headers,
    }
    const req = request({ host: '127.0.0.1', port, path, method: call.method ?? 'GET', headers, agent: false }, res => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks).toString('utf8') }))
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end(call.body)
  })

/** Bytes as they are, and everything that comes back until the other side closes (or `until` is seen). */
export const sendRaw = (port: number, bytes: string, until: RegExp | null = null): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (until?.test(text)) socket.end()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', fault => ((fault as NodeJS.ErrnoException).code === 'ECONNRESET' ? resolve(text) : reject(fault)))
    socket.write(Buffer.from(bytes, 'latin1'))
  })
