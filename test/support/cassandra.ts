import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { adminSession } from '../../deploy/demo/cassandra.ts'
import { applySchema, managerRole } from '../../deploy/demo/cassandra-schema.ts'
import { systemClock } from '../../src/deps.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { Secret } from '../../src/model/secret.ts'
import { openSession } from '../../src/store/session.ts'
import type { Started } from './cassandra-starter.ts'

/** The node that all files of this run share: make only things with a name of your own (`tenants`). */
export interface SharedCassandra {
  readonly contactPoint: string
  readonly port: number
  readonly pid: number
}

/**
 * Call it at the top of a test file: `const node = await sharedCassandra()`, then `describe.skipIf(node === null)`.
 * `lax`: one with AllowAllNetworkAuthorizer, Cassandra's default. Null where JDK 17 or Maven is missing, and says so; under CI=true that is a failure.
 */
export const sharedCassandra = async (kind: 'strict' | 'lax' = 'strict'): Promise<SharedCassandra | null> => {
  const reply = await fetch(new URL(kind, inject('cassandraStarter')))
  const answer = (await reply.json()) as Started
  if ('failed' in answer) throw new Error(answer.failed)
  if (!('missing' in answer)) return answer
  if (process.env['CI']) throw new Error(`In CI nothing may be skipped; missing: ${answer.missing}`)
  process.stderr.write(`\nSKIPPED: tests against a real Cassandra. Missing: ${answer.missing}.\n`)
  return null
}

export interface Tenants {
  /** Role `acme_finance_ro` of init.cql, as this file's copy of it is called. */
  readonly name: (name: string) => string
  /** What the manager logs in with. */
  readonly login: { readonly username: string; readonly password: Secret }
  /** A session as the manager. */
  readonly manager: () => Promise<CassandraSession>
  /** A session as the superuser. */
  readonly admin: () => Promise<CassandraSession>
}

/** Applies demo.cql and init.cql under names that end in `suffix` (letters): two test files never touch the same role. */
export const tenants = async (node: SharedCassandra, suffix: string): Promise<Tenants> => {
  const name = (text: string): string => text.replaceAll(/acme|globex|postern_manager/g, found => `${found}${suffix}`)
  const password = new Secret(randomBytes(32).toString('base64url'))
  const admin = (): Promise<CassandraSession> => adminSession(node)
  const session = await admin()
  await applySchema(session, { password, rename: name })
  await session.close()
  const settings = { contactPoints: [node.contactPoint], port: node.port, localDataCenter: 'datacenter1', tls: null }
  const login = { username: name(managerRole), password }
  return { name, admin, login, manager: () => openSession(settings, login, { clock: systemClock }) }
}
