import type { CassandraSession } from '../model/cassandra.ts'
import type { CredentialProvider } from '../model/credential.ts'
import type { Deps } from '../model/deps.ts'
import type { Finding } from '../model/finding.ts'
import type { SecretBytes } from '../model/secret.ts'
import { openCassandraProvider } from './cassandra.ts'
import type { Observe } from './events.ts'
import { openFileProvider } from './file.ts'
import type { CredentialsSettings } from './settings.ts'

export interface ProviderOptions {
  /** `credentials-file` already resolved against the configuration's folder. */
  readonly settings: CredentialsSettings
  /** `cassandra.group`. */
  readonly group: string
  /** Contents of `cassandra.key-files`. */
  readonly keys: readonly SecretBytes[]
  /** Opens a session as the manager; only the cassandra provider calls it. */
  readonly connect: () => Promise<CassandraSession>
  readonly observe: Observe
  readonly deps: Pick<Deps, 'clock' | 'random'>
}

/** A provider that runs, and what is wrong with the files it reads. With findings it answers unavailable until they are mended. */
export interface OpenedProvider {
  readonly provider: CredentialProvider
  readonly findings: readonly Finding[]
}

type Open = (options: ProviderOptions) => Promise<OpenedProvider>

const cassandra: Open = async ({ settings, group, keys, connect, observe, deps }) => {
  const { 'rotate-every': rotateEvery, overlap, 'hard-ttl': hardTtl } = settings
  return {
    provider: openCassandraProvider({ settings: { rotateEvery, overlap, hardTtl }, group, keys, connect, observe, ...deps }),
    findings: [],
  }
}

const file: Open = ({ settings, observe, deps }) =>
  openFileProvider({ file: settings['credentials-file'] ?? '', observe, clock: deps.clock })

/** Who makes the credentials: one row each. */
export const providers = { cassandra, file } as const satisfies Readonly<Record<CredentialsSettings['provider'], Open>>
