import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as check from '../../../cmd/check.ts'
import type { Command } from '../../../cmd/io.ts'
import * as mutate from '../../../cmd/mutate.ts'
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

const run = async (command: Command, args: string[]) => {
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
      /^acme: 4 rules, sha256 [0-9a-f]{12}, owned by acme-security@example\.com\nglobex: .*\nnorthwind: .*\n3 tenants, 0 errors, 0 warnings\n$/,
    )
  })

  it('prints each problem, the source line and a caret, and exits with 1', async () => {
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    const { code, out } = await run(check, here())
    expect(code).toBe(1)
    expect(out).toMatch(
      /^globex\.policy\.yaml:28:10 error P207 "reader" is not defined under who\. Write readers \(line 18\), or define it\.\n {4}who: reader\n {9}\^\n/,
    )
    expect(out).toMatch(/\n3 tenants, 1 error, 0 warnings\n$/)
  })

  it('gives the same as JSON', async () => {
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    const { code, out } = await run(check, [...here(), '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({
      findings: [{ file: 'globex.policy.yaml', line: 28, column: 10, code: 'P207', severity: 'error' }],
      tenants: [
        { tenant: 'acme', good: true, rules: 4 },
        { tenant: 'globex', good: false },
        { tenant: 'northwind', good: true },
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
      /acme: \d+ expectations, 0 failed, 4 of 4 rules covered, 9 of 9 mutants killed, 1 of 1 never proved\nglobex: \d+ expectations, 0 failed, 2 of 2 rules covered, 4 of 4 mutants killed, 1 of 1 never proved\nnorthwind: \d+ expectations, 0 failed, 10 of 10 rules covered, 20 of 20 mutants killed, 3 of 3 never proved\n/,
    )
  })

  it('shows what was wanted, what came, and what keeps the nearest allow from matching', async () => {
    await edit('acme.policy.yaml', 'limit: 1..500', 'limit: 1..499')
    const { code, out } = await run(test, here())
    expect(code).toBe(1)
    expect(out).toContain(
      'acme.policy-test.yaml:29:14 error P703 anna page: wanted allow, got deny by default. Nearest allow: read-invoices (acme.policy.yaml:32): when.query.limit does not hold.\n  page       allow   allow',
    )
    expect(out).toMatch(/3 tenants, \d+ expectations, 3 failed, 3 errors\n$/)
  })

  it('named by its policy, a tenant shows the faults of its tests too', async () => {
    await edit('acme.policy-test.yaml', 'ask: anna one', 'ask: ana one')
    const { code, out } = await run(test, [...here(), 'acme.policy.yaml'])
    expect(code).toBe(1)
    expect(out).toContain('acme.policy-test.yaml:40:12 error P701 there is no caller "ana". Write anna')
    expect((await run(test, [...here(), 'globex.policy.yaml'])).code).toBe(0)
  })

  it('a tenant in place of a file is told the file', async () => {
    expect(await run(test, [...here(), 'acme'])).toMatchObject({ code: 64, err: expect.stringContaining(' Write acme.policy.yaml.\n') })
    expect(await run(check, [...here(), 'acme.yml'])).toMatchObject({
      code: 64,
      err: expect.stringContaining(' Write acme.policy.yaml.\n'),
    })
    expect(await run(check, [...here(), 'nobody'])).toMatchObject({ code: 64, err: expect.stringMatching(/test file below \S+\.\n$/) })
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
    expect(await run(test, [...here(), '--only', 'nobody-at-all'])).toMatchObject({
      code: 2,
      err: 'postern test: no expectation is of a tenant, caller, request or rule "nobody-at-all".\n',
    })
  })

  it('too many living mutants are P705, each with the case that would notice; --no-mutants and --only pass over them', async () => {
    await edit(
      'globex.policy-test.yaml',
      '  desk     deny   allow  deny   allow  deny   deny\n  twice    deny   allow  deny   allow  deny   deny\n',
      '',
    )
    await edit('globex.policy-test.yaml', '  - { ask: sven desk, expect: deny by support-stays-in-the-us }\n', '')
    await edit('globex.policy-test.yaml', 'rules-covered: 100%', 'rules-covered: 50%')
    const { code, out } = await run(test, here())
    expect(code).toBe(1)
    expect(out).toContain(
      'globex.policy.yaml:20:5 error P705 no expectation notices if support-stays-in-the-us is gone (2 of 4 mutants killed, 90% wanted). Add to cases of globex.policy-test.yaml: - { ask: gus desk, expect: deny by support-stays-in-the-us }',
    )
    expect(out).toContain('globex: 20 expectations, 0 failed, 1 of 2 rules covered, 2 of 4 mutants killed, 1 of 1 never proved\n')
    expect(out.match(/P705/g)).toHaveLength(2)
    expect(await run(test, [...here(), '--no-mutants'])).toMatchObject({ code: 0, out: expect.not.stringContaining('mutants') })
    expect((await run(test, [...here(), '--only', 'gus'])).code).toBe(0)
    await edit('globex.policy-test.yaml', 'mutants-killed: 90%', 'mutants-killed: 50%')
    expect((await run(test, here())).code).toBe(0)
  })

  it('--junit writes what CI servers read, the same bytes for the same input; a file that cannot be written is 64', async () => {
    const report = async (): Promise<string> => {
      await run(test, [...here(), '--at', '2026-11-23T10:00:00Z', '--junit', join(dir, 'report.xml')])
      return readFile(join(dir, 'report.xml'), 'utf8')
    }
    const sound = await report()
    expect(sound).toMatch(
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites tests="\d+" failures="0" errors="0" skipped="0" time="0">\n/,
    )
    expect(await report()).toBe(sound)
    await edit('acme.policy.yaml', 'limit: 1..500', 'limit: 1..499')
    const failing = await report()
    expect(failing).toContain('<testsuite name="acme.policy-test.yaml" tests="88" failures="3"')
    expect(failing).toContain(
      '<testcase classname="acme.policy-test.yaml" name="anna page: allow (29:14)" time="0">\n      <failure message="acme.policy-test.yaml:29:14 error P703 anna page: wanted allow, ',
    )
    await edit('globex.policy.yaml', 'who: readers', 'who: reader')
    expect(await report()).toContain(
      '<testcase classname="check" name="P207 globex.policy.yaml:28:10" time="0">\n      <failure message="globex.policy.yaml:28:10 error P207 &quot;reader&quot; is',
    )
    expect(await run(test, [...here(), '--junit', join(dir, 'none/report.xml')])).toMatchObject({
      code: 64,
      err: expect.stringContaining('ENOENT'),
    })
  })

  it('lints too: --strict makes them errors, --at sets their clock', async () => {
    await edit(
      'globex.policy.yaml',
      '    to: GET HEAD /v1/invoices/**\n    then:',
      '    to: GET HEAD /v1/invoices/**\n    until: 2026-12-20T18:00:00+01:00\n    then:',
    )
    const at = (moment: string, ...more: string[]) => run(test, [...here(), '--no-mutants', '--at', moment, ...more])
    expect(await at('2026-11-23T10:00:00Z', '--strict')).toMatchObject({ code: 0, out: expect.not.stringContaining('W80') })
    expect(await at('2026-12-10T10:00:00Z')).toMatchObject({
      code: 0,
      out: expect.stringContaining('globex.policy.yaml:30:5 warning W803 look-up-invoices ends in 10 days'),
    })
    expect(await at('2026-12-10T10:00:00Z', '--strict')).toMatchObject({ code: 1, out: expect.stringContaining('error W803') })
    expect(await at('2026-12-21T10:00:00Z')).toMatchObject({ code: 0, out: expect.stringContaining('warning W804') })
    expect(await at('tomorrow')).toMatchObject({ code: 64, err: expect.stringContaining('2026-11-23T10:00:00Z') })
  })

  it('files limit which tenants run', async () => {
    const { out } = await run(test, [...here(), 'globex.policy-test.yaml'])
    expect(out).toMatch(/^globex: /)
    expect(out).not.toContain('acme')
  })

  it('a never line is proved for every request, or refuted by one that is allowed', async () => {
    await edit('globex.policy-test.yaml', 'anyone POST PUT PATCH DELETE /v1/**', 'order-desk PUT PATCH DELETE /**')
    const proved = await run(test, here())
    expect(proved).toMatchObject({ code: 0, out: expect.stringMatching(/2 of 2 rules covered, .*1 of 1 never proved\n/) })
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

describe('postern mutate', () => {
  it('kills every mutant of this repository', async () => {
    const { code, out, err } = await run(mutate, here())
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(
      /^acme: 9 of 9 mutants killed \(100%\), 90% wanted\nglobex: 4 of 4 mutants killed .*\nnorthwind: 20 of 20 mutants killed /,
    )
  })

  it('lists what survives where it stands, with lines that would notice', async () => {
    await edit('acme.policy-test.yaml', 'GET /v1/invoices?limit=501', 'GET /v1/invoices?limit=50')
    await edit('acme.policy-test.yaml', '  big-page   deny    deny    deny    deny    deny    deny    deny\n', '')
    const { code, out } = await run(mutate, [...here(), 'acme'])
    expect(out).toBe(
      `acme.policy.yaml:38:13 no expectation notices if read-invoices.when.query is gone
  to requests of acme.policy-test.yaml:  list-2: GET /v1/invoices?limit=501
  to cases of acme.policy-test.yaml:  - { ask: anna list-2, expect: deny by default }
acme: 8 of 9 mutants killed (88.8%), 90% wanted
`,
    )
    expect(code).toBe(1)
    const { tenants } = JSON.parse((await run(mutate, [...here(), 'acme', '--json'])).out)
    expect(tenants).toMatchObject([{ tenant: 'acme', counted: 9, killed: 8, wanted: 90 }])
    expect(tenants[0].mutants.filter((one: { killer: unknown }) => one.killer === null)).toMatchObject([
      { what: 'read-invoices.when.query' },
    ])
  })

  it('needs a tenant that is there, tests that hold, and tests at all', async () => {
    expect(await run(mutate, [...here(), 'initech'])).toMatchObject({ code: 64, err: expect.stringContaining('no policy of initech') })
    await edit('acme.policy.yaml', 'limit: 1..500', 'limit: 1..499')
    expect(await run(mutate, [...here(), 'acme'])).toMatchObject({ code: 1, err: expect.stringContaining('its tests fail as it is') })
    await rm(join(dir, 'globex.policy-test.yaml'))
    expect(await run(mutate, [...here(), 'globex'])).toMatchObject({ code: 2, err: expect.stringContaining('no tests') })
  })
})
