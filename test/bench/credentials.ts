import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { openCassandraProvider } from '../../src/credentials/cassandra.ts'
import type { CredentialProvider } from '../../src/model/credential.ts'
import { FakeCluster, fakeHash } from '../support/fake-cassandra.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { median } from './figures.ts'

const help = `npm run bench:credentials -- [--check]

Measures what a request pays for its credential: looking one of 200 roles up, in this process, all of them handed out.
  --check   exit 1 where a look-up takes 200 ns or more, or leaves anything on the heap
`

const roles = Array.from({ length: 200 }, (_, i) => `tenant_${String(i).padStart(3, '0')}_ro`)
const lookUps = 1_000_000
const rounds = 15
const mostNs = 200

const handedOut = async (): Promise<CredentialProvider> => {
  const clock = new ManualClock()
  const cluster = new FakeCluster(clock)
  const minute = 60_000
  const provider = openCassandraProvider({
    settings: { rotateEvery: 15 * minute, overlap: 5 * minute, hardTtl: 60 * minute, afterHardTtl: 'refuse' },
    group: 'bench',
    keys: [],
    connect: async () => cluster.session(),
    observe: () => undefined,
    clock,
    random: randomBytes,
    hash: fakeHash,
  })
  provider.roles(roles)
  await clock.advance(minute)
  const missing = roles.filter(role => 'unavailable' in provider.current(role))
  if (missing.length > 0) throw new Error(`${missing.length} roles were not handed out`)
  return provider
}

interface Round {
  readonly ns: number
  readonly bytes: number
}

const measure = (provider: CredentialProvider): Round => {
  let found = 0
  const [heap, began] = [process.memoryUsage().heapUsed, process.hrtime.bigint()]
  for (let i = 0; i < lookUps; i++) {
    const answer = provider.current(roles[i % roles.length] ?? '')
    if (!('unavailable' in answer)) found += answer.generation
  }
  const ns = Number(process.hrtime.bigint() - began) / lookUps
  const bytes = (process.memoryUsage().heapUsed - heap) / lookUps
  if (found !== lookUps) throw new Error('a look-up found nothing')
  return { ns, bytes }
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  const provider = await handedOut()
  const all = Array.from({ length: rounds }, () => measure(provider)).slice(rounds / 3)
  const [ns, bytes] = [median(all.map(round => round.ns)), median(all.map(round => round.bytes))]
  process.stdout.write(`look-up of one of ${roles.length} roles: ${ns.toFixed(1)} ns, ${Math.max(0, bytes).toFixed(2)} bytes on the heap\n`)
  return values.check && (ns >= mostNs || bytes >= 0.1) ? 1 : 0
}

process.exitCode = await main()
