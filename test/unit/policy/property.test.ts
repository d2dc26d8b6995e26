import { describe, expect, it } from 'vitest'
import type { PolicyEngine } from '../../../src/model/decision.ts'
import { type Asked, composed, facts, platformFile } from './fixtures.ts'
import { askedOf, chance, policyFile, policyOf } from './generate.ts'
import { naiveDecision, naiveShadow } from './naive.ts'

const told = (engine: PolicyEngine, asked: Asked): string => {
  const decision = engine.decide(facts(asked))
  if (decision.effect === 'allow') return `allow ${decision.permit.rule} ${decision.permit.cassandraRole ?? '-'}`
  if (decision.code === 'PST2106') return `step-up ${decision.reason}`
  return `deny ${decision.reason}${decision.inDoubt ? '?' : ''}`
}

const shadowTold = (engine: PolicyEngine, asked: Asked): string | null => {
  const { shadow } = engine.decide(facts(asked))
  return shadow && `${shadow.effect} ${shadow.rule}`
}
/** Effect and rule alone. */
const brief = (text: string): string => text.replace('?', '').split(' ').slice(0, 2).join(' ')

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
/** `npm run test:long` asks for a hundred times as many. */
const policies = Number(process.env['POLICIES'] ?? 1000)
const requests = Number(process.env['REQUESTS'] ?? 100)

describe('the indexed evaluator', () => {
  it(`agrees with a naive one over ${policies} generated policies and ${requests} requests each (SEED=${seed})`, {
    timeout: 4 * 3_600_000,
  }, () => {
    const c = chance(seed)
    const seen = new Map<string, number>()
    for (let i = 0; i < policies; i++) {
      const policy = policyOf(c, 8)
      const { engine } = composed([platformFile(), policyFile(policy)])
      expect(engine.tenants[0]?.state).toBe('enforced')
      for (let k = 0; k < requests; k++) {
        const asked = askedOf(c)
        const wanted = naiveDecision(policy, facts(asked))
        const shadow = naiveShadow(policy, facts(asked))
        const got = { decision: told(engine, asked), shadow: shadowTold(engine, asked) }
        // Spelling out what differs costs more than all the rest.
        if (got.decision !== wanted || got.shadow !== (shadow && brief(shadow)))
          expect(got, JSON.stringify({ policy, asked })).toEqual({ decision: wanted, shadow: shadow && brief(shadow) })
        if (shadow !== null && brief(shadow) !== brief(wanted)) seen.set('shadow', (seen.get('shadow') ?? 0) + 1)
        const kind = wanted.startsWith('step-up')
          ? 'step-up'
          : wanted.endsWith('?')
            ? 'doubt'
            : wanted.startsWith('allow')
              ? 'allow'
              : wanted === 'deny default'
                ? 'default'
                : 'deny'
        seen.set(kind, (seen.get(kind) ?? 0) + 1)
      }
    }
    // A generator that only ever meets one kind of decision would prove nothing.
    for (const kind of ['allow', 'step-up', 'deny', 'default', 'doubt', 'shadow']) expect(seen.get(kind), kind).toBeGreaterThan(100)
  })
})
