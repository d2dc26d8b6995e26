import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseCore, parseCores, parseTicks } from './figures.ts'

/** Two cores: one for the proxy alone, the other for everything else. */
export const pickCores = (): { readonly proxy: number; readonly load: number } => {
  const allowed = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const [proxy, load] = parseCores(allowed)
  if (proxy === undefined || load === undefined) throw new Error(`two cores are needed, this process may use only "${allowed}"`)
  return { proxy, load }
}

/** Keeps this process, with all its threads, off the other cores. */
export const moveTo = (core: number): void => {
  spawnSync('taskset', ['-apc', String(core), String(process.pid)], { stdio: 'ignore' })
}

export const coreTime = (core: number) => parseCore(readFileSync('/proc/stat', 'utf8'), core)

const ignoringEnded = <T>(read: () => T, otherwise: T): T => {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** A process and its children, which nginx and nothing else has here. */
const family = (pid: number): number[] => [
  pid,
  ...ignoringEnded(() => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number), []),
]

/** Resident memory in MB (10^6 bytes). */
export const rssOf = (pid: number): number =>
  family(pid).reduce((sum, member) => {
    const status = ignoringEnded(() => readFileSync(`/proc/${member}/status`, 'utf8'), '')
    return sum + (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024) / 1e6
  }, 0)

/** Milliseconds of CPU used so far. Linux counts in hundredths of a second. */
export const cpuOf = (pid: number): number =>
  family(pid).reduce((sum, member) => sum + 10 * ignoringEnded(() => parseTicks(readFileSync(`/proc/${member}/stat`, 'utf8')), 0), 0)

export interface Running {
  readonly pid: number
  /** How it ended, if it has. */
  readonly ended: () => string | null
  stop(): Promise<void>
}

/** Everything the bench starts, so that all of it ends with the bench. */
export class Processes {
  readonly #alive = new Set<ChildProcess>()

  start(core: number, command: readonly string[], options: SpawnOptions): Running {
    const child = spawn('taskset', ['-c', String(core), ...command], options)
    if (child.pid === undefined) throw new Error(`${command[0]} could not be started`)
    this.#alive.add(child)
    child.once('exit', () => this.#alive.delete(child))
    return {
      pid: child.pid,
      ended: () => (child.exitCode === null && child.signalCode === null ? null : `ended with ${child.exitCode ?? child.signalCode}`),
      stop: () => this.#stop(child),
    }
  }

  /** Runs a program to its end and gives what it printed. */
  async run(core: number, command: readonly string[]): Promise<string> {
    const child = spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#alive.add(child)
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    const code = await new Promise<number | null>((fulfil, reject) => child.once('error', reject).once('close', fulfil))
    this.#alive.delete(child)
    if (code !== 0) throw new Error(`${command[0]} ended with ${code}:\n${text}`)
    return text
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#alive].map(child => this.#stop(child)))
  }

  async #stop(child: ChildProcess): Promise<void> {
    if (!this.#alive.has(child) || child.pid === undefined) return
    const gone = new Promise<void>(fulfil => child.once('exit', () => fulfil()))
    const members = family(child.pid)
    child.kill('SIGTERM')
    await Promise.race([gone, delay(5_000, undefined, { ref: false })])
    // A master that had to be killed would leave its workers behind.
    if (this.#alive.has(child)) for (const pid of members) ignoringEnded(() => process.kill(pid, 'SIGKILL'), false)
  }
}
