import { describe, expect, it } from 'vitest'
import { createRateLimiter, type RateLimiter } from '../../../src/limits/rate.ts'
import { Refusal } from '../../../src/model/problem.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { type Asked, composed, engineFor, facts, platformFile, tenantFile } from '../policy/fixtures.ts'

interface Written {
  readonly own?: readonly string[]
  readonly always?: readonly string[]
  readonly platform?: readonly string[]
}

const always = (limit: readonly string[] | undefined): object => (limit === undefined ? {} : { always: { limit } })

const policy = ({ own, always: every }: Written): object => {
  const obliged = own === undefined ? {} : Object.fromEntries([['then', { limit: own }]])
  const rule = (name: string, path: string): object => ({
    allow: name,
    why: 'Read.',
    who: ['anyone', 'bots'],
    to: `GET ${path}`,
    ...obliged,
  })
  return { ...always(every), who: { bots: { agent: 'any' } }, rules: [rule('read', '/v1/a'), rule('other', '/v1/b')] }
}

const world = (written: Written, bounds?: { all: number; tenant: number }) => {
  const clock = new ManualClock()
  const refused: string[] = []
  const observe = { refused: (tenant: string, per: string) => void refused.push(`${tenant} ${per}`) }
  const limiter = bounds ? createRateLimiter(clock, observe, bounds) : createRateLimiter(clock, observe)
  const take = taker(limiter, engineFor(policy(written), always(written.platform)))
  return { clock, limiter, refused, take, room: (asked?: Asked): boolean => !(take(asked) instanceof Refusal) }
}

const taker =
  (limiter: RateLimiter, engine: ReturnType<typeof engineFor>) =>
  (asked: Asked = {}) => {
    const given = facts({ ...asked, claims: { tid: 'acme', ...asked.claims } })
    const decision = engine.decide(given)
    if (decision.effect === 'deny') throw new Error(decision.reason)
    return limiter.take(decision.permit, given.identity)
  }

const refusal = (result: readonly string[] | Refusal): Refusal => {
  if (!(result instanceof Refusal)) throw new Error('was let through')
  return result
}

describe('a limit', () => {
  it('lets its number through at once, then one each time that one has room again', () => {
    const { clock, room } = world({ own: ['3/min per caller'] })
    expect([room(), room(), room(), room()]).toEqual([true, true, true, false])
    clock.stop(19_999)
    expect(room()).toBe(false)
    clock.stop(1)
    expect([room(), room()]).toEqual([true, false])
  })

  it('lets through its number at once and then its rate, no more and no less', () => {
    const { clock, room } = world({ own: ['7/s per caller'] })
    let passed = 0
    for (let ms = 0; ms < 10_000; ms += 10) {
      if (room()) passed += 1
      clock.stop(10)
    }
    expect(passed).toBeGreaterThanOrEqual(70)
    expect(passed).toBeLessThanOrEqual(77)
  })

  it('is not filled beyond its number, however long nobody comes', () => {
    const { clock, room } = world({ own: ['2/s per caller'] })
    expect(room()).toBe(true)
    clock.stop(86_400_000)
    expect([room(), room(), room()]).toEqual([true, true, false])
  })

  it('keeps whom it counts apart: issuer and subject of a caller, also behind an agent', () => {
    const { room } = world({ own: ['1/h per caller'] })
    expect(room({ subject: 'a' })).toBe(true)
    expect(room({ subject: 'b' })).toBe(true)
    expect(room({ subject: 'a', agents: ['bot'] })).toBe(false)
    expect(room({ subject: 'x'.repeat(300) })).toBe(true)
    expect(room({ subject: `${'x'.repeat(299)}y` })).toBe(true)
    expect(room({ subject: 'x'.repeat(300) })).toBe(false)
  })

  it('of an agent counts the agent that acts now, whoever it acts for; a person in person has none', () => {
    const { room } = world({ own: ['1/h per agent'] })
    expect(room({ subject: 'a', agents: ['bot', 'older'] })).toBe(true)
    expect(room({ subject: 'b', agents: ['bot'] })).toBe(false)
    expect(room({ subject: 'b', agents: ['older'] })).toBe(true)
    expect([room(), room(), room()]).toEqual([true, true, true])
  })

  it('in then counts its rule, in always every rule; the platform counts beside the tenant', () => {
    const rules = world({ own: ['1/h per tenant'] })
    expect([rules.room({ call: 'GET /v1/a' }), rules.room({ call: 'GET /v1/b' }), rules.room({ call: 'GET /v1/a' })]).toEqual([
      true,
      true,
      false,
    ])
    const every = world({ always: ['1/h per tenant'] })
    expect([every.room({ call: 'GET /v1/a' }), every.room({ call: 'GET /v1/b' })]).toEqual([true, false])
    const both = world({ always: ['2/h per tenant'], platform: ['2/h per tenant'] })
    both.room()
    expect(both.limiter.size).toBe(2)
  })

  it('that has no room takes nothing from the others', () => {
    const { clock, room, take } = world({ own: ['1/s per caller', '10/day per tenant'] })
    expect(room()).toBe(true)
    for (let i = 0; i < 50; i++) expect(room()).toBe(false)
    clock.stop(1000)
    expect(take()).toEqual(['ratelimit', '"caller";r=0;t=1', 'ratelimit-policy', '"caller";q=1;w=1'])
    for (let i = 0; i < 8; i++) {
      clock.stop(1000)
      expect(room()).toBe(true)
    }
    clock.stop(1000)
    expect(refusal(take()).detail).toBe('limit 10/day per tenant')
  })

  it('keeps its count over a reload that leaves it as it was, and begins anew where its words changed', () => {
    const { limiter, room } = world({ own: ['1/h per caller'] })
    expect(room()).toBe(true)
    const again = taker(limiter, engineFor({ ...policy({ own: ['1/h per caller'] }), owners: ['new@example.com'] }))
    expect(again()).toBeInstanceOf(Refusal)
    const changed = taker(limiter, engineFor(policy({ own: ['2/h per caller'] })))
    expect(changed()).not.toBeInstanceOf(Refusal)
  })

  it('is asked only of a permit that has one', () => {
    const { limiter, take } = world({})
    expect(take()).toEqual([])
    expect(limiter.size).toBe(0)
  })
})

describe('what a caller is told', () => {
  it('is the tightest limit: what is left, when more comes, and the rule of the bucket without a name of ours', () => {
    const { take } = world({ own: ['20/min per caller'], always: ['300/min per tenant'] })
    expect(take()).toEqual(['ratelimit', '"caller";r=19;t=3', 'ratelimit-policy', '"caller";q=20;w=60'])
  })

  it('is the longest wait where several limits have no room, in whole seconds, never too few', () => {
    const { take, clock, refused } = world({ own: ['1/min per caller', '1/h per agent'] })
    take({ agents: ['bot'] })
    clock.stop(1)
    const { code, row, retryAfter, fields, detail } = refusal(take({ agents: ['bot'] }))
    expect([code, row.status, retryAfter, detail]).toEqual(['PST2107', 429, 3600, 'limit 1/h per agent'])
    expect(fields).toEqual(['ratelimit', '"agent";r=0;t=3600', 'ratelimit-policy', '"agent";q=1;w=3600'])
    expect(refused).toEqual(['acme agent'])
    clock.stop(3_600_000 - 1)
    expect(take({ agents: ['bot'] })).not.toBeInstanceOf(Refusal)
  })

  it('is at least a second', () => {
    const { take } = world({ own: ['1000/s per caller'] })
    for (let i = 0; i < 1000; i++) take()
    expect(refusal(take()).retryAfter).toBe(1)
  })
})

describe('the bound on buckets', () => {
  it('refuses newcomers rather than forget a count, and the known go on', () => {
    const { room, take, limiter } = world({ own: ['2/h per caller'] }, { all: 3, tenant: 3 })
    for (const subject of ['a', 'b', 'c']) expect(room({ subject })).toBe(true)
    const { code, detail } = refusal(take({ subject: 'd' }))
    expect([code, detail, limiter.size]).toEqual(['PST1301', 'limit-buckets', 3])
    expect([room({ subject: 'a' }), room({ subject: 'a' })]).toEqual([true, false])
  })

  it('gives the place of a full bucket to a newcomer', () => {
    const { room, clock, limiter } = world({ own: ['1/min per caller'] }, { all: 2, tenant: 2 })
    expect([room({ subject: 'a' }), room({ subject: 'b' }), room({ subject: 'c' })]).toEqual([true, true, false])
    clock.stop(60_000)
    expect([room({ subject: 'c' }), limiter.size]).toEqual([true, 1])
    expect([room({ subject: 'a' }), room({ subject: 'c' })]).toEqual([true, false])
  })

  it('counts a request whose own full bucket was swept away to make room for its other one', () => {
    const { room, clock, limiter } = world({ own: ['1/min per caller'], always: ['1/min per agent'] }, { all: 2, tenant: 2 })
    expect([room({ subject: 'a' }), room({ subject: 'b' })]).toEqual([true, true])
    clock.stop(60_000)
    expect(room({ subject: 'a', agents: ['bot'] })).toBe(true)
    expect(limiter.size).toBe(2)
    expect([room({ subject: 'a' }), room({ subject: 'x', agents: ['bot'] })]).toEqual([false, false])
  })

  it('leaves room for other tenants: one may hold a share of all, and all no more than all', () => {
    const clock = new ManualClock()
    const limiter = createRateLimiter(clock, { refused: () => undefined }, { all: 3, tenant: 2 })
    const files = ['acme', 'globex'].map(tenant => tenantFile(tenant, policy({ own: ['1/h per caller'] })))
    const { engine } = composed([platformFile(), ...files])
    const take = taker(limiter, engine)
    const by = (tenant: string, subject: string): boolean => !(take({ subject, claims: { tid: tenant } }) instanceof Refusal)
    expect(['a', 'b', 'c'].map(subject => by('acme', subject))).toEqual([true, true, false])
    expect(['a', 'b'].map(subject => by('globex', subject))).toEqual([true, false])
    expect(limiter.size).toBe(3)
  })
})
