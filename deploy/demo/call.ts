import { readFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { join } from 'node:path'
import { folder, ports } from './stage.ts'

/** One request as the gateway would send it. */
export interface Call {
  readonly path?: string
  readonly method?: string
  /** Whose token; none: no token. */
  readonly user?: string
  /** At whose host; default acme. */
  readonly tenant?: 'acme' | 'globex'
  readonly ip?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
  /** False: past the gateway. */
  readonly proof?: false
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly json: unknown
}

export const callPostern = async (call: Call): Promise<Reply> => {
  const gateway = call.proof === false ? {} : await headerFile(`gateway-${call.tenant ?? 'acme'}`)
  const token = call.user === undefined ? {} : await headerFile(call.user)
  const address = call.ip === undefined ? {} : { 'x-postern-client-ip': call.ip }
  const headers = { ...gateway, ...token, ...address, ...call.headers }
  const body = call.body === undefined ? undefined : JSON.stringify(call.body)
  const options = {
    host: '127.0.0.1',
    port: ports.proxy,
    path: call.path ?? '/v1/invoices',
    method: call.method ?? 'GET',
    agent: false,
    timeout: 10_000,
  } as const
  return new Promise((resolve, reject) => {
    const req = request(
      { ...options, headers: body === undefined ? headers : { ...headers, 'content-length': Buffer.byteLength(body) } },
      res => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', reject)
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text, json: text.startsWith('{') ? JSON.parse(text) : null })
        })
      },
    )
    req.on('timeout', () => req.destroy(new Error('no answer within 10 s')))
    req.on('error', reject)
    req.end(body)
  })
}

const headerFile = async (name: string): Promise<Record<string, string>> => {
  const lines = (await readFile(join(folder, name), 'utf8')).trim().split('\n')
  return Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
}
