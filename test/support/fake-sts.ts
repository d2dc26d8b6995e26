import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createFetch } from '../../src/fetch.ts'
import type { Fetch } from '../../src/model/deps.ts'
import { testCa, testCertificate, testCertificateKey } from './tls.ts'

export const stsHost = 'sts.eu-central-1.amazonaws.com'

export interface Credentials {
  readonly accessKeyId: string
  readonly secret: string
  readonly token?: string
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

/** SigV4 of a query, as AWS documents it: the parameters but the signature, sorted, and the signed headers. */
export const signatureOf = (secret: string, query: ReadonlyMap<string, string>, headers: Readonly<Record<string, string>>): string => {
  const canonical = [...query]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&')
  const names = (query.get('X-Amz-SignedHeaders') ?? '').split(';')
  const lines = names.map(name => `${name}:${headers[name] ?? ''}\n`).join('')
  const request = ['GET', '/', canonical, lines, names.join(';'), sha256('')].join('\n')
  const [, day = '', region = '', service = '', end = ''] = (query.get('X-Amz-Credential') ?? '').split('/')
  const text = ['AWS4-HMAC-SHA256', query.get('X-Amz-Date'), [day, region, service, end].join('/'), sha256(request)].join('\n')
  const key = [day, region, service, end].reduce<string | Buffer>((before, part) => hmac(before, part), `AWS4${secret}`)
  return hmac(key, text).toString('hex')
}

export interface Presigning {
  readonly now?: number
  readonly serverId?: string
  readonly host?: string
  /** Replaced parameters; undefined leaves one out. */
  readonly changes?: Readonly<Record<string, string | undefined>>
}

/** The URL that a caller's SDK makes. */
export const presign = (
  of: Credentials,
  { now = Date.now(), serverId = 'postern.acme.test', host = stsHost, changes = {} }: Presigning = {},
): string => {
  const date = new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const given: Readonly<Record<string, string | undefined>> = {
    Action: 'GetCallerIdentity',
    Version: '2011-06-15',
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${of.accessKeyId}/${date.slice(0, 8)}/eu-central-1/sts/aws4_request`,
    'X-Amz-Date': date,
    'X-Amz-Expires': '900',
    'X-Amz-Security-Token': of.token,
    'X-Amz-SignedHeaders': 'host;x-postern-server-id',
    ...changes,
  }
  const query = new Map(Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined))
  if (!query.has('X-Amz-Signature') && !('X-Amz-Signature' in changes))
    query.set('X-Amz-Signature', signatureOf(of.secret, query, { host, 'x-postern-server-id': serverId }))
  return `https://${host}/?${[...query].map(([name, value]) => `${name}=${encoded(value)}`).join('&')}`
}

export const answerXml = (
  arn: string,
  account: string,
): string => `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>${arn}</Arn>
    <UserId>AROAEXAMPLE:session</UserId>
    <Account>${account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
`

export interface FakeSts {
  /** What came: the URL and the headers. */
  readonly seen: { readonly url: string; readonly headers: IncomingMessage['headers'] }[]
  /** Replaces the answer. */
  answer: ((response: ServerResponse) => void) | null
  readonly fetch: Fetch
  stop(): Promise<void>
}

/** AWS STS as its documentation has it, signatures included, on loopback: over real TLS and Postern's own client. */
export const startFakeSts = async (
  callers: ReadonlyMap<string, Credentials & { readonly arn: string; readonly account: string }>,
): Promise<FakeSts> => {
  const server = createServer({ cert: testCertificate, key: testCertificateKey }, (request, response) => {
    sts.seen.push({ url: request.url ?? '', headers: request.headers })
    if (sts.answer !== null) return sts.answer(response)
    const query = new Map(new URL(request.url ?? '', 'https://x').searchParams)
    const caller = callers.get((query.get('X-Amz-Credential') ?? '').split('/')[0] ?? '')
    const headers = { host: stsHost, 'x-postern-server-id': String(request.headers['x-postern-server-id'] ?? '') }
    const good = caller !== undefined && signatureOf(caller.secret, query, headers) === query.get('X-Amz-Signature')
    if (good) response.writeHead(200, { 'content-type': 'text/xml' }).end(answerXml(caller.arn, caller.account))
    else
      response
        .writeHead(403, { 'content-type': 'text/xml' })
        .end('<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>')
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const real = createFetch()
  const sts: FakeSts = {
    seen: [],
    answer: null,
    fetch: (url, init) => {
      if (!url.startsWith(`https://${stsHost}/`)) return real(url, init)
      return real(url.replace(stsHost, `localhost:${port}`), { ...init, ca: testCa, reach: 'loopback' })
    },
    stop: () =>
      new Promise(done => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
  return sts
}
