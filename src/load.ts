import { createHash, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Bearer } from './credentials/endpoint.ts'
import type { Sealer } from './credentials/seal.ts'
import type { TlsMaterial } from './edge/tls.ts'
import type { AssertionKeys } from './identity/assertion.ts'
import type { SessionIssuer } from './identity/aws-sessions.ts'
import type { DpopSettings } from './identity/dpop-settings.ts'
import type { GatewaySigner } from './identity/gateway-assertion.ts'
import { awsIssuerSettings, type IssuerSettings, issuerSettings } from './identity/settings.ts'
import type { RecipientKey } from './model/credential.ts'
import type { Finding } from './model/finding.ts'
import type { SecretBytes } from './model/secret.ts'
import { errorCode, NamedFiles } from './named-files.ts'
import { type Config, configFinding, type ReadConfig, readConfig } from './settings.ts'

/** A readable configuration together with the contents of every file that it names. */
export interface LoadedConfig {
  readonly file: string
  readonly read: ReadConfig
  readonly config: Config
  /** SHA-256 over the file and everything it names, hex. */
  readonly digest: string
  readonly secrets: readonly SecretBytes[]
  /** Of `aws-iam.mapped`; null where the gateway maps no caller. */
  readonly mappingSecrets: readonly SecretBytes[] | null
  /** Of `gateway.assertion`; null where none is asked for. */
  readonly gatewaySigner: GatewaySigner | null
  /** Of `audit.hash-key-files`. */
  readonly hashKeys: readonly SecretBytes[]
  /** Of `listen.tls`. */
  readonly tls: TlsMaterial | null
  readonly issuers: readonly IssuerSettings[]
  readonly dpop: DpopSettings
  /** Absolute paths of the files with secrets, which change on their own. */
  readonly secretFiles: readonly string[]
  /** Private keys of `assertion.key-files`, in order. */
  readonly assertionKeys: readonly KeyObject[]
  /** Of `cassandra.key-files`. */
  readonly vaultKeys: readonly SecretBytes[]
  /** Who may ask `credentials.endpoint`. */
  readonly bearers: readonly Bearer[]
  /** Public key of each upstream with delivery jwe, by upstream name. */
  readonly recipients: ReadonlyMap<string, RecipientKey>
  /** PEM of each upstream's CA file, by upstream name. */
  readonly upstreamCa: ReadonlyMap<string, string>
}

/** Reads the configuration file alone. */
export const readConfigFile = async (file: string): Promise<ReadConfig | readonly Finding[]> => {
  try {
    return readConfig(file, await readFile(file))
  } catch (fault) {
    const message = `cannot be read (${errorCode(fault)}). Write the path of a configuration after --config; proxy.config.yaml of the repository is one to copy.`
    return [configFinding(file, 'C100', message)]
  }
}

/** Reads `proxy.config.yaml` and the files it names. Everything that is wrong is reported at once; nothing is half-loaded. */
export const loadConfig = async (file: string): Promise<LoadedConfig | readonly Finding[]> => {
  const read = await readConfigFile(file)
  if (!('config' in read)) return read
  if (read.config === null) return read.source.findings
  const files = new NamedFiles(read, dirname(resolve(file)))
  const { dpop, 'aws-iam': aws } = read.config
  const gateway = await gatewayFiles(read.config, files)
  const hashKeys = await Promise.all(read.config.audit['hash-key-files'].map(path => files.hashKey(path)))
  const nonceKey =
    dpop['nonce-key-file'] === null ? null : await files.secret(dpop['nonce-key-file'], 'dpop.nonce-key-file', 'the key of the nonces')
  const issuers = await Promise.all(
    read.config.issuers.map(async entry =>
      issuerSettings(
        entry,
        entry['ca-file'] === null ? null : await files.pem(entry['ca-file'], 'issuers'),
        entry.introspection === null ? null : await files.client(entry.introspection),
      ),
    ),
  )
  const upstreamCa = new Map<string, string>()
  for (const [name, upstream] of read.config.upstreams)
    if (upstream.tls !== null) upstreamCa.set(name, await files.pem(upstream.tls['ca-file'], `upstreams.${name}.tls.ca-file`))
  const assertionKeys: KeyObject[] = []
  for (const path of read.config.assertion?.['key-files'] ?? [])
    assertionKeys.push(...(await files.signingKey(path, 'assertion.key-files')))
  const vaultKeys: SecretBytes[] = []
  for (const path of read.config.cassandra?.['key-files'] ?? []) vaultKeys.push(...(await files.symmetricKey(path, 'cassandra.key-files')))
  const bearers = await Promise.all((read.config.credentials?.endpoint?.bearers ?? []).map((bearer, i) => files.bearer(bearer, i)))
  const recipients = new Map<string, RecipientKey>()
  for (const [name, { 'jwe-key-file': path }] of read.config.upstreams) {
    const key = path === null ? null : await files.recipient(path, `upstreams.${name}.jwe-key-file`)
    if (key !== null) recipients.set(name, key)
  }
  if (!read.source.ok) return read.source.findings
  // Each part with its length before it: bytes that move from one file to the next make another configuration (CVE-2023-35941).
  const digest = createHash('sha256')
  for (const part of [read.bytes, ...files.contents]) digest.update(`${part.length}:`).update(part)
  return {
    file,
    read,
    config: read.config,
    digest: digest.digest('hex'),
    ...gateway,
    issuers: [...issuers.flat(), ...(aws === null ? [] : [awsIssuerSettings(aws)])],
    dpop: { maxAge: dpop['max-age'], nonce: dpop.nonce, nonceKey },
    secretFiles: files.secretFiles,
    hashKeys,
    assertionKeys,
    vaultKeys,
    bearers,
    recipients,
    upstreamCa,
  }
}

/** By which the gateway is known, and the caller whom it maps. */
const gatewayFiles = async (
  { gateway, listen, 'aws-iam': aws }: Config,
  files: NamedFiles,
): Promise<Pick<LoadedConfig, 'secrets' | 'mappingSecrets' | 'gatewaySigner' | 'tls'>> => {
  const secrets = (paths: readonly string[], key: string, shown: string): Promise<SecretBytes[]> =>
    Promise.all(paths.map((path, i) => files.secret(path, key, `${shown} ${i + 1}`)))
  const { assertion } = gateway
  return {
    secrets: await secrets(gateway['secret-files'], 'gateway.secret-files', 'secret file'),
    mappingSecrets: aws?.mapped ? await secrets(aws.mapped['secret-files'], 'aws-iam.mapped.secret-files', 'secret file of mapped') : null,
    gatewaySigner:
      assertion === null
        ? null
        : {
            issuer: assertion.issuer,
            audience: assertion.audience,
            clockTolerance: assertion['clock-tolerance'],
            keys: await files.publicKeys(assertion['jwks-file'], 'gateway.assertion.jwks-file'),
          },
    tls: listen.tls === null ? null : await files.tls(listen.tls),
  }
}

/** A fault that shows only when what stands at this key is used. */
export const faultAt = ({ file, read }: LoadedConfig, key: string, code: string, message: string): Finding => ({
  ...configFinding(file, code, message),
  ...read.source.position(read.provenance.get(key) ?? 0),
})

/** What vouching for callers needs, or null where it is not configured. */
export const assertionKeys = ({ config: { assertion }, assertionKeys: keys }: LoadedConfig): AssertionKeys | null =>
  assertion === null ? null : { issuer: assertion.issuer, lifetime: assertion.lifetime, keys }

/** What sessions for callers of AWS need, or null where none are issued. */
export const sessionIssuer = ({ config: { 'aws-iam': aws }, issuers, assertionKeys: keys }: LoadedConfig): SessionIssuer | null => {
  const issuer = issuers.find(one => one.aws !== null)
  return !aws?.sessions || issuer === undefined ? null : { issuer, settings: aws.sessions, keys }
}

/** Who signs what is sealed for backends, or null where nobody can. */
export const sealerOf = ({ config: { assertion }, assertionKeys: [key] }: LoadedConfig): Sealer | null =>
  assertion === null || key === undefined ? null : { issuer: assertion.issuer, key }
