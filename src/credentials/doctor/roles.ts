import { caches } from '../schema.ts'
import { type Check, className, fail, type Judge, ok, settingOf, unknown, unreadable, warn } from './check.ts'
import type { ClusterFacts, Grant, SlotFacts } from './facts.ts'

const again = 'Let a DBA run: postern cassandra init.'

const holds = (grants: readonly Grant[], resource: string, permission: string): boolean =>
  grants.some(grant => grant.resource === resource && grant.permission === permission)

/** What `init` grants, as `LIST ALL PERMISSIONS` shows it. */
const needed = (facts: ClusterFacts): readonly (readonly [resource: string, permission: string])[] => [
  ['<keyspace postern>', 'SELECT'],
  ['<keyspace postern>', 'MODIFY'],
  ['<table system_views.settings>', 'SELECT'],
  ['<table system_views.clients>', 'SELECT'],
  ...caches.flatMap(cache => ['SELECT', 'MODIFY'].map(permission => [`<table system_views.${cache}>`, permission] as const)),
  ...facts.slots.flatMap(({ login }) => ['ALTER', 'DESCRIBE'].map(permission => [`<role ${login}>`, permission] as const)),
]

export const manager: Judge = facts => {
  const { managerGrants: grants, managerRoles, isSuperuser, slots } = facts
  const name = 'manager'
  if (isSuperuser)
    return [
      fail(
        name,
        `${facts.manager} is a superuser: whoever has its password has everything.`,
        `ALTER ROLE ${facts.manager} WITH SUPERUSER = false; then: postern cassandra init.`,
      ),
    ]
  const missing = needed(facts).filter(([resource, permission]) => !holds(grants, resource, permission))
  const own = new Set(slots.map(({ login }) => `<role ${login}>`))
  const permissionRoles = new Set(slots.map(({ role }) => `<role ${role}>`))
  const tooMuch = grants.filter(({ resource, permission }) => !isExpected(resource, permission, own, permissionRoles))
  const others = managerRoles.filter(role => role !== facts.manager)
  const hashes = tooMuch.some(({ resource }) => resource === '<table system_auth.roles>')
  const found: Check[] = []
  if (missing.length > 0)
    found.push(fail(name, `lacks ${some(missing.map(([resource, permission]) => `${permission} ON ${resource}`))}.`, again))
  if (hashes)
    found.push(
      warn(
        name,
        'may read every password hash of the cluster (SELECT ON system_auth.roles): Postern watches its slots by it.',
        'REVOKE it unless that watch is wanted.',
      ),
    )
  const rest = tooMuch
    .filter(({ resource }) => resource !== '<table system_auth.roles>')
    .map(({ resource, permission }) => `${permission} ON ${resource}`)
  if (rest.length > 0)
    found.push((rest.some(isGrave) ? fail : warn)(name, `has more than Postern uses: ${some(rest)}.`, `REVOKE it from ${facts.manager}.`))
  if (others.length > 0) found.push(warn(name, `is a member of ${some(others)}.`, `REVOKE that from ${facts.manager}: it needs no role.`))
  return found.length > 0 ? found : [ok(name, `${facts.manager} has what it needs, and no more.`)]
}

/** Which is everything: on every tenant's data, or on every role. */
const isGrave = (text: string): boolean => /<all (keyspaces|roles)>/.test(text)

const isExpected = (resource: string, permission: string, slots: ReadonlySet<string>, permissionRoles: ReadonlySet<string>): boolean =>
  resource === '<keyspace postern>' ||
  resource.startsWith('<table postern.') ||
  (resource.startsWith('<table system_views.') && (permission === 'SELECT' || permission === 'MODIFY')) ||
  (slots.has(resource) && (permission === 'ALTER' || permission === 'DESCRIBE')) ||
  (permissionRoles.has(resource) && permission === 'AUTHORIZE')

export const slots: Judge = ({ slots: all }) => {
  if (all.length === 0) return [warn('slots', 'no policy names a role.', '')]
  const faults = all.flatMap(slotFaults)
  return faults.length > 0 ? faults : [ok('slots', `${all.length}, each a member of its permission role and of nothing else.`)]
}

const slotFaults = ({ role, login, grants }: SlotFacts): readonly Check[] => {
  const name = `slot ${login}`
  if (grants === 'missing') return [fail(name, `does not exist: nobody can be given ${role}.`, again)]
  if (grants === 'denied') return [fail(name, 'may not be looked at by the manager.', again)]
  const own = grants.filter(grant => grant.role === login)
  const others = [...new Set(grants.map(grant => grant.role))].filter(one => one !== login && one !== role)
  const found: Check[] = []
  if (own.length > 0)
    found.push(
      warn(
        name,
        `has grants of its own: ${some(own.map(({ resource, permission }) => `${permission} ON ${resource}`))}.`,
        `Give them to ${role}, or to nobody: a slot is a member of its permission role and has nothing else.`,
      ),
    )
  if (others.length > 0) found.push(fail(name, `is a member of ${some(others)} too.`, `REVOKE ${others[0]} FROM ${login};`))
  if (grants.length === 0)
    found.push(
      unknown(
        name,
        `may do nothing: ${role} has no grant, or is not granted to it.`,
        `GRANT ${role} TO ${login}; and see that ${role} has grants.`,
      ),
    )
  return found
}

/** What a cut reaches here, told before anybody needs it. */
export const cutReach: Judge = facts => {
  const name = 'cut'
  const network = settingOf(facts, 'network_authorizer.class_name', 'network_authorizer')
  const cidr = settingOf(facts, 'cidr_authorizer.class_name', 'cidr_authorizer')
  if (facts.nodes.every(({ settings }) => settings === null)) return [unreadable(name)]
  const isEnforced = [...(network?.keys() ?? [])].every(value => className(value) === 'CassandraNetworkAuthorizer') && network !== null
  const isFenced = [...(cidr?.keys() ?? [])].some(value => className(value) === 'CassandraCIDRAuthorizer')
  const without = [...new Set(facts.slots.map(({ role }) => role))].filter(
    role => !holds(facts.managerGrants, `<role ${role}>`, 'AUTHORIZE'),
  )
  const atOnce = caches.every(cache => holds(facts.managerGrants, `<table system_views.${cache}>`, 'MODIFY'))
  const speed = atOnce ? 'at once' : 'when the caches of the nodes have aged'
  if (isEnforced) return [ok(name, `ends new logins and open connections ${speed} (CassandraNetworkAuthorizer).`)]
  if (without.length === 0)
    return [ok(name, `ends new logins ${speed}, and takes the data from open connections, which stay open (REVOKE).`)]
  const fenced = isFenced ? ' The CIDR authorizer ends them too where it enforces.' : ''
  return [
    warn(
      name,
      `ends new logins ${speed}; connections that are open with ${some(without)} go on, and are only named.${fenced}`,
      'Set network_authorizer: CassandraNetworkAuthorizer on every node, or let a DBA run: postern cassandra init --with-cut.',
    ),
  ]
}

const some = (all: readonly string[]): string =>
  all.length <= 5 ? all.join(', ') : `${all.slice(0, 5).join(', ')} and ${all.length - 5} more`
