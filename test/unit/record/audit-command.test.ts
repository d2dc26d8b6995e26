import { sign, verify } from 'node:crypto'
import { appendFile, chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { run } from '../../../cmd/audit.ts'
import { readHashKey, readSigningKey, readVerifyingKey, writeKeyPair } from '../../../src/record/keys.ts'
import { entry, temporaryFolder, testAudit, verifyingKey } from '../../support/audit-kit.ts'

const command = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  const [out, err]: string[][] = [[], []]
  const code = await run(args, { out: text => void out?.push(text), err: text => void err?.push(text) })
  return { code, out: out?.join('') ?? '', err: err?.join('') ?? '' }
}

describe('postern audit keygen', () => {
  it('makes a pair that fits, the private key readable by its owner only', async () => {
    const folder = await temporaryFolder()
    const { code, out } = await command('keygen', '--out', folder)
    expect(code).toBe(0)
    const [privateFile, publicFile] = [join(folder, 'audit-key.pem'), join(folder, 'audit-key.pub.pem')]
    expect(out).toContain(privateFile)
    expect(out).toContain(`--key ${publicFile}`)
    expect((await stat(privateFile)).mode & 0o777).toBe(0o600)
    const signature = sign(null, Buffer.from('x'), await readSigningKey(privateFile))
    expect(verify(null, Buffer.from('x'), await readVerifyingKey(publicFile), signature)).toBe(true)
  })

  it('never overwrites either file', async () => {
    const folder = await temporaryFolder()
    const file = join(folder, 'k.pem')
    await writeFile(join(folder, 'k.pub.pem'), 'precious')
    expect(await command('keygen', '--out', file)).toMatchObject({ code: 64, err: expect.stringContaining('exists already') })
    await rm(join(folder, 'k.pub.pem'))
    expect((await command('keygen', '--out', file)).code).toBe(0)
    const before = await readFile(file, 'utf8')
    expect((await command('keygen', '--out', file)).code).toBe(64)
    expect(await readFile(file, 'utf8')).toBe(before)
  })

  it('makes a key for facts that a configuration takes, readable by its owner only, and never over a file', async () => {
    const file = join(await temporaryFolder(), 'facts.key')
    expect((await command('keygen', '--hash', '--out', file)).code).toBe(0)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const text = await readFile(file, 'utf8')
    expect(text.trim()).toHaveLength(64)
    expect((await readHashKey(file)).equals(Buffer.from(text.trim(), 'hex'))).toBe(true)
    expect(await command('keygen', '--hash', '--out', file)).toMatchObject({ code: 64, err: expect.stringContaining('exists already') })
    expect(await readFile(file, 'utf8')).toBe(text)
  })

  it('wants to be told where, and says why it cannot write', async () => {
    expect((await command('keygen')).code).toBe(64)
    expect(await command('keygen', '--out', join(await temporaryFolder(), 'no', 'such', 'folder', 'k.pem'))).toMatchObject({ code: 64 })
  })
})

describe('key files', () => {
  it('that are no Ed25519 key of their sort are refused without a word of their content', async () => {
    const folder = await temporaryFolder()
    const { privateFile, publicFile } = await writeKeyPair(folder)
    const secret = join(folder, 'other.pem')
    await writeFile(secret, '-----BEGIN PRIVATE KEY-----\nTOPSECRET\n-----END PRIVATE KEY-----\n')
    await expect(readSigningKey(secret)).rejects.toThrow(/is not a private key/)
    await expect(readSigningKey(secret)).rejects.not.toThrow(/TOPSECRET/)
    await expect(readSigningKey(publicFile)).rejects.toThrow(/is not a private key/)
    await expect(readVerifyingKey(privateFile)).rejects.toThrow(/is a private key/)
    await expect(readSigningKey(join(folder, 'none.pem'))).rejects.toThrow(/ENOENT/)
  })
})

describe('postern audit verify', () => {
  const log = async () => {
    const made = await testAudit()
    await made.audit.idle()
    for (let i = 0; i < 5; i++) made.audit.exchange(entry())
    await made.audit.close('x')
    const key = join(made.base, 'public.pem')
    await writeFile(key, verifyingKey.export({ type: 'spki', format: 'pem' }))
    return { ...made, args: ['verify', '--dir', join(made.base, 'audit'), '--second', join(made.base, 'second'), '--key', key] }
  }

  it('exits 0 on a sound log and says how many records are not yet attested', async () => {
    const { args } = await log()
    const { code, out, err } = await command(...args)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^SOUND/)
    expect(out).toContain('7 records read, 7 signed for; 0 not')
  })

  it('exits 1 on a changed one and says where', async () => {
    const { args, own, chain } = await log()
    const path = own('000000000000.jsonl')
    await writeFile(path, (await readFile(path, 'utf8')).replace('"alice"', '"alicf"'))
    const { code, out } = await command(...args)
    expect(code).toBe(1)
    expect(out).toMatch(/^TAMPERED/)
    expect(out).toMatch(/a record between 1 and 6 was changed/)
    expect(out).toContain(chain)
  })

  it('exits 2 without a second place, without a key, and where a file may not be read', async () => {
    const { args, base, own } = await log()
    expect(await command(...args, '--second', '')).toMatchObject({ code: 2, out: expect.stringMatching(/^CANNOT TELL/) })
    expect(await command(...args.slice(0, 5))).toMatchObject({ code: 2, out: expect.stringContaining('no public key') })
    await rm(join(base, 'second'), { recursive: true })
    expect((await command(...args)).code).toBe(2)
    await rm(own('000000000000.jsonl'))
    await mkdir(own('000000000000.jsonl'))
    expect(await command(...args)).toMatchObject({ code: 2, err: expect.stringContaining('EISDIR') })
    await chmod(own(''), 0o755)
  })

  it('gives the whole report as JSON', async () => {
    const { args, chain } = await log()
    const { code, out } = await command(...args, '--json')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      exit: 0,
      verdict: 'sound',
      records: 7,
      chains: [{ chain, records: 7, attested: 7, ended: true }],
    })
  })

  it('exits 64 on a key that is none, and on a command that it does not know', async () => {
    const { args, base } = await log()
    const file = join(base, 'bad.pem')
    await appendFile(file, 'x')
    expect((await command(...args, '--key', file)).code).toBe(64)
    expect((await command('prove')).code).toBe(64)
    expect((await command()).code).toBe(64)
    await expect(command('verify', '--nonsense')).rejects.toThrow(/nonsense/)
  })
})
