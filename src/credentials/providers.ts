import type { CassandraSession } from '../model/cassandra.ts'
import type { CredentialProvider } from '../model/credential.ts'
import type { Deps } from '../model/deps.ts'
import type { Finding } from '../model/finding.ts'
import type { SecretBytes } from '../model/secret.ts'
import type { Acts } from './acts.ts'
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
  /** Null where something else makes the credentials. */
  readonly acts: Acts | null
}

type Open = (options: ProviderOptions) => Promise<OpenedProvider>

const cassandra: Open = async ({ settings, group, keys, connect, observe, deps }) => {
  const { 'rotate-every': rotateEvery, overlap, 'hard-ttl': hardTtl, 'after-hard-ttl': afterHardTtl } = settings
  const times = { rotateEvery, overlap, hardTtl, afterHardTtl }
  const provider = openCassandraProvider({ settings: times, group, keys, connect, observe, ...deps })
  return { provider, findings: [], acts: provider }
}

const file: Open = async ({ settings, observe, deps }) => ({
  ...(await openFileProvider({ file: settings['credentials-file'] ?? '', observe, clock: deps.clock })),
  acts: null,
})

/** Who makes the credentials: one row each. */
export const providers = { cassandra, file } as const satisfies Readonly<Record<CredentialsSettings['provider'], Open>>
