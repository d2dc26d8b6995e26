import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { main } from '../../../cmd/main.ts'
import { type ControlSocket, listenControl } from '../../../src/control.ts'
import { createCredentialAct } from '../../../src/credential-acts.ts'
import type { Acts, CutDone } from '../../../src/credentials/acts.ts'
import type { Asked } from '../../../src/credentials/role.ts'
import type { EventEntry } from '../../../src/model/audit.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const role = 'acme_finance_ro'
const whole: CutDone = {
  role,
  at: Date.UTC(2026, 10, 23),
  why: 'test',
  nodes: [{ host: '10.0.0.1:9042', loginMs: 12, connectionMs: 9, dataMs: 11, open: { count: 1, some: ['10.0.3.7:1 as postern_x_a'] } }],
  unreached: 0,
  revoked: true,
  unlocked: [],
  unmarked: null,
  reached: 'complete',
}

let state: string
let socket: ControlSocket
let events: EventEntry[]
let answers: { cut: CutDone; rotate: Asked }
let asked: unknown[]

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'postern-cred-'))
  events = []
  asked = []
  answers = { cut: whole, rotate: { is: 'rotated', generation: 7 } }
  const acts: Acts = {
    history: async name => ({
      role: name,
      rows: [
        { role: name, generation: 2, slot: 'b', state: 'current', owner: 'g/pod\u001b[2J/1', at: 1000, notBefore: 1000, notAfter: 2000 },
      ],
      cut: { at: 5000, why: 'stolen' },
      asked: false,
    }),
    rotate: async (...args) => {
      asked.push(args)
      return answers.rotate
    },
    cut: async (...args) => {
      asked.push(args)
      return answers.cut
    },
  }
  const status = {
    role,
    generation: 3,
    slot: `postern_${role}_a`,
    state: 'current',
    notAfter: 2000,
    nextAt: 1000,
    onPrevious: 2,
    cutEnds: 'logins',
    holder: 'g/other/1/ab',
    detail: 'made by g/other/1/ab',
  } as const
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const credentials = createCredentialAct({
    credentials: { status: () => [status], acts },
    audit: { event: event => void events.push(event) },
    deps: { clock: new ManualClock(), log },
  })
  const never = (): never => {
    throw new Error('not asked for')
  }
  socket = await listenControl(state, { status: never, reload: never, rollback: never, drain: never, deny: never, credentials })
})
afterEach(async () => {
  await socket.close()
  await rm(state, { recursive: true })
})

const run = async (...args: string[]) => {
  let [out, err] = ['', '']
  const code = await main(['credentials', ...args, '--state', state], { out: text => (out += text), err: text => (err += text) })
  return { code, out, err }
}

describe('postern credentials', () => {
  it('status shows a line for each role', async () => {
    const { code, out } = await run('status')
    expect(code).toBe(0)
    expect(out.split('\n')[1]).toMatch(/^acme_finance_ro +current +3 +postern_acme_finance_ro_a +1970-.* 2 +made by g\/other\/1\/ab$/)
    expect(JSON.parse((await run('status', '--json')).out)).toMatchObject({ roles: [{ role, onPrevious: 2 }] })
    expect(events).toEqual([])
  })

  it('history shows generations and a cut, and lets nothing steer the terminal', async () => {
    const { code, out } = await run('history', role)
    expect(code).toBe(0)
    expect(out).toMatch(/^cut since 1970-.*: stolen\n/)
    expect(out).toMatch(/2 +b +handed out/)
    expect(out).not.toContain('\u001b')
  })

  it('cut prints what it took on each node, and both its begin and its end are on record', async () => {
    const { code, out } = await run('cut', role, '--why', 'laptop\u001b[2J stolen')
    expect(code).toBe(0)
    expect(out).toMatch(/10\.0\.0\.1:9042 +ended in 12 ms +ended in 9 ms +ended in 11 ms +1/)
    expect(asked).toEqual([[role, 'laptop [2J stolen']])
    expect(events.map(({ kind, code: number, detail }) => [kind, number, detail['act'], detail['role']])).toEqual([
      ['cut', 'PST7042', 'begun', role],
      ['cut', 'PST7042', 'done', role],
    ])
    expect(events[1]?.detail).toMatchObject({ reached: 'complete', nodes: '10.0.0.1:9042 login 12 ms connection 9 ms data 11 ms open 1' })
  })

  it.each<readonly [string, Partial<CutDone>, number, RegExp]>([
    [
      'something lives on',
      { reached: 'partly', nodes: [{ ...whole.nodes[0]!, connectionMs: null, dataMs: null }] },
      3,
      /COULD NOT BE ENDED.*\n {2}10\.0\.3\.7:1/,
    ],
    ['not all could be seen', { reached: 'unknown', unreached: 1 }, 2, /1 nodes of the cluster are out of reach/],
    ['the others could not be told', { unmarked: 'no replicas' }, 3, /not told yet.*no replicas/],
    ['a slot is not locked', { reached: 'partly', unlocked: ['postern_x_a: no'] }, 3, /postern_x_a: no/],
  ])('cut says by its exit code that %s', async (_, change, wanted, text) => {
    answers = { ...answers, cut: { ...whole, ...change } }
    const { code, err } = await run('cut', role, '--why', 'x')
    expect(code).toBe(wanted)
    expect(err).toMatch(text)
    expect((await run('cut', role, '--why', 'x', '--json')).code).toBe(wanted)
  })

  it('rotate says what came of it, and is on record with its reason', async () => {
    expect(await run('rotate', role, '--why', 'drill')).toMatchObject({ code: 0, out: 'generation 7 is handed out\n' })
    expect(events).toMatchObject([{ kind: 'control', detail: { act: 'credentials rotate', role, why: 'drill', keep_connections: false } }])
    answers = { ...answers, rotate: { is: 'refused', connections: { count: 1, some: ['10.0.3.7:1 as x'] } } }
    expect(await run('rotate', role)).toMatchObject({ code: 1, err: expect.stringContaining('10.0.3.7:1 as x') })
    answers = { ...answers, rotate: { is: 'waiting', holder: 'g/other/1/ab', detail: 'alter: no' } }
    expect(await run('rotate', role, '--keep-connections')).toMatchObject({ code: 2, err: expect.stringContaining('alter: no') })
    expect(asked.at(-1)).toEqual([role, true])
  })

  it.each([
    [[], /write status, history, rotate or cut/],
    [['stop'], /"stop" is not one of its acts/],
    [['cut', role], /needs --why/],
    [['rotate'], /needs one permission role/],
    [['status', role], /takes no role/],
    [['cut', role, '--why', 'x', '--keep-connections'], /belongs to rotate/],
  ])('%j is refused before anything is asked', async (args, text) => {
    expect(await run(...args)).toMatchObject({ code: 64, err: expect.stringMatching(text) })
    expect(asked).toEqual([])
  })

  it('cannot tell where no process answers', async () => {
    await socket.close()
    expect(await run('cut', role, '--why', 'x')).toMatchObject({ code: 2, err: expect.stringContaining('no Postern answers') })
    socket = { close: async () => undefined }
  })
})
