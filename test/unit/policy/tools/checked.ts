import type { Composition } from '../../../../src/policy/compose.ts'
import type { CompiledPolicy } from '../../../../src/policy/engine/compile.ts'

/** Nothing here may look into a check, so its text alone makes one. */
const checkOf = (text: string) =>
  ({
    text,
    root: { kind: 'literal', value: true, type: 'bool', from: 0, to: text.length },
    reads: { claims: [], path: text.includes('path.account') ? ['account'] : [], query: [], header: [], facts: [] },
  }) as const

/** The policy with a check on each rule that is named. */
export const withChecks = (policy: CompiledPolicy, checks: Readonly<Record<string, string>>): CompiledPolicy => {
  const nothing = { ipIn: null, ipNotIn: null, header: new Map(), query: new Map(), time: null }
  const rules = policy.document.rules.map(rule => {
    const text = checks[rule.name]
    return text === undefined ? rule : { ...rule, when: { ...nothing, ...rule.when, check: checkOf(text) } }
  })
  return { ...policy, document: { ...policy.document, rules } }
}

export const checked = (composition: Composition, tenant: string, checks: Readonly<Record<string, string>>): Composition => {
  const entry = composition.entries.get(tenant)
  if (!entry?.enforced?.policy) throw new Error(`${tenant} is not in force`)
  const enforced = { ...entry.enforced, digest: JSON.stringify(checks), policy: withChecks(entry.enforced.policy, checks) }
  return { ...composition, entries: new Map([...composition.entries, [tenant, { ...entry, enforced, onDisk: enforced }]]) }
}
