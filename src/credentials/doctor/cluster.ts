import { type Check, className, durationOf, fail, type Judge, listed, ok, settingOf, unknown, unreadable, warn } from './check.ts'
import type { ClusterFacts } from './facts.ts'

/** Advisories that concern roles. `fixed`: the first release of each line without it; an older line has no fix. */
const advisories = [
  {
    id: 'CVE-2026-32588',
    what: 'any login can slow the cluster down by changing its own password again and again',
    fixed: ['4.0.20', '4.1.11', '5.0.7'],
  },
  { id: 'CVE-2025-23015', what: 'MODIFY ON ALL KEYSPACES is as good as superuser', fixed: ['4.1.8', '5.0.3'] },
] as const

type Version = readonly [major: number, minor: number, patch: number]

const versionOf = (text: string): Version | null => {
  const found = /^(\d+)\.(\d+)(?:[.-](\d+))?/.exec(text)
  return found === null ? null : [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)]
}

const compare = (a: Version, b: Version): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]

const isAffected = (version: Version, fixed: readonly string[]): boolean => {
  const known = fixed.map(text => versionOf(text) ?? ([0, 0, 0] as const))
  const line = known.find(([major, minor]) => major === version[0] && minor === version[1])
  return line === undefined ? known.every(one => compare(version, one) < 0) : compare(version, line) < 0
}

const oldest: Version = [4, 1, 0]

export const versions: Judge = ({ nodes }) => {
  const name = 'version'
  const all = Map.groupBy(nodes, node => node.version)
  if (all.size > 1)
    return [
      warn(
        name,
        `${[...all].map(([version, of]) => `${version} on ${of.length}`).join(', ')}: an upgrade is under way.`,
        'Finish it; rotate no role by hand meanwhile.',
      ),
      ...[...all.keys()].flatMap(version => versionChecks(version)).filter(({ result }) => result !== 'ok'),
    ]
  return [...all.keys()].flatMap(versionChecks)
}

const versionChecks = (text: string): readonly Check[] => {
  const version = versionOf(text)
  if (version === null) return [unknown('version', `"${text}" is no version that can be compared.`, '')]
  if (compare(version, oldest) < 0)
    return [fail('version', `${text} takes no HASHED PASSWORD: passwords would reach Cassandra and its logs.`, 'Upgrade to 4.1 or later.')]
  const found = advisories.filter(({ fixed }) => isAffected(version, fixed))
  if (found.length === 0) return [ok('version', `${text}, none of the known advisories about roles.`)]
  return found.map(({ id, what, fixed }) =>
    fail(
      'version',
      `${text} has ${id}: ${what}.`,
      `Upgrade to ${fixed.find(text => text.startsWith(`${version[0]}.${version[1]}.`)) ?? fixed.at(-1)} or later.`,
    ),
  )
}

export const membership: Judge = ({ nodes, members }) => {
  const all = [...members.values()].reduce((sum, n) => sum + n, 0)
  const shown = [...members].map(([name, n]) => `${name}: ${n}`).join(', ')
  return [
    nodes.length === all
      ? ok('nodes', `all ${all} are up (${shown}).`)
      : warn(
          'nodes',
          `${nodes.length} of ${all} answer (${shown}). While a whole data centre is out of reach no password can be changed; what is handed out goes on working.`,
          'Bring the others back, or remove them; then run this again.',
        ),
  ]
}

/** How many replicas a keyspace has in each data centre; null: SimpleStrategy, or one we do not know. */
const perCentre = (replication: Readonly<Record<string, string>> | undefined): ReadonlyMap<string, number> | null =>
  replication === undefined || !replication['class']?.endsWith('NetworkTopologyStrategy')
    ? null
    : new Map(Object.entries(replication).flatMap(([key, value]) => (key === 'class' ? [] : [[key, Number.parseInt(value, 10)]])))

export const replication: Judge = facts =>
  ['system_auth', 'postern'].map(keyspace => {
    const name = `replication of ${keyspace}`
    const { members } = facts
    const found = facts.replication.get(keyspace)
    if (found === undefined) return fail(name, 'there is no such keyspace.', 'Let a DBA run: postern cassandra init.')
    const wished = [...members].map(([centre, n]) => `'${centre}': ${Math.min(3, n)}`).join(', ')
    const remedy = `ALTER KEYSPACE ${keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', ${wished}}; then nodetool repair ${keyspace} on each node.`
    const isOne = [...members.values()].reduce((sum, n) => sum + n, 0) === 1
    const factors = perCentre(found)
    if (factors === null && !isOne)
      return fail(name, `${className(found['class'] ?? '')} knows no data centres: one lost node may end all logins.`, remedy)
    const short = [...members].filter(([centre, n]) => (factors?.get(centre) ?? 0) < Math.min(3, n))
    if (isOne)
      return warn(
        name,
        'one node: when it is down nobody can log in.',
        'For a test that is fine. Production needs 3 replicas in each data centre.',
      )
    if (short.length > 0)
      return fail(
        name,
        `too few replicas in ${short.map(([centre]) => `${centre} (${factors?.get(centre) ?? 0})`).join(', ')}: one lost node may end logins there.`,
        remedy,
      )
    return ok(name, [...(factors ?? [])].map(([centre, n]) => `${centre}: ${n}`).join(', '))
  })

/** Before 4.1 these were not settings at all. */
export const consistency: Judge = facts => {
  const name = 'auth consistency'
  const [write, read] = [settingOf(facts, 'auth_write_consistency_level'), settingOf(facts, 'auth_read_consistency_level')]
  if (write === null || read === null) return [unreadable(name)]
  const text = `reads ${listed(read)}, writes ${listed(write)}`
  if (write.size > 1 || read.size > 1) return [fail(name, `the nodes differ: ${text}.`, 'Give every node the same.')]
  if (write.has('EACH_QUORUM') && facts.members.size > 1)
    return [ok(name, `${text}: while a data centre is down no rotation succeeds, and the current credential stays (hard-ttl).`)]
  if (!/QUORUM|ALL/.test(listed(write)) || !/QUORUM|ALL/.test(listed(read)))
    return [
      warn(
        name,
        `${text}: a node may refuse a password that another has just been given.`,
        'LOCAL_QUORUM for reads and EACH_QUORUM for writes.',
      ),
    ]
  return [ok(name, text)]
}

const cacheNames = ['credentials', 'roles', 'permissions'] as const
/** Longer than a proof waits for a node whose cache may not be emptied. */
const validityMost = 10_000

export const cacheValidity: Judge = facts =>
  cacheNames.map(cache => {
    const name = `${cache} cache`
    const found = settingOf(facts, `${cache}_validity`, `${cache}_validity_in_ms`)
    if (found === null) return unreadable(name)
    const longest = Math.max(...[...found.keys()].map(value => durationOf(value) ?? Number.NaN))
    if (Number.isNaN(longest)) return unknown(name, `validity ${listed(found)} is no duration that is known.`, '')
    if (longest > validityMost)
      return warn(
        name,
        `validity ${listed(found)}: where the manager may not empty it, a rotation waits for it in vain.`,
        `Set ${cache}_validity to 2s, or grant MODIFY ON system_views.${cache}_cache_keys.`,
      )
    return ok(name, `validity ${listed(found)}`)
  })

export const classes: Judge = facts => {
  const one = (setting: string, wanted: string, otherwise: string): Check => {
    const found = settingOf(facts, `${setting}.class_name`, setting)
    if (found === null) return unreadable(setting)
    const names = [...found.keys()].map(className)
    return names.every(name => name.endsWith(wanted))
      ? ok(setting, names.join(', '))
      : fail(setting, `${listed(found)}: ${otherwise}`, `Set ${setting}: ${wanted} on every node.`)
  }
  return [
    // MutualTlsWithPasswordFallbackAuthenticator takes passwords too.
    one(
      'authenticator',
      className(firstKey(facts)).includes('PasswordFallback') ? 'Authenticator' : 'PasswordAuthenticator',
      'logins with a password prove nothing here.',
    ),
    one('authorizer', 'CassandraAuthorizer', 'grants mean nothing here.'),
  ]
}

const firstKey = (facts: ClusterFacts): string =>
  [...(settingOf(facts, 'authenticator.class_name', 'authenticator')?.keys() ?? [])][0] ?? ''

/** Rows asked for at once by Postern's own sessions and by `postern/backend`. */
const pageSize = 500

export const guardrails: Judge = facts => {
  const name = 'guardrails'
  const found: Check[] = []
  const page = settingOf(facts, 'page_size_fail_threshold')
  if (page === null) return [unreadable(name)]
  const least = Math.min(...[...page.keys()].map(Number).filter(n => n > 0))
  if (least < pageSize)
    found.push(
      fail(
        name,
        `page_size_fail_threshold is ${least}: every SELECT of Postern, which asks for ${pageSize} rows at once, is refused.`,
        `Set it to ${pageSize} or more.`,
      ),
    )
  else if (Number.isFinite(least) && least < 5_000)
    found.push(
      warn(
        name,
        `page_size_fail_threshold is ${least}: drivers that ask for their default of 5000 rows are refused everything, one-row reads too.`,
        `Backends set fetchSize to ${least} or less; postern/backend does.`,
      ),
    )
  for (const [setting, needed] of [
    ['read_consistency_levels_disallowed', ['LOCAL_QUORUM', 'SERIAL', 'LOCAL_SERIAL']],
    ['write_consistency_levels_disallowed', ['LOCAL_QUORUM', 'SERIAL', 'LOCAL_SERIAL']],
  ] as const) {
    const bitten = needed.filter(level =>
      [...(settingOf(facts, setting)?.keys() ?? [])].some(value => value.match(/\w+/g)?.includes(level)),
    )
    if (bitten.length > 0)
      found.push(
        fail(
          name,
          `${setting} names ${bitten.join(', ')}, which leases and generations are read and written with.`,
          'Take it off the list.',
        ),
      )
  }
  return found.length > 0 ? found : [ok(name, 'none that bites.')]
}

/** A lease counts whole seconds; of two role changes on two nodes the later clock wins. */
const skewWarn = 500
const skewFail = 5_000

export const clocks: Judge = ({ nodes }) => {
  const name = 'clocks'
  const [first] = nodes
  if (first === undefined || nodes.some(({ skew }) => Number.isNaN(skew))) return [unknown(name, 'a node did not say what time it is.', '')]
  const skews = nodes.map(({ skew }) => skew)
  const apart = Math.max(...skews) - Math.min(...skews)
  const doubt = Math.max(...nodes.map(({ skewDoubt }) => skewDoubt))
  const worst = Math.max(apart, ...skews.map(Math.abs)) - doubt
  const text = `nodes ${apart} ms apart, ${Math.max(...skews.map(Math.abs))} ms from here, measured to ${doubt} ms`
  if (worst > skewFail) return [fail(name, `${text}: of two changes of a password the older may win.`, 'Run NTP or chrony everywhere.')]
  return [worst > skewWarn ? warn(name, text, 'Run NTP or chrony everywhere.') : ok(name, text)]
}

export const standardLogin: Judge = ({ standardLogin: proof }) => {
  const name = 'cassandra/cassandra'
  if (proof === 'refused') return [ok(name, 'refused.')]
  if (proof === 'unknown')
    return [unknown(name, 'no node could decide (this login needs a QUORUM of all data centres).', 'Run this again when all nodes are up.')]
  return [
    fail(
      name,
      'LOGS IN: everybody is superuser of this cluster.',
      "CREATE ROLE <yours> WITH SUPERUSER = true AND LOGIN = true AND HASHED PASSWORD = '...'; then as it: ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false.",
    ),
  ]
}

const day = 86_400_000
/** The table's default TTL, and what system_auth has for gc_grace. */
const rowsKept = 30 * day

export const tombstones: Judge = (facts, { roles, rotateEvery }) => {
  const name = 'tombstones'
  const rotations = Math.ceil((day / rotateEvery) * roles.length)
  const rows = Math.ceil(rowsKept / rotateEvery)
  const threshold = settingOf(facts, 'tombstone_failure_threshold')
  const limit = threshold === null ? 100_000 : Math.min(...[...threshold.keys()].map(Number))
  const text = `${rotations} rotations a day, ${rotations * 2} ALTERs and no DROP: none in system_auth; ${rows} rows a role in postern.generations, of which the newest 100 are read`
  return [
    rows > limit
      ? warn(name, `${text}; its partitions expire ${rows} rows, above tombstone_failure_threshold ${limit}.`, 'Rotate less often.')
      : ok(name, text),
  ]
}
