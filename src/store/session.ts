import type { Client, ClientOptions, Host, policies, types } from 'cassandra-driver'
import {
  type CassandraSession,
  CqlFault,
  type CqlRow,
  type ExecuteOptions,
  type HeldLogin,
  type LoginProof,
  type LoginTarget,
} from '../model/cassandra.ts'
import type { Clock } from '../model/deps.ts'
import type { Secret } from '../model/secret.ts'

type Driver = typeof import('cassandra-driver')

export interface SessionSettings {
  readonly contactPoints: readonly string[]
  readonly port: number
  readonly localDataCenter: string
  readonly tls: { readonly ca: string; readonly serverName: string | null } | null
  /** Milliseconds for connecting, a login proof included. */
  readonly connectDeadline?: number
  /** Milliseconds for one statement. */
  readonly statementDeadline?: number
}

export interface Login {
  readonly username: string
  readonly password: Secret
}

export interface SessionDeps {
  readonly clock: Pick<Clock, 'after' | 'monotonic'>
}

interface Bounds {
  readonly connect: number
  readonly statement: number
}

/** Native protocol error codes with a meaning here. */
const badCredentials = 0x0100
const unauthorized = 0x2100

/** Rows of one statement; a table of connections can be long. */
const maxRows = 20_000

/** Connects as the given login. Rejects with a CqlFault when no node let it in within the deadline. */
export const openSession = async (settings: SessionSettings, credentials: Login, deps: SessionDeps): Promise<CassandraSession> => {
  // Loaded here, not at the top: 20 MB and 100 ms that a sidecar with the file provider never needs.
  const { default: driver } = await import('cassandra-driver')
  const bounds = { connect: settings.connectDeadline ?? 10_000, statement: settings.statementDeadline ?? 5_000 }
  const client = new driver.Client(clientOptions(driver, settings, credentials, bounds))
  await connect(client, bounds, deps)
  const opened = deps.clock.monotonic()
  const returned = new Map<string, number>()
  const note = (host: Host): void => void returned.set(host.address, deps.clock.monotonic())
  for (const change of ['hostUp', 'hostDown', 'hostAdd', 'hostRemove']) client.on(change, note)
  return {
    execute: async (cql, params = [], options = {}) => execute(client, cql, params, requestOf(driver, client, options), bounds, deps),
    hosts: () => upHosts(client).map(host => host.address),
    upSince: host => returned.get(host) ?? opened,
    hold: (username, password, host) => holdLogin(driver, settings, { username, password }, host, bounds, deps),
    login: (username, password, target = {}) => proveLogin(driver, settings, { username, password }, target, bounds, deps),
    close: async () => {
      await within(deps, bounds.statement, client.shutdown()).catch(() => undefined)
    },
  }
}

export const clientOptions = (driver: Driver, settings: SessionSettings, login: Login, bounds: Bounds): ClientOptions => ({
  contactPoints: [...settings.contactPoints],
  localDataCenter: settings.localDataCenter,
  authProvider: authProvider(driver, login),
  // The port of a contact point is not applied to discovered nodes: without this they stay down, silently, on 9042.
  protocolOptions: { port: settings.port, maxVersion: 4 },
  // SERIAL: with LOCAL_SERIAL, sidecars of two data centres that ask in the same moment would both be given one lease. It cannot be had while
  // a majority is away; nor can a role be altered then.
  queryOptions: {
    fetchSize: 500,
    consistency: driver.types.consistencies.localQuorum,
    serialConsistency: driver.types.consistencies.serial,
  },
  socketOptions: { connectTimeout: bounds.connect, readTimeout: bounds.statement },
  // The driver's default backs off to ten minutes: one botched rotation would keep a healthy node out for as long.
  policies: {
    loadBalancing: reachingAll(driver, settings.localDataCenter),
    reconnection: new driver.policies.reconnection.ExponentialReconnectionPolicy(250, 5_000, false),
  },
  isMetadataSyncEnabled: false,
  ...(settings.tls ? { sslOptions: tlsOptions(settings.tls) } : {}),
})

/** Opens the secret for each connection: the driver's own way keeps it in its clients and connections, where a dump of any of them would show it. */
const authProvider = (
  { auth: { PlainTextAuthProvider } }: Driver,
  { username, password }: Login,
): NonNullable<ClientOptions['authProvider']> => {
  class Opening extends PlainTextAuthProvider {
    override newAuthenticator(endpoint: string, name: string): ReturnType<InstanceType<typeof PlainTextAuthProvider>['newAuthenticator']> {
      return new PlainTextAuthProvider(username, password.open()).newAuthenticator(endpoint, name)
    }
  }
  return new Opening(username, '')
}

/**
 * Statements go to the own data centre unless they name a node. The driver's default connects to no node of any other: what only that node can do
 * (its caches, its list of connections) would fail, and a node that is down when the session opens would count as up for ever.
 */
const reachingAll = (driver: Driver, localDataCenter: string): policies.loadBalancing.LoadBalancingPolicy => {
  const { local, remote } = driver.types.distance
  class ReachingAll extends driver.policies.loadBalancing.DefaultLoadBalancingPolicy {
    override getDistance(host: Host): types.distance {
      return host.datacenter === localDataCenter ? local : remote
    }
  }
  return new ReachingAll({ localDc: localDataCenter })
}

/** The driver's own default is not to verify the server at all. */
const tlsOptions = (tls: NonNullable<SessionSettings['tls']>): NonNullable<ClientOptions['sslOptions']> => ({
  ca: tls.ca,
  rejectUnauthorized: true,
  minVersion: 'TLSv1.2',
  ...(tls.serverName === null ? {} : { servername: tls.serverName }),
})

const connect = async (client: Client, bounds: Bounds, deps: SessionDeps): Promise<void> => {
  try {
    await within(deps, bounds.connect, client.connect())
  } catch (error) {
    client.shutdown().catch(() => undefined)
    throw toFault(error)
  }
}

interface Request {
  readonly host?: Host
  readonly serialConsistency?: types.consistencies
}

const requestOf = (driver: Driver, client: Client, { host: address, alone }: ExecuteOptions): Request => {
  const host = address === undefined ? undefined : upHosts(client).find(candidate => candidate.address === address)
  if (address !== undefined && !host) throw new CqlFault(null, `${address} is not up`)
  return { ...(host ? { host } : {}), ...(alone ? { serialConsistency: driver.types.consistencies.localSerial } : {}) }
}

const execute = async (
  client: Client,
  cql: string,
  params: readonly unknown[],
  request: Request,
  bounds: Bounds,
  deps: SessionDeps,
): Promise<readonly CqlRow[]> => {
  try {
    if (request.host) await connected(client, request.host, bounds, deps)
    const options = { prepare: params.length > 0, ...request }
    return await within(deps, bounds.statement, client.execute(cql, [...params], options).then(allRows))
  } catch (error) {
    throw toFault(error)
  }
}

const look = 20

/** `connect` waits for the own data centre alone, and the driver refuses at once what is meant for a node that it is only connecting to. */
const connected = async (client: Client, host: Host, bounds: Bounds, deps: SessionDeps): Promise<void> => {
  const end = deps.clock.monotonic() + bounds.statement
  while (host.isUp() && !client.getState().getConnectedHosts().includes(host) && deps.clock.monotonic() < end)
    await new Promise<void>(resolve => deps.clock.after(look, resolve))
}

/** Of every page: the driver alone would give the first. */
const allRows = async (result: types.ResultSet): Promise<readonly CqlRow[]> => {
  const rows: CqlRow[] = []
  if (result.rows)
    for await (const row of result) {
      rows.push(row)
      if (rows.length > maxRows) throw new CqlFault(null, `more than ${maxRows} rows`)
    }
  return rows
}

const upHosts = (client: Client): Host[] => client.hosts.values().filter(host => host.isUp())

/** Any node but the named one is left alone: its cache may be older, and what it says is no evidence about this one. */
const optionsFor = (driver: Driver, settings: SessionSettings, login: Login, host: string | undefined, bounds: Bounds): ClientOptions => {
  const options = clientOptions(driver, settings, login, bounds)
  if (host === undefined) return options
  const { AllowListPolicy, RoundRobinPolicy } = driver.policies.loadBalancing
  const loadBalancing = new AllowListPolicy(new RoundRobinPolicy(), [host])
  return { ...options, contactPoints: [host], policies: { ...options.policies, loadBalancing } }
}

const holdLogin = async (
  driver: Driver,
  settings: SessionSettings,
  login: Login,
  host: string,
  bounds: Bounds,
  deps: SessionDeps,
): Promise<HeldLogin | null> => {
  const client = new driver.Client(optionsFor(driver, settings, login, host, bounds))
  try {
    await connect(client, bounds, deps)
  } catch {
    return null
  }
  return {
    execute: (cql, params = []) => execute(client, cql, params, {}, bounds, deps),
    use: cql => execute(client, cql, [], {}, bounds, deps).then(() => 'ok', verdict),
    close: () => within(deps, bounds.statement, client.shutdown()).catch(() => undefined),
  }
}

const proveLogin = async (
  driver: Driver,
  settings: SessionSettings,
  login: Login,
  { host, memberOf }: LoginTarget,
  bounds: Bounds,
  deps: SessionDeps,
): Promise<LoginProof> => {
  const client = new driver.Client(optionsFor(driver, settings, login, host, bounds))
  try {
    await connect(client, bounds, deps)
    // Needs no grant, and fails where the cluster lets a role log in but do nothing (network authorizer).
    const roles = await execute(client, `LIST ROLES OF "${login.username.replaceAll('"', '""')}"`, [], {}, bounds, deps)
    return memberOf === undefined || roles.some(row => row['role'] === memberOf) ? 'ok' : 'powerless'
  } catch (error) {
    return verdict(error)
  } finally {
    client.shutdown().catch(() => undefined)
  }
}

/** "Unable to perform ..." carries the same code as a wrong password, but is an outage: taking it for a refusal would re-key a good slot. */
export const verdict = (error: unknown): LoginProof => {
  if (!(error instanceof CqlFault)) return 'unknown'
  if (error.code === badCredentials) return /incorrect|not permitted/.test(error.message) ? 'refused' : 'unknown'
  return error.code === unauthorized && !error.message.startsWith('Unable to perform') ? 'refused' : 'unknown'
}

/** The driver wraps the answer of each node; the first answer that carries a code tells most. */
export const toFault = (error: unknown): CqlFault => {
  if (error instanceof CqlFault) return error
  const inner = isRecord(error) && isRecord(error['innerErrors']) ? Object.values(error['innerErrors']) : []
  for (const candidate of [error, ...inner]) {
    const code = codeOf(candidate)
    if (code !== null) return new CqlFault(code, messageOf(candidate))
  }
  return new CqlFault(null, messageOf(error))
}

const codeOf = (error: unknown): number | null => {
  if (!isRecord(error)) return null
  if (typeof error['code'] === 'number') return error['code']
  return isRecord(error['additionalInfo']) ? codeOf(error['additionalInfo']) : null
}

/** The driver puts a dump with a stack trace into some messages; a log line and a probe get its first line. */
const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]?.slice(0, 300) ?? ''
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const within = async <T>(deps: SessionDeps, ms: number, work: Promise<T>): Promise<T> => {
  const late = Promise.withResolvers<never>()
  const timer = deps.clock.after(ms, () => late.reject(new CqlFault(null, `no answer within ${ms} ms`)))
  try {
    return await Promise.race([work, late.promise])
  } finally {
    timer.cancel()
  }
}
