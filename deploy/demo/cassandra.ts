import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { systemClock } from '../../src/deps.ts'
import type { CassandraSession } from '../../src/model/cassandra.ts'
import { Secret } from '../../src/model/secret.ts'
import { openSession } from '../../src/store/session.ts'
import { cassandraYaml, javaArguments, logbackXml, type NodePlan, rackProperties } from './cassandra-flags.ts'
import { fetchJars } from './cassandra-jars.ts'
import { onPath, type Toolchain } from './toolchain.ts'

/** What the node wrote into its folder is used again. */
export interface StartOptions extends NodePlan {
  readonly toolchain: Toolchain
  readonly progress: (line: string) => void
  /** Milliseconds from the start of the process to the first login. Default: 2 minutes. */
  readonly deadline?: number
}

export interface RunningCassandra {
  readonly contactPoint: string
  readonly port: number
  readonly localDataCenter: string
  readonly pid: number
  /** Milliseconds from the start of the process to the first login. */
  readonly startedIn: number
  stop(): Promise<void>
}

/** One node on loopback, ready for logins as cassandra/cassandra. The process never outlives this one. */
export const startCassandra = async ({ toolchain, progress, deadline = 120_000, ...plan }: StartOptions): Promise<RunningCassandra> => {
  const { port, storagePort, member } = plan
  const at = { contactPoint: member?.address ?? '127.0.0.1', port, localDataCenter: member?.dataCenter ?? 'datacenter1' }
  const jars = await fetchJars(toolchain, progress)
  // Someone else's node would let the default login in just as well, and the demo would then write to it.
  for (const wanted of [port, storagePort]) await mustBeFree(at.contactPoint, wanted)
  await writeNodeFiles(plan)
  progress(`Starting Cassandra on ${at.contactPoint}:${port} ...`)
  const began = performance.now()
  const node = await launch(plan, toolchain, jars)
  try {
    await untilLogin(node, at, deadline)
  } catch (error) {
    await node.stop()
    throw error
  }
  const startedIn = Math.round(performance.now() - began)
  progress(`Cassandra answers after ${(startedIn / 1000).toFixed(1)} s.`)
  return {
    ...at,
    pid: node.pid,
    startedIn,
    stop: node.stop,
  }
}

const mustBeFree = async (address: string, port: number): Promise<void> => {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const probe = createServer().once('error', error => reject(new Error(`Cassandra's port ${port} is taken: ${error.message}`)))
  probe.listen(port, address, () => probe.close(() => resolve()))
  await promise
}

const writeNodeFiles = async (plan: NodePlan): Promise<void> => {
  for (const folder of ['run/triggers', 'tmp']) await mkdir(join(plan.dir, folder), { recursive: true })
  await writeFile(join(plan.dir, 'cassandra.yaml'), cassandraYaml(plan))
  await writeFile(join(plan.dir, 'rackdc.properties'), rackProperties(plan))
  await writeFile(join(plan.dir, 'logback.xml'), logbackXml)
}

interface Node {
  readonly pid: number
  readonly ended: Promise<string>
  readonly log: () => string
  stop(): Promise<void>
}

const launch = async (plan: NodePlan, toolchain: Toolchain, jars: readonly string[]): Promise<Node> => {
  const { command, prefix } = await withoutMemoryLock(toolchain)
  // Detached: Ctrl-C in the terminal must reach Postern, which then ends its rotations, and not the cluster under its feet.
  const options = { cwd: plan.dir, env: toolchain.env, detached: true } as const
  const child = spawn(command, [...prefix, ...javaArguments(plan, jars)], { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      lines.push(...text.split('\n').filter(Boolean))
      lines.splice(0, lines.length - 40)
    })
  const { promise: ended, resolve } = Promise.withResolvers<string>()
  child.once('close', (code, signal) => resolve(`exit ${code ?? signal}`)).once('error', error => resolve(error.message))
  const kill = () => void child.kill('SIGKILL')
  process.once('exit', kill)
  const watchdog = watch(child)
  void ended.then(() => {
    process.removeListener('exit', kill)
    watchdog?.kill('SIGKILL')
  })
  return {
    pid: child.pid ?? 0,
    ended,
    log: () =>
      lines
        .slice(-15)
        .map(line => line.slice(0, 300))
        .join('\n'),
    stop: async () => {
      kill()
      await ended
    },
  }
}

/**
 * Exit handlers do not run when this process is killed with SIGKILL, and a JVM does not notice that its parent is gone.
 * A shell that waits on a pipe from us does: the kernel closes the pipe however we end. It needs nothing but what a shell has built in.
 */
const watch = (child: ChildProcess): ChildProcess | null => {
  if (child.pid === undefined) return null
  const script = 'read -r _; kill -9 "$1" 2>/dev/null'
  const dog = spawn('/bin/sh', ['-c', script, 'watchdog', String(child.pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  dog.on('error', () => undefined).unref()
  return dog
}

/** As root, Cassandra locks its whole heap into memory, which doubles what it takes. Without the capability it does not try for long. */
const withoutMemoryLock = async (toolchain: Toolchain): Promise<{ command: string; prefix: readonly string[] }> => {
  const [prlimit, setpriv] = await Promise.all(['prlimit', 'setpriv'].map(name => onPath(name, toolchain.env)))
  if (process.getuid?.() !== 0 || !prlimit || !setpriv) return { command: toolchain.java, prefix: [] }
  return { command: prlimit, prefix: ['--memlock=65536', setpriv, '--bounding-set=-ipc_lock', '--inh-caps=-ipc_lock', toolchain.java] }
}

const untilLogin = async (node: Node, at: Parameters<typeof adminSession>[0], deadline: number): Promise<void> => {
  const end = performance.now() + deadline
  const death = node.ended.then(how => {
    throw new Error(`Cassandra ended before it answered (${how}):\n${node.log()}`)
  })
  while (true) {
    const session = await Promise.race([adminSession(at).catch(() => null), death])
    if (session) return void (await session.close())
    if (performance.now() > end) throw new Error(`Cassandra did not answer within ${deadline / 1000} s:\n${node.log()}`)
    await Promise.race([new Promise(resolve => setTimeout(resolve, 100)), death])
  }
}

/** The superuser that every new cluster has, or another one with the same password. For setting a demo or test cluster up; Postern itself never logs in as it. */
export const adminSession = (node: {
  readonly contactPoint: string
  readonly port: number
  readonly localDataCenter?: string
  readonly superuser?: string
}): Promise<CassandraSession> =>
  openSession(
    { contactPoints: [node.contactPoint], port: node.port, localDataCenter: node.localDataCenter ?? 'datacenter1', tls: null },
    { username: node.superuser ?? 'cassandra', password: new Secret('cassandra') },
    { clock: systemClock },
  )
