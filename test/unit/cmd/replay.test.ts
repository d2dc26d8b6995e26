import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { run } from '../../../cmd/replay.ts'
import { hashed, hashKey, inClear, withheld } from '../../support/records.ts'
import { engineOf, logOf, ofAcme } from '../../support/traffic.ts'

const own = new URL('../../../policies', import.meta.url).pathname
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-'))
  await cp(own, join(dir, 'next'), { recursive: true })
  await writeFile(join(dir, 'facts.key'), `${hashKey.open().toString('hex')}\n`, { mode: 0o600 })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const edit = async (from: string, to: string): Promise<void> => {
  const file = join(dir, 'next/acme.policy.yaml')
  const text = await readFile(file, 'utf8')
  expect(text).toContain(from)
  await writeFile(file, text.replace(from, to))
}

const anna = { subject: 'anna@example.com', ip: '10.1.2.3' }
const requests = [
  ofAcme({ ...anna, call: 'GET /v1/invoices?limit=100' }),
  ofAcme({ ...anna, call: 'GET /v1/invoices?limit=400' }),
  ofAcme({ ...anna, call: 'GET /v1/invoices/i-1', claims: { employee_type: 'contractor' }, ip: '203.0.113.9' }),
  ofAcme({ ...anna, call: 'POST /v1/invoices' }),
]

const record = async (options = inClear): Promise<string> => {
  const file = join(dir, 'audit.jsonl')
  await writeFile(file, logOf(await engineOf(own), requests, options))
  return file
}

const replay = async (...args: string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(args, { out: text => void out.push(text), err: text => void err.push(text) })
  return { code, out: out.join(''), err: err.join('') }
}
const against = (): string[] => ['--against', join(dir, 'next')]
const counts = async (...args: string[]): Promise<object> =>
  (JSON.parse((await replay(...args, ...against(), '--json')).out) as { readonly counts: object }).counts
const none = { 'newly-allowed': 0, 'newly-denied': 0, 'obligations-changed': 0, 'cannot-tell': 0, same: 0 }

describe('postern replay', () => {
  it('says that nothing changes against the policies that decided', async () => {
    const { code, out } = await replay(await record(), ...against())
    expect({ code, out }).toEqual({
      code: 0,
      out:
        'acme: 4 same, 0 newly allowed, 0 newly denied, 0 obligations changed, 0 cannot tell\n' +
        '4 requests decided again: 4 same, 0 newly allowed, 0 newly denied, 0 obligations changed, 0 cannot tell\n',
    })
  })

  it('says who gains and loses what, by which rules, with an example each', async () => {
    await edit('limit: 1..500', 'limit: 1..200')
    await edit('198.51.100.0/24', '203.0.113.0/24')
    const { code, out } = await replay(await record(), ...against())
    expect(code).toBe(0)
    expect(out).toContain(
      '  NEWLY ALLOWED 1: finance-staff, contractors, GET /v1/invoices/{invoice}\n' +
        '      deny -> allow, by contractors-off-network -> read-invoices, such as r-2 at 2026-11-23T10:00:00.000Z\n',
    )
    expect(out).toContain(
      '  NEWLY DENIED 1: finance-staff, GET /v1/invoices\n' +
        '      allow -> deny, by read-invoices -> default, such as r-1 at 2026-11-23T10:00:00.000Z\n',
    )
    expect(out).not.toContain('anna')
  })

  it('tells of another role', async () => {
    await edit('cassandra-role: acme_finance_ro', 'cassandra-role: acme_finance_all')
    expect(await counts(await record())).toEqual({ ...none, same: 2, 'obligations-changed': 2 })
    expect((await replay(await record(), ...against())).out).toContain(
      'OBLIGATIONS CHANGED 2: finance-staff, GET /v1/invoices\n      role acme_finance_ro -> acme_finance_all',
    )
  })

  it('tells of members that are hidden and limits that hold, of a rule and of all, as of another role', async () => {
    await edit('cassandra-role: acme_finance_ro', 'cassandra-role: acme_finance_ro, hide: [$.margin], limit: [5/min per caller]')
    const file = await record()
    const { out } = await replay(file, ...against())
    expect(out).toContain('OBLIGATIONS CHANGED 2: finance-staff, GET /v1/invoices\n      hide +$.margin, limit +5/min per caller, by ')
    expect((await replay(file, ...against(), '--fail-on', 'obligations')).code).toBe(1)
    await cp(own, join(dir, 'next'), { recursive: true })
    await edit('rules:', 'always: { limit: [900/min per tenant] }\nrules:')
    expect((await replay(file, ...against())).out).toContain('limit +900/min per tenant over all rules of the tenant')
  })

  it('cannot tell what was owed by a record that does not say it, unless the role alone is another or no policy is', async () => {
    const untold = (await readFile(await record(), 'utf8')).replaceAll(/"obligations":\{[^}]*\},/g, '')
    const file = join(dir, 'before.jsonl')
    await writeFile(file, untold)
    expect(await counts(file)).toEqual({ ...none, same: 4 })
    await edit('why: ', 'why: now ')
    expect(await counts(file)).toEqual({ ...none, same: 2, 'cannot-tell': 2 })
    expect((await replay(file, ...against())).out).toContain('allow -> allow, not known: obligations,')
    await edit('cassandra-role: acme_finance_ro', 'cassandra-role: acme_finance_all')
    expect(await counts(file)).toEqual({ ...none, same: 2, 'obligations-changed': 2 })
  })

  it('decides by a Git revision, and takes no bare name for a folder: a branch may have it too', async () => {
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'init.defaultBranch=main', ...args], { cwd: dir })
    git('init')
    git('add', 'next')
    git('commit', '--message=before')
    git('tag', 'before')
    await edit('limit: 1..500', 'limit: 1..200')
    git('commit', '--all', '--message=after')
    const file = await record()
    const at = async (...args: string[]) => await replay(file, '--policies', join(dir, 'next'), ...args)
    expect((await at('--against', 'before')).out).toContain('acme: 4 same')
    expect((await at('--against', 'main')).out).toContain('NEWLY DENIED 1')
    expect(await at('--against', 'test')).toMatchObject({ code: 64, err: expect.stringContaining('write ./test') })
    expect(await at('--against', 'nowhere')).toMatchObject({ code: 64, err: expect.stringContaining('no commit that git knows') })
    await edit('who: finance-staff', 'who: finance-staf')
    git('commit', '--all', '--message=broken')
    expect(await at('--against', 'main')).toMatchObject({ code: 64, err: expect.stringContaining('P207') })
  })

  it('compares hashed facts with what the policies name where the key is at hand, and cannot tell ranges', async () => {
    await edit('employee_type: contractor', 'employee_type: intern')
    const [file, key] = [await record(hashed('groups', 'query.limit')), ['--hash-key-file', join(dir, 'facts.key')]]
    expect(await counts(file, ...key)).toEqual({ ...none, same: 3, 'newly-allowed': 1 })
    expect(await counts(file)).toEqual({ ...none, same: 3, 'cannot-tell': 1 })
    await edit('limit: 1..500', 'limit: 1..200')
    expect(await counts(await record(hashed('groups')), ...key)).toEqual({ ...none, same: 1, 'newly-allowed': 1, 'cannot-tell': 2 })
  })

  it('names what it would have to know, and exits with 2', async () => {
    await edit('acme-finance-leads]', 'acme-finance-heads]')
    const { code, out } = await replay(await record(withheld), ...against())
    expect(code).toBe(2)
    expect(out).toMatch(
      /CANNOT TELL 2: \(not known\), GET \/v1\/invoices\n {6}allow -> allow or deny, not known: groups, query.limit, such as r-0 /,
    )
  })

  it('is sure of what unchanged policies decide, though not one fact is told', async () => {
    expect(await counts(await record(withheld))).toEqual({ ...none, same: 4 })
  })

  it('fails on what it was told to fail on', async () => {
    await edit('limit: 1..500', 'limit: 1..200')
    const file = await record()
    expect((await replay(file, ...against(), '--fail-on', 'losses')).code).toBe(1)
    expect((await replay(file, ...against(), '--fail-on', 'gains', '--fail-on', 'obligations')).code).toBe(0)
    expect((await replay(file, ...against(), '--fail-on', 'gain')).code).toBe(64)
  })

  it('reads a chain, or a folder of chains, in order, and counts what it does not replay', async () => {
    const text = await readFile(await record(), 'utf8')
    const lines = text.split('\n').slice(0, -1)
    await mkdir(join(dir, 'audit/one'), { recursive: true })
    await mkdir(join(dir, 'audit/two'), { recursive: true })
    const refusals = '{"v":"postern/audit/v1","kind":"refusals","detail":{"count":7}}'
    const before = (lines[1] ?? '').replace('"rule":"read-invoices"', '"rule":""')
    await writeFile(join(dir, 'audit/one/000.jsonl'), `${lines[0]}\n${refusals}\nnonsense\n{"v":1}\n${before}\n`)
    await writeFile(join(dir, 'audit/two/000.jsonl'), `${lines[2]}\n${lines[3]}\nhalf a li`)
    const { out } = await replay(join(dir, 'audit'), ...against(), '--json')
    expect((JSON.parse(out) as { read: object }).read).toEqual({
      lines: 7,
      decided: 3,
      older: 0,
      undecided: 1,
      folded: 7,
      others: 1,
      malformed: 3,
    })
    expect((await replay(join(dir, 'audit/two'), ...against())).out).toContain('2 requests decided again')
    expect((await replay(join(dir, 'audit'), ...against())).out).toContain(
      'not replayed: 1 refused before policy was asked, 7 refusals only counted, 3 malformed\n',
    )
  })

  it('leaves out what is older than asked', async () => {
    const file = await record()
    expect((await replay(file, ...against(), '--since', '2026-11-23T10:00:00.001Z')).code).toBe(2)
    expect((await replay(file, ...against(), '--since', '2026-11-23T10:00:00Z')).code).toBe(0)
    expect((await replay(file, ...against(), '--since', 'yesterday')).code).toBe(64)
  })

  it('decides by no policy that would not come into force', async () => {
    await edit('who: finance-staff', 'who: finance-staf')
    const { code, out, err } = await replay(await record(), ...against())
    expect({ code, out }).toEqual({ code: 64, out: '' })
    expect(err).toContain('P207')
  })

  it('says what is missing: records, policies, a readable key', async () => {
    const file = await record()
    expect(await replay(...against())).toMatchObject({ code: 64 })
    expect(await replay(file)).toMatchObject({ code: 64 })
    expect(await replay(join(dir, 'nothing'), ...against())).toMatchObject({ code: 64, err: expect.stringContaining('cannot be read') })
    expect(await replay(join(dir, 'next'), ...against())).toMatchObject({ code: 64, err: expect.stringContaining('holds no records') })
    expect(await replay(file, ...against(), '--hash-key-file', file)).toMatchObject({ code: 64, err: expect.stringContaining('32 bytes') })
  })

  it('lets no text of a record steer the terminal', async () => {
    const text = (await readFile(await record(), 'utf8')).replaceAll('"tenant":"acme"', '"tenant":"a\\u001b[2J"')
    await writeFile(join(dir, 'evil.jsonl'), text)
    const { out } = await replay(join(dir, 'evil.jsonl'), ...against())
    expect(out).toContain('a [2J: 4 same')
    expect(out).not.toContain('\u001b')
  })
})
