import { createHash, createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import type { Bearer } from './credentials/endpoint.ts'
import { readRecipientKey, type Sealer } from './credentials/seal.ts'
import type { AssertionKeys } from './identity/assertion.ts'
import { type IssuerSettings, issuerSettings } from './identity/settings.ts'
import type { RecipientKey } from './model/credential.ts'
import type { Proof } from './model/exchange.ts'
import type { Finding } from './model/finding.ts'
import { SecretBytes } from './model/secret.ts'
import { type Config, configFinding, type ReadConfig, readConfig } from './settings.ts'

/** A readable configuration together with the contents of every file that it names. */
export interface LoadedConfig {
  readonly file: string
  readonly read: ReadConfig
  readonly config: Config
  /** SHA-256 over the file and everything it names, hex. */
  readonly digest: string
  readonly secrets: readonly SecretBytes[]
  readonly issuers: readonly IssuerSettings[]
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

const maxFile = 1024 * 1024
const minSecret = 32

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
  const secrets = await Promise.all(read.config.gateway['secret-files'].map((path, i) => files.secret(path, i)))
  const issuers = await Promise.all(
    read.config.issuers.map(async entry =>
      issuerSettings(entry, entry['ca-file'] === null ? null : await files.pem(entry['ca-file'], 'issuers')),
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
  const digest = createHash('sha256').update(read.bytes)
  for (const part of files.contents) digest.update(part)
  return {
    file,
    read,
    config: read.config,
    digest: digest.digest('hex'),
    secrets,
    issuers,
    assertionKeys,
    vaultKeys,
    bearers,
    recipients,
    upstreamCa,
  }
}

/** The configuration and the secrets beside it whose change makes a reload. */
export const watchedFiles = ({ file, config }: LoadedConfig): readonly string[] => {
  const tokens = config.credentials?.endpoint?.bearers.map(bearer => bearer['token-file']) ?? []
  const named = [...config.gateway['secret-files'], ...(config.assertion?.['key-files'] ?? []), ...tokens]
  return [resolve(file), ...named.map(path => resolve(dirname(resolve(file)), path))]
}

/** What vouching for callers needs, or null where it is not configured. */
export const assertionKeys = ({ config: { assertion }, assertionKeys: keys }: LoadedConfig): AssertionKeys | null =>
  assertion === null ? null : { issuer: assertion.issuer, lifetime: assertion.lifetime, keys }

/** Who signs what is sealed for backends, or null where nobody can. */
export const sealerOf = ({ config: { assertion }, assertionKeys: [key] }: LoadedConfig): Sealer | null =>
  assertion === null || key === undefined ? null : { issuer: assertion.issuer, key }

/** The proof in force: `none-accept-direct-traffic` stands alone, so one word tells all. */
export const proofOf = (config: Config): Proof =>
  config.gateway.proof.includes('none-accept-direct-traffic') ? 'none-accept-direct-traffic' : 'shared-secret'

class NamedFiles {
  readonly contents: Buffer[] = []
  readonly #read: ReadConfig
  readonly #folder: string

  constructor(read: ReadConfig, folder: string) {
    this.#read = read
    this.#folder = folder
  }

  async secret(path: string, index: number): Promise<SecretBytes> {
    return new SecretBytes(await this.#secret(path, index, 'gateway.secret-files'))
  }

  async bearer(
    { 'token-file': path, roles }: { readonly 'token-file': string; readonly roles: readonly string[] },
    index: number,
  ): Promise<Bearer> {
    const token = await this.#secret(path, index, 'credentials.endpoint.bearers')
    return { name: basename(path), digest: createHash('sha256').update(token).digest(), roles }
  }

  async recipient(path: string, key: string): Promise<RecipientKey | null> {
    const bytes = await this.#bytes(path, key)
    if (bytes.length === 0) return null
    const found = readRecipientKey(bytes.toString('utf8'))
    if (typeof found !== 'string') return found
    this.#wrong(key, 204, `${path} ${found}`)
    return null
  }

  /** 256 bits, in hex or base64. None where the file holds something else, which is then told without showing it. */
  async symmetricKey(path: string, key: string): Promise<readonly SecretBytes[]> {
    const text = (await this.#bytes(path, key)).toString('latin1').trim()
    const bytes = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64')
    if (bytes.length === 32) return [new SecretBytes(bytes)]
    if (text !== '') this.#wrong(key, 204, `${path} does not hold 32 random bytes in hex or base64: openssl rand -hex 32`)
    return []
  }

  async #secret(path: string, index: number, key: string): Promise<Buffer> {
    // What stands there may be the secret itself, pasted: it is not repeated.
    const bytes = await this.#bytes(path, key, `secret file ${index + 1}`)
    const secret = Buffer.from(bytes.toString('latin1').trim(), 'latin1')
    if (bytes.length > 0 && secret.length < minSecret)
      this.#wrong(
        key,
        204,
        `secret file ${index + 1} holds ${secret.length} bytes; at least ${minSecret} random ones are needed: openssl rand -hex 32`,
      )
    // A byte that cannot stand in a field value would make a proof that no gateway can send.
    if (secret.some(byte => byte < 0x21 || byte > 0x7e))
      this.#wrong(key, 204, `secret file ${index + 1} holds bytes that cannot stand in a header. Write hex or base64.`)
    return secret
  }

  async pem(path: string, key: string): Promise<string> {
    const text = (await this.#bytes(path, key)).toString('latin1')
    if (text !== '' && !text.includes('-----BEGIN CERTIFICATE-----')) this.#wrong(key, 204, `${path} holds no PEM certificate.`)
    return text
  }

  /** None where the file holds something else, which is then told without showing it. */
  async signingKey(path: string, key: string): Promise<readonly KeyObject[]> {
    const bytes = await this.#bytes(path, key)
    if (bytes.length === 0) return []
    try {
      const parsed = createPrivateKey(bytes)
      if (parsed.asymmetricKeyType === 'ed25519') return [parsed]
    } catch {
      // Said below: the library's message may quote the file.
    }
    this.#wrong(key, 204, `${path} is not an Ed25519 private key in PEM. Make one: postern audit keygen --out FILE.`)
    return []
  }

  async #bytes(path: string, key: string, shown = path): Promise<Buffer> {
    try {
      const bytes = await readFile(resolve(this.#folder, path))
      if (bytes.length === 0) this.#wrong(key, 204, `${shown} is empty.`)
      if (bytes.length > maxFile) this.#wrong(key, 102, `${shown} has ${bytes.length} bytes; at most ${maxFile} are read.`)
      this.contents.push(bytes)
      return bytes
    } catch (fault) {
      this.#wrong(key, 207, `${shown} cannot be read (${errorCode(fault)}). Paths are relative to the configuration file.`)
      return Buffer.alloc(0)
    }
  }

  #wrong(key: string, number: number, message: string): void {
    this.#read.source.error(this.#read.provenance.get(key) ?? 0, number, message)
  }
}

export const errorCode = (fault: unknown): string =>
  fault instanceof Error ? ((fault as NodeJS.ErrnoException).code ?? fault.name) : 'unknown'
