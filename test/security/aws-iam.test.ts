import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import {
  type CallOptions,
  type Recorder,
  startFrom,
  startPostern,
  startRecorder,
  type TestPostern,
  writeInstallation,
} from '../support/postern.ts'

let provider: DemoProvider
let backend: Recorder

beforeAll(async () => {
  provider = await startProvider({ port: 0, users: { ann: { claims: { tenant: 'acme', groups: ['staff'] } } } })
  backend = await startRecorder()
})
afterAll(async () => {
  await backend.close()
  await provider.stop()
})
beforeEach(() => {
  backend.seen.length = 0
})

const issuer = 'https://postern.test/aws-iam'
const mappingSecret = 'the-caller-is-mapped-here-0123456789abcdef-0123456789abcdef'
const account = '111122223333'
const role = `arn:aws:iam::${account}:role/Billing`
const session = `arn:aws:sts::${account}:assumed-role/Billing/anna@acme.example`

const policy = `postern: policy/v1
tenant: acme
owners: [acme@example.com]
recognise: { host: acme.test, issuer: ["${issuer}"], audience: acme-api }
claims: { account: string from aws_account, session: string? from session_name, org: string? from org_id }
who: { billing: { subject: "${role}", claims: { account: "${account}" } } }
rules:
  - { allow: billing-reads, why: The job of the night., who: billing, to: GET /v1/** }
`

const gateway = (more = ''): string => `gateway: { proof: [shared-secret], secret-files: [gateway.secret]${more} }`
const callers = (more = ''): string =>
  `aws-iam: { issuer: "${issuer}", audiences: [acme-api], accounts: ["${account}"], mapped: { secret-files: [mapping.secret] }${more} }`
const options = (sections: Readonly<Record<string, string>> = {}, upstream = '') => ({
  issuer: provider.issuer,
  upstreamPort: backend.port,
  policies: { 'acme.policy.yaml': policy },
  files: { 'mapping.secret': `${mappingSecret}\n` },
  sections: {
    gateway: gateway(),
    'aws-iam': callers(),
    upstreams: `upstreams: { api: { url: "http://127.0.0.1:${backend.port}", deadline: 2s${upstream} } }`,
    ...sections,
  },
})
const start = async (sections?: Readonly<Record<string, string>>, upstream?: string): Promise<TestPostern> => {
  const postern = await startPostern(options(sections, upstream))
  onTestFinished(() => postern.stop())
  return postern
}
const refused = async (sections: Readonly<Record<string, string>>, files: Readonly<Record<string, string>> = {}): Promise<string> => {
  const all = options(sections)
  const started = await startFrom(await writeInstallation({ ...all, files: { ...all.files, ...files } }))
  if (!('app' in started)) return started.map(({ code, message }) => `${code} ${message}`).join('\n')
  await started.stop()
  return 'started'
}

/** As an integration of the gateway maps the caller. */
const mapped = (arn: string, changes: Readonly<Record<string, string>> = {}, id = account): CallOptions => ({
  headers: {
    'x-postern-iam-proof': mappingSecret,
    'x-postern-iam-user-arn': arn,
    'x-postern-iam-account-id': id,
    'x-postern-iam-org-id': '',
    ...changes,
  },
})
const last = (postern: TestPostern): Record<string, unknown> => postern.records().at(-1) ?? {}
/** Status, code and what the audit says of it. */
const outcome = async (postern: TestPostern, call: CallOptions): Promise<string> => {
  const before = postern.records().length
  const { status } = await postern.call('/v1/x', call)
  await expect.poll(() => postern.records().length).toBeGreaterThan(before)
  const { code, decision } = last(postern) as { code: string; decision: { reason: string } }
  return `${status} ${code} ${decision.reason}`.trim()
}

describe('a caller of AWS whom the gateway maps', () => {
  it('is the role, whatever its sessions are called, and the backend and the record say so', async () => {
    const postern = await start()
    expect((await postern.call('/v1/x', mapped(session))).status).toBe(200)
    await expect.poll(() => last(postern)).toMatchObject({ code: 'PST2001', caller: { issuer, subject: role }, tenant: 'acme' })
    expect(backend.seen[0]?.headers['x-postern-subject']).toBe(encodeURIComponent(role))
    expect(backend.seen[0]?.rawHeaders.filter(name => /^x-postern-iam/i.test(name))).toEqual([])
    expect(JSON.stringify(postern.records()) + postern.log()).not.toContain(mappingSecret)
  })

  it('has claims that policies and identity headers can read: account, ARN, session, organization', async () => {
    const postern = await start(
      {},
      ', identity-headers: { x-aws-account: aws_account, x-aws-arn: arn, x-aws-session: session_name, x-aws-org: org_id }',
    )
    await postern.call('/v1/x', mapped(session, { 'x-postern-iam-org-id': 'o-abcdefghij' }))
    expect(backend.seen[0]?.headers).toMatchObject({
      'x-aws-account': account,
      'x-aws-arn': session,
      'x-aws-session': 'anna@acme.example',
      'x-aws-org': 'o-abcdefghij',
    })
    await postern.call('/v1/x', { ...mapped(session), headers: { ...mapped(session).headers, 'x-aws-org': 'o-forgedforg' } })
    expect(backend.seen[1]?.headers['x-aws-org']).toBeUndefined()
  })

  it.each<[string, CallOptions, string]>([
    ['another role', mapped(`arn:aws:sts::${account}:assumed-role/Other/billing`), '403 PST2102'],
    ['a session named like the role', mapped(`arn:aws:sts::${account}:assumed-role/Other/Billing`), '403 PST2102'],
    ['a user named like the role', mapped(`arn:aws:iam::${account}:user/role/Billing`), '403 PST2102'],
    [
      'an account that is not listed',
      mapped('arn:aws:iam::999900001111:user/x', {}, '999900001111'),
      '403 PST3022 aws-caller-not-accepted: account 999900001111',
    ],
    [
      'an account that is not that of the ARN',
      mapped(session, {}, '999900001111'),
      '403 PST3022 aws-caller-not-accepted: the account is not that of the ARN',
    ],
    ['a federated user, whose name its maker chose', mapped(`arn:aws:sts::${account}:federated-user/Billing`), '403 PST3022'],
    ['a bare role', mapped(role), '403 PST3022'],
    ['another partition', mapped(session.replace('aws', 'aws-cn')), '403 PST3022 aws-caller-not-accepted: partition'],
    ['a session with a slash', mapped(`arn:aws:sts::${account}:assumed-role/Billing/x/y`), '403 PST3022'],
    ['a caller joined to what the client wrote (append)', mapped(`${role},${session}`), '400 PST1103'],
    ['an organization of another form', mapped(session, { 'x-postern-iam-org-id': 'o-1,o-2' }), '400 PST1103'],
    ['no ARN beside the secret: the mapping is broken', mapped(''), '400 PST1103 gateway-header-invalid: x-postern-iam-user-arn'],
    ['no account beside the secret', mapped(session, {}, ''), '400 PST1103'],
    ['a wrong proof of the gateway', { ...mapped(session), proof: 'x'.repeat(54) }, '403 PST1102'],
    ['no proof of the gateway', { ...mapped(session), proof: null }, '403 PST1101'],
    [
      'the secret of the gateway as that of the mapping',
      mapped(session, { 'x-postern-iam-proof': 'proof-of-the-gateway-0123456789abcdef-0123456789abcdef' }),
      '403 PST1113',
    ],
    [
      'no secret of the mapping: an integration that maps no caller',
      mapped(session, { 'x-postern-iam-proof': '' }),
      '403 PST1113 mapped-caller-unproved: x-postern-iam-proof is missing',
    ],
  ])('%s is refused', async (_, call, expected) => {
    const postern = await start()
    const found = await outcome(postern, call)
    expect(found.slice(0, expected.length)).toBe(expected)
    expect(backend.seen).toEqual([])
  })

  it('sent twice is refused', async () => {
    const postern = await start()
    const { headers } = mapped(session)
    const twice = { headers: { ...headers, 'x-postern-iam-user-arn': [session, session] as unknown as string } }
    expect(await outcome(postern, twice)).toMatch(/^400 PST1103/)
  })

  it('beside a token is refused, whichever of the two the policy would allow; the signature that the gateway checked is none', async () => {
    const postern = await start({}, ', forward-authorization: true')
    const token = await provider.token('ann')
    expect(await outcome(postern, { ...mapped(session), token })).toMatch(/^401 PST3021/)
    expect(await outcome(postern, { ...mapped(session), token: 'x.y.z' })).toMatch(/^401 PST3021/)
    const signed = {
      authorization: `AWS4-HMAC-SHA256 Credential=AKIA/20261123/eu-central-1/execute-api/aws4_request, SignedHeaders=host, Signature=0`,
    }
    expect(await outcome(postern, mapped(session, signed))).toMatch(/^200 PST2001/)
    expect(backend.seen[0]?.headers.authorization).toBeUndefined()
    expect(await outcome(postern, { headers: signed })).toMatch(/^401 PST3014/)
  })

  it('is nobody where the configuration maps no caller: the fields are removed unread', async () => {
    const postern = await start({ 'aws-iam': '' })
    expect(await outcome(postern, mapped(session))).toMatch(/^401 PST3001/)
  })

  it('has no provider: metadata of the resource name none', async () => {
    const postern = await start({ gateway: gateway(', resource-metadata: true') })
    const metadata = '/.well-known/oauth-protected-resource'
    expect((await postern.call(metadata)).status).toBe(401)
  })

  it('is no preflight, and a denied one is refused', async () => {
    const routes = 'routes: [{ name: acme-v1, host: acme.test, prefix: /v1, upstream: api, preflight: forward }]'
    const postern = await start({ routes })
    const asked = mapped(session, { origin: 'https://app.example', 'access-control-request-method': 'GET' })
    expect(await outcome(postern, { ...asked, method: 'OPTIONS' })).toMatch(/^403 PST2102/)
  })
})

describe('a configuration of callers of AWS', () => {
  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['without proof of the gateway', { gateway: 'gateway: { proof: [none-accept-direct-traffic] }' }, /C204 without proof of the gateway/],
    ['that names no way to show who they are', { 'aws-iam': callers().replace(/, mapped.*/, ' }') }, /C202 nothing says how/],
    ['that lists no account', { 'aws-iam': callers().replace(`"${account}"`, '') }, /C\d{3} /],
    ['with an account that YAML reads as a number', { 'aws-iam': callers().replaceAll('"1', '1').replace('3"', '3') }, /C\d{3} /],
    ['with the name of a provider', { issuers: `issuers: [{ issuer: "${issuer}", audiences: [a] }]` }, /C204 .*is a provider/],
    ['with the secret of the gateway', { 'aws-iam': callers().replace('mapping', 'gateway') }, /C204 .*gateway\.secret-files, too/],
  ])('%s does not load', async (_, sections, message) => {
    expect(await refused(sections)).toMatch(message)
  })

  it('with the same secret in another file does not load', async () => {
    expect(await refused({}, { 'mapping.secret': 'proof-of-the-gateway-0123456789abcdef-0123456789abcdef' })).toMatch(/C204 .*, too/)
  })
})
