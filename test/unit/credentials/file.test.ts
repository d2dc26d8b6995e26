import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CredentialEvent } from '../../../src/credentials/events.ts'
import { openFileProvider } from '../../../src/credentials/file.ts'
import type { Credential, CredentialProvider } from '../../../src/model/credential.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const entry = (over: object = {}) => ({ username: 'u', password: 'first-secret', ...over })
const poll = 5_000

describe('credentials from a file', () => {
  let folder: string
  let file: string
  let clock: ManualClock
  let provider: CredentialProvider
  let next: PromiseWithResolvers<CredentialEvent>

  const write = (content: object | string, to = file): Promise<void> =>
    writeFile(to, typeof content === 'string' ? content : JSON.stringify(content))
  const open = async () => {
    const observe = (event: CredentialEvent): void => {
      next.resolve(event)
      next = Promise.withResolvers()
    }
    const opened = await openFileProvider({ file, observe, clock })
    provider = opened.provider
    return opened
  }
  /** The slow poll sees it, whatever events the file system sends. */
  const changed = async (): Promise<CredentialEvent> => {
    const event = next.promise
    await clock.advance(poll)
    return event
  }
  const current = (role = 'acme_ro'): Credential => {
    const answer = provider.current(role)
    if ('unavailable' in answer) throw new Error(answer.detail)
    return answer
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-file-'))
    file = join(folder, 'credentials.json')
    clock = new ManualClock()
    next = Promise.withResolvers()
  })
  afterEach(async () => {
    await provider?.close()
    await rm(folder, { recursive: true })
  })

  it('are handed out, with a number that counts changes', async () => {
    await write({ acme_ro: entry(), other: entry() })
    expect((await open()).findings).toEqual([])
    const first = current()
    expect(first).toMatchObject({ role: 'acme_ro', username: 'u', generation: 1, notAfter: Number.POSITIVE_INFINITY })
    const other = current('other')
    await write({ acme_ro: entry({ password: 'second' }), other: entry() })
    await changed()
    expect(current()).toMatchObject({ generation: 2 })
    expect(current().password.open()).toBe('second')
    // What did not change is the same object: a backend keeps its pool.
    expect(current('other')).toBe(other)
  })

  it('follow a rename over the file and a swapped link', async () => {
    await write({ acme_ro: entry() })
    await open()
    await write({ acme_ro: entry({ password: 'second' }) }, join(folder, 'new'))
    await rename(join(folder, 'new'), file)
    await changed()
    expect(current().generation).toBe(2)
    await write({ acme_ro: entry({ password: 'third' }) }, join(folder, 'data'))
    await symlink('data', join(folder, 'link'))
    await rename(join(folder, 'link'), file)
    await changed()
    expect(current().password.open()).toBe('third')
  })

  it('keep a number and an end that the file gives', async () => {
    await write({ acme_ro: entry({ generation: 41, 'not-after': '2026-11-23T10:01:00Z' }) })
    await open()
    expect(current()).toMatchObject({ generation: 41, notAfter: clock.now() + 60_000 })
    await clock.advance(60_000)
    expect(provider.current('acme_ro')).toMatchObject({ unavailable: 'credential-unavailable' })
  })

  it.each([
    ['{ "acme_ro": { "username": "u", "password": "first', /C103 not valid JSON/],
    ['', /the file is empty/],
    ['{ "acme_ro": { "username": "u" } }', /password is missing/],
    ['{ "acme_ro": { "username": "u", "password": 12345678 } }', /password is not text/],
    ['{ "acme_ro": { "username": "u", "password": "x", "pasword": "y" } }', /not a key here/],
    ['{ "postern_x": { "username": "u", "password": "x" } }', /reserved word/],
    ['{ "acme_ro": { "username": "u", "password": "x", "not-after": "soon" } }', /not an instant/],
  ])('stay as they were when the file turns into %s', async (content, message) => {
    await write({ acme_ro: entry() })
    await open()
    await write(content)
    const event = await changed()
    expect(event.kind === 'file' && event.findings.map(({ code, message: text }) => `${code} ${text}`).join('\n')).toMatch(message)
    expect(current()).toMatchObject({ generation: 1 })
    await rm(file)
    expect(await changed()).toMatchObject({ findings: [{ code: 'C101', severity: 'error' }] })
    expect(current()).toMatchObject({ generation: 1 })
  })

  it('never stand in a finding, a status or an inspected object', async () => {
    for (const bad of [
      '{ "acme_ro": { "password": hunter2hunter2 : : } }',
      '{ "acme_ro": { "username": "u", "password": ["hunter2hunter2"] } }',
      '"hunter2hunter2" "x"',
    ]) {
      await write(bad)
      const { findings } = await open()
      expect(findings.length).toBeGreaterThan(0)
      expect(JSON.stringify(findings)).not.toContain('hunter2')
      await provider.close()
    }
    await write({ acme_ro: entry() })
    await open()
    provider.roles(['acme_ro', 'absent'])
    expect(provider.status()).toMatchObject([{ state: 'current' }, { role: 'absent', state: 'unavailable' }])
    expect(inspect([provider, provider.status(), current()], { depth: null, showHidden: true })).not.toContain('first-secret')
  })

  it('are absent, with a finding, where the file was never good', async () => {
    const { findings } = await open()
    expect(findings).toMatchObject([{ code: 'C101' }])
    expect(provider.current('acme_ro')).toMatchObject({ unavailable: 'credential-unavailable' })
    await write({ acme_ro: entry() })
    await changed()
    expect(current().generation).toBe(1)
  })
})
