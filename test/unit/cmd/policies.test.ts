import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as check from '../../../cmd/check.ts'
import * as test from '../../../cmd/test.ts'

const own = new URL('../../../policies', import.meta.url).pathname
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-'))
  await cp(own, dir, { recursive: true })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const edit = async (name: string, from: string, to: string): Promise<void> => {
  const text = await readFile(join(dir, name), 'utf8')
  expect(text).toContain(from)
  await writeFile(join(dir, name), text.replace(from, to))
}

const run = async (command: typeof check | typeof test, args: string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const io = { out: (text: string) => void out.push(text), err: (text: string) => void err.push(text) }
  const code = await command.run(args, io)
  return { code, out: out.join(''), err: err.join('') }
}
const here = (): string[] => ['--policies', dir]

describe('postern check', () => {
  it('finds nothing wrong with the policies of this repository, and says who owns them', async () => {
    const { code, out, err } = await run(check, [...here(), '--strict'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(
      /^acme: 4 rules, sha256 [0-9a-f]{12}, owned by acme-security@example\.com\nglobex: .*\n2 tenants, 0 errors, 0 warnings\n$/,
    )
  })

  it('prints each problem, the source line and a caret, and exits with 1', async () => {
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    const { code, out } = await run(check, here())
    expect(code).toBe(1)
    expect(out).toMatch(
      /^globex\.policy\.yaml:27:10 error P207 "reader" is not defined under who\. Write readers \(line 17\), or define it\.\n {4}who: reader\n {9}\^\n/,
    )
    expect(out).toMatch(/\n2 tenants, 1 error, 0 warnings\n$/)
  })

  it('gives the same as JSON', async () => {
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    const { code, out } = await run(check, [...here(), '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({
      findings: [{ file: 'globex.policy.yaml', line: 27, column: 10, code: 'P207', severity: 'error' }],
      tenants: [
        { tenant: 'acme', good: true, rules: 4 },
        { tenant: 'globex', good: false },
      ],
    })
  })

  it('limits the report to the files named, as paths or as names in the folder', async () => {
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    for (const name of ['acme.policy.yaml', join(dir, 'acme.policy.yaml')]) expect((await run(check, [...here(), name])).code).toBe(0)
    expect((await run(check, [...here(), 'globex.policy.yaml'])).code).toBe(1)
    expect(await run(check, [...here(), 'nobody.policy.yaml'])).toMatchObject({
      code: 64,
      err: expect.stringContaining('nobody.policy.yaml is not a policy'),
    })
  })

  it('warnings are problems under --strict', async () => {
    await rm(join(dir, 'acme.policy-test.yaml'))
    expect(await run(check, here())).toMatchObject({ code: 0, out: expect.stringContaining('acme.policy.yaml warning W806') })
    expect(await run(check, [...here(), '--strict'])).toMatchObject({
      code: 1,
      out: expect.stringContaining('acme.policy.yaml error W806'),
    })
  })

  it('compares issuers with a configuration where it is given one', async () => {
    const config = join(dir, 'proxy.config.yaml')
    const own = await readFile(join(import.meta.dirname, '../../../proxy.config.yaml'), 'utf8')
    await writeFile(config, own)
    expect((await run(check, [...here(), '--config', config])).code).toBe(0)
    await writeFile(config, own.replace('issuer: http://127.0.0.1:9400', 'issuer: http://127.0.0.1:9401'))
    expect(await run(check, [...here(), '--config', config])).toMatchObject({ code: 1, out: expect.stringContaining('P602') })
    expect((await run(check, [...here(), '--config', join(dir, 'none')])).code).toBe(64)
  })

  it.each([
    ['a route whose host no policy recognises', 'host: globex.localhost, prefix', 'host: globx.localhost, prefix', 'C601'],
    ['a role on an upstream that cannot be given one', 'delivery: header ', 'delivery: none ', 'C602'],
    ['an audience that the issuer is not accepted for', 'audiences: [postern-demo]', 'audiences: [postern-prod]', 'C603'],
  ])('warns of %s', async (_, from, to, code) => {
    const config = join(dir, 'proxy.config.yaml')
    const own = await readFile(join(import.meta.dirname, '../../../proxy.config.yaml'), 'utf8')
    expect(own).toContain(from)
    await writeFile(config, own.replace(from, to))
    expect(await run(check, [...here(), '--config', config])).toMatchObject({ code: 0, out: expect.stringContaining(`warning ${code} `) })
    expect((await run(check, [...here(), '--config', config, '--strict'])).code).toBe(1)
  })

  it('prints no control characters of a file', async () => {
    await edit('globex.policy.yaml', 'who: readers', 'who: "\\e[2Jreaders"')
    expect((await run(check, here())).out).not.toMatch(/[^\P{Cc}\n]/u)
  })

  it('an unreadable folder or option is refused', async () => {
    expect((await run(check, ['--policies', join(dir, 'none')])).code).toBe(64)
    await expect(run(check, ['--nonsense'])).rejects.toThrow(/nonsense/)
  })
})

describe('postern test', () => {
  it('every expectation of this repository holds, and covers every rule', async () => {
    const { code, out } = await run(test, here())
    expect(code).toBe(0)
    expect(out).toMatch(
      /acme: \d+ expectations, 0 failed, 4 of 4 rules covered\nglobex: \d+ expectations, 0 failed, 2 of 2 rules covered\n/,
    )
  })

  it('shows what was wanted, what came, and what keeps the nearest allow from matching', async () => {
    await edit('acme.policy.yaml', 'limit: 1..500', 'limit: 1..499')
    const { code, out } = await run(test, here())
    expect(code).toBe(1)
    expect(out).toContain(
      'acme.policy-test.yaml:28:14 error P703 anna page: wanted allow, got deny by default. Nearest allow: read-invoices (acme.policy.yaml:31): when.query.limit does not hold.\n  page       allow   allow',
    )
    expect(out).toMatch(/2 tenants, \d+ expectations, 3 failed, 3 errors\n$/)
  })

  it('an uncovered rule is P704', async () => {
    await edit('globex.policy.yaml', 'rules:\n', 'rules:\n  - deny: frozen\n    why: w\n    who: anyone\n    to: PUT /v1/frozen\n')
    expect(await run(test, here())).toMatchObject({
      code: 1,
      out: expect.stringContaining('error P704 no expectation is decided by frozen'),
    })
    expect((await run(test, [...here(), '--only', 'gus'])).code).toBe(0)
  })

  it('--only runs a part, and a part that is nothing cannot tell', async () => {
    const result = async (only: string) => JSON.parse((await run(test, [...here(), '--json', '--only', only])).out)
    expect((await result('acme')).tenants.map((one: { tenant: string }) => one.tenant)).toEqual(['acme'])
    expect((await result('sven')).tenants).toMatchObject([{ tenant: 'globex', expectations: 6, failed: 0 }])
    expect((await run(test, [...here(), '--only', 'nobody-at-all'])).code).toBe(2)
  })

  it('files limit which tenants run', async () => {
    const { out } = await run(test, [...here(), 'globex.policy-test.yaml'])
    expect(out).toMatch(/^globex: /)
    expect(out).not.toContain('acme')
  })

  it('a never line is proved for every request, or refuted by one that is allowed', async () => {
    await edit('globex.policy-test.yaml', 'require:', 'never:\n  - order-desk PUT PATCH DELETE /**\nrequire:')
    const proved = await run(test, here())
    expect(proved).toMatchObject({ code: 0, out: expect.stringContaining('2 of 2 rules covered, 1 of 1 never proved\n') })
    await edit('globex.policy-test.yaml', 'order-desk PUT PATCH DELETE /**', 'auditors GET /v1/invoices/{invoice}')
    const { code, out } = await run(test, here())
    expect(code).toBe(1)
    expect(out).toContain('error P706 GET /v1/invoices/i-9 is allowed by look-up-invoices, e.g. for kpmg, address unknown.')
    expect(out).toContain(', 0 of 1 never proved\n')
    // What is asked of one caller is not asked of every request.
    expect((await run(test, [...here(), '--only', 'gus'])).code).toBe(0)
    expect((await run(test, [...here(), '--only', 'globex'])).code).toBe(1)
  })

  it('what does not compile is an error, not a test that passes', async () => {
    await edit('globex.policy.yaml', 'rules:', 'rule:')
    expect((await run(test, here())).code).toBe(1)
  })
})
