import { generateKeyPairSync } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/load.ts'
import { writeInstallation } from '../support/postern.ts'

const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

const issuer = 'https://login.example.com/'
const load = async (introspection: string, files: Readonly<Record<string, string>>, dpop = '') => {
  const sections = {
    issuers: `issuers: [{ issuer: "${issuer}", audiences: [api], introspection: { client-id: p, ${introspection} } }]`,
    dpop,
  }
  const file = await writeInstallation({ issuer, upstreamPort: 1, sections, files })
  folders.push(dirname(file))
  const loaded = await loadConfig(file)
  return 'config' in loaded ? loaded : loaded.map(({ code, message }) => `${code} ${message}`).join('\n')
}
const pem = (type: 'pkcs8' | 'pkcs1', bits: number): string =>
  String(generateKeyPairSync('rsa', { modulusLength: bits }).privateKey.export({ type, format: 'pem' }))

describe('what the introspecting client shows', () => {
  it('is read from its file, and another secret makes other settings', async () => {
    const one = await load('client-secret-file: c', { c: 'one\n' })
    const two = await load('client-secret-file: c', { c: 'two\n' })
    if (typeof one === 'string' || typeof two === 'string') throw new Error(`${one} ${two}`)
    expect(one.issuers[0]?.introspection?.client.secret.open()).toBe('one')
    expect(one.issuers[0]?.digest).not.toBe(two.issuers[0]?.digest)
    expect(JSON.stringify(one)).not.toContain('"one"')
    expect(one.secretFiles.map(path => path.split('/').at(-1))).toEqual(['gateway.secret', 'c'])
  })

  it.each<[string, string, Readonly<Record<string, string>>, string]>([
    ['T34: a missing file', 'client-secret-file: c', {}, 'C207 the client secret of p cannot be read (ENOENT)'],
    ['T34: an empty file', 'client-secret-file: c', { c: '' }, 'C204 the client secret of p is empty.'],
    ['two lines', 'client-secret-file: c', { c: 'one\ntwo\n' }, 'C204 the client secret of p must be one line'],
    ['no key', 'private-key-file: k', { k: 'letmein' }, 'C204 the private key of p is no RSA key'],
    ['a short key', 'private-key-file: k', { k: pem('pkcs8', 1024) }, 'C204 the private key of p is no RSA key'],
    ['a key in another form', 'private-key-file: k', { k: pem('pkcs1', 2048) }, 'C204 the private key of p is no RSA key'],
  ])('cannot be %s, and is not repeated', async (_, entry, files, message) => {
    const found = await load(entry, files)
    expect(found).toContain(message)
    for (const text of Object.values(files)) if (text !== '') expect(found).not.toContain(text.trim())
  })

  it('may be a key', async () => {
    expect(await load('private-key-file: k', { k: pem('pkcs8', 2048) })).toHaveProperty('config')
  })
})

describe('the key of the nonces', () => {
  it('is read, and must be long enough', async () => {
    const files = { c: 'one', n: 'a'.repeat(64) }
    const loaded = await load('client-secret-file: c', files, 'dpop: { nonce: true, nonce-key-file: n }')
    if (!(typeof loaded === 'object' && 'dpop' in loaded)) throw new Error(String(loaded))
    expect(loaded.dpop).toMatchObject({ maxAge: 60_000, nonce: true })
    expect(loaded.dpop.nonceKey?.equals(Buffer.from('a'.repeat(64)))).toBe(true)
    const short = await load('client-secret-file: c', { ...files, n: 'short' }, 'dpop: { nonce: true, nonce-key-file: n }')
    expect(short).toContain('C204 the key of the nonces holds 5 bytes; at least 32')
  })
})
