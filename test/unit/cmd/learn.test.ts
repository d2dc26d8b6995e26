import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { run as check } from '../../../cmd/check.ts'
import { run as learn } from '../../../cmd/learn.ts'
import { run as test } from '../../../cmd/test.ts'
import { hashed, hashKey, inClear, withheld } from '../../support/records.ts'
import { engineOf, logOf, ofAcme } from '../../support/traffic.ts'
import type { Asked } from '../policy/fixtures.ts'

const own = new URL('../../../policies', import.meta.url).pathname
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'postern-'))
  await cp(own, dir, { recursive: true })
  await rm(join(dir, 'acme.policy-test.yaml'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const tell = async (command: typeof learn, ...args: string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await command(args, { out: text => void out.push(text), err: text => void err.push(text) })
  return { code, out: out.join(''), err: err.join('') }
}

const anna: Asked = { subject: 'anna@example.com', ip: '10.77.3.4' }
const lea: Asked = { subject: 'lea@example.com', ip: '10.88.3.4', claims: { groups: ['acme-finance-leads', 'board-of-directors'] } }
const carl: Asked = { subject: 'carl@example.com', ip: '203.0.113.77', claims: { employee_type: 'contractor' } }
const bot: Asked = { ...anna, agents: ['secret-agent', 'other-agent'] }
const traffic: readonly Asked[] = [
  { ...anna, call: 'GET /v1/invoices?limit=123' },
  { ...anna, call: 'GET /v1/invoices?limit=123' },
  { ...anna, call: 'GET /v1/invoices/anna-salary' },
  { ...anna, call: 'GET /v1/invoices?limit=9876' },
  { ...anna, call: 'GET /v1/invoices?format=csv' },
  { ...lea, call: 'POST /v1/invoices' },
  { ...lea, call: 'POST /v1/invoices', headers: ['x-rehearsal', 'private-note'] },
  { ...lea, call: 'GET /v1/invoices/i-9', claims: { ...lea.claims, region: 'atlantis' } },
  { ...carl, call: 'GET /v1/invoices/i-7' },
  { ...carl, call: 'GET /v1/invoices/i-7', ip: null },
  { ...carl, call: 'GET /v1/invoices/i-7', ip: '198.51.100.9' },
  { ...bot, call: 'GET /v1/invoices/i-7' },
  { ...anna, call: 'DELETE /v1/invoices/i-7' },
  { ...anna, call: 'GET /private/anna' },
]

const record = async (options = inClear, asked = traffic): Promise<string> => {
  const file = join(dir, 'audit.jsonl')
  await writeFile(file, logOf(await engineOf(own), asked.map(ofAcme), options))
  return file
}
const draft = (): string => join(dir, 'acme.learned.policy-test.yaml')
const policies = (): string[] => ['--policies', dir, '--tenant', 'acme']

describe('postern learn', () => {
  it('drafts a test file that passes check and test beside its policy', async () => {
    const learned = await tell(learn, await record(), ...policies(), '-o', draft())
    expect(learned).toMatchObject({ code: 0, err: '' })
    const checked = await tell(check, '--policies', dir, '--strict')
    expect(checked.out).toContain('0 errors')
    const tested = await tell(test, '--policies', dir)
    expect(tested.out).toMatch(/acme: \d+ expectations, 0 failed/)
    expect(tested.code).toBe(0)
    const text = await readFile(draft(), 'utf8')
    for (const line of [
      /^ {2}finance-staff-1: \{ groups: \["acme-finance"\], region: "eu", ip: "10\.0\.0\.0" \}$/m,
      /^ {2}get-v1-invoices-invoice-1: "GET \/v1\/invoices\/invoice-1"$/m,
      /^ {2}post-v1-invoices-2: \{ call: "POST \/v1\/invoices", header: \{ x-rehearsal: "other" \} \}$/m,
      /^ {2}delete-v1-invoices-\S+ .*deny/m,
    ])
      expect(text).toMatch(line)
  })

  it('repeats no subject, address, agent, group, value or path that the policy does not name', async () => {
    const { out, err } = await tell(learn, await record(), ...policies())
    for (const secret of [
      'anna',
      'lea@',
      'carl',
      '10.77',
      '10.88',
      '203.0.113',
      '198.51.100.9',
      'secret-agent',
      'other-agent',
      'board',
      'atlantis',
      'private',
      'i-7',
      '9876',
    ])
      expect(`${out}${err}`).not.toContain(secret)
  })

  it('asserts what was decided, at the places where it was, and nothing else', async () => {
    const { out } = await tell(learn, await record(inClear, traffic.slice(0, 4)), ...policies())
    const cells = out.split('grid: |\n')[1]?.split('require')[0]
    expect(cells?.replace(/ +/g, ' ')).toBe(
      ' request finance-staff-1\n get-v1-invoices-1 allow\n get-v1-invoices-2 deny\n get-v1-invoices-invoice-1 allow\n',
    )
  })

  it('asserts nothing that the policy now decides otherwise', async () => {
    const file = await record(inClear, traffic.slice(0, 3))
    const policy = join(dir, 'acme.policy.yaml')
    await writeFile(policy, (await readFile(policy, 'utf8')).replace('limit: 1..500', 'limit: 1..5'))
    const { out, err } = await tell(learn, file, ...policies())
    expect(out).toMatch(/get-v1-invoices-1 +\.\n/)
    expect(err).toContain('left out: 1 cells that were decided otherwise')
  })

  it('lists unused rules, and groups and lines wider than their use', async () => {
    const { err } = await tell(learn, await record(inClear, traffic.slice(0, 3)), ...policies())
    for (const line of [
      'unused: rule contractors-off-network decided nothing',
      'unused: rule write-invoices decided nothing',
      'wider than its use: rule read-invoices let nobody through by HEAD /v1/invoices\n',
      'wider than its use: nobody came with the group acme-finance-leads',
    ])
      expect(err).toContain(line)
    expect(err).not.toContain('unused: rule read-invoices')
    expect(err).not.toContain('by GET /v1/invoices/{invoice}')
  })

  it('asks no more of the coverage than what is there reaches, and nothing where other tests reach it', async () => {
    const file = await record()
    expect((await tell(learn, file, ...policies())).out).not.toContain('require')
    const few = await record(inClear, traffic.slice(0, 3))
    expect((await tell(learn, few, ...policies())).out).toContain('require: { rules-covered: 25% }')
    await cp(join(own, 'acme.policy-test.yaml'), join(dir, 'acme.policy-test.yaml'))
    expect((await tell(learn, few, ...policies())).out).not.toContain('require')
  })

  it('drafts from hashes where the key is at hand, and from nothing where it is not', async () => {
    const key = join(dir, 'facts.key')
    await writeFile(key, hashKey.open().toString('hex'))
    const some = traffic.filter(({ call }) => !call?.includes('limit'))
    const file = await record(hashed(), some)
    expect((await tell(learn, file, ...policies(), '--hash-key-file', key)).out).toMatch(/delete-v1-invoices-\S+ .*deny/)
    expect(await tell(learn, await record(withheld, some), ...policies(), '-o', draft())).toMatchObject({ code: 2 })
    await expect(readFile(draft())).rejects.toThrow('ENOENT')
  })

  it('never writes over a file', async () => {
    await writeFile(draft(), 'precious')
    expect(await tell(learn, await record(), ...policies(), '-o', draft())).toMatchObject({
      code: 64,
      err: expect.stringContaining('is there already'),
    })
    expect(await readFile(draft(), 'utf8')).toBe('precious')
  })

  it('gives the same bytes for the same records', async () => {
    const file = await record()
    const [one, two] = [await tell(learn, file, ...policies(), '--json'), await tell(learn, file, ...policies(), '--json')]
    expect(one).toEqual(two)
    expect(JSON.parse(one.out)).toMatchObject({ wide: { unused: [] }, skipped: { 'no-rule': 1 } })
  })

  it('says which tenant it lacks', async () => {
    const file = await record()
    expect(await tell(learn, file, '--policies', dir, '--tenant', 'initech')).toMatchObject({
      code: 64,
      err: expect.stringContaining('initech'),
    })
    expect((await tell(learn, file, '--policies', dir)).code).toBe(64)
  })
})
