import type { Steps } from '../../config/steps.ts'
import type { CompiledPolicy, CompiledRule } from './compile.ts'
import type { RouteTable } from './route-index.ts'

/** Where one policy's part of the index begins, and of the rules. */
export interface Plot {
  readonly table: RouteTable
  readonly root: number
  readonly rules: readonly CompiledRule[]
  readonly denies: number
  readonly allows: number
}

/**
 * The indexes of all policies in one piece, and their rules in another: what a thousand tenants keep each for itself lies on a thousand pages of
 * memory, and a decision would wait for several of them.
 */
export function* layOut(policies: readonly CompiledPolicy[]): Steps<ReadonlyMap<CompiledPolicy, Plot>> {
  const table = new Int32Array(policies.reduce((sum, { denies }) => sum + denies.index.table.length, 0))
  const rules: CompiledRule[] = []
  const plots = new Map<CompiledPolicy, Plot>()
  let root = 0
  for (const policy of policies) {
    const { denies, allows } = policy
    table.set(denies.index.table, root)
    plots.set(policy, { table, root, rules, denies: rules.length, allows: rules.length + denies.rules.length })
    root += denies.index.table.length
    for (const set of [denies, allows]) for (const rule of set.rules) rules.push(rule)
    yield
  }
  return plots
}
