import type { ClusterFacts } from './facts.ts'

/** One line of the doctor's report. */
export interface Check {
  readonly name: string
  readonly result: 'ok' | 'warn' | 'fail' | 'unknown'
  readonly message: string
  /** What to do; empty where nothing is to be done. */
  readonly remedy: string
}

/** What Postern is configured to do in the cluster. Milliseconds. */
export interface Wanted {
  readonly roles: readonly string[]
  readonly rotateEvery: number
  readonly overlap: number
}

export type Judge = (facts: ClusterFacts, wanted: Wanted) => readonly Check[]

export const ok = (name: string, message: string): Check => ({ name, result: 'ok', message, remedy: '' })
export const warn = (name: string, message: string, remedy: string): Check => ({ name, result: 'warn', message, remedy })
export const fail = (name: string, message: string, remedy: string): Check => ({ name, result: 'fail', message, remedy })
export const unknown = (name: string, message: string, remedy: string): Check => ({ name, result: 'unknown', message, remedy })

/** What each node says to one of its settings: value -> nodes. Null: none would say. */
export const settingOf = (facts: ClusterFacts, ...names: readonly string[]): ReadonlyMap<string, readonly string[]> | null => {
  const found = new Map<string, string[]>()
  for (const { host, settings } of facts.nodes) {
    const value = names.map(name => settings?.get(name)).find(one => one !== undefined && one !== '' && one !== 'null')
    if (value !== undefined) found.set(value, [...(found.get(value) ?? []), host])
  }
  return found.size === 0 ? null : found
}

/** The class without its package. */
export const className = (value: string): string => value.split('.').at(-1) ?? value

/** `2s`, `2000`, `120000ms`: milliseconds. Null: something else. */
export const durationOf = (value: string): number | null => {
  const found = /^(\d+)(ms|s|m|h|d)?$/.exec(value)
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  return found === null ? null : Number(found[1]) * (units[found[2] ?? 'ms'] ?? 1)
}

export const listed = (values: ReadonlyMap<string, readonly string[]>): string =>
  values.size === 1 ? ([...values.keys()][0] ?? '') : [...values].map(([value, hosts]) => `${value} on ${hosts.join(', ')}`).join('; ')

const settingsGrant = 'Let a DBA run: GRANT SELECT ON TABLE system_views.settings TO the manager.'

export const unreadable = (name: string): Check => unknown(name, 'no node shows its settings.', settingsGrant)
