import { mkdir, open, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, get } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { claimsAt, makeKey, type TestKey, tokenOf } from '../support/issuer.ts'
import { gatewaySecret, tenantPolicy, writeInstallation } from '../support/postern.ts'
import type { Processes, Running } from './processes.ts'

export const path = '/v1/invoices/i-7'
export const audience = 'postern-demo'
const role = 'acme_invoices_ro'

/** What the gateway and a caller send; the same bytes go to every case. */
export const fields = {
  // Spelled like this, or wrk adds one of its own.
  Host: 'acme.test',
  accept: 'application/json',
  'user-agent': 'postern-bench/1',
  'x-postern-gateway-proof': gatewaySecret,
  'x-postern-client-ip': '10.1.2.3',
  'x-postern-host': 'acme.test',
  'x-postern-gateway-request-id': 'bench-8c1f2d',
} as const

export const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  await new Promise<unknown>(done => server.close(done))
  return port
}

export interface Provider {
  readonly issuer: string
  readonly key: TestKey
  close(): void
}

/** As much of an OpenID provider as a gate asks for: metadata and keys. */
export const startProvider = async (): Promise<Provider> => {
  const key = makeKey('RS256', 'bench-1')
  const server = createHttpServer((req, res) => {
    const body =
      req.url === '/jwks' ? { keys: [key.jwk] } : { issuer, jwks_uri: `${issuer}/jwks`, authorization_endpoint: `${issuer}/auth` }
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { issuer, key, close }
}

/** Distinct RS256 tokens of about `size` bytes: one subject each, and a claim that only fills. */
export const makeTokens = ({ issuer, key }: Provider, count: number, size: number): string[] => {
  const sign = (i: number, filler: string): string =>
    tokenOf(
      key,
      claimsAt(Date.now(), issuer, { sub: `user-${i}`, aud: audience, jti: `t-${i}`, tenant: 'acme', groups: ['staff'], filler }),
    )
  const filler = 'x'.repeat(Math.max(0, Math.floor(((size - sign(0, '').length) * 3) / 4)))
  return Array.from({ length: count }, (_, i) => sign(i, filler))
}

/** A proxy under test, and how to start it anew. */
export interface Case {
  readonly name: string
  readonly port: number
  /** Answers 200 once the proxy serves. */
  readonly ready: string
  start(): Promise<Running>
}

/** The shipped bundle with everything on: proof, tokens, policy, credential, audit to a file, to a second place and to stdout, metrics. */
export const posternCase = async (
  processes: Processes,
  core: number,
  bundle: string,
  issuer: string,
  origin: number,
): Promise<Case & { readonly config: string }> => {
  const port = await freePort()
  const ops = await freePort()
  const rules = `  - { allow: staff-read, why: Staff read invoices., who: staff, to: "GET /v1/invoices/{invoice}", then: { cassandra-role: ${role} } }`
  const config = await writeInstallation({
    issuer,
    upstreamPort: origin,
    policies: { 'acme.policy.yaml': tenantPolicy('acme', issuer, rules) },
    files: { 'credentials.json': JSON.stringify({ [role]: { username: `${role}_a`, password: 'cassandra-password-of-the-bench' } }) },
    sections: {
      listen: `listen: { proxy: "127.0.0.1:${port}", ops: "127.0.0.1:${ops}" }`,
      upstreams: `upstreams: { api: { url: "http://127.0.0.1:${origin}", delivery: header } }`,
      routes: 'routes: [{ name: acme-v1, host: acme.test, prefix: /v1, upstream: api }]',
      credentials: 'credentials: { provider: file, credentials-file: credentials.json }',
      audit: 'audit: { dir: audit, second: audit-second, key-file: audit.pem, spool-max: 16GiB }',
    },
  })
  const dir = dirname(config)
  return {
    name: 'postern',
    config,
    port,
    ready: `http://127.0.0.1:${ops}/readyz`,
    async start() {
      const stdout = await open(join(dir, 'stdout.jsonl'), 'a')
      const stderr = await open(join(dir, 'stderr.log'), 'a')
      try {
        const command = [process.execPath, bundle, 'serve', '--config', config]
        return processes.start(core, command, { cwd: dir, stdio: ['ignore', stdout.fd, stderr.fd] })
      } finally {
        await Promise.all([stdout.close(), stderr.close()])
      }
    },
  }
}

const answer = JSON.stringify({ invoice: 'i-7', note: '' })
/** 200 bytes of JSON. */
export const answerBody = JSON.stringify({ invoice: 'i-7', note: 'x'.repeat(200 - answer.length) })

/** One worker, as much a sidecar as Postern. Lives of connections are long and buffers fit the head, so that nothing but proxying is measured. */
const nginxConfig = (dir: string, http: string): string => `daemon off;
worker_processes 1;
pid ${dir}/pid;
error_log ${dir}/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_timeout 75s;
  keepalive_requests 100000000;
  client_header_buffer_size 4k;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
${http}
}
`

/** The backend. `/seen` tells what reached it, for the check that everything is on. */
const originHttp = (port: number): string => `  default_type application/json;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /v1/invoices/seen { return 200 '$http_x_postern_tenant $http_x_postern_cassandra_role'; }
    location / { return 200 '${answerBody}'; }
  }`

const plainHttp = (port: number, origin: number): string => `  upstream origin {
    server 127.0.0.1:${origin};
    keepalive 128;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }`

const nginxCase = async (processes: Processes, core: number, dir: string, name: string, http: (port: number) => string): Promise<Case> => {
  const port = await freePort()
  const own = join(dir, name)
  await mkdir(own, { recursive: true })
  await writeFile(join(own, 'nginx.conf'), nginxConfig(own, http(port)))
  const command = ['nginx', '-e', join(own, 'error.log'), '-p', own, '-c', join(own, 'nginx.conf')]
  const start = async (): Promise<Running> => processes.start(core, command, { stdio: ['ignore', 'ignore', 2] })
  return { name, port, ready: `http://127.0.0.1:${port}/`, start }
}

export const originCase = (processes: Processes, core: number, dir: string): Promise<Case> =>
  nginxCase(processes, core, dir, 'origin', originHttp)

export const plainCase = (processes: Processes, core: number, dir: string, origin: number): Promise<Case> =>
  nginxCase(processes, core, dir, 'nginx-plain', port => plainHttp(port, origin))

export interface Reply {
  readonly status: number
  readonly body: string
}

export const ask = (url: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
  new Promise((fulfil, reject) => {
    const request = get(url, { headers, agent: false, timeout: 5_000 }, res => {
      let body = ''
      res.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      res.on('end', () => fulfil({ status: res.statusCode ?? 0, body })).on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error(`${url} did not answer`))).on('error', reject)
  })

/** Starts a case and waits for its first 200, asking every 10 ms. */
export const startReady = async (each: Case): Promise<{ readonly running: Running; readonly ms: number }> => {
  const began = performance.now()
  const running = await each.start()
  while (performance.now() - began < 20_000) {
    const status = await ask(each.ready).then(
      reply => reply.status,
      () => 0,
    )
    if (status === 200) return { running, ms: performance.now() - began }
    const ended = running.ended()
    if (ended !== null) throw new Error(`${each.name} ${ended} before it was ready`)
    await delay(10)
  }
  throw new Error(`${each.name} was not ready within 20 s`)
}
