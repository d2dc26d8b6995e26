import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { CredentialEvent, Observe } from '../../src/credentials/events.ts'
import { type OpenedProvider, providers } from '../../src/credentials/providers.ts'
import type { CredentialsSettings } from '../../src/credentials/settings.ts'
import type { Credential } from '../../src/model/credential.ts'
import { FakeCluster } from '../support/fake-cassandra.ts'
import { ManualClock } from '../support/manual-clock.ts'

const role = 'acme_finance_ro'
const hour = 3_600_000
const settings: CredentialsSettings = {
  provider: 'cassandra',
  'rotate-every': 900_000,
  overlap: 300_000,
  'hard-ttl': 2 * hour,
  'after-hard-ttl': 'refuse',
  'credentials-file': null,
  endpoint: null,
  files: null,
}

interface Bench extends OpenedProvider {
  readonly clock: ManualClock
  /** The source is gone or broken from now on. */
  break(): Promise<void>
  cleanUp(): Promise<void>
}

/** What each kind needs to stand on: a new row in the table does not compile without a row here. */
const benches: Readonly<Record<keyof typeof providers, (observe: Observe) => Promise<Bench>>> = {
  cassandra: async observe => {
    const clock = new ManualClock()
    const session = new FakeCluster(clock).session()
    const deps = { clock, random: randomBytes }
    const opened = await providers.cassandra({ settings, group: 'g', keys: [], connect: async () => session, observe, deps })
    const stop = async (): Promise<void> => {
      session.dead = true
    }
    return { ...opened, clock, break: stop, cleanUp: async () => undefined }
  },
  file: async observe => {
    const clock = new ManualClock()
    const folder = await mkdtemp(join(tmpdir(), 'postern-contract-'))
    const file = join(folder, 'credentials.json')
    const end = new Date(clock.now() + 2 * hour).toISOString()
    await writeFile(file, JSON.stringify({ [role]: { username: 'someone', password: randomBytes(32).toString('hex'), 'not-after': end } }))
    const connect = () => Promise.reject(new Error('never asked for'))
    const deps = { clock, random: randomBytes }
    const opened = await providers.file({
      settings: { ...settings, provider: 'file', 'credentials-file': file },
      group: 'g',
      keys: [],
      connect,
      observe,
      deps,
    })
    return { ...opened, clock, break: () => writeFile(file, '{'), cleanUp: () => rm(folder, { recursive: true }) }
  },
}

const ready = async (kind: keyof typeof providers): Promise<Bench & { readonly current: () => Credential }> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const observe = (event: CredentialEvent): void => {
    if (event.kind === 'rotated' || event.kind === 'file') resolve()
  }
  const bench = await benches[kind](observe)
  bench.provider.roles([role])
  await bench.clock.advance(0)
  await promise
  const current = (): Credential => {
    const answer = bench.provider.current(role)
    if ('unavailable' in answer) throw new Error(answer.detail)
    return answer
  }
  return { ...bench, current }
}

describe.each(Object.keys(providers) as (keyof typeof providers)[])('credential provider %s', kind => {
  it('hands out a credential that does not print its password, and the same object until it changes', async () => {
    const { provider, current, findings, cleanUp } = await ready(kind)
    expect(findings).toEqual([])
    const credential = current()
    expect(credential).toMatchObject({ role, generation: 1 })
    expect(current()).toBe(credential)
    expect(Object.isFrozen(credential)).toBe(true)
    const secret = credential.password.open()
    expect(secret.length).toBeGreaterThan(20)
    const shown = `${inspect([provider, credential], { depth: null, showHidden: true })}${JSON.stringify([credential, provider.status()])}`
    expect(shown).not.toContain(secret)
    await provider.close()
    await cleanUp()
  })

  it('answers a role it does not know with a value', async () => {
    const { provider, cleanUp } = await ready(kind)
    for (const name of ['nobody', '', '__proto__', "x'"])
      expect(provider.current(name)).toMatchObject({ unavailable: 'credential-unavailable' })
    await provider.close()
    await cleanUp()
  })

  it('keeps what it has when its source breaks, and hands out nothing past its end', async () => {
    const bench = await ready(kind)
    const before = bench.current()
    await bench.break()
    await bench.clock.advance(hour)
    expect(bench.current()).toMatchObject({ generation: before.generation, username: before.username })
    expect(bench.current().notAfter).toBeGreaterThan(bench.clock.now())
    await bench.clock.advance(hour)
    expect(bench.provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    expect(bench.provider.status()).toMatchObject([{ role, state: 'unavailable' }])
    await bench.provider.close()
    await bench.cleanUp()
  })

  it('stops when it is closed, once or twice', async () => {
    const { provider, clock, cleanUp } = await ready(kind)
    await provider.close()
    await provider.close()
    expect(provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    provider.roles([role, 'globex_orders_ro'])
    await clock.advance(hour)
    expect(provider.current(role)).toMatchObject({ unavailable: 'credential-unavailable' })
    expect(clock.waiting).toBe(0)
    await cleanUp()
  })
})
