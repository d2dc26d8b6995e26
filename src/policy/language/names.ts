import { mostGuesses, nearest } from '../../config/nearest.ts'
import type { Source } from '../../config/source.ts'

/** Words that stand for something in policies, tests, audit reasons or permits; a rule of that name would make a record ambiguous. */
const reserved = new Set([
  'anyone',
  'any',
  'public',
  'default',
  'tenant-mismatch',
  'limit',
  'hide-impossible',
  'policy-unavailable',
  'preflight',
  'request',
])

/** Owners of Cassandra roles that no tenant may take over, neither by its name nor by the role prefix made from it. */
const reservedOwners = ['postern', 'cassandra', 'system']

export const platformName = '_platform'

const spelling = /^[a-z0-9][a-z0-9-]{0,62}$/

/** Says what is wrong with a name, and what to write, or null. */
export const nameProblem =
  (what: string) =>
  (name: string): string | null => {
    if (!spelling.test(name)) return `"${name}" is not a name for a ${what}; write up to 63 of a-z, 0-9 and "-", not beginning with "-".`
    return reserved.has(name) ? `"${name}" is a reserved word; choose another name for this ${what}.` : null
  }

export const tenantProblem = (name: string): string | null => {
  const wrong = nameProblem('tenant')(name)
  if (wrong !== null) return wrong
  const owner = reservedOwners.find(word => name === word || name.startsWith(`${word}-`))
  return owner === undefined ? null : `"${name}" would own the roles ${owner}_...; choose a tenant name that does not begin with ${owner}.`
}

export const roleProblem = (role: string): string | null => {
  if (!/^[a-z][a-z0-9_]{0,37}$/.test(role))
    return `"${role}" is not a role name; write up to 38 of a-z, 0-9 and "_", beginning with a letter: acme_orders_ro.`
  const owner = reservedOwners.find(word => role === word || role.startsWith(`${word}_`))
  return owner === undefined ? null : `"${role}" is one of ${owner}'s own roles; name a role of the tenant.`
}

/** Roles of a tenant begin with this. */
export const rolePrefix = (tenant: string): string => `${tenant.replaceAll('-', '_')}_`

/** `Write x (line 3), or define it.` for a reference to nothing. */
export const unknownName = (
  source: Source,
  typed: string,
  where: string,
  known: ReadonlyMap<string, number>,
  builtIn: readonly string[] = [],
): string => {
  const guess = nearestName(source, typed, [...known.keys(), ...builtIn])
  const line = guess === null ? undefined : known.get(guess)
  const offer = guess === null ? 'Define it' : `Write ${guess}${line === undefined ? '' : ` (line ${line})`}, or define it`
  return `"${typed}" is not defined under ${where}. ${offer}.`
}

export const nearestName = (source: Source, typed: string, known: Iterable<string>): string | null =>
  source.findings.length < mostGuesses ? nearest(typed, [...known]) : null
