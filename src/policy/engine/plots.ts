import type { Steps } from '../../config/steps.ts'
import type { CompiledPolicy, CompiledRule } from './compile.ts'
import type { RouteTable } from './route-index.ts'

/** Where one policy begins: in the table its index, and among the rules its denies and its allows. */
export interface Plot {
  readonly root: number
  readonly denies: number
  readonly allows: number
}

/** The indexes of all policies in one piece, and their rules in another. */
export interface Layout {
  readonly table: RouteTable
  readonly rules: readonly CompiledRule[]
  readonly plots: ReadonlyMap<CompiledPolicy, Plot>
}

/** What a thousand tenants keep each for itself lies on a thousand pages of memory, and a decision would wait for several of them. */
export function* layOut(policies: readonly CompiledPolicy[]): Steps<Layout> {
  const table = new Int32Array(policies.reduce((sum, { denies }) => sum + denies.index.table.length, 0))
  const rules: CompiledRule[] = []
  const plots = new Map<CompiledPolicy, Plot>()
  let root = 0
  for (const policy of policies) {
    const { denies, allows } = policy
    table.set(denies.index.table, root)
    plots.set(policy, { root, denies: rules.length, allows: rules.length + denies.rules.length })
    root += denies.index.table.length
    for (const set of [denies, allows]) for (const rule of set.rules) rules.push(copied(rule))
    yield
  }
  return { table, rules, plots }
}

/** Copies lie side by side, as they are made; each part by name, so that all have one shape. */
const copied = ({ others, shadow, login, role, until, name, obligations, conditions }: CompiledRule): CompiledRule => ({
  others,
  shadow,
  login,
  role,
  until,
  name,
  obligations,
  conditions,
})
