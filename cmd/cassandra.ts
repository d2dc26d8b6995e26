import { parseArgs } from 'node:util'
import { openCluster, readClusterLogin } from '../src/cluster.ts'
import type { Check } from '../src/credentials/doctor/check.ts'
import { examine } from '../src/credentials/doctor/examine.ts'
import { gather } from '../src/credentials/doctor/facts.ts'
import { systemClock } from '../src/deps.ts'
import { init } from './cassandra-init.ts'
import { readRoles, readTarget } from './cluster.ts'
import { exit, type Io, plain } from './io.ts'

export const help = `
postern cassandra init [--dry-run] [--with-cut] [--roles a,b] [--replication dc1=3,dc2=3] [--config proxy.config.yaml] [--json]
                       --username-file FILE --password-file FILE
postern cassandra doctor [--config proxy.config.yaml] [--json]

init prints the CQL that makes Postern's keyspace, its manager and two login slots for each permission role that the policies name, and runs it as the
role in the two files, which may create roles and grant. It can be run again at any time: for a new role, a new version, a new manager password.
  --dry-run             print only; connects to nothing
  --with-cut            the manager may also revoke the permission roles, so that a cut reaches the data of open connections everywhere;
                        it could then also grant them, to itself or to others
  --roles a,b           these permission roles instead of those that the policies name
  --replication dc=n    replicas in each data centre; default: 3 in each, or as many as it has nodes
  --username-file FILE, --password-file FILE   who runs it; never kept, never printed

doctor connects as the manager and says what is wrong with the cluster for Postern's purpose, and what to do: versions, replication, consistency, caches,
grants, slots, clocks, guardrails, and what a cut can end here. It tries the login cassandra/cassandra once.
Exit: 0 done, or nothing found; 1 findings; 2 cannot tell: no session, or something could not be read; 3 partly done; 64 usage or configuration.
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const [act, ...rest] = args
  if (act === 'init') return init(rest, io)
  if (act === 'doctor') return doctor(rest, io)
  io.err('Try: postern cassandra init, or postern cassandra doctor. postern cassandra --help tells more.\n')
  return exit.usage
}

const command = 'cassandra doctor'

const doctor = async (args: string[], io: Io): Promise<number> => {
  const { values } = parseArgs({ args, options: { config: { type: 'string', default: 'proxy.config.yaml' }, json: { type: 'boolean' } } })
  const target = await readTarget(command, values.config, io)
  if (typeof target === 'number') return target
  const roles = await readRoles(command, target, values.config, io)
  if (typeof roles === 'number') return roles
  const { cassandra, base, config } = target
  const checks = await examined(io, async () => {
    const login = await readClusterLogin(base, cassandra['username-file'], cassandra['password-file'])
    const progress = (line: string): void => io.err(`doctor: ${plain(line)}\n`)
    progress(`connecting as ${login.username}`)
    const session = await openCluster(cassandra, base, login, { clock: systemClock }, 10_000)
    try {
      const facts = await gather({ session, clock: systemClock, manager: login.username, roles, progress })
      const { 'rotate-every': rotateEvery, overlap } = config.credentials ?? { 'rotate-every': 900_000, overlap: 300_000 }
      return examine(facts, { roles, rotateEvery, overlap })
    } finally {
      await session.close()
    }
  })
  if (checks === null) return exit.cannotTell
  if (values.json) io.out(`${JSON.stringify({ checks })}\n`)
  else for (const check of checks) print(check, io)
  if (checks.some(({ result }) => result === 'warn' || result === 'fail')) return exit.findings
  return checks.some(({ result }) => result === 'unknown') ? exit.cannotTell : exit.done
}

const examined = async (io: Io, work: () => Promise<readonly Check[]>): Promise<readonly Check[] | null> => {
  try {
    return await work()
  } catch (fault) {
    io.err(`postern ${command}: ${plain(fault instanceof Error ? fault.message : String(fault))}\n`)
    return null
  }
}

const print = ({ result, name, message, remedy }: Check, io: Io): void => {
  io.out(`${result.padEnd(8)}${plain(name)}: ${plain(message)}\n`)
  if (remedy !== '') io.out(`        -> ${plain(remedy)}\n`)
}
