import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CassandraSession, CqlRow } from '../../../src/model/cassandra.ts'
import type { Identity } from '../../../src/model/identity.ts'
import type { Entry } from '../../../src/revocation/entry.ts'
import { denialsFile, readKept } from '../../../src/revocation/file.ts'
import { Revocation } from '../../../src/revocation/revocation.ts'
import { createShare } from '../../../src/revocation/share.ts'
import { memoryLog } from '../../support/issuer.ts'
import { ManualClock } from '../../support/manual-clock.ts'

let state: string
let clock: ManualClock
const opened: Revocation[] = []
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'postern-'))
  clock = new ManualClock()
})
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
  await rm(state, { recursive: true, force: true })
})

/** The table `postern.denials`, and the sessions on it. */
class FakeTable {
  readonly rows = new Map<string, { readonly entry: string; readonly end: number }>()
  up = true
  pages = 0

  readonly connect = async (): Promise<CassandraSession> => ({
    execute: async (cql, params = []) => this.#run(cql, params),
    hosts: () => [],
    upSince: () => 0,
    login: async () => 'ok',
    hold: async () => null,
    close: async () => undefined,
  })

  #run(cql: string, params: readonly unknown[]): readonly CqlRow[] {
    if (!this.up) throw new Error('no node answers')
    if (cql.startsWith('INSERT')) {
      const [scope, id, entry, ttl] = params
      this.rows.set(`${scope} ${id}`, { entry: String(entry), end: clock.monotonic() + Number(ttl) * 1000 })
      return []
    }
    this.pages++
    const [scope, after] = params
    return [...this.rows]
      .filter(([key, { end }]) => key.startsWith(`${scope} `) && end > clock.monotonic())
      .map(([key, { entry }]) => ({ id: key.slice(String(scope).length + 1), entry }))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .filter(({ id }) => id > String(after))
      .slice(0, 500)
  }
}

const open = async (table: FakeTable | null = null, folder = state, group = 'g'): Promise<Revocation> => {
  const share = table === null ? null : createShare({ connect: table.connect, group })
  const kept = await readKept(folder)
  const made = new Revocation({ clock, log: memoryLog(), state: folder, kept, share, pollEvery: 5_000, maxAge: 300_000 })
  opened.push(made)
  return made
}

const entry = (changes: Partial<Entry> = {}): Entry => ({
  id: 'one',
  kind: 'subject',
  value: 'anna',
  issuer: null,
  issuedUntil: null,
  withoutSession: false,
  at: clock.now(),
  until: clock.now() + 3_600_000,
  why: 'laptop stolen',
  by: 'control',
  removed: false,
  ...changes,
})

const anna: Identity = { issuer: 'i', subject: 'anna', audiences: [], scopes: [], agents: [], claims: {}, expiresAt: 1e15 }
const code = (revocation: Revocation): string | undefined => revocation.refusal(anna)?.code
/** Time passes until something on the disk or elsewhere has happened. */
const eventually = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise(done => setImmediate(done))
  expect(holds()).toBe(true)
}

describe('alone', () => {
  it('a denial holds over a restart, for this user only to read', async () => {
    const first = await open()
    await first.start()
    expect(await first.add(entry())).toEqual({ notKept: null, notShared: null })
    expect(code(first)).toBe('PST3020')
    expect((await stat(denialsFile(state))).mode & 0o777).toBe(0o600)
    expect(await readdir(state)).toEqual(['denials.json'])
    expect(code(await open())).toBe('PST3020')
  })

  it('nobody is denied, and nothing is asked of the clock, while the list is empty', async () => {
    const revocation = await open()
    expect([code(revocation), revocation.tenantRefusal('acme')]).toEqual([undefined, null])
  })

  it('what cannot be written is in force all the same, and said', async () => {
    const revocation = await open()
    await rm(state, { recursive: true })
    await writeFile(state, 'not a folder')
    const done = await revocation.add(entry())
    expect(done?.notKept).toMatch(/\w/)
    expect(code(revocation)).toBe('PST3020')
  })

  it('acts at the same time are all in the file', async () => {
    const revocation = await open()
    await Promise.all(Array.from({ length: 50 }, (_, i) => revocation.add(entry({ id: `${i}` }))))
    expect((await readKept(state)).entries).toHaveLength(50)
  })

  it.each([
    ['is cut off', (text: string) => text.slice(0, -20)],
    ['is empty', () => ''],
    ['has an entry with a member missing', (text: string) => text.replace('"why"', '"reason"')],
    ['is of another version', (text: string) => text.replace('denials/v1', 'denials/v2')],
  ])('a file that %s is refused, not half believed', async (_, damage) => {
    const revocation = await open()
    await revocation.add(entry())
    await writeFile(denialsFile(state), damage(await readFile(denialsFile(state), 'utf8')))
    await expect(readKept(state)).rejects.toThrow(/denials\.json is damaged/)
  })
})

describe('shared', () => {
  const other = async (): Promise<string> => mkdtemp(join(state, 'other-'))

  it('a denial reaches the other sidecar with its next look, its removal too, and streams are told of both', async () => {
    const table = new FakeTable()
    const [a, b] = [await open(table), await open(table, await other())]
    await Promise.all([a.start(), b.start()])
    let told = 0
    b.onChange(() => told++)
    await a.add(entry())
    expect(code(b)).toBeUndefined()
    await clock.advance(5_000)
    await eventually(() => code(b) === 'PST3020')
    await a.add(entry({ removed: true, at: entry().at - 5_000 }))
    await clock.advance(5_000)
    await eventually(() => code(b) === undefined)
    expect(told).toBe(2)
  })

  it('another group is not concerned', async () => {
    const table = new FakeTable()
    const [a, b] = [await open(table), await open(table, await other(), 'h')]
    await a.start()
    await a.add(entry())
    await b.start()
    expect(code(b)).toBeUndefined()
  })

  it('more than a page is read to its end', async () => {
    const table = new FakeTable()
    const a = await open(table)
    await a.start()
    for (let i = 0; i < 501; i++)
      await createShare({ connect: table.connect, group: 'g' }).push(entry({ id: `${i}`, value: `${i}` }), clock.now())
    const b = await open(table, await other())
    await b.start()
    expect(b.list()).toHaveLength(501)
  })

  it('while the table is away the last copy holds, then nobody with a token is served, then it is good again', async () => {
    const table = new FakeTable()
    const a = await open(table)
    let told = 0
    await a.start()
    a.onChange(() => told++)
    table.up = false
    await clock.advance(299_000)
    expect(code(a)).toBeUndefined()
    expect(a.status()).toMatchObject({ ageSeconds: expect.any(Number), lastError: 'no node answers' })
    await clock.advance(10_000)
    expect([code(a), told]).toEqual(['PST3104', 1])
    table.up = true
    await clock.advance(5_000)
    await eventually(() => code(a) === undefined)
  })

  it('a denial that could not be shared is in force here, and shared when that is possible, after a restart too', async () => {
    const table = new FakeTable()
    const a = await open(table)
    await a.start()
    table.up = false
    expect(await a.add(entry())).toEqual({ notKept: null, notShared: 'no node answers' })
    expect([code(a), a.status().unshared]).toEqual(['PST3020', 1])
    await a.close()
    table.up = true
    const again = await open(table)
    await again.start()
    expect([table.rows.size, again.status().unshared]).toEqual([1, 0])
  })

  it('a restart while the table is away goes by the age of the file; who never saw the list refuses', async () => {
    const table = new FakeTable()
    const first = await open(table)
    await first.start()
    await first.add(entry())
    await first.close()
    table.up = false
    const start = async (folder: string) => {
      const made = await open(table, folder)
      await made.start()
      return made
    }
    const bob = { ...anna, subject: 'bob' }
    const again = await start(state)
    expect([code(again), again.refusal(bob)]).toEqual(['PST3020', null])
    expect(code(await start(await other()))).toBe('PST3104')
    clock.stop(300_001)
    expect((await start(state)).refusal(bob)?.code).toBe('PST3104')
  })

  it('a row that is not ours is a list that cannot be read', async () => {
    const table = new FakeTable()
    table.rows.set('g x', { entry: '{"id":"x"}', end: 1e12 })
    const a = await open(table)
    await a.start()
    expect([code(a), a.status().lastError]).toEqual(['PST3104', expect.stringContaining('not one of ours')])
  })
})
