import { slotName } from './names.ts'

/** What Postern needs in a cluster, for which roles. */
export interface SchemaPlan {
  /** Permission roles, which exist. */
  readonly roles: readonly string[]
  readonly manager: string
  /** Replicas of Postern's keyspace by data centre; null: `:replication_factor` stands for it in each. */
  readonly replication: readonly (readonly [dataCenter: string, factor: number])[] | null
  /** The manager may take the permission roles away, so that a cut reaches the data of open connections everywhere. */
  readonly withCut: boolean
}

const head = `-- What Postern needs in a Cassandra cluster (4.1 or later, PasswordAuthenticator and CassandraAuthorizer).
-- A DBA reads, adapts and runs this once, as a role that may create roles; \`postern cassandra init\` prints the same for the roles of a
-- configuration, and runs it. It can be run again at any time.
--
-- Three kinds of roles:
--   permission role   yours. NOLOGIN, holds the grants on your tables; policies name it (then: { cassandra-role: acme_finance_ro }).
--   slot              Postern's. Two login roles for each permission role, postern_<permission role>_a and _b, members of it and of
--                     nothing else. Backends log in as one of them while Postern gives the other its next password.
--   manager           Postern itself. Never a superuser, never CREATE ROLE, never a grant ON ALL KEYSPACES, none on your tables.
--
-- The permission roles must exist: names are 1 to 38 of a-z, 0-9 and _, a letter first.
--
-- Placeholders, and no secret in this text:
--   :replication_factor      '3' in production, for each data centre; '1' on a single test node.
--   :manager_password_hash   bcrypt hash of the manager's password, so that the password itself reaches neither Cassandra nor its logs:
--                              openssl rand -base64 32 | tr -d '\\n' > manager.password
--                              htpasswd -niBC 10 '' < manager.password | tr -d ':\\n' | sed 's/^\\$2y/$2a/'
--                            Write it in single quotes. manager.password is what \`cassandra.password-file\` names.
-- cqlsh does not know placeholders, so an unedited file fails before it changes anything secret.
--
-- system_auth must be replicated (NetworkTopologyStrategy, 3 or more in each data centre): otherwise one lost node ends all logins.
`

/** CQL for a DBA to read, with comments, without a secret. Every statement can be run again. */
export const schemaScript = ({ roles, manager, replication, withCut }: SchemaPlan): string =>
  [
    head,
    keyspace(replication),
    managerRole(manager),
    ...roles.flatMap(role => [slotsOf(role, manager), ...(withCut ? [cutOf(role, manager)] : [])]),
  ].join('\n')

const keyspace = (replication: SchemaPlan['replication']): string => {
  const factors = replication?.map(([name, factor]) => `'${name.replaceAll("'", "''")}': ${factor}`) ?? [
    "'replication_factor': :replication_factor",
  ]
  return `-- Postern's own keyspace: who rotates which role now, and which generation is in use. Where cassandra.key-files is configured, the sidecars of a
-- group share credentials here, encrypted with a key that Cassandra never sees.
CREATE KEYSPACE IF NOT EXISTS postern
  WITH replication = { 'class': 'NetworkTopologyStrategy', ${factors.join(', ')} };

-- One row for each role, by lightweight transaction, gone by itself when its holder is.
CREATE TABLE IF NOT EXISTS postern.leases (
  name text PRIMARY KEY,
  owner text,
  until timestamp
);

-- One row for each password that was ever made. Kept for 30 days, so that no generation number comes twice.
CREATE TABLE IF NOT EXISTS postern.generations (
  role text,
  generation int,
  slot text,
  state text,
  owner text,
  at timestamp,
  secret text,
  not_before timestamp,
  not_after timestamp,
  PRIMARY KEY (role, generation)
) WITH CLUSTERING ORDER BY (generation DESC) AND default_time_to_live = 2592000;
-- Beside all generations of a role: whether an operator cut it, or asked for the next one.
ALTER TABLE postern.generations ADD IF NOT EXISTS (cut timestamp static, cut_why text static, asked timestamp static);

-- Who is denied although the token is good (revocation.share: cassandra). Rows end by themselves and are never deleted; so that those that have
-- ended do not pile up before each look, they go sooner than Cassandra's default of ten days.
CREATE TABLE IF NOT EXISTS postern.denials (
  scope text,
  id text,
  entry text,
  PRIMARY KEY (scope, id)
) WITH gc_grace_seconds = 10800;
`
}

const created = /CREATE TABLE IF NOT EXISTS postern\.(\w+) \(([\s\S]*?)\n\)/g
const added = /ALTER TABLE postern\.(\w+) ADD IF NOT EXISTS \(([^)]*)\)/g

/** The tables that this version makes, with their columns: read from what it makes them with. */
export const neededTables = (): ReadonlyMap<string, ReadonlySet<string>> => {
  const text = keyspace(null)
  const columns = (body: string): readonly string[] => [...body.matchAll(/(?:^|,)\s*([a-z_]+) /g)].map(found => String(found[1]))
  const tables = new Map([...text.matchAll(created)].map(([, name, body]) => [String(name), new Set(columns(String(body)))]))
  for (const [, name, body] of text.matchAll(added)) for (const column of columns(String(body))) tables.get(String(name))?.add(column)
  return tables
}

/** Caches of a node that the manager empties, so that what it changes holds at once. */
export const caches = ['credentials', 'roles', 'network_permissions', 'permissions'].map(name => `${name}_cache_keys`)

const managerRole = (manager: string): string => `-- The manager.
CREATE ROLE IF NOT EXISTS ${manager} WITH LOGIN = true AND SUPERUSER = false;
ALTER ROLE ${manager} WITH HASHED PASSWORD = :manager_password_hash;
GRANT SELECT ON KEYSPACE postern TO ${manager};
GRANT MODIFY ON KEYSPACE postern TO ${manager};
-- How long each node caches passwords, and who is connected as whom.
GRANT SELECT ON TABLE system_views.settings TO ${manager};
GRANT SELECT ON TABLE system_views.clients TO ${manager};
-- A new password, and a cut, hold at once instead of after the validity of a cache. These tables hold names of roles, not passwords.
${caches
  .flatMap(name => ['SELECT', 'MODIFY'].map(permission => `GRANT ${permission} ON TABLE system_views.${name} TO ${manager};`))
  .join('\n')}
`

const slotsOf = (role: string, manager: string): string => {
  const slots = [slotName(role, 'a'), slotName(role, 'b')]
  return `-- Slots of ${role}. They are made without a password, so nobody can log in before Postern gives them one.
${[
  ...slots.map(slot => `CREATE ROLE IF NOT EXISTS ${slot} WITH LOGIN = true AND SUPERUSER = false;`),
  ...slots.map(slot => `GRANT ${role} TO ${slot};`),
  ...slots.map(slot => `GRANT ALTER ON ROLE ${slot} TO ${manager};`),
  ...slots.map(slot => `GRANT DESCRIBE ON ROLE ${slot} TO ${manager};`),
].join('\n')}
`
}

const cutOf = (
  role: string,
  manager: string,
): string => `-- Lets \`postern credentials cut\` take ${role} away from its slots, which ends the data of connections that stay open.
-- It permits more: the manager could grant ${role} to itself, or to any other role, and pass that right on.
GRANT AUTHORIZE ON ROLE ${role} TO ${manager};
`
