import { parseArgs } from 'node:util'
import { openCluster, readClusterLogin } from '../src/cluster.ts'
import { wrongRole } from '../src/credentials/names.ts'
import { systemClock } from '../src/deps.ts'
import type { CassandraSession } from '../src/model/cassandra.ts'
import { missingRoles, type ProvisionPlan, planned, provision, type Replication, replicationOf } from '../src/provision.ts'
import type { Login } from '../src/store/session.ts'
import { readRoles, readTarget, type Target } from './cluster.ts'
import { exit, type Io, plain } from './io.ts'

const command = 'cassandra init'
const statementDeadline = 30_000

const options = {
  config: { type: 'string', default: 'proxy.config.yaml' },
  roles: { type: 'string' },
  replication: { type: 'string' },
  'with-cut': { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  'username-file': { type: 'string' },
  'password-file': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

/** `postern cassandra init`. */
export const init = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({ args, options })
  const asked = readArguments(values)
  if (typeof asked === 'string') {
    io.err(`postern ${command}: ${plain(asked)}\n`)
    return exit.usage
  }
  const target = await readTarget(command, values.config, io)
  if (typeof target === 'number') return target
  const roles = asked.roles ?? (await readRoles(command, target, values.config, io))
  if (typeof roles === 'number') return roles
  const bad = roles.map(wrongRole).find(wrong => wrong !== null)
  if (bad !== undefined || roles.length === 0) {
    io.err(`postern ${command}: ${plain(bad ?? 'no policy names a role; write --roles a,b.')}\n`)
    return exit.usage
  }
  const manager = await managerOf(target, io)
  if (manager === null) return exit.usage
  const plan: ProvisionPlan = { roles, manager: manager.username, replication: asked.replication, withCut: values['with-cut'] }
  if (values['dry-run']) {
    show(plan, values, io, false)
    return exit.done
  }
  return carryOut(plan, manager, target, values, io)
}

interface Asked {
  readonly roles: readonly string[] | null
  readonly replication: Replication | null
}

const readArguments = (values: Values): Asked | string => {
  const replication = values.replication?.split(',').map(part => /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})=([1-9]\d?)$/.exec(part.trim()))
  if (replication?.some(part => part === null)) return '--replication is written as dc1=3,dc2=3.'
  if (!values['dry-run'] && (values['username-file'] === undefined || values['password-file'] === undefined))
    return 'needs --username-file and --password-file of a role that may create roles; or --dry-run, which prints the CQL for a DBA.'
  return {
    roles: values.roles === undefined ? null : [...new Set(values.roles.split(',').map(role => role.trim()))],
    replication: replication?.map(part => [part?.[1] ?? '', Number(part?.[2])] as const) ?? null,
  }
}

/** Its name stands in role statements, which have no bind markers. */
const managerOf = async ({ cassandra, base }: Target, io: Io): Promise<Login | null> => {
  try {
    const login = await readClusterLogin(base, cassandra['username-file'], cassandra['password-file'])
    if (/^[a-z][a-z0-9_]{0,47}$/.test(login.username)) return login
    io.err(
      `postern ${command}: cassandra.username-file holds a name that init does not make; write 1 to 48 of a-z, 0-9 and "_", a letter first.\n`,
    )
  } catch (fault) {
    const why = fault instanceof Error ? fault.message : String(fault)
    io.err(
      `postern ${command}: the manager's login cannot be read: ${plain(why)}\nWrite a name and a password that you make up (openssl rand -base64 32) into cassandra.username-file and .password-file.\n`,
    )
  }
  return null
}

const show = (plan: ProvisionPlan, { json }: Values, io: Io, ran: boolean): void => {
  const { cql, count } = planned(plan)
  if (json) io.out(`${JSON.stringify({ roles: plan.roles, manager: plan.manager, statements: count, ran, cql })}\n`)
  else if (!ran) io.out(cql)
}

const carryOut = async (plan: ProvisionPlan, manager: Login, { cassandra, base }: Target, values: Values, io: Io): Promise<number> => {
  const say = (line: string): void => io.err(`init: ${plain(line)}\n`)
  let session: CassandraSession
  try {
    const admin = await readClusterLogin('.', values['username-file'] ?? '', values['password-file'] ?? '')
    say(`connecting as ${admin.username}`)
    session = await openCluster(cassandra, base, admin, { clock: systemClock }, statementDeadline)
  } catch (fault) {
    say(fault instanceof Error ? fault.message : String(fault))
    return exit.cannotTell
  }
  try {
    const missing = await missingRoles(session, plan.roles)
    if (missing.length > 0) {
      for (const role of missing)
        say(`there is no role ${role}. It is yours, not Postern's: CREATE ROLE ${role}; and GRANT it what backends need.`)
      say('nothing was changed.')
      return exit.findings
    }
    const whole = { ...plan, replication: plan.replication ?? (await replicationOf(session)) }
    if (!values.json) show(whole, values, io, false)
    const code = await runAll(session, whole, manager, say)
    if (values.json) show(whole, values, io, code === exit.done)
    return code
  } catch (fault) {
    say(fault instanceof Error ? fault.message : String(fault))
    return exit.cannotTell
  } finally {
    await session.close()
  }
}

const runAll = async (session: CassandraSession, plan: ProvisionPlan, manager: Login, say: (line: string) => void): Promise<number> => {
  const { count } = planned(plan)
  let done = 0
  try {
    await provision(session, plan, manager, n => {
      done = n
      if (n % 50 === 0) say(`${n} of ${count}`)
    })
  } catch (fault) {
    say(`statement ${done} of ${count}: ${fault instanceof Error ? fault.message : String(fault)}`)
    say('what ran before it stands; mend the cause and run init again.')
    return exit.partly
  }
  say(`${count} statements ran. What is left to a DBA, and what a cut can end here: postern cassandra doctor`)
  return exit.done
}
