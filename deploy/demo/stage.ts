import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { writeHashKey, writeKeyPair } from '../../src/record/keys.ts'
import { localCluster, startBackend } from './backend.ts'
import { type DemoCluster, prepareCluster } from './cluster.ts'
import { DemoFault, type Say } from './fault.ts'
import { type DemoProvider, demoUsers, startProvider } from './provider.ts'

/** Where the repository is, and the one folder that the demo writes to. */
export const root = join(import.meta.dirname, '..', '..')
export const folder = join(root, '.postern', 'demo')

export const ports = { proxy: 8080, ops: 9090, backend: 9300, provider: 9400, cassandra: 19042, storage: 17000 } as const

/** Which key of which file a port belongs to, for the message when it is busy. */
const portKeys: Readonly<Record<keyof typeof ports, string>> = {
  proxy: 'listen.proxy in proxy.config.yaml',
  ops: 'listen.ops in proxy.config.yaml',
  backend: 'upstreams.demo.url in proxy.config.yaml',
  provider: 'issuers in proxy.config.yaml',
  cassandra: 'the port of the demo node',
  storage: 'the storage port of the demo node',
}

export interface Stage {
  readonly provider: DemoProvider
  /** Null where credentials come from a file. */
  readonly cluster: DemoCluster | null
  /** Why there is no Cassandra, or null. */
  readonly missing: string | null
  /** The configuration that the running Postern was given. */
  readonly configFile: string
  readonly postern: ChildProcess
  stop(): Promise<void>
}

/** Provider, Cassandra where there is one, backend, and Postern as a process of its own: everything real, on this machine only. */
export const setUp = async (
  env: NodeJS.ProcessEnv,
  rotation: { readonly every: string; readonly overlap: string },
  say: Say,
): Promise<Stage> => {
  const closers: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close()
  }
  try {
    for (const name of ['proxy', 'ops', 'backend', 'provider'] as const) await mustBeFree(ports[name], portKeys[name])
    await clearAudit()
    await prepareFolder()
    const found = await prepareCluster(env, folder, { port: ports.cassandra, storagePort: ports.storage }, say)
    const cluster = 'missing' in found ? null : found
    if (cluster) closers.push(() => cluster.stop())
    const configFile = await writeConfig(cluster, rotation)
    const provider = await startProvider({ port: ports.provider })
    closers.push(() => provider.stop())
    const backend = await startBackend({ port: ports.backend, ...(cluster ? { cassandra: localCluster(cluster) } : {}) })
    closers.push(() => backend.close())
    await writeHeaders(provider)
    const postern = startPostern(configFile)
    closers.push(() => stopProcess(postern))
    await untilReady(postern)
    return { provider, cluster, missing: 'missing' in found ? found.missing : null, configFile, postern, stop }
  } catch (fault) {
    await stop()
    throw fault
  }
}

const mustBeFree = async (port: number, key: string): Promise<void> => {
  const probe = createServer()
  probe.listen(port, '127.0.0.1')
  await Promise.race([once(probe, 'listening'), once(probe, 'error').then(([fault]) => Promise.reject(fault))]).catch(() => {
    throw new DemoFault(`Port ${port} is in use (${key}). Stop what listens there, or write another port.`)
  })
  probe.close()
  await once(probe, 'close')
}

/** Secrets are made here, once, and never printed. */
const prepareFolder = async (): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeOnce('gateway.secret', `${randomBytes(32).toString('hex')}\n`)
  await writeCredentials(1)
  if (!(await exists(join(folder, 'audit.pem')))) await writeKeyPair(join(folder, 'audit.pem'))
  if (!(await exists(join(folder, 'facts.secret')))) await writeHashKey(join(folder, 'facts.secret'))
}

const writeOnce = async (name: string, text: string): Promise<void> => {
  await writeFile(join(folder, name), text, { mode: 0o600, flag: 'wx' }).catch((fault: NodeJS.ErrnoException) => {
    if (fault.code !== 'EEXIST') throw fault
  })
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** What the file provider reads: in the demo without Cassandra, this is the "something else" that rotates. */
export const writeCredentials = async (generation: number): Promise<void> => {
  const roles = ['acme_finance_ro', 'acme_finance_rw', 'globex_orders_ro']
  const slot = generation % 2 === 1 ? 'a' : 'b'
  const entries = roles.map(role => [
    role,
    { username: `postern_${role}_${slot}`, password: randomBytes(24).toString('base64url'), generation },
  ])
  await writeFile(join(folder, 'credentials.json'), `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`, { mode: 0o600 })
}

const marks = ['# --- credentials', '# --- end of credentials']

/** With Cassandra, the same configuration with the other credentials section; its paths start from where it stands. */
const writeConfig = async (
  cluster: DemoCluster | null,
  rotation: { readonly every: string; readonly overlap: string },
): Promise<string> => {
  const own = join(root, 'proxy.config.yaml')
  if (cluster === null) return own
  const text = await readFile(own, 'utf8')
  const [from, to] = marks.map(mark => text.indexOf(mark)) as [number, number]
  if (from < 0 || to < from)
    throw new DemoFault('proxy.config.yaml has lost its credentials section. Restore the lines from "# --- credentials" on.')
  const section = `cassandra: { contact-points: ["${cluster.contactPoint}:${cluster.port}"], local-data-center: ${cluster.localDataCenter}, username-file: manager.username, password-file: manager.password }
credentials: { provider: cassandra, rotate-every: ${rotation.every}, overlap: ${rotation.overlap} }
`
  const moved = `${text.slice(0, from)}${section}${text.slice(to)}`
    .replaceAll('.postern/demo/', '')
    .replace(/^( *dir: )policies\b/m, '$1../../policies')
    .replace(/^state: .*$/m, 'state: ..')
  const file = join(folder, 'proxy.config.yaml')
  await writeFile(file, moved)
  return file
}

/** Header files for `curl -H @file`: what API Gateway maps into each request, and a fresh token of each user. */
const writeHeaders = async (provider: DemoProvider): Promise<void> => {
  const proof = (await readFile(join(folder, 'gateway.secret'), 'utf8')).trim()
  for (const tenant of ['acme', 'globex']) {
    const lines = [`x-postern-gateway-proof: ${proof}`, `x-postern-host: ${tenant}.localhost`, 'x-postern-client-ip: 10.1.2.3']
    await writeFile(join(folder, `gateway-${tenant}`), `${lines.join('\n')}\n`, { mode: 0o600 })
  }
  for (const user of Object.keys(demoUsers))
    await writeFile(join(folder, user), `authorization: Bearer ${await provider.token(user)}\n`, { mode: 0o600 })
}

const startPostern = (configFile: string): ChildProcess => {
  const child = spawn(process.execPath, [join(root, 'cmd', 'postern.mjs'), 'serve', '--config', configFile], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.stderr?.pipe(createWriteStream(join(folder, 'postern.log')))
  return child
}

const stopProcess = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
  await ended
  clearTimeout(timer)
}

/** Until `/readyz` is 200 and every credential is there, or the process has ended. */
const untilReady = async (child: ChildProcess): Promise<void> => {
  const deadline = Date.now() + 60_000
  while (Date.now() < deadline) {
    if (child.exitCode !== null)
      throw new DemoFault(`Postern ended with ${child.exitCode}:\n${await readFile(join(folder, 'postern.log'), 'utf8')}`)
    const detail = await readiness()
    const unserved = detail?.tenants.filter(({ state }) => state === 'unavailable').map(({ tenant }) => tenant) ?? []
    if (unserved.length > 0)
      throw new DemoFault(
        `The policy of ${unserved.join(' and ')} is not served: its file or its tests are broken. "npm run -s postern -- check" and "... test" say where; "git checkout policies" undoes.`,
      )
    if (detail?.ready && detail.credentials.every(credential => credential.state === 'current')) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new DemoFault(`Postern was not ready within a minute. Its log: ${join(folder, 'postern.log')}`)
}

export interface Readiness {
  readonly ready: boolean
  readonly tenants: readonly { readonly tenant: string; readonly state: string }[]
  readonly credentials: readonly { readonly role: string; readonly generation: number; readonly state: string }[]
}

export const readiness = (): Promise<Readiness | null> =>
  new Promise(resolve => {
    const req = get({ host: '127.0.0.1', port: ports.ops, path: '/readyz', timeout: 2_000 }, res => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Readiness))
    })
    req.on('error', () => resolve(null))
    req.on('timeout', () => req.destroy())
  })

/** Removes what a run leaves in the audit folders, so that a tour counts only its own records. */
const clearAudit = async (): Promise<void> => {
  for (const name of ['audit', 'audit-second']) await rm(join(folder, name), { recursive: true, force: true })
}

/** How the credentials of this run come about, in one line. */
export const credentialsLine = (stage: Stage): string =>
  stage.cluster
    ? `Cassandra    ${stage.cluster.contactPoint}:${stage.cluster.port}; every login in use is made, proved and rotated by Postern`
    : `Cassandra    none: ${stage.missing}. Credentials come from a file (provider file); the backend keeps its data in memory`
