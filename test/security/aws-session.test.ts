import { createPrivateKey, sign } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { readAnswer, readSigned } from '../../src/identity/aws-request.ts'
import { AwsSessions } from '../../src/identity/aws-sessions.ts'
import { defaultBounds } from '../../src/identity/bounds.ts'
import { awsIssuerSettings } from '../../src/identity/settings.ts'
import type { Fetch } from '../../src/model/deps.ts'
import { Refusal } from '../../src/model/problem.ts'
import { writeKeyPair } from '../../src/record/keys.ts'
import { answerXml, type FakeSts, type Presigning, presign, signatureOf, startFakeSts, stsHost } from '../support/fake-sts.ts'
import { forge, memoryLog } from '../support/issuer.ts'
import { ManualClock } from '../support/manual-clock.ts'
import {
  type CallOptions,
  type Recorder,
  type Reply,
  startFrom,
  startRecorder,
  type TestPostern,
  writeInstallation,
} from '../support/postern.ts'

const account = '111122223333'
const role = `arn:aws:iam::${account}:role/Billing`
const billing = {
  accessKeyId: 'ASIABILLING000000001',
  secret: 'not-a-secret-1',
  token: 'session/token+with=signs',
  arn: `arn:aws:sts::${account}:assumed-role/Billing/night`,
  account,
}
const outsider = {
  accessKeyId: 'ASIAOUTSIDER00000001',
  secret: 'not-a-secret-2',
  token: 'x',
  arn: 'arn:aws:iam::999900001111:user/eve',
  account: '999900001111',
}

let provider: DemoProvider
let backend: Recorder
let sts: FakeSts

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
  sts = await startFakeSts(new Map([billing, outsider].map(caller => [caller.accessKeyId, caller])))
})
afterAll(async () => {
  await sts.stop()
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
  sts.seen.length = 0
  sts.answer = null
})

const issuer = 'https://postern.test/aws-iam'
const policy = `postern: policy/v1
tenant: acme
owners: [acme@example.com]
recognise: { host: acme.test, issuer: "${issuer}", audience: acme-api }
claims: { account: string from aws_account }
who: { billing: { subject: "${role}", claims: { account: "${account}" } } }
rules:
  - { allow: billing-reads, why: The job of the night., who: billing, to: GET /v1/** }
`
const callers = (more = ''): Record<string, string> => ({
  'aws-iam': `aws-iam: { issuer: "${issuer}", audiences: [acme-api], accounts: ["${account}"], sessions: { sts-hosts: [${stsHost}], server-id: postern.acme.test${more} } }`,
  assertion: 'assertion: { issuer: "https://postern.test", key-files: [assertion.pem] }',
})
const sections = (): Record<string, string> => ({
  ...callers(),
  upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", deadline: 2s, assertion: orders } }`,
})
const start = async (given = sections(), fetch: Fetch = sts.fetch): Promise<TestPostern> => {
  const file = await writeInstallation({
    issuer: provider.issuer,
    upstreamPort: backend.port,
    policies: { 'acme.policy.yaml': policy },
    sections: given,
  })
  await writeKeyPair(file.replace('proxy.config.yaml', 'assertion.pem'))
  const postern = await startFrom(file, fetch)
  if (!('app' in postern)) throw new Error(postern.map(({ message }) => message).join('\n'))
  onTestFinished(() => postern.stop())
  return postern
}

const path = '/.well-known/postern/aws-session'
const shown = (url: string): string => Buffer.from(url).toString('base64url')
const ask = (postern: TestPostern, url: string, more: CallOptions = {}): Promise<Reply> =>
  postern.call(path, { method: 'POST', ...more, headers: { authorization: `AWS-STS ${shown(url)}`, ...more.headers } })
const tokenOf = ({ body }: Reply): string => String((JSON.parse(body) as { access_token: string }).access_token)
const partOf = (token: string, part: 0 | 1): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString('utf8')) as Record<string, unknown>
/** Codes and reasons in the order of the records. */
const reasons = (postern: TestPostern): string[] =>
  postern
    .records()
    .filter(({ kind }) => kind === 'exchange')
    .map(({ code, decision }) => `${String(code)} ${(decision as { reason: string }).reason}`)

describe('a caller of AWS', () => {
  it('gets a short session for what it signed, and is its role; AWS is asked once, for what was checked and nothing else', async () => {
    const postern = await start()
    const url = presign(billing)
    const reply = await ask(postern, url, { headers: { accept: 'application/json', 'x-amz-target': 'other' } })
    expect(reply).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store', 'content-type': 'application/json' } })
    expect(JSON.parse(reply.body)).toEqual({ access_token: expect.any(String), token_type: 'Bearer', expires_in: 900 })
    expect(sts.seen).toHaveLength(1)
    expect(sts.seen[0]?.headers).toMatchObject({ accept: 'text/xml', 'x-postern-server-id': 'postern.acme.test' })
    expect(Object.keys(sts.seen[0]?.headers ?? {}).sort()).toEqual([
      'accept',
      'accept-encoding',
      'connection',
      'host',
      'x-postern-server-id',
    ])
    const token = tokenOf(reply)
    expect(partOf(token, 0)).toMatchObject({ alg: 'EdDSA', typ: 'postern-session+jwt' })
    expect(partOf(token, 1)).toMatchObject({
      iss: issuer,
      sub: role,
      aud: ['acme-api'],
      aws_account: account,
      session_name: 'night',
      arn: billing.arn,
    })

    for (let i = 0; i < 3; i++) expect((await postern.call('/v1/x', { token })).status).toBe(200)
    expect(backend.seen[0]?.headers['x-postern-subject']).toBe(encodeURIComponent(role))
    expect(sts.seen).toHaveLength(1)
    const record = {
      code: 'PST2004',
      caller: { issuer, subject: role },
      request: { path, method: 'POST' },
      decision: { reason: 'aws-session' },
      tenant: 'acme',
    }
    await expect.poll(() => postern.records().find(({ code }) => code === 'PST2004')).toMatchObject(record)
    const everything = JSON.stringify(postern.records()) + postern.log()
    for (const secret of [shown(url), url, token, billing.token]) expect(everything).not.toContain(secret)
    const metrics = await (await fetch(`http://127.0.0.1:${postern.opsPort}/metrics`)).text()
    expect(metrics).toContain('postern_aws_sts_calls_total{result="answered"} 1')
    expect(metrics).toMatch(/^postern_aws_requests 1$/m)
  })

  it('is told 401 for the same signed request again, also while the first is under way', async () => {
    const postern = await start()
    const url = presign(billing)
    const both = await Promise.all([ask(postern, url), ask(postern, url)])
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401])
    expect((await ask(postern, url)).status).toBe(401)
    expect(sts.seen).toHaveLength(1)
    await expect.poll(() => reasons(postern).filter(line => line === 'PST3024 aws-request-replay')).toHaveLength(2)
  })

  it('never gets in with the signed request itself, on any other path, method or scheme', async () => {
    const postern = await start()
    const authorization = `AWS-STS ${shown(presign(billing))}`
    expect((await postern.call('/v1/x', { headers: { authorization } })).status).toBe(401)
    expect((await postern.call(path, { headers: { authorization } })).status).toBe(401)
    expect((await postern.call(`${path}/`, { method: 'POST', headers: { authorization } })).status).toBe(401)
    expect(
      (await postern.call(path, { method: 'POST', headers: { authorization: authorization.replace('AWS-STS', 'Bearer') } })).status,
    ).toBe(401)
    expect((await postern.call(path, { method: 'POST' })).status).toBe(401)
    expect((await ask(postern, presign(billing), { proof: null })).status).toBe(403)
    expect((await ask(postern, presign(billing), { body: 'x' })).status).toBe(413)
    expect(sts.seen).toEqual([])
    await expect.poll(() => reasons(postern).filter(line => line.startsWith('PST3014'))).toHaveLength(4)
  })

  it('is refused where AWS refuses the signature, which also covers for whom it was made', async () => {
    const postern = await start()
    for (const url of [
      presign({ ...billing, secret: 'guessed' }),
      presign(billing, { serverId: 'postern.globex.test' }),
      presign({ ...billing, token: 'other' }).replace('other', 'another'),
    ])
      expect((await ask(postern, url)).status).toBe(401)
    expect(sts.seen).toHaveLength(3)
    await expect.poll(() => reasons(postern).filter(line => line === 'PST3025 aws-request-refused')).toHaveLength(3)
  })

  it('of an account that is not listed gets none; neither does one whose account is struck off the list', async () => {
    const postern = await start()
    expect((await ask(postern, presign(outsider))).status).toBe(403)
    await expect.poll(() => reasons(postern)).toEqual(['PST3022 aws-caller-not-accepted: account 999900001111'])
    const token = tokenOf(await ask(postern, presign(billing)))
    expect((await postern.call('/v1/x', { token })).status).toBe(200)
    const file = `${postern.dir}/proxy.config.yaml`
    await writeFile(file, (await readFile(file, 'utf8')).replace(`accounts: ["${account}"]`, 'accounts: ["444455556666"]'))
    await postern.app.reload({ by: 'control', withoutTests: false, why: '' })
    expect((await postern.call('/v1/x', { token })).status).toBe(401)
  })

  it('gets 503 while AWS does not answer as documented, and no session', async () => {
    const postern = await start()
    const answers: ((response: ServerResponse) => void)[] = [
      response => response.writeHead(500).end(),
      response => response.writeHead(400).end('<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>'),
      response => response.writeHead(302, { location: 'https://elsewhere.example/' }).end(),
      response => response.destroy(),
      response => response.writeHead(200).end('x'.repeat(17 * 1024)),
      response => response.writeHead(200).end('<html></html>'),
      response => response.writeHead(200, { 'content-type': 'application/json' }).end(`{"Arn":"${billing.arn}","Account":"${account}"}`),
    ]
    for (const answer of answers) {
      sts.answer = answer
      expect((await ask(postern, presign(billing, { now: Date.now() - 10_000 * sts.seen.length }))).status, String(answer)).toBe(503)
    }
    expect(sts.seen).toHaveLength(answers.length)
    await expect.poll(() => reasons(postern).filter(line => line.startsWith('PST3105 aws-unavailable'))).toHaveLength(answers.length)
  })
})

describe('T28: what Postern signs for one purpose is worth nothing for another', () => {
  it('a session is no assertion to a backend, and an assertion to a backend is no session', async () => {
    const postern = await start()
    const session = tokenOf(await ask(postern, presign(billing)))
    expect((await postern.call('/v1/x', { token: session })).status).toBe(200)
    const assertion = String(backend.seen[0]?.headers['x-postern-assertion'])
    expect(partOf(assertion, 0)['kid']).toBe(partOf(session, 0)['kid'])
    expect(partOf(assertion, 0)['typ']).not.toBe(partOf(session, 0)['typ'])
    expect(partOf(assertion, 1)['iss']).not.toBe(partOf(session, 1)['iss'])
    expect(partOf(assertion, 1)['aud']).toBe('orders')
    expect((await postern.call('/v1/x', { token: assertion })).status).toBe(401)
    await expect.poll(() => reasons(postern).at(-1)).toMatch(/^PST3003/)
  })

  it('nothing else that its key signs is a session, whatever it says', async () => {
    const postern = await start()
    const session = tokenOf(await ask(postern, presign(billing)))
    const key = createPrivateKey(await readFile(`${postern.dir}/assertion.pem`))
    for (const typ of ['JWT', 'at+jwt', 'postern-assertion+jwt', 'postern-gateway+jwt', undefined]) {
      const token = forge({ ...partOf(session, 0), typ }, partOf(session, 1), input => sign(null, input, key))
      expect((await postern.call('/v1/x', { token })).status, String(typ)).toBe(401)
    }
    expect((await postern.call('/v1/x', { token: session })).status).toBe(200)
    await expect.poll(() => reasons(postern).filter(line => line === 'PST3010 token-type: typ')).toHaveLength(5)
  })

  it('a session is none any more where sessions are no longer configured', async () => {
    const postern = await start()
    const token = tokenOf(await ask(postern, presign(billing)))
    expect((await postern.call('/v1/x', { token })).status).toBe(200)
    const file = `${postern.dir}/proxy.config.yaml`
    await writeFile(`${postern.dir}/mapping.secret`, 'the-caller-is-mapped-here-0123456789abcdef')
    await writeFile(file, (await readFile(file, 'utf8')).replace(/sessions: \{[^}]*\}/, 'mapped: { secret-files: [mapping.secret] }'))
    await postern.app.reload({ by: 'control', withoutTests: false, why: '' })
    expect((await postern.call('/v1/x', { token })).status).toBe(401)
    expect((await ask(postern, presign(billing, { now: Date.now() - 10_000 }))).status).toBe(401)
    expect(sts.seen).toHaveLength(1)
  })

  it('a session ends with its key', async () => {
    const postern = await start()
    const token = tokenOf(await ask(postern, presign(billing)))
    expect((await postern.call('/v1/x', { token })).status).toBe(200)
    await writeKeyPair(`${postern.dir}/next.pem`)
    await rename(`${postern.dir}/next.pem`, `${postern.dir}/assertion.pem`)
    await postern.app.reload({ by: 'control', withoutTests: false, why: '' })
    expect((await postern.call('/v1/x', { token })).status).toBe(401)
    await expect.poll(() => reasons(postern).at(-1)).toMatch(/^PST3005/)
  })
})

const now = Date.parse('2026-11-23T10:00:00Z')
const guard = (url: string): string => {
  const found = readSigned(shown(url), [stsHost], now)
  return typeof found === 'string' ? found : 'ok'
}
const changed = (changes: NonNullable<Presigning['changes']>, more: Presigning = {}): string => presign(billing, { now, changes, ...more })

/** Made once by botocore 1.44.5 (`SigV4QueryAuth`), with the credentials of `billing`. */
const byBotocore =
  'https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIABILLING000000001%2F20261123%2Feu-central-1%2Fsts%2Faws4_request&X-Amz-Date=20261123T032735Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-postern-server-id&X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns&X-Amz-Signature=9c7081b816d06c76eaf9f79877317b85b8ae08f831e76c3368fd681c6117170f'

describe('a signed request', () => {
  it('of an SDK of AWS is read, and what is sent on still bears its signature', () => {
    const found = readSigned(shown(byBotocore), [stsHost], Date.parse('2026-11-23T03:27:40Z'))
    if (typeof found === 'string') throw new Error(found)
    const headers = { host: stsHost, 'x-postern-server-id': 'postern.acme.test' }
    expect(signatureOf(billing.secret, new Map(new URL(found.url).searchParams), headers)).toBe(found.signature)
    expect(byBotocore).toContain(found.signature)
  })

  it('is sent on as what was checked, byte for byte the same for AWS', () => {
    const url = presign(billing, { now })
    const found = readSigned(shown(url), [stsHost], now)
    if (typeof found === 'string') throw new Error(found)
    expect(new URL(found.url).searchParams.toString()).toBe(new URL(url).searchParams.toString())
    expect(guard(presign({ ...billing, token: undefined as never }, { now }))).toBe('ok')
  })

  it.each<[string, string, string]>([
    ['another host', presign(billing, { now, host: 'sts.eu-west-1.amazonaws.com' }), 'host'],
    ['the global host', presign(billing, { now, host: 'sts.amazonaws.com' }), 'host'],
    ['a host that only begins so', presign(billing, { now, host: `${stsHost}.evil.example` }), 'host'],
    [
      'a user before the host',
      presign(billing, { now }).replace('https://', `https://${stsHost}@`),
      'not an https URL with the path / and a query',
    ],
    ['a port', presign(billing, { now }).replace('.com/', '.com:8443/'), 'not an https URL with the path / and a query'],
    ['plain http', presign(billing, { now }).replace('https:', 'http:'), 'not an https URL with the path / and a query'],
    ['another path', presign(billing, { now }).replace('/?', '/x?'), 'not an https URL with the path / and a query'],
    ['a fragment', `${presign(billing, { now })}#x`, 'not an https URL with the path / and a query'],
    ['a line break', `${presign(billing, { now })}\r\nx`, 'not an https URL with the path / and a query'],
    ['another action', changed({ Action: 'AssumeRoleWithWebIdentity' }), 'Action'],
    ['another version', changed({ Version: '2010-05-08' }), 'Version'],
    ['a tenth parameter', `${presign(billing, { now })}&RoleArn=x`, 'a parameter that is none of the nine'],
    ['a second action in small letters', `${presign(billing, { now })}&action=AssumeRole`, 'a parameter that is none of the nine'],
    ['a second action', `${presign(billing, { now })}&Action=GetCallerIdentity`, 'Action stands twice'],
    ['an inherited name', `${presign(billing, { now })}&constructor=x`, 'a parameter that is none of the nine'],
    ['an empty parameter', `${presign(billing, { now })}&`, 'a parameter that is none of the nine'],
    ['no version', changed({ Version: undefined }), 'no Version'],
    ['no signature', changed({ 'X-Amz-Signature': undefined }), 'no X-Amz-Signature'],
    ['a broken escape', presign(billing, { now }).replace('X-Amz-Expires=900', 'X-Amz-Expires=%zz'), 'X-Amz-Expires'],
    ['an audience that is not signed', changed({ 'X-Amz-SignedHeaders': 'host' }), 'X-Amz-SignedHeaders'],
    ['another header signed', changed({ 'X-Amz-SignedHeaders': 'host;x-k8s-aws-id' }), 'X-Amz-SignedHeaders'],
    ['one more header signed', changed({ 'X-Amz-SignedHeaders': 'accept;host;x-postern-server-id' }), 'X-Amz-SignedHeaders'],
    ['another algorithm', changed({ 'X-Amz-Algorithm': 'AWS4-ECDSA-P256-SHA256' }), 'X-Amz-Algorithm'],
    ['another service', changed({ 'X-Amz-Credential': 'ASIABILLING000000001/20261123/eu-central-1/s3/aws4_request' }), 'X-Amz-Credential'],
    [
      'another region',
      changed({ 'X-Amz-Credential': 'ASIABILLING000000001/20261123/us-east-1/sts/aws4_request' }),
      'X-Amz-Credential: region',
    ],
    [
      'another day',
      changed({ 'X-Amz-Credential': 'ASIABILLING000000001/20261122/eu-central-1/sts/aws4_request' }),
      'X-Amz-Credential: day',
    ],
    ['no life', changed({ 'X-Amz-Expires': '0' }), 'X-Amz-Expires'],
    ['a life in words', changed({ 'X-Amz-Expires': '1e3' }), 'X-Amz-Expires'],
    ['a life that is over', changed({ 'X-Amz-Expires': '60' }, { now: now - 60_000 }), 'expired'],
    ['a quarter of an hour, whatever it says of its life', changed({ 'X-Amz-Expires': '999' }, { now: now - 900_000 }), 'expired'],
    ['a moment to come', presign(billing, { now: now + 31_000 }), 'signed in the future'],
    ['4,097 bytes', changed({ 'X-Amz-Security-Token': 'x'.repeat(3800) }), 'longer than 4096 bytes'],
    ['a token longer than any of AWS', changed({ 'X-Amz-Security-Token': 'x'.repeat(3073) }), 'X-Amz-Security-Token'],
  ])('with %s is not sent on', (_, url, why) => {
    expect(guard(url)).toBe(why)
  })

  it('in any other spelling of base64url is not read', () => {
    const text = shown(presign(billing, { now }))
    for (const other of [`${text}=`, `${text} `, text.replace(/.$/, c => (c === 'A' ? 'B' : `${c}!`)), '', 'https://x'])
      expect(readSigned(other, [stsHost], now)).toBe('not base64url')
  })
})

describe('the answer of AWS', () => {
  const good = answerXml(billing.arn, account)
  it('is read with or without a declaration and blanks, in any order of its three', () => {
    const read = { arn: billing.arn, account }
    expect(readAnswer(Buffer.from(good))).toEqual(read)
    expect(readAnswer(Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${good.replace(/\s*\n\s*/g, '')}`))).toEqual(read)
    const [arn = ''] = /<Arn>.*<\/Arn>/.exec(good) ?? []
    expect(
      readAnswer(Buffer.from(good.replace(arn, '').replace('</GetCallerIdentityResult>', `${arn}</GetCallerIdentityResult>`))),
    ).toEqual(read)
  })

  it.each<[string, string]>([
    ['a second ARN', good.replace('<UserId>', `<Arn>${role}</Arn><UserId>`)],
    ['no account', good.replace(/<Account>.*<\/Account>/, '')],
    ['an element of another name', good.replace('<UserId>', '<Path>/</Path><UserId>')],
    ['an attribute', good.replace('<Arn>', '<Arn x="y">')],
    ['a comment in the ARN', good.replace('/night', '/<!-- x -->night')],
    ['an entity', good.replace('/night', '/&#110;ight')],
    ['a CDATA section', good.replace(billing.arn, `<![CDATA[${billing.arn}]]>`)],
    ['a document type', `<!DOCTYPE x [<!ENTITY e "y">]>${good}`],
    ['another namespace', good.replace('https://sts.amazonaws.com/doc/2011-06-15/', 'https://evil.example/')],
    ['something behind it', `${good}${good}`],
    ['an answer to another action around it', `<AssumeRoleResponse>${good}</AssumeRoleResponse>`],
    ['a prefix', good.replaceAll('Arn>', 'x:Arn>')],
    ['nothing', ''],
  ])('with %s is not understood', (_, text) => {
    expect(readAnswer(Buffer.from(text))).toBeNull()
  })
})

describe('calls of AWS', () => {
  const settings = { issuer, audiences: ['acme-api'], accounts: [account], partition: 'aws', mapped: null } as const
  const sessions = {
    'sts-hosts': [stsHost],
    'server-id': 'postern.acme.test',
    lifetime: 900_000,
    proxy: null,
    'allow-private-addresses': false,
  }
  const open = (fetch: Fetch) => {
    const clock = new ManualClock()
    const results: string[] = []
    const made = new AwsSessions(
      { clock, fetch, log: memoryLog(), random: bytes => Buffer.alloc(bytes, 1) },
      result => results.push(result),
      { ...defaultBounds, awsRequests: 30 },
    )
    made.configure({ issuer: awsIssuerSettings({ ...settings, sessions }), settings: sessions, keys: [] })
    let n = 0
    const next = async (): Promise<string> => {
      const signature = (n++).toString(16).padStart(64, '0')
      const result = await made.exchange(
        `AWS-STS ${shown(presign(billing, { now: clock.now(), changes: { 'X-Amz-Signature': signature } }))}`,
      )
      return result instanceof Refusal ? `${result.code} ${result.detail}` : 'ok'
    }
    return { clock, made, next, results }
  }

  it('go to public addresses with a deadline and a bound, and come as fast as the bucket allows', async () => {
    const inits: unknown[] = []
    const { clock, next } = open((_, init) => {
      inits.push(init)
      return Promise.resolve({ status: 403, headers: {}, body: Buffer.alloc(0) })
    })
    for (let i = 0; i < 20; i++) expect(await next()).toBe('PST3025 ')
    expect(inits[0]).toEqual({
      headers: { 'x-postern-server-id': 'postern.acme.test', accept: 'text/xml' },
      timeout: 5_000,
      maxBytes: 16_384,
      reach: 'public',
    })
    expect(await next()).toBe('PST3106 rate')
    await clock.advance(100)
    expect(await next()).toBe('PST3025 ')
    expect(inits).toHaveLength(21)
  })

  it('are sixteen at once, and what waits for AWS keeps nobody from being told', async () => {
    const { next } = open(() => new Promise(() => undefined))
    for (let i = 0; i < 16; i++) void next()
    expect(await next()).toBe('PST3106 calls under way')
  })

  it('end when nothing more can be remembered, and begin again when what was signed is worth nothing', async () => {
    const { clock, made, next, results } = open(() => Promise.reject(new Error('connect ECONNREFUSED')))
    for (let i = 0; i < 30; i++) {
      await clock.advance(100)
      expect(await next()).toBe('PST3105 connect ECONNREFUSED')
    }
    await clock.advance(100)
    expect(await next()).toBe('PST3106 memory')
    expect(made.remembered).toBe(30)
    expect(results).toEqual(Array.from({ length: 30 }, () => 'failed'))
    await clock.advance(16 * 60_000)
    expect(await next()).toBe('PST3105 connect ECONNREFUSED')
    expect(made.remembered).toBe(1)
  })
})

describe('a configuration of sessions', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ['without keys to sign them', { ...callers(), assertion: '' }, /C202 sessions need the section assertion/],
    [
      'that names the issuer of assertions',
      { ...callers(), assertion: `assertion: { issuer: "${issuer}", key-files: [assertion.pem] }` },
      /C204 .*aws-iam.issuer; nobody else/,
    ],
    [
      'with a host that is not of AWS STS',
      { ...callers(), 'aws-iam': callers()['aws-iam']?.replace(stsHost, 'sts.example.com') ?? '' },
      /C204 .*regional endpoint/,
    ],
    [
      'with the global endpoint',
      { ...callers(), 'aws-iam': callers()['aws-iam']?.replace(stsHost, 'sts.amazonaws.com') ?? '' },
      /C204 .*regional endpoint/,
    ],
    ['of two hours', callers(', lifetime: 2h'), /C204/],
  ])('%s does not load', async (_, given, message) => {
    const upstreams = `upstreams: { api: { url: "http://127.0.0.1:${backend.port}" } }`
    const file = await writeInstallation({ issuer: provider.issuer, upstreamPort: backend.port, sections: { ...given, upstreams } })
    await writeKeyPair(file.replace('proxy.config.yaml', 'assertion.pem'))
    const started = await startFrom(file)
    if ('app' in started) await started.stop()
    expect('app' in started ? 'started' : started.map(({ code, message: said }) => `${code} ${said}`).join('\n')).toMatch(message)
  })
})
