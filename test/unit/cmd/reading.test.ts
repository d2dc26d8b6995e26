import { spawn } from 'node:child_process'
import { createPublicKey, verify } from 'node:crypto'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { main } from '../../../cmd/main.ts'

const own = new URL('../../../policies', import.meta.url).pathname
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-'))
  await cp(own, dir, { recursive: true })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const run = async (...argv: string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const [command = '', ...args] = argv
  const io = { out: (text: string) => void out.push(text), err: (text: string) => void err.push(text) }
  const code = await main([command, ...args, '--policies', dir], io)
  return { code, out: out.join(''), err: err.join('') }
}
const edit = async (name: string, from: string, to: string): Promise<void> => {
  const text = await readFile(join(dir, name), 'utf8')
  expect(text).toContain(from)
  await writeFile(join(dir, name), text.replace(from, to))
}

const b64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const payload = {
  iss: 'http://127.0.0.1:9400',
  sub: 'anna',
  aud: 'postern-demo',
  exp: 1_900_000_000,
  tenant: 'acme',
  groups: ['acme-finance'],
  region: 'eu',
}
const tokenOf = (extra: object = {}, head: object = {}): string =>
  `${b64({ alg: 'RS256', typ: 'at+jwt', ...head })}.${b64({ ...payload, ...extra })}.c2lnbmF0dXJl`
const tokenFile = async (extra: object = {}, head: object = {}): Promise<string> => {
  const path = join(dir, 'token')
  await writeFile(path, `Authorization: Bearer ${tokenOf(extra, head)}\n`)
  return path
}
const early = ['--at', '2026-11-23T10:00:00Z']

describe('postern explain', () => {
  it('shows decision, recognition, every rule with its keys, the change and both digests', async () => {
    const { code, out } = await run('explain', 'acme', 'carl', 'one')
    expect(code).toBe(0)
    expect(out).toMatch(
      /^GET \/v1\/invoices\/i-7 at 2026-11-23T09:00:00Z, subject "carl"\nacme: deny by contractors-off-network \(PST2101\)\n/,
    )
    expect(out).toMatch(/\n {2}true {4}when\.ip-not-in +203\.0\.113\.9; wants outside .* {2}acme\.policy\.yaml:25:13\n/)
    expect(out).toMatch(/\nallow read-invoices matches {2}acme\.policy\.yaml:32:12\n/)
    expect(out).toMatch(
      /smallest change .*\n {2}deny contractors-off-network {2}acme\.policy\.yaml:21:11: would have to stop matching: come from 10\.0\.0\.0\/8/,
    )
    expect(out).toMatch(/\nacme\.policy\.yaml sha256 [0-9a-f]{64}\n_platform\.policy\.yaml sha256 [0-9a-f]{64}\n$/)
  })

  it('takes a request written out, other keys and another clock, and gives JSON', async () => {
    const { out } = await run(
      'explain',
      'acme',
      'lea',
      'POST /v1/invoices',
      '--with',
      'region=us',
      '--at',
      '2027-01-01T00:00:00Z',
      '--json',
    )
    expect(JSON.parse(out)).toMatchObject({
      decision: { effect: 'deny', by: 'default' },
      at: '2027-01-01T00:00:00Z',
      change: { proved: true, ways: [[{ rule: 'allow write-invoices', needs: ['claim region "eu"'] }]] },
    })
  })

  it('takes the caller of the test file that has the request', async () => {
    const tests =
      'postern: policy-test/v1\ntenant: acme\nnow: 2026-11-23T10:00:00Z\ncallers: { anna: { groups: [] } }\nrequests: { other: GET /v1/invoices }\n'
    await writeFile(join(dir, 'acme.zz.policy-test.yaml'), tests)
    expect((await run('explain', 'acme', 'anna', 'other')).out).toContain('acme: deny by default')
    expect((await run('explain', 'acme', 'anna', 'list')).out).toContain('acme: allow by read-invoices')
  })

  it("lists platform denies first, as the platform's", async () => {
    const { out } = await run('explain', 'acme', 'lea', 'delete')
    expect(out).toMatch(/\nplatform deny invoices-are-never-deleted matches, and decided {2}_platform\.policy\.yaml:11:11\n/)
    expect(out).toContain('no allow in force covers this method and path')
  })

  it('is refused with 64 for what is not there, and with 1 for a policy that would not be loaded', async () => {
    expect(await run('explain', 'acme')).toMatchObject({ code: 64 })
    expect(await run('explain', 'nobody', 'a', 'b')).toMatchObject({ code: 64, err: expect.stringContaining('Known: acme, globex') })
    expect(await run('explain', 'acme', 'ann', 'one')).toMatchObject({ code: 64, err: expect.stringContaining('no caller "ann"') })
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    expect((await run('explain', 'acme', 'anna', 'one')).code).toBe(0)
    expect(await run('explain', 'globex', 'gus', 'one')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^globex\.policy\.yaml:28:10 error P207/),
    })
    await edit('acme.policy-test.yaml', 'admin:    GET', 'admin:    GOT')
    expect(await run('explain', 'acme', 'anna', 'one')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^acme\.policy-test\.yaml:\d+:\d+ error P301/),
    })
    await edit('acme.policy-test.yaml', 'admin:    GOT', 'admin:    GET')
    await edit('_platform.policy.yaml', 'who: anyone', 'who: nobody')
    expect(await run('explain', 'acme', 'anna', 'one')).toMatchObject({ code: 1, err: expect.stringContaining('P207') })
  })

  it('prints no control characters of files or arguments', async () => {
    await edit('acme.policy.yaml', 'groups: acme-finance-leads }', 'groups: "\\e[2J\\u202e\\u009b" }')
    for (const json of [[], ['--json']]) {
      const { out, err } = await run('explain', 'acme', 'anna', 'export', '--with', 'sub="\\e[31m"', ...json)
      expect(out).toContain('bulk-export')
      expect(out + err).not.toMatch(/[^\P{Cc}\n]|\p{Bidi_Control}/u)
    }
    expect((await run('explain', 'a\u001b[2J', 'b', 'c')).err).not.toMatch(/[^\P{Cc}\n]/u)
  })
})

describe('postern try', () => {
  it('explains a real token, says that nobody vouched for it, and never shows it', async () => {
    const { code, out, err } = await run('try', '--token-file', await tokenFile(), 'GET', '/v1/invoices', ...early)
    expect(code).toBe(0)
    expect(out).toMatch(/^SIGNATURE NOT VERIFIED: /)
    expect(out).toContain('acme: allow by read-invoices')
    for (const part of tokenOf().split('.')) expect(out + err).not.toContain(part)
  })

  it('lists claims that are not as declared, and where they are declared', async () => {
    const path = await tokenFile({ groups: 'acme-finance', region: undefined, employee_type: 7 })
    const { out } = await run('try', '--token-file', path, 'GET', '/v1/invoices', ...early)
    expect(out).toContain('claim groups: declared list<string>, but string  acme.policy.yaml:12:3\n')
    expect(out).toContain('claim region: declared string, but missing  acme.policy.yaml:13:3\n')
    expect(out).toContain('claim employee_type: declared string?, but number  acme.policy.yaml:14:3\n')
    const overflow = await tokenFile({ groups: undefined, _claim_names: { groups: 'src1' } })
    expect((await run('try', '--token-file', overflow, 'GET', '/v1/invoices', ...early)).out).toContain(
      'claim groups: declared list<string>, but left out',
    )
    const long = await tokenFile({ groups: Array.from({ length: 1001 }, () => 'g') })
    expect((await run('try', '--token-file', long, 'GET', '/v1/invoices', ...early)).out).toContain(
      'a list of 1001, of string; at most 1000 are read',
    )
    expect((await run('try', '--token-file', await tokenFile(), 'GET', '/v1/invoices', ...early)).out).not.toContain('\nclaim ')
  })

  it('says that a token has expired or is early, and explains it all the same', async () => {
    const late = await run('try', '--token-file', await tokenFile({ exp: 1000 }), 'GET', '/v1/invoices', ...early)
    expect(late.out).toMatch(/\nTOKEN NOT VALID NOW: it expired at 1970-01-01T00:16:40Z, so Postern answers 401 token-expired \(PST3007\)/)
    expect(late.out).toContain('acme: allow by read-invoices')
    const soon = await run('try', '--token-file', await tokenFile({ nbf: 1_890_000_000 }), 'GET', '/v1/invoices', ...early, '--json')
    expect(JSON.parse(soon.out)).toMatchObject({
      verified: false,
      untimely: expect.stringContaining('PST3008'),
      explanation: { decision: { effect: 'allow' } },
    })
  })

  it.each<[string, object, object, RegExp]>([
    ['without a subject', { sub: undefined }, {}, /401 token-claims \(PST3011\): sub/],
    ['that is an ID token', { nonce: 'n' }, { typ: 'JWT' }, /401 token-type \(PST3010\): nonce/],
    ['with a malformed actor', { act: {} }, {}, /401 token-claims \(PST3011\): act/],
    ['with its own key', {}, { jwk: {} }, /401 token-malformed \(PST3002\)/],
  ])('a token %s is one that Postern refuses, and that is the answer', async (_, extra, head, message) => {
    const { code, out } = await run('try', '--token-file', await tokenFile(extra, head), 'GET', '/v1/invoices', ...early)
    expect(code).toBe(1)
    expect(out).toMatch(message)
  })

  it('finds the tenant by the token; shows the nearest where none recognises it; --tenant and host: choose', async () => {
    const globex = await tokenFile({ tenant: 'globex', groups: ['globex-orders'] })
    expect((await run('try', '--token-file', globex, 'GET', '/v1/invoices', ...early)).out).toContain('globex: allow by look-up-invoices')
    expect((await run('try', '--token-file', globex, 'GET', '/v1/invoices', ...early, '--tenant', 'acme')).out).toMatch(
      /DIFFERS +recognise\.claims\.tenant +"globex"; wanted "acme"/,
    )
    const host = await run('try', '--token-file', globex, 'GET', '/v1/invoices', ...early, '--header', 'Host: Acme.localhost:8443')
    expect(host.out).toMatch(
      /globex: deny by tenant-mismatch[\s\S]*DIFFERS +recognise\.host +"acme\.localhost"|acme: deny by tenant-mismatch/,
    )
  })

  it('gives fields and the address to the policy, and refuses fields that never reach one', async () => {
    const path = await tokenFile({ employee_type: 'contractor' })
    const from = async (...more: string[]) => run('try', '--token-file', path, 'GET', '/v1/invoices', ...early, ...more)
    expect((await from()).out).toContain('deny by contractors-off-network (PST2101), in doubt')
    expect((await from('--ip', '10.1.1.1')).out).toContain('allow by read-invoices')
    expect(await from('--ip', 'home')).toMatchObject({ code: 64, err: expect.stringContaining('is not an address') })
    for (const field of ['X-Forwarded-For: 1.2.3.4', 'authorization: Bearer x', 'x_a: 1', 'nothing'])
      expect((await from('--header', field)).code, field).toBe(64)
  })

  it('refuses a token on the command line, in files that are too large, and unreadable files, without repeating it', async () => {
    const onLine = await run('try', '--token-file', 'x', 'GET', tokenOf())
    expect(onLine).toMatchObject({ code: 64, err: expect.stringContaining('every user of this machine') })
    expect(onLine.err).not.toContain('c2lnbmF0dXJl')
    const large = join(dir, 'large')
    await writeFile(large, 'a'.repeat(64 * 1024 + 1))
    expect(await run('try', '--token-file', large, 'GET', '/')).toMatchObject({ code: 64, err: expect.stringContaining('65536 bytes') })
    expect(await run('try', '--token-file', join(dir, 'none'), 'GET', '/')).toMatchObject({
      code: 64,
      err: expect.stringContaining('ENOENT'),
    })
    expect((await run('try', 'GET', '/')).code).toBe(64)
  })

  it('reads standard input under -', async () => {
    const child = spawn(process.execPath, [
      'cmd/postern.mjs',
      'try',
      '--token-file',
      '-',
      'GET',
      '/v1/invoices',
      ...early,
      '--policies',
      dir,
    ])
    const out: string[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()))
    child.stdin.end(tokenOf())
    const code = await new Promise(resolve => child.on('close', resolve))
    expect({ code, out: out.join('') }).toMatchObject({ code: 0, out: expect.stringContaining('acme: allow by read-invoices') })
  })
})

describe('postern say', () => {
  it('says every policy, one tenant, or one rule', async () => {
    const all = await run('say')
    expect(all.code).toBe(0)
    expect(all.out).toMatch(/^The first permission that matches decides[\s\S]*\n_platform:\n[\s\S]*\nacme:\n[\s\S]*\nglobex:\n/)
    const one = await run('say', 'acme', 'write-invoices')
    expect(one.out).toBe(
      '  allow write-invoices: eu-writers (in group "acme-finance-leads", with claim region "eu", acting in person) may POST /v1/invoices, if header x-rehearsal is not sent, or always empty. ' +
        'Runs as Cassandra role acme_finance_rw. Why: "Finance leads of the EU entity issue invoices; a rehearsal must not reach the ledger."\n',
    )
    const json = JSON.parse((await run('say', '_platform', '--json')).out)
    expect(json.map((said: { rule: string | null }) => said.rule)).toEqual([null, 'no-admin-from-outside', 'invoices-are-never-deleted'])
  })

  it('says nothing of what would not be loaded, nor of what is not there', async () => {
    expect((await run('say', 'acme', 'no-rule')).code).toBe(64)
    expect((await run('say', 'nobody')).code).toBe(64)
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    expect(await run('say')).toMatchObject({ code: 1, out: '' })
    expect((await run('say', 'acme')).code).toBe(0)
    expect((await run('say', '_platform')).code).toBe(0)
  })
})

describe('postern grid', () => {
  it('prints the table in each format, or as JSON', async () => {
    const starts = {
      text: '# Access review of acme\n',
      md: '# Access review of acme\n',
      csv: 'tenant,test_file,',
      html: '<!DOCTYPE html>\n',
    }
    for (const [format, start] of Object.entries(starts)) {
      const { code, out } = await run('grid', 'acme', '--format', format)
      expect([code, out.startsWith(start)], format).toEqual([0, true])
    }
    const { out } = await run('grid', 'acme', '--callers', 'anna,eve', '--requests', 'one', '--json')
    expect(JSON.parse(out)).toMatchObject({
      tenant: 'acme',
      sheets: [
        {
          rows: [
            {
              request: 'one',
              cells: [
                { outcome: 'allow', by: 'read-invoices' },
                { outcome: 'deny', by: 'tenant-mismatch' },
              ],
            },
          ],
        },
      ],
    })
  })

  it('signs the bytes of the file so that they can be checked with nothing but the public key', async () => {
    const key = join(dir, 'review.pem')
    const out = join(dir, 'review.html')
    expect(await main(['audit', 'keygen', '--out', key], { out: () => undefined, err: () => undefined })).toBe(0)
    expect((await run('grid', 'acme', '--format', 'html', '--sign', key, '--out', out)).code).toBe(0)
    const publicKey = createPublicKey(await readFile(join(dir, 'review.pub.pem')))
    const [bytes, signature] = [await readFile(out), await readFile(`${out}.sig`)]
    expect(bytes.toString()).toBe((await run('grid', 'acme', '--format', 'html')).out)
    expect(verify(null, bytes, publicKey, signature)).toBe(true)
    expect(verify(null, Buffer.concat([bytes, Buffer.from(' ')]), publicKey, signature)).toBe(false)
  })

  it('refuses what it cannot do with 64, and has 2 for nothing to decide', async () => {
    for (const args of [
      [],
      ['acme', '--format', 'pdf'],
      ['acme', '--callers', 'nobody-at-all'],
      ['acme', '--at', 'now'],
      ['acme', '--sign', 'k'],
      ['acme', '--sign', join(dir, 'none'), '--out', join(dir, 'o')],
    ])
      expect((await run('grid', ...args)).code, args.join(' ')).toBe(64)
    await rm(join(dir, 'acme.policy-test.yaml'))
    expect((await run('grid', 'acme')).code).toBe(2)
  })
})

describe('a reader that stops reading', () => {
  it('is no fault: the command ends with its own exit code and says nothing', async () => {
    const child = spawn(process.execPath, ['cmd/postern.mjs', 'say', '--policies', dir])
    child.stdout.destroy()
    const err: string[] = []
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk.toString()))
    const code = await new Promise(resolve => child.on('close', resolve))
    expect({ code, err: err.join('') }).toEqual({ code: 0, err: '' })
  })
})
