import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { main } from '../../../cmd/main.ts'
import type { FactOptions } from '../../../src/record/facts.ts'
import { hashed, hashKey, inClear, withheld } from '../../support/records.ts'
import { engineOf, logOf, ofAcme } from '../../support/traffic.ts'

const own = new URL('../../../policies', import.meta.url).pathname
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-'))
  await cp(own, join(dir, 'policies'), { recursive: true })
  await writeFile(join(dir, 'facts.key'), `${hashKey.open().toString('hex')}\n`, { mode: 0o600 })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const anna = { subject: 'anna@example.com', ip: '10.1.2.3' }
const requests = [
  ofAcme({ ...anna, call: 'GET /v1/invoices?limit=100&secret=hunter2' }),
  ofAcme({ ...anna, call: 'GET /v1/invoices/i-1', claims: { employee_type: 'contractor' }, ip: '203.0.113.9' }),
  ofAcme({ ...anna, call: 'GET /v1/invoices/i-1', claims: { tenant: 'globex' } }),
  ofAcme({ ...anna, call: 'DELETE /v1/invoices/i-1' }),
  ofAcme({ ...anna, call: 'GET /v1/invoices?limit=%ff' }),
]
const record = async (options: FactOptions = inClear): Promise<string> => {
  const file = join(dir, 'audit.jsonl')
  await writeFile(file, logOf(await engineOf(own), requests, options))
  return file
}
const edit = async (from: string, to: string): Promise<void> => {
  const file = join(dir, 'policies/acme.policy.yaml')
  const text = await readFile(file, 'utf8')
  expect(text).toContain(from)
  await writeFile(file, text.replace(from, to))
}
const explain = async (...args: string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const io = { out: (text: string) => void out.push(text), err: (text: string) => void err.push(text) }
  const code = await main(['explain', ...args, '--policies', join(dir, 'policies')], io)
  return { code, out: out.join(''), err: err.join('') }
}
const key = (): string[] => ['--hash-key-file', join(dir, 'facts.key')]

describe('postern explain --record', () => {
  it('says what was decided, when, by which version, and explains it from the record', async () => {
    const { code, out } = await explain('--record', 'r-1', '--audit', await record())
    expect(code).toBe(0)
    expect(out).toMatch(/^request "r-1" at 2026-11-23T10:00:00Z; .*\nrecorded: "acme": deny by "contractors-off-network"\n/)
    expect(out).toMatch(/\nby policy sha256 [0-9a-f]{64}, platform sha256 [0-9a-f]{64}: the folder holds these versions\n/)
    expect(out).toContain(
      '\ndecided again from its record: the same\n\nGET /v1/invoices/i-1 at 2026-11-23T10:00:00Z, subject "anna@example.com"\n',
    )
    expect(out).toMatch(/\n {2}true {4}when\.ip-not-in +203\.0\.113\.9; wants outside .* {2}acme\.policy\.yaml:25:13\n/)
    expect(out).toContain('\nsmallest change that would have allowed it')
  })

  it('says what the rules said of a request that observe mode let pass', async () => {
    const text = await readFile(await record(), 'utf8')
    const [, deny = ''] = text.split('\n')
    const seen = deny
      .replace('"effect":"deny","rule":"contractors-off-network"', '"effect":"allow","rule":"contractors-off-network"')
      .replace('"observed":null', '"observed":{"effect":"deny","rule":"contractors-off-network"}')
    expect(seen).not.toBe(deny)
    await writeFile(join(dir, 'observed.jsonl'), `${seen}\n`)
    const { code, out } = await explain('--record', 'r-1', '--audit', join(dir, 'observed.jsonl'))
    expect(code).toBe(0)
    expect(out).toContain('\nrecorded: "acme": deny by "contractors-off-network", let pass by observe mode\n')
    expect(out).toContain('\ndecided again from its record: the same\n')
  })

  it('says that another version decided, and what this one decides', async () => {
    const file = await record()
    await edit('198.51.100.0/24', '203.0.113.0/24')
    const { code, out } = await explain('--record', 'r-1', '--audit', file)
    expect(code).toBe(0)
    expect(out).toContain(': the folder holds OTHER VERSIONS; what follows is what those decide\n')
    expect(out).toContain('\ndecided again from its record: NOT AS RECORDED\n')
    expect(out).toContain('\nacme: allow by read-invoices\n')
  })

  it('knows a refusal by the platform file, whatever has changed below it', async () => {
    const file = await record()
    await edit('limit: 1..500', 'limit: 1..400')
    const { out } = await explain('--record', 'r-3', '--audit', file)
    expect(out).toContain('deny by "invoices-are-never-deleted"')
    expect(out).toContain(': the folder holds these versions\n')
  })

  it('explains a token that no tenant recognised', async () => {
    const { code, out } = await explain('--record', 'r-2', '--audit', await record())
    expect(out).toContain('deny by "tenant-mismatch"')
    // Its record has only what recognises: no rule was asked, so nothing else was read.
    expect(code).toBe(2)
    expect(out).toContain('  "groups" is not recorded')
    expect(out).toContain('it can only come to:\n  deny by "tenant-mismatch"\n')
  })

  it('names hashed and withheld facts and what remains possible, and shows nothing in their place', async () => {
    const file = await record(hashed('groups', 'tenant'))
    const { code, out } = await explain('--record', 'r-0', '--audit', file)
    expect(code).toBe(2)
    expect(out).toContain('\nnot explained in full, for no value is guessed:\n  "aud" is hashed: ')
    expect(out).toContain('\n  "query.limit" is hashed: ')
    expect(out).not.toContain('"groups"')
    expect(out).toMatch(/it can only come to:\n {2}allow by "read-invoices", role "acme_finance_ro"\n {2}deny by "default"\n$/)
    const held = await explain('--record', 'r-0', '--audit', await record(withheld))
    expect(held).toMatchObject({ code: 2, out: expect.stringContaining('\n  "groups" is withheld: ') })
    for (const said of [out, held.out]) expect(said).not.toMatch(/\\u0000|%00|NaN|when\./)
  })

  it('explains hashed facts whose values the policies name, with the key; a number in a range stays unknown', async () => {
    const file = await record(hashed())
    const known = await explain('--record', 'r-1', '--audit', file, ...key())
    expect(known.code).toBe(0)
    expect(known.out).toMatch(/who\.contractors\.claims\.employee_type +"contractor"; wants "contractor"/)
    const ranged = await explain('--record', 'r-0', '--audit', file, ...key())
    expect(ranged.code).toBe(2)
    expect(ranged.out).toMatch(/guessed:\n {2}"query\.limit" is hashed: [^\n]*\nit can only/)
  })

  it('shows of a query only what rules read, and no value that nobody sent', async () => {
    const file = await record()
    const { code, out } = await explain('--record', 'r-0', '--audit', file)
    expect(code).toBe(0)
    expect(out).toMatch(/when\.query\.limit +.*100/)
    expect(out).not.toMatch(/hunter2|\?/)
    const odd = await explain('--record', 'r-4', '--audit', file)
    expect(odd).toMatchObject({ code: 2, out: expect.stringMatching(/"query\.limit" (was sent in a form|is not recorded)/) })
  })

  it('gives JSON', async () => {
    const { out } = await explain('--record', 'r-0', '--audit', await record(), '--json')
    expect(JSON.parse(out)).toMatchObject({
      recorded: { id: 'r-0', at: '2026-11-23T10:00:00Z', tenant: 'acme', effect: 'allow', rule: 'read-invoices', role: 'acme_finance_ro' },
      version: 'same',
      explanation: { decision: { effect: 'allow', by: 'read-invoices' } },
      untold: [],
      outcomes: [{ effect: 'allow', rule: 'read-invoices', role: 'acme_finance_ro' }],
    })
  })

  it('says that no such request was decided, or that the folder has no such tenant', async () => {
    const file = await record()
    expect(await explain('--record', 'r-99', '--audit', file)).toEqual({
      code: 2,
      out: '',
      err: 'postern explain: no record of 5 decided requests has the id "r-99"\n',
    })
    for (const kind of ['policy', 'policy-test']) await rm(join(dir, `policies/acme.${kind}.yaml`))
    const gone = await explain('--record', 'r-0', '--audit', file)
    expect(gone).toMatchObject({ code: 2, out: expect.stringContaining('the folder has no policy of this tenant') })
  })

  it('refuses what it cannot use, and explains by no policy with errors', async () => {
    const file = await record()
    for (const args of [
      ['--record', 'r-0'],
      ['--record', 'r-0', '--audit', join(dir, 'nothing')],
      ['--record', 'r-0', '--audit', file, '--at', '2026-11-23T10:00:00Z'],
      ['acme', 'anna', 'one', '--audit', file],
      ['--record', 'r-0', '--audit', file, '--hash-key-file', file],
    ])
      expect(await explain(...args)).toMatchObject({ code: 64, out: '' })
    await edit('who: finance-staff', 'who: finance-staf')
    expect(await explain('--record', 'r-0', '--audit', file)).toMatchObject({ code: 1, out: '', err: expect.stringContaining('P207') })
  })

  it('lets no text of a record steer the terminal', async () => {
    const text = (await readFile(await record(), 'utf8')).replaceAll('anna@example.com', 'a\\u001b[2J\\u202e')
    await writeFile(join(dir, 'evil.jsonl'), text)
    const { out } = await explain('--record', 'r-0', '--audit', join(dir, 'evil.jsonl'))
    expect(out).toContain('subject "a\\u001b[2J\\u202e"')
    for (const steering of ['\u001b', '\u202e']) expect(out).not.toContain(steering)
  })
})
