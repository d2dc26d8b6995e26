import { dirname, resolve } from 'node:path'
import { clusterOf, unreadable } from './cluster.ts'
import type { Acts } from './credentials/acts.ts'
import { createCredentialEndpoint } from './credentials/endpoint.ts'
import type { Observe } from './credentials/events.ts'
import { createCredentialFiles, isInMemory } from './credentials/files.ts'
import { type OpenedProvider, providers } from './credentials/providers.ts'
import { bind, cannotListen } from './edge/bind.ts'
import { faultAt, type LoadedConfig } from './load.ts'
import type { Credential, CredentialStatus, Unavailable } from './model/credential.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { errorCode } from './named-files.ts'
import type { Config } from './settings.ts'

/** What the process asks about credentials, whether or not a provider is configured. */
export interface CredentialSource {
  current(role: string): Credential | Unavailable
  /** What is in force from now on: tokens of the endpoint, and the roles that policies name. */
  follow(loaded: LoadedConfig, roles: readonly string[]): void
  status(): readonly CredentialStatus[]
  /** Null where Postern makes no credentials itself. */
  readonly acts: Acts | null
  close(): Promise<void>
}

const none: CredentialSource = {
  current: () => ({ unavailable: 'credential-unavailable', detail: 'no credentials: section is configured' }),
  follow: () => undefined,
  status: () => [],
  acts: null,
  close: () => Promise.resolve(),
}

/** Opens the configured provider. */
export const openCredentials = async (
  loaded: LoadedConfig,
  deps: Deps,
  observe: Observe,
): Promise<CredentialSource | readonly Finding[]> => {
  const { credentials, cassandra } = loaded.config
  if (credentials === null) return none
  const base = dirname(resolve(loaded.file))
  const missing = await unreadable(loaded)
  if (missing.length > 0) return missing
  const file = credentials['credentials-file']
  const settings = file === null ? credentials : { ...credentials, 'credentials-file': resolve(base, file) }
  const changes = new Changes()
  const told: Observe = event => {
    observe(event)
    if (event.kind !== 'handover' && event.kind !== 'delivery-failed') changes.tell()
  }
  const opened = await providers[credentials.provider]({
    settings,
    group: cassandra?.group ?? 'default',
    keys: loaded.vaultKeys,
    connect: clusterOf(loaded, deps),
    observe: told,
    deps,
  })
  if (opened.findings.some(finding => finding.severity === 'error')) {
    await opened.provider.close()
    return opened.findings
  }
  return handOut(opened, loaded, { changes, observe, deps })
}

/** Listeners of "some credential changed". */
class Changes {
  readonly #listeners = new Set<() => void>()

  tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  readonly on = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

interface HandOut {
  readonly changes: Changes
  readonly observe: Observe
  readonly deps: Deps
}

/** Opens the ways by which backends fetch credentials themselves. */
const handOut = async (
  { provider, acts }: Pick<OpenedProvider, 'provider' | 'acts'>,
  loaded: LoadedConfig,
  { changes, observe, deps }: HandOut,
): Promise<CredentialSource | readonly Finding[]> => {
  const { endpoint, files } = loaded.config.credentials ?? { endpoint: null, files: null }
  const current = (role: string): Credential | Unavailable => provider.current(role)
  let bearers = loaded.bearers
  const closers: (() => Promise<void>)[] = [() => provider.close()]
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0)) await closer()
  }
  const refuse = async (key: string, message: string): Promise<readonly Finding[]> => {
    await close()
    return [faultAt(loaded, key, 'C301', message)]
  }
  if (files !== null) {
    const dir = resolve(dirname(resolve(loaded.file)), files.dir)
    const memory = await isInMemory(dir).catch((fault: unknown) => errorCode(fault))
    if (typeof memory === 'string')
      return refuse('credentials.files.dir', `${files.dir} cannot be used (${memory}). Make the folder on a tmpfs.`)
    if (!memory)
      deps.log.warn({ dir: files.dir }, 'credentials are written to a disk, where they outlive their end in backups: use a tmpfs')
    const written = createCredentialFiles({ dir, group: files.group, roles: files.roles, observe, current })
    changes.on(() => void written.update())
    void written.update()
  }
  if (endpoint !== null) {
    const listener = createCredentialEndpoint({
      listen: endpoint.listen,
      clock: deps.clock,
      observe,
      bearers: () => bearers,
      current,
      onChange: changes.on,
    })
    try {
      listener.bound(await bind(listener.server, endpoint.listen))
    } catch (fault) {
      return refuse('credentials.endpoint.listen', cannotListen(endpoint.listen, fault))
    }
    closers.unshift(() => listener.close())
  }
  return {
    current,
    follow(next, roles) {
      bearers = next.bearers
      provider.roles(rolesOf(next.config, roles))
    },
    status: () => provider.status(),
    acts,
    close,
  }
}

/** Every role for which credentials are made: those that policies name, and those that backends fetch themselves. */
export const rolesOf = ({ credentials }: Pick<Config, 'credentials'>, named: readonly string[]): readonly string[] => {
  const fetched = credentials?.endpoint?.bearers.flatMap(bearer => bearer.roles) ?? []
  return [...new Set([...named, ...fetched, ...(credentials?.files?.roles ?? [])])].sort()
}
