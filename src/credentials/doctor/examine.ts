import { type Check, fail, type Judge, ok, type Wanted } from './check.ts'
import {
  cacheValidity,
  classes,
  clocks,
  consistency,
  guardrails,
  membership,
  replication,
  standardLogin,
  tombstones,
  versions,
} from './cluster.ts'
import type { ClusterFacts } from './facts.ts'
import { cutReach, manager, slots } from './roles.ts'

const schema: Judge = ({ columns }) => {
  const name = 'tables'
  const missing = ['secret', 'cut', 'asked'].filter(column => !columns.has(column))
  if (missing.length === 0) return [ok(name, 'postern.leases and postern.generations as this version needs them.')]
  return [
    fail(
      name,
      columns.size === 0 ? 'postern.generations does not exist.' : `postern.generations is an older one: it has no ${missing.join(', ')}.`,
      'Let a DBA run: postern cassandra init.',
    ),
  ]
}

const judges: readonly Judge[] = [
  versions,
  membership,
  replication,
  consistency,
  classes,
  cacheValidity,
  schema,
  manager,
  slots,
  standardLogin,
  clocks,
  tombstones,
  guardrails,
  cutReach,
]

/** Everything that is judged of a cluster, always in the same order. */
export const examine = (facts: ClusterFacts, wanted: Wanted): readonly Check[] => judges.flatMap(judge => judge(facts, wanted))
