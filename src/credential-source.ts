import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Observe } from './credentials/events.ts'
import { providers } from './credentials/providers.ts'
import { errorCode, type LoadedConfig } from './load.ts'
import type { Credential, CredentialProvider, CredentialStatus, Unavailable } from './model/credential.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { Secret } from './model/secret.ts'
import { configFinding } from './settings.ts'
import { openSession } from './store/session.ts'

/** What the process asks about credentials, whether or not a provider is configured. */
export interface CredentialSource {
  current(role: string): Credential | Unavailable
  roles(roles: readonly string[]): void
  status(): readonly CredentialStatus[]
  close(): Promise<void>
}

const none: CredentialSource = {
  current: () => ({ unavailable: 'credential-unavailable', detail: 'no credentials: section is configured' }),
  roles: () => undefined,
  status: () => [],
  close: () => Promise.resolve(),
}

/** Opens the configured provider. The manager's own secret is read from its file each time a session is opened, so it can be rotated. */
export const openCredentials = async (
  loaded: LoadedConfig,
  deps: Deps,
  observe: Observe,
): Promise<CredentialSource | readonly Finding[]> => {
  const { credentials, cassandra } = loaded.config
  if (credentials === null) return none
  const base = dirname(resolve(loaded.file))
  const connect = async () => {
    if (cassandra === null) throw new Error('no cassandra: section')
    const read = async (path: string): Promise<string> => (await readFile(resolve(base, path), 'utf8')).trim()
    const login = { username: await read(cassandra['username-file']), password: new Secret(await read(cassandra['password-file'])) }
    const tls = cassandra.tls === null ? null : { ca: await read(cassandra.tls['ca-file']), serverName: cassandra.tls['server-name'] }
    const { hosts, port } = cassandra['contact-points']
    return openSession({ contactPoints: hosts, port, localDataCenter: cassandra['local-data-center'], tls }, login, deps)
  }
  const missing = await unreadable(loaded, base)
  if (missing.length > 0) return missing
  const file = credentials['credentials-file']
  const settings = file === null ? credentials : { ...credentials, 'credentials-file': resolve(base, file) }
  const opened = await providers[credentials.provider]({ settings, group: cassandra?.group ?? 'default', connect, observe, deps })
  if (opened.findings.some(finding => finding.severity === 'error')) {
    await opened.provider.close()
    return opened.findings
  }
  return opened.provider satisfies CredentialProvider
}

/** A file that cannot be read is told at the start, with its key, and not first by the request that needs it. */
const unreadable = async ({ file, read, config: { cassandra } }: LoadedConfig, base: string): Promise<Finding[]> => {
  if (cassandra === null) return []
  const files = {
    'username-file': cassandra['username-file'],
    'password-file': cassandra['password-file'],
    'tls.ca-file': cassandra.tls?.['ca-file'],
  }
  const found: Finding[] = []
  for (const [key, path] of Object.entries(files)) {
    if (path === undefined) continue
    await readFile(resolve(base, path)).catch((fault: unknown) => {
      const message = `${path} cannot be read (${errorCode(fault)}). Paths are relative to the configuration file.`
      found.push({ ...configFinding(file, 'C207', message), ...read.source.position(read.provenance.get(`cassandra.${key}`) ?? 0) })
    })
  }
  return found
}
