import { neededTables } from '../schema.ts'
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

const schema: Judge = ({ tables }) => {
  const needed = neededTables()
  const faults = [...needed].flatMap(([table, columns]) => {
    const there = tables.get(table)
    const missing = [...columns].filter(column => !there?.has(column))
    if (missing.length === 0) return []
    const text = there ? `postern.${table} is an older one: it has no ${missing.join(', ')}.` : `postern.${table} does not exist.`
    return [fail('tables', text, 'Let a DBA run: postern cassandra init.')]
  })
  return faults.length > 0
    ? faults
    : [ok('tables', `${[...needed.keys()].map(name => `postern.${name}`).join(', ')}, as this version needs them.`)]
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
