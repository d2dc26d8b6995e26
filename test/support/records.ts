import type { IncomingMessage } from 'node:http'
import type { Incoming } from '../../src/edge/listen.ts'
import type { Facts, PolicyEngine } from '../../src/model/decision.ts'
import type { Recorded } from '../../src/model/recorded.ts'
import { SecretBytes } from '../../src/model/secret.ts'
import { type FactOptions, factSpeller } from '../../src/record/facts.ts'
import { lineMaker } from '../../src/record/line.ts'
import { readRecord } from '../../src/record/recorded.ts'
import { Trail } from '../../src/trail.ts'

export const withheld: FactOptions = { keys: [], plain: new Set() }
export const hashKey = new SecretBytes(Buffer.alloc(32, 7))
export const hashed = (...plain: string[]): FactOptions => ({ keys: [hashKey], plain: new Set(plain) })
/** Every name is plain. */
export const inClear: FactOptions = { keys: [], plain: { has: () => true } as unknown as ReadonlySet<string> }

/** Decides with a real engine and gives the line that the audit would hold. */
export const recorder = (options: FactOptions): ((engine: PolicyEngine, facts: Facts) => string) => {
  const lines = lineMaker('chain-1', factSpeller(options))
  let seq = 0
  return (engine, facts) => {
    const raw = { method: facts.origin.method, url: facts.origin.target.path } as IncomingMessage
    const incoming = { id: `r-${seq}`, peer: '127.0.0.1', raw, head: {} } as Incoming
    const trail = new Trail({ now: () => facts.now, monotonic: () => 0, after: () => ({ cancel: () => undefined }) }, incoming)
    trail.origin = facts.origin
    trail.identity = facts.identity
    trail.decision = engine.decide(facts)
    const step = trail.decision.effect === 'deny' && trail.decision.code === 'PST2106'
    return lines.exchange(seq++, { ...trail.entry({ bytes: 0, aborted: false }), ...(step ? { code: 'PST2106' } : {}) })
  }
}

export const readBack = (line: string): Recorded => {
  const read = readRecord(line)
  if (read === null || !('recorded' in read)) throw new Error(`no decided record: ${line}`)
  return read.recorded
}
