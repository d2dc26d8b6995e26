import type { Effect } from '../model/decision.ts'
import { type Method, methods } from '../model/exchange.ts'
import type { Scalar } from '../model/fact.ts'
import type { SpelledObligations } from '../model/obligation.ts'
import type { Recorded, RecordedFacts, RecordedValue } from '../model/recorded.ts'
import { schema } from './codes.ts'

/** What one line of a log is: a decided exchange, another record (`count`: refusals that it stands for), or null for no record at all. */
export type ReadRecord = { readonly recorded: Recorded } | { readonly kind: string; readonly count: number } | null

type Json = Readonly<Record<string, unknown>>

/** Fields that policy looks at, as `truncated` names them. */
const deciding = ['issuer', 'subject', 'agents', 'method', 'host', 'path', 'client-ip', 'tenant', 'rule', 'role']

/** Reads one line back. Records are somebody else's bytes by now: whatever does not have the form of one is null. */
export const readRecord = (line: string): ReadRecord => {
  const record = parse(line)
  if (record === null || record['v'] !== schema || typeof record['kind'] !== 'string') return null
  if (record['kind'] !== 'exchange') {
    const count = at(record, 'detail')['count']
    return { kind: record['kind'], count: record['kind'] === 'refusals' && typeof count === 'number' ? count : 0 }
  }
  const [caller, request, decision] = [at(record, 'caller'), at(record, 'request'), at(record, 'decision')]
  const time = Date.parse(text(record['time']) ?? '')
  const id = text(request['id'])
  if (Number.isNaN(time) || id === null || typeof decision['rule'] !== 'string') return null
  const [issuer, subject] = [text(caller['issuer']), text(caller['subject'])]
  // Policy was not asked: whoever called was refused before, or nobody was known to call.
  if (decision['rule'] === '' || issuer === null || subject === null) return { kind: 'undecided', count: 0 }
  const method: Method | undefined = methods.find(known => known === request['method'])
  const [host, path] = [text(request['host']), text(request['path'])]
  const effect = effectIn(record, decision)
  if (method === undefined || host === null || path === null || effect === null) return null
  const cut = texts(record['truncated']).filter(name => deciding.includes(name))
  return {
    recorded: {
      id,
      time,
      tenant: text(record['tenant']),
      issuer,
      subject,
      agents: texts(caller['agents']),
      method,
      host,
      path,
      clientIp: text(request['client-ip']),
      effect,
      observed: isObject(decision['observed']),
      rule: decision['rule'],
      role: text(decision['role']),
      obligations: isObject(decision['obligations']) ? owedIn(decision['obligations']) : null,
      policyDigest: text(decision['policy-digest']),
      platformDigest: text(decision['platform-digest']),
      facts: isObject(record['facts']) ? factsOf(record['facts']) : null,
      cut,
    },
  }
}

/** What the rules said: also where observe mode let pass what they refuse. */
const effectIn = (record: Json, decision: Json): Effect | null => {
  const { effect, observed } = decision
  const said = isObject(observed) ? observed['effect'] : effect === 'deny' && record['code'] === 'PST2106' ? 'step-up' : effect
  return said === 'allow' || said === 'deny' || said === 'step-up' ? said : null
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const at = (record: Json, key: string): Json => (isObject(record[key]) ? record[key] : {})
const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
const texts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.filter(one => typeof one === 'string') : [])

const parse = (line: string): Json | null => {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

const owedIn = (owed: Json): SpelledObligations => ({ hide: texts(owed['hide']), limits: texts(owed['limit']) })

const factsOf = (facts: Json): RecordedFacts => {
  const values = new Map<string, RecordedValue>()
  const incomplete: string[] = []
  for (const part of [at(facts, 'token'), at(facts, 'request')]) {
    for (const kind of ['absent', 'faulty'] as const) for (const name of texts(part[kind])) values.set(name, { kind })
    for (const [name, value] of Object.entries(at(part, 'plain'))) if (isValue(value, isScalar)) values.set(name, { kind: 'plain', value })
    for (const kind of ['hashed', 'withheld'] as const)
      for (const [name, value] of Object.entries(at(part, kind))) if (isValue(value, isText)) values.set(name, { kind, value })
    incomplete.push(...texts(part['incomplete']))
  }
  return { key: text(facts['key']), recognised: text(facts['recognised']), values, incomplete }
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isScalar = (value: unknown): value is Scalar => isText(value) || typeof value === 'number' || typeof value === 'boolean'
const isValue = <T>(value: unknown, one: (item: unknown) => item is T): value is T | readonly (T | null)[] =>
  one(value) || (Array.isArray(value) && value.every(item => item === null || one(item)))
