import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DemoProvider, startProvider } from '../../deploy/demo/provider.ts'
import { type Chance, chance } from '../support/chance.ts'
import { type FaultyProxy, faults, startFaultyProxy } from '../support/faulty-proxy.ts'
import { forge, type Gate, type Json, makeKey, openGate, settingsFor, signerOf } from '../support/issuer.ts'
import { type Recorder, startPostern, startRecorder, type TestPostern } from '../support/postern.ts'

/** A real OpenID provider that rotates its keys, dies, comes back, and answers as badly as can be, while its users go on calling. */
const seed = Number(process.env['SEED'] ?? 4)
const rounds = Number(process.env['CASES'] ?? 1)
const users = { ann: { claims: { tenant: 'acme', groups: ['staff'] } } }
/** What a busy machine may add to a deadline, in milliseconds. */
const slack = 1_500

let proxy: FaultyProxy
let provider: DemoProvider
const begin = async (): Promise<void> => {
  provider = await startProvider({ port: proxy.to, issuer: proxy.url, users })
}
beforeAll(async () => {
  proxy = await startFaultyProxy()
  await begin()
})
afterAll(async () => {
  await provider.stop()
  await proxy.stop()
})

const respelled = (token: string, header: Json, payload: Json = {}): [Json, Json, string] => {
  const [head = '', body = '', signature = ''] = token.split('.')
  const read = (text: string): Json => JSON.parse(Buffer.from(text, 'base64url').toString()) as Json
  return [{ ...read(head), ...header }, { ...read(body), ...payload }, signature]
}
const mine = makeKey('RS256', 'mine')
/** Tokens that nobody may be let in by, each made of a good one, and what may be said of it. */
const forgeries: readonly ((token: string) => readonly [string, RegExp])[] = [
  token => {
    const [header, payload, signature] = respelled(token, {}, { sub: 'root' })
    return [forge(header, payload, () => signature), /^PST3006$|^PST3005$|^PST310[12]$/]
  },
  token => [forge(...(respelled(token, {}).slice(0, 2) as [Json, Json]), signerOf(mine)), /^PST3006$|^PST3005$|^PST310[12]$/],
  token => [
    forge(...(respelled(token, { kid: `k${token.length % 7}` }).slice(0, 2) as [Json, Json]), signerOf(mine)),
    /^PST3005$|^PST310[12]$/,
  ],
  token => [forge(...(respelled(token, { alg: 'none' }).slice(0, 2) as [Json, Json]), () => ''), /^PST3004$/],
  token => [forge(...(respelled(token, { kid: 'half' }).slice(0, 2) as [Json, Json]), signerOf(mine)), /^PST3005$|^PST310[12]$/],
]

interface Tally {
  known: number
  fresh: number
  forged: number
  /** Of calls that had to wait for the provider, in milliseconds. */
  longest: number
  /** A known token refused, a good one called bad, a forged one let in, or refused for another reason than is true. */
  readonly wrong: string[]
}

/** Callers of all kinds, as fast as they can, until `stop`. */
class Load {
  readonly tally: Tally = { known: 0, fresh: 0, forged: 0, longest: 0, wrong: [] }
  /** Tokens whose keys the provider publishes, and that were let in once. */
  readonly valid: string[] = []
  readonly #gate: Gate
  readonly #workers: Promise<void>[]
  #running = true

  constructor(gate: Gate, c: Chance) {
    this.#gate = gate
    this.#workers = Array.from({ length: 6 }, () => this.#work(c))
  }

  async stop(): Promise<Tally> {
    this.#running = false
    await Promise.all(this.#workers)
    return this.tally
  }

  /** A token that nobody has seen. It may have to wait, and it is never called bad. */
  async fresh(): Promise<string> {
    const token = await provider.token('ann')
    const got = await this.#ask(token)
    this.tally.fresh++
    if (!/^ok$|^PST310[12]$/.test(got)) this.tally.wrong.push(`fresh: ${got} while ${proxy.fault}`)
    if (got === 'ok') this.valid.push(token)
    return got
  }

  async #work(c: Chance): Promise<void> {
    for (; this.#running; await turn()) {
      const token = c.pick(this.valid)
      if (token === undefined) continue
      if (c.maybe(90)) {
        const got = await this.#ask(token)
        this.tally.known++
        // It may have been withdrawn while it was asked about.
        if (got !== 'ok' && this.valid.includes(token)) this.tally.wrong.push(`known: ${got} while ${proxy.fault}`)
      } else {
        const [forged, expected] = c.pick(forgeries)(token)
        const got = await this.#ask(forged)
        this.tally.forged++
        if (!expected.test(got)) this.tally.wrong.push(`forged: ${got} while ${proxy.fault}`)
      }
    }
  }

  async #ask(token: string): Promise<string> {
    const began = performance.now()
    const got = await this.#gate.code(token)
    this.tally.longest = Math.max(this.tally.longest, performance.now() - began)
    return got
  }
}

describe('a gate on a real provider behind a faulty proxy', () => {
  const bounds = {
    fetchDeadline: 200,
    requestWait: 300,
    refreshEvery: 40,
    retryMin: 20,
    retryMax: 60,
    // So that known tokens are verified again and again in the middle of it all.
    verifyAgainAfter: 100,
    failureFor: 50,
    bucketEvery: 10,
  }

  it(
    `decides nothing wrongly, waits for nothing past its deadline, and refuses no known token: rotations, faults and a restart under load (SEED=${seed} CASES=${rounds})`,
    async () => {
      const gate = openGate([settingsFor(proxy.url, { audiences: ['postern-demo'] })], bounds)
      const load = new Load(gate, chance(seed))
      /** The documents of now have been asked for, whatever came of it. */
      const askedAgain = (times = 2): Promise<void> => {
        const before = proxy.asked
        return expect.poll(() => proxy.asked - before, { timeout: 10_000, interval: 10 }).toBeGreaterThan(times)
      }
      /** Publishes the next key; the one before the present one is withdrawn, and its tokens with it. */
      const announce = async (): Promise<void> => {
        load.valid.splice(0, load.valid.length, ...(await Promise.all([provider.token('ann'), provider.token('ann')])))
        await provider.announceKey()
      }
      const well = () => expect.poll(() => load.fresh(), { timeout: 10_000, interval: 20 }).toBe('ok')
      await well()
      for (let round = 0; round < rounds; round++) {
        for (let i = 0; i < 3; i++) {
          await announce()
          await askedAgain(4)
          await provider.rotateKeys()
          expect(await load.fresh()).toBe('ok')
        }
        for (const fault of faults) {
          proxy.fault = fault
          await askedAgain()
          await load.fresh()
          await askedAgain()
          // A key that nobody could hear of: its tokens are not bad, they cannot be told.
          if (fault === 'refuse' || fault === 'half-open' || fault === 'truncated') {
            await provider.rotateKeys()
            expect(await load.fresh()).toMatch(/^PST310[12]$/)
            load.valid.length = 0
          }
          // What it publishes meanwhile does not come through, and then it does.
          if (fault === 'html') await announce()
          proxy.fault = null
          await well()
          if (fault === 'html') {
            await askedAgain(4)
            await provider.rotateKeys()
            expect(await load.fresh()).toBe('ok')
          }
        }
        await provider.stop()
        await askedAgain()
        // It comes back with other keys: tokens of before are no longer vouched for.
        load.valid.length = 0
        await begin()
        await well()
      }
      const tally = await load.stop()
      gate.identifier.close()
      expect(tally.wrong).toEqual([])
      expect(tally.longest).toBeLessThan(bounds.requestWait + slack)
      expect(Math.min(tally.known / 100, tally.fresh, tally.forged / 10)).toBeGreaterThan(5)
    },
    60_000 + rounds * 30_000,
  )
})

describe('the whole proxy, with its own bounds', () => {
  let backend: Recorder
  let postern: TestPostern
  beforeAll(async () => {
    backend = await startRecorder()
    postern = await startPostern({ issuer: proxy.url, upstreamPort: backend.port })
  })
  afterAll(async () => {
    await postern.stop()
    await backend.close()
  })

  it('serves every known token while keys rotate and the provider hangs, dies and answers nonsense; what it cannot tell is 503 within two seconds', async () => {
    const call = async (token: string) => {
      const began = performance.now()
      const { status } = await postern.call('/v1/x', { token })
      return { status, ms: performance.now() - began }
    }
    const tokens = [await provider.token('ann'), await provider.token('ann')]
    for (const token of tokens) expect((await call(token)).status).toBe(200)
    const statuses = new Map<number, number>()
    let running = true
    const worker = async (i: number): Promise<void> => {
      for (; running; await turn()) {
        const { status } = await call(tokens[i % tokens.length] ?? '')
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }
    const workers = [...Array(4).keys()].map(worker)
    await provider.announceKey()
    await provider.rotateKeys()
    const rotated = await provider.token('ann')
    expect((await call(rotated)).status).toBe(200)
    tokens.push(rotated)
    // The provider signs with a key that cannot be asked for.
    await provider.announceKey()
    await provider.rotateKeys()
    const unseen = await provider.token('ann')
    tokens.shift()
    tokens.shift()
    for (const fault of ['hang', 'html', 'refuse', 'huge'] as const) {
      proxy.fault = fault
      const { status, ms } = await call(unseen)
      expect([fault, status]).toEqual([fault, 503])
      expect(ms).toBeLessThan(2_000 + slack)
    }
    proxy.fault = null
    await expect.poll(async () => (await call(unseen)).status, { timeout: 15_000, interval: 100 }).toBe(200)
    running = false
    await Promise.all(workers)
    expect([...statuses.keys()]).toEqual([200])
    expect(statuses.get(200)).toBeGreaterThan(50)
  }, 40_000)
})
