import type { CassandraSession } from '../model/cassandra.ts'
import type { CredentialStatus } from '../model/credential.ts'

export type CutEnds = CredentialStatus['cutEnds']

const authorizer = "SELECT value FROM system_views.settings WHERE name IN ('network_authorizer', 'network_authorizer.class_name')"

/** Learns what a cut can end in this cluster, so that operators know before they need one. Never rejects. */
export const readReach = async (session: Pick<CassandraSession, 'execute' | 'hosts'>): Promise<(role: string) => CutEnds> => {
  try {
    const settings = await Promise.all(session.hosts().map(host => session.execute(authorizer, [], { host })))
    const isEnforced = (rows: (typeof settings)[number]): boolean =>
      rows.some(row => String(row['value']).split('.').at(-1) === 'CassandraNetworkAuthorizer')
    if (settings.length > 0 && settings.every(isEnforced)) return () => 'connections'
    // Who is not superuser is shown itself, and roles that it is a member of.
    const [self] = await session.execute('LIST ROLES')
    const grants = await session.execute(`LIST AUTHORIZE PERMISSION OF "${String(self?.['role']).replaceAll('"', '""')}"`)
    const taken = new Set(grants.map(row => String(row['resource'])))
    return role => (taken.has(`<role ${role}>`) ? 'data' : 'logins')
  } catch {
    return () => 'unknown'
  }
}
