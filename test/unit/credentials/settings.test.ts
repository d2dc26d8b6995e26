import { describe, expect, it } from 'vitest'
import { readDocument } from '../../../src/config/document.ts'
import { Source } from '../../../src/config/source.ts'
import { credentialsShape } from '../../../src/credentials/settings.ts'

const read = (text: string) => {
  const source = new Source('proxy.config.yaml', Buffer.from(text), 'C')
  const { value } = readDocument(source, credentialsShape)
  return { value, findings: source.findings.map(({ line, code, message }) => `${line} ${code} ${message}`) }
}

describe('credentials:', () => {
  it('has the defaults of the contract', () => {
    expect(read('provider: cassandra').value).toEqual({
      provider: 'cassandra',
      'rotate-every': 900_000,
      overlap: 300_000,
      'hard-ttl': 86_400_000,
      'after-hard-ttl': 'refuse',
      'credentials-file': null,
      endpoint: null,
      files: null,
    })
  })

  it.each([
    ['provider: openbao', /does not build it yet/],
    ['{ provider: cassandra, after-hard-ttl: keep }', /does not build it yet/],
    ['{ provider: cassandra, rotate-every: 5m, overlap: 5m }', /overlap must be shorter/],
    ['{ provider: cassandra, hard-ttl: 10m }', /hard-ttl must be at least/],
    ['{ provider: cassandra, rotate-every: 500ms }', /out of range/],
    ['{ provider: cassandra, credentials-file: c.json }', /belongs to provider file/],
    ['provider: file', /needs credentials-file/],
    ['{ provider: file, credentials-file: c.json, overlap: 1m }', /no meaning for provider file/],
    ['{ provider: cassandra, endpoint: { listen: "0.0.0.0:9", bearers: [{ token-file: t, roles: [a] }] } }', /reached from other machines/],
    ['{ provider: cassandra, files: { dir: d, roles: [Acme] } }', /is not a role name/],
    ['{ provider: cassandra, rotate: 5m }', /not a key here/],
  ])('%s is refused with a position', (text, message) => {
    const { value, findings } = read(text)
    expect(value).toBeNull()
    expect(findings).toHaveLength(1)
    expect(findings[0]).toMatch(message)
    expect(findings[0]).toMatch(/^1 C20/)
  })

  it('rotates every second in tests', () => {
    expect(read('{ provider: cassandra, rotate-every: 1s, overlap: 500ms }').value).toMatchObject({ 'rotate-every': 1000, overlap: 500 })
  })
})
